"""Values of the state that are kept as they are until the batch ends: numbers, and ``@state_value`` classes of them.

Texts, bytes and lists are not among them: what they take is known when they are encoded.
"""

import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from . import value as values
from .types import Int64, Width

#: A value of one of these types, checked, and nobody else's to change: a class is the tuple of its fields.
Packed: TypeAlias = Any


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """How values of a type are kept."""

    #: Raises as encoding it would.
    pack: Callable[[Any], Packed]
    unpack: Callable[[Packed], Any]
    write: Callable[[Packed], bytes]
    #: How many bytes it has at most.
    size: int


def flat(hint: Any) -> Flat | None:
    """Returns how values of a type are kept, ``None`` for one whose values are encoded at once."""
    write, read = values.codec(hint)

    def through_bytes(value: Any) -> Any:
        # What is unusual, a bool as a number say, becomes what it is when it is read again.
        return read(write(value), 0)[0]

    if hint is None or hint is type(None):
        return Flat(lambda _: None, lambda _: None, write, 1)
    test = _test(hint, "value")
    if test is not None:
        names: dict[str, Any] = {"through_bytes": through_bytes}
        exec(f"def pack(value): return value if {test} else through_bytes(value)", names)
        return Flat(names["pack"], lambda packed: packed, write, 18)
    if isinstance(hint, type) and hasattr(hint, "__pelton_state_value__"):
        return _class(hint)
    return None


def _test(hint: Any, value: str) -> str | None:
    """Writes what is true of an ordinary value of a type, ``None`` if that is none of these."""
    if hint in (bool, float):
        return f"{value}.__class__ is {hint.__name__}"
    if hint is int:
        hint = Int64
    if typing.get_origin(hint) is Annotated:
        for mark in hint.__metadata__:
            if isinstance(mark, Width):
                low = -1 << (mark.bits - 1) if mark.signed else 0
                return f"{value}.__class__ is int and {low} <= {value} < {low + (1 << mark.bits)}"
    return None


def _class(cls: type) -> Flat | None:
    hints = typing.get_type_hints(cls, vars(sys.modules[cls.__module__]), include_extras=True)
    tests = [_test(hint, f"v{i}") for i, hint in enumerate(hints.values())]
    if not tests or None in tests:
        return None
    names: dict[str, Any] = {"make": cls, "head": values.head(len(hints))}
    for i, hint in enumerate(hints.values()):
        names[f"write{i}"], names[f"read{i}"] = values.codec(hint)
    parts = "".join(f"v{i}, " for i in range(len(hints)))
    lines = [
        "def pack(value):",
        *(f"    v{i} = value.{field}" for i, field in enumerate(hints)),
        f"    if {' and '.join(test for test in tests if test)}: return ({parts})",
        # The fields, and not the object: to make it again may change their classes once more.
        f"    return ({''.join(f'read{i}(write{i}(v{i}), 0)[0], ' for i in range(len(hints)))})",
        "def unpack(packed): return make(*packed)",
        "def write(packed):",
        f"    {parts}= packed",
        f"    return head{''.join(f' + write{i}(v{i})' for i in range(len(hints)))}",
    ]
    exec(compile("\n".join(lines), f"<kept {cls.__name__}>", "exec"), names)
    return Flat(names["pack"], names["unpack"], names["write"], 5 + 18 * len(hints))
