//! Tells the event store how far its consumers are.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::super::failure::{Chain, EngineError, Verdict};
use super::{Run, Upstream};
use crate::datastore::{ConsumerRow, DataStoreError};
use crate::eventstore;

/// How often.
const REGISTER: Duration = Duration::from_secs(5);

/// Tells the event store how far its consumers are, as far as the destination has flushed it: what is behind may be removed
/// there, and must never be needed again.
pub(super) struct Registrar<'a> {
    run: &'a Run<'a>,
    streams: usize,
    /// Cursors that were seen, and the position of the destination's log behind them.
    seen: Option<(Vec<ConsumerRow>, String)>,
    last: Instant,
    /// It may not be told.
    refused: bool,
}

impl<'a> Registrar<'a> {
    pub(super) fn new(run: &'a Run<'a>, streams: usize) -> Registrar<'a> {
        Registrar { run, streams, seen: None, last: Instant::now(), refused: false }
    }

    pub(super) async fn tick(
        &mut self,
        client: &Client,
        upstream: &Upstream,
        rows: Vec<ConsumerRow>,
    ) -> Result<(), EngineError> {
        if self.last.elapsed() < REGISTER {
            return Ok(());
        }
        self.last = Instant::now();
        let failed = |source| self.run.at_destination(DataStoreError::query("read the position of the log")(source));
        if let Some((rows, position)) = self.seen.take() {
            let sql = "SELECT pg_catalog.pg_current_wal_flush_lsn() >= $1::text::pg_lsn";
            if client.query_one(sql, &[&position]).await.map_err(failed)?.get(0) {
                self.register(upstream, &rows).await;
            }
        }
        let row = client.query_one("SELECT pg_catalog.pg_current_wal_insert_lsn()::text", &[]).await.map_err(failed)?;
        self.seen = Some((rows, row.get(0)));
        Ok(())
    }

    /// A role that may only read the event store consumes all the same.
    pub(super) async fn register(&mut self, upstream: &Upstream, rows: &[ConsumerRow]) {
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
        let registered = upstream.register(&self.run.context.manifest, &cursors).await;
        if let Err(error) = registered {
            // One that is away is told once it is back.
            if error.verdict() == Verdict::Retry {
                return;
            }
            self.refused = true;
            let hint = match upstream {
                Upstream::Store { .. } => {
                    "GRANT INSERT, UPDATE, SELECT ON rejot_events.consumer to this role".to_owned()
                }
                Upstream::Service { .. } => error.hint().unwrap_or_default(),
            };
            tracing::warn!(
                event_store = self.run.plan.store,
                hint,
                "it can't be told how far its consumers are, and may remove what they have not read: {}",
                Chain(&error)
            );
        }
    }
}
