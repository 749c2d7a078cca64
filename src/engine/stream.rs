//! One run of a source's stream: reads, hands over to the groups, and confirms what is durable everywhere.
//!
//! A run ends when somebody asks for it, when everything is caught up, when the stream breaks, or when a group that
//! failed can rejoin: then a new run begins at the least checkpoint, and the groups that are ahead skip what they have.
//!
//! **A source that is idle** while other databases of its server write must not hold their log back. The server says by
//! keepalives how far it has looked, and that becomes a checkpoint; but it says so only when it waits for more, which a
//! busy one may not do for long. So where the log grows and brings us nothing, a message of a few bytes is written into
//! it ([`Enrich::beat`]), which comes through the stream like a change. No table is needed for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::batch::Cut;
use crate::change::Relation;
use crate::fault;
use crate::lsn::Lsn;
use crate::pgoutput::{DecodeError, RelationIndex};
use crate::postgres::QueryError;
use crate::postgres::replication::{Gulp, ReplicationStream, WalMessage};
use crate::progress::Progress;

use super::deploy::Swaps;
use super::dispatch::{Dispatch, News, Reads, StreamError};
use super::failure::{Chain, EngineError, Verdict};
use super::group::{Event, Failure};
use super::pace::Pace;
use super::told::{Altered, PREFIX, Told};

/// How often a position moves where nothing else is written.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(10);
/// The same while the server asks to be told how far we are.
const URGENT_CHECKPOINT: Duration = Duration::from_secs(1);
/// The same while rows are being copied.
const COPYING_CHECKPOINT: Duration = Duration::from_millis(20);
/// How often the session that holds the lock is asked whether it lives, and whether all tables are still published.
const LOCK_PROBE: Duration = Duration::from_secs(5);
/// While rows are copied and the stream brings nothing for so long, the server is made to flush its log.
const NUDGE: Duration = Duration::from_millis(500);
/// How often is looked whether something is due.
const TICK: Duration = Duration::from_millis(50);
/// How long groups get to finish what they have.
const FINISH_MAX: Duration = Duration::from_secs(30);

/// Why a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// Somebody asked for it.
    Shutdown,
    /// Everything up to the wanted position is durable.
    CaughtUp,
    /// Groups ended by themselves, or something is to be done before the next run; the others have finished what they
    /// had.
    Failed(Vec<(usize, Failure)>),
}

/// A group as its stream sees it.
pub struct Group {
    /// Names its checkpoint in [`Progress`].
    pub reader: String,
    pub tables: Vec<(String, String)>,
    /// The same of each of its transforms.
    pub transforms: Vec<Vec<(String, String)>>,
    /// The transactions that ReJot stored there, of those that may come again, in order.
    pub stored_by_rejot: Vec<Lsn>,
    /// True while rows are being copied: chunks wait for positions.
    pub copying: Arc<AtomicBool>,
    /// `None` once the group has ended.
    pub batches: Option<mpsc::Sender<Cut>>,
}

/// A group's batch that is being collected.
#[derive(Clone)]
struct Pending {
    /// When the one before was handed over.
    sent: Instant,
    /// Since when it holds something to hand over.
    since: Option<Instant>,
    /// The one before ends inside a transaction, which goes on in this one.
    inside: bool,
}

/// The tables that a group reads.
pub struct Tables {
    names: Vec<(String, String)>,
    stored_by_rejot: Vec<Lsn>,
}

impl Reads for Tables {
    fn reads(&self, schema: &str, table: &str) -> bool {
        self.names.iter().any(|(s, t)| s == schema && t == table)
    }

    fn has(&self, at: Lsn) -> bool {
        self.stored_by_rejot.binary_search(&at).is_ok()
    }
}

/// What the catalog makes of a relation that the stream describes.
pub enum Sight {
    /// A table that the flows know, under the name by which they know it, with what only the catalog says of it.
    Known(Relation),
    /// A table that had that name once and is none of the flows'.
    Stranger,
    /// The table is being altered, and what the stream describes may not be in the catalog yet.
    Hidden { schema: String, name: String },
    /// The flows' table of that schema and name is no longer what it was.
    Lost { schema: String, name: String, now: Option<String> },
}

/// Holds what the stream describes against the catalog.
pub trait Enrich {
    /// Returns true when that table is known, by whatever name.
    fn knows(&self, oid: u32) -> bool;

