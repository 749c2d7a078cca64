//! Makes a transform out of what the manifest says: a projection of a table, or a component that is compiled and started.

use std::sync::Arc;

use crate::change::PublicSchema;
use crate::datastore::{self, StateTable};
use crate::manifest::WasmConfig;
use crate::postgres;
use crate::wasm::{self, Component, Limits};

use super::Context;
use super::failure::EngineError;
use super::plan::{FlowPlan, GroupPlan, TransformKind, TransformPlan};
use super::prepare::Source;
use super::projection::{Definition, Projection};
use super::state::CommittedState;
use super::transform::Runner;
use super::whole::Whole;

/// Makes a transform ready to run.
///
/// # Errors
/// The table or the component is not what the manifest says, or the component can't be loaded.
pub async fn runner(
    context: &Arc<Context>,
    source: &Source,
    group: &GroupPlan,
    transform: &TransformPlan,
    state: &StateTable,
) -> Result<Runner, EngineError> {
    match &transform.kind {
        TransformKind::Table { projection, name, major, minor } => {
            let table = source.table(&projection.table.schema, &projection.table.name)?;
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
        TransformKind::Wasm(config) => {
            let component = component(&context.host, config).await?;
            let descriptor = component.descriptor();
            for wanted in &descriptor.subscriptions {
                if wanted.schema != crate::change::Relation::MESSAGE_SCHEMA {
                    source.table(&wanted.schema, &wanted.table)?;
                }
            }
            let settings = settings(&component, config)?;
            let state = if descriptor.stateful {
                let session = postgres::Session::destination(context.application_name());
                let client = postgres::connect(&group.connection, &session)
                    .await
                    .map_err(|source| EngineError::Connect { role: "destination", slug: group.slug.clone(), source })?;
                let digest = hex::encode(component.digest());
                let other = datastore::record_component(&client, state, &digest, descriptor.state_version as i32)
                    .await
                    .map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
                if let Some(found) = other {
                    return Err(other_state_version(transform, found, descriptor.state_version));
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
                whole: descriptor.whole_transactions.then(|| Whole::new((limits(config).memory_mib as usize) << 20)),
                transform: Arc::new(wasm::Transform::start(&component, options).await?),
            })
        }
    }
}

/// Reads and compiles a component, or takes it from the cache of compiled code.
///
/// # Errors
/// The file can't be read, or is no component that can be run here.
pub async fn component(host: &Arc<wasm::Host>, config: &WasmConfig) -> Result<Component, EngineError> {
    let path = config.component.display().to_string();
    let bytes = tokio::fs::read(&config.component)
        .await
        .map_err(|source| EngineError::ReadComponent { path: path.clone(), source })?;
    let (host, limits, name) = (host.clone(), limits(config), path.clone());
    // Compiling takes seconds of pure computation.
    tokio::task::spawn_blocking(move || host.load(&bytes, &name, limits))
        .await
        .map_err(|error| EngineError::Bug(error.to_string()))?
        .map_err(|source| EngineError::Component { path, source })
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

fn limits(config: &WasmConfig) -> Limits {
    let default = Limits::default();
    Limits {
        memory_mib: config.limits.memory_mib.unwrap_or(default.memory_mib),
        timeout_ms: config.limits.timeout_ms.unwrap_or(default.timeout_ms),
    }
}

/// Says that what a transform remembers is of another version than the component reads.
fn other_state_version(transform: &TransformPlan, found: i32, reads: u32) -> EngineError {
    EngineError::Setup {
        what: format!(
            "what transform `{}` remembers is of state version {found}, and the component reads version {reads}",
            transform.name
        ),
        hint: Some(
            "deploy a component of the former state version; or start its flows anew, which copies their tables again: \
             delete their rows from rejot_data_store.flow, .backfill and .transform_state at the destination, empty \
             their tables, and restart `pelton sync`"
                .to_owned(),
        ),
    }
}

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
    EngineError::Setup {
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
