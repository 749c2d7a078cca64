//! Progress as it is saved beside a checkpoint: opaque JSON to everybody else.

use serde::{Deserialize, Serialize};

use super::delivered::SavedDelivered;
use super::key::Key;
use super::merge::{Frontier, TableMerge};
use super::whole::WholeMerge;

/// The name under which what all tables share is saved.
pub(super) const SHARED: &str = "*";

/// What all tables share.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SavedShared {
    pub delivered: SavedDelivered,
    /// The transaction behind which chunks have entered, and the index in it of the next change.
    #[serde(default)]
    pub at: u64,
    #[serde(default)]
    pub next_change: u64,
}

/// One table.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) struct SavedTable {
    /// A table that was made anew has another one, and starts over.
    pub oid: u32,
    pub rows: u64,
    /// The planner's guess of how many there are, for `status`.
    #[serde(default)]
    pub estimate: u64,
    #[serde(flatten)]
    pub how: SavedHow,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SavedHow {
    Keyed {
        /// The key's columns: with others the frontier means nothing.
        key: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frontier: Option<Key>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        end: bool,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unread: Vec<Key>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        empty_first: bool,
    },
    Whole {
        begun: bool,
        done: bool,
        /// The copy is complete and contains what the stream brings up to this position.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ahead_to: Option<u64>,
    },
}

impl SavedTable {
    pub(super) fn of_keyed(table: &TableMerge) -> SavedTable {
        let (frontier, end) = match &table.frontier {
            Frontier::Start => (None, false),
            Frontier::At(key) => (Some(key.clone()), false),
            Frontier::End => (None, true),
        };
        let how = SavedHow::Keyed {
            key: table.key().columns.iter().map(|column| column.name.to_string()).collect(),
            frontier,
            end,
            unread: table.unread.iter().cloned().collect(),
            empty_first: table.empty_first,
        };
        SavedTable { oid: table.plan.relation.oid, rows: table.rows_copied, estimate: table.plan.rows_estimate, how }
    }

    pub(super) fn of_whole(table: &WholeMerge) -> SavedTable {
        let ahead_to = table.ahead_to().map(|lsn| lsn.0);
        let how = SavedHow::Whole { begun: table.begun, done: table.is_done(), ahead_to };
        SavedTable { oid: table.plan.relation.oid, rows: table.rows_copied, estimate: table.plan.rows_estimate, how }
    }

    /// Brings a merge to where it was. Returns false if the table is another one by now.
    pub(super) fn restore_keyed(self, table: &mut TableMerge) -> bool {
        let SavedHow::Keyed { key, frontier, end, unread, empty_first } = self.how else { return false };
        let columns = table.key().columns.iter().map(|column| &*column.name);
        if self.oid != table.plan.relation.oid || !columns.eq(key.iter().map(String::as_str)) {
            return false;
        }
        let columns = key.len();
        if frontier.iter().chain(&unread).any(|key| key.texts().count() != columns) {
            return false;
        }
        table.frontier = match frontier {
            _ if end => Frontier::End,
            Some(key) => Frontier::At(key),
            None => Frontier::Start,
        };
        table.unread = unread.into_iter().collect();
        table.empty_first = empty_first;
        table.rows_copied = self.rows;
        true
    }
}
