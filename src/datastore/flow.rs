//! The rows of `rejot_data_store.flow`: checkpoints and their owner.

use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Row};

use super::{DataStoreError, former};
use crate::lsn::Lsn;

/// Which flows: those of one manifest from one source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    pub manifest: String,
    pub source: String,
}

/// A flow that the manifest asks for.
#[derive(Clone, Debug)]
pub struct NewFlow {
    pub flow: String,
    pub public_schema: String,
    pub major: i32,
    /// Rows that existed before are wanted: the name of the backfill that it takes part in.
    pub backfill: Option<String>,
}

/// A flow's row.
#[derive(Clone, Debug)]
pub struct FlowRow {
    pub flow: String,
    pub public_schema: String,
    pub major: i32,
    pub epoch: i32,
    /// Every transaction whose commit record lies before it is applied.
    pub lsn: Lsn,
    /// Microseconds since 1970-01-01 UTC.
    pub commit_time: Option<i64>,
    /// `pg_control_system()`'s identifier of the source, as text.
    pub system_identifier: String,
    /// The timeline that `lsn` lies on, where it is known.
    pub timeline: Option<u32>,
    pub slot_name: String,
    /// While rows that existed before the flow are still to be copied: the backfill that it takes part in.
    pub backfill: Option<String>,
    /// Set while the flow is stopped or paused.
    pub problem: Option<String>,
    pub hint: Option<String>,
    pub rows_applied: i64,
    /// The flow no longer holds the source's log back: it starts anew, and its checkpoint is of no use any more.
    pub released: bool,
    /// It is tried again without anybody's help.
    pub paused: bool,
}

// Through jsonb, since a table that nobody has migrated yet lacks the last ones.
const COLUMNS: &str = "flow, public_schema_name, public_schema_major_version, epoch, lsn, \
     (extract(epoch FROM commit_time) * 1000000)::bigint, system_identifier::text, slot_name, backfill, problem, hint, \
     rows_applied, (to_jsonb(flow.*) ->> 'released_at') IS NOT NULL, \
     coalesce((to_jsonb(flow.*) ->> 'paused')::boolean, false), (to_jsonb(flow.*) ->> 'timeline')::integer";

impl FlowRow {
    fn from_row(row: &Row) -> FlowRow {
        FlowRow {
            flow: row.get(0),
            public_schema: row.get(1),
            major: row.get(2),
            epoch: row.get(3),
            lsn: Lsn(row.get::<_, PgLsn>(4).into()),
            commit_time: row.get(5),
            system_identifier: row.get(6),
            slot_name: row.get(7),
            backfill: row.get(8),
            problem: row.get(9),
            hint: row.get(10),
            rows_applied: row.get(11),
            released: row.get(12),
            paused: row.get(13),
            timeline: row.get::<_, Option<i32>>(14).map(i32::cast_unsigned),
        }
    }
}

/// The flows of a scope in one destination, and the right to write them.
#[derive(Clone, Debug)]
pub struct Owned {
    pub scope: Scope,
    pub token: i64,
    /// All flows that the destination has of this scope, also those that the manifest no longer names.
    pub flows: Vec<FlowRow>,
}

impl Owned {
    /// Says that another process has taken the flows over.
    pub(super) fn stale(&self) -> DataStoreError {
        DataStoreError::StaleOwner { manifest: self.scope.manifest.clone(), source_slug: self.scope.source.clone() }
    }
}

/// Where a flow begins that has no checkpoint yet.
#[derive(Clone, Debug)]
pub struct Start {
    pub lsn: Lsn,
    pub system_identifier: String,
    pub timeline: u32,
    pub slot_name: String,
}

/// Returns the flows of a scope as they stand. For [`take_over`]'s caller and for `status`; nothing is locked.
///
/// # Errors
/// What the server says; a database without our tables has no flows.
pub async fn flows(client: &Client, scope: &Scope) -> Result<Vec<FlowRow>, DataStoreError> {
    let exists = client
        .query_one("SELECT to_regclass('rejot_data_store.flow') IS NOT NULL", &[])
        .await
        .map_err(DataStoreError::query("look for the table of flows"))?;
    if !exists.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM rejot_data_store.flow WHERE manifest_slug = $1 AND source_slug = $2 ORDER BY flow"
    );
    let rows =
        client.query(&sql, &[&scope.manifest, &scope.source]).await.map_err(DataStoreError::query("read the flows"))?;
    Ok(rows.iter().map(FlowRow::from_row).collect())
}

