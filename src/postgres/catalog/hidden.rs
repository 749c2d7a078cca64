//! Whether a table was altered by a transaction that is in the log before it is visible.
//!
//! A commit is written to the log first and becomes visible a moment later; with synchronous replication it may be any
//! time later. The stream brings it in between. Who then asks the catalog gets the table as it was before, which is
//! older than what the stream has just described.

use tokio_postgres::Client;

use crate::postgres::QueryError;

/// Returns true while a transaction holds the lock that altering a table takes.
///
/// Postgres lets go of a transaction's locks after it has made the transaction visible. So once this has returned
/// false, the catalog shows every alteration whose commit the stream had brought before.
///
/// # Errors
/// The server refused.
pub async fn is_being_altered(client: &Client, oid: u32) -> Result<bool, QueryError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database \
               WHERE d.datname = pg_catalog.current_database() AND l.locktype = 'relation' AND l.relation = $1 \
               AND l.mode = 'AccessExclusiveLock' AND l.granted)";
    let failed = |error| QueryError::new("ask whether a table is being altered", error);
    Ok(client.query_one(sql, &[&oid]).await.map_err(failed)?.get(0))
}
