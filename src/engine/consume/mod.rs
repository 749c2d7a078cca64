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
use self::lane::{Ended, Lane};
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

/// What a run came to.
enum Outcome {
    Stopped,
    CaughtUp,
    /// Somebody changed a consumer, a stream appeared, or one that lagged has caught up.
    Changed,
    Failed(Option<String>, EngineError),
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
    let mut stopped: BTreeMap<String, Problem> = BTreeMap::new();
    loop {
        let started = Instant::now();
        let run = Run { context: &context, plan: &plan, published: &published, stopped: &stopped };
        let mut asked = stop.clone();
        let outcome = tokio::select! {
            outcome = run.once() => outcome,
            _ = asked.wait_for(|stop| *stop) => Ok(Outcome::Stopped),
        };
        let (consumer, error) = match outcome {
            Ok(Outcome::Stopped | Outcome::CaughtUp) => break,
            Ok(Outcome::Changed) => continue,
            Ok(Outcome::Failed(consumer, error)) => (consumer, error),
            Err(error) => (None, error),
        };
        let place = consumer.as_deref();
        match error.verdict() {
            Verdict::Anew => {
                tracing::info!(
                    event_store = plan.store,
                    destination = plan.destination,
                    "{}; going on with it",
                    Chain(&error)
                );
                continue;
            }
            Verdict::Stop => {
                let names: Vec<String> = match place {
                    Some(name) => vec![name.to_owned()],
                    None => plan.consumers.iter().map(|consumer| consumer.name.clone()).collect(),
                };
                for name in names {
                    let problem = Problem { consumer: Some(name.clone()), ..Problem::of(&plan.store, None, &error) };
                    problem.log();
                    record(&context, &plan, &name, &problem).await;
                    stopped.insert(name, problem);
                }
                if stopped.len() >= plan.consumers.len() {
                    break;
                }
            }
            Verdict::Retry | Verdict::Yield => {
                if started.elapsed() >= GOOD_RUN {
                    backoff.reset();
                }
                let wait = backoff.next_wait();
                let hint = error.hint();
                tracing::warn!(
                    event_store = plan.store,
                    destination = plan.destination,
                    consumer = place.unwrap_or("-"),
                    hint = hint.as_deref().unwrap_or("-"),
                    "{}; trying again in {:.1} s",
                    Chain(&error),
                    wait.as_secs_f64()
                );
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = stop.wait_for(|stop| *stop) => break,
                }
            }
        }
    }
    if stopped.is_empty() { Ok(()) } else { Err(stopped.into_values().collect()) }
}

/// Records for `pelton status` why a consumer stopped.
async fn record(context: &Context, plan: &ReaderPlan, consumer: &str, problem: &Problem) {
    let recorded = async {
        let client = destination(context, plan).await?;
        let failed = |source| EngineError::DataStore { slug: plan.destination.clone(), source };
        let rows = datastore::consumers(&client, &context.manifest).await.map_err(failed)?;
        let Some(row) = rows.iter().find(|row| row.consumer == consumer) else { return Ok(()) };
        let (what, hint) = (&problem.what, problem.hint.as_deref());
        datastore::mark_consumer_stopped(&client, &context.manifest, consumer, row.owner, what, hint)
            .await
            .map_err(failed)
    };
    if let Err(error) = recorded.await {
        tracing::warn!("could not record the stop for `pelton status`: {}", Chain(&error));
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
    /// Consumers that stay stopped.
    stopped: &'a BTreeMap<String, Problem>,
}

/// A consumer that can run.
struct Ready<'a> {
    plan: &'a ConsumerPlan,
    row: ConsumerRow,
    stream: &'a Stream,
    shape: &'a Shape,
    /// It has much to read.
    lags: bool,
}

