//! The flows of one source into one destination: they commit together.
//!
//! Two tasks, so that guests work on one batch while another is written: [`Transforming`] makes rows of batches,
//! [`Writer`] writes them, with the transforms' state and the checkpoint, in one transaction of the destination. Each
//! queue between them holds one batch; with one being decoded, one in the guests and one being written, at most five
//! are alive, which bounds memory.
//!
//! A source transaction that is larger than a batch is written in pieces inside one destination transaction, which
//! commits when its last piece has come. Nothing else is in its batches (see [`crate::batch`]).
//!
//! What is reported as durable is flushed at the destination: commits are asynchronous there, and a checkpoint counts
//! only once `pg_current_wal_flush_lsn()` has passed its commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio_postgres::Client;

use crate::batch::Cut;
use crate::change::{Batch, Op, Row};
use crate::datastore::{
    BackfillRow, Commit, DataStoreError, Session, StateTable, finish_backfills, put_backfills, put_violations,
};
use crate::eventstore;
use crate::fault;
use crate::lsn::Lsn;
use crate::sink::{Addressed, Destination, SinkError, WriteStats};
use crate::wasm;

use super::CopyReport;
use super::copying::Event as CopyEvent;
use super::failure::EngineError;
use super::transform::{Made, Running};

/// How often an idle group looks whether its last commits are flushed …
const FLUSH_POLL: Duration = Duration::from_millis(50);
/// … and how often in vain before it flushes them itself. The server's log writer does it within 0.2 s by default; and
/// where a commit ends with a page, the position behind it is in the next one, which an idle server never flushes.
const FLUSH_POLLS_MAX: u32 = 20;

/// Reaches whoever listens at the commit, once, however often it is said inside a transaction.
const NOTIFY: &str = "NOTIFY rejot_events";
/// The same, of a commit that is flushed before anybody sees it.
const NOTIFY_FLUSHED: &str = "SET LOCAL synchronous_commit = on; NOTIFY rejot_events";

/// How often an event store's publisher looks whether another segment has begun.
const SEGMENT_LOOK: Duration = Duration::from_secs(10);

/// What a group tells its source.
#[derive(Debug)]
pub enum Event {
    /// Everything committed before `lsn` is durable in the group's destination.
    Durable { group: usize, lsn: Lsn },
    /// The group has ended. `transform` is the one that failed, where one did.
    Ended { group: usize, failure: Option<Failure> },
}

/// Why a group ended.
#[derive(Debug)]
pub struct Failure {
    /// Index of the transform in the group, where the error is its own.
    pub transform: Option<usize>,
    pub error: EngineError,
}

impl Failure {
    fn of_group(error: EngineError) -> Failure {
        Failure { transform: None, error }
    }
}

/// Rows on their way to the writer.
pub struct Prepared {
    id: u64,
    through: Lsn,
    /// False while a huge transaction goes on in the next batch.
    complete: bool,
    commit_time: Option<i64>,
    /// One a transform.
    made: Vec<Made>,
    /// (table, transform, row): which row goes to which table, in the order of the source.
    order: Vec<(usize, usize, usize)>,
    /// How many rows each flow gets, in the order of [`Writer::flows`].
    rows: Vec<i64>,
    backfills: Vec<BackfillRow>,
    /// Backfills that are done with this batch.
    finished: Vec<String>,
    /// Rows are being copied. Where a copied row lies in an event store depends on the copy, so what consumers have seen of
    /// it must not be lost and made again in another order: it is flushed before it can be seen.
    copying: bool,
}

/// Makes rows of batches, and of the chunks of running backfills, until the source hangs up.
pub struct Transforming {
    pub transforms: Vec<Running>,
    pub batches: mpsc::Receiver<Cut>,
    /// Told when a batch has been taken.
    pub taken: Arc<Notify>,
    pub writer: mpsc::Sender<Prepared>,
    /// True while rows are being copied, which needs positions often.
    pub copying: Arc<AtomicBool>,
    /// The boundary that the stream has reached.
    pub through: Lsn,
    /// The last batch ended inside a transaction, for some transform at least: nothing that is copied may enter before
    /// its end, or the writer would commit half of it.
    pub inside: bool,
    /// Who is told how far copying is.
    pub reports: Option<mpsc::UnboundedSender<CopyReport>>,
    pub slug: String,
}

