"""What a transform published, to be looked at."""

import json
from dataclasses import dataclass, field
from typing import Any

from ..columns import unchanged
from ..error import Fatal
from ..log import Line
from ..model import Op, Rejection
from ..public import PublicSchema


@dataclass(slots=True)
class PublicRow:
    """A public row."""

    #: The index of its public schema.
    index: int
    schema: str
    op: Op
    #: The index of the change that it came from, since the last run.
    source: int
    #: By name, as they travel: texts for all that travels as Postgres's text, ``\\x…`` for bytes.
    columns: dict[str, Any]
    old_key: list[Any] | None

    def __str__(self) -> str:
        was = f" from ({', '.join(map(shown, self.old_key))})" if self.old_key is not None else ""
        columns = (
            f" {name}={shown(value)}"
            for name, value in self.columns.items()
            if not (self.op is Op.DELETE and value is unchanged)
        )
        return f"{self.op} {self.schema}{was}{''.join(columns)}"


@dataclass(slots=True)
class Output:
    """What came of a batch. Printed, it is one line a row."""

    rows: list[PublicRow]
    #: By the index of the change since the last run.
    rejected: list[Rejection] = field(default_factory=list)
    logs: list[Line] = field(default_factory=list)
    #: How often the host was asked for values of the state: once, where all was read ahead.
    state_reads: int = 0

    def __str__(self) -> str:
        return "".join(f"{row}\n" for row in self.rows)


def shown(value: Any) -> str:
    """Returns a value as the tests compare it."""
    if value is None:
        return "NULL"
    if value is unchanged:
        return "unchanged"
    return json.dumps(value, ensure_ascii=False)


def read(schemas: list[PublicSchema], payload: bytes, sources: list[int]) -> list[PublicRow]:
    """Reads a transform's output as the host does, ``sources`` being the changes of its batch."""
    return [_row(schemas, sources, *row) for row in json.loads(payload)]


def _values(values: list[Any]) -> list[Any]:
    return [unchanged if value == [0] else value for value in values]


def _row(
    schemas: list[PublicSchema], sources: list[int], index: int, op: int, source: int, values: list[Any], old: list[Any] | None
) -> PublicRow:
    schema = schemas[index]
    columns = dict(zip((field.column for field in schema.fields), _values(values)))
    for name, value in columns.items():
        if op == Op.INSERT and value is unchanged:
            raise Fatal(
                f"column `{name}` of public schema `{schema.name}` is unchanged in an insert: there is nothing to leave as "
                "it is"
            )
    return PublicRow(index, schema.name, Op(op), sources[source], columns, None if old is None else _values(old))
