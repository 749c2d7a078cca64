//! Chooses the component that a transform runs as, deployments that nobody has taken yet aside: the recorded one, or the
//! manifest's file.
//!
//! While the manifest's file is what runs, a new file is a new component, taken at the next start. Once another component
//! was deployed over it, that one runs, at every start and on every host, until the file holds it too, or another one is
//! deployed: a file that nobody deployed is not taken in silence, and not ignored in silence either. Within one process
//! nothing but a deployment changes what a transform runs as, and what it runs as stays loaded: a run that begins anew
//! reads no file and compiles nothing.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use super::super::Context;
use super::super::apart::Place;
use super::super::failure::EngineError;
use super::super::load;
use super::super::plan::{FlowPlan, TransformPlan};
use crate::datastore::{self, Began, COMPONENT_BYTES_MAX, Deployed, FlowRow, Owned, RunsAs};
use crate::lsn::Lsn;
use crate::manifest::WasmConfig;
use crate::wasm::Component;

/// The transform of a destination that a component is chosen for.
pub struct Whose<'a> {
    pub context: &'a Context,
    /// A session at the destination.
    pub client: &'a Client,
    pub destination: &'a str,
    pub transform: &'a TransformPlan,
    pub config: &'a WasmConfig,
    /// What the destination has of it.
    pub deployed: Option<&'a Deployed>,
    /// It was released: it forgets what it remembers, and its tables are copied anew.
    pub anew: bool,
}

/// The component that a transform is to run as.
pub struct Chosen {
    pub component: Component,
    pub digest: String,
    /// What it ran as until now.
    pub before: Option<RunsAs>,
    /// It is taken for a deployment.
    pub is_deployment: bool,
    /// What the manifest's file holds; where that was not deployed, what it held before.
    pub(super) file_digest: Option<String>,
    /// To be kept at the destination, unless they are.
    bytes: Option<Arc<Vec<u8>>>,
    /// What is to be said of the manifest's file, and what to do.
    of_file: Option<(String, Option<String>)>,
}

