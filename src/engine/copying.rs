//! One transform's backfill at work: the merge that decides, the readers that read, and what both ask of the source.
//!
//! [`super::backfill`] states the protocol; this file follows it, for one transform, in the task that owns the order.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::change::Batch;
use crate::datastore::BackfillRow;
use crate::lsn::Lsn;
use crate::postgres::replication::{ExportedSnapshot, ReplicationError};

use super::backfill::{self, Backfill, Fence, Position, ReadError, Readers, TableStatus, plan_tables};
use super::failure::EngineError;
use super::prepare::Source;
use super::snapshots::Snapshots;

/// Sessions that read rows of one transform's tables at the same time.
const SESSIONS_MAX: usize = 2;

/// One transform's backfill.
pub struct Copying {
    /// Names its progress.
    name: String,
    slug: String,
    backfill: Backfill,
    readers: Readers,
    snapshots: Snapshots,
}

/// What has come of what was begun.
pub enum Event {
    Read(backfill::Event),
    /// A snapshot under which a table can be copied whole.
    Snapshot(Result<(usize, ExportedSnapshot), ReplicationError>),
}

/// What is to be copied, and where it stands.
pub struct Start<'a> {
    /// Names the progress: the flow that the backfill was begun for.
    pub name: &'a str,
    pub tables: &'a [(String, String)],
    /// The checkpoint from which the stream starts.
    pub from: Lsn,
    pub saved: &'a [BackfillRow],
    pub application_name: String,
}

impl Copying {
    /// Plans what is left to copy. Returns `None` when that is nothing.
    ///
    /// # Errors
    /// The source refused, or the saved progress can't be read.
    pub async fn open(source: &Source, start: Start<'_>) -> Result<Option<Copying>, EngineError> {
        let slug = source.slug.clone();
        let tables = source.published(start.tables);
        let plans = plan_tables(&source.client, &source.publication, &tables)
            .await
            .map_err(|error| EngineError::BackfillRead { slug: slug.clone(), source: error })?;
        let saved: BTreeMap<String, Value> = start
            .saved
            .iter()
            .filter(|row| row.name == start.name)
            .map(|row| (row.table.clone(), row.progress.clone()))
            .collect();
        let fence = if saved.is_empty() { Some(Fence::Finished(source.snapshot().await?)) } else { None };
        let position = Position { epoch: source.epoch(), commit_lsn: start.from, end_lsn: start.from, commit_time: 0 };
        let backfill = Backfill::new(plans, position, fence, &saved)?;
        if backfill.is_done() {
            return Ok(None);
        }
        let mut copying = Copying {
            name: start.name.to_owned(),
            slug,
            backfill,
            readers: Readers::new(source.connection.clone(), SESSIONS_MAX),
            snapshots: Snapshots::new(source.connection.clone(), source.standby, start.application_name),
        };
        copying.start_reads().await?;
        Ok(Some(copying))
    }

    /// Returns the name under which flows take part in it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns true when everything is copied.
    pub fn is_done(&self) -> bool {
        self.backfill.is_done()
    }

    /// Waits for what the readers report. Cancel safe. Not inside a transaction: a piece could not enter.
    pub async fn event(&mut self) -> Event {
        tokio::select! {
            biased;
            made = self.snapshots.made() => Event::Snapshot(made),
            event = self.readers.event() => Event::Read(event),
        }
    }

    /// Returns true when a batch must be kept back until what is being copied has entered.
    pub fn must_wait(&self, batch: &Batch) -> bool {
        self.backfill.must_wait(batch)
    }

    /// Lets through of a batch of the stream what concerns rows that are copied.
    ///
    /// # Errors
    /// A change does not say which row it is of, or the source can't be asked.
    pub async fn merge(&mut self, batch: &Batch) -> Result<Batch, EngineError> {
        for question in self.backfill.questions(batch)? {
            let answer = self.readers.answer(&question).await.map_err(|error| self.read_error(error))?;
            self.backfill.learn(question, answer);
        }
        let merged = self.backfill.merge(batch.clone())?;
        self.start_reads().await?;
        Ok(merged)
    }

