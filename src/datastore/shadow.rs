//! The rows of `rejot_data_store.shadow`: what came of running candidates beside the components that run.

use serde_json::Value;
use tokio_postgres::Client;

use super::{DataStoreError, Scope, has_table};

/// What was found since it was last written. Counts of changes.
#[derive(Clone, Debug, Default)]
pub struct ShadowFound {
    /// SHA-256 of the candidate, in hexadecimal; empty where it could not even be read.
    pub digest: String,
    /// The same of what runs.
    pub beside: String,
    pub compared: i64,
    pub different: i64,
    pub skipped: i64,
    /// Some that differ: names and positions, never values.
    pub samples: Vec<Value>,
    /// Why it does not run, or how it failed last.
    pub problem: Option<String>,
    pub hint: Option<String>,
}

/// What was found of a transform's candidate so far.
#[derive(Clone, Debug)]
pub struct ShadowRow {
    pub transform: String,
    pub found: ShadowFound,
}

/// Samples that are kept; later ones are left out.
const SAMPLES_MAX: i32 = 20;

/// Adds to what was found of a candidate; what was found of another pair of components is forgotten. What comes late, beside a
/// component that does not run any more, is left out.
///
/// # Errors
/// What the server says.
pub async fn put_shadow(
    client: &Client,
    scope: &Scope,
    transform: &str,
    found: &ShadowFound,
) -> Result<(), DataStoreError> {
    let sql = "INSERT INTO rejot_data_store.shadow AS s (manifest_slug, source_slug, transform, component_digest, \
               beside_digest, compared, different, skipped, samples, problem, hint) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, $11) \
               ON CONFLICT (manifest_slug, source_slug, transform) DO UPDATE SET \
               component_digest = excluded.component_digest, beside_digest = excluded.beside_digest, \
               compared = excluded.compared + CASE WHEN same THEN s.compared ELSE 0 END, \
               different = excluded.different + CASE WHEN same THEN s.different ELSE 0 END, \
               skipped = excluded.skipped + CASE WHEN same THEN s.skipped ELSE 0 END, \
               samples = CASE WHEN NOT same THEN excluded.samples \
                         WHEN jsonb_array_length(s.samples) >= $12 THEN s.samples ELSE s.samples || excluded.samples END, \
               problem = excluded.problem, hint = excluded.hint, \
               created_at = CASE WHEN same THEN s.created_at ELSE now() END, updated_at = now() \
               WHERE excluded.beside_digest = (SELECT t.component_digest FROM rejot_data_store.transform AS t \
               WHERE t.manifest_slug = $1 AND t.source_slug = $2 AND t.transform = $3)";
    let sql = sql.replace(
        "same",
        "(s.component_digest = excluded.component_digest AND s.beside_digest = excluded.beside_digest)",
    );
    let samples = Value::from(found.samples.clone()).to_string();
    let ShadowFound { digest, beside, compared, different, skipped, problem, hint, .. } = found;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 12] = [
        &scope.manifest,
        &scope.source,
        &transform,
        digest,
        beside,
        compared,
        different,
        skipped,
        &samples,
        problem,
        hint,
        &SAMPLES_MAX,
    ];
    let put = client.execute(&sql, &parameters).await;
    put.map(drop).map_err(DataStoreError::query("write what a candidate did"))
}

/// Returns what was found in a scope; nothing where there are no tables of ours.
///
/// # Errors
/// What the server says.
pub async fn shadows(client: &Client, scope: &Scope) -> Result<Vec<ShadowRow>, DataStoreError> {
    if !has_table(client, "shadow").await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT transform, component_digest, beside_digest, compared, different, skipped, samples::text, problem, hint \
               FROM rejot_data_store.shadow WHERE manifest_slug = $1 AND source_slug = $2 ORDER BY 1";
    let rows = client.query(sql, &[&scope.manifest, &scope.source]).await;
    let rows = rows.map_err(DataStoreError::query("read what candidates did"))?;
    let row = |row: &tokio_postgres::Row| ShadowRow {
        transform: row.get(0),
        found: ShadowFound {
            digest: row.get(1),
            beside: row.get(2),
            compared: row.get(3),
            different: row.get(4),
            skipped: row.get(5),
            samples: serde_json::from_str(row.get(6)).unwrap_or_default(),
            problem: row.get(7),
            hint: row.get(8),
        },
    };
    Ok(rows.iter().map(row).collect())
}