/// Chooses what a transform goes on as.
///
/// # Errors
/// The component can't be had or loaded.
pub async fn choose(whose: &Whose<'_>) -> Result<Chosen, EngineError> {
    let before = whose.runs_as();
    let begun = whose.context.begun(&whose.place());
    if let (Some(runs), Some(component)) = (&before, &begun)
        && runs.digest == hex::encode(component.digest())
    {
        return Ok(Chosen {
            component: component.clone(),
            digest: runs.digest.clone(),
            file_digest: runs.file_digest.clone(),
            before,
            is_deployment: false,
            bytes: None,
            of_file: None,
        });
    }
    let file = load::read(whose.config).await;
    let mut file_digest = file.as_ref().ok().map(|bytes| digest(bytes));
    let path = whose.config.component.display().to_string();
    let of_store = |digest: &str| format!("component {}", short(digest));
    // A file that changes while a process runs the transform is not taken by the way, in a run that begins for another reason.
    let follows_file = |runs: &RunsAs| is_of_file(runs) && begun.is_none();
    let mut of_file = None;
    let (bytes, digest, name) = match (&before, file) {
        (None, file) => {
            let bytes = file?;
            let digest = digest(&bytes);
            (bytes, digest, path)
        }
        (Some(runs), Ok(bytes)) => {
            let found = digest(&bytes);
            if found == runs.digest || follows_file(runs) {
                (bytes, found, path)
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
        (Some(runs), Err(error)) if follows_file(runs) => return Err(error),
        (Some(runs), Err(error)) => {
            of_file = Some((format!("{error}; component {} goes on running", short(&runs.digest)), error.hint()));
            file_digest.clone_from(&runs.file_digest);
            (whose.kept(&runs.digest).await?, runs.digest.clone(), of_store(&runs.digest))
        }
    };
    let bytes = Arc::new(bytes);
    let component = whose.context.components.load(&bytes, &digest, name, load::limits(whose.config)).await?;
    Ok(Chosen { component, digest, before, is_deployment: false, file_digest, bytes: Some(bytes), of_file })
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

/// Tells whether a transform's flows were released.
pub fn is_released(transform: &TransformPlan, rows: &[FlowRow]) -> bool {
    let is_its_own = |row: &FlowRow| transform.flows.iter().any(|flow: &FlowPlan| flow.name == row.flow);
    rows.iter().any(|row| row.released && is_its_own(row))
}

impl Whose<'_> {
    pub(super) fn place(&self) -> Place {
        (self.destination.to_owned(), self.transform.name.clone())
    }

    /// Returns true once this process has run the transform.
    pub fn has_begun(&self) -> bool {
        self.context.begun(&self.place()).is_some()
    }

    /// Returns what it ran as until now.
    pub(super) fn runs_as(&self) -> Option<RunsAs> {
        let mut runs_as = self.deployed?.runs_as.clone()?;
        runs_as.has_state &= !self.anew;
        Some(runs_as)
    }

    /// Returns what it runs as, if that can be had: what another component is held against.
    pub(super) async fn running(&self) -> Option<Component> {
        let runs_as = self.runs_as()?;
        let of_file = async {
            let bytes = load::read(self.config).await.ok()?;
            (digest(&bytes) == runs_as.digest).then_some(bytes)
        };
        if let Some(loaded) = self.context.components.loaded(&runs_as.digest) {
            return Some(loaded);
        }
        let bytes = match self.kept(&runs_as.digest).await {
            Ok(bytes) => bytes,
            Err(_) => of_file.await?,
        };
        let name = format!("component {}", short(&runs_as.digest));
        let limits = load::limits(self.config);
        self.context.components.load(&Arc::new(bytes), &runs_as.digest, name, limits).await.ok()
    }

    /// Returns the bytes of a component that the destination keeps.
    pub(super) async fn kept(&self, digest: &str) -> Result<Vec<u8>, EngineError> {
        let kept = datastore::component(self.client, &self.context.manifest, digest).await;
        let kept = kept.map_err(|source| EngineError::DataStore { slug: self.destination.to_owned(), source })?;
        let transform = &self.transform.name;
        kept.ok_or_else(|| EngineError::Setup {
            what: format!(
                "component {} of transform `{transform}`, which was deployed, is not kept at destination `{}`",
                short(digest),
                self.destination
            ),
            hint: Some(format!("deploy it again: `pelton deploy {transform} FILE`")),
        })
    }

    fn unheeded(&self, runs: &RunsAs, found: &str) -> (String, Option<String>) {
        let (path, runs, found) = (self.config.component.display(), short(&runs.digest), short(found));
        (
            format!("{path} is component {found}, which was not deployed; component {runs} goes on running"),
            Some(format!("`pelton deploy {} {path}` deploys the file", self.transform.name)),
        )
    }
}

impl Chosen {
    /// Returns a component that was made ready for a deployment.
    pub(super) fn deployed(component: Component, file_digest: Option<String>, before: Option<RunsAs>) -> Chosen {
        let digest = hex::encode(component.digest());
        // Whoever deployed it has put its bytes there.
        Chosen { component, digest, before, is_deployment: true, file_digest, bytes: None, of_file: None }
    }

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
        let place = (destination.to_owned(), transform.to_owned());
        let state_version = self.state_version();
        let is_recorded = self.before.as_ref().is_some_and(|before| {
            before.digest == self.digest
                && before.lsn.is_some()
                && before.file_digest == self.file_digest
                && before.state_version == state_version
        });
        if is_recorded && !self.is_deployment {
            context.begins(place, &self.component);
            return Ok(());
        }
        let bytes = self.bytes.as_ref().map(|bytes| bytes.as_slice());
        let began = Began {
            transform,
            digest: &self.digest,
            file_digest: self.file_digest.as_deref(),
            state_version,
            lsn,
            bytes: bytes.filter(|bytes| bytes.len() <= COMPONENT_BYTES_MAX),
        };
        crate::fault::point("before-component");
        let began = datastore::begin_component(client, owned, &began).await;
        began.map_err(|source| EngineError::DataStore { slug: destination.to_owned(), source })?;
        context.trials.taken(&place);
        // Not before it is recorded: until then a new file is new.
        context.begins(place, &self.component);
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
