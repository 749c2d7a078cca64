//! From event stores into destinations: each consumer has a cursor of its own, and none holds another one up.
//!
//! ```text
//! mod      the consumers of one event store into one destination: owns them, sorts them into lanes, starts anew
//!   lane   events → rows → sink → cursors, for consumers that go on together
//!   gather pages of events → batches that end between transactions of the source
//! ```
//!
//! Consumers of one source that have read about as much go on in one lane: their rows and cursors commit together, so a
//! reader of the destination sees tables change together that changed together. One that lags (it is new, was rewound, or
//! was paused) has a lane of its own until it has caught up. One that fails is left out, and the others go on.
//!
//! There is one way to recover from anything here too: all lanes end, and others begin at the cursors that are committed.

mod gather;
mod lane;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::change::Position;
use crate::datastore::{self, ConsumerRow, ConsumerSession, DataStoreError, NewConsumer};
use crate::eventstore::{self, Reading, Shape, Stream, Wanted};
use crate::postgres::{self, Backoff};
use crate::sink::{Destination, TableTarget, TableWriter};

use self::gather::Consumer;
use self::lane::{Ended, Lane, Until};
use super::failure::{Chain, EngineError, Verdict};
use super::plan::{ConsumerPlan, ReaderPlan};
use super::{Context, Problem, ownership};

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(30);
const GOOD_RUN: Duration = Duration::from_secs(30);
/// How often is looked whether somebody has changed a consumer, and whether a stream has appeared.
const WATCH: Duration = Duration::from_secs(1);
/// How often the event store is told how far its consumers are.
const REGISTER: Duration = Duration::from_secs(5);
/// A consumer that has more events than this to read is not held to the pace of the others, nor they to its.
const BEHIND: i64 = 20_000;

/// Lanes of consumers that lag, at a time: each has two connections and batches of its own.
const LAGGING_MAX: usize = 4;
/// Runs that end sooner are not begun again at once.
const HASTE: Duration = Duration::from_millis(500);

/// What a run came to.
enum Outcome {
    Stopped,
    CaughtUp,
    /// Somebody changed a consumer, a stream appeared, or one that lagged has caught up.
    Changed,
    /// Somebody resumed a consumer that had stopped.
    Resumed(String),
    Failed {
        consumer: Option<String>,
        error: EngineError,
        /// Others were in its lane, so that it may be any of them.
        shared: bool,
    },
}

/// Who does not take part, and how the others go on.
#[derive(Default)]
struct Standing {
    /// For good, or until somebody resumes it; and whether its row says so.
    stopped: BTreeMap<String, (Problem, bool)>,
    /// For a while, since what it failed at may pass.
    paused: BTreeMap<String, (Instant, Backoff)>,
    /// Something fails that names no consumer: each goes on alone, so that the guilty one shows.
    alone: bool,
}

impl Standing {
    fn takes_part(&self, consumer: &str) -> bool {
        let paused = self.paused.get(consumer).is_some_and(|(until, _)| *until > Instant::now());
        !paused && !self.stopped.contains_key(consumer)
    }

    /// Takes a consumer out for a while, longer with each time that it fails. Returns for how long.
    fn pause(&mut self, consumer: &str) -> Duration {
        let now = Instant::now();
        let new = || (now, Backoff::new(Duration::from_secs(1), BACKOFF_MOST));
        let (until, backoff) = self.paused.entry(consumer.to_owned()).or_insert_with(new);
        if now.saturating_duration_since(*until) >= GOOD_RUN {
            backoff.reset();
        }
        let wait = backoff.next_wait().max(Duration::from_secs(1));
        *until = now + wait;
        wait
    }

    /// Returns when the first of those that are out for a while may take part again.
    fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        self.paused.values().map(|(until, _)| *until).filter(|until| *until > now).min()
    }
}