/// How often is told how far copying is.
const REPORT_INTERVAL: Duration = Duration::from_millis(250);

enum Ended {
    /// The writer has failed, and says so itself.
    Gone,
    Failed(Failure),
}

impl Transforming {
    /// Runs.
    ///
    /// # Errors
    /// The transform that failed, and how.
    pub async fn run(mut self) -> Result<(), Failure> {
        match self.go_on().await {
            Ok(()) | Err(Ended::Gone) => Ok(()),
            Err(Ended::Failed(failure)) => Err(failure),
        }
    }

    async fn go_on(&mut self) -> Result<(), Ended> {
        // Batches of copied rows have ids of their own, in the order in which they are made.
        let mut id = 0;
        let mut reported = Instant::now();
        loop {
            if reported.elapsed() >= REPORT_INTERVAL {
                reported = Instant::now();
                self.report();
            }
            let copying = self.transforms.iter().any(|transform| transform.copying.is_some());
            self.copying.store(copying, Ordering::Relaxed);
            tokio::select! {
                cut = self.batches.recv() => {
                    let Some(cut) = cut else { return Ok(()) };
                    self.taken.notify_one();
                    self.take(cut, &mut id).await?;
                }
                (index, event) = next_event(&mut self.transforms), if copying && !self.inside => {
                    self.copied(index, event, &mut id).await?;
                }
            }
        }
    }

    fn report(&mut self) {
        let Some(reports) = &self.reports else { return };
        for transform in &mut self.transforms {
            if let Some(copying) = &mut transform.copying {
                let tables = copying.status();
                let (destination, transform) = (self.slug.clone(), transform.name.clone());
                // Nobody may be looking any more.
                let _ = reports.send(CopyReport { destination, transform, tables });
            }
        }
    }

    /// Takes a batch of the stream.
    async fn take(&mut self, cut: Cut, id: &mut u64) -> Result<(), Ended> {
        let batch = Arc::new(cut.batch);
        let complete = !batch.ends_inside_transaction();
        let mut backfills = Vec::new();
        let mut made = Vec::with_capacity(self.transforms.len());
        // What belongs behind a table that is being copied whole waits for it, and all the rest of the batch with it.
        // A batch inside a transaction never waits: its beginning has.
        for index in 0..self.transforms.len() {
            while let Some(copying) = &mut self.transforms[index].copying
                && !self.inside
                && copying.must_wait(&batch)
            {
                let event = copying.event().await;
                self.copied(index, event, id).await?;
            }
        }
        *id += 1;
        fault::point("before-guest");
        assert!(!fault::sabotaged("bug"), "a bug, as a test wants it");
        for (index, transform) in self.transforms.iter_mut().enumerate() {
            let failed = |error| Ended::Failed(Failure { transform: Some(index), error });
            let mut mine = batch.since(transform.from);
            if let Some(copying) = &mut transform.copying {
                mine = Arc::new(copying.merge(&mine).await.map_err(failed)?);
                if complete {
                    copying.passed(cut.through).await.map_err(failed)?;
                }
                backfills.extend(copying.progress());
            }
            let mine = transform.gather(mine).map_err(failed)?;
            let mut rows = transform.make(mine, *id).await.map_err(failed)?;
            if let Some(publishing) = &mut transform.publishing {
                publishing.publish(&mut rows, self.through).map_err(failed)?;
            }
            made.push(rows);
        }
        fault::point("after-guest");
        self.through = cut.through;
        self.inside = !complete;
        self.send(*id, complete, cut.time, made, backfills).await?;
        if complete {
            // The position may be the one that a chunk was waiting for.
            for index in 0..self.transforms.len() {
                self.enter(index, id).await?;
            }
        }
        Ok(())
    }

    /// Takes what a backfill's readers report.
    async fn copied(&mut self, index: usize, event: CopyEvent, id: &mut u64) -> Result<(), Ended> {
        let failed = |error| Ended::Failed(Failure { transform: Some(index), error });
        let copying = self.transforms[index].copying.as_mut().expect("its readers reported");
        if let Some(batch) = copying.take(event).await.map_err(failed)? {
            self.send_copied(index, batch, id).await?;
        }
        self.enter(index, id).await
    }

