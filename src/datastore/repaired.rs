//! Flows whose slot was lost, and that go on from one that was made anew.

use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use super::{DataStoreError, Owned, Start};

/// Locks flows' rows until the transaction ends: nobody else may write until then.
///
/// # Errors
/// [`DataStoreError::StaleOwner`] when another process has taken them over, or what the server says.
pub async fn lock(client: &Client, owned: &Owned) -> Result<(), DataStoreError> {
    let sql =
        "SELECT FROM rejot_data_store.flow WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3 FOR UPDATE";
    let locked = client.execute(sql, &[&owned.scope.manifest, &owned.scope.source, &owned.token]).await;
    let locked = locked.map_err(DataStoreError::query("lock the flows"))?;
    if locked == owned.flows.len() as u64 { Ok(()) } else { Err(owned.stale()) }
}

/// Lets flows go on at `start` in a new epoch, inside the transaction that made their tables what the source's were there.
///
/// # Errors
/// [`DataStoreError::StaleOwner`] when another process has taken them over, or what the server says.
pub async fn go_on(
    client: &Client,
    owned: &Owned,
    flows: &[String],
    start: &Start,
    epoch: u32,
) -> Result<(), DataStoreError> {
    let sql = "UPDATE rejot_data_store.flow SET epoch = $5, lsn = $6, system_identifier = $7::text::numeric, \
               slot_name = $8, timeline = $9, released_at = NULL, problem = NULL, hint = NULL, paused = false, \
               updated_at = now() WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3 AND flow = ANY ($4)";
    change(client, owned, flows, start, epoch, sql, "let a flow go on").await
}

/// Lets flows begin anew at the next start, with a backfill on emptied tables, in a new epoch.
///
/// # Errors
/// [`DataStoreError::StaleOwner`] when another process has taken them over, or what the server says.
pub async fn copy_anew(
    client: &Client,
    owned: &Owned,
    flows: &[String],
    start: &Start,
    epoch: u32,
) -> Result<(), DataStoreError> {
    let sql = "UPDATE rejot_data_store.flow SET epoch = $5, lsn = $6, system_identifier = $7::text::numeric, \
               slot_name = $8, timeline = $9, released_at = now(), problem = NULL, hint = NULL, paused = false, updated_at = now() \
               WHERE manifest_slug = $1 AND source_slug = $2 AND owner = $3 AND flow = ANY ($4)";
    change(client, owned, flows, start, epoch, sql, "let a flow begin anew").await
}

async fn change(
    client: &Client,
    owned: &Owned,
    flows: &[String],
    start: &Start,
    epoch: u32,
    sql: &str,
    act: &'static str,
) -> Result<(), DataStoreError> {
    let (manifest, source, lsn) = (&owned.scope.manifest, &owned.scope.source, PgLsn::from(start.lsn.0));
    let (epoch, timeline) = (epoch.cast_signed(), start.timeline.cast_signed());
    let changed = client
        .execute(
            sql,
            &[
                manifest,
                source,
                &owned.token,
                &flows,
                &epoch,
                &lsn,
                &start.system_identifier,
                &start.slot_name,
                &timeline,
            ],
        )
        .await
        .map_err(DataStoreError::query(act))?;
    if changed == flows.len() as u64 { Ok(()) } else { Err(owned.stale()) }
}