/// Takes over all flows of a scope and makes those of `wanted` that are missing, beginning at `start`.
///
/// Waits for a transaction of the former owner that is in flight: its checkpoint is in what is returned, and no later
/// one of it can commit. One that is paused inside of it is not waited for for long ([`super::former`]). Flows that were
/// stopped are tried again, but for those of `stopped`, which stay as they
/// are.
///
/// # Errors
/// What the server says.
pub async fn take_over(
    client: &mut Client,
    scope: &Scope,
    wanted: &[NewFlow],
    stopped: &[String],
    start: &Start,
) -> Result<Owned, DataStoreError> {
    loop {
        match try_take_over(client, scope, wanted, stopped, start).await {
            Ok(taken) => return Ok(taken),
            Err(failed) => former::make_room(client, "rejot_data_store.flow", failed).await?,
        }
    }
}

async fn try_take_over(
    client: &mut Client,
    scope: &Scope,
    wanted: &[NewFlow],
    stopped: &[String],
    start: &Start,
) -> Result<Owned, DataStoreError> {
    let query = DataStoreError::query;
    let transaction = client.transaction().await.map_err(query("begin a takeover"))?;
    transaction.batch_execute(former::LOCK_WAIT).await.map_err(query("begin a takeover"))?;
    for flow in wanted {
        let sql = "INSERT INTO rejot_data_store.flow (manifest_slug, source_slug, flow, public_schema_name, \
                   public_schema_major_version, epoch, lsn, system_identifier, slot_name, backfill, timeline) \
                   VALUES ($1, $2, $3, $4, $5, coalesce((SELECT max(epoch) FROM rejot_data_store.flow \
                   WHERE manifest_slug = $1 AND source_slug = $2), 1), $6, $7::text::numeric, $8, $9, $10) \
                   ON CONFLICT DO NOTHING";
        let lsn = PgLsn::from(start.lsn.0);
        transaction
            .execute(
                sql,
                &[
                    &scope.manifest,
                    &scope.source,
                    &flow.flow,
                    &flow.public_schema,
                    &flow.major,
                    &lsn,
                    &start.system_identifier,
                    &start.slot_name,
                    &flow.backfill,
                    &start.timeline.cast_signed(),
                ],
            )
            .await
            .map_err(query("make a flow"))?;
    }
    // The locks first: what the former owner commits until then is seen by the statement that follows.
    let lock = "SELECT owner FROM rejot_data_store.flow WHERE manifest_slug = $1 AND source_slug = $2 ORDER BY flow FOR UPDATE";
    let owners = transaction
        .query(lock, &[&scope.manifest, &scope.source])
        .await
        .map_err(query("wait for the former owner's transaction"))?;
    let token = owners.iter().map(|row| row.get::<_, i64>(0)).max().unwrap_or(0) + 1;
    let raise = format!(
        "UPDATE rejot_data_store.flow SET owner = $3, updated_at = now(), \
         problem = CASE WHEN flow = ANY ($4) THEN problem END, hint = CASE WHEN flow = ANY ($4) THEN hint END, \
         paused = paused AND flow = ANY ($4) \
         WHERE manifest_slug = $1 AND source_slug = $2 RETURNING {COLUMNS}"
    );
    let rows = transaction
        .query(&raise, &[&scope.manifest, &scope.source, &token, &stopped])
        .await
        .map_err(query("take over the flows"))?;
    transaction.commit().await.map_err(query("commit a takeover"))?;
    Ok(Owned { scope: scope.clone(), token, flows: rows.iter().map(FlowRow::from_row).collect() })
}

/// Records on which timeline of the source's log the checkpoints of flows lie from now on. Only their owner may.
///
/// # Errors
/// [`DataStoreError::StaleOwner`] when another process has taken them over, or what the server says.
pub async fn put_timeline(
    client: &Client,
    owned: &Owned,
    flows: &[String],
    timeline: u32,
) -> Result<(), DataStoreError> {
    let sql = "UPDATE rejot_data_store.flow SET timeline = $5 \
               WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3 AND flow = ANY ($4)";
    let put = client
        .execute(sql, &[&owned.scope.manifest, &owned.scope.source, &owned.token, &flows, &timeline.cast_signed()])
        .await
        .map_err(DataStoreError::query("record the timeline of flows"))?;
    if put == flows.len() as u64 { Ok(()) } else { Err(owned.stale()) }
}

/// Records that flows stopped, or are only paused, why, and what they need, for `status`. Only their owner may.
///
/// # Errors
/// What the server says.
pub async fn mark_stopped(
    client: &Client,
    owned: &Owned,
    flows: &[String],
    problem: &str,
    hint: Option<&str>,
    paused: bool,
) -> Result<(), DataStoreError> {
    let sql = "UPDATE rejot_data_store.flow SET problem = $5, hint = $6, paused = $7, updated_at = now() \
               WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3 AND flow = ANY ($4)";
    client
        .execute(sql, &[&owned.scope.manifest, &owned.scope.source, &owned.token, &flows, &problem, &hint, &paused])
        .await
        .map_err(DataStoreError::query("record a stopped flow"))?;
    Ok(())
}
