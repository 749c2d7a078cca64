//! What can go wrong while rows are read at the source.

use super::error::START_ANEW;
use super::snapshot::BadSnapshot;
use crate::lsn::BadLsn;
use crate::postgres::{ConnectError, QueryError};

/// Why rows could not be read at the source.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot reach the source for a backfill")]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("{table} is gone, or is another table by now")]
    Gone { table: String },
    #[error("{table} is no longer in the publication \"{publication}\"")]
    NotPublished { table: String, publication: String },
    #[error(
        "the key column {column} of {table} has another type, or is not published any more, since its backfill began"
    )]
    KeyChanged { table: String, column: String },
    #[error("{table} was rewritten after the snapshot for its copy was taken, and has to be copied under another one")]
    Rewritten { table: String },
    #[error("a row of {table} is not what COPY writes")]
    BadRow { table: String },
    #[error("the source's answer has no snapshot")]
    BadSnapshot(#[from] BadSnapshot),
    #[error("the source's answer has no position")]
    BadLsn(#[from] BadLsn),
}

impl ReadError {
    /// Returns true when the same read may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            ReadError::Connect(error) => error.is_transient(),
            ReadError::Query(error) => error.is_transient(),
            ReadError::Rewritten { .. } => true,
            _ => false,
        }
    }

    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            ReadError::Connect(error) => error.hint(),
            ReadError::Query(error) => error.hint(),
            ReadError::Gone { table } => {
                Some(format!("make {table} again, or take it out of the manifest's `tables` and its public schemas"))
            }
            ReadError::NotPublished { table, publication } => {
                Some(format!("ALTER PUBLICATION \"{publication}\" ADD TABLE {table}"))
            }
            ReadError::KeyChanged { table, .. } => {
                Some(format!("change the key column of {table} back, or start its flows anew: {START_ANEW}"))
            }
            ReadError::Rewritten { .. } => None,
            ReadError::BadRow { .. } | ReadError::BadSnapshot(_) | ReadError::BadLsn(_) => {
                Some("is a proxy between Pelton and Postgres? Connect to Postgres itself".to_owned())
            }
        }
    }
}
