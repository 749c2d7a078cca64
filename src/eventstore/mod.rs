//! The event store: what was published, in a durable log that any number of consumers read at their own pace.
//!
//! A *stream* is one major version of a public schema of one manifest; its events have positions that only grow
//! ([`Position`]). A flow into an event store appends them in the transaction that moves its checkpoint, through the same
//! sink that writes any other table ([`append`]), so they are there exactly once. Whoever reads them ([`read`]) sees whole
//! transactions of the source, for each was committed as a whole.
//!
//! What a row looks like in an event is in [`object`], what the columns of a stream are in [`stream`].

mod append;
mod json;
mod object;
mod read;
mod stream;

use crate::datastore::DataStoreError;
use crate::lsn::Lsn;

pub use append::{Appender, Origin, events_table};
pub use object::BadEvent;
pub use read::{Event, Events, Page, Reading, Wanted, events};
pub use stream::{Publisher, Shape, Stream, StreamConflict, register, shapes, streams};

/// The schema that holds all of it.
pub const SCHEMA: &str = "rejot_events";

/// The channel on which an event store tells that something was appended. It says nothing else.
pub const CHANNEL: &str = "rejot_events";

/// The position of an event in its stream.
///
/// Positions of the streams of one source compare: they order its transactions, and the rows in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Grows when the source's log begins anew; 0 is ReJot's.
    pub epoch: i32,
    /// The commit record of the transaction. Rows that existed before they were published, and the beginning of a stream
    /// that starts anew, lie at the byte before the boundary between transactions at which they entered, where no commit
    /// record can be.
    pub commit_lsn: Lsn,
    pub ordinal: i64,
}

impl Position {
    /// Before every event.
    pub const START: Position = Position { epoch: 0, commit_lsn: Lsn::ZERO, ordinal: 0 };

    /// Returns true when both belong to one transaction of the source.
    pub fn is_same_transaction(&self, other: &Position) -> bool {
        (self.epoch, self.commit_lsn) == (other.epoch, other.commit_lsn)
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.epoch, self.commit_lsn, self.ordinal)
    }
}

fn query(act: &'static str) -> impl FnOnce(tokio_postgres::Error) -> DataStoreError {
    DataStoreError::query_in(SCHEMA, act)
}
