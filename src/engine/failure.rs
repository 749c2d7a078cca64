//! What can go wrong along the line, and what follows: for every kind, whether it passes by itself or stops a flow.

use std::fmt;

use crate::change::Position;
use crate::datastore::DataStoreError;
use crate::eventstore::{BadEvent, Gap, MirrorConflict, StreamConflict};
use crate::lsn::Lsn;
use crate::postgres::replication::{Fork, ReplicationError};
use crate::postgres::{ConnectError, QueryError, ServerError, quote_literal};
use crate::service::ServiceError;
use crate::sink::SinkError;
use crate::wasm::{GuestError, WasmError};

use super::backfill::{BackfillError, ReadError};
use super::dispatch::StreamError;
use super::mirror::BadRow;
use super::projection::ProjectionError;
use super::public_sql::SqlError;

/// Something went wrong along the line.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("cannot connect to the {role} `{slug}`")]
    Connect { role: &'static str, slug: String, source: ConnectError },
    #[error("the stream from source `{slug}` broke off")]
    Replication { slug: String, source: ReplicationError },
    #[error("source `{slug}` sent what is no pgoutput")]
    Decode { slug: String, source: StreamError },
    #[error("source `{slug}` refused a query")]
    Source { slug: String, source: QueryError },
    #[error("source `{slug}` is not ready to be read: {problem}")]
    NotReady { slug: String, problem: String, hint: Option<String>, transient: bool },
    #[error(
        "table {table} is not in publication \"{publication}\", and {} on its changes: it was taken out, or made anew, \
         or is new to a flow that had begun, and changes up to now are not in the stream",
        count_on(flows)
    )]
    Unpublished { table: String, publication: String, flows: Vec<String>, add: String },
    #[error(
        "publication \"{publication}\" of source `{slug}` does not exist any more: changes that were made without it \
         are not in the stream"
    )]
    PublicationGone { slug: String, publication: String, slot: String },
    #[error(
        "table {table} is not in publication \"{publication}\", and can't be added until destination `{destination}` \
         says whether it has changes of it"
    )]
    NotPublishedYet { table: String, publication: String, destination: String },
    #[error("the publication of source `{slug}` has lost a table")]
    PublicationChanged { slug: String },
    #[error("destination `{slug}` is not usable")]
    DataStore { slug: String, source: DataStoreError },
    #[error("cannot write to destination `{slug}`")]
    Sink { slug: String, source: SinkError },
    #[error("the SQL of public schema `{transform}` can't be run at source `{slug}`")]
    PublicSql { slug: String, transform: String, source: Box<SqlError> },
    #[error(
        "`{field}` of a row of public schema `{public_schema}` is not what outputSchema says (`{rule}`), at {commit_lsn}, \
         change {change}"
    )]
    OutputSchema { public_schema: String, field: String, rule: String, commit_lsn: Lsn, change: u64 },
    #[error("cannot load component {path}")]
    Component { path: String, source: WasmError },
    #[error("cannot read component {path}")]
    ReadComponent { path: String, source: std::io::Error },
    #[error("cannot read the rows that are to be copied from source `{slug}`")]
    BackfillRead { slug: String, source: ReadError },
    #[error(transparent)]
    Backfill(#[from] BackfillError),
    #[error("event store `{slug}` is not usable")]
    EventStore { slug: String, source: DataStoreError },
    #[error("the service of manifest `{manifest}` can't be read")]
    Service { manifest: String, source: ServiceError },
    #[error("cannot publish into event store `{slug}`")]
    Publish { slug: String, source: StreamConflict },
    #[error(transparent)]
    Event(#[from] BadEvent),
    #[error("event store `{slug}`")]
    Mirror {
        slug: String,
        #[source]
        source: MirrorConflict,
    },
    #[error(transparent)]
    MirrorRow(#[from] BadRow),
    #[error("public schema `{public_schema}` is published with other columns now")]
    Reshaped { public_schema: String },
    #[error("public schema `{public_schema}` of `{manifest}` is not in {place}")]
    NotPublishedHere { place: String, manifest: String, public_schema: String },
    #[error("events have been removed from event store `{slug}`")]
    HorizonMoved { slug: String },
    #[error("{}", events_gone(slug, consumer, public_schema, *gap))]
    EventsGone { slug: String, consumer: String, public_schema: String, gap: Gap, horizon: Position, merged: bool },
    #[error(transparent)]
    Guest(#[from] GuestError),
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    #[error("transform `{transform}` refuses the {op} of {table} at {commit_lsn}, change {index}: {message} ({code})")]
    Rejected {
        transform: String,
        op: &'static str,
        table: String,
        commit_lsn: Lsn,
        index: u64,
        code: String,
        message: String,
    },
    #[error(
        "replication slot \"{slot}\" of source `{slug}` is confirmed up to {confirmed}, beyond the checkpoint {checkpoint} \
         of flow `{flow}`: it was made anew or moved, and the changes in between can no longer be read"
    )]
    SlotBeyondCheckpoint { slug: String, slot: String, confirmed: Lsn, checkpoint: Lsn, flow: String },
    #[error(
        "source `{slug}` is another cluster (system identifier {found}) than the one that flow `{flow}` was fed from \
         ({expected})"
    )]
    OtherCluster { slug: String, found: String, expected: String, flow: String },
    #[error(
        "source `{slug}` is on timeline {timeline}, which {}, before the checkpoint {checkpoint} of flow `{flow}`: what was \
         applied behind that never happened there",
        left(fork)
    )]
    OtherBranch { slug: String, timeline: u32, fork: Option<Fork>, checkpoint: Lsn, flow: String },
    #[error(
        "the write-ahead log of source `{slug}` ends at {end}, before the checkpoint {checkpoint} of flow `{flow}`: the \
         server was restored from a backup"
    )]
    LogEndsBefore { slug: String, end: Lsn, checkpoint: Lsn, flow: String },
    #[error("the old rows that table {table} sends do not fit its replica identity")]
    OldRow { table: String },
    #[error("table {table} is being altered, and what the stream has of it can't be seen in the catalog yet")]
    BeingAltered { table: String },
    #[error("table {table} is called {now} now")]
    Renamed { table: String, now: String },
    #[error("table {table} was dropped, and another one was made in its place")]
    Remade { table: String },
    #[error("{what}")]
    Setup { what: String, hint: Option<String> },
    #[error("{what}")]
    NotAnew { what: String, hint: Option<String> },
    #[error("a task of the engine ended unexpectedly: {0}")]
    Bug(String),
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass by itself: try again with back-off, from the checkpoint.
    Retry,
    /// Somebody has to mend it.
    Stop,
    /// The source is not what it was when the run began: begin another one at once, from the checkpoint.
    Anew,
    /// Another process owns the flows now: wait as a standby.
    Yield,
}

