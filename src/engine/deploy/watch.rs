//! Notices deployments while flows run, and has their components made ready beside the ones that run.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::Client;

use super::super::Context;
use super::super::apart::Place;
use super::super::destination;
use super::super::failure::{Chain, EngineError, Verdict};
use super::super::plan::{GroupPlan, TransformKind, TransformPlan};
use super::choose::{Whose, is_released};
use super::trial::Surroundings;
use crate::change::Relation;
use crate::datastore::{self, Deployed, Deployment, Scope};
use crate::manifest::WasmConfig;

/// How often is looked whether somebody deployed something.
const POLL: Duration = Duration::from_millis(500);
/// How long is waited after a destination could not be asked.
const AWAY: Duration = Duration::from_secs(5);

/// The transforms for which a component is ready to take over: the run ends for them.
#[derive(Default)]
pub struct Swaps {
    ready: Mutex<BTreeSet<Place>>,
    told: Notify,
}

impl Swaps {
    /// Waits until a component is ready.
    pub async fn ready(&self) {
        self.told.notified().await;
    }

    /// Returns the transforms that are to run as another component in the next run.
    pub fn take(&self) -> BTreeSet<Place> {
        std::mem::take(&mut *self.ready.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn add(&self, place: Place) {
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
    loop {
        tokio::time::sleep(POLL).await;
        let looked = async {
            let client = match &client {
                Some(open) if !open.is_closed() => open,
                _ => client.insert(destination::connect_to_deploy(&context, &watched.group).await?),
            };
            watched.look(&context, client, &swaps).await
        };
        if let Err(error) = looked.await {
            let destination = &watched.group.slug;
            match error.verdict() {
                Verdict::Retry => tracing::debug!(destination, "can't look for deployments: {}", Chain(&error)),
                _ => tracing::warn!(destination, "can't look for deployments: {}", Chain(&error)),
            }
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

    /// Looks at every transform, whatever becomes of one of them.
    async fn look(&self, context: &Arc<Context>, client: &Client, swaps: &Swaps) -> Result<(), EngineError> {
        let failed = |source| EngineError::DataStore { slug: self.group.slug.clone(), source };
        let scope = Scope { manifest: context.manifest.clone(), source: self.source.clone() };
        let mut looked = Ok(());
        for deployed in datastore::deployed(client, &scope).await.map_err(failed)? {
            let Some(wish) = deployed.wish() else { continue };
            let found = self.group.transforms.iter().find_map(|transform| match &transform.kind {
                TransformKind::Wasm(config) if transform.name == deployed.transform => Some((transform, config)),
                _ => None,
            });
            let Some((transform, config)) = found else { continue };
            match self.try_out(context, client, &scope, (transform, config), &deployed, wish).await {
                Ok(true) => swaps.add((self.group.slug.clone(), transform.name.clone())),
                Ok(false) => {}
                error => looked = error.map(drop),
            }
        }
        looked
    }

    async fn try_out(
        &self,
        context: &Arc<Context>,
        client: &Client,
        scope: &Scope,
        (transform, config): (&TransformPlan, &WasmConfig),
        deployed: &Deployed,
        wish: &Deployment,
    ) -> Result<bool, EngineError> {
        let Watched { group, published, relations, .. } = self;
        let flows = datastore::flows(client, scope).await;
        let flows = flows.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
        let anew = is_released(transform, &flows);
        let (destination, deployed) = (&*group.slug, Some(deployed));
        let whose = Whose { context, client, destination, transform, config, deployed, anew };
        Surroundings { context, scope, group, published, relations }.try_out(&whose, wish).await
    }
}
