//! Between the contract's records and the types of this crate, one function a record.

use super::bindings::exports::pelton::transform::lifecycle as wit_lifecycle;
use super::bindings::pelton::transform::types as wit;
use crate::error::Error;
use crate::model::{Column, Context, Identity, Kind, Op, Phase, Relation, Span};
use crate::settings::Settings;
use crate::transform::{Rejection, Transform};

pub fn error_out(error: Error) -> wit::Error {
    match error {
        Error::Retry { message, after_ms } => wit::Error::Retryable(wit::Retry { message, after_ms }),
        // Rejected changes stand in the output; outside of a batch there is none that could be rejected.
        Error::Rejected { code, message } => wit::Error::Fatal(format!("{code}: {message}")),
        Error::Fatal(message) => wit::Error::Fatal(message),
    }
}

pub fn error_in(error: wit::Error) -> Error {
    match error {
        wit::Error::Retryable(retry) => Error::Retry { message: retry.message, after_ms: retry.after_ms },
        wit::Error::Rejected(rejection) => Error::Fatal(rejection.message),
        wit::Error::Fatal(message) => Error::Fatal(message),
    }
}

pub fn rejection(rejection: Rejection) -> wit::Rejection {
    let Rejection { index, code, message } = rejection;
    wit::Rejection { index, code, message }
}

pub fn span(span: wit::Span) -> Span {
    let phase = match span.phase {
        wit::Phase::Backfill => Phase::Backfill,
        wit::Phase::Live => Phase::Live,
        wit::Phase::Replay => Phase::Replay,
        wit::Phase::Test => Phase::Test,
    };
    let wit::Span { xid, epoch, commit_lsn, commit_time, first, count, complete, attrs, .. } = span;
    Span { xid, epoch, commit_lsn, commit_time, phase, first, count, complete, attrs }
}

pub fn context(context: wit::Context) -> Context {
    let wit::Context { settings, relations, instance, instances, attrs } = context;
    Context { settings, relations: relations.into_iter().map(relation).collect(), instance, instances, attrs }
}

pub fn relation(relation: wit::Relation) -> Relation {
    let identity = match relation.identity {
        wit::ReplicaIdentity::Default => Identity::Default,
        wit::ReplicaIdentity::Index => Identity::Index,
        wit::ReplicaIdentity::Full => Identity::Full,
        wit::ReplicaIdentity::Nothing => Identity::Nothing,
    };
    let column = |column: wit::Column| {
        let wit::Column { name, kind, nullable, key, attrs, .. } = column;
        Column { name, kind: kind_in(kind), nullable, key, attrs }
    };
    let wit::Relation { id, version, schema, name, columns, attrs, .. } = relation;
    Relation { id, version, schema, name, identity, columns: columns.into_iter().map(column).collect(), attrs }
}

/// The kinds that have the same name on both sides.
macro_rules! kinds {
    ($($kind:ident),+) => {
        fn kind_in(kind: wit::Kind) -> Kind {
            match kind {
                $(wit::Kind::$kind => Kind::$kind,)+
                wit::Kind::Array(element) => Kind::Array(element.into()),
                wit::Kind::Other(name) => Kind::Other(name.into()),
            }
        }

        fn kind_out(kind: &Kind) -> wit::Kind {
            match kind {
                $(Kind::$kind => wit::Kind::$kind,)+
                Kind::Array(element) => wit::Kind::Array(element.to_string()),
                Kind::Other(name) => wit::Kind::Other(name.to_string()),
            }
        }
    };
}

kinds!(
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Numeric,
    Text,
    Bytea,
    Uuid,
    Json,
    Jsonb,
    Date,
    Time,
    Timetz,
    Timestamp,
    Timestamptz,
    Interval,
    Enumeration
);

pub fn descriptor<T: Transform>() -> wit_lifecycle::Descriptor {
    let op = |op: &Op| match op {
        Op::Insert => wit::Op::Insert,
        Op::Update => wit::Op::Update,
        Op::Delete => wit::Op::Delete,
        Op::Truncate => wit::Op::Truncate,
    };
    let subscription = |handler: &crate::transform::Handler<T>| wit::Subscription {
        schema: handler.table.schema.to_owned(),
        table: handler.table.name.to_owned(),
        columns: handler.table.columns.iter().map(|column| column.name.to_owned()).collect(),
        ops: handler.table.ops.iter().map(op).collect(),
        attrs: Vec::new(),
    };
    let public_schema = |schema: &&crate::public::PublicSchema| {
        let column = |column: &crate::public::PublicColumn| wit::Column {
            name: column.name.to_owned(),
            kind: kind_out(&column.kind),
            type_oid: 0,
            type_modifier: -1,
            nullable: column.nullable,
            key: column.key,
            attrs: Vec::new(),
        };
        wit::PublicSchema {
            name: schema.name.to_owned(),
            major: schema.major,
            minor: schema.minor,
            columns: schema.columns.iter().map(column).collect(),
            attrs: Vec::new(),
        }
    };
    let setting = |setting: &crate::settings::Setting| wit::Setting {
        name: setting.name.to_owned(),
        required: setting.required,
        default: setting.default.map(str::to_owned),
        doc: setting.doc.to_owned(),
    };
    wit::Descriptor {
        name: T::NAME.to_owned(),
        version: T::VERSION.to_owned(),
        encoding: wit::Encoding::Msgpack,
        subscriptions: T::tables().iter().map(subscription).collect(),
        public_schemas: T::publishes().iter().map(public_schema).collect(),
        settings: T::Settings::SETTINGS.iter().map(setting).collect(),
        parallel: T::PARALLEL,
        whole_transactions: T::WHOLE_TRANSACTIONS,
        stateful: T::STATEFUL,
        state_version: T::STATE_VERSION,
        attrs: vec![("sdk".to_owned(), concat!("pelton-sdk-rust ", env!("CARGO_PKG_VERSION")).to_owned())],
    }
}