impl EngineError {
    /// Returns what follows.
    pub fn verdict(&self) -> Verdict {
        let retry_if = |transient| if transient { Verdict::Retry } else { Verdict::Stop };
        match self {
            EngineError::Connect { source, .. } => retry_if(source.is_transient()),
            EngineError::Replication { source, .. } => retry_if(source.is_transient()),
            EngineError::Source { source, .. } => retry_if(source.is_transient()),
            EngineError::NotReady { transient, .. } => retry_if(*transient),
            EngineError::DataStore { source: DataStoreError::StaleOwner { .. }, .. } => Verdict::Yield,
            EngineError::DataStore { source: DataStoreError::StaleConsumer { .. }, .. }
            | EngineError::EventStore { source: DataStoreError::StaleMirror { .. }, .. }
            | EngineError::Reshaped { .. }
            | EngineError::HorizonMoved { .. } => Verdict::Anew,
            EngineError::DataStore { source: DataStoreError::Query { source, .. }, .. }
            | EngineError::EventStore { source: DataStoreError::Query { source, .. }, .. } => {
                retry_if(is_transient(source))
            }
            EngineError::Publish {
                source: StreamConflict::DataStore(DataStoreError::Query { source, .. }), ..
            }
            | EngineError::Mirror { source: MirrorConflict::DataStore(DataStoreError::Query { source, .. }), .. } => {
                retry_if(is_transient(source))
            }
            EngineError::DataStore { .. }
            | EngineError::EventStore { .. }
            | EngineError::Publish { .. }
            | EngineError::Mirror { .. }
            | EngineError::MirrorRow(_)
            | EngineError::Event(_) => Verdict::Stop,
            EngineError::Sink { source, .. } => retry_if(source.is_transient()),
            EngineError::Service { source: ServiceError::Gone { .. }, .. } => Verdict::Anew,
            EngineError::Service { source, .. } => retry_if(source.is_transient()),
            EngineError::BackfillRead { source, .. } => retry_if(source.is_transient()),
            EngineError::PublicSql { source, .. } => retry_if(source.is_transient()),
            EngineError::Guest(GuestError::State { .. } | GuestError::Retryable { .. }) => Verdict::Retry,
            EngineError::Projection(ProjectionError::Grown { .. } | ProjectionError::Widened { .. })
            | EngineError::PublicationChanged { .. } => Verdict::Anew,
            EngineError::NotPublishedYet { .. } | EngineError::BeingAltered { .. } => Verdict::Retry,
            EngineError::Decode { .. }
            | EngineError::Component { .. }
            | EngineError::ReadComponent { .. }
            | EngineError::Backfill(_)
            | EngineError::Guest(_)
            | EngineError::Projection(_)
            | EngineError::Rejected { .. }
            | EngineError::OutputSchema { .. }
            | EngineError::Unpublished { .. }
            | EngineError::PublicationGone { .. }
            | EngineError::SlotBeyondCheckpoint { .. }
            | EngineError::OtherCluster { .. }
            | EngineError::OtherBranch { .. }
            | EngineError::LogEndsBefore { .. }
            | EngineError::OldRow { .. }
            | EngineError::Renamed { .. }
            | EngineError::Remade { .. }
            | EngineError::Setup { .. }
            | EngineError::NotAnew { .. }
            | EngineError::NotPublishedHere { .. }
            | EngineError::EventsGone { .. }
            | EngineError::Bug(_) => Verdict::Stop,
        }
    }

