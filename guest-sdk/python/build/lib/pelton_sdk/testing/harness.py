"""A host for one transform."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

from .. import host
from ..error import Retry
from ..log import Level, Line
from ..model import Context, Identity, Op, Phase, Rejection, Span
from ..public import schema_of
from ..runner import Runner
from ..source import Table, table_of
from ..state import overlay
from ..transform import transform_of
from . import encode, output
from .destination import Destination
from .output import Output, PublicRow

T = TypeVar("T")


class Harness:
    """A host whose tables have their ``Key[…]`` fields as primary keys: ``Harness(orders, {"limit": "5"})``."""

    def __init__(self, transform: object, settings: Mapping[str, str] | None = None, level: Level = Level.DEBUG) -> None:
        self._transform = transform_of(transform)
        self._settings = list((settings or {}).items())
        self._level = level
        self._relations = [encode.relation(i, handler.table) for i, handler in enumerate(self._transform.handlers)]
        self._phase = Phase.TEST
        self._runner: Runner | None = None
        #: The changes since the last run, each with the number of its transaction.
        self._waiting: list[tuple[int, list[Any]]] = []
        self._xid = 1
        self._commit_time = 0
        self._state: dict[bytes, bytes] = {}
        self._destination = Destination(self._transform.publishes)

    def identity(self, row: type, identity: Identity) -> Self:
        """Sets a table's replica identity; until then it is the primary key."""
        self._relations[self._index(table_of(row))].identity = identity
        return self

    def phase(self, phase: Phase) -> Self:
        """Says where the changes come from from now on."""
        self._phase = phase
        return self

    def commit_time(self, micros: int) -> Self:
        """Sets the commit time of the transactions from now on, in microseconds since 1970-01-01 UTC."""
        self._commit_time = micros
        return self

    def insert(self, row: object) -> Self:
        """Inserts a row."""
        return self._change(table_of(row.__class__), Op.INSERT, row, None)

    def update(self, old: object, new: object) -> Self:
        """Updates a row. What is ``unchanged`` in ``new`` arrives as such; the old row is sent as far as the replica
        identity says."""
        table = table_of(new.__class__)
        full = self._relations[self._index(table)].identity is Identity.FULL
        return self._change(table, Op.UPDATE, new, old if full or table.key(old) != table.key(new) else None)

    def delete(self, row: object) -> Self:
        """Deletes a row."""
        table = table_of(row.__class__)
        if self._relations[self._index(table)].identity is Identity.NOTHING:
            raise AssertionError("Postgres refuses deletes on a table with REPLICA IDENTITY NOTHING")
        return self._change(table, Op.DELETE, None, row)

    def truncate(self, row: type) -> Self:
        """Empties the table of a row type."""
        return self._change(table_of(row), Op.TRUNCATE, None, None)

    def commit(self) -> Self:
        """Ends the source transaction: what comes next belongs to another one."""
        self._xid += 1
        return self

    def run(self) -> Output:
        """Hands all changes since the last run to the transform, as one batch.

        As at the host, a batch with rejected changes runs again without them, and what the state had before comes back
        when it fails. Raises :class:`Retry`, whose batch comes again with the next run, :class:`Fatal`, and whatever the
        transform crashes with.
        """
        batch, self._waiting = self._waiting, []
        self._xid += 1
        fake = self._enter()
        try:
            rows, rejected = self._run_batch(batch, fake)
        except Retry:
            self._waiting = batch
            raise
        self._state = fake.state
        self._destination.apply(rows)
        lines = [Line(Level(level), message, tuple(fields)) for level, message, fields in fake.lines]
        return Output(rows, rejected, lines, fake.reads)

    def restart(self) -> Self:
        """Replaces the instance, as the host may between any two batches: only the state survives."""
        self._runner = None
        return self

    def table(self, schema: type) -> list[str]:
        """Returns the rows of a public schema as they are at the destination now, in key order."""
        return self._destination.table(schema_of(schema))

    def state(self) -> dict[bytes, bytes]:
        """Returns the entries of the state, as the host keeps them."""
        return dict(self._state)

    def with_state(self, read: Callable[[], T]) -> T:
        """Runs ``read`` with the state at hand: ``host.with_state(lambda: TOTALS.get(7))``."""
        self._enter()
        overlay.begin()
        try:
            return read()
        finally:
            overlay.end()

    def _enter(self) -> host.Fake:
        fake = host.Fake()
        fake.state = dict(self._state)
        fake.level = self._level
        fake.stateful = self._transform.stateful
        host.current = fake
        return fake

    def _index(self, table: Table) -> int:
        for i, handler in enumerate(self._transform.handlers):
            if handler.table is table:
                return i
        raise AssertionError(f"the transform has no function for table {table}")

    def _change(self, table: Table, op: Op, new: object, old: object) -> Self:
        relation = self._relations[self._index(table)]
        self._waiting.append((self._xid, encode.change(relation, table, op, new, old)))
        return self

    def _run_batch(
        self, batch: list[tuple[int, list[Any]]], fake: host.Fake
    ) -> tuple[list[PublicRow], list[Rejection]]:
        left = list(range(len(batch)))
        rejected: list[Rejection] = []
        while True:
            payload = json.dumps([batch[i][1] for i in left]).encode()
            result = self._running().process(self._spans(batch, left), len(left), payload)
            if not result.rejected:
                rejected.sort(key=lambda rejection: rejection.index)
                return output.read(self._transform.publishes, result.payload, left), rejected
            rejected += [Rejection(left[r.index], r.code, r.message) for r in result.rejected]
            refused = {rejection.index for rejection in rejected}
            left = [i for i in left if i not in refused]
            fake.state = dict(self._state)

    def _running(self) -> Runner:
        if self._runner is None:
            self._transform.check()
            self._runner = Runner(self._transform, Context(self._settings, self._relations))
        return self._runner

    def _spans(self, batch: list[tuple[int, list[Any]]], left: list[int]) -> list[Span]:
        spans: list[Span] = []
        for first, i in enumerate(left):
            xid = batch[i][0]
            if spans and spans[-1].xid == xid:
                spans[-1].count += 1
            else:
                spans.append(Span(xid, 1, xid << 8, self._commit_time, self._phase, first, 1, True))
        return spans
