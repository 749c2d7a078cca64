//! Tells the event store how far its consumers are.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::super::failure::{Chain, EngineError, Verdict};
use super::super::upstream::Upstream;
use super::once::Run;
use crate::datastore::{self, ConsumerRow, DataStoreError};
use crate::eventstore::{self, Deployment, Stream};

/// How often.
const REGISTER: Duration = Duration::from_secs(5);

/// Tells the event store how far its consumers are, as far as the destination has flushed it: what is behind may be removed
/// there, and must never be needed again.
pub(super) struct Registrar<'a> {
    run: &'a Run<'a>,
    /// The UUID of the destination.
    destination: String,
    /// What is published there.
    streams: Vec<Stream>,
    /// Cursors that were seen, and the position of the destination's log behind them.
    seen: Option<(Vec<ConsumerRow>, String)>,
    last: Instant,
    /// It may not be told.
    refused: bool,
    /// That it could not be told for now has been said.
    told: bool,
}

/// Whether a consumer can go on.
pub(super) enum Heard {
    /// Events that it has not read were removed.
    Missed,
    Refused(EngineError),
}

impl<'a> Registrar<'a> {
    pub(super) fn new(run: &'a Run<'a>, destination: String, streams: &[Stream]) -> Registrar<'a> {
        let streams = streams.to_vec();
        Registrar { run, destination, streams, seen: None, last: Instant::now(), refused: false, told: false }
    }

    /// Tells it every now and then. Returns a consumer that can't go on. A service that can't be told for now is told later: it
    /// keeps what it was told to keep before, and lanes that read go on.
    pub(super) async fn tick(
        &mut self,
        client: &Client,
        upstream: &Upstream,
        rows: Vec<ConsumerRow>,
    ) -> Result<Option<(String, Heard)>, EngineError> {
        if self.last.elapsed() < REGISTER {
            return Ok(None);
        }
        self.last = Instant::now();
        let failed = |source| self.run.at_destination(DataStoreError::query("read the position of the log")(source));
        if let Some((rows, position)) = self.seen.take() {
            let sql = "SELECT pg_catalog.pg_current_wal_flush_lsn() >= $1::text::pg_lsn";
            if client.query_one(sql, &[&position]).await.map_err(failed)?.get(0) {
                let registered = match self.register(upstream, &rows).await {
                    Ok(registered) => registered,
                    Err(error) if is_put_off(&error) => {
                        if !std::mem::replace(&mut self.told, true) {
                            let event_store = &self.run.plan.store;
                            tracing::warn!(
                                event_store,
                                "it could not be told how far its consumers are: {}",
                                Chain(&error)
                            );
                        }
                        Vec::new()
                    }
                    Err(error) => return Err(error),
                };
                self.told &= registered.is_empty();
                if let Some(heard) = registered.into_iter().find_map(cannot_go_on) {
                    return Ok(Some(heard));
                }
            }
        }
        let row = client.query_one("SELECT pg_catalog.pg_current_wal_insert_lsn()::text", &[]).await.map_err(failed)?;
        self.seen = Some((rows, row.get(0)));
        Ok(None)
    }

    /// Tells it where its consumers have ended, for it may be long until they run again.
    pub(super) async fn last(&mut self, client: &Client, upstream: &Upstream) -> Result<(), EngineError> {
        let manifest = &self.run.context.manifest;
        let names: Vec<&str> = self.run.plan.consumers.iter().map(|consumer| &*consumer.name).collect();
        let rows = datastore::flushed_consumers(client, manifest, &names).await;
        let rows = rows.map_err(|source| self.run.at_destination(source))?;
        self.register(upstream, &rows).await.map(drop)
    }

    /// Returns whether events were removed that each of them has not read, or why it is refused. A role that may only read the
    /// event store consumes all the same.
    pub(super) async fn register(
        &mut self,
        upstream: &Upstream,
        rows: &[ConsumerRow],
    ) -> Result<Vec<(String, Result<bool, EngineError>)>, EngineError> {
        if self.streams.is_empty() || self.refused {
            return Ok(Vec::new());
        }
        // A cursor of another stream of the same name would hold what it has nothing to do with.
        let is_there = |row: &&ConsumerRow| {
            let is_it = |stream: &Stream| {
                stream.manifest == row.source_manifest
                    && stream.public_schema == row.public_schema
                    && stream.major == row.major
                    && row.origin.as_ref().is_none_or(|origin| *origin == stream.origin)
            };
            self.streams.iter().any(is_it)
        };
        let cursors: Vec<eventstore::Registered<'_>> = rows
            .iter()
            .filter(is_there)
            .map(|row| eventstore::Registered {
                consumer: &row.consumer,
                source_manifest: &row.source_manifest,
                public_schema: &row.public_schema,
                major: row.major,
                cursor: row.cursor,
                origin: row.origin.as_deref(),
            })
            .collect();
        let of = Deployment { manifest: &self.run.context.manifest, destination: &self.destination };
        match upstream.register(of, &cursors).await {
            Ok(registered) => return Ok(registered),
            Err(error) if !error.is_refused() => return Err(error),
            Err(error) => {
                self.refused = true;
                tracing::warn!(
                    event_store = self.run.plan.store,
                    hint = "GRANT INSERT, UPDATE, SELECT ON rejot_events.consumer to this role",
                    "it can't be told how far its consumers are, and may remove what they have not read: {}",
                    Chain(&error)
                );
            }
        }
        Ok(Vec::new())
    }
}

/// Tells whether a service may be told later.
pub(super) fn is_put_off(error: &EngineError) -> bool {
    matches!(error, EngineError::Service { .. }) && error.verdict() == Verdict::Retry
}

fn cannot_go_on((consumer, heard): (String, Result<bool, EngineError>)) -> Option<(String, Heard)> {
    match heard {
        Ok(false) => None,
        Ok(true) => Some((consumer, Heard::Missed)),
        Err(error) => Some((consumer, Heard::Refused(error))),
    }
}
