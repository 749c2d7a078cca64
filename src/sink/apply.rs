//! Carrying out the steps of a plan.
//!
//! A step of a few rows is as many small statements, pipelined; one of many rows is one statement over arrays, or a
//! COPY where the rows are new ([`super::copy`]). The limits come from `cargo bench --bench sink`.

use std::sync::Arc;

use tokio_postgres::Client;

use super::encode::{self, NotText, Param, TextArray};
use super::pipeline::{About, Counts, Pipeline};
use super::plan::{Do, Step};
use super::rows::{Item, Rows, Side};
use super::shape::Shape;
use super::sql::{self, Arity, Known, Verb};
use super::statement::{Call, SqlWriter, set_path};
use super::{SinkError, TableWriter, WriteStats};
use crate::change::Value;

/// Steps of fewer rows go row by row.
const MANY_MIN: usize = 8;
/// Fewer new rows go by array: a COPY takes two round trips of its own, three with its savepoint.
const COPY_MIN: usize = 200;
/// Rows and bytes of one statement over arrays.
const ARRAY_ROWS_MAX: usize = 10_000;
const ARRAY_BYTES_MAX: usize = 4 << 20;
/// Statements over arrays find rows by index, one by one, whatever the statistics say: those of a young table say that
/// it is empty, and a plan made then would read all of it for every batch after. Compiling such statements never pays.
const PLANNER: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
                       SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// Carries out steps over one session.
pub(super) struct Applier<'p, 't> {
    pub(super) client: &'p Client,
    pub(super) tables: &'t mut [TableWriter],
    /// What is addressed behind the tables.
    statements: &'t mut [SqlWriter],
    pub(super) rows: &'p Rows<'p>,
    pub(super) pipeline: Pipeline<'p>,
    planner_set: bool,
    /// Names mean what they mean to the authors of statements.
    authors_path: bool,
}

impl<'p, 't> Applier<'p, 't> {
    pub(super) fn new(
        client: &'p Client,
        tables: &'t mut [TableWriter],
        statements: &'t mut [SqlWriter],
        rows: &'p Rows<'p>,
    ) -> Applier<'p, 't> {
        let pipeline = Pipeline::new(client);
        Applier { client, tables, statements, rows, pipeline, planner_set: false, authors_path: false }
    }

    /// Sends a statement that is about no table.
    pub(super) async fn session(&mut self, act: &'static str, sql: &str) -> Result<(), SinkError> {
        self.pipeline.batch(About::session(act), Counts::Nothing, sql.to_owned()).await
    }

    /// Carries out all steps and waits for the last answer.
    pub(super) async fn apply(&mut self, steps: &[Step]) -> Result<(), SinkError> {
        let mut steps = steps;
        while let Some((step, rest)) = steps.split_first() {
            steps = rest;
            if step.what == Do::Statement {
                self.statements(step).await?;
                continue;
            }
            self.our_path().await?;
            if step.what == Do::Truncate {
                let more = rest.iter().take_while(|step| step.what == Do::Truncate).count();
                let tables: Vec<usize> = std::iter::once(step).chain(&rest[..more]).map(|step| step.table).collect();
                steps = &rest[more..];
                self.truncate(tables).await?;
                continue;
            }
            self.step(step).await?;
        }
        self.our_path().await?;
        self.pipeline.settle().await
    }

    /// Runs an author's statements, row by row.
    async fn statements(&mut self, step: &Step) -> Result<(), SinkError> {
        let rows: &'p Rows<'p> = self.rows;
        let writer = &mut self.statements[step.table - self.tables.len()];
        let (consumer, path) = (writer.consumer.clone(), set_path(&writer.target().search_path));
        if !std::mem::replace(&mut self.authors_path, true) {
            self.session("set the search_path", &path).await?;
        }
        for item in &step.items {
            let writer = &mut self.statements[step.table - self.tables.len()];
            for Call { which, statement, params } in writer.calls(step.table, rows.get(item.row).row)? {
                let consumer = Some((step.table, consumer.clone(), which));
                let about = About { act: "run", table: None, consumer };
                self.pipeline.execute(about, Counts::Nothing, statement, params).await?;
            }
        }
        Ok(())
    }

