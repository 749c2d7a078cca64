//! ReJot's cursors at a destination: each becomes that of the consumers that go on from it.

use tokio_postgres::{Client, Transaction};

use super::consumer::NewConsumer;
use super::{DataStoreError, SCHEMA};
use crate::change::Position;
use crate::lsn::Lsn;

/// Behind every operation of a transaction that ReJot stored: it numbers them by an integer.
const LAST_OPERATION: i64 = i32::MAX as i64;

/// Returns the SQL of the first ordinal of events that ReJot stored at a time, behind others at whose position they were put:
/// milliseconds, with room for a million operations in each. It is beyond [`LAST_OPERATION`].
///
/// So a cursor, together with the time at which it moved, says which of them ReJot's consumer can have seen.
pub fn late_ordinal(time: &str) -> String {
    format!("greatest(pg_catalog.floor(extract(epoch FROM {time}) * 1000)::bigint << 20, 2147483648)")
}

/// Returns where ReJot was with what a consumer reads, if it was anywhere.
///
/// Its cursor is the last transaction that was applied, by the position at which the source delivered it; its events are of
/// epoch 0. What was stored at a lesser position after the cursor had moved was not applied. What is no position is not taken for one, so that nothing is left out: the consumer begins at the beginning.
pub(super) async fn cursor(
    transaction: &Transaction<'_>,
    new: &NewConsumer,
) -> Result<Option<Position>, DataStoreError> {
    // One process at a time translates it.
    let sql = format!(
        "SELECT last_seen_transaction_id, greatest({} - 1, $4) FROM rejot_data_store.public_schema_state WHERE manifest_slug = $1 \
         AND public_schema_name = $2 AND public_schema_major_version = $3 FOR UPDATE",
        late_ordinal("updated_at")
    );
    let row =
        transaction.query_opt(&sql, &[&new.source_manifest, &new.public_schema, &new.major, &LAST_OPERATION]).await;
    let Some(row) = row.map_err(DataStoreError::query("read ReJot's cursor"))? else { return Ok(None) };
    let Some(text) = row.get::<_, Option<String>>(0) else { return Ok(None) };
    match text.parse::<Lsn>() {
        Ok(commit_lsn) => Ok(Some(Position { epoch: 0, commit_lsn, ordinal: row.get(1) })),
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

/// Forgets what ReJot has applied from memory of public schemas that are copied anew.
///
/// # Errors
/// What the server says.
pub async fn forget_seen(
    client: &Client,
    manifest: &str,
    public_schema: &str,
    major: i32,
) -> Result<(), DataStoreError> {
    let sql = "UPDATE rejot_data_store.public_schema_state SET last_seen_transaction_id = NULL, updated_at = now() \
               WHERE manifest_slug = $1 AND public_schema_name = $2 AND public_schema_major_version = $3";
    let forgotten = client.execute(sql, &[&manifest, &public_schema, &major]).await;
    forgotten.map(drop).map_err(DataStoreError::query("forget ReJot's cursor"))
}

/// Forgets a cursor that consumers have taken over: whoever comes later begins at the beginning.
pub(super) async fn forget_cursor(transaction: &Transaction<'_>, new: &NewConsumer) -> Result<(), DataStoreError> {
    let sql = "UPDATE rejot_data_store.public_schema_state SET last_seen_transaction_id = NULL, updated_at = now() \
               WHERE manifest_slug = $1 AND public_schema_name = $2 AND public_schema_major_version = $3";
    let forgotten = transaction.execute(sql, &[&new.source_manifest, &new.public_schema, &new.major]).await;
    forgotten.map(drop).map_err(DataStoreError::query("take over ReJot's cursor"))
}
