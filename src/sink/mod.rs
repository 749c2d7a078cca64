//! Writes public rows into destination tables.
//!
//! What comes in is rows in source order, across the tables that commit together; what is promised is that after
//! [`Destination::write`] the tables look as if each row had been applied alone, one after another, in the transaction
//! that the caller has open. How it gets there:
//!
//! - a few rows are sent as they come, as prepared statements in one round trip ([`pipeline`], [`apply`]);
//! - of many rows, those of one key are folded into one ([`fold`]), and what is left is written in bulk: new rows by
//!   COPY ([`copy`]), others by statements over arrays ([`sql`]), in an order that foreign keys accept ([`plan`]);
//! - where a constraint refuses that order, the batch is rolled back to a savepoint and applied in source order
//!   ([`runs`]);
//! - keys that Postgres alone can compare are never folded ([`key`]);
//! - where an author's own statements take rows of the batch ([`statement`]), all of it is applied in source order.
//!
//! An update that leaves columns alone and finds no row writes nothing: the missing columns are not known, and to write
//! NULL for them would be to invent data. It is counted in [`WriteStats::missing`], and whoever called decides.
//!
//! Two rows whose keys are swapped *within one statement* at the source (possible under REPLICA IDENTITY FULL with a
//! deferrable primary key) can't be told from a row that moves on and back; such keys are not supported.

mod apply;
mod binary;
mod catalog;
mod check;
mod copy;
mod create;
mod destination;
mod encode;
mod error;
mod fold;
mod key;
mod pipeline;
mod plan;
mod refusal;
mod rows;
mod runs;
mod shape;
mod sql;
mod statement;
mod table;

pub use create::MISSING_VALUE;
pub use destination::{Addressed, Destination, WriteStats, Writer};
pub use encode::{NotText, text as text_of};
pub use error::SinkError;
pub use refusal::Refusal;
pub use statement::{SqlTarget, SqlWriter};
pub use table::{TableTarget, TableWriter, examine, fits};