    /// Returns false when the publication lacks a table that it had when the run began.
    fn is_published(&self) -> impl Future<Output = Result<bool, QueryError>> + Send;

    /// Makes the source flush its log to its present end, soon.
    fn nudge(&self) -> impl Future<Output = ()> + Send;

    /// Writes a small message into the source's log when that has grown much since `since`. Returns where it stands.
    fn beat(&self, since: Lsn) -> impl Future<Output = Option<Lsn>> + Send;

    /// Looks a relation up, and adds nullability, labels and the like; `told` is what was told of it before it was
    /// described. One that is described again as it was is not waited for.
    fn enrich(
        &self,
        relation: &Relation,
        told: Option<&Altered>,
        again: bool,
    ) -> impl Future<Output = Result<Sight, QueryError>> + Send;
}

/// One run of a source's stream.
pub struct Run<'a, E> {
    pub slug: &'a str,
    pub stream: ReplicationStream,
    pub groups: Vec<Group>,
    pub events: mpsc::UnboundedReceiver<Event>,
    pub taken: Arc<Notify>,
    pub progress: Progress,
    /// Asked over the session that holds the lock.
    pub catalog: &'a E,
    /// Everything before it must be durable for the run to end by itself.
    pub until: Option<Lsn>,
    /// Groups that fail and may rejoin end the run no sooner than this.
    pub rejoin_after: Duration,
    /// When one that has not taken part from the start may rejoin.
    pub rejoin_at: Option<std::time::Instant>,
    /// Each ends when a destination that was away from the start is back.
    pub returning: JoinSet<()>,
    /// Tells when a component is ready to take over.
    pub swaps: &'a Swaps,
    /// The server asked for a status: positions move sooner.
    pub urgent: bool,
    pub told: Told,
    /// How much of the log one that stopped may hold back; beyond it the run ends, so that it can be released.
    pub held_back_bytes_max: Option<u64>,
}

