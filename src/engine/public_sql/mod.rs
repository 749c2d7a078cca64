//! `publicSchemaType: postgres`: rows that an author's SELECT makes of changes, by Postgres itself, at the source.
//!
//! ```text
//! prepare  what the statements give: the public schema, its key, and whether they can be answered from the change
//! text     an author's SELECT for many changes at a time
//! record   rows as Postgres prints them
//! ```
//!
//! **From the change.** Where a statement asks for the one row of the changed table that its placeholders name
//! ([`Template::pins`](crate::sql::Template::pins)), it is shown that row as the change has it, under the table's name.
//! What it gives is then what held at the change, also when the row is gone or newer by now. Other tables are read as they
//! are. Any other statement, and one that needs a large value which an update left out, reads everything as it is; where
//! that gives nothing, the row has vanished, and whatever took it away comes as a change of its own.
//!
//! **Seen.** A commit is in the log before it is visible. Statements run under snapshots that see every transaction of the
//! batch, so a row that was committed with the change is there.
//!
//! **Again.** A batch that comes again, after a crash, gives the same rows where they come from the change; where not, newer
//! ones, and every change in between comes again behind them. So in the end both sides agree.

mod error;
mod prepare;
mod record;
mod text;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{Client, Statement};

use crate::change::{Batch, Change, Old, Op, Phase, PublicSchema, Relation, Row, TupleWriter, Value};
use crate::lsn::Lsn;
use crate::sink::{Refusal, text_of};

use super::backfill::{Commit, Sight, Snapshot};
use super::failure::EngineError;
use super::projection::ProjectionError;
use super::today::{Today, added_later};

pub use error::SqlError;
pub use prepare::{Origin, prepare};

/// Changes that one statement takes at most, and the bytes of their values.
const ROWS_MAX: usize = 2_000;
const BYTES_MAX: usize = 4 << 20;
/// How often is looked whether the source shows what it has logged. A commit that waits for a standby may take long.
const VISIBLE_POLL: Duration = Duration::from_millis(2);

/// A public schema that SQL makes.
pub struct SqlTransform {
    slug: String,
    name: String,
    client: Client,
    standby: bool,
    /// Says which transactions are seen.
    seen: Statement,
    public: PublicSchema,
    statements: Vec<Prepared>,
    /// The table whose rows the public rows are of.
    main: (String, String),
    /// Of each key column, the column of that table, where all are taken over as they are.
    key_columns: Option<Vec<String>>,
    today: Arc<Today>,
    /// The SHA-256 of the statements.
    digest: String,
    vanished: u64,
    told_truncate: bool,
}

/// One statement, ready to run.
struct Prepared {
    schema: String,
    table: String,
    op: Op,
    /// Answers from the changed rows, where that is possible.
    from_change: Option<Statement>,
    /// Reads everything as it is now.
    live: Statement,
    inputs: Vec<Input>,
    /// Takes all columns, those too that are added one day.
    all: bool,
    /// The table's columns when it was prepared.
    known: Vec<String>,
    /// Of each column of its rows: the public column.
    columns: Vec<usize>,
}

/// A column of the changed table that a statement takes.
struct Input {
    name: String,
    type_oid: u32,
    /// It names the row.
    is_placeholder: bool,
    /// What the statement may compute with.
    is_mentioned: bool,
}

/// The values that a statement takes of one change, as text.
type Cells<'b> = Vec<Option<Cow<'b, str>>>;

/// A change as one statement takes it.
struct Asked<'b> {
    source: u32,
    cells: Cells<'b>,
}

/// A row that came of it.
struct Answered {
    source: u32,
    statement: usize,
    values: Vec<Option<Vec<u8>>>,
}

impl SqlTransform {
    pub fn public_schema(&self) -> &PublicSchema {
        &self.public
    }

    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns true when changes of that table go through a statement.
    pub fn reads(&self, schema: &str, table: &str) -> bool {
        self.statements.iter().any(|statement| statement.schema == schema && statement.table == table)
    }