    /// Says that the stream has delivered everything that was committed before `lsn`.
    ///
    /// # Errors
    /// The source can't be read.
    pub async fn passed(&mut self, lsn: Lsn) -> Result<(), EngineError> {
        self.backfill.passed(lsn);
        self.start_reads().await
    }

    /// Takes an event, and returns the batch of a piece of a table that is copied whole.
    ///
    /// # Errors
    /// A read failed in a way that does not pass.
    pub async fn take(&mut self, event: Event) -> Result<Option<Batch>, EngineError> {
        let mut entered = None;
        match event {
            Event::Snapshot(made) => self.begin_whole(made)?,
            Event::Read(backfill::Event::Opened(opened)) => self.backfill.opened(opened),
            Event::Read(backfill::Event::Arrived(arrived)) => self.backfill.arrived(arrived),
            Event::Read(backfill::Event::Failed { read, error }) if error.is_transient() => {
                tracing::debug!(source = self.slug, "a chunk is read again: {}", super::Chain(&error));
                self.backfill.failed(read);
            }
            Event::Read(backfill::Event::Failed { error, .. }) => return Err(self.read_error(error)),
            Event::Read(backfill::Event::Piece { table, relation, rows, last }) => {
                self.snapshots.release(table);
                entered = Some(self.backfill.enter_piece(table, relation, rows, last)?);
            }
            Event::Read(backfill::Event::CopyFailed { table, error }) if error.is_transient() => {
                tracing::debug!(source = self.slug, "a table is copied again: {}", super::Chain(&error));
                self.snapshots.release(table);
                self.backfill.whole_broke_off(table);
            }
            Event::Read(backfill::Event::CopyFailed { error, .. }) => return Err(self.read_error(error)),
        }
        self.start_reads().await?;
        Ok(entered)
    }

    /// Returns the next batch of copied rows that can enter now.
    ///
    /// # Errors
    /// A row does not say its key, or the source can't be asked.
    pub async fn enter(&mut self) -> Result<Option<Batch>, EngineError> {
        for question in self.backfill.questions_to_enter() {
            let answer = self.readers.answer(&question).await.map_err(|error| self.read_error(error))?;
            self.backfill.learn(question, answer);
        }
        let entered = self.backfill.enter()?;
        self.start_reads().await?;
        Ok(entered)
    }

    /// Returns what has to be committed with the batch that was returned last.
    pub fn progress(&mut self) -> Vec<BackfillRow> {
        let name = &self.name;
        let row = |(table, progress)| BackfillRow { name: name.clone(), table, progress };
        self.backfill.take_progress().into_iter().map(row).collect()
    }

    /// Returns where each table is, for people.
    pub fn status(&mut self) -> Vec<TableStatus> {
        self.backfill.status(std::time::Instant::now())
    }

    async fn start_reads(&mut self) -> Result<(), EngineError> {
        while let Some(job) = self.backfill.next_read() {
            self.readers.start(job);
        }
        while self.snapshots.is_free()
            && let Some(&(table, _)) = self.backfill.tables_to_copy_whole().first()
        {
            if !self.snapshots.begin(table) {
                break;
            }
            let made = self.snapshots.made().await;
            self.begin_whole(made)?;
        }
        Ok(())
    }

    fn begin_whole(&mut self, made: Result<(usize, ExportedSnapshot), ReplicationError>) -> Result<(), EngineError> {
        let failed = |source| EngineError::Replication { slug: self.slug.clone(), source };
        let (table, snapshot) = made.map_err(failed)?;
        let plan = self.backfill.tables_to_copy_whole().into_iter().find_map(|(t, plan)| (t == table).then_some(plan));
        let Some(plan) = plan else { return Ok(()) };
        if self.backfill.begin_whole(table, snapshot.consistent_point) {
            self.readers.start_whole(table, plan, snapshot.name.clone());
            self.snapshots.keep(table, snapshot);
        } else {
            self.snapshots.miss();
        }
        Ok(())
    }

    fn read_error(&self, source: ReadError) -> EngineError {
        EngineError::BackfillRead { slug: self.slug.clone(), source }
    }
}
