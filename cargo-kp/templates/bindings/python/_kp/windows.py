"""A device by its name, with Windows: DeviceIoControl."""

from __future__ import annotations

import ctypes
import errno
import io
import sys
import threading
from ctypes import wintypes
from typing import Any, Callable, Dict, List, Tuple

from . import sentences
from .errors import ROWS, KpError, Status, error
from .node import ControlNode, Node

assert sys.platform == "win32"

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_ntdll = ctypes.WinDLL("ntdll")


class _Overlapped(ctypes.Structure):
    """OVERLAPPED of minwinbase.h."""

    _fields_ = [
        ("Internal", ctypes.c_size_t),
        ("InternalHigh", ctypes.c_size_t),
        ("Offset", wintypes.DWORD),
        ("OffsetHigh", wintypes.DWORD),
        ("hEvent", wintypes.HANDLE),
    ]


def _declare(library: Any, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


_H, _D, _P = wintypes.HANDLE, wintypes.DWORD, ctypes.c_void_p
_create_file = _declare(_kernel32, "CreateFileW", _H, wintypes.LPCWSTR, _D, _D, _P, _D, _D, _H)
_close_handle = _declare(_kernel32, "CloseHandle", wintypes.BOOL, _H)
_create_event = _declare(_kernel32, "CreateEventW", _H, _P, wintypes.BOOL, wintypes.BOOL, wintypes.LPCWSTR)
_wait = _declare(_kernel32, "WaitForSingleObject", _D, _H, _D)
_io_control = _declare(_kernel32, "DeviceIoControl", wintypes.BOOL, _H, _D, _P, _D, _P, _D, _P, _P)
_result = _declare(_kernel32, "GetOverlappedResult", wintypes.BOOL, _H, _P, _P, wintypes.BOOL)
_cancel = _declare(_kernel32, "CancelIoEx", wintypes.BOOL, _H, _P)
_query_dos_device = _declare(_kernel32, "QueryDosDeviceW", _D, wintypes.LPCWSTR, wintypes.LPWSTR, _D)
_dos_error = _declare(_ntdll, "RtlNtStatusToDosError", wintypes.ULONG, wintypes.LONG)

_INVALID_HANDLE = ctypes.c_void_p(-1).value
_READ_WRITE, _SHARE_ALL, _OPEN_EXISTING, _OVERLAPPED = 0xC0000000, 7, 3, 0x40000000
_IO_PENDING, _INSUFFICIENT_BUFFER, _ACCESS_DENIED = 997, 122, 5
#: No such file, path or device, or it is about to go.
_MISSING = (2, 3, 433, 55)
_INFINITE = 0xFFFFFFFF
#: The main thread looks so often, in ms, whether Ctrl-C was pressed.
_LOOK_AGAIN = 100
#: What Windows answers by itself: it has no memory, or the device has gone.
_OF_WINDOWS = {
    **dict.fromkeys((8, 1784, 1816, 1453, 1455), Status.NO_MEMORY),
    **dict.fromkeys((433, 55, 1167, 1617), Status.DEVICE_GONE),
}

#: Requests under way: Windows writes into their memory until they are over, whatever becomes of the thread.
_under_way: Dict[int, Tuple[Any, ...]] = {}


def _of_rows(is_transport: bool) -> Dict[int, int]:
    rows = [(number, row) for number, row in ROWS.items() if number and (number <= 7) == is_transport]
    return {_dos_error(ctypes.c_int32(row.ntstatus).value): number for number, row in reversed(rows)}


# The transport's own rows first, then Windows', then the others.
_STATUSES: Dict[int, int] = {**_of_rows(False), **_OF_WINDOWS, **_of_rows(True)}


class WindowsNode(ControlNode):
    """A device that is open for overlapped use, so that requests of several threads run at once."""

    def __init__(self, path: str) -> None:
        handle = _create_file(path, _READ_WRITE, _SHARE_ALL, None, _OPEN_EXISTING, _OVERLAPPED, None)
        if handle == _INVALID_HANDLE:
            raise ctypes.WinError(ctypes.get_last_error())
        self._handle = handle
        self._events: List[int] = []
        super().__init__()

    def _control(self, code: int, data: bytes, out: bytearray) -> int:
        try:
            event = self._events.pop()
        except IndexError:
            event = _create_event(None, True, False, None)
            if not event:
                raise error(Status.NO_MEMORY) from None
        overlapped = _Overlapped(hEvent=event)
        sent, answer = ctypes.create_string_buffer(data, len(data)), ctypes.create_string_buffer(bytes(out), len(out))
        written = wintypes.DWORD()
        _under_way[id(overlapped)] = (overlapped, sent, answer)
        done = _io_control(self._handle, code, sent, len(data), answer, len(out), None, ctypes.byref(overlapped))
        failed = 0 if done else ctypes.get_last_error()
        if failed in (0, _IO_PENDING):
            try:
                self._finish(event)
            except BaseException:
                _cancel(self._handle, ctypes.byref(overlapped))
                _result(self._handle, ctypes.byref(overlapped), ctypes.byref(written), True)
                del _under_way[id(overlapped)]
                _close_handle(event)
                raise
            failed = 0 if _result(self._handle, ctypes.byref(overlapped), ctypes.byref(written), False) else ctypes.get_last_error()
        del _under_way[id(overlapped)]
        self._events.append(event)
        if failed:
            raise error(_STATUSES.get(failed, Status.NO_REPLY))
        out[:] = answer.raw
        return written.value

    def _finish(self, event: int) -> None:
        """Waits until a request is over. KeyboardInterrupt, and what else a signal raises, in the main thread."""
        is_main = threading.current_thread() is threading.main_thread()
        while _wait(event, _LOOK_AGAIN if is_main else _INFINITE):
            pass

    def _free(self) -> None:
        for event in self._events:
            _close_handle(event)
        self._events.clear()
        _close_handle(self._handle)

    def _fileno(self) -> int:
        raise io.UnsupportedOperation("Windows has no descriptor of a device: wait in a thread, or by `async for`")


def open_device(name: str, lowest: Callable[[str, List[str]], str]) -> Tuple[Node, str]:
    r"""Opens `\\.\kp-NAME`."""
    prefix = "kp-"
    there = [other[len(prefix) :] for other in _dos_names() if other.startswith(prefix)]
    path = rf"\\.\{prefix}{lowest(name, there)}"
    plugin = name.partition(".")[0]
    try:
        return WindowsNode(path), path
    except OSError as failed:
        code = failed.winerror
        status = _STATUSES.get(code)
        if code in _MISSING:
            raise FileNotFoundError(errno.ENOENT, sentences.NO_NODE_ON_WINDOWS.format(plugin=plugin), path) from None
        if code == _ACCESS_DENIED:
            raise PermissionError(errno.EACCES, sentences.DENIED_ON_WINDOWS, path) from None
        if status in (Status.DEVICE_GONE, Status.POISONED, Status.NO_MEMORY, Status.TOO_MANY_SESSIONS):
            raise error(status, 0, path) from None
        raise


def _dos_names() -> List[str]:
    """The names of all devices that programs can open."""
    room = 1 << 14
    while room < 1 << 24:
        names = ctypes.create_unicode_buffer(room)
        length = _query_dos_device(None, names, room)
        if length:
            return "".join(names[:length]).split("\0")
        if ctypes.get_last_error() != _INSUFFICIENT_BUFFER:
            break
        room *= 2
    return []  # opening then says why
