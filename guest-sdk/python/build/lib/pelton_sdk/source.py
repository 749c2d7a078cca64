"""Source rows: how the columns of a table become the fields of a class.

The host sends the subscribed columns, and always the replica identity, in catalog order, and that order changes with
the table. So columns are matched by name, once per relation (:class:`Plan`), and a reader is generated that unpacks a
row of exactly that relation.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

from .change import Delete, Insert, Old, Truncate, Update
from .columns import Field, fields, float32, unchanged
from .error import Fatal, Reject
from .model import Identity, Op, Relation
from .text import Text

R = TypeVar("R")

#: A row as the payload has it.
Values = list[Any]


def malformed() -> Fatal:
    """The error for a batch that is not what the contract says."""
    return Fatal("the host's batch ends too early or is not what the contract says: host and SDK do not fit together")


class Table:
    """A source table as a class describes it."""

    def __init__(self, row: type, schema: str, name: str, columns: list[Field], ops: Sequence[Op]) -> None:
        self.row = row
        self.schema = schema
        self.name = name
        self.fields = columns
        #: Empty: all operations.
        self.ops = list(ops)
        self.keys = [field for field in columns if field.key]
        #: Returns a row's key: the field marked ``Key[…]``, a tuple of them if there are several.
        self.key: Callable[[Any], Any] = attrgetter(*(k.name for k in self.keys)) if self.keys else lambda _: ()

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass_transform()
def source(
    table: str | None = None, *, schema: str | None = None, ops: Sequence[Op] = (), message: str | None = None
) -> Callable[[type[R]], type[R]]:
    """Makes a class the rows of a table: ``@source("public.orders")``.

    Only the columns that it names are subscribed; they are found by name, whatever their order in the table. With
    ``schema`` the table's name may hold dots; ``ops`` subscribes to some operations only. A logical message
    (``pg_logical_emit_message``) is an insert of ``@source(message="prefix")`` with the columns ``transactional: bool``
    and ``content: bytes``.
    """
    if (table is None) == (message is None):
        raise TypeError('say which table or message its rows come from: @source("public.orders") or @source(message="prefix")')
    if message is not None:
        schema, name = "pg_logical_message", message
    elif schema is None and "." in table:  # type: ignore[operator]
        schema, _, name = table.partition(".")  # type: ignore[union-attr]
    else:
        schema, name = schema or "public", table  # type: ignore[assignment]
    if not schema or not name:
        raise TypeError("write `schema.table`, without quotes around the names")
    localns = sys._getframe(1).f_locals

    def decorate(cls: type[R]) -> type[R]:
        made = dataclass(slots=True)(cls)
        made.__pelton_source__ = Table(made, schema, name, fields(made, localns, "source"), ops)  # type: ignore[attr-defined]
        return made

    return decorate


def table_of(row: object) -> Table:
    """Returns what ``@source`` knows of a row type."""
    table = getattr(row, "__pelton_source__", None)
    if not isinstance(table, Table):
        raise TypeError(f"{getattr(row, '__name__', row)} is no row of a source table: mark it with @source(…)")
    return table


class Plan:
    """Where the columns of a relation go.

    Raises :class:`Fatal` for a column that is missing, of a kind that its field can't take, or a key that is not part of
    the replica identity, so that updates and deletes would come without it.
    """

    def __init__(self, table: Table, relation: Relation) -> None:
        self.table = table
        self.columns = relation.columns
        self.full = relation.identity is Identity.FULL
        by_name = {column.name: column for column in relation.columns}
        sees_old = not table.ops or Op.UPDATE in table.ops or Op.DELETE in table.ops
        for field in table.fields:
            column = by_name.get(field.column)
            if column is None:
                raise Fatal(
                    f"table {table} has no column `{field.column}`, which the transform reads; was it renamed or dropped?"
                )
            if not field.accepts(column.kind):
                raise Fatal(
                    f"column `{field.column}` of table {table} is {column.kind}; the transform expects {field.expected}"
                )
            if field.key and sees_old and not column.key and not self.full:
                raise Fatal(
                    f"column `{field.column}` of table {table} is a Key and not part of the replica identity, so updates "
                    "and deletes come without it; make the columns of the replica identity Keys, or "
                    f"ALTER TABLE {table} REPLICA IDENTITY FULL"
                )
        self.read = self._generate(table.fields, whole=True)
        self.read_key = self._generate(table.keys, whole=False)

    def change(self, op: int, new: Values | None, old: Values | None) -> Any:
        """Reads one change.

        Raises :class:`Reject` for a value that its field can't hold and for a delete without its old row,
        :class:`Fatal` for one of an unannounced kind.
        """
        if op == 0:
            return Insert(self.read(new))
        if op == 1:
            if old is None:
                return Update(self.read(new))
            if self.full and new is not None:
                new = [was if value.__class__ is list else value for value, was in zip(new, old)]
            return Update(self.read(new), self._old(old))
        if op == 2:
            if old is None:
                raise Reject("no-old-row", f"a delete of table {self.table} came without its old row")
            return Delete(self._old(old))
        if op == 3:
            return Truncate()
        raise Fatal(f"the host sent the unknown operation {op}")

    def _old(self, old: Values) -> Old[Any]:
        if self.full:
            row = self.read(old)
            return Old(self.table.key(row), row)
        return Old(self.read_key(old))

    def _generate(self, wanted: list[Field], whole: bool) -> Callable[[Values | None], Any]:
        """Makes the function that turns a row of the relation into the class, or into its key."""
        taken = {field.column: field for field in wanted}
        names: dict[str, Any] = {"unchanged": unchanged, "float32": float32, "misfit": self.misfit, "row_type": self.table.row}
        names["make"] = self.table.row.__new__
        unpacked, tests, stores, parts = [], [], [], {}
        for i, column in enumerate(self.columns):
            field = taken.get(column.name)
            unpacked.append(f"v{i}" if field else "_")
            if field is None:
                continue
            names[f"t{i}"] = field.type
            tests.append(_test(field, column.kind, f"v{i}"))
            value = _value(field, column.kind, f"v{i}", f"t{i}")
            stores.append(f"        row.{field.name} = {value}")
            parts[field.name] = value
        lines = [
            "def read(values):",
            "    try:",
            f"        {''.join(f'{name}, ' for name in unpacked)}= values",
            f"        if {' or '.join(tests) or 'False'}:",
            "            raise ValueError",
        ]
        if whole:
            lines += ["        row = make(row_type)", *stores]
        else:
            keys = [parts[field.name] for field in wanted]
            lines.append(f"        row = {keys[0] if len(keys) == 1 else '(' + ''.join(f'{key}, ' for key in keys) + ')'}")
        lines += ["    except (TypeError, ValueError):", "        raise misfit(values) from None"]
        if whole and hasattr(self.table.row, "__post_init__"):
            lines.append("    row.__post_init__()")
        lines.append("    return row")
        exec(compile("\n".join(lines), f"<reader of {self.table}>", "exec"), names)
        read: Callable[[Values | None], Any] = names["read"]
        return read

    def misfit(self, values: object) -> Exception:
        """Returns the error for a row that its class can't take."""
        if not isinstance(values, list):
            return malformed()
        if len(values) != len(self.columns):
            return Fatal(
                f"the host sent {len(values)} columns for table {self.table}, whose relation has {len(self.columns)}"
            )
        by_name = {field.column: field for field in self.table.fields}
        for column, value in zip(self.columns, values):
            field = by_name.get(column.name)
            error = _misfit(field, column.kind, value, self.table) if field else None
            if error is not None:
                return error
        return malformed()