    /// Lets copied rows enter, for as long as there are some that may.
    async fn enter(&mut self, index: usize, id: &mut u64) -> Result<(), Ended> {
        let failed = |error| Ended::Failed(Failure { transform: Some(index), error });
        while let Some(copying) = &mut self.transforms[index].copying {
            let Some(batch) = copying.enter().await.map_err(failed)? else { break };
            self.send_copied(index, batch, id).await?;
        }
        Ok(())
    }

    async fn send_copied(&mut self, index: usize, batch: Batch, id: &mut u64) -> Result<(), Ended> {
        let failed = |error| Ended::Failed(Failure { transform: Some(index), error });
        *id += 1;
        let mut made: Vec<Made> = self.transforms.iter().map(|_| Made::default()).collect();
        let transform = &mut self.transforms[index];
        made[index] = transform.make(Arc::new(batch), *id).await.map_err(failed)?;
        if let Some(publishing) = &mut transform.publishing {
            publishing.publish(&mut made[index], self.through).map_err(failed)?;
        }
        let copying = transform.copying.as_mut().expect("its rows have entered");
        let backfills = copying.progress();
        self.send(*id, true, None, made, backfills).await
    }

    async fn send(
        &mut self,
        id: u64,
        complete: bool,
        commit_time: Option<i64>,
        made: Vec<Made>,
        backfills: Vec<BackfillRow>,
    ) -> Result<(), Ended> {
        let mut finished = Vec::new();
        let copying = self.transforms.iter().any(|transform| transform.copying.is_some());
        if complete {
            for transform in &mut self.transforms {
                if let Some(mut copying) = transform.copying.take_if(|copying| copying.is_done()) {
                    let tables = copying.status();
                    tables.iter().for_each(|t| tracing::info!(table = t.table, rows = t.rows_copied, "copied"));
                    if let Some(reports) = &self.reports {
                        let (destination, transform) = (self.slug.clone(), transform.name.clone());
                        let _ = reports.send(CopyReport { destination, transform, tables });
                    }
                    finished.push(copying.name().to_owned());
                }
            }
        }
        let (order, rows) = address(&self.transforms, &made);
        let through = self.through;
        let prepared = Prepared { id, through, complete, commit_time, made, order, rows, backfills, finished, copying };
        self.writer.send(prepared).await.map_err(|_| Ended::Gone)
    }
}

/// Waits for what any backfill's readers report.
async fn next_event(transforms: &mut [Running]) -> (usize, CopyEvent) {
    let events = transforms.iter_mut().enumerate().filter_map(|(index, transform)| {
        let copying = transform.copying.as_mut()?;
        Some(Box::pin(async move { (index, copying.event().await) }))
    });
    futures_util::future::select_all(events).await.0
}

/// Returns which row goes to which table, as (table, transform, row) in the order of the source, and how many rows each
/// flow gets.
fn address(transforms: &[Running], made: &[Made]) -> (Vec<(usize, usize, usize)>, Vec<i64>) {
    let flows = transforms.iter().map(|transform| transform.flows.len()).sum();
    let mut rows = vec![0; flows];
    let mut order = Vec::with_capacity(made.iter().map(|made| made.rows.len()).sum());
    let mut flow = 0;
    for (index, (transform, made)) in transforms.iter().zip(made).enumerate() {
        for target in &transform.flows {
            for (at, row) in made.rows.iter().enumerate() {
                if row.public_schema == target.public_schema {
                    order.push((target.table, index, at));
                    rows[flow] += i64::from(row.op != Op::Truncate);
                }
            }
            flow += 1;
        }
    }
    if flow > 1 {
        // The sort is stable: what one change gave rise to stays in the order of the transforms.
        order.sort_by_cached_key(|&(_, transform, row)| made[transform].position(row));
    }
    if fault::sabotaged("order") {
        order.reverse();
    }
    (order, rows)
}

