"""A plugin in the simulator, by the socket of `cargo kp sim --listen`."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import List, Optional, Tuple

from . import sentences
from .errors import Status, error
from .node import INT_WAIT, ControlNode, control_code

assert sys.platform != "win32"

_HELLO = struct.Struct("<4sIQ")
_FRAME = struct.Struct("<4I")
_MAGIC = b"KPN1"
_NEW, _MORE, _POLL = 0, 1, 2
_MAX_BUFFER = 131072
_INT_WAIT = control_code(INT_WAIT)
#: How long the simulator may take for its first words, and for the end of a handle, in seconds.
_PATIENCE = 10.0


class SocketNode(ControlNode):
    """An open handle there. Each request has a connection to itself; those that are idle are used again."""

    def __init__(self, path: str, plugin: str) -> None:
        self._path, self._plugin = path, plugin
        self._idle: List[socket.socket] = []
        self._poll: Optional[socket.socket] = None
        # The handle lasts as long as this connection. It carries no request: one that Ctrl-C ends takes its connection with it.
        self._first, self._handle = self._connect(_NEW, 0)
        super().__init__()

    def _connect(self, kind: int, handle: int) -> Tuple[socket.socket, int]:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            try:
                connection.connect(self._path)
            except OSError as failed:
                why = sentences.NO_SOCKET.format(why=failed.strerror, plugin=self._plugin, place=self._path)
                raise OSError(failed.errno, why, self._path) from None
            connection.settimeout(_PATIENCE)
            try:
                connection.sendall(_HELLO.pack(_MAGIC, kind, handle))
                magic, status, handle = _HELLO.unpack(_receive(connection, _HELLO.size))
            except OSError:
                magic, status = b"", 0
            if magic != _MAGIC:
                raise OSError(errno.EPROTO, "no socket of `cargo kp sim`", self._path)
            connection.settimeout(None)
            if status:
                raise error(status, 0, self._path)
            return connection, handle
        except BaseException:
            connection.close()
            raise

    def _control(self, code: int, data: bytes, out: bytearray) -> int:
        if code == _INT_WAIT:
            self._drain()
        room = min(len(out), _MAX_BUFFER)  # a driver refuses a longer reply, and needs no room for it
        try:
            connection = self._idle.pop()
        except IndexError:
            try:
                connection, _ = self._connect(_MORE, self._handle)
            except OSError:
                raise error(Status.DEVICE_GONE) from None
        try:
            connection.sendall(_FRAME.pack(code, len(data), room, 0) + data)
            status, length, _, _ = _FRAME.unpack(_receive(connection, _FRAME.size))
            answer = _receive(connection, length)
        except OSError:
            connection.close()
            raise error(Status.DEVICE_GONE) from None
        except BaseException:
            connection.close()  # which cancels the request
            raise
        self._idle.append(connection)
        if status:
            raise error(status)
        if length > room:
            raise error(Status.PROTOCOL)
        out[:length] = answer
        return int(length)

    def _fileno(self) -> int:
        with self._lock:
            if self._poll is None:
                poll, _ = self._connect(_POLL, self._handle)
                poll.setblocking(False)
                self._poll = poll
            return self._poll.fileno()

    def _drain(self) -> None:
        """Takes what has been said of notifications: whoever waits now is told anew."""
        poll = self._poll
        if poll is None:
            return
        try:
            while poll.recv(4096):
                pass
        except OSError:
            pass

    def _free(self) -> None:
        # As with close(2), the session is released when this returns: then the simulator closes its end.
        self._first.settimeout(_PATIENCE)
        try:
            self._first.shutdown(socket.SHUT_WR)
            while self._first.recv(64):
                pass
        except OSError:
            pass
        self._abandon()

    def _abandon(self) -> None:
        for connection in (*self._idle, self._first, self._poll):
            if connection is not None:
                connection.close()
        self._idle.clear()


def _receive(connection: socket.socket, length: int) -> bytes:
    """So many bytes. ConnectionError: it ends before."""
    parts = []
    while length:
        part = connection.recv(min(length, 1 << 20))
        if not part:
            raise ConnectionResetError("the simulator has gone")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
