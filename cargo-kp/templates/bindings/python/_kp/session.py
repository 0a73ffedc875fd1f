"""An open plugin: who it is, and its messages."""

from __future__ import annotations

import sys
import warnings
from typing import Any, AsyncIterator, Callable, ClassVar, Dict, NamedTuple, Optional, Tuple, Type, TypeVar, Union

from .errors import KpError, Status, error
from .interrupts import AsyncNotifications, Handler, Interrupts, Kind, Vectors
from .names import open_node
from .node import ABI_MAJOR, ABI_MINOR, Node, Notification, Opened, Query
from .wire import BytesLike, Message, as_bytes

if sys.byteorder != "little":
    raise ImportError("kp's drivers run on little-endian machines, and this Python is for another")

#: Data of a call, and its reply, of which every driver takes as many bytes.
_MAX_DATA = 65536

_D = TypeVar("_D", bound="Device")


class Interface(NamedTuple):
    """What the messages are that the binding was made for."""

    name: str
    version: int
    #: The fingerprint chain at 0, 1, 2, … messages.
    chains: Tuple[int, ...]
    #: By number, those that are not retired.
    messages: Dict[int, Message]


class Device:
    """One session with one device. Made by `open`; `with` closes it at its end. Threads may share it.

    A child process of `os.fork` does not have it: there everything is WRONG_CONTEXT.
    """

    _kp_interface: ClassVar[Interface]

    def __init__(self, node: Node, opened: Opened) -> None:
        self._kp_node = node
        self._kp_opened = opened
        self._kp_max_data = 0

    @classmethod
    def open(cls: Type[_D], name: Optional[str] = None, data: BytesLike = b"") -> _D:
        """Opens `card`, the lowest instance, or `card.1`, that one; without a name, the one that is called as the interface is.

        `data` is for the plugin's own `open`. OSError: there is no such device, or it is not for this app; the text says what to do. KpError:
        the driver refuses, INTERFACE_MISMATCH for instance.
        """
        data = as_bytes(data, "data")
        node, where = open_node(cls._kp_interface.name if name is None else name)
        try:
            return cls(node, _negotiate(node, cls._kp_interface, data, where))
        except BaseException:
            node.close()
            raise

    def close(self) -> None:
        """Ends the session: waits of other threads end with CLOSED, and so do calls afterwards. Closing twice is once."""
        self._kp_node.close()

    def has(self, message: Union[int, str]) -> bool:
        """Whether a message, by its number or by the name of its method, can be called. An older driver lacks those that came later."""
        messages = self._kp_interface.messages
        if isinstance(message, str):
            numbers = [number for number, of in messages.items() if of.name == message]
            if not numbers:
                raise ValueError(f"{self._kp_interface.name} has no message {message!r}")
            message = numbers[0]
        return message in messages and message <= self._kp_opened.message_count

    @property
    def session(self) -> int:
        """Number of the session, never used again while the plugin is loaded."""
        return self._kp_opened.session

    def query(self) -> Query:
        """What the driver says of itself: its limits, its state, where its device is."""
        return self._kp_node.query(self._kp_opened.message_count)

    def interrupts(self, kinds: Kind = Kind.ANY, vectors: Vectors = 1, data: BytesLike = b"") -> Interrupts:
        """Enables the device's interrupt for this session. `vectors`: so many, or at least and at most so many. `data` is the plugin's own.

        KpError: NO_INTERRUPT if the device has none of the kind, ALREADY_ENABLED or INTERRUPT_OWNED if this or another session has it.
        """
        return Interrupts(self, kinds, vectors, data)

    def interrupts_async(
        self, kinds: Kind = Kind.ANY, vectors: Vectors = 1, data: BytesLike = b""
    ) -> AsyncNotifications:
        """Enables the interrupt, as `interrupts` does, for `async for`. It is disabled when nobody has it any more, or by `aclose`."""
        return AsyncNotifications(Interrupts(self, kinds, vectors, data))

    def on_interrupt(
        self,
        function: Callable[[Notification], object],
        kinds: Kind = Kind.ANY,
        vectors: Vectors = 1,
        data: BytesLike = b"",
    ) -> Handler:
        """Enables the interrupt, and hands each notification to a function, in a thread of its own."""
        if not callable(function):
            raise TypeError(f"{type(function).__name__} is no function")
        return Handler(Interrupts(self, kinds, vectors, data), function)

    def __enter__(self: _D) -> _D:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], raised: Optional[BaseException], trace: Any) -> None:
        self.close()

    def __del__(self) -> None:
        node = getattr(self, "_kp_node", None)
        if node is not None and not node.is_closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self)
            node.close()

    def __repr__(self) -> str:
        state = "closed" if self._kp_node.is_closed else f"session {self._kp_opened.session}"
        return f"<{type(self).__name__}: {state}>"

    def _kp_call(self, number: int, values: Tuple[Any, ...], data: Any = None, room: Optional[int] = None) -> Any:
        """Sends a message whose values have been checked, and gives back its reply's value."""
        interface = self._kp_interface
        message = interface.messages[number]
        where = f"{interface.name}.{message.name}"
        args, sent = message.pack_args(values), message.pack_data(data)
        if len(sent) > _MAX_DATA and len(sent) > self._kp_limit():
            raise ValueError(f"{message.name}: {len(sent)} bytes of data, and the driver takes {self._kp_limit()}")
        size = message.reply.size
        if not message.is_list:
            reply_len = size
        elif room is None:
            reply_len = self._kp_limit() // size * size
        else:
            if room < 0:
                raise ValueError(f"{message.name}: room is from 0, not {room}")
            reply_len = room * size
            if reply_len > _MAX_DATA and reply_len > self._kp_limit():
                raise ValueError(f"{message.name}: room for {reply_len} bytes, and a reply has {self._kp_limit()} at most")
        if number > self._kp_opened.message_count:
            raise error(Status.UNKNOWN_MESSAGE, 0, where)
        reply = self._kp_node.call(number, args, sent, reply_len, where)
        try:
            return message.unpack_reply(reply)
        except ValueError as bad:
            raise error(Status.PROTOCOL, 0, where) from bad

    def _kp_limit(self) -> int:
        """How many bytes of data, and of reply, the driver takes at most."""
        if not self._kp_max_data:
            self._kp_max_data = self.query().max_data
        return self._kp_max_data


