//! What a server says when it refuses to write, without the values of rows.

use std::fmt;

use tokio_postgres::error::DbError;

/// A server's error without the values of rows.
///
/// DETAIL, HINT and CONTEXT are left out, for they quote rows (`Key (id)=(42) already exists`). The message itself is kept
/// only where it names objects and never data (see [`may_quote`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub sqlstate: String,
    /// The server's own message, or ours where its message may hold data.
    pub message: String,
    pub constraint: Option<String>,
    pub column: Option<String>,
    /// The table that the server names: not always the one written to, think of foreign keys and partitions.
    pub relation: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {}", self.message, self.sqlstate)?;
        for (label, name) in [("constraint", &self.constraint), ("table", &self.relation), ("column", &self.column)] {
            if let Some(name) = name {
                write!(f, ", {label} {name}")?;
            }
        }
        f.write_str(")")
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// Takes from a server's error what may be shown.
    pub fn of(error: &DbError) -> Refusal {
        Refusal::taken(error, false)
    }

    /// The same of an author's statement that was given values of rows: it may have read them as code, or as names.
    pub fn of_values(error: &DbError) -> Refusal {
        Refusal::taken(error, true)
    }

    fn taken(error: &DbError, was_given_values: bool) -> Refusal {
        let sqlstate = error.code().code().to_owned();
        let message = match may_quote(error, was_given_values) {
            true => describe(error).to_owned(),
            false => error.message().to_owned(),
        };
        Refusal {
            message,
            sqlstate,
            constraint: error.constraint().map(str::to_owned),
            column: error.column().map(str::to_owned).or_else(|| column_of_copy(error.where_()?)),
            relation: error.table().map(|table| match error.schema() {
                Some(schema) => format!("{schema}.{table}"),
                None => table.to_owned(),
            }),
        }
    }

    /// Returns true when the same statements may succeed later, with nobody changing the tables.
    pub fn is_transient(&self) -> bool {
        let code = self.sqlstate.as_str();
        // 55P03 a lock timeout, 55006 object in use, 57014 cancelled by somebody, 25006 read-only: after a
        // failover the same address leads to the new primary. 53 covers a full disk, memory and connections.
        code.starts_with("08")
            || code.starts_with("40")
            || code.starts_with("53")
            || code.starts_with("57P")
            || matches!(code, "25006" | "55P03" | "55006" | "57014" | "58030" | "25P03")
            || self.is_old_segment()
    }

    /// A segment of an event store has ended, and is closed or gone; the next attempt appends to the newest one.
    fn is_old_segment(&self) -> bool {
        self.sqlstate == "23514" && self.constraint.is_none() && self.relation.as_deref() == Some("rejot_events.event")
    }

    /// Returns what the author of a statement should do.
    pub(super) fn hint_for_statement(&self) -> Option<String> {
        let text = match self.sqlstate.as_str() {
            "42P08" | "42P18" => "Say of which type the value is: `:name::type`.",
            "42P01" | "42703" | "42883" | "42704" | "3F000" => {
                "Correct the statement, or make what it names. Names without a schema are looked for in the role's own \
                 search_path."
            }
            "42601" => "Correct the statement.",
            "42501" => "GRANT the role of the connection what the statement needs.",
            "23505" => {
                "Let the statement take a row that is there already: INSERT … ON CONFLICT (…) DO UPDATE SET …. A row that is \
                 changed comes through the same statement as a new one."
            }
            "23502" | "23514" => "Correct the statement, or drop the constraint.",
            _ => return self.hint(),
        };
        Some(text.to_owned())
    }

    pub(super) fn hint(&self) -> Option<String> {
        let constraint = self.constraint.as_deref().unwrap_or("the constraint");
        let text = match self.sqlstate.as_str() {
            "53100" => "Free disk space at the destination; Pelton goes on by itself.".to_owned(),
            "53300" => "The destination has no connection left: raise max_connections or close some.".to_owned(),
            "25006" => "The destination is read-only: point the connection at the primary, or end its read-only mode \
                        (default_transaction_read_only)."
                .to_owned(),
            "55P03" => {
                "Another session holds a lock on the table: see pg_stat_activity and pg_blocking_pids().".to_owned()
            }
            "57014" => "Somebody cancelled the statement (pg_cancel_backend): see the server's log.".to_owned(),
            "23505" => format!(
                "The rows are unique at the source by their key, and {constraint} asks for more. Where the source swaps \
                 values within a transaction, make it DEFERRABLE; else drop it, or remove the rows in its way."
            ),
            "23P01" => format!("Make {constraint} DEFERRABLE, drop it, or remove the rows in its way."),
            "23503" => format!(
                "The rows that {constraint} asks for are not there: let the same manifest write both tables, or make \
                 the constraint DEFERRABLE, or drop it."
            ),
            "23502" => "Drop NOT NULL from that column, or have the transform fill it.".to_owned(),
            _ if self.is_old_segment() => "Pelton goes on by itself, with the newest segment.".to_owned(),
            "23514" => format!("Drop {constraint}, or have the transform keep to it."),
            "22001" | "22003" | "22026" => {
                "Widen the column at the destination (ALTER TABLE … ALTER COLUMN … TYPE …).".to_owned()
            }
            "22P02" | "22007" | "22008" | "22P03" => {
                "The column's type at the destination does not take what the transform emits: compare `pelton check` \
                 with the table."
                    .to_owned()
            }
            "54000" => "A value or row is larger than Postgres can take in one statement.".to_owned(),
            "42501" => {
                "GRANT SELECT, INSERT, UPDATE, DELETE on the table to the role of the connection (and CREATE on the \
                        schema where createTable is set)."
                    .to_owned()
            }
            "42P01" | "42703" | "42704" | "42804" | "0A000" => {
                "The table was changed since Pelton looked at it: restart, and it is checked anew.".to_owned()
            }
            "26000" | "42P05" => {
                "A transaction pooler loses prepared statements: connect to Postgres itself, or pool by session."
                    .to_owned()
            }
            "428C9" => "ALTER TABLE … ALTER COLUMN … SET GENERATED BY DEFAULT.".to_owned(),
            "P0001" => "A trigger at the destination raised the error: its text is in the server's log.".to_owned(),
            _ => return None,
        };
        Some(text)
    }
}

