//! The backfill of all tables of one group of flows: what the engine talks to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;

use super::delivered::{Delivered, Fence};
use super::error::BackfillError;
use super::merge::{Entered, Judged, TableMerge};
use super::pace::TARGET_BYTES;
use super::read::{Arrived, Opened, Question, ReadId, ReadJob};
use super::saved::{SHARED, SavedHow, SavedShared, SavedTable};
use super::snapshot::Commit;
use super::status::{TableStage, TableStatus};
use super::table::TablePlan;
use super::whole::WholeMerge;
use crate::change::{Batch, Change, Op, Phase, Relation, Span, Tuple};
use crate::lsn::Lsn;

/// How many bytes a chunk may have; it ends early when it is reached.
const CHUNK_BYTES_MAX: usize = 4 * TARGET_BYTES;

/// How many chunks, of all tables, are read or wait to enter.
const READS_MAX: usize = 3;

/// A transaction of the stream: the position behind which chunks enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub epoch: u32,
    pub commit_lsn: Lsn,
    pub end_lsn: Lsn,
    /// Microseconds since 1970-01-01 UTC.
    pub commit_time: i64,
}

pub(super) enum How {
    Keyed(Box<TableMerge>),
    Whole(WholeMerge),
}

pub(super) struct Table {
    pub(super) how: How,
    /// Progress has changed since it was last taken.
    changed: bool,
    since: Option<(Instant, u64)>,
}

impl Table {
    fn is_done(&self) -> bool {
        match &self.how {
            How::Keyed(table) => table.is_done(),
            How::Whole(table) => table.is_done(),
        }
    }

    fn plan(&self) -> &Arc<TablePlan> {
        match &self.how {
            How::Keyed(table) => &table.plan,
            How::Whole(table) => &table.plan,
        }
    }
}

/// Merges the stream of one group of flows with the chunks of its tables. Pure: it reads no socket and no clock.
pub struct Backfill {
    pub(super) tables: Vec<Table>,
    by_oid: HashMap<u32, usize>,
    delivered: Delivered,
    /// Counts the batches.
    clock: u64,
    pub(super) position: Position,
    /// The stream is past this position; at least `position.end_lsn`.
    passed: Lsn,
    inside_transaction: bool,
    /// The index, in the transaction at `position`, of the next change that enters behind it.
    next_change: u64,
    next_read: u64,
    /// Where each read belongs.
    reads: HashMap<ReadId, usize>,
    shared_changed: bool,
}

impl Backfill {
    /// Starts the backfill of `tables`, or goes on from what [`take_progress`](Backfill::take_progress) returned at the
    /// time of the checkpoint `start`, at which the stream starts as well.
    ///
    /// `fence` says what committed before the stream's start; `None` is right when `saved` holds progress, which has it.
    ///
    /// # Errors
    /// [`BackfillError::BadProgress`] and [`BackfillError::BadSavedSnapshot`] when `saved` can't be read.
    pub fn new(
        tables: Vec<TablePlan>,
        start: Position,
        fence: Option<Fence>,
        saved: &BTreeMap<String, Value>,
    ) -> Result<Backfill, BackfillError> {
        let bad = |table: &str| {
            let table = table.to_owned();
            move |source| BackfillError::BadProgress { table, source }
        };
        let shared = saved.get(SHARED).map(SavedShared::deserialize).transpose().map_err(bad(SHARED))?;
        let mut delivered = Delivered::new(fence);
        let mut next_change = 0;
        if let Some(shared) = shared {
            delivered.restore(shared.delivered)?;
            if shared.at == start.commit_lsn.0 {
                next_change = shared.next_change;
            }
        }
        let mut group = Backfill {
            tables: Vec::with_capacity(tables.len()),
            by_oid: HashMap::new(),
            delivered,
            clock: 0,
            position: start,
            passed: start.end_lsn,
            inside_transaction: false,
            next_change,
            next_read: 0,
            reads: HashMap::new(),
            shared_changed: true,
        };
        for plan in tables {
            let name = plan.name();
            let saved = saved.get(&name).map(SavedTable::deserialize).transpose().map_err(bad(&name))?;
            group.add(plan, saved);
        }
        group.settle();
        Ok(group)
    }

