//! pgoutput, the logical replication format of Postgres, from bytes to messages.
//!
//! Protocol version 1 ("Logical Replication Message Formats" in the manual), complete: every message, text and binary
//! columns. One [`Decoder`] lives as long as one replication connection, because the server describes each table and
//! type once per connection and refers to it by OID from then on.
//!
//! Two things make this part worth its care.
//!
//! **A row must never be read under the wrong columns.** The format of a row says nothing about its table; only the
//! newest Relation message does. So a row carries the index of the very version of the relation that it was written
//! under ([`RelationIndex`]), a table that is altered gets a new index while the rows in flight keep the old one, and
//! a row whose number of columns or whose identity contradicts its relation is an error. What is not understood to the
//! last byte is an error too: unknown tags and flags, bytes left over, old rows that the replica identity can't send.
//!
//! **A row is not looked at.** [`Tuple`](crate::change::Tuple) checks the lengths in one walk and keeps the bytes;
//! nothing is copied, allocated or counted up for an insert. The relation is found by comparing the OID with that of
//! the row before, and only where the table changes by a hash table.
//!
//! What belongs elsewhere: which messages form a transaction (the engine), what a column is called in a guest, and
//! what Relation messages lack (nullability, labels of enums), which comes from the catalog. Nothing here does I/O.
//!
//! <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>

mod builtin_types;
mod decoder;
mod error;
mod message;
mod quote;
mod reader;
mod types;
#[cfg(any(test, feature = "fault-injection"))]
pub mod writer;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod recordings;

pub use decoder::Decoder;
pub use error::DecodeError;
pub use message::{Begin, Commit, LogicalMessage, Message, Origin, RelationIndex, Truncate, Type};
