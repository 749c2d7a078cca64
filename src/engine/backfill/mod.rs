//! Backfill: rows that existed before a flow, copied inside its stream.

mod copy_text;
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
mod plan;
mod read;
mod read_error;
mod reader;
mod readers;
mod saved;
mod snapshot;
mod sql;
mod status;
mod table;
mod whole;

pub use delivered::{Fence, MustSee};
pub use error::BackfillError;
pub use group::{Backfill, Position};
pub use key::{Key, KeyColumn, KeySpec};
pub use order::Order;
pub use plan::plan_tables;
pub use read::{Arrived, Event, Opened, Question, ReadId, ReadJob, What};
pub use read_error::ReadError;
pub use reader::ChunkReader;
pub use readers::Readers;
pub use snapshot::{BadSnapshot, Commit, Replay, Sight, Snapshot};
pub use status::{TableStage, TableStatus};
pub use table::TablePlan;
