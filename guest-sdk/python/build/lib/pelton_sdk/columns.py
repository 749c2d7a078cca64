"""Columns as Python values: what a field of a source or a public row can be.

==================================  =============================================================================
Postgres                            Python
==================================  =============================================================================
``boolean``                         ``bool``
``smallint``, ``integer``           :data:`SmallInt`, :data:`Integer`
``bigint``                          ``int`` (a source row's takes the narrower ones too)
``real``, ``double precision``      :data:`Real`, ``float`` (likewise)
``bytea``                           ``bytes``
``text``, enums and all else        ``str``: Postgres's own text
``numeric``, ``date``, ``uuid``, …  the types of :mod:`pelton_sdk.text`: the same text, read on demand
an enum                             an ``enum.Enum`` whose values are the labels
may be NULL                         ``T | None``
may be large                        ``Toasted[T]``
==================================  =============================================================================
"""

import enum
import struct
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, Union

from .kind import NATIVE, is_text
from .text import Text

T = TypeVar("T")


class Unchanged(enum.Enum):
    """The type of :data:`unchanged`."""

    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return "unchanged"

    def __bool__(self) -> Literal[False]:
        # `note or "none"` must not take it for a value.
        return False


#: A TOASTed value that an update left alone: neither NULL nor known. In a public row it leaves the destination's column
#: as it is. Compare with ``is``.
unchanged: Final = Unchanged.UNCHANGED

#: A column that Postgres may have moved out of line: an update that leaves such a value alone does not send it, and the
#: field is ``unchanged`` then. (A table with ``REPLICA IDENTITY FULL`` sends the old value along, and it is filled in
#: from there.) Nullable columns are ``Toasted[T | None]``.
Toasted: TypeAlias = Union[T, Unchanged]


class _KeyMark:
    pass


#: A field of the primary key (of the replica identity), or of a public schema's key.
Key: TypeAlias = Annotated[T, _KeyMark()]


@dataclass(frozen=True)
class Column:
    """What a field's column is, where it is not what its name and type say: ``Annotated[str, Column(name="class")]``."""

    #: The column's name.
    name: str | None = None
    #: Its type in a public schema, by Postgres's name, such as ``varchar`` or ``integer[]``.
    kind: str | None = None


@dataclass(frozen=True)
class _Native:
    """An ``int`` or ``float`` of a width of its own."""

    kind: str


#: ``smallint``.
SmallInt: TypeAlias = Annotated[int, _Native("smallint")]
#: ``integer``.
Integer: TypeAlias = Annotated[int, _Native("integer")]
#: ``bigint``, as a plain ``int`` is.
BigInt: TypeAlias = int
#: ``real``: a float of 32 bits.
Real: TypeAlias = Annotated[float, _Native("real")]
#: ``double precision``, as a plain ``float`` is.
DoublePrecision: TypeAlias = float

#: Of each native kind: what a column may be to be read into it, and that in words.
_READS: Final = {
    "boolean": (("boolean",), "boolean"),
    "smallint": (("smallint",), "smallint"),
    "integer": (("smallint", "integer"), "integer or smallint"),
    "bigint": (("smallint", "integer", "bigint"), "bigint, integer or smallint"),
    "real": (("real",), "real"),
    "double precision": (("real", "double precision"), "double precision or real"),
    "bytea": (("bytea",), "bytea"),
}

_PLAIN: Final = {bool: "boolean", int: "bigint", float: "double precision", bytes: "bytea", str: "text"}


