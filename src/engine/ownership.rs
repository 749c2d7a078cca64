//! One owner: of all processes that run the same manifest, one reads a source; the others wait to take over.
//!
//! The owner holds an advisory lock in a session at the source. When it dies, however hard, the server sees its socket
//! close and lets the lock go, so a restart works at once; a peer that vanished is found by TCP keepalives. The lock
//! alone proves nothing to a destination: a paused process may wake up after it lost it. So whoever takes over also
//! raises the owner's token in every destination before it streams (see [`crate::datastore`]).

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use crate::postgres::QueryError;

/// How often a standby asks for the lock.
///
/// It asks anew each time instead of waiting in the server: a statement that waits holds a snapshot, and a snapshot
/// that is held for days keeps VACUUM from cleaning up.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// How long the lock is asked for by whoever won't wait: its server may not have seen yet that the owner has ended.
const ENDING_MAX: Duration = Duration::from_secs(2);

/// Returns the lock's key: 64 bits of a digest, in the space that `pg_advisory_lock(bigint)` has.
fn key(manifest: &str, source: &str) -> i64 {
    let digest = Sha256::digest(format!("pelton\0{manifest}\0{source}").as_bytes());
    i64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// Takes the lock of a manifest and a source for this session; false when another session holds it, and goes on to.
///
/// # Errors
/// The session broke, or the server refused.
pub async fn try_acquire(client: &Client, manifest: &str, source: &str) -> Result<bool, QueryError> {
    let begun = Instant::now();
    loop {
        if ask(client, manifest, source).await? {
            return Ok(true);
        }
        if begun.elapsed() >= ENDING_MAX {
            return Ok(false);
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

/// Waits until this session holds the lock of a manifest and a source. `waiting` is called once if it must wait.
///
/// # Errors
/// The session broke, or the server refused.
pub async fn acquire(client: &Client, manifest: &str, source: &str, waiting: impl FnOnce()) -> Result<(), QueryError> {
    let mut waiting = Some(waiting);
    while !ask(client, manifest, source).await? {
        if let Some(waiting) = waiting.take() {
            waiting();
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
    Ok(())
}

async fn ask(client: &Client, manifest: &str, source: &str) -> Result<bool, QueryError> {
    let row = client.query_one("SELECT pg_catalog.pg_try_advisory_lock($1)", &[&key(manifest, source)]).await;
    row.and_then(|row| row.try_get(0)).map_err(|error| QueryError::new("ask for the lock of the manifest", error))
}
