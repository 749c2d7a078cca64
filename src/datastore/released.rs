//! Flows that were released: they no longer hold the source's log back, and start anew.
//!
//! A stopped flow's checkpoint keeps the source from discarding what the flow still needs. A release gives that up. It
//! is recorded here *before* anything beyond the checkpoint is confirmed ([`release`] returns once the destination has
//! flushed it), so that whoever finds an unreleased row can rely on its checkpoint, and whoever finds a released one
//! never goes on from it.
//!
//! The way back is [`forget`] and then [`begin_anew`], which lifts the release in the transaction that empties the
//! flow's tables. A crash before that leaves the flow released, and the way is gone from its beginning.

use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use super::{DataStoreError, Owned, Start};

/// Records that flows no longer hold the source's log back, and returns once that is durable. Only their owner may.
///
/// # Errors
/// [`DataStoreError::StaleOwner`] when another process has taken them over, or what the server says. Nothing may be
/// confirmed then.
pub async fn release(client: &mut Client, owned: &Owned, flows: &[String]) -> Result<(), DataStoreError> {
    let query = DataStoreError::query;
    let transaction = client.transaction().await.map_err(query("begin a release"))?;
    // Whatever the server's default: a release that a crash takes back would leave a checkpoint that nothing holds.
    transaction.batch_execute("SET LOCAL synchronous_commit = on").await.map_err(query("begin a release"))?;
    let sql = "UPDATE rejot_data_store.flow SET released_at = now(), updated_at = now() \
               WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3 AND flow = ANY ($4)";
    let released = transaction
        .execute(sql, &[&owned.scope.manifest, &owned.scope.source, &owned.token, &flows])
        .await
        .map_err(query("release a flow"))?;
    if released != flows.len() as u64 {
        return Err(owned.stale());
    }
    transaction.commit().await.map_err(query("commit a release"))
}

/// Forgets what a released transform remembers and how far its flows were copied: it can't be gone on from.
///
/// # Errors
/// What the server says.
pub async fn forget(
    client: &Client,
    owned: &Owned,
    transform: &str,
    backfills: &[String],
) -> Result<(), DataStoreError> {
    let (manifest, source) = (&owned.scope.manifest, &owned.scope.source);
    // One statement, and only while the flows are ours: their new owner may have begun them anew.
    let sql = "WITH mine AS (SELECT FROM rejot_data_store.flow \
                             WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3 FOR NO KEY UPDATE), \
               copied AS (DELETE FROM rejot_data_store.backfill WHERE manifest_slug = $1 AND source_slug = $2 \
                          AND name = ANY ($5) AND EXISTS (SELECT FROM mine)) \
               DELETE FROM rejot_data_store.transform_state WHERE manifest_slug = $1 AND source_slug = $2 \
               AND transform = $4 AND EXISTS (SELECT FROM mine)";
    client
        .execute(sql, &[manifest, source, &owned.token, &transform, &backfills])
        .await
        .map_err(DataStoreError::query("forget what a released transform remembers"))?;
    Ok(())
}

/// Lets flows begin at `start` with the backfill of that name, inside the transaction that empties their tables. `epoch` is
/// theirs from then on, unless they have a later one.
///
/// # Errors
/// [`DataStoreError::StaleOwner`] when another process has taken them over, or what the server says.
pub async fn begin_anew(
    client: &Client,
    owned: &Owned,
    flows: &[String],
    start: &Start,
    backfill: &str,
    epoch: i32,
) -> Result<(), DataStoreError> {
    // What was counted is counted again.
    let sql = "WITH counted AS (DELETE FROM rejot_data_store.violation AS v USING rejot_data_store.flow AS f \
               WHERE f.manifest_slug = $1 AND f.source_slug = $2 AND f.owner = $3 AND f.flow = ANY ($4) \
               AND v.manifest_slug = $1 AND v.source_slug = $2 AND v.public_schema_name = f.public_schema_name \
               AND v.public_schema_major_version = f.public_schema_major_version) \
               UPDATE rejot_data_store.flow SET epoch = greatest(epoch, $10), released_at = NULL, problem = NULL, hint = NULL, paused = false, lsn = $5, \
               commit_time = NULL, system_identifier = $6::text::numeric, slot_name = $7, backfill = $8, timeline = $9, \
               rows_applied = 0, updated_at = now() \
               WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3 AND flow = ANY ($4)";
    let lsn = PgLsn::from(start.lsn.0);
    let (manifest, source) = (&owned.scope.manifest, &owned.scope.source);
    let begun = client
        .execute(
            sql,
            &[
                manifest,
                source,
                &owned.token,
                &flows,
                &lsn,
                &start.system_identifier,
                &start.slot_name,
                &backfill,
                &start.timeline.cast_signed(),
                &epoch,
            ],
        )
        .await
        .map_err(DataStoreError::query("begin a flow anew"))?;
    if begun == flows.len() as u64 { Ok(()) } else { Err(owned.stale()) }
}
