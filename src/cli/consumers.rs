//! `pelton consumers`: how far the consumers of event stores are; and stopping, resuming and rewinding them.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use tokio_postgres::Client;

use super::columns::{self, duration};
use super::files;
use super::report::Failure;
use crate::change::Position;
use crate::datastore::{self, ConsumerRow, Control};
use crate::engine::{Chain, ConsumerPlan, EngineError, Plan, ReaderPlan, Upstream};
use crate::eventstore::{Deployment, Registered, Stream};
use crate::manifest::Manifest;
use crate::postgres::{self, Session};

/// Shows how far the consumers of event stores are, and pauses, resumes, rewinds and drops them
///
/// It works on the databases, so it works from any machine that reaches them, whether or not `pelton sync` runs; one that
/// runs notices within a second.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show each consumer: what it reads, how far it is, what stopped it
    List {
        /// The manifest [default: pelton.yaml in this folder]
        #[arg(value_name = "MANIFEST")]
        manifest: Option<PathBuf>,

        /// Print JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Let a consumer stand still until it is resumed; the others go on
    Pause(Chosen),
    /// Let a consumer go on that was paused, or stopped by an error
    Resume(Chosen),
    /// Let a consumer read events again, or skip some
    ///
    /// Read from the start, a table with a key ends as it would have: rows are replaced by key. Into one without a key rows come
    /// again, and from the middle an update may find that its row is gone by now, which stops the consumer: empty the table
    /// first, and rewind to the start.
    Rewind {
        #[command(flatten)]
        chosen: Chosen,

        /// Where to: `start`, `end`, a position as `pelton events` prints it (the first event read is the one behind it), or a
        /// time (the first event read is the first that was committed then or later)
        #[arg(long, value_name = "WHERE")]
        to: String,
    },
    /// Forget how far a consumer is, here and in its event store; its table stays
    Drop(Chosen),
}

/// A consumer of a manifest.
#[derive(Debug, clap::Args)]
struct Chosen {
    /// The consumer, by its name in the manifest
    name: String,

    /// The manifest [default: pelton.yaml in this folder]
    #[arg(value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
}

const APPLICATION: &str = "pelton consumers";

/// Does it.
///
/// # Errors
/// The manifest's problems, databases that can't be reached, and what speaks against it.
pub async fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::List { manifest, json } => {
            let manifest = files::load_one(manifest.as_deref())?;
            let found = look(&manifest).await?;
            if found.is_empty() {
                let hint = "consumers read from event stores and services: add `eventStores` or `syncServices` to the manifest".to_owned();
                return Err(Failure::new(
                    format!("manifest `{}` has no consumers of event stores", manifest.slug),
                    Some(hint),
                ));
            }
            if json {
                println!("{:#}", found.iter().map(to_json).collect::<serde_json::Value>());
            } else {
                print(&found);
            }
            let troubled = found.iter().any(|one| one.problem().is_some());
            if troubled { Err(Failure::said()) } else { Ok(()) }
        }
        Action::Pause(chosen) => {
            let target = Target::find(&chosen).await?;
            target.control(Control::Pause).await?;
            println!("Paused consumer `{}`. `pelton consumers resume {}` lets it go on.", chosen.name, chosen.name);
            Ok(())
        }
        Action::Resume(chosen) => {
            let target = Target::find(&chosen).await?;
            target.control(Control::Resume).await?;
            println!("Resumed consumer `{}`.", chosen.name);
            Ok(())
        }
        Action::Rewind { chosen, to } => {
            let target = Target::find(&chosen).await?;
            let position = target.position(&to).await?;
            target.is_kept(position)?;
            target.hold(position).await?;
            target.control(Control::Rewind(position)).await?;
            let what =
                if position == Position::START { "the beginning".to_owned() } else { format!("behind {position}") };
            println!("Consumer `{}` goes on from {what}.", chosen.name);
            Ok(())
        }
        Action::Drop(chosen) => {
            let target = Target::find(&chosen).await?;
            let manifest = &target.manifest.slug;
            let failed = |error: datastore::DataStoreError| target.failed(&error, error.hint());
            let forgotten = target.upstream.forget(target.deployment(), &chosen.name).await;
            let forgotten = forgotten.map_err(|error| Failure::new(Chain(&error), error.hint()))?;
            let dropped = datastore::drop_consumer(&target.client, manifest, &chosen.name).await.map_err(failed)?;
            if !dropped && !forgotten {
                return Err(target.absent());
            }
            println!(
                "Dropped consumer `{}`. Its table stays; while the manifest has it, `pelton sync` begins it anew.",
                chosen.name
            );
            Ok(())
        }
    }
}

