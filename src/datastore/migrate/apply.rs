//! Applies what is pending, all of it in one transaction.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use super::history::{History, State, history};
use super::{Migration, ORDINARY, Set};
use crate::datastore::DataStoreError;

/// Brings `rejot_data_store` to this version's tables and returns the versions that were applied now.
///
/// # Errors
/// As [`apply`].
pub async fn migrate(client: &mut Client) -> Result<Vec<i32>, DataStoreError> {
    apply(client, &ORDINARY).await
}

/// Applies what is pending of a set and returns those versions.
///
/// All in one transaction. A role without CREATE on the database succeeds once the schema exists and is its own, and one
/// that may only read the history once nothing is pending.
///
/// # Errors
/// [`DataStoreError::MayNotCreate`], [`DataStoreError::Drift`] or [`DataStoreError::TooNew`], or what the server says.
pub async fn apply(client: &mut Client, set: &'static Set) -> Result<Vec<i32>, DataStoreError> {
    let query = |act| DataStoreError::query_in(set.schema, act);
    let transaction = client.transaction().await.map_err(query("begin a migration"))?;
    prepare(&transaction, set).await?;
    let history = history(&transaction, set).await?;
    refuse(&history)?;
    let mut done = Vec::new();
    if history.entries.iter().any(|entry| entry.state == State::Applied) && !history.pending().is_empty() {
        let (to, schema) = (set.newest(), set.schema);
        tracing::info!(
            schema,
            to,
            "applying migrations; one that rewrites a large table takes a while, and room for a copy"
        );
    }
    for entry in history.entries.iter().filter(|entry| entry.state == State::Pending) {
        let migration = set.migration(entry.version).expect("what is pending is known");
        transaction.batch_execute(migration.sql).await.map_err(query("apply a migration"))?;
        note(&transaction, set, migration).await?;
        done.push(entry.version);
    }
    transaction.commit().await.map_err(query("commit a migration"))?;
    Ok(done)
}

/// Refuses a history that can't be gone on from.
pub(super) fn refuse(history: &History) -> Result<(), DataStoreError> {
    let set = history.set;
    if let Some(found) = history.entries.iter().filter(|e| e.state == State::Unknown).map(|e| e.version).max() {
        return Err(DataStoreError::TooNew { schema: set.schema, found, known: set.newest() });
    }
    let needed = set.oldest_of_rejot();
    if let Some(found) = history.version_of_rejot().filter(|found| *found < needed) {
        return Err(DataStoreError::OldRejot { schema: set.schema, found, needed });
    }
    match history.entries.iter().find(|entry| entry.state == State::Drifted) {
        Some(entry) => Err(DataStoreError::Drift { schema: set.schema, version: entry.version }),
        None => Ok(()),
    }
}

/// Takes the lock of a set, and makes its schema and its history where they are missing.
pub(super) async fn prepare(transaction: &Transaction<'_>, set: &Set) -> Result<(), DataStoreError> {
    let schema = set.schema;
    let query = |act| DataStoreError::query_in(schema, act);
    transaction
        .execute("SELECT pg_catalog.pg_advisory_xact_lock($1)", &[&set.lock])
        .await
        .map_err(query("wait for another migration"))?;
    let found = format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = '{schema}'), {}, {}",
        super::Table("schema_migrations").exists(schema),
        super::Column("schema_migrations", "checksum").exists(schema)
    );
    let row = transaction.query_one(&found, &[]).await.map_err(query("look for migrations"))?;
    // CREATE SCHEMA IF NOT EXISTS demands CREATE on the database even where the schema exists.
    if !row.get::<_, bool>(0) {
        transaction.batch_execute(&format!("CREATE SCHEMA {schema}")).await.map_err(|source| {
            if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
                DataStoreError::MayNotCreate { schema, source }
            } else {
                query("create the schema")(source)
            }
        })?;
    }
    let ddl = match (row.get(1), row.get(2)) {
        (false, _) => set.make_history(),
        // ReJot recorded no checksums.
        (true, false) => format!("ALTER TABLE {schema}.schema_migrations ADD COLUMN checksum text"),
        (true, true) => return Ok(()),
    };
    transaction.batch_execute(&ddl).await.map_err(query("make the table of migrations"))
}

/// Records that a migration was applied now.
pub(super) async fn note(
    transaction: &Transaction<'_>,
    set: &Set,
    migration: &Migration,
) -> Result<(), DataStoreError> {
    let sql = format!(
        "INSERT INTO {}.schema_migrations (version, description, applied_at, checksum) VALUES ($1, $2, now(), $3)",
        set.schema
    );
    transaction
        .execute(&sql, &[&migration.version, &migration.description, &migration.checksum()])
        .await
        .map_err(DataStoreError::query_in(set.schema, "record a migration"))?;
    Ok(())
}
