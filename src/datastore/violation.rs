//! The rows of `rejot_data_store.violation`: what of the public rows is not what `outputSchema` says, counted.
//!
//! A count moves in the transaction that writes the rows that it is of.

use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use super::{DataStoreError, Scope, has_table};
use crate::lsn::Lsn;

/// Public rows that break one rule of their `outputSchema`. Never their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations {
    pub public_schema: String,
    pub major: i32,
    /// The `outputSchema`, as text: what is counted under another one is of no use.
    pub schema: String,
    pub field: String,
    pub rule: String,
    /// The names of the key's columns.
    pub key: Vec<String>,
    pub rows: i64,
    /// Where the last of them comes from: the commit, and the change in its transaction.
    pub commit_lsn: Lsn,
    pub change: i64,
}

/// The same, as it was counted.
#[derive(Clone, Debug)]
pub struct ViolationRow {
    pub public_schema: String,
    pub major: i32,
    pub field: String,
    pub rule: String,
    pub key: Vec<String>,
    pub rows: i64,
    pub commit_lsn: Lsn,
    pub change: i64,
    /// When the first and the last were counted, in UTC, as RFC 3339 has it.
    pub first_at: String,
    pub last_at: String,
}

/// A public schema, and the `outputSchema` that it has now.
#[derive(Clone, Debug)]
pub struct CountedUnder {
    pub public_schema: String,
    pub major: i32,
    /// Empty where it has none.
    pub schema: String,
}

/// Adds to the counts, inside the caller's transaction. A field and rule of a public schema stand in `found` at most once.
///
/// # Errors
/// What the server says.
pub async fn put_violations(client: &Client, scope: &Scope, found: &[Violations]) -> Result<(), DataStoreError> {
    if found.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&Violations) -> &str| found.iter().map(of).collect::<Vec<&str>>();
    let names = column(|one| &one.public_schema);
    let (schemas, fields, rules) = (column(|one| &one.schema), column(|one| &one.field), column(|one| &one.rule));
    let majors: Vec<i32> = found.iter().map(|one| one.major).collect();
    // Arrays of arrays have one length: as JSON each has its own.
    let keys: Vec<String> = found.iter().map(|one| serde_json::json!(one.key).to_string()).collect();
    let rows: Vec<i64> = found.iter().map(|one| one.rows).collect();
    let lsns: Vec<PgLsn> = found.iter().map(|one| PgLsn::from(one.commit_lsn.0)).collect();
    let changes: Vec<i64> = found.iter().map(|one| one.change).collect();
    let sql = "INSERT INTO rejot_data_store.violation AS v (manifest_slug, source_slug, public_schema_name, \
               public_schema_major_version, schema_digest, field, rule, key, rows, commit_lsn, change) \
               SELECT $1, $2, u.name, u.major, encode(sha256(convert_to(u.schema, 'UTF8')), 'hex'), u.field, u.rule, \
               u.key::jsonb, u.rows, u.lsn, u.change \
               FROM unnest($3::text[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], \
               $10::pg_lsn[], $11::bigint[]) AS u (name, major, schema, field, rule, key, rows, lsn, change) \
               ON CONFLICT (manifest_slug, source_slug, public_schema_name, public_schema_major_version, field, rule) \
               DO UPDATE SET rows = v.rows + excluded.rows, key = excluded.key, commit_lsn = excluded.commit_lsn, \
               change = excluded.change, last_at = now()";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 11] =
        [&scope.manifest, &scope.source, &names, &majors, &schemas, &fields, &rules, &keys, &rows, &lsns, &changes];
    let put = client.execute(sql, &parameters).await;
    put.map(drop).map_err(DataStoreError::query("count what outputSchema does not allow"))
}

/// Forgets what was counted of public schemas under another `outputSchema` than they have now.
///
/// # Errors
/// What the server says.
pub async fn forget_violations(client: &Client, scope: &Scope, now: &[CountedUnder]) -> Result<(), DataStoreError> {
    let names: Vec<&str> = now.iter().map(|one| &*one.public_schema).collect();
    let majors: Vec<i32> = now.iter().map(|one| one.major).collect();
    let schemas: Vec<&str> = now.iter().map(|one| &*one.schema).collect();
    let sql = "DELETE FROM rejot_data_store.violation AS v \
               USING unnest($3::text[], $4::integer[], $5::text[]) AS u (name, major, schema) \
               WHERE v.manifest_slug = $1 AND v.source_slug = $2 AND v.public_schema_name = u.name \
               AND v.public_schema_major_version = u.major \
               AND v.schema_digest <> encode(sha256(convert_to(u.schema, 'UTF8')), 'hex')";
    let forgotten = client.execute(sql, &[&scope.manifest, &scope.source, &names, &majors, &schemas]).await;
    forgotten.map(drop).map_err(DataStoreError::query("forget what another outputSchema did not allow"))
}

/// Returns what was counted of a scope; nothing where there are no tables of ours.
///
/// # Errors
/// What the server says.
pub async fn violations(client: &Client, scope: &Scope) -> Result<Vec<ViolationRow>, DataStoreError> {
    if !has_table(client, "violation").await? {
        return Ok(Vec::new());
    }
    let at = |column: &str| format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
    let sql = format!(
        "SELECT public_schema_name, public_schema_major_version, field, rule, key::text, rows, commit_lsn, change, {}, {} \
         FROM rejot_data_store.violation WHERE manifest_slug = $1 AND source_slug = $2 ORDER BY 1, 2, 3, 4",
        at("first_at"),
        at("last_at")
    );
    let rows = client.query(&sql, &[&scope.manifest, &scope.source]).await;
    let rows = rows.map_err(DataStoreError::query("read what outputSchema does not allow"))?;
    let row = |row: &tokio_postgres::Row| ViolationRow {
        public_schema: row.get(0),
        major: row.get(1),
        field: row.get(2),
        rule: row.get(3),
        key: serde_json::from_str(row.get(4)).unwrap_or_default(),
        rows: row.get(5),
        commit_lsn: Lsn(row.get::<_, PgLsn>(6).into()),
        change: row.get(7),
        first_at: row.get(8),
        last_at: row.get(9),
    };
    Ok(rows.iter().map(row).collect())
}
