//! The manifest: what a user writes of databases, public schemas and their consumers.

mod connection;
mod model;
mod problem;
mod table_name;

pub use connection::{PostgresConnection, Secret, SslMode};
pub use model::{
    Connection, ConnectionConfig, ConsumerConfig, ConsumerSchemaDef, DataStore, EventStore, Manifest, OnError,
    OutputSchema, ProjectedColumn, PublicSchemaConfig, PublicSchemaDef, SourceConfig, SqlDestination, SqlOperation,
    SqlTransformation, TableDestination, TableProjection, Tables, Transform, Version, WasmConfig, WasmLimits,
};
pub use problem::{Code, Excerpt, Place, Problem, Problems, Severity};
pub use table_name::{BadTableName, TableName};
