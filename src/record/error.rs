//! Why nothing is recorded.

use crate::pgoutput::DecodeError;
use crate::postgres::catalog::TableName;
use crate::postgres::publication::{PublicationError, Refused};
use crate::postgres::replication::ReplicationError;
use crate::postgres::{ConnectError, QueryError};

/// A recording can't go on where it was.
const AGAIN: &str = "run it again: a recording begins with what happens from then on";

/// What keeps a recording from starting, or ends it.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    #[error(transparent)]
    Publication(#[from] PublicationError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("the stream can't be read")]
    Decode(#[from] DecodeError),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Refused>),
    #[error(
        "{} is partitioned and has no primary key: a partition that is made while it is published would refuse every UPDATE \
         and DELETE", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Partitioned(Vec<TableName>),
    /// The session that holds the recording's lock has ended.
    #[error("the connection to the source was lost")]
    SessionLost,
    #[error("publication \"{publication}\" does not have {}", tables.join(", "))]
    NotPublished { publication: String, tables: Vec<String> },
    #[error("there is no table to record")]
    NoTables,
    /// Whoever started it does not want it any more.
    #[error("the recording was cancelled before it began")]
    Cancelled,
}

impl RecordError {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            RecordError::Connect(error) => error.hint(),
            RecordError::Replication(error) if error.is_transient() => Some(AGAIN.to_owned()),
            RecordError::Replication(ReplicationError::PublicationMissing { .. }) => {
                Some(format!("somebody dropped the publication; {AGAIN}"))
            }
            RecordError::Replication(error) => error.hint(),
            RecordError::SessionLost => Some(AGAIN.to_owned()),
            RecordError::Partitioned(_) => {
                Some("leave it out, name its partitions, or give it a primary key".to_owned())
            }
            RecordError::Publication(error @ PublicationError::NotPermitted { .. }) => {
                let more = "or name a publication that has the tables with --publication";
                Some(error.hint().map_or(more.to_owned(), |hint| format!("{hint}; {more}")))
            }
            RecordError::Publication(PublicationError::MissingOnStandby { .. }) => {
                Some("make one at the primary, and name it with --publication once it has arrived here".to_owned())
            }
            RecordError::Publication(error) => error.hint(),
            RecordError::Query(error) => error.hint(),
            RecordError::Decode(error) => error.hint(),
            RecordError::Refused(refused) => {
                let mends: Vec<String> = refused.iter().filter_map(Refused::mend).collect();
                (!mends.is_empty()).then(|| mends.join("; "))
            }
            RecordError::NotPublished { .. } => Some(
                "leave the tables out, or leave --publication out, so that one is made for the recording".to_owned(),
            ),
            RecordError::Cancelled => None,
            RecordError::NoTables => {
                Some("make one, or check that the URL names the database that you mean".to_owned())
            }
        }
    }
}
