//! What can go wrong at a destination table, whether it passes by itself, and what the operator should do.

use tokio_postgres::error::SqlState;

use crate::change::Op;
use crate::manifest::nearest;

use super::refusal::Refusal;

/// What was being done when the server refused, or what was found wrong before it was asked.
///
/// Row values never appear here: the server's DETAIL and CONTEXT quote them, and so do the messages of some error
/// classes, so those stay behind (see [`Refusal`]).
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("destination table {table} does not exist")]
    TableMissing { table: String },
    #[error("destination {table} is {found}, not a table")]
    NotATable { table: String, found: &'static str },
    #[error("destination table {table} lacks column {column}")]
    ColumnMissing { table: String, column: String, type_name: String },
    #[error("column {column} of destination table {table} is {found}, which does not take {expected}")]
    WrongType { table: String, column: String, expected: String, found: String },
    #[error(
        "column {column} of destination table {table} is {found}, which rounds: the {expected} of the public schema has \
         more digits"
    )]
    FewerDigits { table: String, column: String, expected: String, found: String },
    #[error(
        "column {column} of destination table {table} is NOT NULL without a default, and the public schema lacks it"
    )]
    RequiredColumn { table: String, column: String },
    #[error("column {column} of destination table {table} is generated, so nothing can be written to it")]
    GeneratedColumn { table: String, column: String },
    #[error("column {column} of destination table {table} is GENERATED ALWAYS AS IDENTITY, so it can't be updated")]
    IdentityColumn { table: String, column: String },
    #[error("destination table {table} has no unique index on exactly its key ({columns})")]
    KeyNotUnique { table: String, columns: String },
    #[error(
        "the public schema of destination table {table} names no type {type_name} that the destination knows (column {column})"
    )]
    TypeMissing { table: String, column: String, type_name: String },
    #[error("the role lacks {privilege} on destination table {table}")]
    Privilege { table: String, privilege: &'static str },
    #[error("the public schema of destination table {table} has no columns")]
    NoColumns { table: String },
    #[error("a row for destination table {table} has {found} columns instead of {expected}")]
    ColumnCount { table: String, expected: usize, found: usize },
    #[error("a row for destination table {table} has NULL in its key column {column}")]
    NullKey { table: String, column: String },
    #[error("a row for destination table {table} does not say the value of column {column}")]
    ValueUnknown { table: String, column: String },
    #[error("{op} on destination table {table}, whose public schema has no key: it only takes new rows")]
    AppendOnly { table: String, op: &'static str },
    #[error("column {column} of destination table {table} got a {kind} in binary form, which can't be written")]
    BinaryValue { table: String, column: String, kind: String },
    #[error("destination table {table} lacks {rows} of the rows that were changed at the source")]
    RowsMissing {
        table: String,
        /// The same as an index into the destination's tables.
        index: usize,
        rows: u64,
    },
    #[error(
        "`{statement}` of consumer `{consumer}` names {placeholder}, and {}",
        has(statement, public_schema, fields)
    )]
    NoSuchField {
        consumer: String,
        statement: &'static str,
        placeholder: String,
        public_schema: String,
        /// What it could name.
        fields: Vec<String>,
    },
    #[error(
        "an update leaves out the large value (TOAST) of `{field}`, which `{statement}` of consumer `{consumer}` takes"
    )]
    FieldUnknown { consumer: String, index: usize, statement: &'static str, field: String },
    #[error("`{field}` of consumer `{consumer}` got a {kind} in binary form, which can't be passed on")]
    BinaryField { consumer: String, index: usize, field: String, kind: String },
    /// The server refused an author's statement.
    #[error("cannot {act} `{statement}` of consumer `{consumer}`")]
    Statement {
        act: &'static str,
        consumer: String,
        statement: &'static str,
        /// Its index among what the destination writes, where a row was refused.
        index: Option<usize>,
        source: Box<Refusal>,
    },
    #[error("a row is addressed to destination table number {index}, and there are {tables}")]
    UnknownTable { index: usize, tables: usize },
    /// The server refused.
    #[error("cannot {act}{}", on(table))]
    Refused {
        act: &'static str,
        /// The table by name, where the error can be attributed.
        table: Option<String>,
        /// The same as an index into the destination's tables.
        index: Option<usize>,
        source: Box<Refusal>,
    },
    /// The connection broke, or what came over it made no sense.
    #[error("lost the destination while trying to {act}")]
    Connection { act: &'static str, source: tokio_postgres::Error },
}

fn has(statement: &str, public_schema: &str, fields: &[String]) -> String {
    match (statement, fields) {
        (_, []) => format!("public schema `{public_schema}` has no columns"),
        ("deleteSql", fields) => {
            format!("a delete of public schema `{public_schema}` says {} alone", fields.join(", "))
        }
        (_, fields) => format!("public schema `{public_schema}` has {}", fields.join(", ")),
    }
}

fn on(table: &Option<String>) -> String {
    table.as_ref().map(|table| format!(" (destination table {table})")).unwrap_or_default()
}

impl SinkError {
    /// Wraps what a server or a connection said while it was asked to `act`.
    pub(super) fn server(
        act: &'static str,
        index: Option<usize>,
        table: Option<&str>,
        error: tokio_postgres::Error,
    ) -> SinkError {
        match error.as_db_error() {
            Some(db) => {
                SinkError::Refused { act, table: table.map(str::to_owned), index, source: Box::new(Refusal::of(db)) }
            }
            None => SinkError::Connection { act, source: error },
        }
    }

    /// Wraps what came back from the caller's own COMMIT, where deferred constraints are checked.
    pub fn at_commit(error: tokio_postgres::Error) -> SinkError {
        SinkError::server("commit", None, None, error)
    }

    /// Returns the index of the table that failed, where that is known.
    pub fn table_index(&self) -> Option<usize> {
        match self {
            SinkError::Refused { index, .. } | SinkError::Statement { index, .. } => *index,
            SinkError::RowsMissing { index, .. }
            | SinkError::FieldUnknown { index, .. }
            | SinkError::BinaryField { index, .. } => Some(*index),
            _ => None,
        }
    }

    /// Gives the writer that failed another number.
    pub(super) fn renumbered(mut self, number: impl Fn(usize) -> usize) -> SinkError {
        match &mut self {
            SinkError::Refused { index: Some(index), .. }
            | SinkError::Statement { index: Some(index), .. }
            | SinkError::FieldUnknown { index, .. }
            | SinkError::BinaryField { index, .. }
            | SinkError::RowsMissing { index, .. } => *index = number(*index),
            _ => {}
        }
        self
    }

    /// Returns the server's SQLSTATE, if it was the server that refused.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            SinkError::Refused { source, .. } | SinkError::Statement { source, .. } => Some(&source.sqlstate),
            _ => None,
        }
    }

    /// Returns true when the same rows may be accepted later without anybody changing them or the tables: the
    /// transaction is to be rolled back and run again. Everything else stays wrong until someone mends it.
    pub fn is_transient(&self) -> bool {
        match self {
            SinkError::Connection { .. } => true,
            SinkError::Refused { source, .. } | SinkError::Statement { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Returns true where somebody else's lock was not waited for any longer.
    pub fn is_lock_timeout(&self) -> bool {
        matches!(self, SinkError::Refused { source, .. } if source.sqlstate == "55P03")
    }

    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            SinkError::TableMissing { .. } => {
                "Set `createTable: true` in the consumer schema, or create the table.".to_owned()
            }
            SinkError::NotATable { .. } => "Name an ordinary or a partitioned table.".to_owned(),
            SinkError::ColumnMissing { table, column, type_name } => {
                format!("ALTER TABLE {table} ADD COLUMN {column} {type_name}")
            }
            SinkError::WrongType { table, column, expected, .. }
            | SinkError::FewerDigits { table, column, expected, .. } => {
                format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE {expected}")
            }
            SinkError::RequiredColumn { table, column } => {
                format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")
            }
            SinkError::GeneratedColumn { table, column } => {
                format!("ALTER TABLE {table} ALTER COLUMN {column} DROP EXPRESSION")
            }
            SinkError::IdentityColumn { table, column } => {
                format!("ALTER TABLE {table} ALTER COLUMN {column} SET GENERATED BY DEFAULT")
            }
            SinkError::KeyNotUnique { table, columns } => {
                format!("ALTER TABLE {table} ADD PRIMARY KEY ({columns})")
            }
            SinkError::TypeMissing { type_name, .. } => format!(
                "Create {type_name} at the destination (CREATE EXTENSION or CREATE TYPE), or create the table yourself \
                 with a text column."
            ),
            SinkError::Privilege { table, privilege } => format!("GRANT {privilege} ON {table} TO the connection's role"),
            SinkError::NoColumns { .. } => "Give the public schema at least one column.".to_owned(),
            SinkError::ColumnCount { .. } | SinkError::ValueUnknown { .. } => {
                "The transform must emit one value for every column of its public schema, and every key column.".to_owned()
            }
            SinkError::NullKey { .. } => "A key holds no NULL: have the transform fill it or leave the row out.".to_owned(),
            SinkError::AppendOnly { .. } => {
                "Give the public schema a key (`key: true`, or a primary key at the source), or have the transform emit \
                 inserts only."
                    .to_owned()
            }
            SinkError::BinaryValue { .. } => "Emit this column as text.".to_owned(),
            SinkError::RowsMissing { .. } => {
                "An update that leaves out a large value (TOAST) needs the rest of its row here. If rows are deleted or held \
                 back here on purpose, or by the transform, set `backfill: false` in the consumer schema: changes of \
                 missing rows are left out then. Else ALTER TABLE … REPLICA IDENTITY FULL at the source, so that updates \
                 bring whole rows, and start the flow anew."
                    .to_owned()
            }
            SinkError::NoSuchField { placeholder, fields, .. } => {
                let written = placeholder.trim_start_matches(':');
                match nearest(written, fields.iter().map(String::as_str)) {
                    Some(near) => format!("Did you mean :{near}?"),
                    None => "Name what the public schema has, or add it there. Capitals count.".to_owned(),
                }
            }
            SinkError::FieldUnknown { .. } => {
                "ALTER TABLE … REPLICA IDENTITY FULL at the source, so that updates bring whole rows, and start the flow \
                 anew; or let a consumer of type `table` take it, which leaves such a column alone."
                    .to_owned()
            }
            SinkError::BinaryField { .. } => "Emit this column as text.".to_owned(),
            SinkError::Statement { source, .. } => return source.hint_for_statement(),
            SinkError::UnknownTable { .. } => return None,
            SinkError::Connection { .. } => {
                "Is the destination up and reachable? Pelton tries again by itself.".to_owned()
            }
            SinkError::Refused { source, .. } => return source.hint(),
        };
        Some(text)
    }

    /// True for a constraint that may hold once the rows are applied one by one in source order.
    pub(super) fn is_order_dependent(&self) -> bool {
        matches!(self.sqlstate(), Some("23505" | "23503" | "23P01" | "23001" | "P0001"))
    }

    pub(super) fn is_unique_violation(&self) -> bool {
        self.sqlstate() == Some(SqlState::UNIQUE_VIOLATION.code())
    }

    pub(super) fn append_only(table: &str, op: Op) -> SinkError {
        let op = match op {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Truncate => "truncate",
        };
        SinkError::AppendOnly { table: table.to_owned(), op }
    }
}
