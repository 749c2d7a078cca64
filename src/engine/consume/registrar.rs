//! Tells the event store how far its consumers are.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::super::failure::{Chain, EngineError};
use super::{Run, Upstream};
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
    streams: Vec<(String, String, i32)>,
    /// Cursors that were seen, and the position of the destination's log behind them.
    seen: Option<(Vec<ConsumerRow>, String)>,
    last: Instant,
    /// It may not be told.
    refused: bool,
}

impl<'a> Registrar<'a> {
    pub(super) fn new(run: &'a Run<'a>, destination: String, streams: &[Stream]) -> Registrar<'a> {
        let name = |stream: &Stream| (stream.manifest.clone(), stream.public_schema.clone(), stream.major);
        let streams = streams.iter().map(name).collect();
        Registrar { run, destination, streams, seen: None, last: Instant::now(), refused: false }
    }

    /// Tells it every now and then. Returns a consumer under which events were removed by force.
    pub(super) async fn tick(
        &mut self,
        client: &Client,
        upstream: &Upstream,
        rows: Vec<ConsumerRow>,
    ) -> Result<Option<String>, EngineError> {
        if self.last.elapsed() < REGISTER {
            return Ok(None);
        }
        self.last = Instant::now();
        let failed = |source| self.run.at_destination(DataStoreError::query("read the position of the log")(source));
        if let Some((rows, position)) = self.seen.take() {
            let sql = "SELECT pg_catalog.pg_current_wal_flush_lsn() >= $1::text::pg_lsn";
            if client.query_one(sql, &[&position]).await.map_err(failed)?.get(0) {
                let registered = self.register(upstream, &rows).await?;
                if let Some((consumer, _)) = registered.into_iter().find(|&(_, missed)| missed) {
                    return Ok(Some(consumer));
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

    /// Returns whether events were removed that each of them has not read. A role that may only read the event store consumes
    /// all the same.
    pub(super) async fn register(
        &mut self,
        upstream: &Upstream,
        rows: &[ConsumerRow],
    ) -> Result<Vec<(String, bool)>, EngineError> {
        if self.streams.is_empty() || self.refused {
            return Ok(Vec::new());
        }
        let is_there = |row: &&ConsumerRow| {
            let is_it = |(manifest, public_schema, major): &(String, String, i32)| {
                *manifest == row.source_manifest && *public_schema == row.public_schema && *major == row.major
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
