"""Calls the kernel plugin `echo`. Made by `cargo kp bindings` of interface version 1, fingerprint 8b71926de6f25aec; do not edit.

    with Echo.open("echo") as echo:
        ...

Each call is one request. Batches, direct calls and an app's buffers are not here: those are kp-user's, in Rust.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Optional

from ._kp.errors import KpError, KpTimeout, Status
from ._kp.interrupts import AsyncNotifications, Handler, Interrupts, Kind
from ._kp.node import Counters, Notification, Query
from ._kp.session import Device, Interface
from ._kp.wire import BytesLike, EnumType, FlagsType, Message, Struct, StructType, U32, U64, U8, UNIT

__all__ = [
    "AsyncNotifications",
    "Counters",
    "Echo",
    "Handler",
    "Interrupts",
    "Kind",
    "KpError",
    "KpTimeout",
    "Notification",
    "Query",
    "Said",
    "Status",
    "Struct",
    "Style",
    "Trim",
]


class Style(enum.IntEnum):
    """4 bytes on the wire."""

    PLAIN = 0
    LOUD = 1
    BACKWARDS = 2


class Trim(enum.IntFlag):
    """4 bytes on the wire."""

    START = 1
    END = 2


@dataclass(frozen=True)
class Said(Struct):
    """16 bytes on the wire."""

    texts: int
    bytes: int


_t_Style = EnumType(Style, 4)
_t_Trim = FlagsType(Trim, 4, 0x3)
_t_Said = StructType(
    Said,
    16,
    ("texts", 0, U64),
    ("bytes", 8, U64),
)


class Echo(Device):
    """One session with one device of the plugin."""

    _kp_interface = Interface(
        "echo",
        1,
        (
            0x8f71176799bd8600,
            0x5490f0eb0085f176,
            0xdeb2244f3d337ff2,
            0xdde85386d2290fce,
            0xa30a3edadcba3b35,
            0x8b71926de6f25aec,
        ),
        {
            1: Message("say", (), ("text", U8), U32, False),
            2: Message("hear", (), None, U8, True),
            3: Message("repeat", (("style", _t_Style), ("trim", _t_Trim)), ("text", U8), U8, True),
            4: Message("said", (), None, _t_Said, False),
            5: Message("nap", (("ms", U32),), None, UNIT, False),
        },
    )

    def say(self, text: BytesLike) -> int:
        """Remembers `text`; the answer is its length."""
        _reply: int = self._kp_call(1, (), text)
        return _reply

    def hear(self, *, room: Optional[int] = None) -> bytes:
        """What was said last. OutputLength: there is no room for all of it."""
        _reply: bytes = self._kp_call(2, (), None, room)
        return _reply

    def repeat(self, style: Style, trim: Trim, text: BytesLike, *, room: Optional[int] = None) -> bytes:
        """Gives `text` back in another style, at once."""
        _reply: bytes = self._kp_call(3, (style, trim), text, room)
        return _reply

    def said(self) -> Said:
        """What was said so far."""
        _reply: Said = self._kp_call(4, ())
        return _reply

    def nap(self, ms: int) -> None:
        """Sleeps in the kernel. Closed: the session was closed meanwhile. Above a minute: PluginError 1."""
        self._kp_call(5, (ms,))