/// Runs the consumers of one event store into one destination until they are caught up, somebody asks to stop, or none is
/// left that could run. `published` turns true once this process publishes nothing more.
///
/// # Errors
/// What stopped consumers for good.
pub async fn run(
    context: Arc<Context>,
    plan: ReaderPlan,
    published: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Vec<Problem>> {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MOST);
    let mut standing = Standing::default();
    loop {
        let started = Instant::now();
        let run = Run { context: &context, plan: &plan, published: &published, standing: &standing };
        let mut asked = stop.clone();
        let outcome = tokio::select! {
            outcome = run.once() => outcome,
            _ = asked.wait_for(|stop| *stop) => Ok(Outcome::Stopped),
        };
        let failed = |error| Outcome::Failed { consumer: None, error, shared: false };
        let wait = match outcome.unwrap_or_else(failed) {
            Outcome::Stopped | Outcome::CaughtUp => break,
            Outcome::Changed => HASTE.saturating_sub(started.elapsed()),
            Outcome::Resumed(consumer) => {
                standing.stopped.remove(&consumer);
                Duration::ZERO
            }
            Outcome::Failed { error, .. } if error.verdict() == Verdict::Anew => {
                let (event_store, destination) = (&plan.store, &plan.destination);
                tracing::info!(event_store, destination, "{}; going on with it", Chain(&error));
                HASTE.saturating_sub(started.elapsed())
            }
            Outcome::Failed { consumer: None, error, shared: true } if error.verdict() == Verdict::Stop => {
                tracing::warn!(event_store = plan.store, "{}; each consumer goes on alone", Chain(&error));
                standing.alone = true;
                Duration::ZERO
            }
            Outcome::Failed { consumer, error, .. } if error.verdict() == Verdict::Stop => {
                let names = match consumer {
                    Some(name) => vec![name],
                    None => plan.consumers.iter().map(|consumer| consumer.name.clone()).collect(),
                };
                for name in names {
                    let problem = Problem { consumer: Some(name.clone()), ..Problem::of(&plan.store, None, &error) };
                    problem.log();
                    let recorded = record(&context, &plan, &name, &problem).await;
                    standing.stopped.insert(name, (problem, recorded));
                }
                if standing.stopped.len() >= plan.consumers.len() {
                    break;
                }
                Duration::ZERO
            }
            Outcome::Failed { consumer, error, .. } => {
                if started.elapsed() >= GOOD_RUN {
                    backoff.reset();
                }
                // One alone holds nobody: the others go on at once.
                let (wait, others) = match &consumer {
                    Some(name) if plan.consumers.len() > 1 => {
                        let problem =
                            Problem { consumer: Some(name.clone()), ..Problem::of(&plan.store, None, &error) };
                        record(&context, &plan, name, &problem).await;
                        (standing.pause(name), true)
                    }
                    _ => (backoff.next_wait(), false),
                };
                let (event_store, destination, hint) = (&plan.store, &plan.destination, error.hint());
                let (consumer, hint) = (consumer.as_deref().unwrap_or("-"), hint.as_deref().unwrap_or("-"));
                let seconds = wait.as_secs_f64();
                tracing::warn!(
                    event_store,
                    destination,
                    consumer,
                    hint,
                    "{}; trying again in {seconds:.1} s",
                    Chain(&error)
                );
                if others { Duration::ZERO } else { wait }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    if standing.stopped.is_empty() {
        return Ok(());
    }
    Err(standing.stopped.into_values().map(|(problem, _)| problem).collect())
}

/// Records for `pelton status` why a consumer does not go on. Returns whether that worked.
async fn record(context: &Context, plan: &ReaderPlan, consumer: &str, problem: &Problem) -> bool {
    let recorded = async {
        let client = destination(context, plan).await?;
        let failed = |source| EngineError::DataStore { slug: plan.destination.clone(), source };
        let rows = datastore::consumers(&client, &context.manifest).await.map_err(failed)?;
        let Some(row) = rows.iter().find(|row| row.consumer == consumer) else { return Ok(()) };
        let (what, hint) = (&problem.what, problem.hint.as_deref());
        let marked =
            datastore::mark_consumer_stopped(&client, &context.manifest, consumer, row.owner, what, hint).await;
        marked.map_err(failed)
    };
    match recorded.await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!("could not record the stop for `pelton status`: {}", Chain(&error));
            false
        }
    }
}

async fn destination(context: &Context, plan: &ReaderPlan) -> Result<Client, EngineError> {
    let name = format!("{} from {}", context.application_name(), plan.store);
    let connected = postgres::connect(&plan.connection, &postgres::Session::destination(name)).await;
    connected.map_err(|source| EngineError::Connect { role: "destination", slug: plan.destination.clone(), source })
}

struct Run<'a> {
    context: &'a Arc<Context>,
    plan: &'a ReaderPlan,
    published: &'a watch::Receiver<bool>,
    standing: &'a Standing,
}

