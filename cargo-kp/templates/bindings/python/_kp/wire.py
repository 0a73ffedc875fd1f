"""Values and their bytes: what the messages' types are made of."""

from __future__ import annotations

import enum
import operator
import struct
from typing import Any, ClassVar, List, NamedTuple, Optional, Sequence, Tuple, Type, TypeVar, Union

#: What a message takes as bytes.
BytesLike = Union[bytes, bytearray, memoryview]

_S = TypeVar("_S", bound="Struct")


class WireType:
    """A type of the wire. `pack` refuses what is no value of it: TypeError, ValueError. `unpack` refuses bytes that are none: ValueError."""

    size: int

    def pack(self, value: Any, what: str) -> bytes:
        raise NotImplementedError

    def unpack(self, data: bytes, at: int) -> Any:
        raise NotImplementedError

    def pack_items(self, values: Sequence[Any], what: str) -> bytes:
        """Values one behind the other."""
        return b"".join(self.pack(value, f"{what}[{index}]") for index, value in enumerate(values))

    def unpack_items(self, data: bytes, at: int, count: int) -> List[Any]:
        return [self.unpack(data, at + index * self.size) for index in range(count)]


class _Unit(WireType):
    size = 0

    def pack(self, value: Any, what: str) -> bytes:
        if value is not None:
            raise TypeError(f"{what} is None, not {type(value).__name__}")
        return b""

    def unpack(self, data: bytes, at: int) -> None:
        return None


class _Bool(WireType):
    size = 1

    def pack(self, value: Any, what: str) -> bytes:
        if not isinstance(value, bool):
            raise TypeError(f"{what} is a bool, not {type(value).__name__}")
        return b"\1" if value else b"\0"

    def unpack(self, data: bytes, at: int) -> bool:
        if data[at] > 1:
            raise ValueError(f"{data[at]} is no bool")
        return data[at] == 1


class _Integer(WireType):
    def __init__(self, size: int, signed: bool) -> None:
        self.size = size
        self._signed = signed
        bits = 8 * size
        self._low, self._high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        letter = {1: "b", 2: "h", 4: "i", 8: "q"}[size]
        self._letter = letter if signed else letter.upper()

    def pack(self, value: Any, what: str) -> bytes:
        number = _index(value, what)
        if not self._low <= number <= self._high:
            raise ValueError(f"{what} is from {self._low} to {self._high}, not {number}")
        return number.to_bytes(self.size, "little", signed=self._signed)

    def unpack(self, data: bytes, at: int) -> int:
        return int.from_bytes(data[at : at + self.size], "little", signed=self._signed)

    def pack_items(self, values: Sequence[Any], what: str) -> bytes:
        try:
            return struct.pack(f"<{len(values)}{self._letter}", *values)
        except struct.error:
            return super().pack_items(values, what)  # which says what is wrong with which

    def unpack_items(self, data: bytes, at: int, count: int) -> List[Any]:
        return list(struct.unpack_from(f"<{count}{self._letter}", data, at))


UNIT, BOOL = _Unit(), _Bool()
U8, U16, U32, U64 = (_Integer(size, False) for size in (1, 2, 4, 8))
I8, I16, I32, I64 = (_Integer(size, True) for size in (1, 2, 4, 8))


class ArrayType(WireType):
    """So many of one type."""

    def __init__(self, element: WireType, length: int) -> None:
        self.size = element.size * length
        self._element, self._length = element, length

    def pack(self, value: Any, what: str) -> bytes:
        values = as_items(value, what)
        if len(values) != self._length:
            raise ValueError(f"{what} has {self._length} elements, not {len(values)}")
        return self._element.pack_items(values, what)

    def unpack(self, data: bytes, at: int) -> Tuple[Any, ...]:
        return tuple(self._element.unpack_items(data, at, self._length))


class BytesType(WireType):
    """So many bytes."""

    def __init__(self, length: int) -> None:
        self.size = length

    def pack(self, value: Any, what: str) -> bytes:
        data = as_bytes(value, what)
        if len(data) != self.size:
            raise ValueError(f"{what} has {self.size} bytes, not {len(data)}")
        return data

    def unpack(self, data: bytes, at: int) -> bytes:
        return data[at : at + self.size]


class EnumType(WireType):
    """One of several named values."""

    def __init__(self, of: Type[enum.IntEnum], size: int) -> None:
        self.size = size
        self._of = of

    def pack(self, value: Any, what: str) -> bytes:
        number = _index(_no_other(value, self._of, what), what)
        if number not in self._of._value2member_map_:
            raise ValueError(f"{what}: {number} is no {self._of.__name__}")
        return number.to_bytes(self.size, "little")

    def unpack(self, data: bytes, at: int) -> enum.IntEnum:
        return self._of(int.from_bytes(data[at : at + self.size], "little"))


