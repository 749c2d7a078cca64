//! The manifest: what a user writes of databases, public schemas and their consumers.

mod connection;

pub use connection::{PostgresConnection, Secret, SslMode};
