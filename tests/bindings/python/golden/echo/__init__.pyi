# The kernel plugin `echo`, as it is called. Made by `cargo kp bindings` of fingerprint 8b71926de6f25aec; do not edit.
import enum
from dataclasses import dataclass
from typing import Optional

from ._kp.errors import KpError as KpError, KpTimeout as KpTimeout, Status as Status
from ._kp.interrupts import (
    AsyncNotifications as AsyncNotifications,
    Handler as Handler,
    Interrupts as Interrupts,
    Kind as Kind,
)
from ._kp.node import Counters as Counters, Notification as Notification, Query as Query
from ._kp.session import Device
from ._kp.wire import BytesLike, Struct as Struct

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
    PLAIN = 0
    LOUD = 1
    BACKWARDS = 2

class Trim(enum.IntFlag):
    START = 1
    END = 2

@dataclass(frozen=True)
class Said(Struct):
    texts: int
    bytes: int

class Echo(Device):
    def say(self, text: BytesLike) -> int:
        """Remembers `text`; the answer is its length."""
    def hear(self, *, room: Optional[int] = None) -> bytes:
        """What was said last. OutputLength: there is no room for all of it."""
    def repeat(self, style: Style, trim: Trim, text: BytesLike, *, room: Optional[int] = None) -> bytes:
        """Gives `text` back in another style, at once."""
    def said(self) -> Said:
        """What was said so far."""
    def nap(self, ms: int) -> None:
        """Sleeps in the kernel. Closed: the session was closed meanwhile. Above a minute: PluginError 1."""
