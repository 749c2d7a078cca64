//! Which destination it is: event stores tell by it for whom they keep what is not read yet.

use tokio_postgres::Client;

use super::{DataStoreError, has_table};

/// Returns the UUID of a destination; empty where there are no tables of ours yet.
///
/// # Errors
/// What the server says.
pub async fn store_id(client: &Client) -> Result<String, DataStoreError> {
    if !has_table(client, "store").await? {
        return Ok(String::new());
    }
    let row = client.query_one("SELECT id::text FROM rejot_data_store.store", &[]).await;
    row.map(|row| row.get(0)).map_err(DataStoreError::query("read which destination it is"))
}
