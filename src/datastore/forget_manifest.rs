//! What a destination remembers of one manifest, counted and deleted.

use tokio_postgres::Client;

use super::DataStoreError;

/// The tables that have a manifest's rows; ReJot's own is one of them.
const TABLES: [&str; 10] = [
    "flow",
    "backfill",
    "transform_state",
    "transform",
    "component",
    "deployment",
    "shadow",
    "violation",
    "consumer",
    "public_schema_state",
];

/// How many rows there are in the tables of `rejot_data_store`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    pub schema_exists: bool,
    /// Of the manifest.
    pub own: i64,
    /// Of other manifests.
    pub others: i64,
}

/// Counts what is remembered of a manifest, and of others.
///
/// # Errors
/// What the server says; a database without our tables remembers nothing.
pub async fn remembered(client: &Client, manifest: &str) -> Result<Remembered, DataStoreError> {
    let query = DataStoreError::query;
    let exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    let row = client.query_one(exists, &[&super::SCHEMA]).await.map_err(query("look for the schema"))?;
    let mut found = Remembered { schema_exists: row.get(0), ..Remembered::default() };
    for table in TABLES {
        if super::has_table(client, table).await? {
            let sql = format!(
                "SELECT count(*) FILTER (WHERE manifest_slug = $1::text), count(*) FILTER (WHERE manifest_slug <> $1::text) \
                 FROM {}.{table}",
                super::SCHEMA
            );
            let row = client.query_one(&sql, &[&manifest]).await.map_err(query("count what is remembered"))?;
            found.own += row.get::<_, i64>(0);
            found.others += row.get::<_, i64>(1);
        }
    }
    Ok(found)
}

/// Deletes what is remembered of a manifest, in one transaction, and returns the number of rows.
///
/// # Errors
/// What the server says.
pub async fn forget_manifest(client: &mut Client, manifest: &str) -> Result<u64, DataStoreError> {
    let query = DataStoreError::query;
    let mut tables = Vec::new();
    for table in TABLES {
        if super::has_table(client, table).await? {
            tables.push(table);
        }
    }
    let transaction = client.transaction().await.map_err(query("begin to forget a manifest"))?;
    let mut rows = 0;
    for table in tables {
        let sql = format!("DELETE FROM {}.{table} WHERE manifest_slug = $1::text", super::SCHEMA);
        rows += transaction.execute(&sql, &[&manifest]).await.map_err(query("forget a manifest"))?;
    }
    transaction.commit().await.map_err(query("commit that a manifest is forgotten"))?;
    Ok(rows)
}
