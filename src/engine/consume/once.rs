//! One run of consumers: they are owned, looked at, registered, sorted into lanes, and the lanes go on until one of them ends.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::change::Position;
use crate::datastore::{self, ConsumerRow, ConsumerSession, DataStoreError, NewConsumer};
use crate::eventstore::{self, Gap, Horizon, Horizons, Reading, Shape, Stream};
use crate::postgres;
use crate::service::Service;
use crate::sink::Destination;

use super::super::failure::EngineError;
use super::super::plan::{ConsumerPlan, ReaderPlan};
use super::super::target::Place;
use super::super::upstream::{self, Upstream, UpstreamPlan};
use super::super::{Context, ownership};
use super::gather::Consumer;
use super::lane::{Lane, LaneEvents, Until};
use super::registrar::Registrar;
use super::remote::Remote;
use super::running::Running;
use super::standing::Standing;
use super::{Outcome, destination};

/// A consumer that has more events than this to read is not held to the pace of the others, nor they to its.
const BEHIND: i64 = 20_000;

/// Lanes of consumers that lag, at a time: each has two connections and batches of its own.
const LAGGING_MAX: usize = 4;

/// The consumers of one event store into one destination, for as long as nothing changes.
pub struct Run<'a> {
    pub context: &'a Arc<Context>,
    pub plan: &'a ReaderPlan,
    pub published: &'a watch::Receiver<bool>,
    pub standing: &'a Standing,
}

/// A consumer that can run.
struct Ready<'a> {
    plan: &'a ConsumerPlan,
    row: ConsumerRow,
    stream: &'a Stream,
    horizon: Horizon,
    /// The shapes of its stream, the newest first.
    shapes: Vec<&'a Shape>,
    /// It has much to read.
    lags: bool,
}

