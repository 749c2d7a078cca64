//! Records migrations that somebody applied by hand, without a history.

use tokio_postgres::Client;

use super::Set;
use super::apply::{note, prepare, refuse};
use super::history::{State, history};
use crate::datastore::DataStoreError;

/// Records what is pending up to `through` as applied, and the checksums that are missing; returns those versions.
///
/// What those migrations make must be there. Only that it is there is looked at, not what it is like.
///
/// # Errors
/// [`DataStoreError::NotThere`], those of [`super::apply`], or what the server says. Nothing is recorded then.
pub async fn record(client: &mut Client, set: &'static Set, through: Option<i32>) -> Result<Vec<i32>, DataStoreError> {
    let query = |act| DataStoreError::query_in(set.schema, act);
    if let Some(version) = through.filter(|version| set.migration(*version).is_none()) {
        return Err(DataStoreError::NoSuchMigration { schema: set.schema, version, known: set.newest() });
    }
    let before = history(client, set).await?;
    refuse(&before)?;
    let wanted = || {
        let unrecorded = before.entries.iter().filter(|e| e.state == State::Pending || !e.has_checksum);
        unrecorded.filter(|entry| through.is_none_or(|through| entry.version <= through))
    };
    if let Some(entry) = wanted().find(|entry| !entry.missing.is_empty()) {
        let (version, missing) = (entry.version, entry.missing.join(", "));
        return Err(DataStoreError::NotThere { schema: set.schema, version, missing });
    }
    if wanted().next().is_none() {
        return Ok(Vec::new());
    }
    let transaction = client.transaction().await.map_err(query("begin to record migrations"))?;
    prepare(&transaction, set).await?;
    let mut done = Vec::new();
    for entry in wanted() {
        let migration = set.migration(entry.version).expect("what is pending or applied is known");
        // Whoever was faster with the lock recorded the same, or something else, which is said.
        let complete = format!(
            "UPDATE {}.schema_migrations SET checksum = $2 WHERE version = $1 AND (checksum IS NULL OR checksum = $2)",
            set.schema
        );
        let completed = transaction.execute(&complete, &[&migration.version, &migration.checksum()]).await;
        if completed.map_err(query("record a checksum"))? == 0 {
            note(&transaction, set, migration).await?;
        }
        done.push(entry.version);
    }
    transaction.commit().await.map_err(query("commit what was recorded"))?;
    Ok(done)
}
