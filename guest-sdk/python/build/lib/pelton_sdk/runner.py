"""The loop that hands a transform its changes: one instance, as the host sees it."""

import json
from dataclasses import dataclass
from typing import Any, Final

from .error import Fatal, Reject
from .model import Context, Output, Rejection, Relation, Span
from .out import Out
from .source import Plan, malformed
from .state import Ahead, overlay
from .transform import Handler, Transform

#: Ids of relations are dense; one beyond this is a mistake that would only fill the memory.
RELATIONS_MAX: Final = 1 << 20

_decode = json.JSONDecoder().decode
#: Postgres prints the float -0 as `-0`, which Python reads as the integer 0.
_decode_signed_zeros = json.JSONDecoder(parse_int=lambda digits: -0.0 if digits == "-0" else int(digits)).decode
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")).encode


def decode(payload: bytes) -> Any:
    """Reads a batch's payload."""
    try:
        read = _decode_signed_zeros if b"-0," in payload or b"-0]" in payload else _decode
        return read(payload.decode())
    except (ValueError, RecursionError):
        raise malformed() from None


def encode(rows: list[list[Any]]) -> bytes:
    """Writes an output's payload."""
    try:
        return _encode(rows).encode()
    except UnicodeEncodeError:
        raise ValueError("a text that the transform publishes holds half of a character (a lone surrogate)") from None


@dataclass(slots=True)
class _Route:
    """Where the changes of a relation go."""

    plan: Plan
    run: Any
    ahead: Any


class Runner:
    """A transform that runs.

    Raises :class:`Fatal` for settings or tables that do not fit, and what the author's ``__init__`` raises.
    """

    def __init__(self, transform: Transform, context: Context) -> None:
        self._transform = transform
        self._author = transform.start(context)
        self._routes: list[_Route | None] = []
        self._schemas = transform.schemas
        self._reads_ahead = any(handler.ahead for handler in transform.handlers)
        for relation in context.relations:
            self.relation_changed(relation)

    def relation_changed(self, relation: Relation) -> None:
        """Takes a relation that is new or was altered.

        Raises :class:`Fatal` when its columns are not what the transform reads.
        """
        if not 0 <= relation.id < RELATIONS_MAX:
            raise Fatal(f"the host numbers a relation {relation.id}; ids must be dense")
        route = None
        for handler in self._transform.handlers:
            if (handler.table.schema, handler.table.name) == (relation.schema, relation.name):
                route = self._route(handler, relation)
        self._routes.extend([None] * (relation.id + 1 - len(self._routes)))
        self._routes[relation.id] = route

    def _route(self, handler: Handler, relation: Relation) -> _Route:
        ahead = getattr(self._author, handler.ahead) if handler.ahead else None
        return _Route(Plan(handler.table, relation), getattr(self._author, handler.name), ahead)

    def process(self, spans: list[Span], count: int, payload: bytes) -> Output:
        """Transforms a batch.

        Raises :class:`Retry` and :class:`Fatal`, of the author's functions or of a batch that can't be read; changes
        that are rejected alone stand in the output.
        """
        overlay.begin()
        try:
            return self._process(spans, count, payload)
        finally:
            overlay.end()

    def _process(self, spans: list[Span], count: int, payload: bytes) -> Output:
        changes = decode(payload)
        if not isinstance(changes, list) or len(changes) != count:
            raise Fatal("the host's batch holds another number of changes than it says")
        # What was read of a change, so that it is read once.
        read: list[Any] = self._read_ahead(changes) if self._reads_ahead else [None] * count
        out = Out(self._schemas)
        rejected: list[Rejection] = []
        rows = out.rows
        index = 0
        for span in spans:
            end = index + span.count
            if span.first != index or end > count:
                raise Fatal("the spans of the host's batch do not cover its changes")
            out._span = span
            while index < end:
                out.source = index
                before = len(rows)
                try:
                    route, change = read[index] or self._read(changes[index])
                    route.run(change, out)
                except Reject as reject:
                    _settle(reject, out, before, rejected)
                if out.mistake is not None:
                    raise out.mistake
                # Nothing is kept that is not needed any more.
                read[index] = changes[index] = None
                index += 1
            if span.complete and span.count > 0 and self._transform.ends:
                before = len(rows)
                try:
                    self._author.end_of_transaction(out)
                except Reject as reject:
                    _settle(reject, out, before, rejected)
                if out.mistake is not None:
                    raise out.mistake
        if index != count:
            raise Fatal("the host's batch has bytes or changes beyond its end")
        overlay.flush()
        return Output(len(rows), encode(rows), rejected)

    def _read_ahead(self, changes: list[Any]) -> list[Any]:
        """Reads the state that the batch's changes will need. What can't be read of a change is reported when it is
        transformed."""
        ahead = Ahead()
        read: list[Any] = []
        for raw in changes:
            try:
                route, change = self._read(raw)
            except Reject:
                read.append(None)
                continue
            if route.ahead is not None:
                try:
                    route.ahead(change, ahead)
                except Reject:
                    pass
            read.append((route, change))
        ahead.fetch()
        return read

    def _read(self, raw: Any) -> tuple[_Route, Any]:
        try:
            op, relation, new, old = raw
        except (TypeError, ValueError):
            raise Fatal("a change of the host's batch does not have its four parts") from None
        try:
            route = self._routes[relation] if relation >= 0 else None
        except (IndexError, TypeError):
            route = None
        if route is None:
            raise Fatal(
                f"the host sent a change of relation {relation}, which it has not announced or which is not subscribed"
            )
        return route, route.plan.change(op, new, old)


def _settle(reject: Reject, out: Out, before: int, rejected: list[Rejection]) -> None:
    """Ends a call that rejects: the change leaves no rows behind."""
    del out.rows[before:]
    # The end of a transaction speaks for its last change, which may have been rejected already.
    if not rejected or rejected[-1].index != out.source:
        rejected.append(Rejection(out.source, reject.code, reject.message))