@dataclass(slots=True)
class Field:
    """One field of a row type, and the column that it is."""

    #: The field's name.
    name: str
    #: The column's.
    column: str
    key: bool
    #: What the field itself is as a column of a public schema.
    kind: str
    nullable: bool
    toasted: bool
    #: ``bool``, ``int``, ``float``, ``bytes``, ``str``, a type of :mod:`pelton_sdk.text` or an ``Enum``.
    type: type
    #: What its values are: ``boolean``, …, or ``text``. Differs from ``kind`` where :class:`Column` says another one.
    native: str

    @property
    def expected(self) -> str:
        """What the column may be, in words, for messages."""
        if self.native in _READS:
            return _READS[self.native][1]
        if issubclass(self.type, Text):
            return self.type.expected
        if issubclass(self.type, enum.Enum):
            return "an enum of " + ", ".join(str(case.value) for case in self.type)
        return "a column that travels as text (not a boolean, integer, float or bytea)"

    def accepts(self, kind: str) -> bool:
        """Returns true when columns of ``kind`` can be read into the field."""
        if self.native in _READS:
            return kind in _READS[self.native][0]
        if issubclass(self.type, Text):
            return self.type.accepts(kind)
        return is_text(kind)


def fields(cls: type, localns: dict[str, Any], what: str) -> list[Field]:
    """Reads the annotations of a row type; ``what`` is the decorator, for messages."""
    hints = typing.get_type_hints(cls, vars(sys.modules[cls.__module__]), localns, include_extras=True)
    if not hints:
        raise TypeError(f"@{what} takes a class with annotated fields, and {cls.__name__} has none")
    read = [_field(cls, name, hint) for name, hint in hints.items()]
    for i, field in enumerate(read):
        if any(other.column == field.column for other in read[:i]):
            raise TypeError(f"two fields of {cls.__name__} are the column `{field.column}`")
    return read


def _unwrap(hint: Any) -> Iterator[Any]:
    """Yields a type's parts: the marks of every ``Annotated``, the cases of every union, and what is left."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        inner, *marks = typing.get_args(hint)
        yield from marks
        yield from _unwrap(inner)
    elif origin in (Union, types.UnionType):
        for case in typing.get_args(hint):
            yield from _unwrap(case)
    else:
        yield hint


def _field(cls: type, name: str, hint: Any) -> Field:
    key = nullable = toasted = False
    column, kind, native, found = name, None, None, []
    for part in _unwrap(hint):
        if isinstance(part, _KeyMark):
            key = True
        elif isinstance(part, Column):
            column, kind = part.name or column, part.kind or kind
        elif isinstance(part, _Native):
            native = part.kind
        elif part is type(None):
            nullable = True
        elif part is Unchanged:
            toasted = True
        else:
            found.append(part)
    if len(found) != 1 or not isinstance(found[0], type):
        shown = " | ".join(getattr(part, "__name__", str(part)) for part in found) or "nothing else"
        raise TypeError(f"field `{name}` of {cls.__name__} must be of one type, besides None and Toasted, and is {shown}")
    (type_,) = found
    if key and (nullable or toasted):
        raise TypeError(f"field `{name}` of {cls.__name__} is a Key, so it is neither None nor Toasted")
    if issubclass(type_, enum.Enum):
        if not all(isinstance(case.value, str) for case in type_):
            raise TypeError(f"the labels of {type_.__name__} must be texts, as in `RED = \"red\"`")
        native, own = "text", "enum"
    elif issubclass(type_, Text):
        native, own = "text", type_.kind
    elif type_ in _PLAIN:
        native = own = native or _PLAIN[type_]
    else:
        raise TypeError(
            f"field `{name}` of {cls.__name__} is of the type {type_.__name__}, which no column is read into; there are "
            "bool, int, SmallInt, Integer, float, Real, bytes, str, enums of labels, and the types of pelton_sdk.text"
        )
    if kind is not None and (kind in NATIVE or native in NATIVE) and kind != native:
        raise TypeError(f"field `{name}` of {cls.__name__} holds a {own}, which does not travel as {kind} does")
    return Field(name, column, key, kind or own, nullable, toasted, type_, native)


_FLOAT32: Final = struct.Struct("<f")


def float32(value: float) -> float:
    """Returns the nearest number that a ``real`` can hold, infinite beyond the largest."""
    try:
        return float(_FLOAT32.unpack(_FLOAT32.pack(value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
