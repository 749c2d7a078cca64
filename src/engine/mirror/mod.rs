//! From one event store into another: every stream, with the same positions, each event once.
//!
//! ```text
//! mod    owns the mirror, makes its streams, waits for events, starts anew
//!   copy   one round: what is new as one snapshot shows it, in transactions of the mirror
//!   rows   events in COPY's binary format, with other ids
//! ```
//!
//! A consumer of the mirror sees what one of the original sees: streams of one source are appended together, in the order of
//! their positions, and no transaction of the mirror ends inside one of the source. How far it is stands in the mirror itself
//! and moves with the events, so whatever is killed, the next round goes on behind them. At the original a mirror is a
//! consumer: what it has not read is not removed.

mod copy;
mod rows;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::Client;

use self::copy::Copy;
use super::failure::{Chain, EngineError, Verdict};
use super::plan::MirrorPlan;
use super::{Context, Problem, ownership};
use crate::datastore::{self, DataStoreError};
use crate::eventstore::{self, Adopted, Deployment, Horizon, Registered, ShapeRow, Stream, Upstream};
use crate::postgres::{self, Backoff};

pub use self::rows::BadRow;

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(30);
const GOOD_RUN: Duration = Duration::from_secs(30);
/// How often is looked for events that nobody told of.
const POLL: Duration = Duration::from_secs(1);
/// How often the original is told how far the mirror is, while it moves.
const REGISTER: Duration = Duration::from_secs(5);

