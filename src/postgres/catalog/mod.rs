//! Tables as today's catalog describes them.
//!
//! The stream tells the columns of a table as they were when a row was written, but not whether they are nullable, what
//! an enum's labels are, or what a table's keys look like. All that is read here, for many tables with three queries,
//! however many there are. It is today's truth, which may be newer than the stream's: [`Table::enrich`] takes over
//! nothing where the two disagree.

mod hidden;
mod load;
mod table;

pub use hidden::is_being_altered;
pub use load::{Which, load};
pub use table::{
    Comparable, Generated, Key, KeyColumn, Persistence, Table, TableColumn, TableKind, TableName, TypeKind,
};

/// Schemas of our own, whose tables are never published and whose changes are dropped.
pub const OWN_SCHEMAS: &[&str] = &["rejot_events", "rejot_data_store", "pelton"];

/// Returns true for the schemas of Postgres itself.
pub fn is_system_schema(schema: &str) -> bool {
    schema.starts_with("pg_") || schema == "information_schema"
}
