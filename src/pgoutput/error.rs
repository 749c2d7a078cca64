//! What can be wrong with a message, and what to do about it.

use super::RelationIndex;
use crate::change::{BadTuple, ReplicaIdentity};

/// A message that is not what pgoutput sends under protocol version 1.
///
/// Each names the message and the field; the position in the stream is known to whoever read the bytes. Retrying does
/// not help: the same bytes come again. Values of rows are never part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("an empty pgoutput message: not even its kind is there")]
    Empty,

    #[error("pgoutput message of the unknown kind {}", tag.escape_ascii())]
    UnknownTag { tag: u8 },

    #[error("pgoutput {message} message ends too early, in its {field}")]
    Truncated { message: &'static str, field: &'static str },

    #[error("pgoutput {message} message goes on for {bytes} bytes behind its end")]
    TrailingBytes { message: &'static str, bytes: usize },

    #[error("pgoutput {message} message: {field} is {value}, below zero")]
    Negative { message: &'static str, field: &'static str, value: i64 },

    #[error("pgoutput {message} message: {field} is not UTF-8")]
    NotUtf8 { message: &'static str, field: &'static str, source: std::str::Utf8Error },

    #[error("pgoutput {message} message: {field} has the unknown bits {bits:#04x}")]
    UnknownFlags { message: &'static str, field: &'static str, bits: u8 },

    #[error("pgoutput {message} message: {field} is {}, where {expected} is expected", got.escape_ascii())]
    Unexpected { message: &'static str, field: &'static str, expected: &'static str, got: u8 },

    #[error("pgoutput {message} message is about relation {oid}, which the server has not described")]
    UnknownRelation { message: &'static str, oid: u32 },

    #[error("pgoutput {message} message of {relation}: {field} is malformed")]
    BadRow { message: &'static str, field: &'static str, relation: String, source: BadTuple },

    #[error("pgoutput {message} message of {relation}: {field} has {got} columns, the relation has {expected}")]
    ColumnCount { message: &'static str, field: &'static str, relation: String, expected: usize, got: usize },

    /// The old row is of a kind that the relation's replica identity can't send: a key where there is none or where
    /// the whole row is due, or a whole row where the key is due. Partitions that are published via a root of another
    /// identity do it. It concerns this relation alone: `index` says whose flows can't go on.
    #[error(
        "pgoutput {message} message of {relation}: {field} does not fit its replica identity ({}, {key_columns} key \
         columns)",
        word(*identity)
    )]
    OldRow {
        message: &'static str,
        field: &'static str,
        index: RelationIndex,
        relation: String,
        identity: ReplicaIdentity,
        key_columns: usize,
    },

    #[error("more than {limit} versions of relations in one replication connection")]
    TooManyRelations { limit: u32 },
}

impl DecodeError {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            DecodeError::UnknownTag { .. } => {
                "Only protocol version 1 of the plugin pgoutput is read, without streaming or two_phase: check that the \
                 slot was made with pgoutput, and that nothing between here and the server changes the stream."
            }
            DecodeError::NotUtf8 { .. } => {
                "Names must arrive as UTF-8: the database needs an encoding that Postgres can convert, not SQL_ASCII."
            }
            DecodeError::OldRow { relation, .. } => {
                return Some(format!(
                    "If {relation} is partitioned and published via its root, give the root and every partition the \
                     same replica identity (ALTER TABLE ... REPLICA IDENTITY ...), then make the slot anew and \
                     backfill: what is in the WAL already stays as it is."
                ));
            }
            DecodeError::TooManyRelations { .. } => "Reconnect: a new connection starts with none.",
            DecodeError::Empty
            | DecodeError::Truncated { .. }
            | DecodeError::TrailingBytes { .. }
            | DecodeError::Negative { .. }
            | DecodeError::UnknownFlags { .. }
            | DecodeError::Unexpected { .. }
            | DecodeError::UnknownRelation { .. }
            | DecodeError::BadRow { .. }
            | DecodeError::ColumnCount { .. } => {
                "The stream is damaged, or this PostgreSQL version writes it in a way that is not known here. Nothing \
                 was applied or confirmed of it. Please report it with the server's version (SELECT version())."
            }
        };
        Some(hint.to_owned())
    }
}

fn word(identity: ReplicaIdentity) -> &'static str {
    match identity {
        ReplicaIdentity::Default => "DEFAULT",
        ReplicaIdentity::Index => "USING INDEX",
        ReplicaIdentity::Full => "FULL",
        ReplicaIdentity::Nothing => "NOTHING",
    }
}
