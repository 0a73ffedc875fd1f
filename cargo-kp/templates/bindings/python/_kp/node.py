"""An open device: requests as kp's ABI has them, whatever carries them."""

from __future__ import annotations

import os
import struct
import threading
import weakref
from typing import Any, Callable, List, NamedTuple, Type

from .errors import KpError, Status, error

#: The ABI that is spoken: nothing of a later one is asked for.
ABI_MAJOR, ABI_MINOR = 1, 0

QUERY, OPEN, CALL, CLOSE = 0, 1, 2, 3
INT_ENABLE, INT_WAIT, INT_COUNT, INT_DISABLE = 4, 5, 6, 7

ANY_VECTOR = 0xFFFFFFFF
NO_TIMEOUT = 0xFFFFFFFFFFFFFFFF
MAX_VECTORS = 2048
U32_MAX = 0xFFFFFFFF

_HEAD = struct.Struct("<4I")
_QUERY = struct.Struct("<4I IIIIQIIQQIIIIII32sIIII")
_OPEN = struct.Struct("<4I IIQIIQQIIQ")
_CALL = struct.Struct("<4I IIIIQQQ")
_INT_ENABLE = struct.Struct("<4I IIIIQIIQ")
_INT_WAIT = struct.Struct("<4I QIIIIQQ")
_INT_COUNT = struct.Struct("<4I IIQ8Q")
_INT_DISABLE = struct.Struct("<4I Q8Q")

#: Where the address of the data stands in OPEN and INT_ENABLE.
_OPEN_DATA_AT, _INT_ENABLE_DATA_AT = 48, 32


class Query(NamedTuple):
    """What a driver says of itself."""

    chain_at: int
    #: 0: at work; 1: it sleeps or is being reset; 2: gone; 3: the plugin has panicked.
    state: int
    abi_major: int
    abi_minor: int
    features: int
    message_count: int
    interface_version: int
    chain: int
    #: PCI address, `domain << 16 | bus << 8 | device << 3 | function`; all ones for a plugin that drives no device.
    bus_address: int
    max_data: int
    max_open_data: int
    max_sessions: int
    max_calls: int
    max_waits: int
    max_args: int
    name: str
    sessions: int
    calls: int
    waits: int


class Opened(NamedTuple):
    """What OPEN has answered: Ok, or why not, with the driver's side of it."""

    status: int
    detail: int
    abi_major: int
    abi_minor: int
    message_count: int
    interface_version: int
    fingerprint: int
    session: int


class Enabled(NamedTuple):
    """What INT_ENABLE has got."""

    kind: int
    vectors: int
    generation: int


class Notification(NamedTuple):
    """Notifications that a wait has taken. Each goes to exactly one wait."""

    #: The vector that they came from.
    vector: int
    #: How many were taken; at least 1.
    got: int
    #: How many of that vector are still there.
    available: int
    #: Number of the enabling that they belong to.
    generation: int


class Counters(NamedTuple):
    """What has become of an interrupt since it was enabled. `notified = delivered + available + lost`, always."""

    #: Runs of the interrupt handler that claimed or deferred.
    received: int
    #: Runs of it that did neither.
    spurious: int
    #: Runs of it that deferred.
    deferred: int
    #: Runs of what was deferred.
    dpc_runs: int
    #: Notifications, ever.
    notified: int
    #: Notifications that waits have taken.
    delivered: int
    #: Notifications not taken yet.
    available: int
    #: Notifications that nobody will take.
    lost: int


