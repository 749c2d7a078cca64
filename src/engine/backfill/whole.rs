//! One table without a usable key: copied whole, under the snapshot that a slot exported.
//!
//! The slot's consistent point splits the stream: what committed before it is in the copy and is dropped, the rest
//! belongs behind the copy. Since nothing tells which rows are there already, the stream must not go past the consistent
//! point with a change of this table before the copy has entered to its last row ([`WholeMerge::must_wait`]). The copy
//! enters in pieces, in as many destination transactions as it takes; a crash in between starts it over under a new
//! snapshot, and its first piece then empties the destination.
//!
//! The copy may be complete while the stream is still on its way to the consistent point: what it brings until then is
//! in the copy all the same, also after a restart. So the point is saved, and the table is done only behind it.

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
    /// All of the copy has entered, and the stream has not come to its position yet.
    Ahead {
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
    /// Makes the merge of a table that has not been copied; an earlier copy may have left rows behind (`begun`).
    pub(super) fn new(plan: Arc<TablePlan>, begun: bool) -> WholeMerge {
        WholeMerge { plan, state: State::Waiting, begun, empty_first: begun, rows_copied: 0, dropped: None }
    }

    /// Makes the merge of a table whose copy is complete, and ahead of the stream up to `ahead_to`.
    pub(super) fn copied(plan: Arc<TablePlan>, rows_copied: u64, ahead_to: Option<Lsn>) -> WholeMerge {
        let state = ahead_to.map_or(State::Done, |consistent_point| State::Ahead { consistent_point });
        WholeMerge { plan, state, begun: true, empty_first: false, rows_copied, dropped: None }
    }

    /// Returns up to where a complete copy is ahead of the stream.
    pub(super) fn ahead_to(&self) -> Option<Lsn> {
        match self.state {
            State::Ahead { consistent_point } => Some(consistent_point),
            _ => None,
        }
    }

    /// Says that the stream has delivered all that ends at or before `lsn`. Returns true if that makes the table done.
    pub(super) fn passed(&mut self, lsn: Lsn) -> bool {
        let arrived = self.ahead_to().is_some_and(|consistent_point| lsn >= consistent_point);
        if arrived {
            self.state = State::Done;
        }
        arrived
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
        if !self.is_waiting() || self.dropped.is_some_and(|commit_lsn| commit_lsn >= consistent_point) {
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
        let passes = match self.state {
            State::Waiting | State::Copying { .. } => false,
            State::Ahead { consistent_point } => commit_lsn >= consistent_point,
            State::Done => true,
        };
        if !passes {
            self.dropped = Some(commit_lsn);
        }
        passes
    }

    /// Takes a piece of the copy. Returns whether the destination must be emptied before it.
    pub(super) fn enter(&mut self, rows: usize, last: bool) -> bool {
        self.begun = true;
        self.rows_copied += rows as u64;
        if last && let State::Copying { consistent_point } = self.state {
            self.state = State::Ahead { consistent_point };
        }
        std::mem::take(&mut self.empty_first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Relation, ReplicaIdentity};

    fn plan() -> Arc<TablePlan> {
        let relation = Relation {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
            identity: ReplicaIdentity::Full,
            columns: Vec::new(),
        };
        Arc::new(TablePlan {
            publication: "p".into(),
            relation: Arc::new(relation),
            partitioned: false,
            row_filter: None,
            key: None,
            rows_estimate: 0,
        })
    }

    #[test]
    fn what_the_copy_contains_does_not_pass_again_while_the_stream_catches_up_with_it() {
        let mut table = WholeMerge::new(plan(), false);
        assert!(!table.passes(Lsn(10)));
        assert!(table.begin(Lsn(50)));
        assert!(table.must_wait(Lsn(50)));
        table.enter(3, true);
        // The same after a restart at a checkpoint before the consistent point.
        let mut restarted = WholeMerge::copied(plan(), 3, table.ahead_to());
        for table in [&mut table, &mut restarted] {
            assert!(!table.must_wait(Lsn(50)) && !table.is_waiting());
            assert!(!table.passes(Lsn(20)) && !table.passes(Lsn(49)));
            assert!(table.passes(Lsn(50)));
            assert!(!table.passed(Lsn(49)) && !table.is_done());
            assert!(table.passed(Lsn(50)) && table.is_done());
            assert!(table.passes(Lsn(51)));
        }
    }
}
