//! Segments: what there is, a new one, and one that goes.

use std::time::Duration;

use tokio_postgres::Client;

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

/// Somebody who has been using the log for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    pub application: String,
    /// Since its transaction began.
    pub seconds: i64,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Holder { pid, application, seconds } = self;
        write!(f, "session {pid} (`{application}`), whose transaction has gone on for {seconds} s")
    }
}

/// Returns who has been using the log for longest; or else, since a detachment that is pending waits for it too, whoever has the
/// oldest snapshot in its database. Of sessions of other roles it may be that nothing but their lock is to be seen.
///
/// # Errors
/// What the server says.
pub(super) async fn holder(client: &Client) -> Result<Option<Holder>, DataStoreError> {
    let sql = "SELECT a.pid, a.application_name, extract(epoch FROM now() - a.xact_start)::bigint \
               FROM pg_catalog.pg_stat_activity AS a, LATERAL (SELECT EXISTS (SELECT FROM pg_catalog.pg_locks AS l \
               WHERE l.pid = a.pid AND l.granted AND l.relation = 'rejot_events.event'::regclass \
               AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())) AS uses) \
               AS log WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.datname = pg_catalog.current_database() \
               AND (uses OR a.backend_xmin IS NOT NULL) ORDER BY uses DESC, a.xact_start NULLS LAST LIMIT 1";
    let row = client.query_opt(sql, &[]).await.map_err(query("look who uses the log"))?;
    let holder = |row: tokio_postgres::Row| Holder {
        pid: row.get(0),
        application: row.get::<_, Option<String>>(1).unwrap_or_default(),
        seconds: row.get::<_, Option<i64>>(2).unwrap_or(0),
    };
    Ok(row.map(holder))
}

/// Closes a segment, so that nothing more is appended to it. Returns false when it has events that its streams' horizons don't
/// cover: somebody who had not heard that it ended has appended to it meanwhile.
///
/// # Errors
/// What the server says, which includes that whoever appends to it took too long. Readers are not waited for.
pub(super) async fn close(client: &mut Client, id: i32) -> Result<bool, DataStoreError> {
    let failed = || query("close a segment");
    let transaction = client.transaction().await.map_err(failed())?;
    let lock = format!(
        "SET LOCAL lock_timeout = '2s'; LOCK TABLE rejot_events.event_{id} IN SHARE ROW EXCLUSIVE MODE; \
         CREATE OR REPLACE TRIGGER closed BEFORE INSERT ON rejot_events.event_{id} \
         FOR EACH ROW EXECUTE FUNCTION rejot_events.closed()"
    );
    transaction.batch_execute(&lock).await.map_err(failed())?;
    // The index tells, without a look at what is gone.
    let empty = format!(
        "SELECT NOT EXISTS (SELECT FROM rejot_events.stream AS t, LATERAL (SELECT FROM rejot_events.event_{id} AS e \
         WHERE e.stream_id = t.id AND (e.epoch, e.commit_lsn, e.ordinal) \
         > (t.horizon_epoch, t.horizon_lsn, t.horizon_ordinal) LIMIT 1) AS found)"
    );
    if !transaction.query_one(&empty, &[]).await.map_err(failed())?.get::<_, bool>(0) {
        return Ok(false);
    }
    transaction.commit().await.map_err(failed())?;
    Ok(true)
}

/// Drops a segment that is closed. A crash in between leaves it to be gone on with.
///
/// Whoever uses the log now is waited for, for as long as `patience` lets it, and nobody else: those who come later do without
/// the segment. So slow readers one after another hold it up no longer than the slowest of them.
///
/// # Errors
/// What the server says, which includes that it took too long; then it is gone on with the next time.
pub(super) async fn drop_segment(client: &mut Client, id: i32, patience: Duration) -> Result<(), DataStoreError> {
    let failed = || query("drop a segment");
    let pending = format!(
        "SELECT inhdetachpending FROM pg_catalog.pg_inherits WHERE inhrelid = 'rejot_events.event_{id}'::regclass"
    );
    let how = match client.query_opt(&pending, &[]).await.map_err(failed())? {
        Some(row) if row.get(0) => Some("FINALIZE"),
        Some(_) => Some("CONCURRENTLY"),
        None => None,
    };
    if let Some(how) = how {
        let wait = format!("SET lock_timeout = {}", patience.as_millis().clamp(1, i32::MAX as u128));
        client.batch_execute(&wait).await.map_err(failed())?;
        let detach = format!("ALTER TABLE rejot_events.event DETACH PARTITION rejot_events.event_{id} {how}");
        let detached = client.batch_execute(&detach).await.map_err(failed());
        client.batch_execute("RESET lock_timeout").await.map_err(failed())?;
        detached?;
    }
    let transaction = client.transaction().await.map_err(failed())?;
    let sql = format!(
        "SET LOCAL lock_timeout = '2s'; DROP TABLE rejot_events.event_{id}; DELETE FROM rejot_events.segment WHERE id = {id}"
    );
    transaction.batch_execute(&sql).await.map_err(failed())?;
    transaction.commit().await.map_err(failed())
}
