//! What a former owner has left open.
//!
//! One that was paused inside a transaction, or whose statement waits for a lock, would be waited for for ever by whoever
//! takes over. Its sessions are known by having the name of the one that takes over. Whoever takes over holds the lock that
//! says who runs, so no owner that may go on is hit.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::DataStoreError;

/// How long a takeover waits for locks before it looks who holds them. What it commits must be flushed, for what it
/// returns counts as durable.
pub(super) const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '2s'; SET LOCAL synchronous_commit = on";

/// Makes room for another try of a takeover that failed, by ending sessions of a former owner whose transaction goes on for
/// longer than the wait for locks; that takes it back. `table` is what is waited for.
///
/// # Errors
/// What the takeover failed by, where that was no lock; or what the server says.
pub(super) async fn make_room(client: &Client, table: &str, failed: DataStoreError) -> Result<(), DataStoreError> {
    match &failed {
        DataStoreError::Query { source, .. } if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {}
        _ => return Err(failed),
    }
    let end_paused = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND usename = current_user \
                      AND application_name = current_setting('application_name') \
                      AND pid <> pg_backend_pid() AND xact_start < now() - interval '2s'";
    let ended = client.execute(end_paused, &[]).await;
    let ended = ended.map_err(DataStoreError::query("end a former owner's session"))?;
    if ended > 0 {
        tracing::warn!(sessions = ended, "ended a former owner's transaction on {table}");
    } else {
        tracing::warn!("waiting for a lock on {table}");
    }
    Ok(())
}
