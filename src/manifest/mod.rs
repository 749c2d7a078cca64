//! The manifest: what a user writes of databases, public schemas and their consumers.
//!
//! ```text
//! bytes → node (tree with places) → shape (held against the description) → cross checks → Manifest | all Problems
//! ```
//!
//! One `description` of every field drives the parser, the JSON Schema for editors and the reference in
//! `docs/manifest.md`; to add a field is to add it there and to read it in `build`.
//!
//! Promises: no text makes it panic, run long or grow large (`node` names the bounds). All problems come at once, each
//! with its place and what to do; only a text that is no YAML ends at the first. A [`Manifest`] is always valid.
//! No problem tells a secret (`report` says how). Nothing here knows Postgres's answers: whether a table is there,
//! and a component is what it should be, is for `check` and the engine to find out.

mod build;
mod compatible;
mod connection;
mod cross;
mod description;
pub mod edit;
mod environment;
mod fields;
mod init;
mod join;
mod json_schema;
mod lent;
mod model;
mod parse;
#[cfg(test)]
mod reference;
mod scalar;
mod secret;
mod service;
mod shape;
mod table_name;
mod together;
mod url;
mod workspace;

#[cfg(test)]
mod tests;

pub(crate) use crate::document::nearest::nearest;
pub use crate::document::problem::{Code, Excerpt, Place, Problem, Problems, Severity};
pub use crate::document::report::without_password;
use crate::document::{json_text, nearest, node, problem, report};

pub use compatible::output_schema_breaks;
pub use connection::{PostgresConnection, Secret, SslMode};
pub use environment::{Environment, NotText, System};
pub use fields::{age_seconds, size_bytes};
pub use init::{init_text, is_slug};
pub use join::join;
pub use json_schema::json_schema;
pub use model::{
    Connection, ConnectionConfig, ConsumerConfig, ConsumerSchemaDef, DataStore, EventStore, Manifest, OnError,
    OutputSchema, ProjectedColumn, PublicSchemaConfig, PublicSchemaDef, Retention, SourceConfig, SqlDestination,
    SqlOperation, SqlTransformation, TableDestination, TableProjection, Tables, Transform, Version, WasmConfig,
    WasmLimits, WorkspaceMember,
};
pub use parse::{LoadError, Origin, load, parse};
pub use service::{BadServiceUrl, DEFAULT_PORT, Resolver, ServiceUrl, SyncService, service_variable};
pub use table_name::{BadTableName, TableName};
pub use together::check_together;
pub use url::{BadSslMode, UrlError};
pub use workspace::{FILE_NAMES, Loaded, load_all};
