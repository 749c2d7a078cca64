//! What a manifest says, checked: every [`Manifest`] is valid.
//!
//! Names refer to what exists, defaults are filled in, variables and secrets are put in, paths are resolved against
//! the manifest's folder. What the engine can't run is here all the same, as variants of its own: to refuse it is the
//! engine's part.

use std::path::PathBuf;
use std::time::Duration;

use super::connection::PostgresConnection;
use super::problem::{Place, Problem};
use super::service::SyncService;
use super::table_name::TableName;

/// A manifest, always valid.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The file as it was named, for messages.
    pub file: String,
    pub slug: String,
    /// The manifests that are one with this one.
    pub workspaces: Vec<WorkspaceMember>,
    pub connections: Vec<Connection>,
    pub data_stores: Vec<DataStore>,
    /// Those in Postgres. What is in memory keeps nothing, so flows go as if it were not there.
    pub event_stores: Vec<EventStore>,
    /// Where public schemas of other manifests are read over HTTP.
    pub sync_services: Vec<SyncService>,
    pub public_schemas: Vec<PublicSchemaDef>,
    pub consumer_schemas: Vec<ConsumerSchemaDef>,
    /// What is valid and yet hardly meant, in the order of the file.
    pub warnings: Vec<Problem>,
}

/// A manifest that another one names: a file, or a folder that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceMember {
    pub path: PathBuf,
    pub at: Place,
}

/// A database that data stores and event stores refer to by its slug.
#[derive(Clone, Debug)]
pub struct Connection {
    pub slug: String,
    pub config: ConnectionConfig,
    pub at: Place,
}

#[derive(Clone, Debug)]
pub enum ConnectionConfig {
    Postgres(PostgresConnection),
    /// ReJot's, for its tests.
    InMemory,
}

/// A database that is read from or written to.
#[derive(Clone, Debug)]
pub struct DataStore {
    /// The slug of its connection, which is its own name too.
    pub slug: String,
    /// How it is read; without it the store is a destination alone.
    pub source: Option<SourceConfig>,
    pub at: Place,
}

/// How a data store is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    pub slot_name: String,
    pub publication_name: String,
    pub tables: Tables,
    /// How much WAL a stopped flow may hold back before it is released and needs a backfill; `None`: any amount.
    pub detached_wal_max_bytes: Option<u64>,
}

/// What a publication is made of when Pelton makes it. One that exists is taken as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    All,
    Listed(Vec<TableName>),
    /// The manifest names none: the tables that its public schemas read.
    Needed,
}

/// A database that holds the log of public-schema events.
#[derive(Clone, Debug)]
pub struct EventStore {
    /// The slug of its connection.
    pub slug: String,
    /// The slug of the event store all of whose events are kept here too.
    pub mirror_of: Option<String>,
    /// `None`: everything is kept.
    pub retention: Option<Retention>,
    pub at: Place,
}

/// What an event store does not keep for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub max_age: Option<Duration>,
    pub max_bytes: Option<u64>,
    /// Keep the newest event of each key.
    pub compact: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

/// A JSON Schema as it was written; holding columns against it is the part of `check` and the engine.
#[derive(Clone, Debug)]
pub struct OutputSchema {
    pub schema: serde_json::Value,
    pub at: Place,
}

/// What an owner exposes.
#[derive(Clone, Debug)]
pub struct PublicSchemaDef {
    pub name: String,
    pub version: Version,
    /// The slug of the data store that it is made from, which always has a [`SourceConfig`].
    pub source: String,
    pub output_schema: Option<OutputSchema>,
    /// A row that is not what the output schema says stops the flow.
    pub strict: bool,
    pub definition_file: Option<PathBuf>,
    pub config: PublicSchemaConfig,
    pub at: Place,
}

#[derive(Clone, Debug)]
pub enum PublicSchemaConfig {
    Wasm(WasmConfig),
    Table(TableProjection),
    /// ReJot's SQL.
    Postgres(Vec<SqlTransformation>),
}

/// A transform in WebAssembly.
#[derive(Clone, Debug)]
pub struct WasmConfig {
    pub component: PathBuf,
    /// In the order of the manifest, each name once.
    pub settings: Vec<(String, String)>,
    pub limits: WasmLimits,
    pub on_error: OnError,
    /// The number of instances, at least 1.
    pub parallel: u32,
    /// A candidate that is given the same changes, and whose rows are compared and not written.
    pub shadow: Option<PathBuf>,
    /// Where `component` stands.
    pub at: Place,
}

/// What a guest may use; what is left out is the host's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WasmLimits {
    pub memory_mib: Option<u32>,
    /// For one call of the guest.
    pub timeout_ms: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The flow stops at the change that its transform refuses.
    #[default]
    Stop,
}

