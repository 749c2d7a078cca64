//! Segments: what there is, a new one, and one that goes.

use tokio_postgres::{Client, Transaction};

use super::super::query;
use crate::datastore::DataStoreError;

/// A stretch of time of an event store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub id: i32,
    /// Seconds since it began.
    pub age_seconds: i64,
    /// Seconds since another one followed; `None` while events are appended to it.
    pub ended_seconds: Option<i64>,
    /// With its index.
    pub bytes: u64,
    /// Roughly.
    pub events: u64,
}

/// Returns the segments, the oldest first.
///
/// # Errors
/// What the server says.
pub async fn segments(client: &Client) -> Result<Vec<Segment>, DataStoreError> {
    let sql = "SELECT g.id, extract(epoch FROM now() - g.began_at)::bigint, \
               extract(epoch FROM now() - g.ended_at)::bigint, pg_catalog.pg_total_relation_size(c.oid), \
               greatest(c.reltuples, 0)::bigint \
               FROM rejot_events.segment AS g JOIN pg_catalog.pg_class AS c ON c.relname = 'event_' || g.id \
               AND c.relnamespace = 'rejot_events'::regnamespace ORDER BY g.id";
    let rows = client.query(sql, &[]).await.map_err(query("read the segments"))?;
    let segment = |row: &tokio_postgres::Row| Segment {
        id: row.get(0),
        age_seconds: row.get(1),
        ended_seconds: row.get(2),
        bytes: row.get::<_, i64>(3) as u64,
        events: row.get::<_, i64>(4) as u64,
    };
    Ok(rows.iter().map(segment).collect())
}

/// Returns the segment that events are appended to.
///
/// # Errors
/// What the server says.
pub async fn newest_segment(client: &Client) -> Result<i32, DataStoreError> {
    let row = client.query_one("SELECT max(id) FROM rejot_events.segment", &[]).await;
    row.map(|row| row.get(0)).map_err(query("read the newest segment"))
}

/// Ends the segment that is appended to, and begins another one. Publishers that run go over to it a little later.
///
/// # Errors
/// What the server says.
pub async fn roll(client: &mut Client) -> Result<i32, DataStoreError> {
    let failed = || query("begin a segment");
    let transaction = client.transaction().await.map_err(failed())?;
    transaction.batch_execute("SET LOCAL lock_timeout = '2s'").await.map_err(failed())?;
    let ended = "UPDATE rejot_events.segment SET ended_at = now() WHERE ended_at IS NULL RETURNING id";
    transaction.query(ended, &[]).await.map_err(failed())?;
    let begun = "INSERT INTO rejot_events.segment (id) SELECT max(id) + 1 FROM rejot_events.segment RETURNING id";
    let id: i32 = transaction.query_one(begun, &[]).await.map_err(failed())?.get(0);
    // To attach one holds nobody up, where making it in its place would.
    let make = format!(
        "CREATE TABLE rejot_events.event_{id} (LIKE rejot_events.event); \
         ALTER TABLE rejot_events.event ATTACH PARTITION rejot_events.event_{id} FOR VALUES IN ({id})"
    );
    transaction.batch_execute(&make).await.map_err(failed())?;
    transaction.commit().await.map_err(failed())?;
    Ok(id)
}

/// Drops a segment in the transaction that is open. Whoever reads or appends is waited for, not for long.
///
/// # Errors
/// What the server says, which includes that it took too long.
pub(super) async fn drop_segment(transaction: &Transaction<'_>, id: i32) -> Result<(), DataStoreError> {
    let sql = format!("DROP TABLE rejot_events.event_{id}; DELETE FROM rejot_events.segment WHERE id = {id}");
    transaction.batch_execute(&sql).await.map_err(query("drop a segment"))
}

/// Takes the lock under which a segment may be dropped.
///
/// # Errors
/// What the server says, which includes that it took too long.
pub(super) async fn lock_events(transaction: &Transaction<'_>) -> Result<(), DataStoreError> {
    let sql = "SET LOCAL lock_timeout = '1s'; LOCK TABLE rejot_events.event IN ACCESS EXCLUSIVE MODE";
    transaction.batch_execute(sql).await.map_err(query("wait for those who read and append"))
}