/// A consumer as it is now.
pub struct Found {
    plan: ConsumerPlan,
    store: String,
    row: Option<ConsumerRow>,
    /// Events that it has not read, up to [`BEHIND_MAX`].
    behind: Option<i64>,
    /// What keeps it from being looked at.
    trouble: Option<(String, Option<String>)>,
}

/// More are not counted.
const BEHIND_MAX: i64 = 100_000;

impl Found {
    fn state(&self) -> &'static str {
        match &self.row {
            _ if self.trouble.is_some() => "unknown",
            None => "new",
            Some(row) if row.paused => "paused",
            Some(row) if row.problem.is_some() && row.retries => "retrying",
            Some(row) if row.problem.is_some() => "stopped",
            Some(_) => "live",
        }
    }

    /// What is wrong with it, and what to do about it.
    pub fn problem(&self) -> Option<(&str, Option<&str>)> {
        let of_row = || {
            let row = self.row.as_ref()?;
            Some((row.problem.as_deref()?, row.hint.as_deref()))
        };
        self.trouble.as_ref().map(|(what, hint)| (&**what, hint.as_deref())).or_else(of_row)
    }

    fn behind(&self) -> Option<String> {
        self.behind.map(|behind| if behind > BEHIND_MAX { format!("> {BEHIND_MAX}") } else { behind.to_string() })
    }

    /// How old the last applied change is, in milliseconds, while there are more.
    fn lag_ms(&self) -> Option<u64> {
        if self.behind == Some(0) {
            return Some(0);
        }
        let micros = self.row.as_ref()?.commit_time?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_micros() as i64;
        u64::try_from((now - micros) / 1000).ok()
    }
}

/// Looks at all consumers of event stores that a manifest has.
///
/// # Errors
/// What the manifest asks for can't be run. A database that can't be reached is part of what is found.
pub async fn look(manifest: &Manifest) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for reader in &plan(manifest)?.readers {
        let looked = look_at(manifest, reader).await;
        for consumer in &reader.consumers {
            let mut one =
                Found { plan: consumer.clone(), store: reader.store.clone(), row: None, behind: None, trouble: None };
            match &looked {
                Err(trouble) => one.trouble = Some(trouble.clone()),
                Ok((rows, upstream, streams)) => {
                    one.row = rows.iter().find(|row| row.consumer == consumer.name).cloned();
                    let stream = stream_of(streams, consumer);
                    if let (Some(row), Some(stream)) = (&one.row, stream) {
                        one.behind = upstream.count(stream, row.cursor, BEHIND_MAX + 1).await.ok();
                    }
                }
            }
            found.push(one);
        }
    }
    Ok(found)
}

fn plan(manifest: &Manifest) -> Result<Plan, Failure> {
    Plan::new(manifest)
        .map_err(|refused| Failure::all(refused.into_iter().map(|u| Failure::new(u.what, Some(u.hint))).collect()))
}

fn stream_of<'a>(streams: &'a [Stream], consumer: &ConsumerPlan) -> Option<&'a Stream> {
    streams.iter().find(|stream| consumer.reads(stream))
}

type Trouble = (String, Option<String>);

async fn look_at(
    manifest: &Manifest,
    reader: &ReaderPlan,
) -> Result<(Vec<ConsumerRow>, Upstream, Vec<Stream>), Trouble> {
    let session = Session::destination(APPLICATION);
    let reached = |error: postgres::ConnectError| (crate::engine::Chain(&error).to_string(), error.hint());
    let refused = |error: datastore::DataStoreError| (crate::engine::Chain(&error).to_string(), error.hint());
    let client = postgres::connect(&reader.connection, &session).await.map_err(reached)?;
    let rows = datastore::consumers(&client, &manifest.slug).await.map_err(refused)?;
    let failed = |error: EngineError| (Chain(&error).to_string(), error.hint());
    let upstream = reader.upstream.open(&reader.store, APPLICATION).await.map_err(failed)?;
    let (streams, _) = upstream.streams().await.map_err(failed)?;
    Ok((rows, upstream, streams))
}

