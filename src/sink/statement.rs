//! A statement that an author wrote, run for every row.
//!
//! It is prepared once and sent like any other, one behind another, in the order of the source beside the tables that commit
//! with it; nothing is folded, for only its author knows what it does. A value goes in as the text that Postgres prints of
//! it, and Postgres reads it by the type that the parameter has where it stands.
//!
//! New and changed rows go through `sql`, deleted ones through `deleteSql`, and a row whose key has changed through both,
//! the former key first. Without a `deleteSql` what is deleted stays, as it does where a table is truncated: no statement
//! says how to empty what others write.

use std::borrow::Cow;
use std::sync::Arc;

use tokio_postgres::{Client, Statement};

use super::SinkError;
use super::encode::{self, NotText, Param};
use super::refusal::Refusal;
use crate::change::{Kind, Op, PublicSchema, Row, Tuple, Value};
use crate::sql::{Placeholder, Template};

/// The statements of a consumer.
#[derive(Clone, Debug)]
pub struct SqlTarget {
    /// Whose they are.
    pub consumer: String,
    pub sql: Template,
    pub delete_sql: Option<Template>,
    pub public: PublicSchema,
    /// The role's own `search_path`, under which its names mean what they mean to their author.
    pub search_path: String,
}

/// Which of a consumer's statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Sql,
    DeleteSql,
}

impl Which {
    pub(super) fn name(self) -> &'static str {
        match self {
            Which::Sql => "sql",
            Which::DeleteSql => "deleteSql",
        }
    }
}

/// A consumer's statements, prepared in one session.
pub struct SqlWriter {
    target: SqlTarget,
    pub(super) consumer: Arc<str>,
    key: Vec<usize>,
    /// A delete says all columns of the row.
    whole_rows: bool,
    sql: Prepared,
    delete_sql: Option<Prepared>,
    told_deletes: bool,
    told_truncates: bool,
}

struct Prepared {
    statement: Statement,
    /// Of each parameter: the public column that it takes.
    columns: Vec<usize>,
}

/// What is to be sent.
pub(super) struct Call<'p> {
    pub which: Which,
    pub statement: Statement,
    pub params: Vec<Param<'p>>,
}

impl SqlWriter {
    /// Prepares the statements, which the writer's session then has.
    ///
    /// # Errors
    /// They name what the public schema does not have, or Postgres refuses them.
    pub async fn prepare(client: &Client, target: SqlTarget) -> Result<SqlWriter, SinkError> {
        let key = target.public.key();
        let whole_rows = key.is_empty();
        let sql = prepared(client, &target, Which::Sql, &target.sql).await?;
        let delete_sql = match &target.delete_sql {
            Some(template) => Some(prepared(client, &target, Which::DeleteSql, template).await?),
            None => None,
        };
        let consumer = target.consumer.as_str().into();
        let (told_deletes, told_truncates) = (false, false);
        Ok(SqlWriter { target, consumer, key, whole_rows, sql, delete_sql, told_deletes, told_truncates })
    }

    /// Returns what was asked for.
    pub fn target(&self) -> &SqlTarget {
        &self.target
    }

    /// Returns what is to be sent for a row, in order; `index` is the writer's own, for errors.
    pub(super) fn calls<'p>(&mut self, index: usize, row: &'p Row) -> Result<Vec<Call<'p>>, SinkError> {
        let mut calls = Vec::with_capacity(1);
        match row.op {
            Op::Truncate => {
                if !std::mem::replace(&mut self.told_truncates, true) {
                    tracing::warn!(
                        consumer = self.target.consumer,
                        "a table was truncated at the source: rows that this consumer's statements wrote stay where they are"
                    );
                }
            }
            Op::Delete => match &self.delete_sql {
                Some(delete) => {
                    calls.push(self.call(index, Which::DeleteSql, delete, |column| row.values.get(column))?)
                }
                None => self.leave_out_delete(),
            },
            Op::Insert | Op::Update => {
                let old = row.old_key.as_ref().filter(|old| !self.whole_rows && moves(row, old, &self.key));
                match (old, &self.delete_sql) {
                    (Some(old), Some(delete)) => {
                        calls.push(self.call(index, Which::DeleteSql, delete, |column| self.of_key(old, column))?);
                    }
                    (Some(_), None) => self.leave_out_delete(),
                    (None, _) => {}
                }
                let value = |column: usize| match (row.values.get(column), &row.old_key) {
                    // A key column that was left alone, since it is TOASTed.
                    (Some(Value::Unchanged), Some(old)) if !self.whole_rows => {
                        self.of_key(old, column).or(Some(Value::Unchanged))
                    }
                    (Some(Value::Unchanged), Some(old)) => old.get(column),
                    (value, _) => value,
                };
                calls.push(self.call(index, Which::Sql, &self.sql, value)?);
            }
        }
        Ok(calls)
    }

    fn leave_out_delete(&mut self) {
        if !std::mem::replace(&mut self.told_deletes, true) {
            tracing::warn!(
                consumer = self.target.consumer,
                "rows are deleted at the source, or get another key, and stay here: the consumer has no `deleteSql`"
            );
        }
    }

    fn of_key<'p>(&self, key: &'p Tuple, column: usize) -> Option<Value<'p>> {
        key.get(self.key.iter().position(|&of_key| of_key == column)?)
    }

    fn call<'p>(
        &self,
        index: usize,
        which: Which,
        prepared: &Prepared,
        value: impl Fn(usize) -> Option<Value<'p>>,
    ) -> Result<Call<'p>, SinkError> {
        let param = |&column: &usize| match value(column) {
            None | Some(Value::Unchanged) => Err(self.unknown(index, which, column)),
            Some(value) => {
                let kind = &self.target.public.columns[column].kind;
                let text = encode::text(kind, value).map_err(|NotText| self.not_text(index, column))?;
                Ok(Param::Text(match (kind, text.as_deref()) {
                    // As the cast to text has it, so that it also goes into a column of text.
                    (Kind::Bool, Some(b"t")) => Some(Cow::Borrowed(b"true")),
                    (Kind::Bool, Some(b"f")) => Some(Cow::Borrowed(b"false")),
                    _ => text,
                }))
            }
        };
        let params = prepared.columns.iter().map(param).collect::<Result<_, _>>()?;
        Ok(Call { which, statement: prepared.statement.clone(), params })
    }

    fn unknown(&self, index: usize, which: Which, column: usize) -> SinkError {
        SinkError::FieldUnknown {
            consumer: self.target.consumer.clone(),
            index,
            statement: which.name(),
            field: self.target.public.columns[column].name.to_string(),
        }
    }

    fn not_text(&self, index: usize, column: usize) -> SinkError {
        let column = &self.target.public.columns[column];
        SinkError::BinaryField {
            consumer: self.target.consumer.clone(),
            index,
            field: column.name.to_string(),
            kind: column.kind.to_string(),
        }
    }
}