    /// Returns true for what is wrong with a component, or with how it goes with its settings, tables and readers: another one
    /// may do. What the source, the destination or the flows have is no reason to refuse it.
    pub fn is_of_component(&self) -> bool {
        match self {
            EngineError::Component { .. } => !self.is_crowded(),
            EngineError::ReadComponent { .. }
            | EngineError::NotReady { transient: false, .. }
            | EngineError::Setup { .. }
            | EngineError::Bug(_) => true,
            EngineError::Guest(error) => !matches!(error, GuestError::State { .. } | GuestError::Crowded { .. }),
            // A lock that it needs, since it brings a column, is its own trouble.
            EngineError::Sink { source, .. } => !source.is_transient() || source.is_lock_timeout(),
            EngineError::Publish { source, .. } => !matches!(source, StreamConflict::DataStore(_)),
            _ => false,
        }
    }

    /// Returns true where so many instances run that no other one could be started: that passes.
    pub fn is_crowded(&self) -> bool {
        match self {
            EngineError::Guest(GuestError::Crowded { .. }) => true,
            EngineError::Component { source: WasmError::Describe { source, .. }, .. } => {
                matches!(**source, GuestError::Crowded { .. })
            }
            _ => false,
        }
    }

    /// Returns true when it is tried again, and passes only once somebody has mended something: whoever waits for the end of
    /// a run is told rather than kept waiting.
    pub fn needs_somebody(&self) -> bool {
        match self {
            EngineError::Service { source, .. } => source.needs_somebody(),
            error => error.verdict() == Verdict::Stop,
        }
    }

