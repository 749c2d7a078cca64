//! Notices deployments while flows run, and makes their components ready beside the ones that run.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::Client;

use super::super::Context;
use super::super::apart::Place as Apart;
use super::super::destination;
use super::super::failure::{Chain, EngineError, Verdict};
use super::super::load;
use super::super::plan::{GroupPlan, TransformKind, TransformPlan};
use super::super::shadow;
use super::super::target::Place;
use super::choose::{Chosen, Whose, choose, digest, short};
use super::judge::{Candidate, judge};
use crate::change::Relation;
use crate::datastore::{self, Deployed, Deployment, DeploymentState, Scope, ShadowFound, StateTable};
use crate::manifest::WasmConfig;
use crate::wasm;

/// How often is looked whether somebody deployed something.
const POLL: Duration = Duration::from_millis(500);
/// How long is waited after a destination could not be asked.
const AWAY: Duration = Duration::from_secs(5);

/// The transforms for which a component is ready to take over: the run ends for them.
#[derive(Default)]
pub struct Swaps {
    ready: Mutex<BTreeSet<Apart>>,
    told: Notify,
}

impl Swaps {
    /// Waits until a component is ready.
    pub async fn ready(&self) {
        self.told.notified().await;
    }

    /// Returns the transforms that are to run as another component in the next run.
    pub fn take(&self) -> BTreeSet<Apart> {
        std::mem::take(&mut *self.ready.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn add(&self, place: Apart) {
        self.ready.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(place);
        self.told.notify_one();
    }
}

/// What the running flows of a source have.
pub struct Watched {
    pub source: String,
    pub group: GroupPlan,
    /// The tables that are published, and what they are like.
    pub published: Vec<(String, String)>,
    pub relations: Vec<Arc<Relation>>,
}

/// Watches one destination for as long as a run lasts.
pub async fn watch(context: Arc<Context>, watched: Watched, swaps: Arc<Swaps>) {
    let mut client: Option<Client> = None;
    let mut candidates_ready = false;
    // Deployments that were made ready already: the run is about to end for them.
    let mut seen: BTreeSet<(String, i64)> = BTreeSet::new();
    loop {
        tokio::time::sleep(POLL).await;
        let looked = async {
            let client = match &client {
                Some(open) if !open.is_closed() => open,
                _ => client.insert(destination::connect_to_deploy(&context, &watched.group).await?),
            };
            if !std::mem::replace(&mut candidates_ready, true) {
                watched.load_candidates(&context, client, &swaps).await;
            }
            watched.look(&context, client, &mut seen, &swaps).await
        };
        if let Err(error) = looked.await {
            tracing::debug!(destination = watched.group.slug, "can't look for deployments: {}", Chain(&error));
            client = None;
            tokio::time::sleep(AWAY).await;
        }
    }
}

impl Watched {
    /// Returns false where nothing can be deployed.
    pub fn has_components(&self) -> bool {
        self.group.transforms.iter().any(|transform| matches!(transform.kind, TransformKind::Wasm(_)))
    }

    async fn look(
        &self,
        context: &Arc<Context>,
        client: &Client,
        seen: &mut BTreeSet<(String, i64)>,
        swaps: &Swaps,
    ) -> Result<(), EngineError> {
        let failed = |source| EngineError::DataStore { slug: self.group.slug.clone(), source };
        let scope = Scope { manifest: context.manifest.clone(), source: self.source.clone() };
        for deployed in datastore::deployed(client, &scope).await.map_err(failed)? {
            let Some(wish) = deployed.deployment.as_ref().filter(|one| one.state == DeploymentState::Wanted) else {
                continue;
            };
            let found = self.group.transforms.iter().find_map(|transform| match &transform.kind {
                TransformKind::Wasm(config) if transform.name == deployed.transform => Some((transform, config)),
                _ => None,
            });
            let Some((transform, config)) = found else { continue };
            if seen.contains(&(deployed.transform.clone(), wish.number)) {
                continue;
            }
            let (destination, transform_name, digest) = (&self.group.slug, &transform.name, short(&wish.digest));
            tracing::info!(destination, transform = transform_name, digest, "was deployed; making it ready");
            match self.prepare(context, client, transform, config, &deployed).await {
                Ok(()) => {
                    seen.insert((deployed.transform.clone(), wish.number));
                    swaps.add((self.group.slug.clone(), transform.name.clone()));
                }
                Err(error) if error.verdict() == Verdict::Retry => return Err(error),
                Err(error) => refuse(client, &scope, &self.group.slug, &transform.name, wish, &error).await?,
            }
        }
        Ok(())
    }

    /// Loads the candidates that the manifest wants beside what runs, once a run: one that was not loaded when the run began
    /// takes part in the next.
    async fn load_candidates(&self, context: &Arc<Context>, client: &Client, swaps: &Swaps) {
        for transform in &self.group.transforms {
            let TransformKind::Wasm(config) = &transform.kind else { continue };
            let Some(path) = &config.shadow else { continue };
            let scope = Scope { manifest: context.manifest.clone(), source: self.source.clone() };
            let state = StateTable { scope, transform: transform.name.clone() };
            let name = path.display().to_string();
            let mut found = ShadowFound::default();
            let loaded = async {
                let bytes = tokio::fs::read(path).await;
                let bytes = bytes.map_err(|source| EngineError::ReadComponent { path: name.clone(), source })?;
                found.digest = digest(&bytes);
                if context.components.loaded(&found.digest).is_some() {
                    return Ok::<bool, EngineError>(false);
                }
                context.components.load(&Arc::new(bytes), &found.digest, name.clone(), load::limits(config)).await?;
                Ok(true)
            };
            match loaded.await {
                Ok(false) => {}
                Ok(true) => swaps.add((self.group.slug.clone(), transform.name.clone())),
                Err(error) => shadow::tell(context, client, &state, &self.group.slug, found, &error).await,
            }
        }
    }

    /// Compiles and describes a component, holds it against the one that runs, and lets it start once.
    async fn prepare(
        &self,
        context: &Arc<Context>,
        client: &Client,
        transform: &TransformPlan,
        config: &WasmConfig,
        deployed: &Deployed,
    ) -> Result<(), EngineError> {
        let whose = Whose {
            context,
            client,
            destination: &self.group.slug,
            transform: &transform.name,
            config,
            deployed: Some(deployed),
        };
        let chosen = choose(&whose, true).await?;
        judge_chosen(&whose, &chosen, transform, Some(&self.published)).await?;
        let component = &chosen.component;
        let options = wasm::Options {
            name: transform.name.clone(),
            settings: load::settings(component, config)?,
            limits: load::limits(config),
            instances: config.parallel,
            state: component.descriptor().stateful.then(|| Arc::new(Nothing) as Arc<dyn wasm::StateStore>),
            relations: self.relations.clone(),
        };
        // What `init` says against it is heard before anything ends.
        wasm::Transform::start(component, options).await?;
        if self.group.event_store {
            return Ok(());
        }
        let (slug, connection) = (&*self.group.slug, &self.group.connection);
        let place = Place { context, slug, connection, client };
        for flow in &transform.flows {
            let is_it = |public: &&crate::change::PublicSchema| {
                *public.name == *flow.public_schema && public.major == flow.major
            };
            let public = component.descriptor().public_schemas.iter().find(is_it);
            let public = public.expect("a flow's public schema was found by `judge`");
            place.writer(&flow.name, &flow.target, public, false).await?;
        }
        Ok(())
    }
}

/// Holds a chosen component against the one that runs, if it is another one.
///
/// # Errors
/// What speaks against it.
pub async fn judge_chosen(
    whose: &Whose<'_>,
    chosen: &Chosen,
    transform: &TransformPlan,
    published: Option<&[(String, String)]>,
) -> Result<(), EngineError> {
    let running = match chosen.replaces() {
        Some(_) => choose(whose, false).await.ok(),
        None => None,
    };
    judge(&Candidate {
        transform,
        config: whose.config,
        component: &chosen.component,
        running: running.as_ref().map(|running| running.component.descriptor()),
        runs_as: chosen.replaces(),
        published,
    })
}

/// Says in the log and at the destination why a deployment is not taken. What runs is left alone.
///
/// # Errors
/// The destination does not answer.
pub async fn refuse(
    client: &Client,
    scope: &Scope,
    destination: &str,
    transform: &str,
    wish: &Deployment,
    error: &EngineError,
) -> Result<(), EngineError> {
    let (problem, hint) = (error.told(), error.hint());
    tracing::error!(
        destination,
        transform,
        digest = short(&wish.digest),
        hint = hint.as_deref().unwrap_or("-"),
        "the deployment is refused, and what ran goes on: {problem}"
    );
    let refused = datastore::refuse_deployment(client, scope, transform, wish.number, &problem, hint.as_deref()).await;
    refused.map_err(|source| EngineError::DataStore { slug: destination.to_owned(), source })
}

/// The state of an instance that is started to see whether it can be: no batch is given to it.
struct Nothing;

impl wasm::StateStore for Nothing {
    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<bytes::Bytes>>, wasm::StateError> {
        Ok(vec![None; keys.len()])
    }

    fn scan(&self, _: &[u8], _: Option<&[u8]>, _: u32) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, wasm::StateError> {
        Ok(Vec::new())
    }
}
