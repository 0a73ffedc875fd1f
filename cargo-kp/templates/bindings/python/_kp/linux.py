"""A device by its node: ioctl(2)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from array import array

from .errors import KpError, Status, error
from .node import Node, answer_of_call

assert sys.platform != "win32"

# Of the statuses that fail the ioctl, who has which errno. Any other is no answer of a driver.
_STATUSES = {
    errno.ENOTTY: Status.UNKNOWN_REQUEST,
    errno.EFAULT: Status.FAULT,
    errno.EINVAL: Status.HEADER_TOO_SMALL,
    errno.EACCES: Status.DENIED,
    errno.EPERM: Status.DENIED,
    errno.EINTR: Status.INTERRUPTED,
    errno.ENOMEM: Status.NO_MEMORY,
    errno.ENXIO: Status.WRONG_CONTEXT,
    errno.ENODEV: Status.DEVICE_GONE,
}

_CALL = 2
_INT_WAIT = 5


class LinuxNode(Node):
    """A device node that is open."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        super().__init__()

    def _send(self, number: int, body: bytearray, data: bytes, data_at: int) -> None:
        memory = array("B", data)
        if data:
            struct.pack_into("<Q", body, data_at, _address(memory))
        while True:
            try:
                fcntl.ioctl(self._fd, 0xC000BF00 | number, body)
                return
            except OSError as failed:
                # After a signal the driver has left in the struct what remains of the time. What Python does for the signal has been done.
                if number == _INT_WAIT and failed.errno == errno.EINTR:
                    continue
                raise _refusal(failed) from None

    def _send_call(self, body: bytearray, args: bytes, data: bytes, room: int) -> bytes:
        reply = array("B", bytes(room))
        parts = array("B", args), array("B", data), reply
        # An address of nothing is not looked at.
        struct.pack_into("<3Q", body, 32, *(_address(part) if part else 0 for part in parts))
        try:
            fcntl.ioctl(self._fd, 0xC000BF00 | _CALL, body)
        except OSError as failed:
            raise _refusal(failed) from None
        return memoryview(reply)[: answer_of_call(body, room)].tobytes()

    def _free(self) -> None:
        os.close(self._fd)

    def _fileno(self) -> int:
        return self._fd


def _address(memory: array[int]) -> int:
    return memory.buffer_info()[0]


def _refusal(failed: OSError) -> KpError:
    return error(_STATUSES.get(failed.errno or 0, Status.NO_REPLY))