class Node:
    """An open device. Any thread may send requests, and several at once.

    `close` ends the session, which wakes those that wait there; what carries the requests is given back when the last of them has left.
    """

    def __init__(self) -> None:
        # Reentrant: a garbage collection may run `close` in a thread that is in here.
        self._lock = threading.RLock()
        self._inside = 0
        self._closed = False
        self._freed = False
        self._forked = False
        self._wakers: List[Callable[[], None]] = []
        _nodes.add(self)

    # What carries requests.

    def _send(self, number: int, body: bytearray, data: bytes, data_at: int) -> None:
        """Sends a struct with its data; the answer stands in it. `data_at`: where the data's address goes, if it has one."""
        raise NotImplementedError

    def _send_call(self, body: bytearray, args: bytes, data: bytes, room: int) -> bytes:
        """Sends a CALL, and gives back as many bytes of reply as its answer says."""
        raise NotImplementedError

    def _free(self) -> None:
        """Gives back what carries requests. Nobody is inside."""
        raise NotImplementedError

    def _abandon(self) -> None:
        """Gives back this process's part of what carries requests, in the child of a fork."""
        self._free()

    def _fileno(self) -> int:
        """What poll(2) takes."""
        raise NotImplementedError

    # Requests.

    def query(self, chain_at: int) -> Query:
        body = _request(_QUERY, "I", chain_at)
        self._ask(QUERY, body)
        values = list(_QUERY.unpack(body)[4:])
        values.pop()  # reserved
        values[15] = values[15].rstrip(b"\0").decode("ascii", "replace")
        return Query(*values)

    def open(self, message_count: int, version: int, fingerprint: int, data: bytes, where: str) -> Opened:
        versions = (ABI_MAJOR, ABI_MINOR, 0, message_count, version, fingerprint)
        body = _request(_OPEN, "IIQIIQQI", *versions, 0, len(data))
        with self._in(OPEN, where):
            self._send(OPEN, body, data, _OPEN_DATA_AT)
        _, _, status, detail, major, minor, _, count, version, fingerprint, _, _, _, session = _OPEN.unpack(body)
        return Opened(status, detail, major, minor, count, version, fingerprint, session)

    def call(self, message: int, args: bytes, data: bytes, room: int, where: str) -> bytes:
        body = _request(_CALL, "4I", message, len(args), len(data), room)
        with self._in(CALL, where):
            reply = self._send_call(body, args, data, room)
        return reply

    def int_enable(self, kinds: int, least: int, most: int, data: bytes) -> Enabled:
        body = _request(_INT_ENABLE, "4I", kinds, least, most, len(data))
        self._ask(INT_ENABLE, body, data, _INT_ENABLE_DATA_AT)
        return Enabled(*_INT_ENABLE.unpack(body)[9:])

    def int_wait(self, timeout_ns: int, vector: int, most: int) -> Notification:
        body = _request(_INT_WAIT, "QII", timeout_ns, vector, most)
        self._ask(INT_WAIT, body)
        return Notification(*_INT_WAIT.unpack(body)[7:])

    def int_count(self, vector: int) -> Counters:
        body = _request(_INT_COUNT, "I", vector)
        self._ask(INT_COUNT, body)
        return Counters(*_INT_COUNT.unpack(body)[7:])

    def int_generation(self) -> int:
        """The number of the enabling that is counted: the device's last one."""
        body = _request(_INT_COUNT, "I", ANY_VECTOR)
        self._ask(INT_COUNT, body)
        generation: int = _INT_COUNT.unpack(body)[6]
        return generation

    def int_disable(self) -> Counters:
        body = _request(_INT_DISABLE, "")
        self._ask(INT_DISABLE, body)
        return Counters(*_INT_DISABLE.unpack(body)[5:])

    def close(self) -> None:
        """CLOSE, once. Does nothing the second time."""
        with self._lock:
            if self._closed:
                return
            # CLOSE itself is inside, so the last of the others does not free what it needs.
            self._inside += 1
            self._closed = True
        try:
            body = _request(_HEAD, "")
            self._send(CLOSE, body, b"", 0)
        except (KpError, OSError):
            pass  # a session that cannot be closed is over already
        finally:
            self._leave()
            self.wake()

    def fileno(self) -> int:
        with self._in(INT_WAIT):
            return self._fileno()

    def duplicate(self) -> int:
        """Another descriptor of the same, which its owner closes."""
        with self._in(INT_WAIT):
            return os.dup(self._fileno())

    @property
    def is_closed(self) -> bool:
        return self._closed

    def _ask(self, number: int, body: bytearray, data: bytes = b"", data_at: int = 0) -> None:
        with self._in(number):
            self._send(number, body, data, data_at)
        _, _, status, detail = _HEAD.unpack_from(body)
        if status:
            raise error(status, detail, _NAMES[number])

    # Who is inside.

    def _in(self, number: int, where: str = "") -> _Inside:
        return _Inside(self, where or _NAMES[number])

    def _enter(self, where: str) -> None:
        with self._lock:
            # In this order, also if a garbage collection closes the node between any two of the steps.
            self._inside += 1
            if self._closed:
                self._leave()
                raise error(Status.WRONG_CONTEXT if self._forked else Status.CLOSED, 0, where)

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
            is_last = self._closed and self._inside == 0 and not self._freed
            self._freed = self._freed or is_last
        if is_last:
            self._free()

    # Who is to look again, though no descriptor says so.

    def add_waker(self, waker: Callable[[], None]) -> None:
        with self._lock:
            self._wakers.append(waker)

    def remove_waker(self, waker: Callable[[], None]) -> None:
        with self._lock:
            self._wakers.remove(waker)

    def wake(self) -> None:
        with self._lock:
            wakers = list(self._wakers)
        for waker in wakers:
            waker()

    def _after_fork(self) -> None:
        """This is a child process: the session is the parent's, and so are the threads that were inside."""
        self._lock = threading.RLock()
        self._wakers = []
        self._forked = True
        was_freed, self._closed, self._freed = self._freed, True, True
        if not was_freed:
            self._abandon()


