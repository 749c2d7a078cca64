//! Asks for a transform to run as another component: looks at what a destination has of it, holds the candidate against
//! that, and writes the wish beside it. Whoever runs the transform does the rest, now or when it starts.

use std::sync::Arc;

use tokio_postgres::Client;

use super::super::failure::EngineError;
use super::super::load;
use super::super::plan::{GroupPlan, Plan, TransformKind, TransformPlan};
use super::choose::{digest, is_released, short};
use super::judge::{Candidate, judge};
use crate::datastore::{self, COMPONENT_BYTES_MAX, Deployed, Deployment, RunsAs, Scope};
use crate::manifest::WasmConfig;
use crate::postgres;
use crate::wasm::{self, Component};

/// A transform of one destination that is a component.
#[derive(Clone, Debug)]
pub struct Target {
    pub source: String,
    pub group: GroupPlan,
    pub transform: TransformPlan,
    pub config: WasmConfig,
}

/// Returns the transforms of a manifest that are components, one for each destination.
pub fn targets(plan: &Plan) -> Vec<Target> {
    let mut targets = Vec::new();
    for source in &plan.sources {
        for group in &source.groups {
            for transform in &group.transforms {
                let TransformKind::Wasm(config) = &transform.kind else { continue };
                targets.push(Target {
                    source: source.slug.clone(),
                    group: group.clone(),
                    transform: transform.clone(),
                    config: config.clone(),
                });
            }
        }
    }
    targets
}

impl Target {
    /// Tells whether that is a name of it: its own, or that of a public schema of it, with the major version or without.
    pub fn is_called(&self, name: &str) -> bool {
        let is_flow = |public: &str, major: u32| name == public || name == format!("{public}@{major}");
        self.transform.name == name
            || self.transform.name.rsplit_once('@').is_some_and(|(first, _)| first == name)
            || self.transform.flows.iter().any(|flow| is_flow(&flow.public_schema, flow.major))
    }

    /// Looks at what its destination has of it.
    ///
    /// # Errors
    /// The destination can't be reached.
    pub async fn look(&self, manifest: &str) -> Result<Found, EngineError> {
        let session = postgres::Session::destination(format!("pelton {manifest} deploy"));
        let connected = postgres::connect(&self.group.connection, &session).await;
        let client = connected.map_err(|source| EngineError::Connect {
            role: "destination",
            slug: self.group.slug.clone(),
            source,
        })?;
        let scope = Scope { manifest: manifest.to_owned(), source: self.source.clone() };
        let mut found = Found { target: self.clone(), client, scope, deployed: None, anew: false };
        found.deployed = found.now().await?;
        let flows = datastore::flows(&found.client, &found.scope).await.map_err(|error| found.data_store(error))?;
        found.anew = is_released(&self.transform, &flows);
        Ok(found)
    }
}

/// A transform, and what its destination has of it.
pub struct Found {
    pub target: Target,
    client: Client,
    scope: Scope,
    /// As it was when it was looked at.
    pub deployed: Option<Deployed>,
    /// It was released: it begins anew, whatever it remembers.
    anew: bool,
}

impl Found {
    fn data_store(&self, source: datastore::DataStoreError) -> EngineError {
        EngineError::DataStore { slug: self.target.group.slug.clone(), source }
    }

    /// Returns what the destination has of it now.
    ///
    /// # Errors
    /// What the server says.
    pub async fn now(&self) -> Result<Option<Deployed>, EngineError> {
        let all = datastore::deployed(&self.client, &self.scope).await.map_err(|error| self.data_store(error))?;
        Ok(all.into_iter().find(|one| one.transform == self.target.transform.name))
    }

    /// Returns what it runs as.
    ///
    /// # Errors
    /// It has never run there.
    pub fn runs_as(&self) -> Result<&RunsAs, EngineError> {
        let runs_as = self.deployed.as_ref().and_then(|one| one.runs_as.as_ref());
        runs_as.filter(|runs_as| runs_as.lsn.is_some()).ok_or_else(|| EngineError::Setup {
            what: format!(
                "transform `{}` has not run at destination `{}` yet, so there is nothing to take over from",
                self.target.transform.name, self.target.group.slug
            ),
            hint: Some("start `pelton sync`: it begins with the manifest's `component`".to_owned()),
        })
    }

