"""Changes as the host encodes them: the columns in the relation's order, of the old row what its identity sends."""

import enum
from typing import Any

from ..columns import Field, Unchanged
from ..model import Column, Identity, Op, Relation
from ..public import UNCHANGED, _float
from ..source import Table
from ..text import Text


def relation(id: int, table: Table) -> Relation:
    """Makes the relation that a class describes."""
    columns = [Column(field.column, field.kind, field.nullable, field.key) for field in table.fields]
    return Relation(id, 1, table.schema, table.name, Identity.DEFAULT, columns)


def change(relation: Relation, table: Table, op: Op, new: object, old: object) -> list[Any]:
    """Encodes one change."""
    full = relation.identity is Identity.FULL
    return [op.value, relation.id, _row(relation, table, new, True), _row(relation, table, old, full)]


def _row(relation: Relation, table: Table, row: object, whole: bool) -> list[Any] | None:
    if row is None:
        return None
    fields = {field.column: field for field in table.fields}
    return [
        _value(fields[column.name], getattr(row, fields[column.name].name)) if whole or column.key else UNCHANGED
        for column in relation.columns
    ]


def _value(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, Unchanged):
        return UNCHANGED
    if isinstance(value, Text):
        return value.text
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float):
        return _float(value)
    return str(value) if field.kind == "bigint" else value