class FlagsType(WireType):
    """Any of several named bits."""

    def __init__(self, of: Type[enum.IntFlag], size: int, mask: int) -> None:
        self.size = size
        self._of, self._mask = of, mask

    def pack(self, value: Any, what: str) -> bytes:
        number = _index(_no_other(value, self._of, what), what)
        if number < 0 and isinstance(value, self._of):
            number &= self._mask  # ~FLAG, before Python 3.11
        if number < 0 or number & ~self._mask:
            raise ValueError(f"{what}: {number:#x} has a bit that {self._of.__name__} does not have")
        return number.to_bytes(self.size, "little")

    def unpack(self, data: bytes, at: int) -> enum.IntFlag:
        number = int.from_bytes(data[at : at + self.size], "little")
        if number & ~self._mask:
            raise ValueError(f"{number:#x} has a bit that {self._of.__name__} does not have")
        return self._of(number)


class Struct:
    """A struct of the wire: a value with the fields that its class names."""

    _kp_type: ClassVar[StructType]
    #: Bytes.
    SIZE: ClassVar[int]

    def pack(self) -> bytes:
        """Its bytes. TypeError or ValueError: a field has no value of its type."""
        return self._kp_type.pack(self, type(self).__name__)

    @classmethod
    def unpack(cls: Type[_S], data: BytesLike) -> _S:
        """The struct of these bytes. ValueError: they are none."""
        data = as_bytes(data, cls.__name__)
        if len(data) != cls.SIZE:
            raise ValueError(f"{cls.__name__} has {cls.SIZE} bytes, not {len(data)}")
        value = cls._kp_type.unpack(data, 0)
        assert isinstance(value, cls)
        return value


class StructType(WireType):
    """Fields, each at an offset of its own."""

    def __init__(self, of: Type[Struct], size: int, *fields: Tuple[str, int, WireType]) -> None:
        self.size = size
        self._of, self._fields = of, fields
        of._kp_type = self
        of.SIZE = size

    def pack(self, value: Any, what: str) -> bytes:
        if not isinstance(value, self._of):
            raise TypeError(f"{what} is a {self._of.__name__}, not {type(value).__name__}")
        data = bytearray(self.size)
        for name, offset, kind in self._fields:
            data[offset : offset + kind.size] = kind.pack(getattr(value, name), f"{what}.{name}")
        return bytes(data)

    def unpack(self, data: bytes, at: int) -> Struct:
        return self._of(*(kind.unpack(data, at + offset) for _, offset, kind in self._fields))


class Message(NamedTuple):
    """What a message is made of."""

    name: str
    #: Its fixed arguments, back to back.
    args: Tuple[Tuple[str, WireType], ...]
    #: Its data: the name, and what the elements are.
    data: Optional[Tuple[str, WireType]]
    #: Its reply; of a list, what the elements are.
    reply: WireType
    is_list: bool

    def pack_args(self, values: Tuple[Any, ...]) -> bytes:
        return b"".join(kind.pack(value, f"{self.name}: {name}") for (name, kind), value in zip(self.args, values))

    def pack_data(self, values: Any) -> bytes:
        if self.data is None:
            return b""
        name, element = self.data
        what = f"{self.name}: {name}"
        if element is U8:
            return as_bytes(values, what)
        return element.pack_items(as_items(values, what), what)

    def unpack_reply(self, reply: bytes) -> Any:
        """The reply's value. ValueError: it is none."""
        size = self.reply.size
        if not self.is_list:
            if len(reply) != size:
                raise ValueError(f"{len(reply)} bytes of reply, and {size} were due")
            return self.reply.unpack(reply, 0)
        if self.reply is U8:
            return reply
        if len(reply) % size:
            raise ValueError(f"{len(reply)} bytes of reply, and an element has {size}")
        return self.reply.unpack_items(reply, 0, len(reply) // size)


def as_bytes(value: Any, what: str) -> bytes:
    """The bytes of what has some; a text has none before it is encoded."""
    try:
        return bytes(memoryview(value))
    except TypeError:
        raise TypeError(f"{what} is bytes, not {type(value).__name__}") from None


def as_items(value: Any, what: str) -> Sequence[Any]:
    """The elements of a sequence."""
    if not isinstance(value, (str, dict, set, frozenset)):
        try:
            return tuple(value)
        except TypeError:
            pass
    raise TypeError(f"{what} is a sequence, not {type(value).__name__}")


def _index(value: Any, what: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is an integer, not {type(value).__name__}") from None


def _no_other(value: Any, of: Type[enum.IntEnum] | Type[enum.IntFlag], what: str) -> Any:
    """A number or a value of the class; a value of another one is a mistake, whatever its number."""
    if isinstance(value, enum.Enum) and not isinstance(value, of):
        raise TypeError(f"{what} is a {of.__name__}, not a {type(value).__name__}")
    return value
