//! Makes a transform out of what the manifest says: a projection of a table, or a component that is compiled and started.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::change::{Op, PublicSchema, ReplicaIdentity};
use crate::datastore::StateTable;
use crate::manifest::WasmConfig;
use crate::postgres;
use crate::wasm::{self, Component, Limits};

use super::Context;
use super::deploy::Chosen;
use super::failure::EngineError;
use super::plan::{FlowPlan, GroupPlan, TransformKind, TransformPlan};
use super::prepare::{Source, SourceTable};
use super::projection::{Definition, Projection};
use super::public_sql::{self, Origin};
use super::state::CommittedState;
use super::transform::Runner;
use super::whole::Whole;

/// Makes a transform ready to run; one that is a component as the one that was `chosen`.
///
/// # Errors
/// The table or the component is not what the manifest says, or the component can't be loaded.
pub async fn runner(
    context: &Arc<Context>,
    source: &Source,
    group: &GroupPlan,
    transform: &TransformPlan,
    chosen: Option<&Chosen>,
    state: &StateTable,
) -> Result<Runner, EngineError> {
    match &transform.kind {
        TransformKind::Table { projection, name, major, minor } => {
            let table = source.table(&projection.table.schema, &projection.table.name)?;
            operations(source, table, &[])?;
            let columns: Option<Vec<(String, String)>> = projection
                .columns
                .as_ref()
                .map(|columns| columns.iter().map(|c| (c.name.clone(), c.source.clone())).collect());
            let definition = Definition {
                name,
                major: *major,
                minor: *minor,
                columns: columns.as_deref(),
                key: projection.key.as_deref(),
                table_key: &table.key,
                today: source.today.clone(),
            };
            Ok(Runner::Table(Projection::new(&table.relation, &definition)?))
        }
        TransformKind::Sql(plan) => {
            for statement in &plan.statements {
                let table = source.table(&statement.table.schema, &statement.table.name)?;
                operations(source, table, &[statement.op])?;
            }
            let application_name = context.application_name();
            let origin = Origin { source, application_name, transform: &transform.name };
            Ok(Runner::Sql(Box::new(public_sql::prepare(&origin, plan).await?)))
        }
        TransformKind::Wasm(config) => {
            let chosen = chosen.ok_or_else(|| EngineError::Bug("a component was not chosen".to_owned()))?;
            let component = &chosen.component;
            let descriptor = component.descriptor();
            for wanted in &descriptor.subscriptions {
                if wanted.schema != crate::change::Relation::MESSAGE_SCHEMA {
                    operations(source, source.table(&wanted.schema, &wanted.table)?, &wanted.ops)?;
                }
            }
            let settings = settings(component, config)?;
            let state = if descriptor.stateful {
                let session = postgres::Session::destination(context.application_name());
                let client = postgres::connect(&group.connection, &session)
                    .await
                    .map_err(|source| EngineError::Connect { role: "destination", slug: group.slug.clone(), source })?;
                if let Some(found) = chosen.other_state_version() {
                    return Err(other_state_version(&transform.name, found, descriptor.state_version));
                }
                let runtime = tokio::runtime::Handle::current();
                let state = CommittedState { runtime, client: Arc::new(client), table: state.clone() };
                Some(Arc::new(state) as Arc<dyn wasm::StateStore>)
            } else {
                None
            };
            let options = wasm::Options {
                name: transform.name.clone(),
                settings,
                limits: limits(config),
                instances: config.parallel,
                state,
                relations: source.relations(),
            };
            Ok(Runner::Wasm {
                public_schemas: descriptor.public_schemas.clone(),
                subscriptions: descriptor.subscriptions.clone(),
                stateful: descriptor.stateful,
                digest: hex::encode(component.digest()),
                whole: descriptor.whole_transactions.then(|| Whole::new((limits(config).memory_mib as usize) << 20)),
                transform: Arc::new(wasm::Transform::start(component, options).await?),
            })
        }
    }
}