impl Run<'_> {
    fn at_store(&self, source: DataStoreError) -> EngineError {
        EngineError::EventStore { slug: self.plan.store.clone(), source }
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
        let stream_of = |consumer: &ConsumerPlan| {
            streams.iter().find(|stream| {
                stream.manifest == consumer.source_manifest
                    && stream.public_schema == consumer.public_schema
                    && stream.major == consumer.major as i32
            })
        };
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
        let stopped: Vec<String> = self.stopped.keys().cloned().collect();
        let rows = datastore::take_over_consumers(&mut client, &context.manifest, &wanted, &stopped).await;
        let rows = rows.map_err(|source| self.at_destination(source))?;
        let ids: Vec<i32> = streams.iter().map(|stream| stream.id).collect();
        let shapes = eventstore::shapes(&store, &ids, 0).await.map_err(|source| self.at_store(source))?;

        let mut ready = Vec::new();
        let mut missing = Vec::new();
        for consumer in plan.consumers.iter().filter(|consumer| !self.stopped.contains_key(&consumer.name)) {
            let row = rows.iter().find(|row| row.consumer == consumer.name);
            let (Some(stream), Some(row)) = (stream_of(consumer), row) else {
                missing.push(consumer);
                continue;
            };
            if let Some(error) = self.changed(consumer, row) {
                return Ok(Outcome::Failed(Some(consumer.name.clone()), error));
            }
            if row.paused {
                tracing::info!(consumer = consumer.name, "paused: `pelton consumers resume` lets it go on");
                continue;
            }
            let Some(shape) = shapes.iter().find(|shape| shape.id == stream.shape) else {
                missing.push(consumer);
                continue;
            };
            let wanted = Wanted { stream: stream.id, after: row.cursor };
            let behind = eventstore::count(&store, wanted, BEHIND + 1).await.map_err(|source| self.at_store(source))?;
            ready.push(Ready { plan: consumer, row: row.clone(), stream, shape, lags: behind > BEHIND });
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
        for lane in lanes_of(ready) {
            let alone = lane.len() == 1 && lane[0].lags;
            let names: Vec<String> = lane.iter().map(|ready| ready.plan.name.clone()).collect();
            match self.lane(lane, end.clone()).await {
                Ok(lane) => {
                    tracing::info!(
                        event_store = plan.store,
                        destination = plan.destination,
                        consumers = names.join(", "),
                        "consuming"
                    );
                    lanes.spawn(async move { (alone, lane.run().await) });
                }
                Err((consumer, error)) => return Ok(Outcome::Failed(consumer, error)),
            }
        }
        let waits = !missing.is_empty();
        self.watch(&client, &store, &rows, streams.len(), waits, lanes, ending).await
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
        let (mut writers, mut consumers, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for (table, Ready { plan: consumer, row, stream, shape, .. }) in ready.iter().enumerate() {
            let target = TableTarget {
                schema: consumer.table.table.schema.clone(),
                table: consumer.table.table.name.clone(),
                create_table: consumer.table.create_table,
                public: shape.public.clone(),
                exact: shape.component_digest.is_none(),
            };
            let writer = TableWriter::prepare(&client, target).await;
            writers.push(writer.map_err(|source| {
                (Some(consumer.name.clone()), EngineError::Sink { slug: plan.destination.clone(), source })
            })?);
            whole.push(consumer.table.backfill);
            consumers.push(Consumer {
                name: consumer.name.clone(),
                owner: row.owner,
                stream: stream.id,
                public_schema: format!("{}@{}", consumer.public_schema, consumer.major),
                cursor: row.cursor,
                table,
                reading: Reading::new(&shape.public),
                shape: shape.id,
            });
        }
        let owned: Vec<(String, i64)> = consumers.iter().map(|one| (one.name.clone(), one.owner)).collect();
        let session = ConsumerSession::prepare(&client, &context.manifest, &owned).await;
        let alone = ready.len() == 1 && ready[0].lags;
        Ok(Lane {
            store_slug: plan.store.clone(),
            slug: plan.destination.clone(),
            store,
            heard,
            session: session.map_err(|source| all(self.at_destination(source)))?,
            client,
            destination: Destination::new(writers),
            whole,
            consumers,
            until_caught_up: context.options.until_caught_up || alone,
            // One that has caught up alone joins the others.
            published: if alone { watch::channel(true).1 } else { self.published.clone() },
            stop,
        })
    }

    /// Waits until a lane ends, somebody changes a consumer, or a stream appears; then ends all lanes.
    #[expect(clippy::too_many_arguments, reason = "it is the tail of `once`")]
    async fn watch(
        &self,
        client: &Client,
        store: &Client,
        rows: &[ConsumerRow],
        streams: usize,
        waits: bool,
        mut lanes: JoinSet<(bool, Ended)>,
        ending: watch::Sender<bool>,
    ) -> Result<Outcome, EngineError> {
        let owners = |rows: &[ConsumerRow]| {
            rows.iter().map(|row| (row.consumer.clone(), row.owner)).collect::<BTreeSet<(String, i64)>>()
        };
        let ours = owners(rows);
        let mut registrar = Registrar::new(self, streams);
        registrar.register(store, rows).await?;
        let mut outcome = None;
        let until = self.context.options.until_caught_up;
        loop {
            let nothing_more = *self.published.borrow();
            if lanes.is_empty() && until && (nothing_more || !waits) {
                // What the manifest waits for may have been published while its lanes ran.
                let found = eventstore::streams(store).await.map_err(|source| self.at_store(source))?;
                if waits && found.len() != streams {
                    return Ok(Outcome::Changed);
                }
                return match self.never_published(&found) {
                    Some((consumer, error)) => Ok(Outcome::Failed(Some(consumer), error)),
                    None => Ok(outcome.unwrap_or(Outcome::CaughtUp)),
                };
            }
            tokio::select! {
                Some(ended) = lanes.join_next(), if !lanes.is_empty() => {
                    let (alone, ended) = ended.map_err(|error| EngineError::Bug(error.to_string()))?;
                    let ends = match ended {
                        Ended::CaughtUp if alone => Outcome::Changed,
                        Ended::CaughtUp => {
                            outcome.get_or_insert(Outcome::CaughtUp);
                            continue;
                        }
                        Ended::Stopped => Outcome::Stopped,
                        Ended::Failed { consumer, error } => Outcome::Failed(consumer, error),
                    };
                    outcome = Some(ends);
                    break;
                }
                () = tokio::time::sleep(WATCH) => {
                    let rows = datastore::consumers(client, &self.context.manifest).await;
                    let rows = rows.map_err(|source| self.at_destination(source))?;
                    let of_ours = rows.iter().filter(|row| ours.iter().any(|(name, _)| *name == row.consumer));
                    let now: Vec<ConsumerRow> = of_ours.cloned().collect();
                    if owners(&now) != ours {
                        outcome = Some(Outcome::Changed);
                        break;
                    }
                    if waits && eventstore::streams(store).await.map_err(|source| self.at_store(source))?.len() != streams {
                        outcome = Some(Outcome::Changed);
                        break;
                    }
                    registrar.tick(client, store, now).await?;
                }
            }
        }
        // The others end where they are: between transactions, or with one that is rolled back.
        let _ = ending.send(true);
        while lanes.join_next().await.is_some() {}
        Ok(outcome.expect("something ended the run"))
    }

    /// Returns a consumer whose public schema nobody has published.
    fn never_published(&self, streams: &[Stream]) -> Option<(String, EngineError)> {
        let is_there = |consumer: &ConsumerPlan| {
            streams.iter().any(|stream| {
                stream.manifest == consumer.source_manifest
                    && stream.public_schema == consumer.public_schema
                    && stream.major == consumer.major as i32
            })
        };
        let mut left = self.plan.consumers.iter().filter(|consumer| !self.stopped.contains_key(&consumer.name));
        left.find(|consumer| !is_there(consumer)).map(|consumer| {
            let error = EngineError::NotPublishedHere {
                slug: self.plan.store.clone(),
                manifest: consumer.source_manifest.clone(),
                public_schema: format!("{}@{}", consumer.public_schema, consumer.major),
            };
            (consumer.name.clone(), error)
        })
    }
}

/// Sorts consumers into lanes: those of one source that keep up go on together, one that lags goes on alone.
fn lanes_of(ready: Vec<Ready<'_>>) -> Vec<Vec<Ready<'_>>> {
    let mut lanes: Vec<Vec<Ready<'_>>> = Vec::new();
    for one in ready {
        let fits = |lane: &&mut Vec<Ready<'_>>| {
            let (a, b) = (lane[0].stream, one.stream);
            !lane[0].lags && !one.lags && a.manifest == b.manifest && a.source == b.source
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
}

impl<'a> Registrar<'a> {
    fn new(run: &'a Run<'a>, streams: usize) -> Registrar<'a> {
        Registrar { run, streams, seen: None, last: Instant::now() }
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
                self.register(store, &rows).await?;
            }
        }
        let row = client.query_one("SELECT pg_catalog.pg_current_wal_insert_lsn()::text", &[]).await.map_err(failed)?;
        self.seen = Some((rows, row.get(0)));
        Ok(())
    }

    async fn register(&self, store: &Client, rows: &[ConsumerRow]) -> Result<(), EngineError> {
        if self.streams == 0 {
            return Ok(());
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
        registered.map_err(|source| self.run.at_store(source))
    }
}
