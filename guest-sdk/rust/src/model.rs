//! What the host says of tables and transactions, and what a transform says of itself.

use std::borrow::Cow;
use std::fmt;

/// What a column holds; decides how its values travel.
///
/// Everything without a case of its own is [`Kind::Other`] and travels as Postgres's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
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
    Enumeration,
    /// The kind of the element, by Postgres's name.
    Array(Cow<'static, str>),
    /// Any other type, by Postgres's name.
    Other(Cow<'static, str>),
}

impl Kind {
    /// Returns true for the kinds that travel as Postgres's text.
    pub fn is_text(&self) -> bool {
        !matches!(
            self,
            Kind::Bool | Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Float32 | Kind::Float64 | Kind::Bytea
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Bool => "boolean",
            Kind::Int16 => "smallint",
            Kind::Int32 => "integer",
            Kind::Int64 => "bigint",
            Kind::Float32 => "real",
            Kind::Float64 => "double precision",
            Kind::Numeric => "numeric",
            Kind::Text => "text",
            Kind::Bytea => "bytea",
            Kind::Uuid => "uuid",
            Kind::Json => "json",
            Kind::Jsonb => "jsonb",
            Kind::Date => "date",
            Kind::Time => "time",
            Kind::Timetz => "timetz",
            Kind::Timestamp => "timestamp",
            Kind::Timestamptz => "timestamptz",
            Kind::Interval => "interval",
            Kind::Enumeration => "enum",
            Kind::Array(element) => return write!(f, "{element}[]"),
            Kind::Other(name) => name,
        })
    }
}

/// Names and values: the contract's only extension point.
pub type Attrs = Vec<(String, String)>;

/// One column of a [`Relation`].
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub nullable: bool,
    /// Part of the replica identity.
    pub key: bool,
    pub attrs: Attrs,
}

/// What Postgres writes of the old row on UPDATE and DELETE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The primary key.
    Default,
    /// A chosen unique index.
    Index,
    /// The whole row.
    Full,
    Nothing,
}

/// A source table at one version of its columns.
#[derive(Clone, Debug)]
pub struct Relation {
    pub id: u32,
    pub version: u32,
    pub schema: String,
    pub name: String,
    pub identity: Identity,
    pub columns: Vec<Column>,
    pub attrs: Attrs,
}

/// What a change does, or what happens to a public row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    Insert = 0,
    Update = 1,
    Delete = 2,
    Truncate = 3,
}

impl Op {
    pub(crate) fn of(index: u32) -> Option<Op> {
        [Op::Insert, Op::Update, Op::Delete, Op::Truncate].get(index as usize).copied()
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["insert", "update", "delete", "truncate"][*self as usize])
    }
}

/// Where the changes of a transaction come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Rows that existed before the flow.
    Backfill,
    Live,
    Replay,
    Test,
}

/// A run of a batch's changes that belong to one source transaction.
#[derive(Clone, Debug)]
pub struct Span {
    /// 0 for backfill.
    pub xid: u32,
    pub epoch: u32,
    pub commit_lsn: u64,
    /// Microseconds since 1970-01-01 UTC: the only clock that a transform gets.
    pub commit_time: i64,
    pub phase: Phase,
    pub first: u32,
    pub count: u32,
    /// False while a large transaction goes on in the next batch.
    pub complete: bool,
    pub attrs: Attrs,
}

/// What the host says when an instance starts.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The manifest's settings, by name.
    pub settings: Attrs,
    pub relations: Vec<Relation>,
    pub instance: u32,
    pub instances: u32,
    pub attrs: Attrs,
}
