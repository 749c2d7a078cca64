//! Merges the events of a stream into the newest of each key, some thousand at a time.
//!
//! An update lacks the columns that it left alone, so what is merged is laid on top of what was there. Where an update
//! changes the key, the row under the former key goes, and what the update lacks is taken from there: such an event is
//! always the first of a step, so that all that happened to the former key is merged already.

use tokio_postgres::types::{PgLsn, ToSql};
use tokio_postgres::{Client, Transaction};

use super::super::stream::position;
use super::super::{Position, query};
use crate::datastore::DataStoreError;

/// Events of one step, and bytes of their objects: for as long as it takes, consumers can't register.
const STEP: i64 = 5_000;
const STEP_BYTES: i64 = 16 << 20;

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The stream's horizon now.
    pub horizon: Position,
    pub events: u64,
}

/// What is to be merged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Merge {
    pub stream: i32,
    /// The last event that is to go.
    pub upto: Position,
    /// Keep the newest of each key.
    pub keep: bool,
    /// Go on though a consumer has not read it.
    pub force: bool,
    /// Look at so many events: a step ends in front of what it can't merge together with others.
    pub look: i64,
}

impl Merge {
    /// Looks at more or fewer events next, after a step that has taken so many.
    pub fn adapt(&mut self, taken: u64) {
        self.look = (taken as i64 * 2).clamp(16, STEP);
    }
}

/// Who holds events, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFor {
    pub manifest: String,
    pub consumer: String,
    pub cursor: Position,
}

/// Returns the consumer of a stream that has read least, with nobody registering until the transaction ends.
pub(super) async fn slowest(transaction: &Transaction<'_>, stream: i32) -> Result<Option<KeptFor>, DataStoreError> {
    let failed = || query("read how far consumers are");
    let lock = "SET LOCAL lock_timeout = '2s'; LOCK TABLE rejot_events.consumer IN SHARE ROW EXCLUSIVE MODE";
    transaction.batch_execute(lock).await.map_err(failed())?;
    let sql = "SELECT epoch, commit_lsn, ordinal, manifest_slug, consumer FROM rejot_events.consumer \
               WHERE stream_id = $1 AND NOT missed ORDER BY epoch, commit_lsn, ordinal LIMIT 1";
    let row = transaction.query_opt(sql, &[&stream]).await.map_err(failed())?;
    Ok(row.map(|row| KeptFor { cursor: position(&row, 0), manifest: row.get(3), consumer: row.get(4) }))
}

/// Merges the next events of a stream. Returns `Err(KeptFor)` inside when a consumer has not read them; `None` when there are
/// none up to there.
///
/// # Errors
/// What the server says.
pub(super) async fn step(client: &mut Client, merge: &Merge) -> Result<Result<Option<Step>, KeptFor>, DataStoreError> {
    let failed = || query("merge events");
    let transaction = client.transaction().await.map_err(failed())?;
    let slowest = slowest(&transaction, merge.stream).await?;
    let upto = match &slowest {
        Some(slowest) if !merge.force => merge.upto.min(slowest.cursor),
        _ => merge.upto,
    };
    let sql =
        "SELECT horizon_epoch, horizon_lsn, horizon_ordinal FROM rejot_events.stream WHERE id = $1 FOR NO KEY UPDATE";
    let row = transaction.query_one(sql, &[&merge.stream]).await.map_err(failed())?;
    let horizon = position(&row, 0);
    let sql = format!(
        "WITH batch AS (SELECT e.epoch, e.commit_lsn, e.ordinal, \
         row_number() OVER (ORDER BY e.epoch, e.commit_lsn, e.ordinal) AS n, e.operation = 'truncate' AS truncates, \
         CASE WHEN e.attributes::jsonb ? 'oldKey' \
         THEN (SELECT count(*) FROM jsonb_object_keys(e.object::jsonb)) < jsonb_array_length(s.columns) END AS carries, sum(coalesce(pg_column_size(e.object), 0)) OVER (ORDER BY e.epoch, e.commit_lsn, e.ordinal) \
         AS bytes FROM (SELECT * FROM rejot_events.event WHERE {BETWEEN} \
         ORDER BY epoch, commit_lsn, ordinal LIMIT {look}) AS e JOIN rejot_events.shape AS s ON s.id = e.shape_id) \
         SELECT epoch, commit_lsn, ordinal, (SELECT truncates FROM batch WHERE n = 1) FROM batch \
         WHERE n < coalesce((SELECT min(n) FROM batch WHERE n > 1 AND (truncates OR carries OR bytes > {STEP_BYTES}) \
         OR n = 2 AND (SELECT truncates FROM batch WHERE n = 1)), 9223372036854775807) ORDER BY n DESC LIMIT 1",
        look = merge.look,
    );
    let bounds = Bounds::new(merge.stream, horizon, upto);
    let next = transaction.query_opt(&sql, &bounds.parameters()).await.map_err(failed())?;
    let Some(next) = next else {
        transaction.commit().await.map_err(failed())?;
        return Ok(match slowest {
            Some(kept) if !merge.force && kept.cursor < merge.upto => Err(kept),
            _ => Ok(None),
        });
    };
    let (reached, truncates): (Position, bool) = (position(&next, 0), next.get(3));
    let bounds = Bounds::new(merge.stream, horizon, reached);
    let parameters = bounds.parameters();
    let events = if merge.keep && !truncates {
        transaction.query_one(&merge_sql(), &parameters).await.map_err(failed())?.get::<_, i64>(0) as u64
    } else {
        // Of a stream that is emptied here nothing is left that was in front of it.
        let emptied = "DELETE FROM rejot_events.event_0 WHERE stream_id = $1";
        transaction.execute(emptied, &[&merge.stream]).await.map_err(failed())?;
        let sql = format!("DELETE FROM rejot_events.event WHERE {BETWEEN}");
        transaction.execute(&sql, &parameters).await.map_err(failed())?
    };
    let merged = if truncates { Some(true) } else { (!merge.keep).then_some(false) };
    move_horizon(&transaction, merge.stream, reached, merged).await?;
    transaction.commit().await.map_err(failed())?;
    Ok(Ok(Some(Step { horizon: reached, events })))
}

