"""Values of the state: MessagePack.

========================================  ===================================================================
type                                      MessagePack
========================================  ===================================================================
``bool``, ``float``, ``str``, ``bytes``   itself; a float has 64 bits
``int``, ``Int16`` … ``UInt32``           an integer in its shortest form
``UInt64``, ``Int128``                    what an integer of 64 bits can't hold: big-endian bytes
``None``                                  nil: for maps that are sets
``T | None``                              an array of none or one
``list[T]``, ``tuple[A, B, …]``           an array
a class with ``@state_value``             an array of its fields, in their order
``Decimal``, ``Date``, …                  Postgres's text
========================================  ===================================================================
"""

import struct
import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Union

from ..text import Text
from .types import Int64, Width

#: Writes a value.
Write = Callable[[Any], bytes]
#: Takes a value from a position in bytes, and returns the position behind it. Raises ValueError or IndexError for what is
#: no such value.
Read = Callable[[bytes, int], tuple[Any, int]]


def codec(hint: Any) -> tuple[Write, Read]:
    """Returns how values of a type are written and read."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        for mark in hint.__metadata__:
            if isinstance(mark, Width):
                return _integer(mark)
        return codec(arguments[0])
    if origin is list:
        return _list(*codec(arguments[0]))
    if origin is tuple and Ellipsis not in arguments:
        return _tuple([codec(part) for part in arguments])
    if origin in (Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _optional(*codec(inner))
    if hint is int:
        return codec(Int64)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if isinstance(hint, type) and issubclass(hint, Text):
        return (lambda value: write_text(value.text)), lambda data, at: _made(hint, *read_text(data, at))
    if isinstance(hint, type) and hasattr(hint, "__pelton_state_value__"):
        return _class(hint)
    raise TypeError(f"a value of the state can't be {getattr(hint, '__name__', hint)}; there are bool, integers, float, str, "
                    "bytes, None, the types of pelton_sdk.text, classes with @state_value, `T | None`, list and tuple of them")


def _made(make: Callable[[Any], Any], value: Any, at: int) -> tuple[Any, int]:
    return make(value), at


def write_int(value: int) -> bytes:
    """Writes an integer of 64 bits in its shortest form."""
    if -32 <= value <= 127:
        return _ONE_BYTE[value]
    for marker, code, low, high in _WIDTHS:
        if low <= value < high:
            return marker + struct.pack(code, value)
    raise ValueError("a value of the state is a number that has more than 64 bits")


_WIDTHS = [
    (b"\xcc", ">B", 0, 1 << 8),
    (b"\xcd", ">H", 0, 1 << 16),
    (b"\xce", ">I", 0, 1 << 32),
    (b"\xcf", ">Q", 0, 1 << 63),
    (b"\xd0", ">b", -1 << 7, 0),
    (b"\xd1", ">h", -1 << 15, 0),
    (b"\xd2", ">i", -1 << 31, 0),
    (b"\xd3", ">q", -1 << 63, 0),
]

#: The integers that are one byte; Python counts the negative ones from the end.
_ONE_BYTE: list[bytes] = [(value & 0xFF).to_bytes(1) for value in (*range(128), *range(-32, 0))]

#: By its marker, how a number follows.
_NUMBERS = {marker[0]: struct.Struct(code) for marker, code, _, _ in _WIDTHS}


def read_int(data: bytes, at: int) -> tuple[int, int]:
    """Reads an integer."""
    marker = data[at]
    if marker < 0x80:
        return marker, at + 1
    if marker >= 0xE0:
        return marker - 256, at + 1
    number = _NUMBERS.get(marker)
    if number is None or at + 1 + number.size > len(data):
        raise ValueError
    value: int = number.unpack_from(data, at + 1)[0]
    return value, at + 1 + number.size


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(data):
        raise ValueError
    return data[at:end], end


def _length(data: bytes, at: int, size: int) -> tuple[int, int]:
    taken, at = _take(data, at, size)
    return int.from_bytes(taken, "big"), at


def write_text(value: str) -> bytes:
    """Writes a text."""
    encoded = value.encode()
    size = len(encoded)
    if size < 32:
        return (0xA0 | size).to_bytes(1) + encoded
    return _sized(size, b"\xd9", b"\xda", b"\xdb") + encoded


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """Reads a text."""
    marker = data[at]
    if 0xA0 <= marker < 0xC0:
        taken, at = _take(data, at + 1, marker & 0x1F)
    elif 0xD9 <= marker <= 0xDB:
        size, at = _length(data, at + 1, 1 << (marker - 0xD9))
        taken, at = _take(data, at, size)
    else:
        raise ValueError
    return taken.decode(), at


def write_bytes(value: bytes) -> bytes:
    """Writes bytes."""
    return _sized(len(value), b"\xc4", b"\xc5", b"\xc6") + value


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Reads bytes."""
    marker = data[at]
    if not 0xC4 <= marker <= 0xC6:
        raise ValueError
    size, at = _length(data, at + 1, 1 << (marker - 0xC4))
    return _take(data, at, size)


def _sized(size: int, one: bytes, two: bytes, four: bytes) -> bytes:
    if size < 1 << 8:
        return one + size.to_bytes(1)
    if size < 1 << 16:
        return two + size.to_bytes(2)
    return four + size.to_bytes(4)


def _write_bool(value: bool) -> bytes:
    return b"\xc3" if value else b"\xc2"


