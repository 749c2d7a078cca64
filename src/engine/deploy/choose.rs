//! Chooses the component that a transform runs as: the recorded one, the manifest's file, or a deployed one.
//!
//! While the manifest's file is what runs, a new file is a new component, taken at the next start. Once another component
//! was deployed over it, that one runs, at every start and on every host, until the file holds it too, or another one is
//! deployed: a file that nobody deployed is not taken in silence, and not ignored in silence either.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use super::super::Context;
use super::super::failure::EngineError;
use super::super::load;
use crate::datastore::{self, Began, COMPONENT_BYTES_MAX, Deployed, DeploymentState, Owned, RunsAs};
use crate::lsn::Lsn;
use crate::manifest::WasmConfig;
use crate::wasm::Component;

/// The transform of a destination that a component is chosen for.
pub struct Whose<'a> {
    pub context: &'a Context,
    /// A session at the destination.
    pub client: &'a Client,
    pub destination: &'a str,
    pub transform: &'a str,
    pub config: &'a WasmConfig,
    /// What the destination has of it.
    pub deployed: Option<&'a Deployed>,
}

/// The component that a transform is to run as.
pub struct Chosen {
    pub component: Component,
    pub digest: String,
    /// What it ran as until now.
    pub before: Option<RunsAs>,
    /// The number of the deployment that it is taken for.
    pub deployment: Option<i64>,
    file_digest: Option<String>,
    bytes: Arc<Vec<u8>>,
    /// What is to be said of the manifest's file, and what to do.
    of_file: Option<(String, Option<String>)>,
}

/// Chooses. `wanted` says whether a deployment that nobody has taken yet counts.
///
/// # Errors
/// The component can't be had or loaded.
pub async fn choose(whose: &Whose<'_>, wanted: bool) -> Result<Chosen, EngineError> {
    let file = load::read(whose.config).await;
    let mut file_digest = file.as_ref().ok().map(|bytes| digest(bytes));
    let before = whose.deployed.and_then(|one| one.runs_as.clone());
    let deployment = whose.deployed.and_then(|one| one.deployment.as_ref());
    let deployment = deployment.filter(|one| wanted && one.state == DeploymentState::Wanted);
    let path = whose.config.component.display().to_string();
    let of_store = |digest: &str| format!("component {}", short(digest));
    let mut of_file = None;
    let (bytes, digest, name) = match (deployment, &before, file) {
        (Some(wish), ..) => (whose.kept(&wish.digest).await?, wish.digest.clone(), of_store(&wish.digest)),
        (None, None, file) => {
            let bytes = file?;
            let digest = digest(&bytes);
            (Some(bytes), digest, path)
        }
        (None, Some(runs), Ok(bytes)) => {
            let found = digest(&bytes);
            let is_new = is_of_file(runs) && !whose.has_begun();
            if found == runs.digest || is_new {
                (Some(bytes), found, path)
            } else {
                if runs.file_digest.as_ref() != Some(&found) {
                    of_file = Some(whose.unheeded(runs, &found));
                }
                // It is said at every start, until somebody deploys one or the other.
                file_digest.clone_from(&runs.file_digest);
                (whose.kept(&runs.digest).await?, runs.digest.clone(), of_store(&runs.digest))
            }
        }
        // The file is gone. That is a mistake where the file is what runs; otherwise nothing is missing.
        (None, Some(runs), Err(error)) => {
            let kept = if is_of_file(runs) && !whose.has_begun() { None } else { whose.kept(&runs.digest).await? };
            let Some(kept) = kept else { return Err(error) };
            of_file = Some((format!("{error}; component {} goes on running", short(&runs.digest)), error.hint()));
            file_digest.clone_from(&runs.file_digest);
            (Some(kept), runs.digest.clone(), of_store(&runs.digest))
        }
    };
    let bytes = Arc::new(bytes.ok_or_else(|| whose.not_kept(&digest))?);
    let component = whose.context.components.load(&bytes, &digest, name, load::limits(whose.config)).await?;
    let deployment = deployment.map(|wish| wish.number);
    Ok(Chosen { component, digest, before, deployment, file_digest, bytes, of_file })
}