def _negotiate(node: Node, interface: Interface, data: bytes, where: str) -> Opened:
    """OPEN; if the driver knows fewer messages, once more with as many as it knows, if the two agree up to there."""
    count = len(interface.chains) - 1
    try:
        opened = node.open(count, interface.version, interface.chains[count], data, where)
    except KpError as refused:
        if refused.status == Status.UNKNOWN_REQUEST:
            raise error(refused.status, 0, f"{where}: no device of kp") from None
        raise
    if opened.status == Status.INTERFACE_MISMATCH and opened.message_count < count:
        common = opened.message_count
        if interface.chains[common] == opened.fingerprint:
            opened = node.open(common, interface.version, opened.fingerprint, data, where)
    if opened.status == Status.INTERFACE_MISMATCH:
        where = f"{where}: {_mismatch(node, interface, opened)}"
    elif opened.status == Status.ABI_MISMATCH:
        driver = f"{opened.abi_major}.{opened.abi_minor}"
        where = f"{where}: the binding speaks ABI {ABI_MAJOR}.{ABI_MINOR}, the driver {driver}: make both with one version of kp"
    if opened.status:
        raise error(opened.status, opened.detail, where)
    return opened


def _mismatch(node: Node, interface: Interface, opened: Opened) -> str:
    """What differs, and what to do. Asks the driver for its chain, from where it begins."""
    name, again = interface.name, "make the binding anew, of the driver's interface: `cargo kp bindings --lang python`"
    if node.query(0).chain != interface.chains[0]:
        return f"the app is for the interface `{name}`, and this plugin has another: open the plugin that the app is for, or {again}"
    for number in range(1, min(opened.message_count, len(interface.chains) - 1) + 1):
        if node.query(number).chain != interface.chains[number]:
            message = interface.messages.get(number)
            which = f"message {number}" + (f", `{message.name}`" if message else "")
            return f"app and driver differ in {which} of the interface `{name}`: {again}"
    return f"the driver says that its interface `{name}` and the app's do not fit: {again}"
