//! Writes public rows into destination tables.

mod destination;
mod error;
mod table;

pub use destination::{Addressed, Destination, WriteStats};
pub use error::{Refusal, SinkError};
pub use table::{TableTarget, TableWriter};