    fn add(&mut self, plan: TablePlan, saved: Option<SavedTable>) {
        let plan = Arc::new(plan);
        let how = match plan.key.clone() {
            Some(key) => {
                let mut table = TableMerge::new(plan.clone(), key);
                if let Some(saved) = saved {
                    // What was copied of another table by that name, or by another key, is not to be built upon.
                    table.empty_first = !saved.restore_keyed(&mut table) || table.empty_first;
                }
                How::Keyed(Box::new(table))
            }
            None => {
                let same = |saved: &SavedTable| saved.oid == plan.relation.oid;
                let whole = match saved.map(|saved| (same(&saved), saved)) {
                    Some((true, SavedTable { rows, how: SavedHow::Whole { done: true, .. }, .. })) => {
                        WholeMerge::copied(plan.clone(), rows, None)
                    }
                    Some((true, SavedTable { rows, how: SavedHow::Whole { ahead_to: Some(lsn), .. }, .. })) => {
                        WholeMerge::copied(plan.clone(), rows, Some(Lsn(lsn)))
                    }
                    Some((true, SavedTable { how: SavedHow::Whole { begun, .. }, .. })) => {
                        WholeMerge::new(plan.clone(), begun)
                    }
                    Some(_) => WholeMerge::new(plan.clone(), true),
                    None => WholeMerge::new(plan.clone(), false),
                };
                How::Whole(whole)
            }
        };
        self.by_oid.insert(plan.relation.oid, self.tables.len());
        self.tables.push(Table { how, changed: true, since: None });
    }

    /// Returns true when every table is copied: from here on the stream passes as it is.
    pub fn is_done(&self) -> bool {
        self.tables.iter().all(Table::is_done)
    }

    fn active(&self, relation: &Relation) -> Option<usize> {
        self.by_oid.get(&relation.oid).copied().filter(|&table| !self.tables[table].is_done())
    }

    // The stream.

    /// Returns what has to be asked of Postgres before `batch` can be merged; mostly nothing.
    ///
    /// # Errors
    /// As [`merge`](Backfill::merge).
    pub fn questions(&self, batch: &Batch) -> Result<Vec<Question>, BackfillError> {
        let mut questions = Vec::new();
        for (index, relation) in batch.relations.iter().enumerate() {
            let Some(table) = self.active(relation) else { continue };
            let How::Keyed(merge) = &self.tables[table].how else { continue };
            let Some(bound) = merge.asked_bound() else { continue };
            let positions = merge.positions(relation)?;
            let mut keys = HashSet::new();
            for change in batch.changes.iter().filter(|change| change.relation as usize == index) {
                merge.ask(change, &positions, &bound, &mut keys)?;
            }
            if !keys.is_empty() {
                let keys = keys.into_iter().collect();
                questions.push(Question { table, plan: merge.plan.clone(), bound, keys });
            }
        }
        Ok(questions)
    }

    /// Takes Postgres's answers: for each key of the question, is it greater than the bound?
    pub fn learn(&mut self, question: Question, greater: Vec<bool>) {
        if let Some(Table { how: How::Keyed(table), .. }) = self.tables.get_mut(question.table) {
            table.learn(question.keys.into_iter().zip(greater));
        }
    }

    /// Returns true when `batch` has a change that belongs behind a copy that is not complete: the batch is to be kept
    /// back, with everything behind it, until [`enter_piece`](Backfill::enter_piece) has taken the last piece.
    ///
    /// What follows a batch that ends inside a transaction may have such a change too, and then nothing could enter any
    /// more: so the beginning of a transaction behind the copy is kept back, whatever it is of.
    pub fn must_wait(&self, batch: &Batch) -> bool {
        let waits = |table: &Table, commit_lsn| matches!(&table.how, How::Whole(table) if table.must_wait(commit_lsn));
        if let Some(open) = batch.spans.last().filter(|span| !span.complete)
            && self.tables.iter().any(|table| waits(table, open.commit_lsn))
        {
            return true;
        }
        let copying = |relation: &Arc<Relation>| match &self.tables[self.active(relation)?].how {
            How::Whole(table) => Some(table),
            How::Keyed(_) => None,
        };
        let tables: Vec<Option<&WholeMerge>> = batch.relations.iter().map(copying).collect();
        tables.iter().any(Option::is_some)
            && batch.spans.iter().any(|span| {
                let mut changes = batch.changes[span.first as usize..][..span.count as usize].iter();
                changes.any(|change| {
                    tables[change.relation as usize].is_some_and(|table| table.must_wait(span.commit_lsn))
                })
            })
    }

