"""What a binding asks of Windows, with a kernel32 that is none: requests that pend, errors, Ctrl-C, names. The package `echo` is on the path."""

import ctypes
import importlib
import sys
import unittest

import echo
from echo import Echo, KpError, Status, Style, Trim
from fake import Fake, Handle
from test_calls import ECHO, echoes

PENDING, INVALID = 997, ctypes.c_void_p(-1).value


def dos_error(ntstatus):
    """What stands in for Windows' own table: a number for each."""
    return (ntstatus & 0xFFFFFFFF) % 100003 + 10000


class Kernel32:
    """Windows' functions over a plugin that is none."""

    def __init__(self, device):
        self.device, self.handle, self.error = device, Handle(), 0
        self.opened, self.closed, self.cancelled, self.names = [], [], [], "kp-echo.10\0kp-echo.2\0COM1\0\0"
        self.create_error, self.fails, self.interrupts, self.looks = 0, 0, 0, 0
        self.written, self.next_event = 0, 100

    def CreateFileW(self, path, access, share, security, disposition, flags, template):
        assert (access, share, security, disposition, flags) == (0xC0000000, 7, None, 3, 0x40000000), "read, write; overlapped"
        self.opened.append(path)
        self.error = self.create_error
        return INVALID if self.create_error else 42

    def CreateEventW(self, security, manual, initial, name):
        assert (security, manual, initial, name) == (None, True, False, None)
        self.next_event += 1
        return self.next_event

    def WaitForSingleObject(self, event, milliseconds):
        assert event > 100
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        self.looks += 1
        return 258 if self.looks % 3 else 0

    def DeviceIoControl(self, handle, code, sent, sent_len, answer, answer_len, written, overlapped):
        assert handle == 42 and written is None and overlapped._obj.hEvent > 100
        assert (len(sent), len(answer)) == (sent_len, answer_len)
        if self.fails:
            self.error = self.fails
            return 0
        status, out = self.device._request(self.handle, code, sent.raw, answer_len, None)
        answer[: len(out)] = out
        self.written, self.status, self.error = len(out), status, PENDING
        return 0

    def GetOverlappedResult(self, handle, overlapped, written, wait):
        written._obj.value = self.written
        if self.status:
            self.error = dos_error(echo._kp.errors.ROWS[self.status].ntstatus)
        return 0 if self.status else 1

    def CancelIoEx(self, handle, overlapped):
        self.cancelled.append(handle)
        return 1

    def CloseHandle(self, handle):
        self.closed.append(handle)
        return 1

    def QueryDosDeviceW(self, name, room, room_len):
        if room_len < 100_000:
            self.error = 122
            return 0
        room[: len(self.names)] = self.names
        return len(self.names)


class Library:
    """Functions to which attributes can be given, as ctypes' can."""

    def __init__(self, **functions):
        for name, function in functions.items():
            setattr(self, name, lambda *arguments, function=function: function(*arguments))


def win_error(code):
    error = OSError(code, "of Windows")
    error.winerror = code
    return error


class Windows(unittest.TestCase):
    def setUp(self):
        self.device = Fake(ECHO, echoes)
        self.addCleanup(self.device.stop)
        self.kernel = Kernel32(self.device)
        self.device.handles[1] = self.kernel.handle
        methods = [name for name in vars(Kernel32) if name[0].isupper()]
        libraries = {
            "kernel32": Library(**{name: getattr(self.kernel, name) for name in methods}),
            "ntdll": Library(RtlNtStatusToDosError=dos_error),
        }
        for of, name, value in (
            (sys, "platform", "win32"),
            (ctypes, "WinDLL", lambda name, **_: libraries[name]),
            (ctypes, "get_last_error", lambda: self.kernel.error),
            (ctypes, "WinError", win_error),
        ):
            there = getattr(of, name, None)
            self.addCleanup(delattr if there is None else setattr, of, name, *([] if there is None else [there]))
            setattr(of, name, value)
        sys.modules.pop("echo._kp.windows", None)
        self.windows = importlib.import_module("echo._kp.windows")
        self.addCleanup(sys.modules.pop, "echo._kp.windows")

    def test_requests_pend_and_are_waited_for(self):
        with Echo.open("echo", b"quiet") as device:
            self.assertEqual(self.kernel.opened, [r"\\.\kp-echo.2"], "the lowest one")
            self.assertEqual(self.kernel.handle.data, b"quiet")
            self.assertEqual(device.say(b"hello"), 5)
            self.assertEqual(device.repeat(Style.LOUD, Trim.END, b"hi", room=9), b"hi")
            with device.interrupts() as irq:
                self.device.interrupt()
                self.assertEqual(irq.wait(1.0).got, 1)
                with self.assertRaises(OSError):
                    irq.fileno()
        self.assertEqual(sorted(self.kernel.closed), [42, 101], "the handle, and the event that all requests have used")
        self.assertEqual(self.windows._under_way, {})

    def test_errors_are_the_rows_of_their_ntstatus(self):
        with Echo.open() as device:
            for status in (Status.UNKNOWN_REQUEST, Status.DENIED, Status.NO_MEMORY, Status.INTERRUPTED, Status.WRONG_CONTEXT):
                self.device.answer = lambda call: (status, 0)
                with self.assertRaises(KpError) as raised:
                    device.nap(0)
                self.assertEqual(raised.exception.status, status)
            for code, status in ((8, Status.NO_MEMORY), (433, Status.DEVICE_GONE), (317, Status.NO_REPLY)):
                self.kernel.fails = code
                with self.assertRaises(KpError) as raised:
                    device.nap(0)
                self.assertEqual(raised.exception.status, status)
            self.kernel.fails = 0

    def test_ctrl_c_cancels_the_request_and_waits_for_its_end(self):
        with Echo.open() as device:
            self.kernel.interrupts = 1
            with self.assertRaises(KeyboardInterrupt):
                device.nap(5)
            self.assertEqual(self.kernel.cancelled, [42])
            self.assertEqual(self.windows._under_way, {})
            # As if it was pressed once more before the request is over: its memory is kept.
            real = self.windows._cancel

            def pressed_again(*_):
                raise KeyboardInterrupt

            self.windows._cancel = pressed_again
            self.kernel.interrupts = 1
            with self.assertRaises(KeyboardInterrupt):
                device.nap(5)
            self.windows._cancel = real
            self.assertEqual(len(self.windows._under_way), 1)
            self.assertEqual(device.say(b"abc"), 3)

    def test_a_device_that_cannot_be_opened_says_what_to_do(self):
        for code, kind, text in (
            (2, FileNotFoundError, "no such device: is the driver loaded? `sc start kp-echo`, or install kp-echo.inf"),
            (5, PermissionError, "access denied: run as administrator"),
            (dos_error(0xC00000CE), KpError, r"\\.\kp-echo.3: TooManySessions"),
            (32, OSError, "of Windows"),
        ):
            self.kernel.create_error = code
            with self.assertRaises(kind) as raised:
                Echo.open("echo.3")
            self.assertIn(text, str(raised.exception))


if __name__ == "__main__":
    unittest.main()
