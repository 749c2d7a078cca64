//! Reaching Postgres: connections, the replication stream, slots, publications and the catalog.
//!
//! One way leads to a server ([`connect`], over [`stream`] and [`tls`]), for ordinary sessions and for the stream
//! alike, so that what a manifest says of `sslmode` or a socket holds for both, and both print values under the same
//! pinned settings ([`Session`]). What comes out of [`replication`] is bytes with positions; decoding them is the
//! business of `pgoutput`, which knows nothing of this module, nor this one of it.
//!
//! Every module has one error enum; each can say whether it is worth trying again (`is_transient`) and what the
//! operator should do (`hint`). Row values and passwords are in none of them.

pub mod backoff;
pub mod catalog;
pub mod connect;
pub mod password;
pub mod preflight;
pub mod publication;
pub mod quote;
pub mod replication;
pub mod slot;
pub mod throwaway;

mod connect_error;
mod identity;
mod server_error;
mod stream;
mod tls;

pub use backoff::Backoff;
pub use connect::{Session, cancel, connect, connect_and_hear};
pub use connect_error::ConnectError;
pub use identity::SystemIdentity;
pub use quote::{quote_ident, quote_literal, quote_table};
pub use server_error::{QueryError, ServerError};
pub(crate) use stream::{keep_alive, open_tcp};
pub(crate) use tls::verifying_client;
