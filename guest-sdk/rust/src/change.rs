//! A change of a source table, as its function gets it.

use crate::source::SourceRow;

/// One change of a source table.
#[derive(Clone, PartialEq)]
pub enum Change<S: SourceRow> {
    Insert(S),
    Update {
        /// What was sent of the old row: always under `REPLICA IDENTITY FULL`, otherwise only when the key changed.
        old: Option<Old<S>>,
        new: S,
    },
    Delete(Old<S>),
    /// The table was emptied.
    Truncate,
}

/// What Postgres sent of the row that was updated or deleted.
#[derive(Clone, PartialEq)]
pub enum Old<S: SourceRow> {
    /// The fields marked `#[key]`.
    Key(S::Key),
    /// The whole row: the table has `REPLICA IDENTITY FULL`.
    Row(S),
}

impl<S: SourceRow> Old<S> {
    /// Returns the fields marked `#[key]`.
    pub fn key(&self) -> S::Key {
        match self {
            Old::Key(key) => key.clone(),
            Old::Row(row) => row.key(),
        }
    }
}

impl<S: SourceRow> Change<S> {
    /// Returns the new row of an insert or an update.
    pub fn new_row(&self) -> Option<&S> {
        match self {
            Change::Insert(new) | Change::Update { new, .. } => Some(new),
            Change::Delete(_) | Change::Truncate => None,
        }
    }

    /// Returns the key that the row had before the change: of an update that did not send its old row, the new one's.
    pub fn old_key(&self) -> Option<S::Key> {
        match self {
            Change::Update { old: None, new } => Some(new.key()),
            Change::Update { old: Some(old), .. } | Change::Delete(old) => Some(old.key()),
            Change::Insert(_) | Change::Truncate => None,
        }
    }
}
