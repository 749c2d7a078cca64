//! What transforms remember and how far backfills have come, as rows of `rejot_data_store`.

use bytes::Bytes;
use tokio_postgres::Client;

use super::{DataStoreError, Scope};

/// The remembered keys and values of one transform in one destination.
#[derive(Clone, Debug)]
pub struct StateTable {
    pub scope: Scope,
    pub transform: String,
}

impl StateTable {
    /// Returns the values of `keys`, in their order.
    ///
    /// # Errors
    /// What the server says.
    pub async fn get(&self, client: &Client, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, DataStoreError> {
        // One look into the primary key for each, whatever the planner believes of a table that has not been analyzed
        // yet: as a plain join it may read all that the transform remembers.
        let sql = "SELECT s.value FROM unnest($4::bytea[]) WITH ORDINALITY AS k (key, n) \
                   LEFT JOIN LATERAL (SELECT t.value FROM rejot_data_store.transform_state t WHERE t.manifest_slug = $1 \
                   AND t.source_slug = $2 AND t.transform = $3 AND t.key = k.key OFFSET 0) AS s ON true ORDER BY k.n";
        let rows = client
            .query(sql, &[&self.scope.manifest, &self.scope.source, &self.transform, &keys])
            .await
            .map_err(DataStoreError::query("read a transform's state"))?;
        Ok(rows.iter().map(|row| row.get::<_, Option<Vec<u8>>>(0).map(Bytes::from)).collect())
    }

    /// Returns up to `limit` entries whose keys begin with `prefix` and come after `after`, in the order of the keys.
    ///
    /// # Errors
    /// What the server says.
    pub async fn scan(
        &self,
        client: &Client,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<Vec<(Bytes, Bytes)>, DataStoreError> {
        let sql = "SELECT key, value FROM rejot_data_store.transform_state WHERE manifest_slug = $1 AND source_slug = $2 \
                   AND transform = $3 AND key >= $4 AND substring(key FROM 1 FOR length($4)) = $4 \
                   AND ($5::bytea IS NULL OR key > $5) ORDER BY key LIMIT $6";
        let rows = client
            .query(
                sql,
                &[&self.scope.manifest, &self.scope.source, &self.transform, &prefix, &after, &i64::from(limit)],
            )
            .await
            .map_err(DataStoreError::query("scan a transform's state"))?;
        let entry =
            |row: &tokio_postgres::Row| (Bytes::from(row.get::<_, Vec<u8>>(0)), Bytes::from(row.get::<_, Vec<u8>>(1)));
        Ok(rows.iter().map(entry).collect())
    }

    /// Writes entries, `None` removes one, inside the caller's transaction. A key stands in `entries` at most once.
    ///
    /// # Errors
    /// What the server says.
    pub async fn put(&self, client: &Client, entries: &[(Bytes, Option<Bytes>)]) -> Result<(), DataStoreError> {
        let query = DataStoreError::query;
        let removed: Vec<&[u8]> =
            entries.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| &key[..]).collect();
        if !removed.is_empty() {
            let sql = "DELETE FROM rejot_data_store.transform_state WHERE manifest_slug = $1 AND source_slug = $2 \
                       AND transform = $3 AND key = ANY ($4)";
            client
                .execute(sql, &[&self.scope.manifest, &self.scope.source, &self.transform, &removed])
                .await
                .map_err(query("remove a transform's state"))?;
        }
        let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) =
            entries.iter().filter_map(|(key, value)| Some((&key[..], &value.as_ref()?[..]))).unzip();
        if !keys.is_empty() {
            let sql = "INSERT INTO rejot_data_store.transform_state (manifest_slug, source_slug, transform, key, value) \
                       SELECT $1, $2, $3, u.key, u.value FROM unnest($4::bytea[], $5::bytea[]) AS u (key, value) \
                       ON CONFLICT (manifest_slug, source_slug, transform, key) DO UPDATE SET value = excluded.value";
            client
                .execute(sql, &[&self.scope.manifest, &self.scope.source, &self.transform, &keys, &values])
                .await
                .map_err(query("write a transform's state"))?;
        }
        Ok(())
    }
}

/// How far one table's backfill has come.
#[derive(Clone, Debug)]
pub struct BackfillRow {
    /// The backfill's name, as flows have it.
    pub name: String,
    /// `schema.table`, or what stands for all of them.
    pub table: String,
    /// The engine's own document, JSON.
    pub progress: serde_json::Value,
}

/// Returns the backfills of a scope.
///
/// # Errors
/// What the server says.
pub async fn backfills(client: &Client, scope: &Scope) -> Result<Vec<BackfillRow>, DataStoreError> {
    let sql = "SELECT name, table_name, progress::text FROM rejot_data_store.backfill \
               WHERE manifest_slug = $1 AND source_slug = $2 ORDER BY 1, 2";
    let rows = client
        .query(sql, &[&scope.manifest, &scope.source])
        .await
        .map_err(DataStoreError::query("read the backfills"))?;
    let row = |row: &tokio_postgres::Row| BackfillRow {
        name: row.get(0),
        table: row.get(1),
        progress: serde_json::from_str(row.get(2)).expect("jsonb prints JSON"),
    };
    Ok(rows.iter().map(row).collect())
}

/// Writes backfills' progress inside the caller's transaction. A table of a backfill stands in `rows` at most once.
///
/// # Errors
/// What the server says.
pub async fn put_backfills(client: &Client, scope: &Scope, rows: &[BackfillRow]) -> Result<(), DataStoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = rows.iter().map(|row| &row.name[..]).collect();
    let tables: Vec<&str> = rows.iter().map(|row| &row.table[..]).collect();
    let progress: Vec<String> = rows.iter().map(|row| row.progress.to_string()).collect();
    let sql = "INSERT INTO rejot_data_store.backfill (manifest_slug, source_slug, name, table_name, progress) \
               SELECT $1, $2, u.name, u.table_name, u.progress::jsonb \
               FROM unnest($3::text[], $4::text[], $5::text[]) AS u (name, table_name, progress) \
               ON CONFLICT (manifest_slug, source_slug, name, table_name) \
               DO UPDATE SET progress = excluded.progress, updated_at = now()";
    client
        .execute(sql, &[&scope.manifest, &scope.source, &names, &tables, &progress])
        .await
        .map_err(DataStoreError::query("write a backfill's progress"))?;
    Ok(())
}

/// Says, inside the caller's transaction, that backfills are done: their flows are live from here on.
///
/// # Errors
/// What the server says.
pub async fn finish_backfills(client: &Client, scope: &Scope, names: &[String]) -> Result<(), DataStoreError> {
    if names.is_empty() {
        return Ok(());
    }
    let sql = "WITH live AS (UPDATE rejot_data_store.flow SET backfill = NULL \
               WHERE manifest_slug = $1 AND source_slug = $2 AND backfill = ANY ($3)) \
               DELETE FROM rejot_data_store.backfill WHERE manifest_slug = $1 AND source_slug = $2 AND name = ANY ($3)";
    client
        .execute(sql, &[&scope.manifest, &scope.source, &names])
        .await
        .map_err(DataStoreError::query("finish a backfill"))?;
    Ok(())
}