/// Moves a stream's horizon, and marks who has not read up to there. `merged` says whether the newest of each key is there.
pub(super) async fn move_horizon(
    transaction: &Transaction<'_>,
    stream: i32,
    horizon: Position,
    merged: Option<bool>,
) -> Result<(), DataStoreError> {
    let failed = || query("move the horizon of a stream");
    let lsn = PgLsn::from(horizon.commit_lsn.0);
    let sql = "UPDATE rejot_events.stream SET horizon_epoch = $2, horizon_lsn = $3, horizon_ordinal = $4, \
               merged = coalesce($5, merged) WHERE id = $1";
    let parameters: [&(dyn ToSql + Sync); 5] = [&stream, &horizon.epoch, &lsn, &horizon.ordinal, &merged];
    transaction.execute(sql, &parameters).await.map_err(failed())?;
    // Who has not begun, and only has not said so yet, takes it back when it registers.
    let sql = "UPDATE rejot_events.consumer SET missed = true \
               WHERE stream_id = $1 AND (epoch, commit_lsn, ordinal) < ($2, $3, $4)";
    transaction.execute(sql, &parameters[..4]).await.map(drop).map_err(failed())
}

/// Events of stream $1 behind one position and up to another that are in some segment of time.
const BETWEEN: &str = "stream_id = $1 AND segment <> 0 AND (epoch, commit_lsn, ordinal) > ($2, $3, $4) \
                       AND (epoch, commit_lsn, ordinal) <= ($5, $6, $7)";

struct Bounds {
    stream: i32,
    after: (i32, PgLsn, i64),
    upto: (i32, PgLsn, i64),
}

impl Bounds {
    fn new(stream: i32, after: Position, upto: Position) -> Bounds {
        let parts = |at: Position| (at.epoch, PgLsn::from(at.commit_lsn.0), at.ordinal);
        Bounds { stream, after: parts(after), upto: parts(upto) }
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 7] {
        let Bounds { stream, after, upto } = self;
        [stream, &after.0, &after.1, &after.2, &upto.0, &upto.1, &upto.2]
    }
}