    /// Returns what the operator should do, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            EngineError::Connect { source, .. } => source.hint(),
            EngineError::Replication { source, .. } => source.hint(),
            EngineError::Source { source, .. } => source.hint(),
            EngineError::NotReady { hint, .. }
            | EngineError::Setup { hint, .. }
            | EngineError::NotAnew { hint, .. } => hint.clone(),
            EngineError::DataStore { source, .. } | EngineError::EventStore { source, .. } => source.hint(),
            EngineError::Sink { source, .. } => source.hint(),
            EngineError::Service { source, .. } => source.hint(),
            EngineError::Publish { source: StreamConflict::DataStore(source), .. } => source.hint(),
            EngineError::Publish { source: StreamConflict::RejotPosition { .. }, .. } => Some(
                "they were not made from a Postgres source: DELETE the rows of rejot_events.rejot_event that are not wanted, or \
                 DROP TABLE rejot_events.rejot_event to go on without ReJot's events; then restart `pelton sync`"
                    .to_owned(),
            ),
            EngineError::Publish { source: StreamConflict::OtherSource { found, .. }, .. } => Some(format!(
                "publish a new major version from here, or let `source` be `{found}` again"
            )),
            EngineError::Mirror { source: MirrorConflict::DataStore(source), .. } => source.hint(),
            EngineError::Mirror { source: MirrorConflict::Cycle { .. }, .. } => {
                Some("let one of the mirrors be none: events come from where they are published".to_owned())
            }
            EngineError::Mirror { source: MirrorConflict::OtherStream { .. }, .. } => {
                Some("mirror into a database where nobody publishes it".to_owned())
            }
            EngineError::Publish { source: StreamConflict::Mirrored { .. }, .. } => Some(
                "publish it where it comes from, or a new major version here".to_owned(),
            ),
            EngineError::Publish { source: StreamConflict::Breaking { public_schema, major, .. }, .. } => Some(format!(
                "publish it as `{public_schema}` {}.0, beside {major} for as long as that is read, or bring back what it had; \
                 `pelton check --against deployed` tells it beforehand",
                major + 1
            )),
            EngineError::Component { source, .. } => source.hint(),
            EngineError::ReadComponent { path, .. } => {
                Some(format!("build it with `pelton build`, or correct `component: {path}` in the manifest"))
            }
            EngineError::BackfillRead { source, .. } => source.hint(),
            EngineError::PublicSql { source, .. } => source.hint(),
            EngineError::Backfill(error) => error.hint(),
            EngineError::Guest(error) => error.hint(),
            EngineError::Projection(error) => error.hint(),
            EngineError::Rejected { .. } => Some(
                "let the transform take this change, and restart `pelton sync`: what was written stays in the log, \
                      whatever becomes of the row at the source"
                    .to_owned(),
            ),
            EngineError::OutputSchema { .. } => Some(
                "correct `outputSchema` in the manifest, or what makes the row, and restart `pelton sync`; without `strict: \
                 true` such rows are counted and told in the log"
                    .to_owned(),
            ),
            EngineError::Unpublished { flows, add, .. } => Some(format!(
                "to copy the table anew: DELETE FROM rejot_data_store.flow WHERE flow IN ({}), and their rows in \
                 rejot_data_store.backfill, at the destination; empty the destination table; then restart `pelton sync`, \
                 which adds the table to the publication. To go on without those changes instead: {add}, and restart",
                flows.iter().map(|flow| quote_literal(flow)).collect::<Vec<_>>().join(", ")
            )),
            EngineError::PublicationGone { slug, slot, .. } => Some(format!(
                "start again with a backfill: SELECT pg_drop_replication_slot({}) at the source; at each destination \
                 DELETE FROM rejot_data_store.flow WHERE source_slug = {slug}, the same of rejot_data_store.backfill, and \
                 empty its tables; then restart `pelton sync`, which makes publication and slot",
                quote_literal(slot),
                slug = quote_literal(slug)
            )),
            EngineError::NotPublishedYet { destination, .. } => {
                Some(format!("bring destination `{destination}` back; this is tried again by itself"))
            }
            EngineError::PublicationChanged { .. }
            | EngineError::Reshaped { .. }
            | EngineError::HorizonMoved { .. } => None,
            EngineError::MirrorRow(_) => Some("run the same version of Pelton at both event stores".to_owned()),
            EngineError::EventsGone { consumer, gap: Gap::Removed, horizon, merged, .. } => {
                let on = format!("pelton consumers rewind {consumer} --to {horizon}");
                Some(match merged {
                    true => format!(
                        "empty its table and `pelton consumers rewind {consumer} --to start`, which brings every row; or, to go on \
                         without those events, `{on}`"
                    ),
                    false => format!("to go on without those events: `{on}`"),
                })
            }
            EngineError::EventsGone { gap: Gap::NoHistory, .. } => Some(
                "set `backfill: false` in its config: it takes what is still there, without the changes of rows that are not; and \
                 give the event store `retention: { compact: true }`, which keeps the newest event of each key"
                    .to_owned(),
            ),
            EngineError::NotPublishedHere { manifest, .. } => Some(format!(
                "run `pelton sync` with the manifest `{manifest}`, which publishes it; or correct `sourceManifestSlug` and \
                 `publicSchema` of the consumer"
            )),
            EngineError::SlotBeyondCheckpoint { .. } => Some(
                "run `pelton repair`: it makes the slot anew, compares the tables, writes what differs, and lets the flows \
                 go on from there"
                    .to_owned(),
            ),
            EngineError::OtherBranch { .. } | EngineError::LogEndsBefore { .. } => Some(
                "if this is the server to read from now, run `pelton repair`, which compares the tables, writes what differs, \
                 and lets the flows go on from there"
                    .to_owned(),
            ),
            EngineError::OtherCluster { .. } => Some(
                "point the manifest at the right cluster; or, if this one was restored in its place, run `pelton repair`, \
                 which compares the tables, writes what differs, and lets the flows go on from there"
                    .to_owned(),
            ),
            EngineError::OldRow { table } => Some(format!(
                "give {table} and all of its partitions the same replica identity: a primary key each, or \
                 ALTER TABLE … REPLICA IDENTITY FULL on each; then restart `pelton sync`"
            )),
            EngineError::BeingAltered { table } => Some(format!(
                "this passes once the transaction that locks {table} has ended; it may wait for a synchronous standby: \
                 SELECT pid, query FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            )),
            EngineError::Renamed { table, now } => Some(format!(
                "write {now} in the place of {table} in the manifest, or rename it back; then restart `pelton sync`, which \
                 goes on where it stopped"
            )),
            EngineError::Remade { table } => Some(format!(
                "to copy the new {table}: empty the destination table, DELETE the rows of its flow from \
                 rejot_data_store.flow and rejot_data_store.backfill at the destination, and restart `pelton sync`"
            )),
            EngineError::Decode { .. } | EngineError::Event(_) | EngineError::Bug(_) => {
                Some("this is a bug of Pelton: please report it with the log".to_owned())
            }
        }
    }

