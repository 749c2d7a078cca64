"""Public rows: what a transform publishes."""

import enum
import sys
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

from .columns import Field, Unchanged, fields
from .text import Text

P = TypeVar("P")

#: What stands for ``unchanged`` in the payload.
UNCHANGED = [0]

_RANGES = {"smallint": 1 << 15, "integer": 1 << 31, "bigint": 1 << 63}


class PublicSchema:
    """What an owner exposes: a name, a version, columns and a key."""

    def __init__(self, row: type, name: str, version: tuple[int, int], columns: list[Field]) -> None:
        self.row = row
        self.name = name
        self.major, self.minor = version
        #: No column is part of a key: the schema is append-only.
        self.fields = columns
        self.keys = [field for field in columns if field.key]
        #: Returns a row's key: the field marked ``Key[…]``, a tuple of them if there are several.
        self.key: Callable[[Any], Any] = attrgetter(*(k.name for k in self.keys)) if self.keys else lambda _: ()
        #: Returns a row's columns as the payload has them.
        self.values = self._generate()

    def key_values(self, key: Any) -> list[Any]:
        """Returns a key's columns as the payload has them."""
        parts = (key,) if len(self.keys) == 1 else key
        if not isinstance(parts, tuple) or len(parts) != len(self.keys):
            names = ", ".join(field.column for field in self.keys)
            raise TypeError(f"the key of public schema `{self.name}` is a tuple of {names}")
        return [self._value(field, part) for field, part in zip(self.keys, parts)]

    def deleted(self, key: Any) -> list[Any]:
        """Returns all columns, those outside of the key as unchanged."""
        parts = iter(self.key_values(key))
        return [next(parts) if field.key else UNCHANGED for field in self.fields]

    def _generate(self) -> Callable[[Any], list[Any]]:
        """Makes the function that takes a row apart. What it does not find as expected, `_slowly` looks at."""
        names: dict[str, Any] = {"slowly": self._slowly, "Unchanged": Unchanged, "UNCHANGED": UNCHANGED}
        loads, tests, values = [], [], []
        for i, field in enumerate(self.fields):
            names[f"t{i}"] = field.type
            test, value = _fits(field, f"v{i}", f"t{i}")
            if field.nullable:
                test = f"({test} or v{i} is None)"
                value = value if value == f"v{i}" else f"(None if v{i} is None else {value})"
            if field.toasted:
                test = f"({test} or v{i}.__class__ is Unchanged)"
                value = f"(UNCHANGED if v{i}.__class__ is Unchanged else {value})"
            loads.append(f"    v{i} = row.{field.name}")
            tests.append(test)
            values.append(value)
        lines = [
            "def values(row):",
            *loads,
            f"    if {' and '.join(tests)}:",
            f"        return [{', '.join(values)}]",
            "    return slowly(row)",
        ]
        exec(compile("\n".join(lines), f"<writer of {self.name}>", "exec"), names)
        made: Callable[[Any], list[Any]] = names["values"]
        return made

    def _slowly(self, row: Any) -> list[Any]:
        return [self._value(field, getattr(row, field.name)) for field in self.fields]

    def _value(self, field: Field, value: Any) -> Any:
        """Returns one value as the payload has it; errors name the column, never the value."""
        if value is None and field.nullable:
            return None
        if value is None or isinstance(value, Unchanged):
            if value is not None and field.toasted:
                return UNCHANGED
            what, how = ("None", "… | None") if value is None else ("unchanged", "Toasted[…]")
            raise TypeError(f"column `{field.column}` of public schema `{self.name}` is {what}; make the field {how} if that may be")
        match field.native:
            case "boolean" if isinstance(value, bool):
                return value
            case "smallint" | "integer" | "bigint" if isinstance(value, int) and not isinstance(value, bool):
                if -_RANGES[field.native] <= value < _RANGES[field.native]:
                    return int(value)
                raise ValueError(f"column `{field.column}` of public schema `{self.name}` is a number that no {field.native} holds")
            case "real" | "double precision" if isinstance(value, (int, float)) and not isinstance(value, bool):
                return _float(float(value))
            case "bytea" if isinstance(value, (bytes, bytearray, memoryview)):
                return "\\x" + value.hex()
            case "text" if isinstance(value, field.type):
                if isinstance(value, Text):
                    return value.text
                return value.value if isinstance(value, enum.Enum) and field.type is not str else str(value)
        raise TypeError(
            f"column `{field.column}` of public schema `{self.name}` takes {field.type.__name__}, "
            f"and was given {type(value).__name__}"
        )


def _float(value: float) -> float | str:
    """JSON has no numbers for what is not finite."""
    if value - value == 0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _fits(field: Field, value: str, type_: str) -> tuple[str, str]:
    """Writes what is true of an ordinary value, and how it stands in the payload."""
    is_type = f"{value}.__class__ is {type_}"
    match field.native:
        case "smallint" | "integer" | "bigint":
            limit = _RANGES[field.native]
            return f"({is_type} and {-limit} <= {value} < {limit})", value
        case "real" | "double precision":
            return f"({is_type} and {value} - {value} == 0)", value
        case "bytea":
            return is_type, f"'\\\\x' + {value}.hex()"
        case "text" if issubclass(field.type, Text):
            return is_type, f"{value}.text"
        case "text" if field.type is not str:
            return is_type, f"{value}._value_"
    return is_type, value


@dataclass_transform()
def public(name: str, version: str = "1.0") -> Callable[[type[P]], type[P]]:
    """Makes a class the rows of a public schema: ``@public("orders", "1.0")``.

    A row without a ``Key[…]`` is append-only: its public schema takes inserts and truncates.
    """
    if not isinstance(name, str) or not name:
        raise TypeError('name the public schema: @public("orders", "1.0")')
    major, _, minor = version.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise TypeError('write major.minor, such as "1.0"')
    localns = sys._getframe(1).f_locals

    def decorate(cls: type[P]) -> type[P]:
        made = dataclass(slots=True)(cls)
        numbers = int(major), int(minor)
        made.__pelton_public__ = PublicSchema(made, name, numbers, fields(made, localns, "public"))  # type: ignore[attr-defined]
        return made

    return decorate


def schema_of(row: object) -> PublicSchema:
    """Returns what ``@public`` knows of a row type."""
    schema = getattr(row, "__pelton_public__", None)
    if not isinstance(schema, PublicSchema):
        raise TypeError(f"{getattr(row, '__name__', row)} is no row of a public schema: mark it with @public(…)")
    return schema
