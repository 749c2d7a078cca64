//! What keeps a database from being prepared at all, and what the operator should do about it.

use std::time::Duration;

use crate::postgres::publication::PublicationError;
use crate::postgres::{ConnectError, QueryError};

/// What keeps a database from being prepared.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{place}: cannot connect")]
    Connect { place: String, source: ConnectError },
    #[error("{place}: PostgreSQL {version} is too old: Pelton needs 14 or newer")]
    TooOld { place: String, version: String },
    #[error("{place}: this is a standby, where nothing can be made")]
    Standby { place: String },
    #[error("{place}: the server was not restarted within {} s", after.as_secs())]
    NotRestarted { place: String, after: Duration },
    #[error(transparent)]
    Publication(#[from] PublicationError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("stopped; nothing is half done")]
    Stopped,
}

impl SetupError {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            SetupError::Connect { source, .. } => source.hint(),
            SetupError::TooOld { .. } => Some("upgrade the server".to_owned()),
            SetupError::Standby { .. } => Some(
                "name its primary: roles, grants and publications come to the standby from there; `pelton sync` makes the \
                 slot on a standby itself (16 and newer)"
                    .to_owned(),
            ),
            SetupError::NotRestarted { .. } => {
                Some("restart it, then run `pelton setup` again: it goes on where it was".to_owned())
            }
            SetupError::Publication(error) => error.hint(),
            SetupError::Query(error) => error.hint(),
            SetupError::Stopped => Some("run `pelton setup` again: it goes on where it was".to_owned()),
        }
    }
}