/// Prints consumers as columns, and what stopped them.
pub fn print(found: &[Found]) {
    let head =
        ["CONSUMER", "READS", "FROM", "INTO", "STATE", "CURSOR", "EVENTS LEFT", "BEHIND", "ROWS"].map(str::to_owned);
    let line = |one: &Found| {
        let unknown = || "-".to_owned();
        let ConsumerPlan { name, source_manifest, public_schema, major, target } = &one.plan;
        [
            name.clone(),
            format!("{source_manifest}/{public_schema}@{major}"),
            one.store.clone(),
            match target.table() {
                Some(table) => format!("{} {}.{}", table.data_store, table.table.schema, table.table.name),
                None => format!("{} by SQL", target.data_store()),
            },
            one.state().to_owned(),
            one.row.as_ref().map_or_else(unknown, |row| row.cursor.to_string()),
            one.behind().unwrap_or_else(unknown),
            one.lag_ms().map_or_else(unknown, duration),
            one.row.as_ref().map_or_else(unknown, |row| row.rows_applied.to_string()),
        ]
    };
    columns::print(std::iter::once(head).chain(found.iter().map(line)));
    for one in found {
        if let Some((problem, hint)) = one.problem() {
            println!("\n{}: {problem}", one.plan.name);
            if let Some(hint) = hint {
                println!("  Hint: {hint}");
            }
        }
    }
}

/// Returns a consumer for scripts.
pub fn to_json(one: &Found) -> serde_json::Value {
    let problem = one.problem();
    json!({
        "consumer": one.plan.name,
        "sourceManifest": one.plan.source_manifest,
        "publicSchema": one.plan.public_schema,
        "majorVersion": one.plan.major,
        "eventStore": one.store,
        "destination": one.plan.target.data_store(),
        "state": one.state(),
        "cursor": one.row.as_ref().map(|row| row.cursor.to_string()),
        "eventsLeft": one.behind,
        "lagMs": one.lag_ms(),
        "rows": one.row.as_ref().map(|row| row.rows_applied),
        "problem": problem.map(|(what, _)| what),
        "hint": problem.and_then(|(_, hint)| hint),
    })
}

/// A consumer that is to be changed.
struct Target {
    manifest: Manifest,
    name: String,
    place: String,
    client: Client,
    /// The UUID of the destination.
    destination: String,
    upstream: Upstream,
    stream: Option<Stream>,
}

impl Target {
    async fn find(chosen: &Chosen) -> Result<Target, Failure> {
        let manifest = files::load_one(chosen.manifest.as_deref())?;
        let plan = plan(&manifest)?;
        let mut all = plan.readers.iter().flat_map(|reader| reader.consumers.iter().map(move |one| (reader, one)));
        let Some((reader, consumer)) = all.find(|(_, consumer)| consumer.name == chosen.name) else {
            let names: Vec<String> = (plan.readers.iter().flat_map(|reader| &reader.consumers))
                .map(|consumer| format!("`{}`", consumer.name))
                .collect();
            let hint = match names.is_empty() {
                true => "it has none: consumers read from event stores (`eventStores`)".to_owned(),
                false => format!("it has {}", names.join(", ")),
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

    fn failed(&self, error: &(dyn std::error::Error + 'static), hint: Option<String>) -> Failure {
        Failure::new(format!("{}: {}", self.place, crate::engine::Chain(error)), hint)
    }

    fn deployment(&self) -> Deployment<'_> {
        Deployment { manifest: &self.manifest.slug, destination: &self.destination }
    }

    fn absent(&self) -> Failure {
        let what = format!("{}: consumer `{}` has not begun yet", self.place, self.name);
        Failure::new(what, Some("`pelton sync` begins it".to_owned()))
    }

    async fn control(&self, control: Control) -> Result<(), Failure> {
        if datastore::consumers(&self.client, &self.manifest.slug).await.is_ok_and(|rows| rows.is_empty()) {
            return Err(self.absent());
        }
        let changed = datastore::control_consumer(&self.client, &self.manifest.slug, &self.name, control).await;
        if changed.map_err(|error| self.failed(&error, error.hint()))? { Ok(()) } else { Err(self.absent()) }
    }

    /// Lets the event store keep what lies behind a position, before the consumer goes back there.
    async fn hold(&self, position: Position) -> Result<(), Failure> {
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
    fn is_kept(&self, position: Position) -> Result<(), Failure> {
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
    async fn position(&self, to: &str) -> Result<Position, Failure> {
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
            Failure::new(
                format!("`{to}` is no place in a stream: {}", crate::engine::Chain(&error)),
                Some(hint.to_owned()),
            )
        })
    }
}