/// Checks that a publication, which somebody else may have made, has the operations that a transform reads of a table; no
/// `ops` are all. Those that it lacks would never come, and nobody would notice.
///
/// Updates and deletes of a table that can't tell its rows apart fail once they are published: its rows are only added,
/// and a publication without them is the way to have it.
fn operations(source: &Source, table: &SourceTable, ops: &[Op]) -> Result<(), EngineError> {
    let publication = &source.publication;
    let tells_apart = !table.key.is_empty() || table.relation.identity == ReplicaIdentity::Full;
    let needs = |name: &str| {
        let op = match name {
            "insert" => Op::Insert,
            "update" => Op::Update,
            "delete" => Op::Delete,
            _ => Op::Truncate,
        };
        (ops.is_empty() || ops.contains(&op)) && (tells_apart || !matches!(op, Op::Update | Op::Delete))
    };
    let all = publication.operations();
    let lacking: Vec<&str> = all.iter().filter(|(name, has)| !has && needs(name)).map(|(name, _)| *name).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let wanted: Vec<&str> = all.iter().filter(|(name, has)| *has || needs(name)).map(|(name, _)| *name).collect();
    let name = postgres::quote_ident(&publication.name);
    Err(EngineError::NotReady {
        slug: source.slug.clone(),
        problem: format!(
            "publication {} leaves out {} of table {}",
            publication.name,
            lacking.join(", "),
            table.relation.display_name()
        ),
        hint: Some(format!(
            "ALTER PUBLICATION {name} SET (publish = '{}'), then restart `pelton sync`; a flow that ran without them is to \
             be started anew. To keep rows that are deleted at the source, use a transform that reads no deletes",
            wanted.join(", ")
        )),
        transient: false,
    })
}

/// Reads and compiles a component, or takes it from the cache of compiled code.
///
/// # Errors
/// The file can't be read, or is no component that can be run here.
pub async fn component(host: &Arc<wasm::Host>, config: &WasmConfig) -> Result<Component, EngineError> {
    let bytes = Arc::new(read(config).await?);
    compile(host, bytes, config.component.display().to_string(), limits(config)).await
}

/// Reads the file that the manifest names.
///
/// # Errors
/// It can't be read.
pub async fn read(config: &WasmConfig) -> Result<Vec<u8>, EngineError> {
    let path = || config.component.display().to_string();
    tokio::fs::read(&config.component).await.map_err(|source| EngineError::ReadComponent { path: path(), source })
}

/// Compiles a component, or takes it from the cache of compiled code. `name` stands in messages.
///
/// # Errors
/// It is no component that can be run here.
pub async fn compile(
    host: &Arc<wasm::Host>,
    bytes: Arc<Vec<u8>>,
    name: String,
    limits: Limits,
) -> Result<Component, EngineError> {
    let (host, path) = (host.clone(), name.clone());
    // Compiling takes seconds of pure computation.
    tokio::task::spawn_blocking(move || host.load(&bytes, &name, limits))
        .await
        .map_err(|error| EngineError::Bug(error.to_string()))?
        .map_err(|source| EngineError::Component { path, source })
}

/// Components that are loaded, by their digest: a run that begins anew compiles nothing.
pub struct Components {
    host: Arc<wasm::Host>,
    loaded: Mutex<VecDeque<(String, Component)>>,
}

/// Components that stay loaded though they may be of no use any more.
const LOADED_MAX: usize = 32;

