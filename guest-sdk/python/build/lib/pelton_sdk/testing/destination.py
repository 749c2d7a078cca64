"""The tables that public rows are kept in: what a reader of the destination sees."""

from typing import Any

from ..columns import unchanged
from ..model import Op
from ..public import PublicSchema
from .output import PublicRow, shown


class Destination:
    """A table for each public schema."""

    def __init__(self, schemas: list[PublicSchema]) -> None:
        self._schemas = schemas
        self._tables: list[list[list[Any]]] = [[] for _ in schemas]

    def apply(self, rows: list[PublicRow]) -> None:
        """Applies public rows in their order."""
        for row in rows:
            self._apply(row)

    def _apply(self, row: PublicRow) -> None:
        schema, table = self._schemas[row.index], self._tables[row.index]
        values = list(row.columns.values())
        if row.op is Op.TRUNCATE:
            table.clear()
            return
        if not schema.keys:
            table.append(values)
            return
        old = row.old_key if row.old_key is not None else self._key(schema, values)
        existing = next((other for other in table if self._key(schema, other) == old), None)
        if existing is not None:
            table.remove(existing)
        if row.op is Op.DELETE:
            return
        if existing is None and unchanged in values:
            # There is nothing to leave as it is: an UPDATE that finds no row.
            return
        values = [existing[i] if existing and value is unchanged else value for i, value in enumerate(values)]
        new = self._key(schema, values)
        table[:] = [other for other in table if self._key(schema, other) != new]
        table.append(values)

    @staticmethod
    def _key(schema: PublicSchema, values: list[Any]) -> list[Any]:
        return [value for field, value in zip(schema.fields, values) if field.key]

    def table(self, schema: PublicSchema) -> list[str]:
        """Returns the rows of a schema as text, sorted by their keys."""
        if schema not in self._schemas:
            raise AssertionError(f"`{schema.name}` is not published")

        def order(values: list[Any]) -> list[tuple[bool, Any]]:
            # Integers first, and as such.
            return [(not isinstance(key, int), key if isinstance(key, int) else shown(key)) for key in self._key(schema, values)]

        names = [field.column for field in schema.fields]
        rows = sorted(self._tables[self._schemas.index(schema)], key=order)
        return [" ".join(f"{name}={shown(value)}" for name, value in zip(names, values)) for values in rows]
