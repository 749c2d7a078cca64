//! The tables and statements that commit together, and how a batch of their rows is written.

use std::sync::Arc;

use tokio_postgres::Client;

use super::apply::Applier;
use super::plan::{self, Plan};
use super::rows::Rows;
use super::shape::Shape;
use super::{SinkError, SqlWriter, TableWriter};
use crate::change::{Op, Row, TupleWriter};

/// A row and the table that it goes to.
#[derive(Clone, Copy, Debug)]
pub struct Addressed<'a> {
    /// Index into the destination's tables.
    pub table: usize,
    pub row: &'a Row,
}

/// What a call of [`Destination::write`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Rows that were handed in.
    pub rows: u64,
    /// New rows that went in by COPY.
    pub copied: u64,
    /// Those of them that went in binary form.
    pub copied_binary: u64,
    /// New rows that went in by INSERT.
    pub inserted: u64,
    /// Rows that were inserted or replaced by key.
    pub upserted: u64,
    /// Rows of which some columns were updated, or whose key was changed.
    pub updated: u64,
    pub deleted: u64,
    /// Tables that were emptied.
    pub truncated: u64,
    /// Changes that need a row which the destination does not have, so nothing was written: updates that leave columns
    /// alone, and, of tables without a key, updates and deletes. Rows that only Postgres can tell apart are not counted.
    pub missing: u64,
    /// The same by table.
    pub missing_by_table: Vec<(usize, u64)>,
    /// Bytes of rows sent to the server.
    pub bytes: u64,
    /// Rows that were folded by key, including those that were written as they were since their key came once.
    pub folded: u64,
    /// 1 if a constraint refused the folded rows and they were applied in source order instead.
    pub fallbacks: u64,
}

impl std::ops::AddAssign for WriteStats {
    fn add_assign(&mut self, other: WriteStats) {
        self.rows += other.rows;
        self.copied += other.copied;
        self.copied_binary += other.copied_binary;
        self.inserted += other.inserted;
        self.upserted += other.upserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.truncated += other.truncated;
        other.missing_by_table.into_iter().for_each(|(table, rows)| self.miss(table, rows));
        self.bytes += other.bytes;
        self.folded += other.folded;
        self.fallbacks += other.fallbacks;
    }
}

impl WriteStats {
    /// Counts rows that were not there.
    pub(super) fn miss(&mut self, table: usize, rows: u64) {
        if rows == 0 {
            return;
        }
        self.missing += rows;
        match self.missing_by_table.iter_mut().find(|(known, _)| *known == table) {
            Some((_, sum)) => *sum += rows,
            None => self.missing_by_table.push((table, rows)),
        }
    }
}

/// Up to so many rows are applied as they come: they cost one round trip, and there is little to fold.
const FEW_ROWS: usize = 50;

const BATCH_SAVEPOINT: &str = "pelton_batch";

/// Who writes the rows of one flow.
pub enum Writer {
    Table(TableWriter),
    Sql(SqlWriter),
}

impl From<TableWriter> for Writer {
    fn from(table: TableWriter) -> Writer {
        Writer::Table(table)
    }
}

impl From<SqlWriter> for Writer {
    fn from(statements: SqlWriter) -> Writer {
        Writer::Sql(statements)
    }
}

/// The tables and statements that commit together, over one session.
///
/// A failed [`write`](Destination::write) leaves the session's transaction failed: the caller rolls back. After the
/// connection is lost, a new destination is prepared over a new one.
///
/// Inside, tables are numbered first and statements behind them; rows address the writers as they were given.
pub struct Destination {
    tables: Vec<TableWriter>,
    statements: Vec<SqlWriter>,
    /// By the number that rows have: the number inside.
    inside: Vec<usize>,
    /// The tables, each after those it refers to.
    order: Vec<usize>,
    folding: FoldTrust,
}

