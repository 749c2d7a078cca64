//! What a manifest asks the engine to do: for each source the groups of flows, one a destination.
//!
//! Nothing is connected here. What this version can't run is refused here, all of it at once.

mod build;

use crate::change::Op;
use crate::eventstore;
use crate::manifest::{
    PostgresConnection, Retention, SourceConfig, TableDestination, TableName, TableProjection, WasmConfig,
};
use crate::sql::Template;

use super::upstream::UpstreamPlan;

/// What a manifest asks for.
#[derive(Clone, Debug)]
pub struct Plan {
    pub manifest: String,
    pub sources: Vec<SourcePlan>,
    /// Who reads event stores, one entry for each store and destination.
    pub readers: Vec<ReaderPlan>,
    pub mirrors: Vec<MirrorPlan>,
    /// The event stores that don't keep everything.
    pub retained: Vec<RetentionPlan>,
}

/// An event store all of whose events are kept in another one, too.
#[derive(Clone, Debug)]
pub struct MirrorPlan {
    pub upstream: String,
    pub upstream_connection: PostgresConnection,
    pub store: String,
    pub connection: PostgresConnection,
}

/// An event store, and what it keeps.
#[derive(Clone, Debug)]
pub struct RetentionPlan {
    pub store: String,
    pub connection: PostgresConnection,
    pub retention: Retention,
}

/// The consumers of one event store, or of one service, into one destination.
#[derive(Clone, Debug)]
pub struct ReaderPlan {
    /// The event store's slug, or a name of the service's.
    pub store: String,
    pub upstream: UpstreamPlan,
    pub destination: String,
    pub connection: PostgresConnection,
    pub consumers: Vec<ConsumerPlan>,
}

/// One consumer of an event store or a service.
#[derive(Clone, Debug)]
pub struct ConsumerPlan {
    pub name: String,
    pub source_manifest: String,
    pub public_schema: String,
    pub major: u32,
    pub target: TargetPlan,
}

/// What takes the rows of a flow or a consumer.
#[derive(Clone, Debug)]
pub enum TargetPlan {
    Table(TableDestination),
    Sql(StatementsPlan),
}

/// Statements of a consumer's author.
#[derive(Clone, Debug)]
pub struct StatementsPlan {
    /// The slug of the data store that is written to.
    pub data_store: String,
    pub sql: Template,
    pub delete_sql: Option<Template>,
    pub backfill: bool,
}

impl TargetPlan {
    /// Returns the slug of the data store that is written to.
    pub fn data_store(&self) -> &str {
        match self {
            TargetPlan::Table(table) => &table.data_store,
            TargetPlan::Sql(statements) => &statements.data_store,
        }
    }

    /// Returns true where rows that existed before are wanted.
    pub fn backfill(&self) -> bool {
        match self {
            TargetPlan::Table(table) => table.backfill,
            TargetPlan::Sql(statements) => statements.backfill,
        }
    }

    /// Returns true where every row of the source is in a table, so that one that is missing stops the flow.
    pub fn is_whole(&self) -> bool {
        matches!(self, TargetPlan::Table(TableDestination { backfill: true, .. }))
    }

    /// Returns the table, where it is one.
    pub fn table(&self) -> Option<&TableDestination> {
        match self {
            TargetPlan::Table(table) => Some(table),
            TargetPlan::Sql(_) => None,
        }
    }
}

/// One source and where its flows go.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    pub slug: String,
    pub connection: PostgresConnection,
    pub config: SourceConfig,
    pub groups: Vec<GroupPlan>,
}

/// The flows of one source into one destination, or into one event store.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    pub slug: String,
    pub connection: PostgresConnection,
    /// Its rows are appended to the event store as events.
    pub event_store: bool,
    pub transforms: Vec<TransformPlan>,
}

/// One transform with its flows into one destination.
#[derive(Clone, Debug)]
pub struct TransformPlan {
    /// `orders@1`: its first public schema in the manifest, and that one's major version. Names the transform's state.
    pub name: String,
    pub kind: TransformKind,
    pub flows: Vec<FlowPlan>,
    /// What the manifest says of the rows of its public schemas.
    pub outputs: Vec<OutputPlan>,
}

/// A public schema's `outputSchema`.
#[derive(Clone, Debug)]
pub struct OutputPlan {
    pub public_schema: String,
    pub major: u32,
    pub schema: serde_json::Value,
    /// A row that is something else stops the flow.
    pub strict: bool,
}

#[derive(Clone, Debug)]
pub enum TransformKind {
    Table { projection: TableProjection, name: String, major: u32, minor: u32 },
    Wasm(WasmConfig),
    Sql(SqlPlan),
}

/// A public schema that an author's statements make.
#[derive(Clone, Debug)]
pub struct SqlPlan {
    pub name: String,
    pub major: u32,
    pub minor: u32,
    /// At least one.
    pub statements: Vec<SqlStatementPlan>,
}

/// A statement for one operation on one table.
#[derive(Clone, Debug)]
pub struct SqlStatementPlan {
    pub op: Op,
    pub table: TableName,
    pub sql: Template,
}

/// One flow: a public schema into a destination.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    pub name: String,
    pub public_schema: String,
    pub major: u32,
    pub minor: u32,
    pub target: TargetPlan,
}

impl ConsumerPlan {
    /// Returns true when that is the stream that it reads.
    pub fn reads(&self, stream: &eventstore::Stream) -> bool {
        stream.manifest == self.source_manifest
            && stream.public_schema == self.public_schema
            && stream.major == self.major as i32
    }
}

/// Something that the manifest asks for and this version can't do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unsupported {
    pub what: String,
    pub hint: String,
    /// Something is in memory, as in ReJot's tests: the manifest is right, and can't be run.
    pub in_memory: bool,
}

impl SourcePlan {
    /// Returns the names of a transform's flows into one destination.
    pub fn flows(&self, group: &str, transform: &str) -> Vec<String> {
        let group = self.groups.iter().filter(|one| one.slug == group);
        let transform = group.flat_map(|group| &group.transforms).filter(|one| one.name == transform);
        transform.flat_map(|transform| &transform.flows).map(|flow| flow.name.clone()).collect()
    }
}

impl TransformPlan {
    /// Returns the table of a `table` transform; what a component reads is known once it is loaded.
    pub fn table(&self) -> Option<&TableName> {
        match &self.kind {
            TransformKind::Table { projection, .. } => Some(&projection.table),
            TransformKind::Wasm(_) | TransformKind::Sql(_) => None,
        }
    }
}