/// Writes one group's rows.
pub struct Writer {
    pub group: usize,
    pub slug: String,
    pub client: Client,
    pub session: Session,
    pub destination: Destination,
    /// Where it is an event store: the segment that events are appended to. Whoever reads it is told of every commit.
    pub segment: Option<Arc<AtomicI32>>,
    /// Of each of its tables: every row of the source is there, so one that is missing stops the flow.
    pub whole: Vec<bool>,
    /// The tables of which it was said that changes were left out.
    pub told_missing: Vec<usize>,
    /// The flows that take part, in the order in which transforms and their flows stand.
    pub flows: Vec<String>,
    /// Where each transform keeps its state.
    pub states: Vec<Option<StateTable>>,
    /// They are told what is committed.
    pub guests: Vec<Arc<wasm::Transform>>,
    pub events: mpsc::UnboundedSender<Event>,
}

/// A commit that is not yet known to be flushed.
struct Unflushed {
    through: Lsn,
    /// A position of the destination's log behind the commit.
    position: Lsn,
}

impl Writer {
    /// Writes what comes until the transforms hang up; then makes it durable and says so.
    ///
    /// # Errors
    /// Whatever failed. The destination's open transaction is gone with the connection.
    pub async fn run(mut self, mut prepared: mpsc::Receiver<Prepared>) -> Result<(), Failure> {
        let mut unflushed: VecDeque<Unflushed> = VecDeque::new();
        let mut open = false;
        let mut polls = 0;
        let mut rows = vec![0i64; self.flows.len()];
        let mut look = tokio::time::interval(SEGMENT_LOOK);
        loop {
            let next = tokio::select! {
                next = prepared.recv() => next,
                _ = look.tick(), if self.segment.is_some() => {
                    self.look_at_segment().await?;
                    continue;
                }
                () = tokio::time::sleep(FLUSH_POLL), if !unflushed.is_empty() => {
                    polls += 1;
                    if open || polls < FLUSH_POLLS_MAX {
                        self.report_flushed(&mut unflushed).await?;
                    } else {
                        self.flush(&mut unflushed).await?;
                    }
                    continue;
                }
            };
            polls = 0;
            let Some(batch) = next else { break };
            self.write(&batch, !open).await?;
            open = true;
            rows.iter_mut().zip(&batch.rows).for_each(|(sum, more)| *sum += more);
            if !batch.complete {
                continue;
            }
            fault::point("before-commit");
            let commit =
                Commit { through: batch.through, commit_time: batch.commit_time, flows: &self.flows, rows: &rows };
            let committed = self.session.commit(&self.client, &commit).await.map_err(|error| self.at_commit(error))?;
            fault::point("after-commit");
            open = false;
            rows.fill(0);
            self.guests.iter().for_each(|guest| guest.committed(batch.id));
            unflushed.push_back(Unflushed { through: batch.through, position: committed.position });
            self.report(&mut unflushed, committed.flushed);
        }
        if open {
            // The pieces of a transaction whose end was not received: it comes again from the checkpoint.
            return Ok(());
        }
        self.flush(&mut unflushed).await
    }