    /// Returns the error with its causes, and with the change that a guest failed on, where it was found.
    pub fn told(&self) -> String {
        let text = Chain(self).to_string();
        let EngineError::Guest(error) = self else { return text };
        match (error.place(), text.split_once('\n')) {
            (None, _) => text,
            (Some(place), None) => format!("{text}; {place}"),
            // What follows is where in its code a guest trapped.
            (Some(place), Some((first, frames))) => format!("{first}; {place}\n{frames}"),
        }
    }

    /// Returns true when this role may not do it. A service is always told: without that it would keep nothing.
    pub fn is_refused(&self) -> bool {
        matches!(self, EngineError::EventStore { source, .. } if source.is_refused())
    }

    /// Returns true for a bug of ours, which has an exit code of its own.
    pub fn is_bug(&self) -> bool {
        matches!(
            self,
            EngineError::Bug(_)
                | EngineError::Event(_)
                | EngineError::Decode { .. }
                | EngineError::Guest(GuestError::Gone { .. })
        )
    }
}

fn events_gone(slug: &str, consumer: &str, public_schema: &str, gap: Gap) -> String {
    match gap {
        Gap::Removed => {
            format!(
                "event store `{slug}` no longer has all events of `{public_schema}` that consumer `{consumer}` has not read"
            )
        }
        Gap::NoHistory => format!(
            "event store `{slug}` has removed the first events of `{public_schema}`, which consumer `{consumer}` would begin with"
        ),
    }
}

fn left(fork: &Option<Fork>) -> String {
    match fork {
        Some(Fork { timeline, at }) => format!("left timeline {timeline} at {at}"),
        None => "does not come from the one that the flow was fed from".to_owned(),
    }
}

fn count_on(flows: &[String]) -> String {
    let names = flows.iter().map(|flow| format!("`{flow}`")).collect::<Vec<_>>().join(", ");
    if flows.len() == 1 { format!("flow {names} counts") } else { format!("flows {names} count") }
}

/// Tells whether a server's error may pass by itself, by SQLSTATE class: connection, resources, operator intervention,
/// serialization, locks, and a server that is read-only for now. No SQLSTATE means that the connection broke.
fn is_transient(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        None => true,
        Some(code) => {
            let code = code.code();
            ["08", "53", "57", "58", "40"].iter().any(|class| code.starts_with(class))
                || ["55P03", "25006"].contains(&code)
                || is_old_segment(error)
                || is_old_plan(error)
        }
    }
}

/// Somebody has migrated what a statement was prepared for; the next attempt prepares it anew.
fn is_old_plan(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| error.routine() == Some("RevalidateCachedQuery"))
}

/// An event store's segment has ended and is gone; the next attempt appends to the newest one.
fn is_old_segment(error: &tokio_postgres::Error) -> bool {
    let error = error.as_db_error();
    error.is_some_and(|error| {
        error.code().code() == "23514" && error.constraint().is_none() && error.schema() == Some("rejot_events")
    })
}

/// Prints an error with its causes: `what: cause: cause`.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Link(self.0))?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {}", Link(error))?;
            cause = match error.downcast_ref::<tokio_postgres::Error>() {
                // Its cause is what the server said, which has been told.
                Some(error) if error.as_db_error().is_some() => None,
                _ => error.source(),
            };
        }
        Ok(())
    }
}

/// One error of a chain. What a server said comes without the values of rows, which its own text may quote.
struct Link<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::as_db_error) {
            Some(refused) => write!(f, "{}", ServerError::from(refused)),
            None => write!(f, "{}", self.0),
        }
    }
}
