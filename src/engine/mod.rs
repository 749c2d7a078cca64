//! The line itself: from each source's write-ahead log to the destinations' tables.
//!
//! ```text
//! plan        what the manifest asks for: sources, their groups of flows (one a destination), transforms
//! source      one source: owns its flows, opens a run, decides what follows when it ends
//!   ownership   one process reads, the others wait
//!   prepare     publication, then slot; the catalog
//!     reading   which tables the flows read, and which of them must not be published anew
//!   destination opens a group: takes the flows over, starts its tasks
//!   deploy      which component a transform runs as, and how another one takes over
//!   stream      one run: reader → dispatch → groups; what is durable everywhere → feedback
//!     dispatch  messages → changes → one collecting batch a group
//!     told      what an administrator's trigger tells of altered tables
//!     pace      when a collected batch is handed over
//!     group     batch → transforms → rows → sink → checkpoint
//!       target  what the sink needs to write a flow's rows: into a table, or by an author's statements
//!       publish rows → events, where the destination is an event store
//!       shadow  a candidate beside the component that runs
//! consume     the consumers of an event store into a destination: events → rows → sink → cursors
//!   upstream  the event store, or another manifest's service
//! mirror      from one event store into another: events → events
//! retain      what event stores no longer keep
//! ```
//!
//! [`repair`] is beside the line: it brings flows back whose slot was lost.
//!
//! There is one way to recover from anything: the run ends, and a new one begins at the checkpoints that the
//! destinations have. Nothing that is kept in memory matters to correctness.

mod apart;
pub mod backfill;
mod consume;
mod copying;
mod deploy;
mod destination;
mod dispatch;
mod failure;
mod group;
mod load;
mod mirror;
mod output;
mod ownership;
mod pace;
mod plan;
mod prepare;
mod projection;
mod public_sql;
mod publish;
mod publishers;
mod reading;
mod rejot;
mod repair;
mod retain;
mod shadow;
mod snapshots;
mod source;
mod state;
mod stopped;
mod stream;
mod target;
mod today;
mod told;
mod transform;
mod upstream;
mod whole;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, watch};

use crate::manifest::Manifest;
use crate::wasm;

pub use deploy::{DeployTarget, FoundTarget, deploy_targets, short_digest};
pub use failure::{Chain, EngineError, Verdict};
pub use load::{compile, component, limits, settings};
pub use output::{differences, json_types};
pub use ownership::try_acquire;
pub use plan::{
    ConsumerPlan, FlowPlan, GroupPlan, MirrorPlan, OutputPlan, Plan, ReaderPlan, RetentionPlan, SourcePlan, SqlPlan,
    SqlStatementPlan, StatementsPlan, TargetPlan, TransformKind, TransformPlan, Unsupported,
};
pub use prepare::public_schema;
pub use projection::ProjectionError;
pub use publishers::Publisher;
pub use reading::table_name;
pub use repair::{Differences, FlowRepair, Limits as RepairLimits, RepairOptions, Repaired, SourceRepair, repair};
pub use upstream::{Upstream, UpstreamPlan};

/// How a sync is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// End once everything that was committed at the sources before is applied everywhere.
    pub until_caught_up: bool,
    /// Where compiled components are kept; `None` compiles them every time.
    pub cache_dir: Option<PathBuf>,
    /// Deploy the manifest's components when their files change.
    pub watch: bool,
    /// Is told how far rows that existed before are copied, a few times a second.
    pub copied: Option<mpsc::UnboundedSender<CopyReport>>,
}

/// How far one transform's tables are copied into one destination.
#[derive(Clone, Debug)]
pub struct CopyReport {
    pub destination: String,
    pub transform: String,
    pub tables: Vec<backfill::TableStatus>,
}

/// What all parts of a sync share.
pub struct Context {
    /// The manifest's slug.
    manifest: String,
    options: Options,
    host: Arc<wasm::Host>,
    components: load::Components,
    /// Components that are tried out, on an engine of their own.
    candidates: OnceCell<load::Components>,
    /// Held by whoever compiles such a component: one at a time takes from those that run.
    compiling: tokio::sync::Mutex<()>,
    /// What this process runs transforms as, with their destinations.
    begun: Mutex<BTreeMap<apart::Place, wasm::Component>>,
    /// What came of deployments.
    trials: deploy::Trials,
    /// The candidates that run beside transforms.
    shadows: Mutex<tokio::task::JoinSet<()>>,
    /// Who publishes into event stores that ReJot made, and where their slots were then.
    rejot: rejot::Publishers,
}

impl Context {
    /// Returns how our sessions name themselves in `pg_stat_activity`.
    fn application_name(&self) -> String {
        format!("pelton {}", self.manifest)
    }

    /// Returns what this process runs a transform as; `None` before it has.
    fn begun(&self, place: &apart::Place) -> Option<wasm::Component> {
        self.begun.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(place).cloned()
    }

    /// Takes note that a transform runs as a component from here on.
    fn begins(&self, place: apart::Place, component: &wasm::Component) {
        self.begun.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(place, component.clone());
    }

    /// Returns the components that are tried out while others run, and take nothing from these.
    async fn candidates(&self) -> Result<&load::Components, EngineError> {
        let host = || async {
            let host = wasm::Host::for_candidates(wasm::HostOptions { cache_dir: self.options.cache_dir.clone() });
            let path = "that is to be tried out".to_owned();
            let host = host.map_err(|source| EngineError::Component { path, source })?;
            Ok(load::Components::new(Arc::new(host)))
        };
        self.candidates.get_or_try_init(host).await
    }
}