/// Tells whether the former key is another one.
fn moves(row: &Row, old: &Tuple, key: &[usize]) -> bool {
    old.columns().zip(key).any(|(old, &column)| {
        let new = row.values.get(column);
        new != Some(Value::Unchanged) && new != Some(old)
    })
}

/// Returns the columns that a statement may name, in the order in which `$n` counts them.
fn fields(target: &SqlTarget, which: Which) -> Vec<usize> {
    let key = target.public.key();
    match which {
        Which::DeleteSql if !key.is_empty() => key,
        _ => (0..target.public.columns.len()).collect(),
    }
}

fn column_of(target: &SqlTarget, which: Which, placeholder: &Placeholder) -> Result<usize, SinkError> {
    let fields = fields(target, which);
    let name = |column: &usize| target.public.columns[*column].name.to_string();
    let found = match placeholder {
        Placeholder::Named(wanted) => fields.iter().find(|column| name(column) == *wanted),
        Placeholder::Numbered(number) => fields.get(usize::from(*number) - 1),
    };
    found.copied().ok_or_else(|| SinkError::NoSuchField {
        consumer: target.consumer.clone(),
        statement: which.name(),
        placeholder: placeholder.to_string(),
        public_schema: format!("{}@{}", target.public.name, target.public.major),
        fields: fields.iter().map(name).collect(),
    })
}

async fn prepared(
    client: &Client,
    target: &SqlTarget,
    which: Which,
    template: &Template,
) -> Result<Prepared, SinkError> {
    let placeholders = template.placeholders();
    let columns =
        placeholders.iter().map(|one| column_of(target, which, one)).collect::<Result<Vec<usize>, SinkError>>()?;
    let number = |one: &Placeholder| 1 + placeholders.iter().position(|known| known == one).unwrap_or_default();
    let shared = template.render(|one| format!("${}", number(one)));
    let failed = |error| refused(&target.consumer, which, None, "prepare", error);
    match prepare(client, &target.search_path, &shared).await {
        Ok(statement) => Ok(Prepared { statement, columns }),
        // One value that is taken as two types has to be two parameters.
        Err(error) if error.code().is_some_and(|code| matches!(code.code(), "42P08" | "42P18" | "42804" | "42883")) => {
            let mut each = Vec::new();
            let apart = template.render(|one| {
                each.push(columns[number(one) - 1]);
                format!("${}", each.len())
            });
            match prepare(client, &target.search_path, &apart).await {
                Ok(statement) => Ok(Prepared { statement, columns: each }),
                Err(_) => Err(failed(error)),
            }
        }
        Err(error) => Err(failed(error)),
    }
}

async fn prepare(client: &Client, search_path: &str, sql: &str) -> Result<Statement, tokio_postgres::Error> {
    client.batch_execute(&format!("BEGIN; {}", set_path(search_path))).await?;
    let prepared = client.prepare(sql).await;
    client.batch_execute("ROLLBACK").await?;
    prepared
}

/// Returns the statement by which names mean what they mean under that path, until the transaction ends.
pub(super) fn set_path(path: &str) -> String {
    format!("SELECT pg_catalog.set_config('search_path', '{}', true)", path.replace('\'', "''"))
}

/// Wraps what a server or a connection said of a consumer's statement.
pub(super) fn refused(
    consumer: &str,
    which: Which,
    index: Option<usize>,
    act: &'static str,
    error: tokio_postgres::Error,
) -> SinkError {
    match error.as_db_error() {
        Some(db) => SinkError::Statement {
            act,
            consumer: consumer.to_owned(),
            statement: which.name(),
            index,
            // It is prepared without values.
            source: Box::new(if index.is_some() { Refusal::of_values(db) } else { Refusal::of(db) }),
        },
        None => SinkError::Connection { act: "run a consumer's statement", source: error },
    }
}
