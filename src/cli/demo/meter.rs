//! The live line: how fast rows are written, how far the destination is behind, how much it has.
//!
//! The lag in bytes is Postgres's own account: WAL that the slot's consumer has not confirmed. The lag in milliseconds
//! is measured, once a second: a row is changed at the source, and the clock stops when the destination shows it.

use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;

use super::child::Sync;
use super::flows::Flow;
use super::shop::{PROBE, Written};
use super::show::{bytes, grouped, talk};
use super::{DemoError, PATIENCE, Result};

/// How long a line waits for its probe; what takes longer is shown as "more than".
const PROBE_PATIENCE: Duration = Duration::from_millis(900);
/// How long the row counts may stand still, short of the source's, before the comparison has to say what is missing.
const COUNTS_PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

/// Watches both sides of the stream.
pub(super) struct Meter<'a> {
    source: &'a Client,
    destination: &'a Client,
    flows: &'a [Flow],
    /// On a terminal one line is written over and over.
    rewrites: bool,
    /// What the probe says; it only grows.
    pulse: i64,
}

impl<'a> Meter<'a> {
    pub fn new(source: &'a Client, destination: &'a Client, flows: &'a [Flow], rewrites: bool) -> Meter<'a> {
        Meter { source, destination, flows, rewrites, pulse: 1_000 }
    }

    /// Shows a line a second while `writing` goes on; fails as soon as the sync ends.
    pub async fn watch(
        &mut self,
        writing: impl Future<Output = Result<Written>>,
        mut progress: watch::Receiver<Written>,
        sync: &mut Sync,
    ) -> Result<Written> {
        let done = Notify::new();
        let writing = async {
            let written = writing.await;
            done.notify_one();
            written
        };
        let rewrites = self.rewrites;
        let watching = async {
            let begun = Instant::now();
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            let mut last = (begun, *progress.borrow_and_update());
            loop {
                tokio::select! {
                    () = done.notified() => return Ok(()),
                    _ = ticks.tick() => {}
                }
                sync.check()?;
                let now = (Instant::now(), *progress.borrow_and_update());
                let rate = (now.1.rows - last.1.rows) as f64 / (now.0 - last.0).as_secs_f64();
                last = now;
                let line = format!(
                    "{:>4} s   written {:>7} rows/s   lag {}   destination {} rows",
                    begun.elapsed().as_secs(),
                    grouped(rate.round() as u64),
                    self.lag().await?,
                    grouped(self.rows_at_destination().await?),
                );
                if rewrites { eprint!("\r\x1b[K{line}") } else { talk(line) }
            }
        };
        let both = tokio::try_join!(writing, watching);
        if rewrites {
            eprintln!();
        }
        Ok(both?.0)
    }

    /// Waits until the destination shows the last write and as many rows as it must have; returns how long that took.
    ///
    /// `None` if the rows don't become as many; then comparing tells which. Fails if the last write never shows.
    pub async fn wait_until_caught_up(&mut self, sync: &mut Sync) -> Result<Option<Duration>> {
        let begun = Instant::now();
        let pulse = self.beat().await?;
        let mut expected = Vec::new();
        for flow in self.flows {
            expected.push(count(self.source, &format!("SELECT count(*) FROM ({}) AS e", flow.expected)).await?);
        }
        let mut changed = (Instant::now(), Vec::new());
        loop {
            sync.check()?;
            let rows = self.rows_by_flow().await?;
            let shown = self.shown().await?.is_some_and(|shown| shown >= pulse);
            if shown && rows == expected {
                return Ok(Some(begun.elapsed()));
            }
            if rows != changed.1 {
                changed = (Instant::now(), rows);
            }
            let still = changed.0.elapsed();
            if shown && still > COUNTS_PATIENCE {
                return Ok(None);
            }
            if still > PATIENCE {
                return Err(DemoError::StoodStill { seconds: PATIENCE.as_secs(), log: sync.log() });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Measures how far the destination is behind, in bytes and in time.
    async fn lag(&mut self) -> Result<String> {
        let begun = Instant::now();
        let pulse = self.beat().await?;
        let late = loop {
            match self.shown().await? {
                Some(shown) if shown >= pulse => break format!("{} ms", grouped(begun.elapsed().as_millis() as u64)),
                _ if begun.elapsed() > PROBE_PATIENCE => break format!("> {} ms", PROBE_PATIENCE.as_millis()),
                _ => tokio::time::sleep(POLL).await,
            }
        };
        let sql = "SELECT coalesce((SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn) \
                   FROM pg_replication_slots WHERE slot_name = 'pelton_shop'), 0)::bigint";
        let behind = count(self.source, sql).await?;
        Ok(format!("{:>8}, {late:>8}", bytes(behind)))
    }

    /// Changes the probe at the source, and returns what it says now.
    async fn beat(&mut self) -> Result<i64> {
        self.pulse += 1;
        let sql = format!("UPDATE customers SET visits = {} WHERE id = {PROBE}", self.pulse);
        let fail = |source| DemoError::Sql { act: "change a row to measure the lag by", source };
        self.source.batch_execute(&sql).await.map_err(fail)?;
        Ok(self.pulse)
    }

    /// Returns what the probe says at the destination, `None` while it isn't there.
    async fn shown(&self) -> Result<Option<i64>> {
        if self.tables().await?.is_empty() {
            return Ok(None);
        }
        let sql = format!("SELECT visits::bigint FROM public.customers WHERE id = {PROBE}");
        let fail = |source| DemoError::Sql { act: "look for a row at the destination", source };
        Ok(self.destination.query_opt(&sql, &[]).await.map_err(fail)?.map(|row| row.get(0)))
    }

    async fn rows_at_destination(&self) -> Result<u64> {
        Ok(self.rows_by_flow().await?.iter().sum())
    }

    /// Counts the destination's rows, flow by flow; nothing before its tables are all there.
    async fn rows_by_flow(&self) -> Result<Vec<u64>> {
        let mut rows = Vec::new();
        for table in self.tables().await? {
            rows.push(count(self.destination, &format!("SELECT count(*) FROM {table}")).await?);
        }
        Ok(rows)
    }

    /// Returns the destination's tables, none before they are all there.
    async fn tables(&self) -> Result<Vec<&'static str>> {
        let tables = self.flows.iter().map(|flow| flow.table).collect::<Vec<_>>();
        let sql = "SELECT count(*) FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL";
        let fail = |source| DemoError::Sql { act: "look for the destination's tables", source };
        let missing: i64 = self.destination.query_one(sql, &[&tables]).await.map_err(fail)?.get(0);
        Ok(if missing == 0 { tables } else { Vec::new() })
    }
}

async fn count(client: &Client, sql: &str) -> Result<u64> {
    let fail = |source| DemoError::Sql { act: "count rows", source };
    Ok(client.query_one(sql, &[]).await.map_err(fail)?.get::<_, i64>(0).max(0).unsigned_abs())
}
