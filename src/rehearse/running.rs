//! One running transform, and what it remembers.

use std::sync::Arc;

use bytes::Bytes;

use super::state::{Entries, Memory};
use crate::change::{Batch, Rejection, Relation};
use crate::wasm::{
    Component, GuestError, Limits, Options, Output, SettingProblem, StateStore, Transform, check_settings,
};

/// What a transform is started with.
#[derive(Clone)]
pub struct Setup {
    /// As the manifest would give them.
    pub settings: Vec<(String, String)>,
    pub limits: Limits,
    pub relations: Vec<Arc<Relation>>,
}

/// Why a transform could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Unstartable {
    #[error("the settings are wrong: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<SettingProblem>),
    #[error(transparent)]
    Guest(#[from] GuestError),
}

/// A transform that runs apart from the line.
pub struct Rehearsal {
    component: Component,
    options: Options,
    memory: Arc<Memory>,
    /// Absent after a failure, until the next batch.
    transform: Option<Transform>,
    next_id: u64,
    /// What the pieces of a transaction that goes on wrote.
    written: Vec<(Vec<u8>, Option<Bytes>)>,
    errors: Vec<GuestError>,
}

impl Rehearsal {
    /// Starts an instance without any state.
    ///
    /// # Errors
    /// Settings that do not fit, and what its `init` answered.
    pub async fn start(component: &Component, setup: &Setup) -> Result<Rehearsal, Unstartable> {
        let settings = check_settings(component.descriptor(), &setup.settings).map_err(Unstartable::Settings)?;
        let memory = Arc::new(Memory::default());
        let options = Options {
            name: component.descriptor().name.clone(),
            settings,
            limits: setup.limits,
            instances: 1,
            state: Some(memory.clone() as Arc<dyn StateStore>),
            relations: setup.relations.clone(),
        };
        let transform = Transform::start(component, options.clone()).await?;
        Ok(Rehearsal {
            component: component.clone(),
            options,
            memory,
            transform: Some(transform),
            next_id: 0,
            written: Vec::new(),
            errors: Vec::new(),
        })
    }

    /// Goes on with other settings, limits or tables, and with the state that is there.
    ///
    /// # Errors
    /// As [`start`](Rehearsal::start).
    pub async fn go_on(&mut self, setup: &Setup) -> Result<(), Unstartable> {
        let settings = check_settings(self.component.descriptor(), &setup.settings).map_err(Unstartable::Settings)?;
        let options =
            Options { settings, limits: setup.limits, relations: setup.relations.clone(), ..self.options.clone() };
        self.transform = Some(Transform::start(&self.component, options.clone()).await?);
        self.options = options;
        Ok(())
    }

    pub fn component(&self) -> &Component {
        &self.component
    }

    /// Returns the tables that it was started with.
    pub fn relations(&self) -> &[Arc<Relation>] {
        &self.options.relations
    }

    /// Hands over a batch, whose id is given here, and keeps the state that it wrote.
    ///
    /// # Errors
    /// What the transform answered. What the batch did is undone, and another instance takes the next one.
    pub async fn run(&mut self, batch: Batch) -> Result<Output, GuestError> {
        self.deliver(batch, 1).await
    }

    /// The same with a batch that is delivered `times` times before it is committed, as after a connection was lost. The
    /// last output counts.
    ///
    /// # Errors
    /// As [`run`](Rehearsal::run).
    pub async fn deliver(&mut self, batch: Batch, times: u32) -> Result<Output, GuestError> {
        // Put back once the batch is done: a failure leaves nothing of the transaction.
        let mut written = std::mem::take(&mut self.written);
        let transform = match self.transform.take() {
            Some(transform) => transform,
            None => Transform::start(&self.component, self.options.clone()).await?,
        };
        let id = self.next_id;
        self.next_id += 1;
        let batch = Arc::new(Batch { id, ..batch });
        for _ in 1..times {
            without_rejected(&transform, &batch).await?;
        }
        let goes_on = batch.ends_inside_transaction();
        let output = without_rejected(&transform, &batch).await?;
        // The pieces of a transaction are committed with its last one; until then the transform remembers them itself.
        written.extend(output.state.iter().cloned());
        if !goes_on {
            self.memory.commit(&written);
            written.clear();
            transform.committed(id);
        }
        self.written = written;
        self.transform = Some(transform);
        Ok(output)
    }

    /// Replaces the instance, as may happen between any two transactions: only the state survives.
    pub fn restart(&mut self) {
        self.transform = None;
    }

    /// Keeps an error for whoever looks into it: the guest's own lines are in it.
    pub(super) fn keep(&mut self, error: GuestError) {
        self.errors.push(error);
    }

    /// Takes the errors in which batches ended.
    pub fn take_errors(&mut self) -> Vec<GuestError> {
        std::mem::take(&mut self.errors)
    }

    /// Returns what the transform remembers.
    pub fn state(&self) -> Entries {
        self.memory.entries()
    }
}

/// Runs a batch, and once more without the changes that it rejects: what those did to the state must not stay.
async fn without_rejected(transform: &Transform, batch: &Arc<Batch>) -> Result<Output, GuestError> {
    let mut rejected = Vec::new();
    loop {
        let mut without: Vec<u32> = rejected.iter().map(|rejection: &Rejection| rejection.index).collect();
        without.sort_unstable();
        let mut output = transform.submit(batch.clone(), without).await.output().await?;
        if output.rejected.is_empty() {
            rejected.sort_by_key(|rejection| rejection.index);
            return Ok(Output { rejected, ..output });
        }
        rejected.append(&mut output.rejected);
    }
}