/// Tells whether what runs is what the manifest's file held: then a new file is a new component.
fn is_of_file(runs: &RunsAs) -> bool {
    // Before deployments were recorded, nothing but the file was ever run.
    runs.file_digest.as_ref() == Some(&runs.digest) || (runs.file_digest.is_none() && runs.lsn.is_none())
}

/// Returns the SHA-256 of a component's bytes, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Returns as much of a digest as tells components apart for people.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

impl Whose<'_> {
    /// Returns true once this process has run the transform: a file that changes under it is not taken by the way, in a
    /// run that begins for another reason.
    fn has_begun(&self) -> bool {
        let place = (self.destination.to_owned(), self.transform.to_owned());
        self.context.begun.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).contains(&place)
    }

    async fn kept(&self, digest: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let kept = datastore::component(self.client, &self.context.manifest, digest).await;
        kept.map_err(|source| EngineError::DataStore { slug: self.destination.to_owned(), source })
    }

    fn not_kept(&self, digest: &str) -> EngineError {
        EngineError::Setup {
            what: format!(
                "component {} of transform `{}`, which was deployed, is not kept at destination `{}`",
                short(digest),
                self.transform,
                self.destination
            ),
            hint: Some(format!("deploy it again: `pelton deploy {} FILE`", self.transform)),
        }
    }

    fn unheeded(&self, runs: &RunsAs, found: &str) -> (String, Option<String>) {
        let Whose { transform, config, .. } = self;
        let (path, runs, found) = (config.component.display(), short(&runs.digest), short(found));
        (
            format!("{path} is component {found}, which was not deployed; component {runs} goes on running"),
            Some(format!("`pelton deploy {transform} {path}` deploys the file")),
        )
    }
}

impl Chosen {
    /// Says where the manifest's file is not what runs.
    pub fn tell_of_file(&self, destination: &str, transform: &str) {
        if let Some((what, hint)) = &self.of_file {
            tracing::warn!(destination, transform, hint = hint.as_deref().unwrap_or("-"), "{what}");
        }
    }

    /// Records at the destination, under the owner's token, that the transform goes on as this from `lsn` on, unless that
    /// is recorded already.
    ///
    /// # Errors
    /// Another process has taken the flows over, or what the server says.
    pub async fn begin(
        &self,
        context: &Context,
        client: &mut Client,
        destination: &str,
        owned: &Owned,
        transform: &str,
        lsn: Lsn,
    ) -> Result<(), EngineError> {
        let has_begun = || {
            let place = (destination.to_owned(), transform.to_owned());
            context.begun.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(place);
        };
        let state_version = self.state_version();
        let is_recorded = self.before.as_ref().is_some_and(|before| {
            before.digest == self.digest
                && before.lsn.is_some()
                && before.file_digest == self.file_digest
                && before.state_version == state_version
        });
        if is_recorded && self.deployment.is_none() {
            has_begun();
            return Ok(());
        }
        let bytes = Some(self.bytes.as_slice()).filter(|bytes| bytes.len() <= COMPONENT_BYTES_MAX);
        let began = Began {
            transform,
            digest: &self.digest,
            file_digest: self.file_digest.as_deref(),
            state_version,
            lsn,
            bytes,
        };
        crate::fault::point("before-component");
        let began = datastore::begin_component(client, owned, &began).await;
        began.map_err(|source| EngineError::DataStore { slug: destination.to_owned(), source })?;
        // Not before it is recorded: until then a new file is new.
        has_begun();
        crate::fault::point("after-component");
        let digest = short(&self.digest);
        match self.before.as_ref().filter(|before| before.digest != self.digest) {
            Some(before) => {
                let former = short(&before.digest);
                tracing::info!(destination, transform, digest, former, at = %lsn, "runs as another component from here on");
            }
            None => tracing::debug!(destination, transform, digest, at = %lsn, "recorded its component"),
        }
        Ok(())
    }

    /// Returns the version of the state that is there, if the component reads another one.
    pub fn other_state_version(&self) -> Option<i32> {
        let before = self.before.as_ref().filter(|before| before.has_state)?;
        (before.state_version != self.state_version()).then_some(before.state_version)
    }

    /// Returns the version of the state that it reads and writes; 0 where it keeps none.
    pub fn state_version(&self) -> i32 {
        let descriptor = self.component.descriptor();
        if descriptor.stateful { descriptor.state_version as i32 } else { 0 }
    }
}