    /// Goes over to another segment where somebody has begun one.
    async fn look_at_segment(&self) -> Result<(), Failure> {
        if let Some(segment) = &self.segment {
            let newest = eventstore::newest_segment(&self.client).await.map_err(|source| self.data_store(source))?;
            segment.store(newest, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes durable what is committed, and says so.
    async fn flush(&self, unflushed: &mut VecDeque<Unflushed>) -> Result<(), Failure> {
        if let Some(last) = unflushed.back() {
            self.session.flush_now(&self.client).await.map_err(|source| self.data_store(source))?;
            self.durable(last.through);
        }
        unflushed.clear();
        Ok(())
    }

    /// Writes a batch; `begin` opens the transaction.
    ///
    /// The first rows are on their way before the server has answered whether the flows are still ours: that saves a
    /// round trip. Nothing of them stays if they are not, for then the connection is given up with its transaction.
    async fn write(&mut self, batch: &Prepared, begin: bool) -> Result<(), Failure> {
        fault::point("before-copy");
        let address = |&(table, transform, row): &(usize, usize, usize)| Addressed {
            table,
            row: &batch.made[transform].rows[row] as &Row,
        };
        let addressed: Vec<Addressed<'_>> = batch.order.iter().map(address).collect();
        let Writer { client, session, destination, segment, flows, slug, .. } = self;
        let of_group = |error| Failure::of_group(error);
        let owned = async {
            let begun = if begin { session.begin(client, flows).await } else { Ok(()) };
            begun.map_err(|source| of_group(EngineError::DataStore { slug: slug.clone(), source }))
        };
        let told = async {
            if segment.is_none() || addressed.is_empty() {
                return Ok(());
            }
            let tell = if batch.copying { NOTIFY_FLUSHED } else { NOTIFY };
            let told = client.batch_execute(tell).await.map_err(DataStoreError::query("tell of events"));
            told.map_err(|source| of_group(EngineError::DataStore { slug: slug.clone(), source }))
        };
        let written = async {
            let written = destination.write(client, &addressed).await;
            written.map_err(|source| of_group(EngineError::Sink { slug: slug.clone(), source }))
        };
        // In this order: what is polled first is sent first, and its error counts first.
        let ((), (), stats) = tokio::try_join!(biased; owned, told, written)?;
        self.nothing_is_missing(&stats)?;
        fault::point("after-copy");
        for (table, made) in self.states.iter().zip(&batch.made) {
            if let Some(table) = table.as_ref().filter(|_| !made.state.is_empty()) {
                table.put(&self.client, &made.state).await.map_err(|source| self.data_store(source))?;
            }
        }
        let scope = &self.session.owned().scope;
        for made in &batch.made {
            put_violations(&self.client, scope, &made.violations).await.map_err(|source| self.data_store(source))?;
        }
        put_backfills(&self.client, scope, &batch.backfills).await.map_err(|source| self.data_store(source))?;
        finish_backfills(&self.client, scope, &batch.finished).await.map_err(|source| self.data_store(source))
    }

    /// Stops a flow whose changes found no row: the destination is not what was written to it, or a transform took
    /// back a row that it had held back, and only somebody knows whether that is as it should be. Where rows from before
    /// the flow were not to be copied, changes of those find none: that is told once a run.
    fn nothing_is_missing(&mut self, stats: &WriteStats) -> Result<(), Failure> {
        for &(table, rows) in &stats.missing_by_table {
            let name = self.destination.name(table);
            if self.whole[table] {
                return Err(self.sink(SinkError::RowsMissing { table: name, index: table, rows }));
            }
            if !self.told_missing.contains(&table) {
                self.told_missing.push(table);
                tracing::warn!(table = name, rows, "left out changes of rows that are not at the destination");
            }
        }
        Ok(())
    }

    fn sink(&self, source: SinkError) -> Failure {
        Failure::of_group(EngineError::Sink { slug: self.slug.clone(), source })
    }

    fn data_store(&self, source: DataStoreError) -> Failure {
        Failure::of_group(EngineError::DataStore { slug: self.slug.clone(), source })
    }

    /// A constraint that was deferred speaks up at the commit; its message is told like that of any other row.
    fn at_commit(&self, error: DataStoreError) -> Failure {
        match error {
            DataStoreError::Query { source, .. } if source.as_db_error().is_some() => {
                self.sink(SinkError::at_commit(source))
            }
            error => self.data_store(error),
        }
    }

    fn durable(&self, lsn: Lsn) {
        // Nobody listens when the source has given up; then nothing is confirmed either.
        let _ = self.events.send(Event::Durable { group: self.group, lsn });
    }

    async fn report_flushed(&self, unflushed: &mut VecDeque<Unflushed>) -> Result<(), Failure> {
        let flushed = self.session.flushed(&self.client).await.map_err(|source| self.data_store(source))?;
        self.report(unflushed, flushed);
        Ok(())
    }

    /// Says what is durable, now that the destination has flushed its log so far.
    fn report(&self, unflushed: &mut VecDeque<Unflushed>, flushed: Lsn) {
        let mut durable = None;
        while let Some(first) = unflushed.front().filter(|first| first.position <= flushed) {
            durable = Some(first.through);
            unflushed.pop_front();
        }
        if let Some(lsn) = durable {
            self.durable(lsn);
        }
    }
}