class _Inside:
    """A request under way."""

    def __init__(self, node: Node, where: str) -> None:
        self._node, self._where = node, where

    def __enter__(self) -> None:
        self._node._enter(self._where)

    def __exit__(self, kind: Type[BaseException] | None, raised: BaseException | None, trace: Any) -> None:
        self._node._leave()
        if isinstance(raised, KpError) and not raised.args[2]:
            raise error(raised.status, raised.detail, self._where) from None


class ControlNode(Node):
    """An open device whose requests go as Windows has them: data stands behind the struct, and addresses are 0."""

    def _control(self, code: int, data: bytes, out: bytearray) -> int:
        """Sends `data`; the answer stands in `out`, and is so many bytes long. KpError: the transport's own answer."""
        raise NotImplementedError

    def _send(self, number: int, body: bytearray, data: bytes, data_at: int) -> None:
        # The address is 0 from the start.
        self._control(control_code(number), bytes(body) + data, body)

    def _send_call(self, body: bytearray, args: bytes, data: bytes, room: int) -> bytes:
        sent = b"".join((body, args, bytes(-len(args) % 8), data))
        out = bytearray(_HEAD.size + room)
        out[: _HEAD.size] = body[: _HEAD.size]
        written = self._control(control_code(CALL), sent, out)
        length = answer_of_call(out, room)
        if _HEAD.size + length > written:
            raise error(Status.PROTOCOL)
        return bytes(out[_HEAD.size : _HEAD.size + length])


def answer_of_call(head: bytearray, room: int) -> int:
    """How many bytes of reply there are."""
    _, _, status, detail = _HEAD.unpack_from(head)
    if status:
        raise error(status, detail)
    if detail > room:
        raise error(Status.PROTOCOL)
    return int(detail)


def control_code(number: int) -> int:
    """CTL_CODE(0x8B50, 0x800 + number, method, access)."""
    method = 3 if number == CALL else 0
    access = {QUERY: 0, INT_COUNT: 1}.get(number, 3)
    return 0x8B50 << 16 | access << 14 | (0x800 + number) << 2 | method


def _request(layout: struct.Struct, sent: str, *values: int) -> bytearray:
    """A struct with its head and the fields that it begins with, zeros behind them. Nobody has answered yet."""
    body = bytearray(layout.size)
    struct.pack_into(f"<4I{sent}", body, 0, layout.size, 0, Status.NO_REPLY, 0, *values)
    return body


_NAMES = {
    QUERY: "QUERY",
    OPEN: "OPEN",
    CALL: "CALL",
    CLOSE: "CLOSE",
    INT_ENABLE: "INT_ENABLE",
    INT_WAIT: "INT_WAIT",
    INT_COUNT: "INT_COUNT",
    INT_DISABLE: "INT_DISABLE",
}

_nodes: weakref.WeakSet[Node] = weakref.WeakSet()


def _forget_nodes() -> None:
    for node in list(_nodes):
        node._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_nodes)


