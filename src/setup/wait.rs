//! Connecting with patience: to a server that is just starting, and to one that is being restarted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::{CancelToken, Client};

use super::failure::SetupError;
use crate::manifest::PostgresConnection;
use crate::postgres::{self, Backoff, ConnectError, Session};

/// Lets somebody stop a run: the statement that is under way is cancelled, and what was not committed is undone.
#[derive(Default)]
pub struct Stop {
    asked: AtomicBool,
    session: Mutex<Option<(PostgresConnection, CancelToken)>>,
}

impl Stop {
    /// Asks the run to stop.
    pub async fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((to, token)) = session {
            postgres::cancel(&to, &token).await.ok();
        }
    }

    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    fn watch(&self, to: &PostgresConnection, client: &Client) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some((to.clone(), client.cancel_token()));
    }
}

/// Opens a session, and tries again for some time where that may help.
///
/// # Errors
/// [`ConnectError`], or that it was stopped.
pub async fn connect(
    to: &PostgresConnection,
    place: &str,
    patience: Duration,
    stop: &Stop,
) -> Result<Client, SetupError> {
    let begun = Instant::now();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        // As a destination's: a source's would refuse to read under row security, and nothing is read here.
        match postgres::connect(to, &Session::destination("pelton setup")).await {
            Ok(client) => {
                stop.watch(to, &client);
                return Ok(client);
            }
            Err(error) => {
                let wait = backoff.next_wait();
                if stop.is_asked() || !worth(&error) || begun.elapsed() + wait > patience {
                    return Err(SetupError::Connect { place: place.to_owned(), source: error });
                }
                tracing::info!(server = %to, "not reached yet, trying again: {error}");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// A name that is not known is most often a typing error.
fn worth(error: &ConnectError) -> bool {
    error.is_transient() && !matches!(error, ConnectError::UnknownHost { .. })
}

/// Waits until the server was restarted and decodes; returns the new session.
///
/// # Errors
/// It was not within that time, or it was stopped.
pub async fn restarted(
    to: &PostgresConnection,
    place: &str,
    patience: Duration,
    stop: &Stop,
) -> Result<Client, SetupError> {
    let begun = Instant::now();
    loop {
        if stop.is_asked() {
            return Err(SetupError::Stopped);
        }
        let left = patience.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(SetupError::NotRestarted { place: place.to_owned(), after: patience });
        }
        if let Ok(client) = postgres::connect(to, &Session::destination("pelton setup")).await {
            let level = client.query_one("SELECT pg_catalog.current_setting('wal_level')", &[]).await;
            if level.is_ok_and(|row| row.get::<_, &str>(0) == "logical") {
                stop.watch(to, &client);
                return Ok(client);
            }
        }
        tokio::time::sleep(Duration::from_secs(1).min(left)).await;
    }
}
