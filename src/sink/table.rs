//! One destination table: made or checked, with the statements that its session has prepared.

use std::sync::Arc;

use hashbrown::HashMap;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use super::shape::{Shape, readable};
use super::sql::{Arity, Verb};
use super::{SinkError, catalog, check, create};
use crate::change::{Column, PublicSchema};

/// A table as a flow wants it.
#[derive(Clone, Debug)]
pub struct TableTarget {
    pub schema: String,
    pub table: String,
    /// Make the table from the public schema if it does not exist, and add the columns that it lacks.
    pub create_table: bool,
    pub public: PublicSchema,
    /// False where a public column without a type modifier says nothing of its digits, as a transform's.
    pub exact: bool,
}

impl TableTarget {
    /// Returns `schema.table` for messages.
    pub fn readable(&self) -> String {
        readable(&self.schema, &self.table)
    }
}

/// The statements that one table may have prepared at a time. Each set of unchanged columns has its own; a table whose
/// updates leave ever other columns alone would fill the server's memory otherwise.
const STATEMENTS_MAX: usize = 128;

/// One destination table, checked and ready to be written through one session.
pub struct TableWriter {
    target: TableTarget,
    pub(super) shape: Arc<Shape>,
    pub(super) copies: CopyTrust,
    statements: HashMap<(Verb, Arity), Statement>,
}

impl TableWriter {
    /// Makes the table where that is asked for and needed, and checks that it takes what the public schema promises.
    ///
    /// The writer belongs to the session of `client`, which must have Pelton's pinned settings. A table that is made
    /// in a transaction that rolls back needs another `prepare`.
    ///
    /// # Errors
    /// The first thing that is wrong with the table, before any row is written.
    pub async fn prepare(client: &Client, target: TableTarget) -> Result<TableWriter, SinkError> {
        if target.public.columns.is_empty() {
            return Err(SinkError::NoColumns { table: target.readable() });
        }
        let looking = |error| SinkError::server("look up the destination table", None, Some(&target.readable()), error);
        let mut found = catalog::relation(client, &target.schema, &target.table).await.map_err(looking)?;
        if found.is_none() && target.create_table {
            create::create(client, &target).await?;
            found = catalog::relation(client, &target.schema, &target.table).await.map_err(looking)?;
        }
        let found = found.ok_or_else(|| SinkError::TableMissing { table: target.readable() })?;
        check::is_table(&target, &found)?;
        let mut columns = catalog::columns(client, found.oid).await.map_err(looking)?;
        let lacking = lacking(&target, &columns);
        if !lacking.is_empty() {
            create::add_columns(client, &target, &lacking).await?;
            columns = catalog::columns(client, found.oid).await.map_err(looking)?;
        }
        let indexes = catalog::indexes(client, found.oid).await.map_err(looking)?;
        let constraints = catalog::constraints(client, found.oid).await.map_err(looking)?;
        let types = check::foreign_types(client, &target, &columns).await.map_err(looking)?;
        let shape = check::shape(&target, &found, &columns, &indexes, &constraints, &types)?;
        Ok(TableWriter { target, shape: Arc::new(shape), copies: CopyTrust::default(), statements: HashMap::new() })
    }

    /// Says why the table can't be compared row by row with what it is made of; `None` when it can. Rows must all be seen,
    /// and what a key's text is must say which row it is: of two spellings of one key (`1.5` and `1.50`) the one would
    /// count as missing, the other as surplus.
    pub fn incomparable(&self) -> Option<&'static str> {
        let spelt_once = |&column: &usize| self.shape.columns[column].form.is_spelt_once();
        if self.shape.key.is_empty() {
            Some("its table has no key")
        } else if !self.shape.copy {
            Some("row-level security may hide rows of its table")
        } else if !self.shape.key.iter().all(spelt_once) {
            Some("equal keys of its table may be spelt in several ways")
        } else {
            None
        }
    }

    /// Returns what was asked for.
    pub fn target(&self) -> &TableTarget {
        &self.target
    }

    /// Returns the prepared statement, preparing it first where it is new.
    pub(super) async fn statement(
        &mut self,
        client: &Client,
        verb: &Verb,
        arity: Arity,
    ) -> Result<Statement, tokio_postgres::Error> {
        let key = (verb.clone(), arity);
        if let Some(statement) = self.statements.get(&key) {
            return Ok(statement.clone());
        }
        let sql = verb.sql(&self.shape, arity);
        // The types of arrays are named, or tokio-postgres would look them up; those of single values are the columns'.
        let types = match arity {
            Arity::One => Vec::new(),
            _ => vec![Type::TEXT_ARRAY; verb.columns(&self.shape).len()],
        };
        let statement = client.prepare_typed(&sql, &types).await?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(key, statement.clone());
        Ok(statement)
    }
}