    /// Returns its newest deployment.
    pub fn deployment(&self) -> Option<&Deployment> {
        self.deployed.as_ref()?.deployment.as_ref()
    }

    /// Returns the digest of what it ran as before.
    ///
    /// # Errors
    /// There is none, or it can't read what the transform remembers by now.
    pub fn former(&self) -> Result<String, EngineError> {
        let runs_as = self.runs_as()?;
        let (transform, destination) = (&self.target.transform.name, &self.target.group.slug);
        let Some((former, state_version)) = &runs_as.former else {
            return Err(EngineError::Setup {
                what: format!("transform `{transform}` has run as one component only at destination `{destination}`"),
                hint: Some(format!("`pelton deploy {transform} FILE` deploys another one")),
            });
        };
        if *state_version != runs_as.state_version {
            return Err(EngineError::Setup {
                what: format!(
                    "component {} has state version {state_version}, and what transform `{transform}` remembers is of state \
                     version {} by now",
                    short(former),
                    runs_as.state_version
                ),
                hint: Some(load::STATE_ANEW.to_owned()),
            });
        }
        Ok(former.clone())
    }

    /// Returns the bytes of a component that is kept there.
    ///
    /// # Errors
    /// It is not kept, or what the server says.
    pub async fn kept(&self, digest: &str) -> Result<Vec<u8>, EngineError> {
        let kept = datastore::component(&self.client, &self.scope.manifest, digest).await;
        kept.map_err(|error| self.data_store(error))?.ok_or_else(|| EngineError::Setup {
            what: format!("component {} is not kept at destination `{}`", short(digest), self.target.group.slug),
            hint: Some(format!("deploy its file: `pelton deploy {} FILE`", self.target.transform.name)),
        })
    }

    /// Holds a component against the one that runs, as far as that can be done from here: tables are looked at by whoever
    /// runs it.
    ///
    /// # Errors
    /// What speaks against it.
    pub async fn judge(&self, host: &Arc<wasm::Host>, component: &Component) -> Result<(), EngineError> {
        let runs_as = self.runs_as()?;
        let limits = load::limits(&self.target.config);
        // One that can't be had or loaded any more can't be held against.
        let running = match self.kept(&runs_as.digest).await {
            Ok(bytes) => load::compile(host, Arc::new(bytes), "what runs".to_owned(), limits).await.ok(),
            Err(_) => None,
        };
        judge(&Candidate {
            transform: &self.target.transform,
            config: &self.target.config,
            component,
            running: running.as_ref().map(Component::descriptor),
            runs_as: Some(runs_as).filter(|runs_as| runs_as.digest != hex::encode(component.digest())),
            anew: self.anew,
            published: None,
        })
    }

    /// Writes the wish that it run as a component. Returns its number.
    ///
    /// # Errors
    /// The component is too large to be kept, or what the server says.
    pub async fn deploy(&mut self, bytes: &[u8]) -> Result<i64, EngineError> {
        if bytes.len() > COMPONENT_BYTES_MAX {
            return Err(EngineError::Setup {
                what: format!(
                    "the component has {} MiB, and {} at most are kept at a destination",
                    bytes.len() >> 20,
                    COMPONENT_BYTES_MAX >> 20
                ),
                hint: Some(
                    "build it smaller; or put it in the place of the manifest's file and restart `pelton sync`"
                        .to_owned(),
                ),
            });
        }
        let (transform, digest) = (&self.target.transform.name, digest(bytes));
        let number = datastore::deploy(&mut self.client, &self.scope, transform, &digest, bytes).await;
        number.map_err(|source| EngineError::DataStore { slug: self.target.group.slug.clone(), source })
    }
}
