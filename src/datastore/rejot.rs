//! ReJot's cursors at a destination: each becomes that of the consumers that go on from it.

use tokio_postgres::{Client, Transaction};

use super::consumer::NewConsumer;
use super::{DataStoreError, SCHEMA};
use crate::change::Position;
use crate::lsn::Lsn;

/// Behind every operation of a transaction that ReJot stored: it numbers them by an integer.
const LAST_OPERATION: i64 = i32::MAX as i64;

/// Returns where ReJot was with what a consumer reads, if it was anywhere.
///
/// Its cursor is the last transaction that was applied, by the position at which the source delivered it; its events are of
/// epoch 0. What is no position is not taken for one, so that nothing is left out: the consumer begins at the beginning.
pub(super) async fn cursor(
    transaction: &Transaction<'_>,
    new: &NewConsumer,
) -> Result<Option<Position>, DataStoreError> {
    // One process at a time translates it.
    let sql = "SELECT last_seen_transaction_id FROM rejot_data_store.public_schema_state WHERE manifest_slug = $1 \
               AND public_schema_name = $2 AND public_schema_major_version = $3 FOR UPDATE";
    let row = transaction.query_opt(sql, &[&new.source_manifest, &new.public_schema, &new.major]).await;
    let row = row.map_err(DataStoreError::query("read ReJot's cursor"))?;
    let Some(text) = row.and_then(|row| row.get::<_, Option<String>>(0)) else { return Ok(None) };
    match text.parse::<Lsn>() {
        Ok(commit_lsn) => Ok(Some(Position { epoch: 0, commit_lsn, ordinal: LAST_OPERATION })),
        Err(_) => {
            tracing::warn!(
                consumer = new.consumer,
                "ReJot's cursor in `{SCHEMA}.public_schema_state` is no position in a log: the consumer begins at the beginning"
            );
            Ok(None)
        }
    }
}

/// Returns what ReJot has applied at this destination from memory: public schemas of a manifest, with their major versions,
/// and the last transaction of each.
///
/// # Errors
/// What the server says.
pub async fn seen_by_rejot(client: &Client, manifest: &str) -> Result<Vec<(String, i32, Lsn)>, DataStoreError> {
    let sql = "SELECT public_schema_name::text, public_schema_major_version, last_seen_transaction_id::text \
               FROM rejot_data_store.public_schema_state WHERE manifest_slug = $1 AND last_seen_transaction_id IS NOT NULL";
    let rows = client.query(sql, &[&manifest]).await.map_err(DataStoreError::query("read ReJot's cursors"))?;
    let seen = |row: &tokio_postgres::Row| Some((row.get(0), row.get(1), row.get::<_, &str>(2).parse().ok()?));
    Ok(rows.iter().filter_map(seen).collect())
}

/// Forgets a cursor that consumers have taken over: whoever comes later begins at the beginning.
pub(super) async fn forget_cursor(transaction: &Transaction<'_>, new: &NewConsumer) -> Result<(), DataStoreError> {
    let sql = "UPDATE rejot_data_store.public_schema_state SET last_seen_transaction_id = NULL, updated_at = now() \
               WHERE manifest_slug = $1 AND public_schema_name = $2 AND public_schema_major_version = $3";
    let forgotten = transaction.execute(sql, &[&new.source_manifest, &new.public_schema, &new.major]).await;
    forgotten.map(drop).map_err(DataStoreError::query("take over ReJot's cursor"))
}