    /// Lets through of `batch` what concerns rows that are copied.
    ///
    /// # Errors
    /// [`BackfillError`] when the key of a change can't be told. The flows of that table can't go on.
    pub fn merge(&mut self, batch: Batch) -> Result<Batch, BackfillError> {
        self.clock += 1;
        let active: Vec<Option<usize>> = batch.relations.iter().map(|relation| self.active(relation)).collect();
        if active.iter().all(Option::is_none) {
            batch.spans.iter().for_each(|span| self.advance(span));
            self.settle();
            return Ok(batch);
        }
        let mut positions = Vec::with_capacity(active.len());
        for (relation, active) in batch.relations.iter().zip(&active) {
            positions.push(match active.map(|table| &self.tables[table].how) {
                Some(How::Keyed(table)) => table.positions(relation)?,
                _ => Vec::new(),
            });
        }
        let Batch { id, relations, mut spans, changes } = batch;
        let mut passed = Vec::with_capacity(changes.len());
        let mut changes = changes.into_iter();
        for span in &mut spans {
            self.advance(span);
            let first = passed.len();
            let commit = Commit::from(&*span);
            for change in changes.by_ref().take(span.count as usize) {
                let at = change.relation as usize;
                match active[at] {
                    None => passed.push(change),
                    Some(table) => {
                        let judged = Judged {
                            change,
                            relation: &relations[at],
                            positions: &positions[at],
                            commit,
                            clock: self.clock,
                        };
                        passed.extend(self.judge(table, judged)?);
                    }
                }
            }
            span.first = first as u32;
            span.count = (passed.len() - first) as u32;
        }
        for table in &mut self.tables {
            if let How::Keyed(table) = &mut table.how {
                table.forget_answers();
            }
        }
        self.settle();
        Ok(Batch { id, relations, spans, changes: passed })
    }

    fn judge(&mut self, table: usize, judged: Judged<'_>) -> Result<Option<Change>, BackfillError> {
        let Table { how, changed, .. } = &mut self.tables[table];
        match how {
            How::Keyed(table) => {
                self.shared_changed = true;
                let passes = table.judge(judged, &mut self.delivered)?;
                *changed |= std::mem::take(&mut table.changed);
                Ok(passes)
            }
            How::Whole(table) if table.must_wait(judged.commit.commit_lsn) => {
                Err(BackfillError::TooEarly { table: table.plan.name() })
            }
            How::Whole(table) => Ok(table.passes(judged.commit.commit_lsn).then_some(judged.change)),
        }
    }

    fn advance(&mut self, span: &Span) {
        self.inside_transaction = !span.complete;
        let (commit_lsn, end_lsn) = (span.commit_lsn, span.end_lsn);
        let end = span.first_in_transaction + u64::from(span.count);
        self.next_change = if commit_lsn == self.position.commit_lsn { self.next_change.max(end) } else { end };
        self.position = Position { epoch: span.epoch, commit_lsn, end_lsn, commit_time: span.commit_time };
        if span.complete {
            self.passed = self.passed.max(end_lsn);
        }
    }

    /// Says that the stream has delivered everything that ends at or before `lsn`: a keepalive between transactions.
    pub fn passed(&mut self, lsn: Lsn) {
        self.passed = self.passed.max(lsn);
        self.settle();
    }

    /// Takes note of tables whose copies the stream has caught up with.
    fn settle(&mut self) {
        for Table { how, changed, .. } in &mut self.tables {
            if let How::Whole(table) = how {
                *changed |= table.passed(self.passed);
            }
        }
    }

    // Chunks.

    /// Begins the next read that should be under way, if there is one. Ask again until there is none.
    pub fn next_read(&mut self) -> Option<ReadJob> {
        self.forget_reads();
        if self.reads.len() >= READS_MAX {
            return None;
        }
        let read = ReadId(self.next_read);
        // The tables before the last one that is being read come first, so that they are finished one after another.
        for (i, table) in self.tables.iter_mut().enumerate() {
            let How::Keyed(table) = &mut table.how else { continue };
            if let Some(what) = table.begin(read, self.clock) {
                self.next_read += 1;
                self.reads.insert(read, i);
                let (plan, must_see) = (table.plan.clone(), self.delivered.must_see());
                return Some(ReadJob { read, plan, what, must_see, bytes_max: CHUNK_BYTES_MAX });
            }
        }
        None
    }