/// Says what would keep [`TableWriter::prepare`] from making a table ready, and makes and changes nothing.
///
/// # Errors
/// The first thing that is wrong, or what the server says.
pub async fn fits(client: &Client, target: &TableTarget) -> Result<(), SinkError> {
    if target.public.columns.is_empty() {
        return Err(SinkError::NoColumns { table: target.readable() });
    }
    let looking = |error| SinkError::server("look up the destination table", None, Some(&target.readable()), error);
    let Some(found) = catalog::relation(client, &target.schema, &target.table).await.map_err(looking)? else {
        if !target.create_table {
            return Err(SinkError::TableMissing { table: target.readable() });
        }
        return create::could_add(client, target, &target.public.columns.iter().collect::<Vec<_>>()).await;
    };
    check::is_table(target, &found)?;
    let columns = catalog::columns(client, found.oid).await.map_err(looking)?;
    let indexes = catalog::indexes(client, found.oid).await.map_err(looking)?;
    let types = check::foreign_types(client, target, &columns).await.map_err(looking)?;
    let lacking = lacking(target, &columns);
    create::could_add(client, target, &lacking).await?;
    let is_added = |problem: &SinkError| match problem {
        SinkError::ColumnMissing { column, .. } => lacking.iter().any(|lacking| *lacking.name == **column),
        _ => false,
    };
    let problems = check::problems(target, &columns, &indexes, &types);
    problems.into_iter().find(|problem| !is_added(problem)).map_or(Ok(()), Err)
}

/// Returns the columns that are to be added to a table.
fn lacking<'a>(target: &'a TableTarget, columns: &[catalog::FoundColumn]) -> Vec<&'a Column> {
    let is_there = |wanted: &Column| columns.iter().any(|column| column.name == *wanted.name);
    let wanted = target.public.columns.iter().filter(|_| target.create_table);
    wanted.filter(|column| !column.key && !is_there(column)).collect()
}

/// Looks at a table without making or changing anything, and returns everything that keeps its rows from being written,
/// but for the role's rights. A table that is missing has nothing wrong with it.
///
/// # Errors
/// What the server says.
pub async fn examine(client: &Client, target: &TableTarget) -> Result<Vec<SinkError>, tokio_postgres::Error> {
    let Some(mut found) = catalog::relation(client, &target.schema, &target.table).await? else {
        return Ok(Vec::new());
    };
    found.lacks = None;
    if let Err(problem) = check::is_table(target, &found) {
        return Ok(vec![problem]);
    }
    let columns = catalog::columns(client, found.oid).await?;
    let indexes = catalog::indexes(client, found.oid).await?;
    let types = check::foreign_types(client, target, &columns).await?;
    Ok(check::problems(target, &columns, &indexes, &types))
}

/// Whether rows that are new at the source are worth a COPY, which fails as a whole if one of them exists.
///
/// After a failure, the next rows go by upsert, for twice as many calls each time; a COPY that passes restores trust.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CopyTrust {
    skip: u32,
    penalty: u32,
    only_text: bool,
}

impl CopyTrust {
    const PENALTY_MAX: u32 = 1024;

    /// Returns true when a COPY should be tried now.
    pub(super) fn try_now(&mut self) -> bool {
        if self.skip == 0 {
            return true;
        }
        self.skip -= 1;
        false
    }

    /// Returns true when rows should be written in binary form: all columns have one, and no value was seen that was not
    /// plain. There are more where that came from, and each one costs a COPY.
    pub(super) fn binary(&self, shape: &Shape) -> bool {
        !self.only_text && shape.columns.iter().all(|column| column.send.is_some())
    }

    pub(super) fn only_text(&mut self) {
        self.only_text = true;
    }

    pub(super) fn passed(&mut self) {
        self.penalty = 0;
    }

    pub(super) fn failed(&mut self) {
        self.penalty = (self.penalty * 2).clamp(8, Self::PENALTY_MAX);
        self.skip = self.penalty;
    }
}