    /// Returns true when rows of that table which existed before are published. Those of tables beside the main one are in
    /// the rows of that.
    pub fn copies(&self, schema: &str, table: &str) -> bool {
        let inserts = |statement: &Prepared| statement.op == Op::Insert && statement.is_of(schema, table);
        self.is_main(schema, table) && self.statements.iter().any(inserts)
    }

    fn is_main(&self, schema: &str, table: &str) -> bool {
        self.main.0 == schema && self.main.1 == table
    }

    /// Makes public rows of a batch.
    ///
    /// # Errors
    /// Postgres refuses a statement, the connection is lost, or a table was altered in a way that can't be followed.
    pub async fn process(&mut self, batch: &Batch) -> Result<Vec<Row>, EngineError> {
        if batch.changes.is_empty() {
            return Ok(Vec::new());
        }
        self.follow(batch)?;
        self.see(batch).await?;
        let mut answers: Vec<Answered> = Vec::new();
        let mut vanished = 0;
        for index in 0..self.statements.len() {
            let (from_change, live) = self.asked(batch, index)?;
            let statement = &self.statements[index];
            if let Some(prepared) = &statement.from_change {
                self.answer(batch, index, prepared, &from_change, &mut answers).await?;
            }
            let before = answers.len();
            self.answer(batch, index, &statement.live, &live, &mut answers).await?;
            let mut found: Vec<u32> = answers[before..].iter().map(|answer| answer.source).collect();
            found.dedup();
            vanished += live.len() - found.len();
        }
        self.tell_vanished(vanished as u64);
        // The sort is stable: of one change, what the statements gave stays in their order.
        answers.sort_by_key(|answer| (answer.source, answer.statement));
        Ok(self.rows(batch, answers))
    }

    /// Tells once, and counts, that rows were gone before they could be read.
    fn tell_vanished(&mut self, rows: u64) {
        if rows > 0 && self.vanished == 0 {
            tracing::warn!(
                source = self.slug,
                transform = self.name,
                rows,
                "rows were gone before their statement read them: it can't be answered from the change, so they are left out"
            );
        }
        self.vanished += rows;
    }