impl<E: Enrich> Run<'_, E> {
    /// Runs until there is a reason to end, and ends in good order: groups finish what they have been handed, what is
    /// durable is confirmed, and the server has taken the last status.
    ///
    /// # Errors
    /// The stream broke, or the lock was lost.
    pub async fn run<R: Reads>(
        mut self,
        dispatch: Dispatch<R>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Outcome, EngineError> {
        let mut failures = Vec::new();
        let outcome = self.deliver(dispatch, stop, &mut failures).await;
        for group in &mut self.groups {
            group.batches = None;
        }
        let finished = tokio::time::timeout(FINISH_MAX, self.finish(&mut failures)).await;
        if finished.is_err() {
            tracing::warn!(source = self.slug, "a destination does not finish; what it has not committed comes again");
        }
        self.confirm();
        let closed = self.stream.close().await;
        let outcome = outcome?;
        if let Err(error) = closed {
            tracing::debug!("the stream was not closed in good order: {}", Chain(&error));
        }
        Ok(match outcome {
            Outcome::Failed(_) => Outcome::Failed(failures),
            outcome if failures.is_empty() => outcome,
            // What fails while finishing has not become durable.
            Outcome::CaughtUp | Outcome::Shutdown => Outcome::Failed(failures),
        })
    }

    async fn deliver<R: Reads>(
        &mut self,
        mut dispatch: Dispatch<R>,
        stop: &mut watch::Receiver<bool>,
        failures: &mut Vec<(usize, Failure)>,
    ) -> Result<Outcome, EngineError> {
        let now = Instant::now();
        let mut pending = vec![Pending { sent: now, since: None, inside: false }; self.groups.len()];
        let mut pace = Pace::new(now);
        let mut probe = tokio::time::interval_at(Instant::now() + LOCK_PROBE, LOCK_PROBE);
        let mut tick = tokio::time::interval(TICK);
        let mut rejoin = self.rejoin_at.map(Instant::from_std);
        let (mut nudged, mut position) = (Instant::now(), dispatch.position);
        let (mut quiet_since, mut transactions) = (dispatch.position, dispatch.transactions);
        let mut swap = false;
        loop {
            let due = self.hand_over(&mut dispatch, &mut pending, &pace);
            if self.caught_up() {
                return Ok(Outcome::CaughtUp);
            }
            // A large transaction that is being written goes on to its end, or it would come again from its beginning.
            let inside = |(group, pending): (&Group, &Pending)| pending.inside && group.batches.is_some();
            if swap && !self.groups.iter().zip(&pending).any(inside) {
                return Ok(Outcome::Failed(Vec::new()));
            }
            tokio::select! {
                biased;
                changed = stop.changed() => {
                    if changed.is_err() || *stop.borrow() {
                        return Ok(Outcome::Shutdown);
                    }
                }
                event = self.events.recv() => match event {
                    Some(Event::Durable { group, lsn }) => {
                        self.progress.durable(&self.groups[group].reader, lsn);
                        self.confirm();
                    }
                    Some(Event::Ended { group, failure }) => {
                        self.groups[group].batches = None;
                        dispatch.detach(group);
                        let Some(failure) = failure else { continue };
                        // Other destinations go on while one is away; whoever must be taken out of its group, or is no
                        // longer ours, ends the run at once.
                        let lasting = failure.error.verdict() != Verdict::Retry || failure.transform.is_some();
                        failures.push((group, failure));
                        if lasting || self.groups.iter().all(|group| group.batches.is_none()) {
                            return Ok(Outcome::Failed(Vec::new()));
                        }
                        let at = Instant::now() + self.rejoin_after;
                        rejoin = Some(rejoin.map_or(at, |rejoin| rejoin.min(at)));
                    }
                    None => return Err(EngineError::Bug("no group is left".to_owned())),
                },
                gulp = self.stream.next(), if !dispatch.is_full() => {
                    let gulp = gulp.map_err(|source| EngineError::Replication { slug: self.slug.to_owned(), source })?;
                    let (bytes, before) = (gulp.bytes, dispatch.transactions);
                    if let Some(more) = self.gulp(&mut dispatch, gulp).await? {
                        failures.extend(more);
                        return Ok(Outcome::Failed(Vec::new()));
                    }
                    pace.arrived(bytes, dispatch.transactions - before, Instant::now());
                }
                () = tokio::time::sleep_until(due.unwrap_or(now)), if due.is_some() => {}
                () = self.taken.notified() => {}
                Some(_) = self.returning.join_next() => return Ok(Outcome::Failed(Vec::new())),
                () = self.swaps.ready(), if !swap => swap = true,
                _ = tick.tick() => {
                    let released = self.held_back_bytes_max.is_some_and(|max| self.progress.is_held_back(max));
                    if released || rejoin.is_some_and(|at| at <= Instant::now()) {
                        return Ok(Outcome::Failed(Vec::new()));
                    }
                    // An idle server says by itself how far it is, but not at once.
                    let behind = |until: Lsn| dispatch.position < until;
                    if self.copies() || self.until.is_some_and(behind) {
                        self.stream.ask();
                    }
                    // A chunk waits for the position at which its snapshot was taken. What was written up to there need
                    // not be flushed, and what is not flushed is not sent: a record that reading itself left, of a page
                    // that was cleaned up, stays behind for up to 15 s where nobody else writes.
                    if std::mem::replace(&mut position, dispatch.position) != dispatch.position {
                        nudged = Instant::now();
                    } else if self.copies() && nudged.elapsed() >= NUDGE {
                        nudged = Instant::now();
                        let nudge = tokio::time::timeout(NUDGE, self.catalog.nudge());
                        // A session that hangs is found by the next probe.
                        let _ = nudge.await;
                    }
                }
                _ = probe.tick() => {
                    self.probe().await?;
                    if std::mem::replace(&mut transactions, dispatch.transactions) != dispatch.transactions {
                        quiet_since = quiet_since.max(dispatch.position);
                    }
                    // A session that hangs is found by the next probe.
                    let beat = tokio::time::timeout(LOCK_PROBE * 2, self.catalog.beat(quiet_since)).await;
                    quiet_since = beat.ok().flatten().unwrap_or(quiet_since);
                }
            }
        }
    }

    async fn gulp<R: Reads>(
        &mut self,
        dispatch: &mut Dispatch<R>,
        gulp: Gulp,
    ) -> Result<Option<Vec<(usize, Failure)>>, EngineError> {
        for message in gulp.messages {
            match message {
                WalMessage::Data { wal_start, data } => {
                    let news = match dispatch.message(wal_start, data) {
                        Ok(news) => news,
                        // One table's own trouble: its transforms stop, the others go on without it.
                        Err(StreamError::Decode(DecodeError::OldRow { index, .. })) => {
                            let relation = dispatch.relation(index);
                            let error = || EngineError::OldRow { table: relation.display_name() };
                            let failures = self.readers_of(&relation.schema, &relation.name, error);
                            if failures.is_empty() {
                                // Nobody who runs reads it: one who did is out, and comes to it again when it is back.
                                continue;
                            }
                            return Ok(Some(failures));
                        }
                        Err(source) => return Err(EngineError::Decode { slug: self.slug.to_owned(), source }),
                    };
                    match news {
                        None => {}
                        Some(News::Described(index)) => {
                            if let Some(failures) = self.look_up(dispatch, index).await? {
                                return Ok(Some(failures));
                            }
                        }
                        Some(News::Repeated(index)) => self.look_again(dispatch, index).await?,
                        Some(News::Altered(message)) => {
                            let heard = self.told.hear(&message, |oid| self.catalog.knows(oid));
                            heard.unwrap_or_else(|why| self.complain(why));
                        }
                    }
                }
                WalMessage::Keepalive { wal_end, server_time, reply_requested } => {
                    dispatch.keepalive(wal_end, Some(server_time));
                    // A server that shuts down waits until all that it sent is confirmed.
                    self.urgent |= reply_requested;
                }
            }
        }
        dispatch.gulped(gulp.bytes);
        if fault::sabotaged("feedback") {
            self.stream.confirm(dispatch.position);
        }
        Ok(None)
    }

    /// Holds a relation that was just described against the catalog. Returns what stops the flows of a table that is
    /// no longer what it was.
    async fn look_up<R: Reads>(
        &mut self,
        dispatch: &mut Dispatch<R>,
        index: RelationIndex,
    ) -> Result<Option<Vec<(usize, Failure)>>, EngineError> {
        let relation = dispatch.relation(index);
        if dispatch.wanted(index).is_none() && !self.catalog.knows(relation.oid) {
            return Ok(None);
        }
        let told = self.told.take(relation.oid);
        let sight = self.catalog.enrich(relation, told.as_ref(), false).await;
        match sight.map_err(|source| EngineError::Source { slug: self.slug.to_owned(), source })? {
            Sight::Known(mut relation) => {
                let applied = told.map_or(Ok(()), |told| told.apply(&mut relation));
                applied.unwrap_or_else(|why| self.complain(why));
                dispatch.enrich(index, relation);
            }
            Sight::Stranger => dispatch.ignore(index),
            Sight::Hidden { schema, name } => {
                let error = || EngineError::BeingAltered { table: format!("{schema}.{name}") };
                dispatch.ignore(index);
                let failures = self.readers_of(&schema, &name, error);
                return Ok((!failures.is_empty()).then_some(failures));
            }
            Sight::Lost { schema, name, now } => {
                let table = format!("{schema}.{name}");
                let error = || match &now {
                    Some(now) => EngineError::Renamed { table: table.clone(), now: now.clone() },
                    None => EngineError::Remade { table: table.clone() },
                };
                dispatch.ignore(index);
                let failures = self.readers_of(&schema, &name, error);
                return Ok((!failures.is_empty()).then_some(failures));
            }
        }
        Ok(None)
    }

    /// Looks a relation up once more that is described as it was before, if it was told that the table was altered.
    ///
    /// That is for what descriptions do not show; whether the table is still the flows' is asked when they change.
    async fn look_again<R: Reads>(
        &mut self,
        dispatch: &mut Dispatch<R>,
        index: RelationIndex,
    ) -> Result<(), EngineError> {
        let described = dispatch.relation(index);
        let Some(told) = self.told.take(described.oid) else { return Ok(()) };
        let Some(known) = dispatch.wanted(index) else { return Ok(()) };
        let sight = self.catalog.enrich(described, Some(&told), true).await;
        let sight = sight.map_err(|source| EngineError::Source { slug: self.slug.to_owned(), source })?;
        let Sight::Known(mut seen) = sight else { return Ok(()) };
        if let Err(why) = told.apply(&mut seen) {
            self.complain(why);
            return Ok(());
        }
        // What rows are read by stays as it was.
        let mut relation = Relation::clone(known);
        for (column, seen) in relation.columns.iter_mut().zip(seen.columns) {
            (column.nullable, column.attrs) = (seen.nullable, seen.attrs);
        }
        dispatch.enrich(index, relation);
        Ok(())
    }

    /// Says, once, that somebody writes messages in the name of the trigger.
    fn complain(&mut self, why: &str) {
        if !std::mem::replace(&mut self.told.complained, true) {
            tracing::warn!(
                source = self.slug,
                "a logical message `{PREFIX}` is not what Pelton's trigger writes, and is ignored, as are others like it: {why}"
            );
        }
    }

    /// Returns what stops every transform that reads a table.
    fn readers_of(&self, schema: &str, name: &str, error: impl Fn() -> EngineError) -> Vec<(usize, Failure)> {
        let mut failures = Vec::new();
        for (group, tables) in self.groups.iter().enumerate() {
            for (transform, reads) in tables.transforms.iter().enumerate() {
                if reads.iter().any(|(s, n)| s == schema && n == name) {
                    failures.push((group, Failure { transform: Some(transform), error: error() }));
                }
            }
        }
        failures
    }

    /// Gives each group that can take one the batch that was collected for it. Returns when one that is left to grow
    /// is due.
    fn hand_over<R: Reads>(&self, dispatch: &mut Dispatch<R>, pending: &mut [Pending], pace: &Pace) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        for (index, group) in self.groups.iter().enumerate() {
            let (builder, pending) = (&mut dispatch.builders[index], &mut pending[index]);
            let has_changes = builder.has_changes();
            if has_changes {
                pending.since.get_or_insert(now);
            }
            let Some(permit) = group.batches.as_ref().and_then(|batches| batches.try_reserve().ok()) else { continue };
            let (through, taken) = builder.positions();
            let wanted = self.until.is_some_and(|until| taken < until && through >= until);
            let interval = match (group.copying.load(Ordering::Relaxed), self.urgent) {
                (true, _) => COPYING_CHECKPOINT,
                (false, true) => URGENT_CHECKPOINT,
                (false, false) => IDLE_CHECKPOINT,
            };
            if let Some(since) = pending.since.filter(|_| has_changes && !wanted && !builder.is_full()) {
                let due = pace.due(builder.collected_bytes(), since, now);
                if due > now {
                    next = Some(next.map_or(due, |next| next.min(due)));
                    continue;
                }
            }
            if has_changes || (through > taken && (wanted || now - pending.sent >= interval)) {
                let cut = builder.take();
                *pending = Pending { sent: now, since: None, inside: cut.batch.ends_inside_transaction() };
                permit.send(cut);
            }
        }
        next
    }

    fn confirm(&self) {
        if let Some(lsn) = self.progress.confirmable() {
            fault::point("before-feedback");
            self.stream.confirm(lsn);
            fault::point("after-feedback");
        }
    }

    fn caught_up(&self) -> bool {
        let Some(until) = self.until else { return false };
        let durable = |group: &Group| self.progress.checkpoint(&group.reader).is_some_and(|lsn| lsn >= until);
        self.rejoin_at.is_none() && self.returning.is_empty() && !self.copies() && self.groups.iter().all(durable)
    }

    fn copies(&self) -> bool {
        self.groups.iter().any(|group| group.copying.load(Ordering::Relaxed))
    }

    /// Waits until every group has ended, taking note of what became durable.
    async fn finish(&mut self, failures: &mut Vec<(usize, Failure)>) {
        while let Some(event) = self.events.recv().await {
            match event {
                Event::Durable { group, lsn } => self.progress.durable(&self.groups[group].reader, lsn),
                Event::Ended { group, failure } => failures.extend(failure.map(|failure| (group, failure))),
            }
        }
    }

    /// Asks the session that holds the lock whether it lives, and whether all tables are still published.
    async fn probe(&self) -> Result<(), EngineError> {
        let slug = || self.slug.to_owned();
        let doing = "ask whether the session that holds the lock lives";
        let published = match tokio::time::timeout(LOCK_PROBE * 2, self.catalog.is_published()).await {
            Ok(answer) => answer,
            Err(_) => Err(QueryError::Lost { doing: doing.to_owned(), source: None }),
        };
        match published {
            Ok(true) => Ok(()),
            Ok(false) => Err(EngineError::PublicationChanged { slug: slug() }),
            Err(source) => Err(EngineError::Source { slug: slug(), source }),
        }
    }
}

impl Group {
    /// Returns what the dispatch asks which tables the group reads.
    pub fn reads(&self) -> Tables {
        Tables { names: self.tables.clone(), stored_by_rejot: self.stored_by_rejot.clone() }
    }
}