/// A consumer that can run.
struct Ready<'a> {
    plan: &'a ConsumerPlan,
    row: ConsumerRow,
    stream: &'a Stream,
    /// The shapes of its stream, the newest first.
    shapes: Vec<&'a Shape>,
    /// It has much to read.
    lags: bool,
}

impl Run<'_> {
    fn at_store(&self, source: DataStoreError) -> EngineError {
        EngineError::EventStore { slug: self.plan.store.clone(), source }
    }

    /// Finds the stream that a consumer reads.
    fn stream_of<'s>(&self, streams: &'s [Stream], consumer: &ConsumerPlan) -> Option<&'s Stream> {
        streams.iter().find(|stream| consumer.reads(stream))
    }

    fn at_destination(&self, source: DataStoreError) -> EngineError {
        EngineError::DataStore { slug: self.plan.destination.clone(), source }
    }

    async fn store(&self) -> Result<(Client, Arc<tokio::sync::Notify>), EngineError> {
        let session = postgres::Session::destination(self.context.application_name());
        let connected = postgres::connect_and_hear(&self.plan.store_connection, &session).await;
        connected.map_err(|source| EngineError::Connect { role: "event store", slug: self.plan.store.clone(), source })
    }

    /// Opens lanes and runs them until one of them ends.
    async fn once(&self) -> Result<Outcome, EngineError> {
        let Run { context, plan, .. } = *self;
        let mut client = destination(context, plan).await?;
        let migrated = datastore::migrate(&mut client).await.map_err(|source| self.at_destination(source))?;
        if !migrated.is_empty() {
            tracing::info!(destination = plan.destination, "made `rejot_data_store` (migrations {migrated:?})");
        }
        let waiting = || {
            let (event_store, destination) = (&plan.store, &plan.destination);
            tracing::info!(event_store, destination, "another process runs these consumers: waiting to take over");
        };
        let lock = format!("consumers of {} into {}", plan.store, plan.destination);
        let acquired = ownership::acquire(&client, &context.manifest, &lock, waiting).await;
        acquired.map_err(|source| EngineError::Source { slug: plan.destination.clone(), source })?;
        let (store, _) = self.store().await?;
        let streams = eventstore::streams(&store).await.map_err(|source| self.at_store(source))?;
        let stream_of = |consumer: &ConsumerPlan| self.stream_of(&streams, consumer);
        self.refuse_direct(&client).await?;
        let new = |consumer: &ConsumerPlan| {
            let start = if consumer.table.backfill { Position::START } else { stream_of(consumer)?.last };
            Some(NewConsumer {
                consumer: consumer.name.clone(),
                source_manifest: consumer.source_manifest.clone(),
                public_schema: consumer.public_schema.clone(),
                major: consumer.major as i32,
                start,
            })
        };
        let wanted: Vec<NewConsumer> = plan.consumers.iter().filter_map(new).collect();
        let out = |consumer: &&ConsumerPlan| !self.standing.takes_part(&consumer.name);
        let stopped: Vec<String> = plan.consumers.iter().filter(out).map(|consumer| consumer.name.clone()).collect();
        let rows = datastore::take_over_consumers(&mut client, &context.manifest, &wanted, &stopped).await;
        let rows = rows.map_err(|source| self.at_destination(source))?;
        let ids: Vec<i32> = streams.iter().map(|stream| stream.id).collect();
        let shapes = eventstore::shapes(&store, &ids, 0).await.map_err(|source| self.at_store(source))?;

        let mut ready = Vec::new();
        let mut missing = Vec::new();
        for consumer in plan.consumers.iter().filter(|consumer| self.standing.takes_part(&consumer.name)) {
            let row = rows.iter().find(|row| row.consumer == consumer.name);
            let (Some(stream), Some(row)) = (stream_of(consumer), row) else {
                missing.push(consumer);
                continue;
            };
            if let Some(error) = self.changed(consumer, row) {
                return Ok(Outcome::Failed { consumer: Some(consumer.name.clone()), error, shared: false });
            }
            if row.paused {
                tracing::info!(consumer = consumer.name, "paused: `pelton consumers resume` lets it go on");
                continue;
            }
            let of_stream: Vec<&Shape> = shapes.iter().filter(|shape| shape.stream == stream.id).collect();
            if of_stream.is_empty() {
                missing.push(consumer);
                continue;
            }
            let wanted = Wanted { stream: stream.id, after: row.cursor };
            let behind = eventstore::count(&store, wanted, BEHIND + 1).await.map_err(|source| self.at_store(source))?;
            ready.push(Ready { plan: consumer, row: row.clone(), stream, shapes: of_stream, lags: behind > BEHIND });
        }
        for consumer in &missing {
            tracing::info!(
                consumer = consumer.name,
                public_schema = format!("{}@{}", consumer.public_schema, consumer.major),
                manifest = consumer.source_manifest,
                event_store = plan.store,
                "waiting for its public schema to be published"
            );
        }
        let (ending, end) = watch::channel(false);
        let mut lanes = JoinSet::new();
        for lane in lanes_of(ready, self.standing.alone) {
            let (live, shared) = (lane[0].lags, lane.len() > 1);
            let names: Vec<String> = lane.iter().map(|ready| ready.plan.name.clone()).collect();
            match self.lane(lane, end.clone()).await {
                Ok(lane) => {
                    let (event_store, destination) = (&plan.store, &plan.destination);
                    tracing::info!(event_store, destination, consumers = names.join(", "), "consuming");
                    lanes.spawn(async move { (live, shared, lane.run().await) });
                }
                Err((consumer, error)) => return Ok(Outcome::Failed { consumer, error, shared }),
            }
        }
        let waits = !missing.is_empty();
        let running = Running { run: self, client: &client, store: &store, streams: streams.len(), waits };
        running.watch(&rows, lanes, ending).await
    }

    /// Refuses consumers whose tables a flow has filled straight from its source: the history would come on top of that.
    async fn refuse_direct(&self, client: &Client) -> Result<(), EngineError> {
        let names: Vec<&str> = self.plan.consumers.iter().map(|consumer| &*consumer.name).collect();
        let sql = "SELECT flow FROM rejot_data_store.flow AS f WHERE manifest_slug = $1 AND flow = ANY ($2) \
                   AND NOT EXISTS (SELECT FROM rejot_data_store.consumer AS c \
                   WHERE c.manifest_slug = $1 AND c.consumer = f.flow) ORDER BY flow LIMIT 1";
        let failed = |source| self.at_destination(DataStoreError::query("look for flows of the same name")(source));
        let found = client.query_opt(sql, &[&self.context.manifest, &names]).await.map_err(failed)?;
        let Some(row) = found else { return Ok(()) };
        let name: String = row.get(0);
        Err(EngineError::Setup {
            what: format!(
                "consumer `{name}` has been fed straight from its source up to now; from the event store it would get the \
                 rows of its table once more"
            ),
            hint: Some(format!(
                "empty its table, DELETE FROM rejot_data_store.flow WHERE flow = {} at destination `{}`, and restart `pelton \
                 sync`",
                postgres::quote_literal(&name),
                self.plan.destination
            )),
        })
    }

    /// Says what a consumer's row and the manifest disagree on.
    fn changed(&self, consumer: &ConsumerPlan, row: &ConsumerRow) -> Option<EngineError> {
        let same = row.source_manifest == consumer.source_manifest
            && row.public_schema == consumer.public_schema
            && row.major == consumer.major as i32;
        if same {
            return None;
        }
        let now = format!("{}@{} of {}", consumer.public_schema, consumer.major, consumer.source_manifest);
        Some(EngineError::Setup {
            what: format!(
                "consumer `{}` has read {}@{} of {} up to now, and the manifest says {now}",
                consumer.name, row.public_schema, row.major, row.source_manifest
            ),
            hint: Some(format!(
                "give the consumer of {now} another name and table; or `pelton consumers drop {}`, empty its table, and \
                 restart `pelton sync`",
                consumer.name
            )),
        })
    }

    /// Makes the tables of consumers ready, and all that a lane needs.
    async fn lane(
        &self,
        ready: Vec<Ready<'_>>,
        stop: watch::Receiver<bool>,
    ) -> Result<Lane, (Option<String>, EngineError)> {
        let Run { context, plan, .. } = *self;
        let all = |error| (None, error);
        let client = destination(context, plan).await.map_err(all)?;
        let (store, heard) = self.store().await.map_err(all)?;
        let owned: Vec<(String, i64)> = ready.iter().map(|ready| (ready.plan.name.clone(), ready.row.owner)).collect();
        // First, for it says how long a lock may be waited for.
        let session = ConsumerSession::prepare(&client, &context.manifest, &owned).await;
        let session = session.map_err(|source| all(self.at_destination(source)))?;
        let (mut writers, mut consumers, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        let until = match (ready[0].lags, context.options.until_caught_up) {
            (true, _) => Until::Live,
            (false, true) => Until::Published,
            (false, false) => Until::Stopped,
        };
        for (table, Ready { plan: consumer, row, stream, shapes, .. }) in ready.iter().enumerate() {
            let newest = shapes[0];
            let target = TableTarget {
                schema: consumer.table.table.schema.clone(),
                table: consumer.table.table.name.clone(),
                create_table: consumer.table.create_table,
                public: newest.public.clone(),
                exact: newest.component_digest.is_none(),
            };
            let writer = TableWriter::prepare(&client, target).await;
            writers.push(writer.map_err(|source| {
                (Some(consumer.name.clone()), EngineError::Sink { slug: plan.destination.clone(), source })
            })?);
            whole.push(consumer.table.backfill);
            let reading = |shape: &&Shape| (shape.id, Reading::new(&newest.public, &shape.public));
            consumers.push(Consumer {
                name: consumer.name.clone(),
                stream: stream.id,
                public_schema: format!("{}@{}", consumer.public_schema, consumer.major),
                cursor: row.cursor,
                table,
                readings: shapes.iter().map(reading).collect(),
                takes_copied: consumer.table.backfill,
            });
        }
        Ok(Lane {
            store_slug: plan.store.clone(),
            slug: plan.destination.clone(),
            store,
            heard,
            session,
            client,
            destination: Destination::new(writers),
            whole,
            consumers,
            until,
            published: self.published.clone(),
            stop,
        })
    }

    /// Returns a consumer whose public schema nobody has published.
    fn never_published(&self, streams: &[Stream]) -> Option<Outcome> {
        let mut left = self.plan.consumers.iter().filter(|consumer| self.standing.takes_part(&consumer.name));
        let consumer = left.find(|consumer| self.stream_of(streams, consumer).is_none())?;
        let error = EngineError::NotPublishedHere {
            slug: self.plan.store.clone(),
            manifest: consumer.source_manifest.clone(),
            public_schema: format!("{}@{}", consumer.public_schema, consumer.major),
        };
        Some(Outcome::Failed { consumer: Some(consumer.name.clone()), error, shared: false })
    }
}

