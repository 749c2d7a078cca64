//! What can go wrong while stream and backfill are merged.

use crate::change::Op;

/// Why the changes of a table in backfill can't be merged.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    #[error("{op:?} of {table} does not say its key column {column}, so it is not known whether the row is copied yet")]
    KeyAbsent { table: String, column: Box<str>, op: Op },
    #[error("{table} no longer has the key column {column} by which its backfill goes")]
    KeyColumnMissing { table: String, column: Box<str> },
    #[error("the key column {column} of {table} came in binary or is no UTF-8; a backfill compares keys as text")]
    KeyNoText { table: String, column: Box<str> },
    #[error("the saved progress of the backfill of {table} can't be read")]
    BadProgress { table: String, source: serde_json::Error },
    #[error("the saved progress of the backfill holds a snapshot that can't be read")]
    BadSavedSnapshot(#[from] super::snapshot::BadSnapshot),
    /// A question of [`super::Backfill::questions`] was not answered before the merge went on: a bug of the caller.
    #[error("the order of a key of {table} was not asked for before it was needed")]
    Unanswered { table: String },
    /// A batch came whose table still has to be copied first: a bug of the caller.
    #[error("a change of {table} was merged before the copy that it belongs behind")]
    TooEarly { table: String },
    /// A piece of a copy came inside a transaction, or of a table that is not copied whole: a bug of the caller.
    #[error("rows of {table} were to enter where none may")]
    NotNow { table: String },
}

/// How to have rows copied again from the start.
pub(super) const START_ANEW: &str = "DELETE their rows from rejot_data_store.flow, .backfill and .transform_state at the \
                          destination, empty their tables, and restart `pelton sync`";

impl BackfillError {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            BackfillError::KeyAbsent { table, .. } => Some(format!(
                "give {table} a primary key, or a unique index over NOT NULL columns and \
                 ALTER TABLE … REPLICA IDENTITY USING INDEX …; on a partitioned table every partition needs it"
            )),
            BackfillError::KeyColumnMissing { table, .. } => {
                Some(format!("give {table} its key column back, or start its flows anew: {START_ANEW}"))
            }
            BackfillError::KeyNoText { .. } => Some("turn the stream's binary mode off until it is copied".to_owned()),
            BackfillError::BadProgress { .. } | BackfillError::BadSavedSnapshot(_) => Some(format!(
                "it was written by another version, or by hand; go back to that version, or start the flows anew: \
                 {START_ANEW}"
            )),
            BackfillError::Unanswered { .. } | BackfillError::TooEarly { .. } | BackfillError::NotNow { .. } => None,
        }
    }
}