/// Returns the statement that takes the events of a step away and puts the newest of each key in their place.
///
/// `piece` is what happens to a key, in order; one that `resets` needs nothing of what was there before. `flags` says of each
/// column of a piece whether it holds the JSON value null, where any does.
fn merge_sql() -> String {
    let is_key = |base: &str, key: &str| {
        format!("{base}.stream_id = $1 AND md5({base}.key) = md5({key}::text) AND {base}.key = {key}::text")
    };
    let flags_of = "(SELECT jsonb_object_agg(k, coalesce(n.attributes -> 'jsonNull' ? k, false)) \
                    FROM jsonb_object_keys(n.object) AS k)";
    format!(
        "WITH taken AS (DELETE FROM rejot_events.event WHERE {BETWEEN} \
         RETURNING epoch, commit_lsn, ordinal, shape_id, operation, key::jsonb, object::jsonb, attributes::jsonb), \
         numbered AS MATERIALIZED (SELECT *, row_number() OVER (ORDER BY epoch, commit_lsn, ordinal) AS n FROM taken), \
         carried AS MATERIALIZED (SELECT o.object::jsonb, o.attributes::jsonb FROM numbered AS n JOIN rejot_events.event_0 AS o \
         ON {of_old_key} WHERE n.n = 1 AND n.attributes ? 'oldKey'), \
         has_null AS MATERIALIZED (SELECT EXISTS (SELECT FROM numbered WHERE attributes ? 'jsonNull') \
         OR EXISTS (SELECT FROM carried WHERE attributes ? 'jsonNull') AS found), \
         piece AS (SELECT n.attributes -> 'oldKey' AS key, n.n, n.epoch, n.commit_lsn, n.ordinal, n.shape_id, true AS resets, \
         NULL::jsonb AS object, NULL::jsonb AS flags FROM numbered AS n WHERE n.attributes ? 'oldKey' \
         UNION ALL SELECT n.key, n.n, n.epoch, n.commit_lsn, n.ordinal, n.shape_id, n.operation <> 'update' OR coalesce(n.attributes ? 'oldKey', false), \
         CASE WHEN n.operation = 'delete' THEN NULL \
         WHEN n.n = 1 THEN coalesce((SELECT object FROM carried), '{{}}') || n.object ELSE n.object END, \
         CASE WHEN n.operation = 'delete' OR NOT (SELECT found FROM has_null) THEN NULL \
         WHEN n.n = 1 THEN coalesce((SELECT jsonb_object_agg(k, true) FROM carried, \
         jsonb_array_elements_text(carried.attributes -> 'jsonNull') AS k), '{{}}') || {flags_of} ELSE {flags_of} END \
         FROM numbered AS n WHERE n.key IS NOT NULL), \
         marked AS (SELECT *, max(n) FILTER (WHERE resets) OVER (PARTITION BY key) AS since FROM piece), \
         merged AS MATERIALIZED (SELECT key, max(since) AS since, \
         (array_agg(object IS NULL ORDER BY n DESC, object IS NULL))[1] AS ends, \
         (array_agg(epoch ORDER BY n DESC))[1] AS epoch, (array_agg(commit_lsn ORDER BY n DESC))[1] AS commit_lsn, \
         (array_agg(ordinal ORDER BY n DESC))[1] AS ordinal, (array_agg(shape_id ORDER BY n DESC))[1] AS shape_id, \
         rejot_events.merge(object ORDER BY n) FILTER (WHERE n >= coalesce(since, 0)) AS object, \
         rejot_events.merge(flags ORDER BY n) FILTER (WHERE n >= coalesce(since, 0)) AS flags \
         FROM marked GROUP BY key), \
         gone AS (DELETE FROM rejot_events.event_0 AS b USING merged AS k WHERE {of_key}), \
         kept AS (INSERT INTO rejot_events.event (stream_id, epoch, commit_lsn, ordinal, segment, shape_id, operation, xid, \
         key, object, attributes) \
         SELECT $1, k.epoch, k.commit_lsn, k.ordinal, 0, k.shape_id, \
         CASE WHEN k.since IS NOT NULL OR b.operation = 'insert' THEN 'insert' ELSE 'update' END, 0, k.key::text, \
         (coalesce(b.object, '{{}}') || k.object)::text, \
         (SELECT jsonb_build_object('jsonNull', jsonb_agg(c ORDER BY c)) FROM \
         (SELECT f.key AS c FROM jsonb_each(k.flags) AS f WHERE f.value = 'true' \
         UNION SELECT o FROM jsonb_array_elements_text(b.attributes -> 'jsonNull') AS o WHERE NOT k.object ? o) AS nulls \
         HAVING count(*) > 0)::text \
         FROM merged AS k LEFT JOIN LATERAL (SELECT b.operation, b.object::jsonb AS object, b.attributes::jsonb AS attributes FROM rejot_events.event_0 AS b \
         WHERE {of_key}) AS b ON k.since IS NULL WHERE NOT k.ends) \
         SELECT count(*) FROM taken",
        of_old_key = is_key("o", "(n.attributes -> 'oldKey')"),
        of_key = is_key("b", "k.key"),
    )
}