/// Mirrors until somebody asks to stop, or, on request, until everything is mirrored that this process publishes.
/// `published` turns true once it publishes nothing more into the original.
///
/// # Errors
/// What stopped it for good.
pub async fn run(
    context: Arc<Context>,
    plan: MirrorPlan,
    published: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Vec<Problem>> {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MOST);
    let mirror = Mirror { context: &context, plan: &plan, published };
    loop {
        let started = Instant::now();
        let mut asked = stop.clone();
        let error = tokio::select! {
            ended = mirror.once() => match ended {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            _ = asked.wait_for(|stop| *stop) => return Ok(()),
        };
        if error.verdict() == Verdict::Stop {
            let problem = Problem::of(&plan.store, None, &error);
            problem.log();
            mirror.record(&problem).await;
            return Err(vec![problem]);
        }
        if started.elapsed() >= GOOD_RUN {
            backoff.reset();
        }
        let (wait, hint) = (backoff.next_wait(), error.hint());
        let (event_store, of, hint) = (&plan.store, &plan.upstream, hint.as_deref().unwrap_or("-"));
        let seconds = wait.as_secs_f64();
        tracing::warn!(event_store, of, hint, "{}; trying again in {seconds:.1} s", Chain(&error));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

struct Mirror<'a> {
    context: &'a Context,
    plan: &'a MirrorPlan,
    published: watch::Receiver<bool>,
}

impl Mirror<'_> {
    fn at_upstream(&self, source: DataStoreError) -> EngineError {
        EngineError::EventStore { slug: self.plan.upstream.clone(), source }
    }

    fn here(&self, source: DataStoreError) -> EngineError {
        EngineError::EventStore { slug: self.plan.store.clone(), source }
    }

    async fn connect(&self) -> Result<Client, EngineError> {
        let session = postgres::Session::destination(format!(
            "{} mirror of {}",
            self.context.application_name(),
            self.plan.upstream
        ));
        let connected = postgres::connect(&self.plan.connection, &session).await;
        connected.map_err(|source| EngineError::Connect { role: "event store", slug: self.plan.store.clone(), source })
    }

    /// Takes the mirror over and copies, round by round.
    async fn once(&self) -> Result<(), EngineError> {
        let Mirror { context, plan, .. } = *self;
        let mut client = self.connect().await?;
        let migrated = datastore::apply(&mut client, &datastore::EVENTS).await.map_err(|source| self.here(source))?;
        if !migrated.is_empty() {
            tracing::info!(event_store = plan.store, "made `rejot_events` (migrations {migrated:?})");
        }
        let waiting = || {
            let (event_store, of) = (&plan.store, &plan.upstream);
            tracing::info!(event_store, of, "another process mirrors: waiting to take over");
        };
        let lock = "mirror";
        // Whatever manifest it is in.
        let acquired = ownership::acquire(&client, "", lock, waiting).await;
        acquired.map_err(|source| EngineError::Source { slug: plan.store.clone(), source })?;
        let settings = "SET synchronous_commit = off; SET lock_timeout = '30s'";
        let set = client.batch_execute(settings).await.map_err(DataStoreError::query("configure the session"));
        set.map_err(|source| self.here(source))?;
        let session = postgres::Session::destination(context.application_name());
        let connected = postgres::connect_and_hear(&plan.upstream_connection, &session).await;
        let (upstream, heard) = connected.map_err(|source| EngineError::Connect {
            role: "event store",
            slug: plan.upstream.clone(),
            source,
        })?;
        let listen = upstream.batch_execute("LISTEN rejot_events").await.map_err(DataStoreError::query("listen"));
        listen.map_err(|source| self.at_upstream(source))?;
        // Before anything is published there it is none.
        while !eventstore::is_there(&upstream).await.map_err(|source| self.at_upstream(source))? {
            if self.ends() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        let id = eventstore::store_id(&upstream).await.map_err(|source| self.at_upstream(source))?;
        let own = eventstore::store_id(&client).await.map_err(|source| self.here(source))?;
        if id == own {
            return Err(EngineError::Setup {
                what: format!("event stores `{}` and `{}` are the same database", plan.upstream, plan.store),
                hint: Some("a mirror is another database: correct its connection".to_owned()),
            });
        }
        let of = Upstream { id: &id, slug: &plan.upstream, manifest: &context.manifest };
        let owner = eventstore::take_over_mirror(&client, &of).await.map_err(|source| self.here(source))?;
        let copy = Copy { store: &plan.store, upstream: &plan.upstream, id: &id, owner };
        tracing::info!(event_store = plan.store, of = plan.upstream, "mirroring");
        let mut told = Told { streams: 0, at: Instant::now(), refused: false, horizons: HashMap::new() };
        let (mut moved, mut ended) = (false, false);
        let mut adopted = Adopted::default();
        loop {
            let nothing_more = self.ends();
            self.execute(&upstream, eventstore::BEGIN_READING).await?;
            let streams = eventstore::streams(&upstream).await.map_err(|source| self.at_upstream(source))?;
            let shapes = eventstore::shape_rows(&upstream).await.map_err(|source| self.at_upstream(source))?;
            let new = streams.len() != told.streams;
            if new || shapes.len() != adopted.shapes.len() {
                adopted = self.adopt(&mut client, &id, &own, &streams, &shapes).await?;
            }
            if new || (moved && (ended || told.at.elapsed() >= REGISTER)) {
                self.execute(&upstream, "COMMIT").await?;
                for stream in &streams {
                    told.horizons.entry(stream.id).or_insert_with(|| Horizon::of(stream));
                }
                eventstore::flush_mirror(&client, &id).await.map_err(|source| self.here(source))?;
                self.register(&upstream, &own, &streams, &adopted, &mut told).await?;
                moved = false;
                // A snapshot from before may show a stream as it was before something was removed.
                continue;
            }
            if self.moved(&own, &streams, &adopted, &mut told)? {
                // A stream that has not begun here says what is removed of it there.
                adopted = self.adopt(&mut client, &id, &own, &streams, &shapes).await?;
            }
            let mut more = false;
            for group in groups(&streams) {
                let copied = copy.round(&upstream, &client, &group, &mut adopted).await?;
                moved |= copied.events > 0;
                more |= copied.more;
            }
            self.execute(&upstream, "COMMIT").await?;
            if more {
                continue;
            }
            if nothing_more && !moved {
                return Ok(());
            }
            // It may be long until it runs again: the original is told first.
            ended = nothing_more;
            if ended {
                continue;
            }
            let mut published = self.published.clone();
            let end = async {
                if !self.context.options.until_caught_up || published.wait_for(|is| *is).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = heard.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                () = end => {}
            }
        }
    }

    async fn execute(&self, upstream: &Client, sql: &str) -> Result<(), EngineError> {
        let done = upstream.batch_execute(sql).await.map_err(DataStoreError::query("read another event store"));
        done.map_err(|source| self.at_upstream(source))
    }

    /// Returns true once nothing comes any more that is to be waited for.
    fn ends(&self) -> bool {
        self.context.options.until_caught_up && *self.published.borrow()
    }

    /// Tells the original how far the mirror is: what lies behind must not be removed there.
    async fn register(
        &self,
        upstream: &Client,
        own: &str,
        streams: &[Stream],
        adopted: &Adopted,
        told: &mut Told,
    ) -> Result<(), EngineError> {
        (told.streams, told.at) = (streams.len(), Instant::now());
        let names: Vec<String> = streams.iter().map(|stream| self.name(own, stream)).collect();
        let mut cursors = Vec::new();
        for (stream, consumer) in streams.iter().zip(&names) {
            cursors.push(Registered {
                consumer,
                source_manifest: &stream.manifest,
                public_schema: &stream.public_schema,
                major: stream.major,
                cursor: adopted.streams[&stream.id].after,
                origin: None,
            });
        }
        let of = Deployment { manifest: &self.context.manifest, destination: own };
        match eventstore::register_consumers(upstream, of, &cursors).await {
            Ok(registered) => match registered.into_iter().find(|&(_, missed)| missed) {
                Some((name, _)) => Err(self.gone(&name)),
                None => Ok(()),
            },
            Err(error) if error.is_refused() => {
                if !std::mem::replace(&mut told.refused, true) {
                    tracing::warn!(
                        event_store = self.plan.upstream,
                        hint = "GRANT INSERT, UPDATE, SELECT ON rejot_events.consumer to this role",
                        "it can't be told how far its mirror is, and may remove what is not mirrored: {}",
                        Chain(&error)
                    );
                }
                self.not_gone(own, streams, adopted)
            }
            Err(source) => Err(self.at_upstream(source)),
        }
    }

    async fn adopt(
        &self,
        client: &mut Client,
        id: &str,
        own: &str,
        streams: &[Stream],
        shapes: &[ShapeRow],
    ) -> Result<Adopted, EngineError> {
        let adopted = eventstore::adopt(client, id, own, streams, shapes).await;
        adopted.map_err(|source| EngineError::Mirror { slug: self.plan.store.clone(), source })
    }

    /// Makes sure that nothing is gone from this snapshot which is not mirrored. Returns true where something is gone of a
    /// stream.
    fn moved(&self, own: &str, streams: &[Stream], adopted: &Adopted, told: &mut Told) -> Result<bool, EngineError> {
        let mut any = false;
        for stream in streams {
            let known = told.horizons.entry(stream.id).or_insert_with(|| Horizon::of(stream));
            any |= stream.horizon > known.at;
            if !known.moved(stream.horizon, adopted.streams[&stream.id].after, stream.merged) {
                return Err(self.gone(&self.name(own, stream)));
            }
        }
        Ok(any)
    }

    /// Makes sure, where the original can't be told, that nothing is gone which is not mirrored.
    fn not_gone(&self, own: &str, streams: &[Stream], adopted: &Adopted) -> Result<(), EngineError> {
        let gone = |stream: &&Stream| eventstore::gap(stream, adopted.streams[&stream.id].after, false, None).is_some();
        streams.iter().find(gone).map_or(Ok(()), |stream| Err(self.gone(&self.name(own, stream))))
    }

    /// How the original knows the mirror of one of its streams.
    fn name(&self, own: &str, stream: &Stream) -> String {
        let Stream { manifest, public_schema, major, .. } = stream;
        format!("mirror {} ({}) of {manifest}/{public_schema}@{major}", self.plan.store, own.get(..8).unwrap_or(own))
    }

    fn gone(&self, name: &str) -> EngineError {
        EngineError::Setup {
            what: format!("event store `{}` no longer has all events that `{name}` has not read", self.plan.upstream),
            hint: Some(
                "mirror into an empty database, and let consumers name that one: those that had read what was removed go \
                 on there where they were"
                    .to_owned(),
            ),
        }
    }

    /// Records for `pelton status` why the mirror stopped.
    async fn record(&self, problem: &Problem) {
        let recorded = async {
            let client = self.connect().await?;
            let (manifest, of) = (&self.context.manifest, &self.plan.upstream);
            let hint = problem.hint.as_deref();
            let marked = eventstore::mark_mirror_stopped(&client, manifest, of, &problem.what, hint).await;
            marked.map_err(|source| self.here(source))
        };
        if let Err(error) = recorded.await {
            tracing::warn!("could not record the stop for `pelton status`: {}", Chain(&error));
        }
    }
}

/// What the original was told.
struct Told {
    /// Of so many streams.
    streams: usize,
    at: Instant,
    /// It may not be told.
    refused: bool,
    /// By stream, from before it was told.
    horizons: HashMap<i32, Horizon>,
}

/// Returns the streams by source: what one transaction of it made is mirrored together.
fn groups(streams: &[Stream]) -> Vec<Vec<&Stream>> {
    let mut groups: Vec<Vec<&Stream>> = Vec::new();
    for stream in streams {
        let same = |group: &&mut Vec<&Stream>| group[0].manifest == stream.manifest && group[0].source == stream.source;
        match groups.iter_mut().find(same) {
            Some(group) => group.push(stream),
            None => groups.push(vec![stream]),
        }
    }
    groups
}