    /// Ends the run where a table has got columns that a statement takes, or lost some.
    fn follow(&self, batch: &Batch) -> Result<(), EngineError> {
        for relation in &batch.relations {
            for statement in self.statements.iter().filter(|one| one.is_of(&relation.schema, &relation.name)) {
                let today = self.today.columns(&relation.schema, &relation.name);
                let is_there = |name: &str| today.iter().any(|column| column.name == name);
                let table = || relation.display_name();
                let new = relation.columns.iter().map(|column| &*column.name);
                let mut new = new.filter(|name| !statement.known.iter().any(|known| known == name) && is_there(name));
                if let Some(column) = new.next().filter(|_| statement.all) {
                    return Err(ProjectionError::Grown { table: table(), column: column.to_owned() }.into());
                }
                for input in statement.inputs.iter().filter(|input| input.is_mentioned || input.is_placeholder) {
                    let Some(found) = relation.column(&input.name).map(|at| &relation.columns[at]) else {
                        if added_later(&input.name, relation, &today) {
                            continue;
                        }
                        let public_schema = self.public.name.to_string();
                        let (table, column) = (table(), input.name.clone());
                        return Err(ProjectionError::MissingColumn { table, column, public_schema }.into());
                    };
                    let is_new = |column: &&super::today::TodaysColumn| {
                        column.name == input.name && column.type_oid == found.type_oid
                    };
                    if found.type_oid != input.type_oid && today.iter().any(|column| is_new(&column)) {
                        let column = input.name.clone();
                        return Err(ProjectionError::Widened { table: table(), column }.into());
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until the source shows every transaction of the batch.
    async fn see(&self, batch: &Batch) -> Result<(), EngineError> {
        let live = |span: &&crate::change::Span| span.phase == Phase::Live && span.xid != 0 && span.count > 0;
        let commits: Vec<Commit> = batch.spans.iter().filter(live).map(Commit::from).collect();
        let (Some(last), mut waited) = (commits.last(), Duration::ZERO) else { return Ok(()) };
        loop {
            let row = self.client.query_one(&self.seen, &[]).await.map_err(|error| self.lost(error))?;
            let text: Option<String> = row.get(0);
            let text = text.unwrap_or_default();
            let bad = || self.failed(SqlError::Answer("a snapshot"));
            let seen = if self.standby {
                text.parse::<Lsn>().map_err(|_| bad())? >= last.end_lsn
            } else {
                let snapshot: Snapshot = text.parse().map_err(|_| bad())?;
                commits.iter().all(|commit| snapshot.sees(commit) == Sight::Seen)
            };
            if seen {
                return Ok(());
            }
            if waited.as_secs() == 0 && (waited + VISIBLE_POLL).as_secs() == 1 {
                tracing::info!(source = self.slug, "waiting until the source shows a transaction that it has logged");
            }
            tokio::time::sleep(VISIBLE_POLL).await;
            waited += VISIBLE_POLL;
        }
    }

    /// Returns what a statement is asked: what it can answer from the changes, and what it has to read.
    fn asked<'b>(&mut self, batch: &'b Batch, index: usize) -> Result<(Vec<Asked<'b>>, Vec<Asked<'b>>), EngineError> {
        let copied = batch.spans.first().is_some_and(|span| span.phase == Phase::Backfill);
        let statement = &self.statements[index];
        let (mut from_change, mut live) = (Vec::new(), Vec::new());
        let positions: Vec<Option<Vec<Option<usize>>>> = batch
            .relations
            .iter()
            .map(|relation| {
                let is_it = statement.is_of(&relation.schema, &relation.name);
                is_it.then(|| statement.inputs.iter().map(|input| relation.column(&input.name)).collect())
            })
            .collect();
        for (source, change) in batch.changes.iter().enumerate() {
            let Some(positions) = &positions[change.relation as usize] else { continue };
            if change.op != statement.op || (copied && !self.is_main(&statement.schema, &statement.table)) {
                continue;
            }
            let relation = &batch.relations[change.relation as usize];
            let (cells, is_whole) = self.cells(statement, change, relation, positions)?;
            let asked = Asked { source: source as u32, cells };
            match statement.from_change.is_some() && is_whole {
                true => from_change.push(asked),
                false => live.push(asked),
            }
        }
        Ok((from_change, live))
    }

    /// Returns the values of a change that a statement takes, and whether all are known that it may compute with.
    fn cells<'b>(
        &self,
        statement: &Prepared,
        change: &'b Change,
        relation: &'b Relation,
        positions: &[Option<usize>],
    ) -> Result<(Cells<'b>, bool), EngineError> {
        let row: Vec<Value<'b>> = match (&change.new, &change.old) {
            (Some(new), Some(old)) => {
                let filled = |(new, old): (Value<'b>, Value<'b>)| if new == Value::Unchanged { old } else { new };
                new.columns().zip(old.columns(relation)).map(filled).collect()
            }
            (Some(new), None) => new.columns().collect(),
            (None, Some(old)) => old.columns(relation).collect(),
            (None, None) => Vec::new(),
        };
        let mut is_whole = true;
        let mut cells = Vec::with_capacity(positions.len());
        for (input, position) in statement.inputs.iter().zip(positions) {
            let Some(at) = position else {
                // Added since: what Postgres gave to rows from before.
                let today = self.today.columns(&relation.schema, &relation.name);
                let missing = today.into_iter().find(|column| column.name == input.name);
                cells.push(missing.and_then(|column| column.missing).map(Cow::Owned));
                continue;
            };
            let value = row.get(*at).copied().unwrap_or(Value::Null);
            let is_unsaid = value == Value::Unchanged && change.op != Op::Delete;
            is_whole &= !is_unsaid || !input.is_mentioned;
            // A placeholder has no other place to come from, and NULL would be another value.
            if is_unsaid && input.is_placeholder {
                let (table, column) = (relation.display_name(), input.name.clone());
                return Err(self.failed(SqlError::Unsaid { table, column }));
            }
            let text = text_of(&relation.columns[*at].kind, value).ok().flatten();
            let text = text.map(|text| match text {
                Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(drop),
                Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(drop),
            });
            cells.push(text.transpose().map_err(|()| self.failed(SqlError::Answer("a text")))?);
        }
        Ok((cells, is_whole))
    }

    /// Runs a statement for changes, as many at a time as it takes.
    async fn answer(
        &self,
        batch: &Batch,
        index: usize,
        statement: &Statement,
        asked: &[Asked<'_>],
        answers: &mut Vec<Answered>,
    ) -> Result<(), EngineError> {
        let mut rest = asked;
        while !rest.is_empty() {
            let (mut count, mut bytes) = (0, 0);
            while count < rest.len().min(ROWS_MAX) && bytes < BYTES_MAX {
                bytes += rest[count].cells.iter().flatten().map(|cell| cell.len()).sum::<usize>();
                count += 1;
            }
            let (now, later) = rest.split_at(count);
            // A change that is refused is looked for by halves, to say which one it is.
            let mut parts = vec![now];
            while let Some(part) = parts.pop() {
                match self.run(index, statement, part, answers).await {
                    Ok(()) => {}
                    Err(error) if error.as_db_error().is_some() && part.len() > 1 && !is_transient(&error) => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                    Err(error) => return Err(self.refused(batch, index, part, error)),
                }
            }
            rest = later;
        }
        Ok(())
    }

    async fn run(
        &self,
        index: usize,
        statement: &Statement,
        asked: &[Asked<'_>],
        answers: &mut Vec<Answered>,
    ) -> Result<(), tokio_postgres::Error> {
        let width = self.statements[index].inputs.len();
        let columns: Vec<Vec<Option<&str>>> =
            (0..width).map(|at| asked.iter().map(|one| one.cells[at].as_deref()).collect()).collect();
        let sources: Vec<i32> = (0..asked.len() as i32).collect();
        let mut params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = vec![&sources];
        params.extend(columns.iter().map(|column| column as &(dyn tokio_postgres::types::ToSql + Sync)));
        let before = answers.len();
        for row in self.client.query(statement, &params).await? {
            let at: i32 = row.try_get(0)?;
            let Some(asked) = asked.get(at as usize) else { continue };
            let values = record::fields(row.try_get(1)?);
            answers.push(Answered { source: asked.source, statement: index, values });
        }
        // The server may answer in any order; of one change, in the author's.
        answers[before..].sort_by_key(|answer| answer.source);
        Ok(())
    }

    /// Makes rows of what was answered.
    fn rows(&mut self, batch: &Batch, answers: Vec<Answered>) -> Vec<Row> {
        let mut writer = TupleWriter::default();
        let mut rows: Vec<(Op, u32, bool)> = Vec::with_capacity(answers.len());
        let mut answers = answers.into_iter().peekable();
        for (source, change) in batch.changes.iter().enumerate() {
            if change.op == Op::Truncate {
                if self.truncates(&batch.relations[change.relation as usize]) {
                    writer.begin();
                    writer.end();
                    rows.push((Op::Truncate, source as u32, false));
                }
                continue;
            }
            while let Some(answer) = answers.next_if(|answer| answer.source as usize == source) {
                let (op, has_old) = self.row(&mut writer, change, &batch.relations[change.relation as usize], &answer);
                rows.push((op, source as u32, has_old));
            }
        }
        let mut tuples = writer.finish().into_iter();
        let mut next = || tuples.next().expect("a row was written for each");
        let row = |(op, source, has_old): (Op, u32, bool)| {
            let values = next();
            Row { public_schema: 0, op, source, values, old_key: has_old.then(&mut next) }
        };
        rows.into_iter().map(row).collect()
    }

    /// Writes a row, and its former key behind it where that is another one; returns which operation it is, and whether
    /// the key was written.
    fn row(&self, writer: &mut TupleWriter, change: &Change, relation: &Relation, answer: &Answered) -> (Op, bool) {
        let statement = &self.statements[answer.statement];
        let mut values: Vec<Option<&Option<Vec<u8>>>> = vec![None; self.public.columns.len()];
        for (&column, value) in statement.columns.iter().zip(&answer.values) {
            if let Some(place) = values.get_mut(column) {
                *place = Some(value);
            }
        }
        writer.begin();
        for (column, value) in self.public.columns.iter().zip(&values) {
            match value.filter(|_| change.op != Op::Delete || column.key) {
                None => writer.unchanged(),
                Some(None) => writer.null(),
                Some(Some(text)) => writer.text(text),
            }
        }
        writer.end();
        let is_main = self.is_main(&statement.schema, &statement.table);
        // A row of another table changes a row that is there, mostly.
        let op = if change.op == Op::Insert && !is_main { Op::Update } else { change.op };
        let (Some(key), Some(old), Op::Update, true) = (&self.key_columns, &change.old, change.op, is_main) else {
            return (op, false);
        };
        let old: Vec<Value<'_>> = old.columns(relation).collect();
        let old = key.iter().map(|name| relation.column(name).and_then(|at| old.get(at)).copied());
        let old: Option<Vec<Value<'_>>> = old.collect();
        let key = self.public.key();
        let now = |column: &usize| values[*column].and_then(|value| value.as_deref());
        let text = |value: &Value<'_>| match value {
            Value::Text(text) => Some(text.to_vec()),
            _ => None,
        };
        let differs = |old: &Vec<Value<'_>>| {
            old.iter().zip(&key).any(|(old, column)| *old != Value::Unchanged && text(old).as_deref() != now(column))
        };
        let Some(old) = old.filter(|old| matches!(change.old, Some(Old::Key(_))) || differs(old)) else {
            return (op, false);
        };
        writer.begin();
        old.into_iter().for_each(|value| writer.value(value));
        writer.end();
        (op, true)
    }

    /// Tells whether a truncated table takes all public rows with it.
    fn truncates(&mut self, relation: &Relation) -> bool {
        if !self.reads(&relation.schema, &relation.name) {
            return false;
        }
        let deletes = |statement: &Prepared| statement.op == Op::Delete;
        if self.is_main(&relation.schema, &relation.name) && self.statements.iter().any(deletes) {
            return true;
        }
        if !std::mem::replace(&mut self.told_truncate, true) {
            tracing::warn!(
                source = self.slug,
                transform = self.name,
                table = relation.display_name(),
                "a table was truncated, and its public schema has no statement for deletes of it: the public rows stay"
            );
        }
        false
    }

    fn failed(&self, source: SqlError) -> EngineError {
        EngineError::PublicSql { slug: self.slug.clone(), transform: self.name.clone(), source: Box::new(source) }
    }

    fn lost(&self, error: tokio_postgres::Error) -> EngineError {
        self.failed(SqlError::of(error, |refusal| SqlError::Refused { doing: "ask the source".to_owned(), refusal }))
    }

    fn refused(&self, batch: &Batch, index: usize, part: &[Asked<'_>], error: tokio_postgres::Error) -> EngineError {
        let statement = &self.statements[index];
        let at = match part {
            [one] => batch.spans.iter().rfind(|span| span.first <= one.source).map(|span| {
                let change = span.first_in_transaction + u64::from(one.source - span.first);
                format!(" at {}, change {change}", span.commit_lsn)
            }),
            _ => None,
        };
        let op = format!("{:?}", statement.op).to_lowercase();
        let doing = format!("run its {op} of {}.{}{}", statement.schema, statement.table, at.unwrap_or_default());
        self.failed(SqlError::of(error, |refusal| SqlError::Refused { doing, refusal }))
    }
}

impl Prepared {
    fn is_of(&self, schema: &str, table: &str) -> bool {
        self.schema == schema && self.table == table
    }
}

fn is_transient(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none_or(|error| Refusal::of(error).is_transient())
}