/// Lanes at work, and what is looked at meanwhile.
struct Running<'a> {
    run: &'a Run<'a>,
    client: &'a Client,
    store: &'a Client,
    /// How many streams there were when the lanes were opened.
    streams: usize,
    /// Some consumers have none.
    waits: bool,
}

impl Running<'_> {
    /// Waits until a lane ends, somebody changes a consumer, or a stream appears; then ends all lanes. `lanes` say whether
    /// they go on only until they have caught up, and whether several consumers share them.
    async fn watch(
        &self,
        rows: &[ConsumerRow],
        mut lanes: JoinSet<(bool, bool, Ended)>,
        ending: watch::Sender<bool>,
    ) -> Result<Outcome, EngineError> {
        let Running { run, client, store, streams, waits } = *self;
        let ours = owners(rows);
        let mut registrar = Registrar::new(run, streams);
        registrar.register(store, rows).await;
        let until = run.context.options.until_caught_up;
        let mut published = run.published.clone();
        let outcome = loop {
            let nothing_more = *published.borrow();
            let rejoins = run.standing.next();
            if lanes.is_empty() && until && rejoins.is_none() && (nothing_more || !waits) {
                // What the manifest waits for may have been published while its lanes ran.
                let found = eventstore::streams(store).await.map_err(|source| run.at_store(source))?;
                if waits && found.len() != streams {
                    break Outcome::Changed;
                }
                break run.never_published(&found).unwrap_or(Outcome::CaughtUp);
            }
            let told = async {
                // Nothing of the channel is held on to while others are waited for.
                let _ = published.wait_for(|published| *published).await;
            };
            let rejoin = async {
                match rejoins {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(ended) = lanes.join_next(), if !lanes.is_empty() => {
                    let (live, shared, ended) = ended.map_err(|error| EngineError::Bug(error.to_string()))?;
                    match ended {
                        Ended::CaughtUp if live => break Outcome::Changed,
                        Ended::CaughtUp => {}
                        Ended::Stopped => break Outcome::Stopped,
                        Ended::Failed { consumer, error } => break Outcome::Failed { consumer, error, shared },
                    }
                }
                () = rejoin => break Outcome::Changed,
                // Told once.
                () = told, if !nothing_more => {}
                () = tokio::time::sleep(WATCH) => {
                    let rows = datastore::consumers(client, &run.context.manifest).await;
                    let rows = rows.map_err(|source| run.at_destination(source))?;
                    if let Some(consumer) = self.resumed(&rows) {
                        break Outcome::Resumed(consumer);
                    }
                    let of_ours = rows.iter().filter(|row| ours.iter().any(|(name, _)| *name == row.consumer));
                    let now: Vec<ConsumerRow> = of_ours.cloned().collect();
                    if owners(&now) != ours {
                        break Outcome::Changed;
                    }
                    let found = eventstore::streams(store);
                    if waits && found.await.map_err(|source| run.at_store(source))?.len() != streams {
                        break Outcome::Changed;
                    }
                    registrar.tick(client, store, now).await?;
                }
            }
        };
        // The others end where they are: what they have written of a transaction is rolled back.
        let _ = ending.send(true);
        while lanes.join_next().await.is_some() {}
        Ok(outcome)
    }

    /// Returns a consumer that had stopped, and that somebody has resumed.
    fn resumed(&self, rows: &[ConsumerRow]) -> Option<String> {
        let mut stopped = self.run.standing.stopped.iter().filter(|(_, (_, recorded))| *recorded);
        let resumed = |name: &str| rows.iter().any(|row| row.consumer == name && row.problem.is_none());
        stopped.find(|(name, _)| resumed(name)).map(|(name, _)| name.clone())
    }
}