impl Destination {
    /// Takes the writers in the order in which rows address them.
    pub fn new(writers: impl IntoIterator<Item = impl Into<Writer>>) -> Destination {
        let (mut tables, mut statements, mut is_table) = (Vec::new(), Vec::new(), Vec::new());
        for writer in writers {
            match writer.into() {
                Writer::Table(table) => {
                    is_table.push((true, tables.len()));
                    tables.push(table);
                }
                Writer::Sql(writer) => {
                    is_table.push((false, statements.len()));
                    statements.push(writer);
                }
            }
        }
        let inside = |&(is_table, at): &(bool, usize)| if is_table { at } else { tables.len() + at };
        let inside = is_table.iter().map(inside).collect();
        let shapes: Vec<&Shape> = tables.iter().map(|table: &TableWriter| &*table.shape).collect();
        let order = plan::parents_first(&shapes);
        Destination { tables, statements, inside, order, folding: FoldTrust::default() }
    }

    /// Returns what a writer is called in messages: its table, or its consumer.
    pub fn name(&self, writer: usize) -> String {
        let at = self.inside[writer];
        match self.tables.get(at) {
            Some(table) => table.target().readable(),
            None => self.statements[at - self.tables.len()].target().consumer.clone(),
        }
    }

    /// Gives the writers back, in the order in which they came.
    pub fn into_writers(self) -> Vec<Writer> {
        let (mut tables, mut statements) = (self.tables.into_iter(), self.statements.into_iter());
        let count = tables.len();
        let writer = |at: usize| match at < count {
            true => tables.next().map(Writer::Table),
            false => statements.next().map(Writer::Sql),
        };
        self.inside.into_iter().filter_map(writer).collect()
    }

    /// Returns a consumer whose statements write here, and so do not say how to empty what they wrote.
    pub fn has_statements(&self) -> Option<&str> {
        self.statements.first().map(|writer| &*writer.consumer)
    }

    /// Returns a table whose rows can't be deleted without those of other tables, which are not among these.
    pub fn reaches_out(&self) -> Option<&str> {
        let shapes = || self.tables.iter().map(|table| &table.shape);
        let among = |oid: &u32| shapes().any(|shape| shape.oid == *oid);
        let reaches = |shape: &&Arc<Shape>| shape.cascades() && !shape.referred_by.iter().all(among);
        shapes().find(reaches).map(|shape| shape.readable.as_str())
    }

    /// Orders tables so that each comes after those it refers to.
    pub fn parents_first(&self) -> &[usize] {
        &self.order
    }

    /// Empties all tables, in the transaction that the caller has opened on `client`.
    ///
    /// # Errors
    /// As [`write`](Destination::write).
    pub async fn empty(&mut self, client: &Client) -> Result<(), SinkError> {
        let mut writer = TupleWriter::default();
        writer.begin();
        writer.end();
        let values = writer.finish().pop().expect("a row was written");
        let row = Row { public_schema: 0, op: Op::Truncate, source: 0, values, old_key: None };
        let rows: Vec<Addressed<'_>> = (0..self.tables.len()).map(|table| Addressed { table, row: &row }).collect();
        self.write_inside(client, &rows).await.map(drop)
    }