    async fn our_path(&mut self) -> Result<(), SinkError> {
        if std::mem::replace(&mut self.authors_path, false) {
            self.session("set the search_path", &set_path("pg_catalog")).await?;
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<WriteStats, SinkError> {
        self.pipeline.settle().await?;
        Ok(self.pipeline.stats)
    }

    async fn step(&mut self, step: &Step) -> Result<(), SinkError> {
        let shape = self.tables[step.table].shape.clone();
        let items = &step.items;
        let new = |act| About::table(act, step.table, &shape);
        let many = |last_wins| if last_wins { Arity::ManyLastWins } else { Arity::Many };
        match &step.what {
            Do::Truncate | Do::Statement => unreachable!("handled with its neighbours"),
            Do::Append if shape.copy && items.len() >= COPY_MIN => {
                self.copy(&new("copy rows"), step.table, &shape, items).await.map(|_| ())
            }
            Do::Append => self.rows(new("insert rows"), Verb::Insert, Arity::Many, Counts::Inserted, items).await,
            Do::InsertFresh if shape.copy && items.len() >= COPY_MIN && self.tables[step.table].copies.try_now() => {
                if self.copy(&new("copy rows"), step.table, &shape, items).await? {
                    return Ok(());
                }
                self.rows(new("write rows"), Verb::Upsert, Arity::Many, Counts::Upserted, items).await
            }
            Do::InsertFresh => self.rows(new("write rows"), Verb::Upsert, Arity::Many, Counts::Upserted, items).await,
            Do::Upsert { last_wins } => {
                self.rows(new("write rows"), Verb::Upsert, many(*last_wins), Counts::Upserted, items).await
            }
            Do::Patch { unchanged, last_wins } => {
                let verb = Verb::Patch(unchanged.clone());
                if !verb.has_effect(&shape) {
                    return Ok(());
                }
                let arity = many(*last_wins);
                // Of rows that share a key only one is found, so there is nothing to learn from the number.
                let expected = if *last_wins { 0 } else { 1 };
                self.rows(new("update rows"), verb, arity, Counts::Updated { expected }, items).await
            }
            Do::Delete => {
                // A row that is not there need not be deleted.
                let counts = Counts::Deleted { expected: 0 };
                self.rows(new("delete rows"), Verb::Delete, Arity::Many, counts, items).await
            }
            Do::Move { whole } => self.moves(new("change keys"), &shape, items, *whole).await,
            Do::UpdateWhole | Do::DeleteWhole => self.whole(step, &shape).await,
        }
    }

    /// Carries out one verb for all rows, by arrays if they are many.
    async fn rows(
        &mut self,
        about: About,
        verb: Verb,
        arity: Arity,
        counts: Counts,
        items: &[Item],
    ) -> Result<(), SinkError> {
        let (table, shape) = about.table.clone().expect("rows belong to a table");
        if items.len() < MANY_MIN || !shape.bulk {
            for &item in items {
                let params = self.params(&shape, &verb, item)?;
                self.one(&about, table, &verb, counts, params).await?;
            }
            return Ok(());
        }
        if !self.planner_set && !matches!(verb, Verb::Insert) {
            self.session("set up the planner", PLANNER).await?;
            self.planner_set = true;
        }
        let mut rest = items;
        while !rest.is_empty() {
            let (params, taken) = self.arrays(&shape, &verb, rest)?;
            let counts = match counts {
                Counts::Updated { expected } => Counts::Updated { expected: expected * taken as u64 },
                other => other,
            };
            rest = &rest[taken..];
            let statement = self.statement(&about, table, &verb, arity).await?;
            self.pipeline.execute(about.clone(), counts, statement, params).await?;
        }
        Ok(())
    }

    async fn one(
        &mut self,
        about: &About,
        table: usize,
        verb: &Verb,
        counts: Counts,
        params: Vec<Param<'p>>,
    ) -> Result<(), SinkError> {
        let statement = self.statement(about, table, verb, Arity::One).await?;
        self.pipeline.execute(about.clone(), counts, statement, params).await
    }

    pub(super) async fn statement(
        &mut self,
        about: &About,
        table: usize,
        verb: &Verb,
        arity: Arity,
    ) -> Result<tokio_postgres::Statement, SinkError> {
        match self.pipeline.alongside(self.tables[table].statement(self.client, verb, arity)).await {
            Ok(statement) => Ok(statement),
            // In a transaction that an earlier statement has failed, preparing fails too.
            Err(error) => Err(self.pipeline.first_failure(about, error).await),
        }
    }

    /// Changes keys row by row: what a row moves onto may be what the one before it moved away from.
    async fn moves(&mut self, about: About, shape: &Arc<Shape>, items: &[Item], whole: bool) -> Result<(), SinkError> {
        let (table, _) = about.table.clone().expect("rows belong to a table");
        for &item in items {
            let mut keys = self.key(shape, item)?;
            keys.extend(self.key(shape, Item { side: Side::Old, ..item })?);
            let room = Verb::MakeRoom { only_if_moved: !whole };
            self.one(&about, table, &room, Counts::Nothing, keys).await?;
            let verb = Verb::Move(self.rows.unchanged(shape, item.row));
            let mut params = self.columns(shape, &verb.columns(shape), item.row)?;
            params.extend(self.key(shape, Item { side: Side::Old, ..item })?);
            // Where the old row is not there, a whole one is written all the same; a partial one can't be.
            let counts = Counts::Updated { expected: u64::from(!whole) };
            self.one(&about, table, &verb, counts, params).await?;
            if whole {
                let params = self.params(shape, &Verb::InsertMissing, item)?;
                self.one(&about, table, &Verb::InsertMissing, Counts::Inserted, params).await?;
            }
        }
        Ok(())
    }

    /// Updates or deletes rows that only all their old columns tell apart.
    async fn whole(&mut self, step: &Step, shape: &Arc<Shape>) -> Result<(), SinkError> {
        let update = step.what == Do::UpdateWhole;
        let act = if update { "update rows" } else { "delete rows" };
        let about = About::table(act, step.table, shape);
        if !self.planner_set {
            self.session("set up the planner", PLANNER).await?;
            self.planner_set = true;
        }
        for &item in &step.items {
            let row = self.rows.get(item.row).row;
            let old = match (&row.old_key, update) {
                (Some(old), true) => old,
                _ => &row.values,
            };
            let known = |value| match value {
                Value::Unchanged => Known::Nothing,
                Value::Null => Known::Null,
                Value::Text(_) | Value::Binary(_) => Known::Value,
            };
            let known: Box<[Known]> = old.columns().map(known).collect();
            let (verb, mut params, counts) = if update {
                let verb = Verb::UpdateWhole(self.rows.unchanged(shape, item.row), known);
                let params = self.columns(shape, &verb.columns(shape), item.row)?;
                (verb, params, Counts::Updated { expected: 1 })
            } else {
                // Here one of several equal rows is meant: if there is none, the tables differ by a row.
                (Verb::DeleteWhole(known), Vec::new(), Counts::Deleted { expected: 1 })
            };
            for (column, value) in old.columns().enumerate() {
                if matches!(value, Value::Text(_) | Value::Binary(_)) {
                    params.push(param(shape, column, value)?);
                }
            }
            self.one(&about, step.table, &verb, counts, params).await?;
        }
        Ok(())
    }

    /// Empties tables. One that a foreign key of another table refers to can't be truncated without that one, so its
    /// rows are deleted.
    async fn truncate(&mut self, mut tables: Vec<usize>) -> Result<(), SinkError> {
        tables.sort_unstable();
        tables.dedup();
        let shapes: Vec<Arc<Shape>> = tables.iter().map(|&table| self.tables[table].shape.clone()).collect();
        let together = |shape: &Arc<Shape>| {
            shape.truncate && shape.referred_by.iter().all(|oid| shapes.iter().any(|other| other.oid == *oid))
        };
        if shapes.iter().all(together) {
            let about = About::table("truncate", tables[0], &shapes[0]);
            let sql = sql::truncate(shapes.iter().map(|shape| &**shape));
            return self.pipeline.batch(about, Counts::Truncated { tables: tables.len() as u64 }, sql).await;
        }
        // Referring tables first.
        let refs: Vec<&Shape> = shapes.iter().map(|shape| &**shape).collect();
        for at in super::plan::parents_first(&refs).into_iter().rev() {
            let shape = &shapes[at];
            let about = About::table("empty", tables[at], shape);
            let sql = match together(shape) {
                true => sql::truncate([&**shape]),
                false => format!("DELETE FROM {}", shape.table),
            };
            self.pipeline.batch(about, Counts::Truncated { tables: 1 }, sql).await?;
        }
        Ok(())
    }

    /// Returns the parameters of a verb for one row.
    fn params(&self, shape: &Shape, verb: &Verb, item: Item) -> Result<Vec<Param<'p>>, SinkError> {
        match verb {
            Verb::Delete => self.key(shape, item),
            _ => self.columns(shape, &verb.columns(shape), item.row),
        }
    }

    fn key(&self, shape: &Shape, item: Item) -> Result<Vec<Param<'p>>, SinkError> {
        let one = |(position, &column)| param(shape, column, self.rows.key_cell(shape, item, position));
        shape.key.iter().enumerate().map(one).collect()
    }

