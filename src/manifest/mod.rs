//! The manifest: what a user writes of databases, public schemas and their consumers.

mod build;
mod connection;
mod cross;
mod description;
mod environment;
mod fields;
mod init;
mod json_schema;
mod json_text;
mod model;
mod nearest;
mod node;
mod parse;
mod problem;
#[cfg(test)]
mod reference;
mod report;
mod shape;
mod table_name;
mod url;

#[cfg(test)]
mod tests;

pub use connection::{PostgresConnection, Secret, SslMode};
pub use environment::{Environment, NotText, System};
pub use init::{init_text, is_slug};
pub use json_schema::json_schema;
pub use model::{
    Connection, ConnectionConfig, ConsumerConfig, ConsumerSchemaDef, DataStore, EventStore, Manifest, OnError,
    OutputSchema, ProjectedColumn, PublicSchemaConfig, PublicSchemaDef, SourceConfig, SqlDestination, SqlOperation,
    SqlTransformation, TableDestination, TableProjection, Tables, Transform, Version, WasmConfig, WasmLimits,
};
pub use parse::{LoadError, Origin, load, parse};
pub use problem::{Code, Excerpt, Place, Problem, Problems, Severity};
pub use table_name::{BadTableName, TableName};
pub use url::{BadSslMode, UrlError};