def _read_bool(data: bytes, at: int) -> tuple[bool, int]:
    marker = data[at]
    if marker not in (0xC2, 0xC3):
        raise ValueError
    return marker == 0xC3, at + 1


_FLOAT = struct.Struct(">d")


def _write_float(value: float) -> bytes:
    return b"\xcb" + _FLOAT.pack(value)


def _read_float(data: bytes, at: int) -> tuple[float, int]:
    if data[at] != 0xCB:
        raise ValueError
    taken, at = _take(data, at + 1, 8)
    return _FLOAT.unpack(taken)[0], at


def _read_nil(data: bytes, at: int) -> tuple[None, int]:
    if data[at] != 0xC0:
        raise ValueError
    return None, at + 1


_PLAIN: dict[Any, tuple[Write, Read]] = {
    bool: (_write_bool, _read_bool),
    float: (_write_float, _read_float),
    str: (write_text, read_text),
    bytes: (write_bytes, read_bytes),
    None: ((lambda _: b"\xc0"), _read_nil),
    type(None): ((lambda _: b"\xc0"), _read_nil),
}


def _integer(width: Width) -> tuple[Write, Read]:
    if width.bits == 64 and width.signed:
        return write_int, read_int
    size, signed = width.bits // 8, width.signed
    low, high = (-1 << (width.bits - 1), 1 << (width.bits - 1)) if signed else (0, 1 << width.bits)
    too_large = f"a value of the state is a number that has more than {width.bits} bits"
    if width.bits < 64:

        def write(value: int) -> bytes:
            if not low <= value < high:
                raise ValueError(too_large)
            return write_int(value)

        def read(data: bytes, at: int) -> tuple[int, int]:
            value, at = read_int(data, at)
            if not low <= value < high:
                raise ValueError
            return value, at

        return write, read
    if width.bits == 128 and not signed:
        raise TypeError("a value of the state can't be UInt128; take Int128")
    head = b"\xc4" + size.to_bytes(1)

    def write_large(value: int) -> bytes:
        if not low <= value < high:
            raise ValueError(too_large)
        return head + value.to_bytes(size, "big", signed=signed)

    def read_large(data: bytes, at: int) -> tuple[int, int]:
        end = at + 2 + size
        if data[at : at + 2] != head or end > len(data):
            raise ValueError
        return int.from_bytes(data[at + 2 : end], "big", signed=signed), end

    return write_large, read_large


def head(count: int) -> bytes:
    """Writes the head of an array."""
    if count < 16:
        return (0x90 | count).to_bytes(1)
    return b"\xdc" + count.to_bytes(2) if count < 1 << 16 else b"\xdd" + count.to_bytes(4)


def _read_head(data: bytes, at: int) -> tuple[int, int]:
    marker = data[at]
    if 0x90 <= marker < 0xA0:
        return marker & 0x0F, at + 1
    if marker in (0xDC, 0xDD):
        return _length(data, at + 1, 2 if marker == 0xDC else 4)
    raise ValueError


def _optional(write: Write, read: Read) -> tuple[Write, Read]:
    def read_optional(data: bytes, at: int) -> tuple[Any, int]:
        count, at = _read_head(data, at)
        if count > 1:
            raise ValueError
        return read(data, at) if count else (None, at)

    return (lambda value: b"\x90" if value is None else b"\x91" + write(value)), read_optional


def _list(write: Write, read: Read) -> tuple[Write, Read]:
    def read_list(data: bytes, at: int) -> tuple[list[Any], int]:
        count, at = _read_head(data, at)
        items = []
        for _ in range(count):
            item, at = read(data, at)
            items.append(item)
        return items, at

    return (lambda items: head(len(items)) + b"".join([write(item) for item in items])), read_list


def _tuple(parts: list[tuple[Write, Read]]) -> tuple[Write, Read]:
    begin = head(len(parts))

    def write(value: tuple[Any, ...]) -> bytes:
        if len(value) != len(parts):
            raise TypeError(f"a value of the state is a tuple of {len(parts)}, and was given {len(value)}")
        return begin + b"".join([write(part) for (write, _), part in zip(parts, value)])

    def read(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        count, at = _read_head(data, at)
        if count != len(parts):
            raise ValueError
        taken = []
        for _, read_part in parts:
            part, at = read_part(data, at)
            taken.append(part)
        return tuple(taken), at

    return write, read


def _class(cls: type) -> tuple[Write, Read]:
    """Generates both: most of a state's work is done in them."""
    hints = typing.get_type_hints(cls, vars(sys.modules[cls.__module__]), include_extras=True)
    names: dict[str, Any] = {"make": cls, "head": head(len(hints)), "read_head": _read_head}
    writes, reads = [], []
    for i, (field, hint) in enumerate(hints.items()):
        names[f"write{i}"], names[f"read{i}"] = codec(hint)
        writes.append(f" + write{i}(value.{field})")
        reads.append(f"    v{i}, at = read{i}(data, at)")
    lines = [
        f"def write(value): return head{''.join(writes)}",
        "def read(data, at):",
        "    count, at = read_head(data, at)",
        f"    if count != {len(hints)}: raise ValueError",
        *reads,
        f"    return make({', '.join(f'v{i}' for i in range(len(hints)))}), at",
    ]
    exec(compile("\n".join(lines), f"<state of {cls.__name__}>", "exec"), names)
    return names["write"], names["read"]