/// Tells whether a message may hold data.
///
/// Messages of class 22 do (`invalid input syntax for type integer: "secret"`). Whatever its code, that which a function
/// raises says what its author liked. And where a value is read as code or as a name (`:query::tsquery`, `:name::regclass`,
/// an EXECUTE in a trigger), errors of the classes for such quote it.
fn may_quote(error: &DbError, was_given_values: bool) -> bool {
    let code = error.code().code();
    let names_objects = match &code[..2.min(code.len())] {
        "08" | "21" | "23" | "25" | "26" | "28" | "34" | "40" | "53" | "55" | "57" | "58" => true,
        "0A" | "3D" | "3F" | "42" => {
            // The rights to an object that the statement itself names, mostly, are looked at with each run.
            let of_rights = error.routine() == Some("aclcheck_error");
            let in_function = error.where_().is_some_and(|context| !context.starts_with("COPY "));
            of_rights || !(was_given_values || in_function)
        }
        _ => false,
    };
    !names_objects || is_raised(error)
}

/// True for what a function raised by itself.
fn is_raised(error: &DbError) -> bool {
    error.routine() == Some("exec_stmt_raise")
}

/// Says in our words what an error means whose message may hold data.
fn describe(error: &DbError) -> &'static str {
    match error.code().code() {
        "P0001" => "a trigger raised an error",
        _ if is_raised(error) => "a function or trigger raised an error",
        "3D000" => "a database does not exist",
        "3F000" => "a schema does not exist",
        "42501" => "the role lacks a right",
        "42601" => "something has a syntax error",
        "42702" | "42725" => "a name is ambiguous",
        "42703" => "a column does not exist",
        "42704" => "something that is named does not exist",
        "42883" => "a function does not exist",
        "42P01" => "a table does not exist",
        code if code.starts_with("42") => "something does not fit what is there",
        code if code.starts_with("0A") => "something is not supported",
        "22001" => "a value is too long for its column",
        "22003" => "a number is out of range for its column",
        "22007" | "22008" => "a date or time is not valid for its column",
        "22021" => "a text holds bytes that the destination's encoding lacks",
        "22026" => "a bit string has another length than its column",
        "22P02" | "22P03" => "a value is not valid for the type of its column",
        "22P04" => "the rows don't fit the table's columns",
        "54000" => "a value or statement is larger than the server's limits",
        code if code.starts_with("22") => "a value is not valid for its column",
        code if code.starts_with("P0") => "a function at the destination failed",
        code if code.starts_with("54") => "the server's limits are exceeded",
        code if code.starts_with("XX") => "the server had an internal error",
        _ => "the server refused",
    }
}

/// Takes the column's name out of COPY's context, `COPY t, line 3, column price: "…"`; the value stays behind.
fn column_of_copy(context: &str) -> Option<String> {
    let rest = context.strip_prefix("COPY ")?;
    let (_, rest) = rest.split_once(", column ")?;
    let (column, _) = rest.split_once(": ").or_else(|| rest.split_once(','))?;
    Some(column.to_owned())
}
