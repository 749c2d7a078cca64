//! Backfill: rows that existed before a flow, copied inside its stream.

mod delivered;
mod error;
mod group;
mod held;
mod key;
mod merge;
#[cfg(test)]
mod model;
mod order;
mod pace;
mod read;
mod saved;
mod snapshot;
mod status;
mod table;
mod whole;

pub use delivered::{Fence, MustSee};
pub use error::BackfillError;
pub use group::{Backfill, Position};
pub use key::{Key, KeyColumn, KeySpec};
pub use order::Order;
pub use read::{Arrived, Opened, Question, ReadId, ReadJob, What};
pub use snapshot::{BadSnapshot, Commit, Replay, Sight, Snapshot};
pub use status::{TableStage, TableStatus};
pub use table::TablePlan;
