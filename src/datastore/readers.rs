//! Which flows read from a slot, as far as one destination knows.

use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use super::DataStoreError;
use crate::lsn::Lsn;

/// A flow that goes on from its checkpoint, by a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotReader {
    pub manifest: String,
    pub flow: String,
    pub checkpoint: Lsn,
}

/// Returns the flows of any manifest that read from a slot of a cluster. Released ones don't: they start anew.
///
/// # Errors
/// What the server says; a database without our tables has no flows.
pub async fn slot_readers(
    client: &Client,
    system_identifier: &str,
    slot: &str,
) -> Result<Vec<SlotReader>, DataStoreError> {
    let query = DataStoreError::query;
    let exists = super::has_table(client, "flow").await?;
    if !exists {
        return Ok(Vec::new());
    }
    // Through jsonb, for the table may be of an earlier version.
    let sql = "SELECT f.manifest_slug, f.flow, f.lsn FROM rejot_data_store.flow AS f \
               WHERE f.slot_name = $1 AND f.system_identifier = $2::text::numeric \
               AND pg_catalog.to_jsonb(f) ->> 'released_at' IS NULL ORDER BY 1, 2";
    let rows = client.query(sql, &[&slot, &system_identifier]).await.map_err(query("read the flows of a slot"))?;
    let reader = |row: &tokio_postgres::Row| SlotReader {
        manifest: row.get(0),
        flow: row.get(1),
        checkpoint: Lsn(row.get::<_, PgLsn>(2).into()),
    };
    Ok(rows.iter().map(reader).collect())
}
