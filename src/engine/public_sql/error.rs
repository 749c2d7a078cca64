//! What can be wrong with a public schema's SQL.

use crate::manifest::nearest;
use crate::postgres::ConnectError;
use crate::sink::Refusal;

/// A statement of a public schema can't be run.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    #[error("its {op} of {table} names {placeholder}, and the table has {}", columns.join(", "))]
    NoSuchColumn { op: &'static str, table: String, placeholder: String, columns: Vec<String> },
    #[error("its delete of {table} names {placeholder}, and a DELETE there says {} alone", columns.join(", "))]
    NotOfDelete { table: String, placeholder: String, columns: Vec<String> },
    #[error("its delete of {table} reads the table, where the row that was deleted no longer is")]
    DeleteReadsTable { table: String },
    #[error("its statement takes :{column}, and an update of {table} left that large value alone and does not say it")]
    Unsaid { table: String, column: String },
    #[error("its {op} of {table} gives a column without a name")]
    Unnamed { op: &'static str, table: String },
    #[error("its {op} of {table} gives two columns \"{column}\"")]
    Twice { op: &'static str, table: String, column: String },
    #[error("its {op} of {table} gives no columns")]
    NoColumns { op: &'static str, table: String },
    #[error("its {op} of {table} gives {found}, and its {other} gives {expected}")]
    Differs { op: &'static str, table: String, found: String, other: String, expected: String },
    #[error("its delete of {table} does not give \"{column}\", which is part of the key")]
    KeyNotGiven { table: String, column: String },
    #[error("cannot {doing}: {refusal}")]
    Refused { doing: String, refusal: Refusal },
    #[error("cannot {doing}: it took more than {seconds} s for one change")]
    TooSlow { doing: String, seconds: u64 },
    #[error("cannot {doing}: it gave more than {mib} MiB, {rows} rows for {changes} changes of a batch")]
    TooMuch { doing: String, mib: usize, rows: usize, changes: usize },
    #[error("nothing tells its rows apart, and consumer `{consumer}` is a table, which can't take a changed row then")]
    NoKey { consumer: String },
    #[error("cannot open a session for it")]
    Connect { source: ConnectError },
    #[error("the connection was lost")]
    Lost { source: tokio_postgres::Error },
    #[error("the source's answer is not {0}")]
    Answer(&'static str),
}

impl SqlError {
    /// Sorts what a server or a connection said.
    pub fn of(error: tokio_postgres::Error, refused: impl FnOnce(Refusal) -> SqlError) -> SqlError {
        match error.as_db_error() {
            Some(db) => refused(Refusal::of(db)),
            None => SqlError::Lost { source: error },
        }
    }

    /// The same, where the statement was given values of rows.
    pub fn of_values(error: tokio_postgres::Error, refused: impl FnOnce(Refusal) -> SqlError) -> SqlError {
        match error.as_db_error() {
            Some(db) => refused(Refusal::of_values(db)),
            None => SqlError::Lost { source: error },
        }
    }

    /// Returns true when the same may work later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            SqlError::Lost { .. } => true,
            SqlError::Connect { source } => source.is_transient(),
            SqlError::Refused { refusal, .. } => refusal.is_transient(),
            _ => false,
        }
    }

    /// Returns what the author should do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            SqlError::NoSuchColumn { placeholder, columns, .. } => {
                let written = placeholder.trim_start_matches(':');
                match nearest(written, columns.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean :{near}?"),
                    None => "name a column of the table; capitals count".to_owned(),
                }
            }
            SqlError::NotOfDelete { table, .. } => {
                format!(
                    "name the key, or ALTER TABLE {table} REPLICA IDENTITY FULL, so that a DELETE says all of the row"
                )
            }
            SqlError::DeleteReadsTable { .. } => {
                "let it ask for the row by its key alone (WHERE id = :id) and read nothing else, or take placeholders only"
                    .to_owned()
            }
            SqlError::Unsaid { table, column } => format!(
                "let the statement read the column (SELECT \"{column}\" FROM {table} …) in the place of the placeholder; or \
                 ALTER TABLE {table} REPLICA IDENTITY FULL, for changes from then on"
            ),
            SqlError::Unnamed { .. } => "give it one: expression AS \"name\"".to_owned(),
            SqlError::Twice { .. } => "give one of them another name: AS \"name\"".to_owned(),
            SqlError::NoColumns { .. } => "let it select what is to be published".to_owned(),
            SqlError::Differs { .. } => {
                "let all statements of the public schema give the same columns, with casts where types differ"
                    .to_owned()
            }
            SqlError::KeyNotGiven { column, .. } => format!("let it select \"{column}\" too"),
            SqlError::Refused { refusal, .. } => match refusal.sqlstate.as_str() {
                "42P01" | "42703" | "42883" | "3F000" => {
                    "correct the statement; names without a schema are looked for in the role's own search_path"
                        .to_owned()
                }
                "42601" => "correct the statement".to_owned(),
                "42501" => "GRANT SELECT on what the statement reads to the role of the source's connection".to_owned(),
                "57014" => "it took more than a minute, or somebody cancelled it: an index may be missing".to_owned(),
                "55P03" => "another session holds a lock on what it reads: see pg_stat_activity and pg_blocking_pids()".to_owned(),
                code if code.starts_with("22") => {
                    "let the statement take this row (NULLIF, CASE), and restart `pelton sync`".to_owned()
                }
                _ => return None,
            },
            SqlError::TooSlow { .. } => "EXPLAIN ANALYZE the statement at the source: an index on what its joins and subqueries \
                                         look for may be missing; then restart `pelton sync`"
                .to_owned(),
            SqlError::TooMuch { .. } => "let the statement give fewer rows for a change, or smaller ones (array_agg or jsonb_agg \
                                         in the place of a join); then restart `pelton sync`"
                .to_owned(),
            SqlError::NoKey { .. } => "let the insert of the first table select the columns of its primary key, or add a statement \
                                       for `delete`, whose columns are the key then; or let the consumer be `postgres`"
                .to_owned(),
            SqlError::Connect { source } => return source.hint(),
            SqlError::Lost { .. } | SqlError::Answer(_) => return None,
        };
        Some(text)
    }
}
