//! Ordinary sessions: tokio-postgres over a stream that [`super::stream`] opened.
//!
//! Every session of ours prints values in the same way, whatever the role, the database or the server have as
//! defaults, so that what backfill reads equals what the stream delivers. The settings go into the startup message:
//! there is no moment at which the session has others, and a reset brings them back.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, NoTls};

use super::{ConnectError, ServerError, stream};
use crate::manifest::PostgresConnection;

/// The settings on which the text of values depends, and that make a server notice that we are gone.
///
/// A role may have time limits for the sake of people, who forget their sessions: copying a table, waiting for what is to
/// be written and streaming all take as long as they take. How long we wait is for us to say, where we say it.
///
/// What a server only notes is not sent: a note that a trigger raises quotes the row that it is about.
const PINNED: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("timezone", "UTC"),
    ("lc_monetary", "C"),
    ("standard_conforming_strings", "on"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("client_min_messages", "error"),
];

/// What is asked of a session beside the pinned settings.
#[derive(Clone, Debug)]
pub struct Session {
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Names in SQL mean Postgres's own objects unless they are qualified. Not where a user's SQL runs.
    pub pg_catalog_only: bool,
    /// A query that row-level security would silently cut short is an error instead (`row_security = off`): for
    /// sources, since the stream knows no policies and a backfill that obeyed them would lose rows.
    pub refuse_row_security: bool,
}

impl Session {
    /// A session at a source: catalog names only, and never a part of the rows.
    pub fn source(application_name: impl Into<String>) -> Session {
        Session { application_name: application_name.into(), pg_catalog_only: true, refuse_row_security: true }
    }

    /// A session that writes: catalog names only, policies hold.
    pub fn destination(application_name: impl Into<String>) -> Session {
        Session { application_name: application_name.into(), pg_catalog_only: true, refuse_row_security: false }
    }

    /// A session in which a user's SQL runs, under the role's own `search_path`.
    pub fn user_sql(application_name: impl Into<String>) -> Session {
        Session { application_name: application_name.into(), pg_catalog_only: false, refuse_row_security: false }
    }

    /// Returns the startup message's `options`: `-c name=value` for every setting.
    pub(crate) fn options(&self) -> String {
        let own =
            [("search_path", "pg_catalog", self.pg_catalog_only), ("row_security", "off", self.refuse_row_security)];
        let own = own.iter().filter(|(.., wanted)| *wanted).map(|(name, value, _)| (*name, *value));
        let settings = PINNED.iter().copied().chain(own);
        settings.map(|(name, value)| format!("-c {name}={value}")).collect::<Vec<_>>().join(" ")
    }
}

/// Opens a session. The task that drives it ends when the client is dropped.
///
/// # Errors
/// [`ConnectError`] says whether it is worth trying again and what to do.
pub async fn connect(to: &PostgresConnection, session: &Session) -> Result<Client, ConnectError> {
    connect_and_hear(to, session).await.map(|(client, _)| client)
}

/// The same; also returns what is told when the server sends a notification, of whatever it listens to.
///
/// # Errors
/// As [`connect`].
pub async fn connect_and_hear(
    to: &PostgresConnection,
    session: &Session,
) -> Result<(Client, Arc<Notify>), ConnectError> {
    let stream = stream::open(to).await?;
    let mut config = Config::new();
    config.user(&to.user).dbname(&to.database).options(session.options());
    config.application_name(session.application_name.replace('\0', ""));
    if let Some(password) = &to.password {
        config.password(password.reveal());
    }
    let opening = config.connect_raw(stream, NoTls);
    let (client, mut connection) = match tokio::time::timeout(STARTUP_TIMEOUT, opening).await {
        Ok(opened) => opened.map_err(|e| startup_error(to, e))?,
        Err(_) => return Err(ConnectError::TimedOut { server: to.to_string(), after: STARTUP_TIMEOUT }),
    };
    let server = to.to_string();
    let heard = Arc::new(Notify::new());
    let tell = heard.clone();
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                Ok(AsyncMessage::Notification(_)) => tell.notify_one(),
                Ok(_) => {}
                // Whoever waits for an answer of this session gets the error too and reports it.
                Err(error) => {
                    tracing::debug!(%server, %error, "a session ended");
                    break;
                }
            }
        }
        // Whoever waits for a notification finds out that the session is gone.
        tell.notify_one();
    });
    client.batch_execute(NO_TRANSACTION_TIMEOUT).await.map_err(|e| startup_error(to, e))?;
    Ok((client, heard))
}

/// Pins what the startup message can't, for a server refuses a session that asks for a setting it does not know:
/// PostgreSQL 17 is the first with this one.
pub(crate) const NO_TRANSACTION_TIMEOUT: &str =
    "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'";

/// How long startup and authentication may take: a server under load forks slowly, one that is stopped says nothing.
pub(crate) const STARTUP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Asks the server to cancel what the session of `token` is doing right now.
///
/// # Errors
/// [`ConnectError`], when the server can't be reached; whether there was anything to cancel is not known.
pub async fn cancel(to: &PostgresConnection, token: &CancelToken) -> Result<(), ConnectError> {
    let stream = stream::open(to).await?;
    token.cancel_query_raw(stream, NoTls).await.map_err(|e| startup_error(to, e))
}

/// Sorts what tokio-postgres reports of a failed startup.
fn startup_error(to: &PostgresConnection, error: tokio_postgres::Error) -> ConnectError {
    let server = to.to_string();
    if let Some(refused) = error.as_db_error() {
        return ConnectError::refused(&server, ServerError::from(refused));
    }
    // These kinds are private; their texts are what tells them apart. A test holds each.
    let text = error.to_string();
    let source = error.into_source();
    if text.contains("invalid configuration") {
        // The one thing that `connect_raw` can miss in a configuration of ours.
        return ConnectError::PasswordMissing { server };
    }
    let detail = source.as_ref().map(|source| source.to_string()).unwrap_or_default();
    match source.map(|source| source.downcast::<io::Error>()) {
        _ if detail.starts_with("unsupported") => ConnectError::UnsupportedAuthentication { server, method: detail },
        Some(Ok(source)) if text.contains("authentication") => {
            ConnectError::ServerNotGenuine { server, source: *source }
        }
        Some(Ok(source)) if source.kind() == io::ErrorKind::InvalidInput => {
            ConnectError::NotPostgres { server, what: source.to_string() }
        }
        Some(Ok(source)) => ConnectError::Lost { server, source: *source },
        None if text.contains("closed") => {
            ConnectError::Lost { server, source: io::Error::new(io::ErrorKind::UnexpectedEof, text) }
        }
        Some(Err(_)) | None => ConnectError::NotPostgres { server, what: text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_pins_how_values_are_printed() {
        let source = Session::source("x").options();
        for setting in ["client_encoding=UTF8", "datestyle=ISO", "timezone=UTC", "search_path=pg_catalog"] {
            assert!(source.contains(&format!("-c {setting}")), "{setting} in {source}");
        }
        assert!(source.contains("-c row_security=off"));
        assert!(!Session::destination("x").options().contains("row_security"));
        assert!(!Session::user_sql("x").options().contains("search_path"));
    }
}