/// What stopped a flow for good, or a whole source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The source, or, where a consumer stopped, its event store.
    pub source: String,
    pub transform: Option<String>,
    /// The consumer of an event store.
    pub consumer: Option<String>,
    pub what: String,
    pub hint: Option<String>,
    /// A bug of ours, which has an exit code of its own.
    pub bug: bool,
}

impl Problem {
    fn of(source: &str, transform: Option<&str>, error: &EngineError) -> Problem {
        Problem {
            source: source.to_owned(),
            transform: transform.map(str::to_owned),
            consumer: None,
            what: error.told(),
            hint: error.hint(),
            bug: error.is_bug(),
        }
    }

    fn log(&self) {
        if let Some(consumer) = &self.consumer {
            let hint = self.hint.as_deref().unwrap_or("-");
            tracing::error!(event_store = self.source, consumer, hint, "stopped: {}", self.what);
            return;
        }
        let transform = self.transform.as_deref().unwrap_or("-");
        let hint = self.hint.as_deref().unwrap_or("-");
        tracing::error!(source = self.source, transform, hint, "stopped: {}", self.what);
    }
}

/// Plans what a manifest asks for, and makes what all parts of it share.
fn begin(manifest: &Manifest, options: Options) -> Result<(Plan, Arc<Context>), Vec<Problem>> {
    let setup = |what: String, hint: Option<String>| Problem {
        source: "-".to_owned(),
        transform: None,
        consumer: None,
        what,
        hint,
        bug: false,
    };
    let plan = Plan::new(manifest)
        .map_err(|refused| refused.into_iter().map(|u| setup(u.what, Some(u.hint))).collect::<Vec<_>>())?;
    let host = wasm::Host::new(wasm::HostOptions { cache_dir: options.cache_dir.clone() })
        .map_err(|error| vec![setup(Chain(&error).to_string(), error.hint())])?;
    let rejot = rejot::Publishers::new(&plan.sources);
    let host = Arc::new(host);
    let components = load::Components::new(host.clone());
    let context = Arc::new(Context {
        manifest: plan.manifest.clone(),
        options,
        host,
        components,
        candidates: OnceCell::new(),
        compiling: tokio::sync::Mutex::default(),
        begun: Mutex::default(),
        trials: deploy::Trials::default(),
        shadows: Mutex::default(),
        rejot,
    });
    Ok((plan, context))
}

/// Runs every flow of a manifest until `stop` says true, or, on request, until everything is caught up, which takes in what
/// other manifests of this process publish meanwhile.
///
/// # Errors
/// What stopped flows for good, once nothing is left that could go on.
pub async fn sync(
    manifest: &Manifest,
    options: Options,
    publisher: Publisher,
    stop: watch::Receiver<bool>,
) -> Result<(), Vec<Problem>> {
    let (plan, context) = begin(manifest, options)?;
    // It ends with the sync.
    let mut watching = tokio::task::JoinSet::new();
    if context.options.watch {
        watching.spawn(deploy::watch_files(context.clone(), deploy_targets(&plan)));
    }
    let mut sources = tokio::task::JoinSet::new();
    for source in plan.sources {
        sources.spawn(source::run(context.clone(), source, stop.clone()));
    }
    let published = publisher.ended();
    // Of each mirror: nothing more is published into it once it has ended, which it does behind what it mirrors.
    let ends: Vec<(String, watch::Sender<bool>)> =
        plan.mirrors.iter().map(|mirror| (mirror.store.clone(), watch::Sender::new(false))).collect();
    let published_to = |store: &str| {
        let end = ends.iter().find(|(mirror, _)| mirror == store);
        end.map_or_else(|| published.clone(), |(_, end)| end.subscribe())
    };
    let mut readers = tokio::task::JoinSet::new();
    for (mirror, (_, end)) in plan.mirrors.into_iter().zip(&ends) {
        let (upstream, end) = (published_to(&mirror.upstream), end.clone());
        let mirror = mirror::run(context.clone(), mirror, upstream, stop.clone());
        readers.spawn(async move {
            let ended = mirror.await;
            end.send_replace(true);
            ended
        });
    }
    for reader in plan.readers {
        let published = published_to(&reader.store);
        readers.spawn(consume::run(context.clone(), reader, published, stop.clone()));
    }
    let (over, rest) = watch::channel(false);
    let mut retained = tokio::task::JoinSet::new();
    for retention in plan.retained {
        retained.spawn(retain::run(context.clone(), retention, rest.clone()));
    }
    let mut problems = Vec::new();
    problems_of(&mut sources, &mut problems).await;
    context.trials.take_back(&context).await;
    let mut shadows = std::mem::take(&mut *context.shadows.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    // They write down what they found.
    let ended = async { while shadows.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(SHADOWS_END, ended).await;
    drop(publisher);
    problems_of(&mut readers, &mut problems).await;
    let _ = over.send(true);
    problems_of(&mut retained, &mut problems).await;
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// How long candidates get to write down what they found.
const SHADOWS_END: Duration = Duration::from_secs(3);

/// Waits for parts of a sync, and collects what stopped them.
async fn problems_of(parts: &mut tokio::task::JoinSet<Result<(), Vec<Problem>>>, problems: &mut Vec<Problem>) {
    while let Some(ended) = parts.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(more)) => problems.extend(more),
            Err(error) => problems.push(Problem::of("-", None, &EngineError::Bug(error.to_string()))),
        }
    }
}