impl Run<'_> {
    /// Finds the stream that a consumer reads.
    fn stream_of<'s>(&self, streams: &'s [Stream], consumer: &ConsumerPlan) -> Option<&'s Stream> {
        streams.iter().find(|stream| consumer.reads(stream))
    }

    /// Says of an error of Pelton's own tables at which destination it happened.
    pub fn at_destination(&self, source: DataStoreError) -> EngineError {
        EngineError::DataStore { slug: self.plan.destination.clone(), source }
    }

    /// Opens what the lanes read from, and what it tells.
    async fn upstream(&self) -> Result<Upstream, EngineError> {
        self.plan.upstream.open(&self.plan.store, &self.context.application_name()).await
    }

    /// Opens lanes and runs them until one of them ends.
    pub async fn once(&self) -> Result<Outcome, EngineError> {
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
        let upstream = self.upstream().await?;
        let (streams, _) = upstream.streams().await?;
        // From before they are registered: what is removed behind it is seen.
        let horizons: HashMap<String, Position> =
            streams.iter().map(|stream| (stream.origin.clone(), stream.horizon)).collect();
        let stream_of = |consumer: &ConsumerPlan| self.stream_of(&streams, consumer);
        self.refuse_direct(&client).await?;
        let new = |consumer: &ConsumerPlan| NewConsumer {
            consumer: consumer.name.clone(),
            source_manifest: consumer.source_manifest.clone(),
            public_schema: consumer.public_schema.clone(),
            major: consumer.major as i32,
            start: match consumer.target.backfill() {
                true => Some(Position::START),
                false => stream_of(consumer).map(|stream| stream.last),
            },
            origin: stream_of(consumer).map(|stream| stream.origin.clone()),
        };
        let wanted: Vec<NewConsumer> = plan.consumers.iter().map(new).collect();
        let out = |consumer: &&ConsumerPlan| !self.standing.takes_part(&consumer.name);
        let stopped: Vec<String> = plan.consumers.iter().filter(out).map(|consumer| consumer.name.clone()).collect();
        let rows = datastore::take_over_consumers(&mut client, &context.manifest, &wanted, &stopped).await;
        let rows = rows.map_err(|source| self.at_destination(source))?;
        // Before anything is read: from now on nothing goes that they have not read.
        let id = datastore::store_id(&client).await.map_err(|source| self.at_destination(source))?;
        let mut registrar = Registrar::new(self, id, &streams);
        let mut missed = registrar.register(&upstream, &rows).await?;
        let (streams, shapes) = upstream.streams().await?;
        let stream_of = |consumer: &ConsumerPlan| self.stream_of(&streams, consumer);

        let mut ready = Vec::new();
        let mut missing = Vec::new();
        for consumer in plan.consumers.iter().filter(|consumer| self.standing.takes_part(&consumer.name)) {
            let row = rows.iter().find(|row| row.consumer == consumer.name);
            let (Some(stream), Some(row)) = (stream_of(consumer), row) else {
                missing.push(consumer);
                continue;
            };
            let heard =
                missed.iter().position(|(name, _)| *name == consumer.name).map(|index| missed.swap_remove(index).1);
            let (missed, refused) = match heard {
                Some(Err(error)) => (None, Some(error)),
                Some(Ok(missed)) => (Some(missed), None),
                None => (None, None),
            };
            let gone = || {
                let gap = eventstore::gap(stream, row.cursor, consumer.target.backfill(), missed)?;
                Some(self.gone(consumer, stream, gap))
            };
            if let Some(error) = self.changed(consumer, row, stream).or(refused).or_else(gone) {
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
            let behind = upstream.count(stream, row.cursor, BEHIND + 1).await?;
            let at = horizons.get(&stream.origin).copied().unwrap_or(Position::START);
            let horizon = Horizon { stream: stream.id, at };
            let (row, lags) = (row.clone(), behind > BEHIND);
            ready.push(Ready { plan: consumer, row, stream, horizon, shapes: of_stream, lags });
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
        let running = Running { run: self, client: &client, upstream: &upstream, streams: streams.len(), waits };
        running.watch(&rows, registrar, lanes, ending).await
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
    fn changed(&self, consumer: &ConsumerPlan, row: &ConsumerRow, stream: &Stream) -> Option<EngineError> {
        if row.origin.as_ref().is_some_and(|origin| *origin != stream.origin) {
            return Some(EngineError::Setup {
                what: format!(
                    "consumer `{}` has read another stream of the same name up to now; event store `{}` has one that was \
                     published apart from it, whose positions don't compare with those",
                    consumer.name, self.plan.store
                ),
                hint: Some(format!(
                    "let `eventStore` name the event store that it has read, or a mirror of that; or `pelton consumers drop \
                     {}`, empty its table, and restart `pelton sync`, to begin at the start of this one",
                    consumer.name
                )),
            });
        }
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

    fn gone(&self, consumer: &ConsumerPlan, stream: &Stream, gap: Gap) -> EngineError {
        EngineError::EventsGone {
            slug: self.plan.store.clone(),
            consumer: consumer.name.clone(),
            public_schema: format!("{}@{}", consumer.public_schema, consumer.major),
            gap,
            horizon: stream.horizon,
            merged: stream.merged,
        }
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
        let events = self.events(&ready).await.map_err(all)?;
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
            let place = Place { context, slug: &plan.destination, connection: &plan.connection, client: &client };
            let exact = newest.component_digest.is_none();
            let writer = place.writer(&consumer.name, &consumer.target, &newest.public, exact).await;
            writers.push(writer.map_err(|error| (Some(consumer.name.clone()), error))?);
            // Of ReJot's rows some never came: what it lost is not there, nor what existed before it.
            let of_rejot = shapes.iter().any(|shape| eventstore::is_of_rejot(&shape.public));
            whole.push(consumer.target.is_whole() && !of_rejot);
            let reading = |shape: &&Shape| (shape.id, Reading::new(&newest.public, &shape.public));
            consumers.push(Consumer {
                name: consumer.name.clone(),
                stream: stream.id,
                public_schema: format!("{}@{}", consumer.public_schema, consumer.major),
                cursor: row.cursor,
                table,
                readings: shapes.iter().map(reading).collect(),
                takes_copied: consumer.target.backfill(),
            });
        }
        Ok(Lane {
            slug: plan.destination.clone(),
            events,
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

    /// Stops a consumer under which events were removed by force.
    pub fn removed(&self, consumer: &str, streams: &[Stream]) -> Outcome {
        let plan = self.plan.consumers.iter().find(|one| one.name == consumer);
        let stream = plan.and_then(|plan| Some((plan, self.stream_of(streams, plan)?)));
        match stream {
            Some((plan, stream)) => {
                let error = self.gone(plan, stream, Gap::Removed);
                Outcome::Failed { consumer: Some(consumer.to_owned()), error, shared: false }
            }
            None => Outcome::Changed,
        }
    }

    /// Opens what a lane reads.
    async fn events(&self, ready: &[Ready<'_>]) -> Result<LaneEvents, EngineError> {
        let name = self.context.application_name();
        let service = match &self.plan.upstream {
            UpstreamPlan::Store(connection) => {
                let slug = self.plan.store.clone();
                let (client, heard) = upstream::listening(connection, &slug, &name).await?;
                let mut known: Vec<Horizon> = ready.iter().map(|one| one.horizon).collect();
                known.sort_by_key(|one| one.stream);
                known.dedup();
                let horizons = Horizons::prepare(&client, known).await;
                let horizons = horizons.map_err(|source| EngineError::EventStore { slug: slug.clone(), source })?;
                return Ok(LaneEvents::Store { slug, client, heard, horizons });
            }
            UpstreamPlan::Service(service) => service.clone(),
        };
        let mut streams: Vec<Stream> = Vec::new();
        for one in ready {
            if streams.iter().all(|stream| stream.id != one.stream.id) {
                streams.push(Stream { horizon: one.horizon.at, ..one.stream.clone() });
            }
        }
        let known = ready.iter().flat_map(|one| &one.shapes).map(|shape| (shape.id, (*shape).clone())).collect();
        let manifest = service.manifest.clone();
        let service = Service::new(service);
        Ok(LaneEvents::Service(Remote { manifest, service, streams, known, inside: None }))
    }

    /// Returns a consumer whose public schema nobody has published.
    pub fn never_published(&self, streams: &[Stream]) -> Option<Outcome> {
        let mut left = self.plan.consumers.iter().filter(|consumer| self.standing.takes_part(&consumer.name));
        let consumer = left.find(|consumer| self.stream_of(streams, consumer).is_none())?;
        let error = EngineError::NotPublishedHere {
            place: self.plan.upstream.place(&self.plan.store),
            manifest: consumer.source_manifest.clone(),
            public_schema: format!("{}@{}", consumer.public_schema, consumer.major),
        };
        Some(Outcome::Failed { consumer: Some(consumer.name.clone()), error, shared: false })
    }
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
