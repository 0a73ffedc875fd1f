"""What a binding gives ioctl(2), and what it makes of its answers, with a kernel that is none. The package `echo` is on the path."""

import ctypes
import errno
import struct
import unittest

import echo._kp.linux as linux
from echo import Echo, KpError, Status, Style, Trim
from echo._kp.session import _negotiate

OPEN, CALL, CLOSE, INT_ENABLE, INT_WAIT = 0xC000BF01, 0xC000BF02, 0xC000BF03, 0xC000BF04, 0xC000BF05


class Kernel:
    """Answers requests: `errors` first, then `status` and `detail`, and to a CALL `reply`."""

    def __init__(self):
        self.seen, self.errors, self.status, self.detail, self.reply = [], [], 0, 0, b""

    def ioctl(self, descriptor, number, body):
        size, flags, status, detail = struct.unpack_from("<4I", body)
        assert (size, flags, status, detail) == (len(body), 0, 0xFFFFFFFF, 0)
        memory = {OPEN: ("<QI", 48), INT_ENABLE: ("<IQ", 28)}.get(number)
        data = b""
        if number == CALL:
            lengths, addresses = struct.unpack_from("<3I", body, 20), struct.unpack_from("<3Q", body, 32)
            assert all((length == 0) == (address == 0) for length, address in zip(lengths, addresses)), "nothing has no address"
            data = tuple(ctypes.string_at(address, length) for length, address in zip(lengths[:2], addresses))
            ctypes.memmove(addresses[2], self.reply, len(self.reply))
        elif memory:
            one, other = struct.unpack_from(memory[0], body, memory[1])
            address, length = (one, other) if number == OPEN else (other, one)
            data = ctypes.string_at(address, length)
        self.seen.append((number, bytes(body), data))
        if number == INT_WAIT and self.errors:
            struct.pack_into("<Q", body, 16, 7)  # what is left of the time
        if self.errors:
            raise OSError(self.errors.pop(), "of the kernel")
        struct.pack_into("<2I", body, 8, self.status, self.detail)
        if number == INT_ENABLE:
            struct.pack_into("<2IQ", body, 40, 2, 1, 1)
        if number == INT_WAIT:
            struct.pack_into("<2I2Q", body, 32, 0, 3, 4, 1)
        return 0


class Ioctl(unittest.TestCase):
    def setUp(self):
        self.kernel = Kernel()
        real = linux.fcntl.ioctl
        self.addCleanup(setattr, linux.fcntl, "ioctl", real)
        linux.fcntl.ioctl = self.kernel.ioctl
        node = linux.LinuxNode("/dev/null")
        self.addCleanup(node.close)
        opened = _negotiate(node, Echo._kp_interface, b"open data", "here")
        self.echo = Echo(node, opened._replace(message_count=5))

    def test_a_node_of_somebody_elses_is_no_device_of_kp(self):
        for number, text in (
            (errno.ENOTTY, "/dev/null: no device of kp: UnknownRequest: No such request"),
            (errno.ENOMEM, "/dev/null: NoMemory: "),
        ):
            self.kernel.errors = [number]
            node = linux.LinuxNode("/dev/null")
            self.addCleanup(node.close)
            with self.assertRaises(KpError) as raised:
                _negotiate(node, Echo._kp_interface, b"", "/dev/null")
            self.assertIn(text, str(raised.exception))

    def test_data_is_where_the_addresses_say(self):
        number, _, data = self.kernel.seen[0]
        self.assertEqual((number, data), (OPEN, b"open data"))
        self.kernel.detail, self.kernel.reply = 2, b"HI"
        self.assertEqual(self.echo.repeat(Style.LOUD, Trim.END, b"hi", room=9), b"HI")
        number, body, data = self.kernel.seen[-1]
        self.assertEqual((number, data), (CALL, (struct.pack("<2I", 1, 2), b"hi")))
        self.assertEqual(struct.unpack_from("<4I", body, 16), (3, 8, 2, 9))
        self.kernel.detail, self.kernel.reply = 0, b""
        self.echo.nap(7)
        self.assertEqual(self.kernel.seen[-1][2], (struct.pack("<I", 7), b""))
        irq = self.echo.interrupts(data=b"of the plugin")
        self.assertEqual(self.kernel.seen[-1][2], b"of the plugin")
        irq.disable()

    def test_more_reply_than_there_is_room_for_is_protocol(self):
        self.kernel.detail, self.kernel.reply = 10, b"H"
        with self.assertRaises(KpError) as raised:
            self.echo.hear(room=9)
        self.assertEqual(raised.exception.status, Status.PROTOCOL)

    def test_a_driver_that_left_no_answer_is_seen(self):
        self.kernel.status = 0xFFFFFFFF
        with self.assertRaises(KpError) as raised:
            self.echo.nap(0)
        self.assertEqual(raised.exception.status, Status.NO_REPLY)

    def test_what_ioctl_fails_with_is_the_transports_status(self):
        for number, status in (
            (errno.ENOTTY, Status.UNKNOWN_REQUEST),
            (errno.EFAULT, Status.FAULT),
            (errno.EACCES, Status.DENIED),
            (errno.EINTR, Status.INTERRUPTED),
            (errno.ENOMEM, Status.NO_MEMORY),
            (errno.ENXIO, Status.WRONG_CONTEXT),
            (errno.ENODEV, Status.DEVICE_GONE),
            (errno.EBADF, Status.NO_REPLY),
        ):
            self.kernel.errors = [number]
            with self.assertRaises(KpError) as raised:
                self.echo.nap(0)
            self.assertEqual(raised.exception.status, status)

    def test_a_wait_that_a_signal_has_ended_goes_on_with_what_is_left_of_its_time(self):
        with self.echo.interrupts() as irq:
            self.kernel.errors = [errno.EINTR]
            self.assertEqual(irq.wait(1.0), (0, 3, 4, 1))
            waits = [struct.unpack_from("<Q", body, 16)[0] for number, body, _ in self.kernel.seen if number == INT_WAIT]
            self.assertEqual(waits, [10**9, 7])

    def test_an_error_of_a_signals_own_ends_the_wait(self):
        with self.echo.interrupts() as irq:
            real = self.kernel.ioctl

            def pressed(descriptor, number, body):
                if number == INT_WAIT:
                    raise KeyboardInterrupt
                return real(descriptor, number, body)

            linux.fcntl.ioctl = pressed
            with self.assertRaises(KeyboardInterrupt):
                irq.wait()

    def test_closing_says_so_once_and_gives_the_descriptor_back(self):
        descriptor = self.echo._kp_node.fileno()
        self.echo.close()
        self.echo.close()
        self.assertEqual([number for number, _, _ in self.kernel.seen].count(CLOSE), 1)
        with self.assertRaises(OSError):
            linux.os.fstat(descriptor)


if __name__ == "__main__":
    unittest.main()