fn owners(rows: &[ConsumerRow]) -> BTreeSet<(String, i64)> {
    rows.iter().map(|row| (row.consumer.clone(), row.owner)).collect()
}

/// Sorts consumers into lanes: those of one source that keep up go on together, one that lags goes on alone, and of those
/// not too many at a time. `alone`: each has a lane of its own.
fn lanes_of(ready: Vec<Ready<'_>>, alone: bool) -> Vec<Vec<Ready<'_>>> {
    let mut lanes: Vec<Vec<Ready<'_>>> = Vec::new();
    for one in ready {
        let lagging = lanes.iter().filter(|lane| lane[0].lags).count();
        if one.lags && lagging >= LAGGING_MAX {
            continue;
        }
        let fits = |lane: &&mut Vec<Ready<'_>>| {
            let (a, b) = (lane[0].stream, one.stream);
            !alone && !lane[0].lags && !one.lags && a.manifest == b.manifest && a.source == b.source
        };
        match lanes.iter_mut().find(fits) {
            Some(lane) => lane.push(one),
            None => lanes.push(vec![one]),
        }
    }
    lanes
}

/// Tells the event store how far its consumers are, as far as the destination has flushed it: what is behind may be removed
/// there, and must never be needed again.
struct Registrar<'a> {
    run: &'a Run<'a>,
    streams: usize,
    /// Cursors that were seen, and the position of the destination's log behind them.
    seen: Option<(Vec<ConsumerRow>, String)>,
    last: Instant,
    /// It may not be told.
    refused: bool,
}

