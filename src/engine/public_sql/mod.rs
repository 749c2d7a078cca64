//! `publicSchemaType: postgres`: rows that an author's SELECT makes of changes, by Postgres itself, at the source.
//!
//! ```text
//! prepare  what the statements give: the public schema and its columns
//!   key    which of them tell its rows apart
//!   reads  whether a statement can be answered from the change
//!   text   an author's SELECT for many changes at a time
//! ask      what a statement is asked of a batch
//! seen     whether the source shows what it has logged
//! answer   runs the statements, within bounds of time and memory
//!   record rows as Postgres prints them
//! rows     public rows out of what they gave
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

mod answer;
mod ask;
mod error;
mod key;
mod prepare;
mod reads;
mod record;
mod rows;
mod seen;
mod text;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio_postgres::{Client, Statement};

use crate::change::{Batch, Op, PublicSchema, Row};

use super::failure::EngineError;
use super::projection::ProjectionError;
use super::today::{Today, added_later};

pub use error::SqlError;
pub use prepare::{Origin, prepare};

use answer::Answers;
use seen::{Seen, Unseen};

/// A public schema that SQL makes.
pub struct SqlTransform {
    slug: String,
    name: String,
    client: Client,
    seen: Seen,
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
    /// How many changes it is run for at a time.
    at_once: AtomicUsize,
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

impl SqlTransform {
    pub fn public_schema(&self) -> &PublicSchema {
        &self.public
    }

    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns true when its rows can't be told apart, and are not only added.
    pub fn changes_without_key(&self) -> bool {
        let only_adds = |one: &Prepared| one.op == Op::Insert && self.is_main(&one.schema, &one.table);
        self.public.key().is_empty() && !self.statements.iter().all(only_adds)
    }

    /// Says that a table can't take what has no key.
    pub fn refuse_table(&self, consumer: &str) -> EngineError {
        self.failed(SqlError::NoKey { consumer: consumer.to_owned() })
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
        self.seen.wait(&self.client, &self.slug, batch).await.map_err(|unseen| match unseen {
            Unseen::Query(error) => self.failed(SqlError::of(error, |refusal| SqlError::Refused {
                doing: "ask the source".to_owned(),
                refusal,
            })),
            Unseen::Answer => self.failed(SqlError::Answer("a snapshot")),
        })?;
        let mut answers = Answers::default();
        let mut vanished = 0;
        for (index, statement) in self.statements.iter().enumerate() {
            let (from_change, live) = self.asked(batch, index)?;
            if let Some(prepared) = &statement.from_change {
                self.answer(batch, index, prepared, &from_change, &mut answers).await?;
            }
            let before = answers.rows.len();
            self.answer(batch, index, &statement.live, &live, &mut answers).await?;
            let mut found: Vec<u32> = answers.rows[before..].iter().map(|answer| answer.source).collect();
            found.dedup();
            vanished += live.len() - found.len();
        }
        self.tell_vanished(vanished as u64);
        let mut answers = answers.rows;
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

    fn failed(&self, source: SqlError) -> EngineError {
        EngineError::PublicSql { slug: self.slug.clone(), transform: self.name.clone(), source: Box::new(source) }
    }
}

impl Prepared {
    fn is_of(&self, schema: &str, table: &str) -> bool {
        self.schema == schema && self.table == table
    }
}
