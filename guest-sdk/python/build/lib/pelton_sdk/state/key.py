"""Keys of the state, encoded so that their bytes sort as they do: a scan is in key order.

===========================  ==============================================================================
type                         bytes
===========================  ==============================================================================
integers                     big-endian; with the sign bit flipped, negative numbers sort first
``bool``                     0 or 1
``str``, ``bytes``, texts    a zero byte becomes 0 255, the end is 0 0: it sorts before whatever may follow
``tuple[A, B, …]``           one after the other
``None``                     nothing: the state of the whole transform has this one key
===========================  ==============================================================================
"""

import typing
from collections.abc import Callable
from typing import Annotated, Any

from ..text import Text
from .types import Int64, Width

#: Writes a key.
Write = Callable[[Any], bytes]
#: Takes a key from a position in bytes, and returns the position behind it. Raises ValueError for what is no such key.
Read = Callable[[bytes, int], tuple[Any, int]]


def codec(hint: Any) -> tuple[Write, Read]:
    """Returns how keys of a type are written and read."""
    if typing.get_origin(hint) is Annotated:
        for mark in hint.__metadata__:
            if isinstance(mark, Width):
                return _integer(mark)
        return codec(typing.get_args(hint)[0])
    if typing.get_origin(hint) is tuple:
        return _tuple([codec(part) for part in typing.get_args(hint)])
    if hint is int:
        return codec(Int64)
    if hint is bool:
        return _bool, _read_bool
    if hint is str:
        return (lambda text: _terminated(text.encode())), lambda key, at: _decoded(key, at, str)
    if hint is bytes:
        return _terminated, _read_terminated
    if hint in (None, type(None)):
        return (lambda _: b""), lambda _, at: (None, at)
    if isinstance(hint, type) and issubclass(hint, Text):
        return (lambda value: _terminated(value.text.encode())), lambda key, at: _decoded(key, at, hint)
    raise TypeError(f"a key of the state can't be {getattr(hint, '__name__', hint)}; there are integers, bool, str, bytes, "
                    "the types of pelton_sdk.text, tuples of them, and None")


def _integer(width: Width) -> tuple[Write, Read]:
    size = width.bits // 8
    flip = 1 << (width.bits - 1) if width.signed else 0

    def write(value: int) -> bytes:
        try:
            return (value + flip).to_bytes(size)
        except OverflowError:
            raise ValueError(f"a key of the state is a number that has more than {width.bits} bits") from None

    def read(key: bytes, at: int) -> tuple[int, int]:
        end = at + size
        if end > len(key):
            raise ValueError
        return int.from_bytes(key[at:end], "big") - flip, end

    return write, read


def _bool(value: bool) -> bytes:
    return b"\1" if value else b"\0"


def _read_bool(key: bytes, at: int) -> tuple[bool, int]:
    if key[at : at + 1] not in (b"\0", b"\1"):
        raise ValueError
    return key[at] == 1, at + 1


def _terminated(value: bytes) -> bytes:
    return value.replace(b"\0", b"\0\xff") + b"\0\0"


def _read_terminated(key: bytes, at: int) -> tuple[bytes, int]:
    taken = bytearray()
    while True:
        zero = key.find(b"\0", at)
        if zero < 0:
            raise ValueError
        taken += key[at:zero]
        follows = key[zero + 1 : zero + 2]
        at = zero + 2
        if follows == b"\0":
            return bytes(taken), at
        if follows != b"\xff":
            raise ValueError
        taken.append(0)


def _decoded(key: bytes, at: int, make: Callable[[str], Any]) -> tuple[Any, int]:
    taken, at = _read_terminated(key, at)
    return make(taken.decode()), at


def _tuple(parts: list[tuple[Write, Read]]) -> tuple[Write, Read]:
    def write(key: tuple[Any, ...]) -> bytes:
        if len(key) != len(parts):
            raise TypeError(f"a key of the state is a tuple of {len(parts)}, and was given {len(key)}")
        return b"".join([part_write(part) for (part_write, _), part in zip(parts, key)])

    def read(key: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        taken = []
        for _, part_read in parts:
            part, at = part_read(key, at)
            taken.append(part)
        return tuple(taken), at

    return write, read