impl Components {
    pub fn new(host: Arc<wasm::Host>) -> Components {
        Components { host, loaded: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<(String, Component)>> {
        self.loaded.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Returns a component that was loaded before.
    pub fn loaded(&self, digest: &str) -> Option<Component> {
        self.known().iter().find(|(known, _)| known == digest).map(|(_, component)| component.clone())
    }

    /// Loads a component unless that was done before.
    ///
    /// # Errors
    /// As [`compile`].
    pub async fn load(
        &self,
        bytes: &Arc<Vec<u8>>,
        digest: &str,
        name: String,
        limits: Limits,
    ) -> Result<Component, EngineError> {
        if let Some(component) = self.loaded(digest) {
            return Ok(component);
        }
        let component = compile(&self.host, bytes.clone(), name, limits).await?;
        let mut loaded = self.known();
        loaded.push_front((digest.to_owned(), component.clone()));
        loaded.truncate(LOADED_MAX);
        Ok(component)
    }
}

/// Returns the settings that a component is started with.
///
/// # Errors
/// What is missing and what it does not know, all at once.
pub fn settings(component: &Component, config: &WasmConfig) -> Result<Vec<(String, String)>, EngineError> {
    wasm::check_settings(component.descriptor(), &config.settings).map_err(|problems| {
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        EngineError::Setup {
            what: format!("the settings of component {} are wrong: {}", config.component.display(), list.join("; ")),
            hint: Some("correct `settings` of the public schema in the manifest".to_owned()),
        }
    })
}

/// Returns what the manifest lets a component use.
pub fn limits(config: &WasmConfig) -> Limits {
    let default = Limits::default();
    Limits {
        memory_mib: config.limits.memory_mib.unwrap_or(default.memory_mib),
        timeout_ms: config.limits.timeout_ms.unwrap_or(default.timeout_ms),
    }
}

/// Says that what a transform remembers is of another version than the component reads.
pub fn other_state_version(transform: &str, found: i32, reads: u32) -> EngineError {
    EngineError::Setup {
        what: format!(
            "what transform `{transform}` remembers is of state version {found}, and the component reads version {reads}"
        ),
        hint: Some(STATE_ANEW.to_owned()),
    }
}

/// What brings a component to run that can't go on with what its transform remembers.
pub const STATE_ANEW: &str = "deploy a component of the former state version; or start its flows anew with this one as the manifest's `component`, \
     which copies their tables again: stop `pelton sync`, delete their rows from rejot_data_store.flow, .backfill, \
     .transform and .transform_state at the destination, empty their tables, and start it again";

/// Says that a stateful transform's flows are not at the same point.
pub fn flows_apart(transform: &TransformPlan) -> EngineError {
    let flows: Vec<&str> = transform.flows.iter().map(|flow| &flow.name[..]).collect();
    EngineError::Setup {
        what: format!(
            "transform `{}` keeps state, and its flows are at different points: {}",
            transform.name,
            flows.join(", ")
        ),
        hint: Some(
            "start all of them anew: delete their rows from rejot_data_store.flow, .backfill and .transform_state at the \
             destination, empty their tables, and restart `pelton sync`"
                .to_owned(),
        ),
    }
}

/// Says that a released transform can't start anew by itself.
pub fn released_without_backfill(transform: &TransformPlan, flow: &FlowPlan) -> EngineError {
    EngineError::NotAnew {
        what: format!(
            "transform `{}` was released, since it held back more write-ahead log than `detachedWalMax` allows, and              consumer `{}` has `backfill: false`, so its table can't be copied anew",
            transform.name, flow.name
        ),
        hint: Some(format!(
            "set `backfill: true`, which empties the table and copies it; or, to go on with what changes from now on,              DELETE FROM rejot_data_store.flow WHERE flow = '{}' at the destination; then restart `pelton sync`",
            flow.name
        )),
    }
}

/// Says that a transform can't start anew by itself, since nobody knows what a consumer's statements wrote.
pub fn statements_anew(transform: &TransformPlan, consumer: &str) -> EngineError {
    EngineError::NotAnew {
        what: format!(
            "transform `{}` begins anew, and what the statements of consumer `{consumer}` wrote can't be emptied by us",
            transform.name
        ),
        hint: Some(format!(
            "empty what they write yourself; DELETE FROM rejot_data_store.flow WHERE flow = '{consumer}', and of \
             rejot_data_store.backfill, at the destination; then restart `pelton sync`, which runs them for every row"
        )),
    }
}

/// Says that a component does not publish what a flow takes.
pub fn no_such_public_schema(transform: &TransformPlan, flow: &FlowPlan, found: &[PublicSchema]) -> EngineError {
    let found: Vec<String> = found.iter().map(|public| format!("{}@{}", public.name, public.major)).collect();
    let (name, major) = (&flow.public_schema, flow.major);
    EngineError::Setup {
        what: format!(
            "transform `{}` does not publish `{name}@{major}`, which consumer `{}` takes; it publishes {}",
            transform.name,
            flow.name,
            if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
        ),
        hint: Some("correct `name` and `version` of the public schema, or build the component anew".to_owned()),
    }
}