    /// Takes note that a read has its snapshot.
    pub fn opened(&mut self, opened: Opened) {
        let snapshot = opened.snapshot.clone();
        if let Some(table) = self.keyed(opened.read)
            && table.opened(opened)
        {
            self.delivered.prune(&snapshot);
            self.shared_changed = true;
        }
    }

    /// Takes the rows of a read.
    pub fn arrived(&mut self, arrived: Arrived) {
        let read = arrived.read;
        if !self.keyed(read).is_some_and(|table| table.arrived(arrived)) {
            self.reads.remove(&read);
        }
    }

    /// Takes note that a read came to nothing. It is begun again by [`next_read`](Backfill::next_read).
    pub fn failed(&mut self, read: ReadId) {
        if let Some(table) = self.keyed(read) {
            table.failed(read);
        }
        self.forget_reads();
    }

    fn keyed(&mut self, read: ReadId) -> Option<&mut TableMerge> {
        match &mut self.tables[*self.reads.get(&read)?].how {
            How::Keyed(table) => Some(table),
            How::Whole(_) => None,
        }
    }

    /// Forgets reads that their tables have given up or used. Those that are still being read no longer count.
    fn forget_reads(&mut self) {
        let tables = &self.tables;
        self.reads.retain(|&read, &mut table| match &tables[table].how {
            How::Keyed(table) => table.has_read(read),
            How::Whole(_) => false,
        });
    }

    /// Returns what has to be asked of Postgres before [`enter`](Backfill::enter) is called.
    pub fn questions_to_enter(&self) -> Vec<Question> {
        if self.inside_transaction {
            return Vec::new();
        }
        let ask = |(i, table): (usize, &Table)| match &table.how {
            How::Keyed(table) => {
                let (bound, keys) = table.ask_to_enter(self.passed)?;
                Some(Question { table: i, plan: table.plan.clone(), bound, keys })
            }
            How::Whole(_) => None,
        };
        self.tables.iter().enumerate().filter_map(ask).collect()
    }

    /// Returns the next chunk that can enter behind what was merged last, if there is one. Ask again until there is
    /// none, with [`questions_to_enter`](Backfill::questions_to_enter) before each.
    ///
    /// Inside a transaction nothing enters.
    ///
    /// # Errors
    /// [`BackfillError`] when the key of a row can't be told.
    pub fn enter(&mut self) -> Result<Option<Batch>, BackfillError> {
        if self.inside_transaction {
            return Ok(None);
        }
        let mut entered = None;
        for Table { how, changed, .. } in &mut self.tables {
            let How::Keyed(table) = how else { continue };
            if entered.is_none() {
                entered = table.enter(self.passed)?;
                *changed |= std::mem::take(&mut table.changed);
            }
            table.forget_answers();
        }
        self.forget_reads();
        Ok(entered.map(|entered| self.batch(entered)))
    }

    fn batch(&mut self, Entered { relation, empty_first, rows }: Entered) -> Batch {
        let truncate = Change { op: Op::Truncate, relation: 0, new: None, old: None };
        let insert = |row: Tuple| Change { op: Op::Insert, relation: 0, new: Some(row), old: None };
        let changes: Vec<Change> =
            empty_first.then_some(truncate).into_iter().chain(rows.into_iter().map(insert)).collect();
        let span = Span {
            xid: 0,
            epoch: self.position.epoch,
            commit_lsn: self.position.commit_lsn,
            end_lsn: self.position.end_lsn,
            commit_time: self.position.commit_time,
            phase: Phase::Backfill,
            first: 0,
            count: changes.len() as u32,
            first_in_transaction: self.next_change,
            complete: true,
        };
        self.next_change += changes.len() as u64;
        self.shared_changed = true;
        Batch { id: 0, relations: vec![relation], spans: vec![span], changes }
    }

    /// Returns the position that the stream has to reach before a chunk that is there can enter: ask the server for a
    /// keepalive if nothing comes by itself.
    pub fn waits_for(&self) -> Option<Lsn> {
        let waits = |table: &Table| match &table.how {
            How::Keyed(table) => table.waits_for(),
            How::Whole(table) => table.ahead_to(),
        };
        self.tables.iter().filter_map(waits).min()
    }