/// A plain projection of one table.
#[derive(Clone, Debug)]
pub struct TableProjection {
    pub table: TableName,
    /// `None`: all columns of the table, under their own names.
    pub columns: Option<Vec<ProjectedColumn>>,
    /// Public names of the key's columns, each once; `None`: the table's primary key or replica identity.
    pub key: Option<Vec<String>>,
    /// Where `table` stands.
    pub at: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectedColumn {
    /// The name in the public schema.
    pub name: String,
    /// The name in the table.
    pub source: String,
}

/// One of ReJot's SQL transformations.
#[derive(Clone, Debug)]
pub struct SqlTransformation {
    pub operation: SqlOperation,
    /// As ReJot has it: the bare name of a table.
    pub table: String,
    pub sql: String,
    pub at: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlOperation {
    Insert,
    Update,
    Delete,
}

/// How a destination takes a public schema.
#[derive(Clone, Debug)]
pub struct ConsumerSchemaDef {
    /// Unique in its manifest.
    pub name: String,
    /// This manifest's own slug, or that of another one.
    pub source_manifest: String,
    pub public_schema: String,
    pub major: u32,
    /// The slug of the event store that it reads; `None`: the manifest's first.
    pub event_store: Option<String>,
    pub definition_file: Option<PathBuf>,
    pub config: ConsumerConfig,
    pub at: Place,
}

#[derive(Clone, Debug)]
pub enum ConsumerConfig {
    Table(TableDestination),
    /// ReJot's SQL.
    Postgres(SqlDestination),
}

impl ConsumerConfig {
    /// Returns the slug of the data store that is written to.
    pub fn destination(&self) -> &str {
        match self {
            ConsumerConfig::Table(table) => &table.data_store,
            ConsumerConfig::Postgres(sql) => &sql.data_store,
        }
    }
}

/// A table that is kept equal by key.
#[derive(Clone, Debug)]
pub struct TableDestination {
    /// The slug of the data store that is written to.
    pub data_store: String,
    pub table: TableName,
    /// Make the table from the public schema when it is absent.
    pub create_table: bool,
    /// Copy the rows that existed before the flow.
    pub backfill: bool,
    /// Where `table` stands.
    pub at: Place,
}

/// SQL that runs for every public row.
#[derive(Clone, Debug)]
pub struct SqlDestination {
    /// The slug of the data store that is written to.
    pub data_store: String,
    pub sql: String,
    pub delete_sql: Option<String>,
    /// Run it for the rows that existed before the flow, too.
    pub backfill: bool,
    /// Where `sql` stands.
    pub at: Place,
}

/// The public schemas that one component makes in one source with the same settings: it runs once for all of them.
#[derive(Clone, Debug)]
pub struct Transform<'a> {
    /// The slug of the data store that it reads.
    pub source: &'a str,
    /// Limits, `onError`, `parallel` and `shadow` are equal in all of its public schemas.
    pub config: &'a WasmConfig,
    pub public_schemas: Vec<&'a PublicSchemaDef>,
}

impl Manifest {
    /// Returns the connection of that slug.
    pub fn connection(&self, slug: &str) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.slug == slug)
    }

    /// Returns how the Postgres of that connection is reached; `None` when there is none, or it is no Postgres.
    pub fn postgres(&self, slug: &str) -> Option<&PostgresConnection> {
        match &self.connection(slug)?.config {
            ConnectionConfig::Postgres(postgres) => Some(postgres),
            ConnectionConfig::InMemory => None,
        }
    }

    /// Returns the data store of that slug.
    pub fn data_store(&self, slug: &str) -> Option<&DataStore> {
        self.data_stores.iter().find(|store| store.slug == slug)
    }

    /// Returns the event store that a consumer reads; `None` where it is fed straight from its source.
    pub fn event_store_of(&self, consumer: &ConsumerSchemaDef) -> Option<&EventStore> {
        match &consumer.event_store {
            Some(slug) => self.event_stores.iter().find(|store| store.slug == *slug),
            None => self.event_stores.first(),
        }
    }

    /// Returns the data stores that are read, each with how.
    pub fn sources(&self) -> impl Iterator<Item = (&DataStore, &SourceConfig)> {
        self.data_stores.iter().filter_map(|store| Some((store, store.source.as_ref()?)))
    }

    /// Returns the public schema of that name and major version; the minor version never matters to a consumer.
    pub fn public_schema(&self, name: &str, major: u32) -> Option<&PublicSchemaDef> {
        self.public_schemas.iter().find(|schema| schema.name == name && schema.version.major == major)
    }

    /// Returns the transforms, each with its public schemas, in the order of the manifest.
    pub fn transforms(&self) -> Vec<Transform<'_>> {
        let mut transforms: Vec<Transform<'_>> = Vec::new();
        for schema in &self.public_schemas {
            let PublicSchemaConfig::Wasm(config) = &schema.config else { continue };
            match transforms.iter_mut().find(|t| t.source == schema.source && t.config.is_same_transform(config)) {
                Some(transform) => transform.public_schemas.push(schema),
                None => transforms.push(Transform { source: &schema.source, config, public_schemas: vec![schema] }),
            }
        }
        transforms
    }
}

impl WasmConfig {
    /// Returns true when both are one transform: the same component under the same settings, in whatever order.
    pub(crate) fn is_same_transform(&self, other: &WasmConfig) -> bool {
        self.component == other.component
            && self.settings.len() == other.settings.len()
            && self.settings.iter().all(|setting| other.settings.contains(setting))
    }
}
