"""The component's exports: the contract's records on one side, the types of this package on the other.

It is imported in a component alone, where ``wit_world`` is; ``pelton_sdk.componentize`` writes the module that names the
author's.
"""

# mypy: ignore-errors
# `wit_world` is made by componentize-py, out of wit/transform.wit.

import gc
import os

import wit_world.exports
from componentize_py_types import Err
from wit_world.exports import packed
from wit_world.imports import host as wit_host
from wit_world.imports import state as wit_state
from wit_world.imports import types as wit

from . import __version__, crash, host
from .error import Fatal, Reject, Retry
from .kind import is_other
from .model import Column, Context, Identity, Op, Phase, Relation, Span
from .runner import Runner
from .transform import Transform

#: The author's transform, and the version of the project; set by the module that ``pelton_sdk.componentize`` writes.
transform: Transform
version = "0.0.0"

_runner: Runner | None = None


class _Imports:
    """The host's functions, as the component imports them."""

    def __init__(self) -> None:
        self._levels = list(wit_host.Level)

    def enabled(self, level):
        return wit_host.enabled(self._levels[level])

    def log(self, level, message, fields):
        wit_host.log(self._levels[level], _text(message), [(_text(name), _text(value)) for name, value in fields])

    def get(self, keys):
        return _asked(wit_state.get, keys)

    def put(self, entries):
        _asked(wit_state.put, entries)

    def scan(self, prefix, after, limit):
        return _asked(wit_state.scan, prefix, after, limit)


def _text(value):
    """Half a character is no UTF-8, and a line of the log no reason to stop."""
    return value.encode("utf-8", "replace").decode()


def _asked(function, *arguments):
    try:
        return function(*arguments)
    except Err as error:
        match error.value:
            case wit.Error_Retryable(retry):
                raise Retry(retry.message, retry.after_ms) from None
            case wit.Error_Rejected(rejection):
                raise Fatal(rejection.message) from None
            case wit.Error_Fatal(message):
                raise Fatal(message) from None


host.current = _Imports()


def _answered(act):
    """Runs what the host asks for. A crash is logged and stays one: the host looks for the change that causes it."""
    try:
        return act()
    except Retry as retry:
        error = wit.Error_Retryable(wit.Retry(_text(retry.message), retry.after_ms))
    except Reject as reject:
        # Rejected changes stand in the output; outside of a batch there is none that could be rejected.
        error = wit.Error_Fatal(_text(f"{reject.code}: {reject.message}"))
    except Fatal as fatal:
        error = wit.Error_Fatal(_text(fatal.message))
    except BaseException as crashed:
        crash.report(crashed)
        # Python's own end of it would look for files, and the trap that follows tell of that.
        os.abort()
    raise Err(error)


class Lifecycle(wit_world.exports.Lifecycle):
    """The control plane."""

    def describe(self):
        def describe():
            transform.check()
            return _descriptor()

        return _answered(describe)

    def init(self, context):
        def init():
            global _runner
            _runner = Runner(transform, _context(context))
            # What lives now lives as long as the instance: the collector need not look at it again.
            gc.freeze()

        return _answered(init)

    def relation_changed(self, relation):
        return _answered(lambda: _running().relation_changed(_relation(relation)))


class Packed(wit_world.exports.Packed):
    """The data plane."""

    def process(self, batch):
        def process():
            # A batch makes no garbage that only the collector could find, or little; it is looked for behind it.
            gc.disable()
            try:
                spans = [_span(span) for span in batch.spans]
                output = _running().process(spans, batch.count, batch.payload)
            finally:
                gc.enable()
            rejected = [wit.Rejection(r.index, _text(r.code), _text(r.message)) for r in output.rejected]
            return packed.Output(output.count, output.payload, rejected)

        return _answered(process)


def _running() -> Runner:
    if _runner is None:
        raise Fatal("the host calls the transform before init")
    return _runner


def _span(span) -> Span:
    return Span(
        span.xid, span.epoch, span.commit_lsn, span.commit_time, Phase(span.phase.value), span.first, span.count,
        span.complete, span.attrs,
    )


def _context(context) -> Context:
    relations = [_relation(relation) for relation in context.relations]
    return Context(context.settings, relations, context.instance, context.instances, context.attrs)


def _relation(relation) -> Relation:
    columns = [Column(c.name, _kind_in(c.kind), c.nullable, c.key, c.attrs) for c in relation.columns]
    return Relation(
        relation.id, relation.version, relation.schema, relation.name, Identity(relation.identity.value), columns,
        relation.attrs,
    )


_KINDS = {
    "boolean": wit.Kind_Bool,
    "smallint": wit.Kind_Int16,
    "integer": wit.Kind_Int32,
    "bigint": wit.Kind_Int64,
    "real": wit.Kind_Float32,
    "double precision": wit.Kind_Float64,
    "numeric": wit.Kind_Numeric,
    "text": wit.Kind_Text,
    "bytea": wit.Kind_Bytea,
    "uuid": wit.Kind_Uuid,
    "json": wit.Kind_Json,
    "jsonb": wit.Kind_Jsonb,
    "date": wit.Kind_Date,
    "time": wit.Kind_Time,
    "timetz": wit.Kind_Timetz,
    "timestamp": wit.Kind_Timestamp,
    "timestamptz": wit.Kind_Timestamptz,
    "interval": wit.Kind_Interval,
    "enum": wit.Kind_Enumeration,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def _kind_in(kind) -> str:
    if isinstance(kind, wit.Kind_Array):
        return f"{kind.value}[]"
    return kind.value if isinstance(kind, wit.Kind_Other) else _NAMES[type(kind)]


def _kind_out(kind: str):
    if kind.endswith("[]"):
        return wit.Kind_Array(kind[:-2])
    return wit.Kind_Other(kind) if is_other(kind) else _KINDS[kind]()


def _descriptor():
    def op(op: Op):
        return wit.Op(op.value)

    def subscription(handler):
        table = handler.table
        return wit.Subscription(
            table.schema, table.name, [field.column for field in table.fields], [op(o) for o in table.ops], []
        )

    def column(field):
        return wit.Column(field.column, _kind_out(field.kind), 0, -1, field.nullable, field.key, [])

    def public_schema(schema):
        return wit.PublicSchema(schema.name, schema.major, schema.minor, [column(f) for f in schema.fields], [])

    return wit.Descriptor(
        name=transform.name,
        version=transform.version or version,
        encoding=wit.Encoding.JSON,
        subscriptions=[subscription(handler) for handler in transform.handlers],
        public_schemas=[public_schema(schema) for schema in transform.publishes],
        settings=[wit.Setting(s.name, s.required, s.default, s.doc) for s in transform.settings],
        parallel=transform.parallel,
        whole_transactions=transform.whole_transactions,
        stateful=transform.stateful,
        state_version=transform.state_version,
        attrs=[("sdk", f"pelton-sdk-python {__version__}")],
    )
