//! What passes between the merge and those who read chunks.

use std::sync::Arc;
use std::time::Duration;

use super::delivered::MustSee;
use super::key::Key;
use super::read_error::ReadError;
use super::snapshot::Snapshot;
use super::table::TablePlan;
use crate::change::{Relation, Tuple};
use crate::lsn::Lsn;

/// Names one read of one chunk within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadId(pub u64);

/// Which rows a read is for.
#[derive(Clone, Debug)]
pub enum What {
    /// The next `rows_max` rows in key order behind `after`.
    Range { after: Option<Key>, rows_max: u32 },
    /// The rows with these keys: rows that were moved into the copied range and that the stream did not carry whole.
    Keys(Vec<Key>),
}

/// A read that should be done now.
#[derive(Clone, Debug)]
pub struct ReadJob {
    pub read: ReadId,
    pub plan: Arc<TablePlan>,
    pub what: What,
    /// The chunk's snapshot must see these; otherwise it is to be taken again, a little later.
    pub must_see: MustSee,
    /// A chunk ends early, at a row, when it holds that much.
    pub bytes_max: usize,
}

/// A read has its snapshot.
#[derive(Clone, Debug)]
pub struct Opened {
    pub read: ReadId,
    pub snapshot: Snapshot,
    /// A position that everything the snapshot sees lies before, taken after the snapshot.
    pub lsn: Lsn,
    /// The table's columns under the snapshot, those of the rows to come.
    pub relation: Arc<Relation>,
}

/// A read has its rows, in key order.
#[derive(Debug)]
pub struct Arrived {
    pub read: ReadId,
    pub rows: Vec<Tuple>,
    pub bytes: usize,
    /// There is no row behind these.
    pub exhausted: bool,
    pub elapsed: Duration,
}

/// What readers report.
#[derive(Debug)]
pub enum Event {
    Opened(Opened),
    Arrived(Arrived),
    /// Nothing comes of this read.
    Failed {
        read: ReadId,
        error: ReadError,
    },
    /// A part of a table that is copied whole.
    Piece {
        table: usize,
        relation: Arc<Relation>,
        rows: Vec<Tuple>,
        last: bool,
    },
    /// Nothing more comes of this copy.
    CopyFailed {
        table: usize,
        error: ReadError,
    },
}

/// Some keys whose order only Postgres knows.
#[derive(Clone, Debug)]
pub struct Question {
    /// Names the table to [`super::Backfill::learn`].
    pub(super) table: usize,
    pub plan: Arc<TablePlan>,
    /// Which of `keys` are greater than this one?
    pub bound: Key,
    pub keys: Vec<Key>,
}

impl Question {
    /// Asks which of `keys` are greater than `bound`, for its own sake.
    pub fn new(plan: Arc<TablePlan>, bound: Key, keys: Vec<Key>) -> Question {
        Question { table: usize::MAX, plan, bound, keys }
    }
}
