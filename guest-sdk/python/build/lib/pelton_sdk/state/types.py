"""The types that keys and values of the state are made of, besides Python's own."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass(frozen=True)
class Width:
    """The size of an integer in the state."""

    bits: int
    signed: bool


#: Integers by their bits; a plain ``int`` is one of 64, as a ``bigint`` is.
Int16: TypeAlias = Annotated[int, Width(16, True)]
Int32: TypeAlias = Annotated[int, Width(32, True)]
Int64: TypeAlias = Annotated[int, Width(64, True)]
Int128: TypeAlias = Annotated[int, Width(128, True)]
UInt16: TypeAlias = Annotated[int, Width(16, False)]
UInt32: TypeAlias = Annotated[int, Width(32, False)]
UInt64: TypeAlias = Annotated[int, Width(64, False)]
UInt128: TypeAlias = Annotated[int, Width(128, False)]


@dataclass_transform()
def state_value(cls: type[T]) -> type[T]:
    """Makes a class a value of the state: an array of its fields, in their order."""
    made = dataclass(slots=True)(cls)
    made.__pelton_state_value__ = True  # type: ignore[attr-defined]
    return made
