//! A consumer that is paused, resumed, rewound or dropped.

use tokio_postgres::Client;

use super::super::files;
use super::super::report::Failure;
use super::found::stream_of;
use super::{APPLICATION, Chosen, names, plan};
use crate::change::Position;
use crate::datastore::{self, Control};
use crate::engine::{Chain, EngineError, Upstream};
use crate::eventstore::{Deployment, Registered, Stream};
use crate::manifest::Manifest;
use crate::postgres::{self, Session};

/// A consumer that is to be changed.
pub(super) struct Target {
    pub(super) manifest: Manifest,
    name: String,
    place: String,
    pub(super) client: Client,
    /// The UUID of the destination.
    destination: String,
    pub(super) upstream: Upstream,
    stream: Option<Stream>,
}

impl Target {
    pub(super) async fn find(chosen: &Chosen) -> Result<Target, Failure> {
        let manifest = files::load_one(chosen.manifest.as_deref())?;
        let plan = plan(&manifest)?;
        let mut all = plan.readers.iter().flat_map(|reader| reader.consumers.iter().map(move |one| (reader, one)));
        let Some((reader, consumer)) = all.find(|(_, consumer)| consumer.name == chosen.name) else {
            let hint = match &names(&plan)[..] {
                [] => "it has none: consumers read from event stores (`eventStores`)".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            let what = format!("manifest `{}` has no consumer `{}` of an event store", manifest.slug, chosen.name);
            return Err(Failure::new(what, Some(hint)));
        };
        let session = Session::destination(APPLICATION);
        let reached = |error: postgres::ConnectError| Failure::of(&error, error.hint());
        let client = postgres::connect(&reader.connection, &session).await.map_err(reached)?;
        let failed = |error: EngineError| Failure::new(Chain(&error), error.hint());
        let upstream = reader.upstream.open(&reader.store, APPLICATION).await.map_err(failed)?;
        // A running consumer holds its row while it writes a transaction.
        let patience = client.batch_execute("SET lock_timeout = '30s'").await;
        patience.map_err(|error| Failure::of(&error, None))?;
        let (streams, _) = upstream.streams().await.map_err(failed)?;
        let refused = |error: datastore::DataStoreError| Failure::of(&error, error.hint());
        let destination = datastore::store_id(&client).await.map_err(refused)?;
        Ok(Target {
            name: chosen.name.clone(),
            place: format!("destination `{}`", reader.destination),
            client,
            destination,
            upstream,
            stream: stream_of(&streams, consumer).cloned(),
            manifest,
        })
    }

    pub(super) fn failed(&self, error: &(dyn std::error::Error + 'static), hint: Option<String>) -> Failure {
        Failure::new(format!("{}: {}", self.place, Chain(error)), hint)
    }

    pub(super) fn deployment(&self) -> Deployment<'_> {
        Deployment { manifest: &self.manifest.slug, destination: &self.destination }
    }

    pub(super) fn absent(&self) -> Failure {
        let what = format!("{}: consumer `{}` has not begun yet", self.place, self.name);
        Failure::new(what, Some("`pelton sync` begins it".to_owned()))
    }

    pub(super) async fn control(&self, control: Control) -> Result<(), Failure> {
        if datastore::consumers(&self.client, &self.manifest.slug).await.is_ok_and(|rows| rows.is_empty()) {
            return Err(self.absent());
        }
        let changed = datastore::control_consumer(&self.client, &self.manifest.slug, &self.name, control).await;
        if changed.map_err(|error| self.failed(&error, error.hint()))? { Ok(()) } else { Err(self.absent()) }
    }

    /// Lets the event store keep what lies behind a position, before the consumer goes back there.
    pub(super) async fn hold(&self, position: Position) -> Result<(), Failure> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let registered = Registered {
            consumer: &self.name,
            source_manifest: &stream.manifest,
            public_schema: &stream.public_schema,
            major: stream.major,
            cursor: position,
            origin: Some(&stream.origin),
        };
        let of = self.deployment();
        // What it has missed before is forgotten with it.
        let held = async {
            self.upstream.forget(of, &self.name).await?;
            let heard = self.upstream.register(of, &[registered]).await?;
            heard.into_iter().try_for_each(|(_, heard)| heard.map(drop))?;
            let (streams, _) = self.upstream.streams().await?;
            Ok(streams.into_iter().find(|now| now.id == stream.id))
        };
        match held.await {
            // What was removed in between is seen now.
            Ok(now) => Target::kept(now.as_ref(), position),
            // Who may not tell it consumes all the same.
            Err(error) if EngineError::is_refused(&error) => Ok(()),
            Err(error) => Err(Failure::new(Chain(&error), error.hint())),
        }
    }

    /// Refuses a position behind which events are gone.
    pub(super) fn is_kept(&self, position: Position) -> Result<(), Failure> {
        Target::kept(self.stream.as_ref(), position)
    }

    fn kept(stream: Option<&Stream>, position: Position) -> Result<(), Failure> {
        let Some(stream) = stream else { return Ok(()) };
        if position == Position::START || position >= stream.horizon {
            return Ok(());
        }
        let horizon = stream.horizon;
        let (what, all) = match stream.merged {
            true => ("merged into the newest of each key", "empty its table, and `--to start` brings every row; or "),
            false => ("removed", ""),
        };
        let hint = format!("{all}`--to {horizon}` is as far back as it goes");
        Err(Failure::new(format!("events up to {horizon} have been {what}"), Some(hint)))
    }

    /// Returns the position that a user means.
    pub(super) async fn position(&self, to: &str) -> Result<Position, Failure> {
        let Some(stream) = &self.stream else {
            let what = format!("the public schema of consumer `{}` has not been published yet", self.name);
            return Err(Failure::new(what, Some("there is nothing to rewind to".to_owned())));
        };
        match to {
            "start" => return Ok(Position::START),
            "end" => return Ok(stream.last),
            _ => {}
        }
        if let Ok(position) = to.parse::<Position>() {
            if position > stream.last {
                let hint = format!("the last event is at {}; `--to end` goes there", stream.last);
                return Err(Failure::new(format!("{position} is beyond the end of the stream"), Some(hint)));
            }
            return Ok(position);
        }
        let found = self.upstream.before(stream, to).await;
        found.map(|found| found.unwrap_or(stream.last)).map_err(|error| {
            let hint =
                "write `start`, `end`, a position as `pelton events tail` prints it, or a time, as 2026-11-21 10:00+00";
            Failure::new(format!("`{to}` is no place in a stream: {}", Chain(&error)), Some(hint.to_owned()))
        })
    }
}