def _sent_as(field: Field, kind: str) -> tuple[type, ...]:
    """What a value of the field is in the payload."""
    match field.native:
        case "boolean":
            return (bool,)
        case "smallint" | "integer" | "bigint":
            return (str,) if kind == "bigint" else (int,)
        case "real" | "double precision":
            return (float, int, str)
        case _:
            return (str,)


def _test(field: Field, kind: str, value: str) -> str:
    """Writes what is true of a value that does not fit."""
    allowed = [case.__name__ for case in _sent_as(field, kind)]
    if field.toasted:
        allowed.append("list")
    test = " and ".join(f"{value}.__class__ is not {case}" for case in allowed)
    return f"({value} is not None and {test})" if field.nullable else f"({test})"


def _value(field: Field, kind: str, value: str, type_: str) -> str:
    """Writes the field's value."""
    match field.native:
        case "bigint" if kind == "bigint":
            made = f"int({value})"
        case "real" | "double precision":
            made = f"float32(float({value}))" if kind == "real" else f"float({value})"
        case "bytea":
            made = f"bytes.fromhex({value}[2:])"
        case "text" if field.type is not str:
            # An Enum looks its label up, and raises ValueError for one that it does not have.
            made = f"{type_}({value})"
        case _:
            made = value
    if field.nullable and made is not value:
        made = f"(None if {value} is None else {made})"
    return f"(unchanged if {value}.__class__ is list else {made})" if field.toasted else made


_FOUND = {bool: "a boolean", int: "an integer", float: "a float", str: "text", list: "an unchanged value"}


def _misfit(field: Field, kind: str, value: object, table: Table) -> Exception | None:
    """Returns what is wrong with one value; it is not shown."""
    name = field.column
    if value is None:
        if field.nullable:
            return None
        return Reject("null", f"column `{name}` of table {table} is NULL; make the field `… | None` if that may be")
    if isinstance(value, list):
        if field.toasted:
            return None
        return Reject(
            "unchanged",
            f"column `{name}` of table {table} is a TOASTed value that the update left alone, so it was not sent; make "
            f"the field Toasted[…], or ALTER TABLE {table} REPLICA IDENTITY FULL",
        )
    if type(value) not in _sent_as(field, kind):
        found = _FOUND.get(type(value), "something else")
        return Fatal(f"column `{name}` of table {table} arrived as {found}; the transform expects {field.expected}")
    if not issubclass(field.type, (bool, int, float, bytes, str, Text)):
        try:
            lookup: Any = field.type
            lookup(value)
        except ValueError:
            return Reject(
                "label", f"column `{name}` of table {table} holds a label that the enum does not have; add it"
            )
    return None
