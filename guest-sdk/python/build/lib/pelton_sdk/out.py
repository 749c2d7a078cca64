"""Where public rows go, and the helper for the ordinary case: one public row for one source row."""

from collections.abc import Callable
from typing import Any, Never, TypeVar

from .change import Change, Delete, Insert, Update
from .error import Fatal
from .model import Op, Span
from .public import PublicSchema

S = TypeVar("S")
P = TypeVar("P")


class Out:
    """Takes the public rows that a change becomes, and knows the transaction that it belongs to."""

    __slots__ = ("_schemas", "_span", "mistake", "rows", "source")

    def __init__(self, schemas: dict[type, tuple[int, PublicSchema]]) -> None:
        self._schemas = schemas
        self._span: Span | None = None
        #: The output's payload so far.
        self.rows: list[list[Any]] = []
        #: The index of the change at hand.
        self.source = 0
        #: A mistake of the author that was found here: fatal, even if it is caught.
        self.mistake: Fatal | None = None

    @property
    def span(self) -> Span:
        """The source transaction of the change at hand: its xid, commit time and phase."""
        assert self._span is not None, "functions are called with a change, and every change has a span"
        return self._span

    def insert(self, row: object) -> None:
        """Publishes a row that is new (or replaces the one with its key)."""
        index, schema = self._schemas.get(row.__class__) or self._undeclared(row.__class__)
        self.rows.append([index, 0, self.source, schema.values(row), None])

    def update(self, row: object) -> None:
        """Publishes the new version of a row whose key stays."""
        index, schema = self._keyed(row.__class__, Op.UPDATE)
        self.rows.append([index, 1, self.source, schema.values(row), None])

    def update_from(self, old: Any, row: object) -> None:
        """Publishes the new version of the row that had the key ``old``."""
        index, schema = self._keyed(row.__class__, Op.UPDATE)
        was = None if schema.key(row) == old else schema.key_values(old)
        self.rows.append([index, 1, self.source, schema.values(row), was])

    def delete(self, schema: type, key: Any) -> None:
        """Takes a row back: ``out.delete(PublicOrder, order_id)``."""
        index, declared = self._keyed(schema, Op.DELETE)
        self.rows.append([index, 2, self.source, declared.deleted(key), None])

    def truncate(self, schema: type) -> None:
        """Takes all rows of a public schema back: ``out.truncate(PublicOrder)``."""
        index, _ = self._schemas.get(schema) or self._undeclared(schema)
        self.rows.append([index, 3, self.source, [], None])

    def map(self, change: Change[S], schema: type[P], make: Callable[[S], P | None]) -> None:
        """Publishes one row for each source row that ``make`` makes one of: the ordinary case.

        ========  ===========================================================================================
        change    what is published
        ========  ===========================================================================================
        insert    the row, if there is one
        update    the new row, from the old key if it changed; if there is none any more, a delete by the old key
        delete    a delete by key
        truncate  a truncate: let one table alone feed a public schema, or match on the change instead
        ========  ===========================================================================================

        The source's ``Key`` must be the public row's, in type and value, for a delete brings the old key alone; where
        it is not, use :meth:`map_with_key`.
        """
        index, declared = self._schemas.get(schema) or self._undeclared(schema)
        if change.__class__ is Insert:
            row = change.new
            made = make(row)
            if made is not None:
                self._same_key(row, made, declared)
                self.rows.append([index, 0, self.source, declared.values(made), None])
            return

        def same_key(row: S) -> P | None:
            made = make(row)
            if made is not None:
                self._same_key(row, made, declared)
            return made

        self.map_with_key(change, schema, lambda key: key, same_key)

    def map_with_key(
        self, change: Change[S], schema: type[P], key: Callable[[Any], Any], make: Callable[[S], P | None]
    ) -> None:
        """As :meth:`map`, with a function that makes the public key of the source key."""
        if change.__class__ is Insert:
            row = make(change.new)
            if row is not None:
                self.insert(row)
        elif isinstance(change, Update):
            old = change.old
            if old is None:
                published, was = True, key(change.old_key)
            elif old.row is None:
                published, was = True, key(old.key)
            else:
                # The whole old row tells whether it was published at all.
                before = make(old.row)
                published = before is not None
                was = self._key(schema, before)
            row = make(change.new)
            if row is None:
                if published:
                    self.delete(schema, was)
            elif published:
                self.update_from(was, row)
            else:
                self.insert(row)
        elif isinstance(change, Delete):
            if change.old.row is None:
                self.delete(schema, key(change.old.key))
            else:
                before = make(change.old.row)
                if before is not None:
                    self.delete(schema, self._key(schema, before))
        else:
            self.truncate(schema)

    def _same_key(self, row: Any, made: object, declared: PublicSchema) -> None:
        table = row.__class__.__pelton_source__
        if declared.key(made) != table.key(row):
            self._fail(f"public schema `{declared.name}` has other keys than table {table}; use map_with_key")

    def _key(self, schema: type, row: object) -> Any:
        return None if row is None else (self._schemas.get(schema) or self._undeclared(schema))[1].key(row)

    def _keyed(self, schema: type, op: Op) -> tuple[int, PublicSchema]:
        declared = self._schemas.get(schema) or self._undeclared(schema)
        if not declared[1].keys:
            self._fail(f"public schema `{declared[1].name}` has no Key, so it is append-only: {op}s can't be published")
        return declared

    def _undeclared(self, row: type) -> Never:
        schema = getattr(row, "__pelton_public__", None)
        if schema is None:
            raise TypeError(f"{row.__name__} is no row of a public schema: mark it with @public(…)")
        self._fail(f"the transform does not declare public schema `{schema.name}`: add its row type to `publishes=[…]`")

    def _fail(self, message: str) -> Never:
        self.mistake = self.mistake or Fatal(message)
        raise self.mistake