    /// Writes rows in the transaction that the caller has opened on `client`.
    ///
    /// `rows` are in source order across tables. A huge transaction may come in many calls. Deferrable constraints are
    /// deferred, so what they refuse shows at COMMIT ([`SinkError::at_commit`]).
    ///
    /// # Errors
    /// The first failure. The transaction is to be rolled back; nothing of the rows stays.
    pub async fn write(&mut self, client: &Client, rows: &[Addressed<'_>]) -> Result<WriteStats, SinkError> {
        if let Some(row) = rows.iter().find(|row| row.table >= self.inside.len()) {
            return Err(SinkError::UnknownTable { index: row.table, tables: self.inside.len() });
        }
        if self.statements.is_empty() {
            return self.write_inside(client, rows).await;
        }
        let inside = |row: &Addressed<'_>| self.inside[row.table];
        let numbered: Vec<Addressed<'_>> =
            rows.iter().map(|row| Addressed { table: inside(row), row: row.row }).collect();
        let outside = |at: usize| self.inside.iter().position(|&inside| inside == at).unwrap_or(at);
        let outside: Vec<usize> = (0..self.inside.len()).map(outside).collect();
        let mut stats =
            self.write_inside(client, &numbered).await.map_err(|error| error.renumbered(|at| outside[at]))?;
        stats.missing_by_table.iter_mut().for_each(|(table, _)| *table = outside[*table]);
        Ok(stats)
    }

    async fn write_inside(&mut self, client: &Client, rows: &[Addressed<'_>]) -> Result<WriteStats, SinkError> {
        if rows.is_empty() {
            return Ok(WriteStats::default());
        }
        let shapes: Vec<Arc<Shape>> = self.tables.iter().map(|table| table.shape.clone()).collect();
        let shapes: Vec<&Shape> = shapes.iter().map(|shape| &**shape).collect();
        let mut view = Rows::new(rows);
        let has_statements = rows.iter().any(|row| row.table >= shapes.len());
        let plan = if has_statements {
            plan::beside_statements(&shapes, &view)?
        } else if rows.len() <= FEW_ROWS || !self.folding.try_now() {
            plan::in_order(&shapes, &view)?
        } else {
            plan::folded(&shapes, &self.order, &mut view)?
        };
        let touched = |table: usize| rows.iter().any(|row| row.table == table);
        let defer = (0..shapes.len()).any(|table| shapes[table].deferrable && touched(table));
        let guard = plan.folded && (0..shapes.len()).any(|table| shapes[table].order_matters && touched(table));
        let mut stats = match self.apply(client, &view, &plan, defer, guard).await {
            Ok(stats) => {
                if guard {
                    self.folding.passed();
                }
                WriteStats { folded: if plan.folded { rows.len() as u64 } else { 0 }, ..stats }
            }
            Err(error) if guard && error.is_order_dependent() => {
                self.folding.failed();
                let back = format!("ROLLBACK TO SAVEPOINT {BATCH_SAVEPOINT}; RELEASE SAVEPOINT {BATCH_SAVEPOINT}");
                let failed = |error| SinkError::server("roll back to a savepoint", None, None, error);
                client.batch_execute(&back).await.map_err(failed)?;
                let view = Rows::new(rows);
                let plan = plan::in_order(&shapes, &view)?;
                let mut stats = self.apply(client, &view, &plan, defer, false).await?;
                stats.fallbacks += 1;
                stats
            }
            Err(error) => return Err(error),
        };
        stats.rows = rows.len() as u64;
        Ok(stats)
    }

    async fn apply(
        &mut self,
        client: &Client,
        rows: &Rows<'_>,
        plan: &Plan,
        defer: bool,
        guard: bool,
    ) -> Result<WriteStats, SinkError> {
        let mut applier = Applier::new(client, &mut self.tables, &mut self.statements, rows);
        if defer {
            applier.session("defer constraints", "SET CONSTRAINTS ALL DEFERRED").await?;
        }
        if guard {
            applier.session("set a savepoint", &format!("SAVEPOINT {BATCH_SAVEPOINT}")).await?;
        }
        applier.apply(&plan.steps).await?;
        if guard {
            applier.session("release a savepoint", &format!("RELEASE SAVEPOINT {BATCH_SAVEPOINT}")).await?;
        }
        let mut stats = applier.finish().await?;
        plan.missing.iter().for_each(|&(table, rows)| stats.miss(table, rows));
        Ok(stats)
    }
}

/// Whether folded batches pass these tables' constraints. After a failure, batches are applied in source order, twice
/// as many each time; a folded batch that passes restores trust.
#[derive(Clone, Copy, Debug, Default)]
struct FoldTrust {
    skip: u32,
    penalty: u32,
}

impl FoldTrust {
    const PENALTY_MAX: u32 = 256;

    fn try_now(&mut self) -> bool {
        if self.skip == 0 {
            return true;
        }
        self.skip -= 1;
        false
    }

    fn passed(&mut self) {
        self.penalty = 0;
    }

    fn failed(&mut self) {
        self.penalty = (self.penalty * 2).clamp(4, Self::PENALTY_MAX);
        self.skip = self.penalty;
    }
}