impl<'a> Registrar<'a> {
    fn new(run: &'a Run<'a>, streams: usize) -> Registrar<'a> {
        Registrar { run, streams, seen: None, last: Instant::now(), refused: false }
    }

    async fn tick(&mut self, client: &Client, store: &Client, rows: Vec<ConsumerRow>) -> Result<(), EngineError> {
        if self.last.elapsed() < REGISTER {
            return Ok(());
        }
        self.last = Instant::now();
        let failed = |source| self.run.at_destination(DataStoreError::query("read the position of the log")(source));
        if let Some((rows, position)) = self.seen.take() {
            let sql = "SELECT pg_catalog.pg_current_wal_flush_lsn() >= $1::text::pg_lsn";
            if client.query_one(sql, &[&position]).await.map_err(failed)?.get(0) {
                self.register(store, &rows).await;
            }
        }
        let row = client.query_one("SELECT pg_catalog.pg_current_wal_insert_lsn()::text", &[]).await.map_err(failed)?;
        self.seen = Some((rows, row.get(0)));
        Ok(())
    }

    /// A role that may only read the event store consumes all the same.
    async fn register(&mut self, store: &Client, rows: &[ConsumerRow]) {
        if self.streams == 0 || self.refused {
            return;
        }
        let cursors: Vec<eventstore::Registered<'_>> = rows
            .iter()
            .map(|row| eventstore::Registered {
                consumer: &row.consumer,
                source_manifest: &row.source_manifest,
                public_schema: &row.public_schema,
                major: row.major,
                cursor: row.cursor,
            })
            .collect();
        let registered = eventstore::register_consumers(store, &self.run.context.manifest, &cursors).await;
        if let Err(error) = registered {
            self.refused = true;
            tracing::warn!(
                event_store = self.run.plan.store,
                hint = "GRANT INSERT, UPDATE, SELECT ON rejot_events.consumer to this role",
                "it can't be told how far its consumers are, and may remove what they have not read: {}",
                Chain(&error)
            );
        }
    }
}