    fn columns(&self, shape: &Shape, columns: &[usize], row: u32) -> Result<Vec<Param<'p>>, SinkError> {
        let mut params = Vec::with_capacity(columns.len());
        let each = |column: usize, value| {
            if columns.get(params.len()) == Some(&column) {
                params.push(param(shape, column, value)?);
            }
            Ok(())
        };
        self.rows.cells(shape, row, each)?;
        Ok(params)
    }

    /// Returns the arrays of a verb for as many rows as one statement takes, and their number.
    fn arrays(&self, shape: &Shape, verb: &Verb, items: &[Item]) -> Result<(Vec<Param<'p>>, usize), SinkError> {
        let columns = verb.columns(shape);
        let mut arrays: Vec<TextArray> = Vec::new();
        arrays.resize_with(columns.len(), TextArray::default);
        let push = |array: &mut TextArray, column: usize, value| {
            array.push(&shape.columns[column].kind, value).map_err(|NotText| not_text(shape, column))
        };
        let (mut taken, mut bytes) = (0, 0);
        for &item in items.iter().take(ARRAY_ROWS_MAX) {
            if *verb == Verb::Delete {
                for (position, &column) in columns.iter().enumerate() {
                    bytes += push(&mut arrays[position], column, self.rows.key_cell(shape, item, position))?;
                }
            } else {
                let mut next = 0;
                let each = |column: usize, value| {
                    if columns.get(next) == Some(&column) {
                        bytes += push(&mut arrays[next], column, value)?;
                        next += 1;
                    }
                    Ok(())
                };
                self.rows.cells(shape, item.row, each)?;
            }
            taken += 1;
            if bytes >= ARRAY_BYTES_MAX {
                break;
            }
        }
        Ok((arrays.into_iter().map(Param::Array).collect(), taken))
    }
}

fn param<'p>(shape: &Shape, column: usize, value: Value<'p>) -> Result<Param<'p>, SinkError> {
    let at = &shape.columns[column];
    match value {
        Value::Binary(bytes) if at.bytea => Ok(Param::Bytea(bytes)),
        value => encode::text(&at.kind, value).map(Param::Text).map_err(|NotText| not_text(shape, column)),
    }
}

pub(super) fn not_text(shape: &Shape, column: usize) -> SinkError {
    let column = &shape.columns[column];
    SinkError::BinaryValue { table: shape.readable.clone(), column: column.name.clone(), kind: column.kind.to_string() }
}
