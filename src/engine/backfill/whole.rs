//! One table without a usable key: copied whole, under the snapshot that a slot exported.
//!
//! The slot's consistent point splits the stream: what committed before it is in the copy and is dropped, the rest
//! belongs behind the copy. Since nothing tells which rows are there already, the stream must not go past the consistent
//! point with a change of this table before the copy has entered to its last row ([`WholeMerge::must_wait`]). The copy
//! enters in pieces, in as many destination transactions as it takes; a crash in between starts it over under a new
//! snapshot, and its first piece then empties the destination.

use std::sync::Arc;

use super::table::TablePlan;
use crate::lsn::Lsn;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All changes so far will be in the copy, whose snapshot is yet to be taken.
    Waiting,
    Copying {
        consistent_point: Lsn,
    },
    Done,
}

/// The merge of one table.
pub(super) struct WholeMerge {
    pub(super) plan: Arc<TablePlan>,
    state: State,
    /// A piece has entered.
    pub(super) begun: bool,
    pub(super) empty_first: bool,
    pub(super) rows_copied: u64,
    /// The last change that was dropped because the copy will contain it.
    dropped: Option<Lsn>,
}

impl WholeMerge {
    /// Makes the merge of a table of which an earlier copy may have left rows behind (`begun`).
    pub(super) fn new(plan: Arc<TablePlan>, begun: bool, done: bool) -> WholeMerge {
        let state = if done { State::Done } else { State::Waiting };
        WholeMerge { plan, state, begun, empty_first: begun && !done, rows_copied: 0, dropped: None }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    /// Takes note of the snapshot under which the copy is made. Returns false if a change that the snapshot does not
    /// see was dropped already: it is too old.
    pub(super) fn begin(&mut self, consistent_point: Lsn) -> bool {
        if self.is_done() || self.dropped.is_some_and(|commit_lsn| commit_lsn >= consistent_point) {
            return false;
        }
        if self.begun {
            self.empty_first = true;
        }
        self.rows_copied = 0;
        self.state = State::Copying { consistent_point };
        true
    }

    /// Returns to waiting: the copy broke off and has to be made again under another snapshot.
    pub(super) fn broke_off(&mut self) {
        if let State::Copying { .. } = self.state {
            self.state = State::Waiting;
            self.empty_first = self.begun;
        }
    }

    /// Returns true when a change at `commit_lsn` belongs behind a copy that has not entered yet.
    pub(super) fn must_wait(&self, commit_lsn: Lsn) -> bool {
        matches!(self.state, State::Copying { consistent_point } if commit_lsn >= consistent_point)
    }

    /// Returns true when a change of the table passes; otherwise it is in the copy.
    pub(super) fn passes(&mut self, commit_lsn: Lsn) -> bool {
        if !self.is_done() {
            self.dropped = Some(commit_lsn);
        }
        self.is_done()
    }

    /// Takes a piece of the copy. Returns whether the destination must be emptied before it.
    pub(super) fn enter(&mut self, rows: usize, last: bool) -> bool {
        self.begun = true;
        self.rows_copied += rows as u64;
        if last {
            self.state = State::Done;
        }
        std::mem::take(&mut self.empty_first)
    }
}