    // Tables without a key.

    /// Returns the tables that wait for a snapshot under which they can be copied whole.
    pub fn tables_to_copy_whole(&self) -> Vec<(usize, Arc<TablePlan>)> {
        let waiting = |(i, table): (usize, &Table)| match &table.how {
            How::Whole(table) if table.is_waiting() => Some((i, table.plan.clone())),
            _ => None,
        };
        self.tables.iter().enumerate().filter_map(waiting).collect()
    }

    /// Says that the copy of a table of [`tables_to_copy_whole`](Backfill::tables_to_copy_whole) begins, under the
    /// snapshot of a slot with this consistent point. Returns false if the snapshot is too old.
    pub fn begin_whole(&mut self, table: usize, consistent_point: Lsn) -> bool {
        match &mut self.tables[table].how {
            How::Whole(table) => table.begin(consistent_point),
            How::Keyed(_) => false,
        }
    }

    /// Takes a piece of a table that is copied whole and returns the batch that enters. Not inside a transaction.
    ///
    /// # Errors
    /// The batch that was merged last ends inside a transaction.
    pub fn enter_piece(
        &mut self,
        table: usize,
        relation: Arc<Relation>,
        rows: Vec<Tuple>,
        last: bool,
    ) -> Result<Batch, BackfillError> {
        let entry = &mut self.tables[table];
        let (false, How::Whole(whole)) = (self.inside_transaction, &mut entry.how) else {
            return Err(BackfillError::NotNow { table: entry.plan().name() });
        };
        let empty_first = whole.enter(rows.len(), last);
        entry.changed = true;
        Ok(self.batch(Entered { relation, empty_first, rows }))
    }

    /// Says that the copy of a table broke off. It has to begin again, under another snapshot.
    pub fn whole_broke_off(&mut self, table: usize) {
        if let How::Whole(whole) = &mut self.tables[table].how {
            whole.broke_off();
        }
    }

    // Progress.

    /// Returns what has changed since the last call, to be saved in the destination transaction that commits the batch
    /// which [`merge`](Backfill::merge), [`enter`](Backfill::enter) or [`enter_piece`](Backfill::enter_piece) returned
    /// last. Each entry replaces the former one of its name.
    pub fn take_progress(&mut self) -> Vec<(String, Value)> {
        let mut progress = Vec::new();
        for table in &mut self.tables {
            if std::mem::take(&mut table.changed) {
                let saved = match &table.how {
                    How::Keyed(table) => SavedTable::of_keyed(table),
                    How::Whole(table) => SavedTable::of_whole(table),
                };
                progress.push((table.plan().name(), to_value(&saved)));
            }
        }
        if std::mem::take(&mut self.shared_changed) {
            let shared = SavedShared {
                delivered: self.delivered.save(),
                at: self.position.commit_lsn.0,
                next_change: self.next_change,
            };
            progress.push((SHARED.to_owned(), to_value(&shared)));
        }
        progress
    }

    /// Returns where each table is, for people. Rates are since the first call.
    pub fn status(&mut self, now: Instant) -> Vec<TableStatus> {
        let status = |table: &mut Table| {
            let (rows_copied, stage) = match &table.how {
                _ if table.is_done() => (table.rows_copied(), TableStage::Done),
                How::Keyed(merge) if merge.is_untouched() => (0, TableStage::Waiting),
                How::Whole(whole) if whole.is_waiting() => (0, TableStage::Waiting),
                _ => (table.rows_copied(), TableStage::Copying),
            };
            let (since, rows_then) = *table.since.get_or_insert((now, rows_copied));
            TableStatus::new(table.plan(), stage, rows_copied, rows_copied.saturating_sub(rows_then), now - since)
        };
        self.tables.iter_mut().map(status).collect()
    }
}

impl Table {
    fn rows_copied(&self) -> u64 {
        match &self.how {
            How::Keyed(table) => table.rows_copied,
            How::Whole(table) => table.rows_copied,
        }
    }
}

fn to_value(saved: &impl serde::Serialize) -> Value {
    serde_json::to_value(saved).expect("the keys of its maps are strings")
}
