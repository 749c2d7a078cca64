//! A candidate beside the component that runs: on the same changes, with a state of its own, and nothing that it makes is
//! written but counts, and names and positions of what differs.
//!
//! The one that runs never waits for it. Batches are offered to it once they are made, through a queue of two; what
//! does not fit is skipped and counted. It has its own instance on its own thread, its own limits, and when it fails it
//! is started again for the next batch, a few times in a row.
//!
//! Its state begins as what the transform remembers at the checkpoint where the run begins, if both have the same state
//! version, and empty otherwise. It is held in memory, and never committed. Of a batch that it was not given, or failed
//! on, it takes over what the one that runs wrote into state, so that one lost batch does not make all later ones differ.

mod compare;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::Context;
use super::deploy::{Chosen, digest, short};
use super::destination;
use super::failure::{Chain, EngineError};
use super::load;
use super::plan::{GroupPlan, TransformPlan};
use super::transform::Made;
use crate::change::{Batch, Relation, Row};
use crate::datastore::{self, Scope, ShadowFound, StateTable};
use crate::manifest::WasmConfig;
use crate::wasm::{self, Component, Subscription};

use self::compare::{Pairs, Sample};
use self::state::{ENTRY_BYTES, Memory, Writes};

/// Batches that wait for a candidate.
const WAITING_MAX: usize = 2;
/// Failures in a row after which it is not started again in this run.
const FAILURES_MAX: u32 = 10;
/// How often what was found is written, if there is something.
const WRITE: Duration = Duration::from_secs(1);
/// Samples that are taken between two writes.
const SAMPLES_MAX: usize = 10;

/// A candidate at work, as the transform that it runs beside has it.
pub struct Shadow {
    offers: mpsc::Sender<Offer>,
    /// What it was not given since the last batch that it was: a number of changes, and what was written into state.
    skipped: u64,
    carried: BTreeMap<Bytes, Option<Bytes>>,
    carried_bytes: usize,
    /// `None` where what is written into state means nothing to the candidate.
    carried_bytes_max: Option<usize>,
}

/// A batch, and what the component that runs made of it.
struct Offer {
    batch: Arc<Batch>,
    rows: Vec<Row>,
    state: Writes,
    skipped: u64,
    carried: Writes,
}

impl Shadow {
    /// Offers what was made of a batch. Returns at once.
    pub fn offer(&mut self, made: &Made) {
        let Some(batch) = &made.batch else { return };
        // It has ended, and says why itself.
        if self.offers.is_closed() {
            return;
        }
        // Nobody else sends: what there is room for now is taken.
        if self.offers.capacity() == 0 {
            self.skipped += batch.changes.len() as u64;
            self.carry(&made.state);
            return;
        }
        self.carried_bytes = 0;
        let offer = Offer {
            batch: batch.clone(),
            rows: made.rows.clone(),
            state: made.state.clone(),
            skipped: std::mem::take(&mut self.skipped),
            carried: std::mem::take(&mut self.carried).into_iter().collect(),
        };
        // It may end this very moment.
        let _ = self.offers.try_send(offer);
    }

    /// Keeps what was written into state, the newest of each key. Beyond the limit the candidate ends, for nobody could tell
    /// any more what it would remember.
    fn carry(&mut self, state: &Writes) {
        let Some(bytes_max) = self.carried_bytes_max else { return };
        let size = |key: &Bytes, value: &Option<Bytes>| key.len() + value.as_ref().map_or(0, Bytes::len) + ENTRY_BYTES;
        for (key, value) in state {
            self.carried_bytes += size(key, value);
            if let Some(replaced) = self.carried.insert(key.clone(), value.clone()) {
                self.carried_bytes -= size(key, &replaced);
            }
        }
        if self.carried_bytes > bytes_max {
            tracing::warn!("a candidate is too far behind to know what it would remember; it does not run any more");
            (self.offers, _) = mpsc::channel(1);
            self.carried.clear();
        }
    }
}

/// The transform that a candidate is to run beside.
pub struct Beside<'a> {
    pub context: &'a Arc<Context>,
    /// A session at the destination.
    pub client: &'a Client,
    pub group: &'a GroupPlan,
    pub transform: &'a TransformPlan,
    pub config: &'a WasmConfig,
    /// What runs.
    pub running: &'a Chosen,
    pub state: StateTable,
    pub relations: Vec<Arc<Relation>>,
    /// The tables whose changes come.
    pub tables: &'a [(String, String)],
}

/// Starts the manifest's candidate, if there is one and it is loaded already; `None` otherwise. Why it can't be started is
/// recorded for `pelton status`: it is nobody else's trouble.
pub async fn open(beside: &Beside<'_>) -> Option<Shadow> {
    let path = beside.config.shadow.as_ref()?;
    let (group, name) = (&beside.group.slug, &beside.transform.name);
    // What keeps it from being loaded, the watch says.
    let bytes = Arc::new(tokio::fs::read(path).await.ok()?);
    let found = ShadowFound { digest: digest(&bytes), ..ShadowFound::default() };
    let (components, limits) = (&beside.context.components, load::limits(beside.config));
    let component = if beside.context.options.until_caught_up {
        // There may be no next run.
        components.load(&bytes, &found.digest, path.display().to_string(), limits).await.ok()?
    } else {
        components.loaded(&found.digest)?
    };
    let found = ShadowFound { beside: beside.running.digest.clone(), ..found };
    match start(beside, component, found.clone()).await {
        Ok(shadow) => {
            let (candidate, running) = (short(&found.digest), short(&found.beside));
            tracing::info!(destination = group, transform = name, candidate, running, "a candidate runs beside it");
            Some(shadow)
        }
        Err(error) => {
            tell(beside.context, beside.client, &beside.state, group, found, &error).await;
            None
        }
    }
}

/// Says in the log and at the destination why a candidate does not run.
pub async fn tell(
    context: &Context,
    client: &Client,
    of: &StateTable,
    destination: &str,
    found: ShadowFound,
    error: &EngineError,
) {
    let (problem, hint) = (error.told(), error.hint());
    let shown = hint.as_deref().unwrap_or("-");
    tracing::warn!(destination, transform = of.transform, hint = shown, "the candidate does not run: {problem}");
    let found = ShadowFound { problem: Some(problem), hint, ..found };
    if let Err(error) = datastore::put_shadow(client, &of.scope, &of.transform, &found).await {
        tracing::debug!(manifest = context.manifest, "could not record it: {}", Chain(&error));
    }
}

async fn start(beside: &Beside<'_>, component: Component, found: ShadowFound) -> Result<Shadow, EngineError> {
    let Beside { context, client, group, transform, config, running, state: table, relations, tables } = beside;
    let new = component.descriptor();
    let read = |one: &&Subscription| {
        one.schema == Relation::MESSAGE_SCHEMA
            || tables.iter().any(|(schema, table)| *schema == one.schema && *table == one.table)
    };
    let refuse = |what: String, hint: &str| EngineError::Setup { what, hint: Some(hint.to_owned()) };
    if let Some(unread) = new.subscriptions.iter().find(|one| !read(one)) {
        return Err(refuse(
            format!("the candidate reads table {}.{}, which is not published", unread.schema, unread.table),
            "add the table to the publication, and restart `pelton sync`",
        ));
    }
    let state_bytes_max = (load::limits(config).memory_mib.max(64) as usize) << 20;
    let old = running.component.descriptor();
    let carries_on = new.stateful && old.stateful && new.state_version == old.state_version;
    let memory = if carries_on {
        let memory = Memory::of(client, table, state_bytes_max).await;
        let memory = memory.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
        memory.ok_or_else(|| {
            refuse(
                format!(
                    "what transform `{}` remembers is more than the {} MiB that a candidate may hold of it",
                    transform.name,
                    state_bytes_max >> 20
                ),
                "raise limits.memoryMib; or run the candidate by itself, into tables of its own",
            )
        })?
    } else {
        Memory::default()
    };
    let memory = Arc::new(memory);
    let options = wasm::Options {
        name: transform.name.clone(),
        settings: load::settings(&component, config)?,
        limits: load::limits(config),
        instances: if new.parallel { config.parallel } else { 1 },
        state: new.stateful.then(|| memory.clone() as Arc<dyn wasm::StateStore>),
        relations: relations.clone(),
    };
    let guest = wasm::Transform::start(&component, options.clone()).await?;
    let (offers, received) = mpsc::channel(WAITING_MAX);
    let work = Work {
        pairs: Pairs::new(&old.public_schemas, &new.public_schemas),
        subscriptions: [&old.subscriptions[..], &new.subscriptions].concat(),
        context: (*context).clone(),
        group: (*group).clone(),
        scope: table.scope.clone(),
        transform: transform.name.clone(),
        whole: new.whole_transactions,
        component,
        options,
        guest: Some(guest),
        memory,
        carries_on,
        state_bytes_max,
        failures: 0,
        found,
        dirty: true,
    };
    let mut shadows = context.shadows.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // Those of earlier runs have ended.
    while shadows.try_join_next().is_some() {}
    shadows.spawn(work.run(received));
    drop(shadows);
    let carried_bytes_max = carries_on.then_some(state_bytes_max);
    Ok(Shadow { offers, skipped: 0, carried: BTreeMap::new(), carried_bytes: 0, carried_bytes_max })
}

/// A candidate at work, on its own side of the queue.
struct Work {
    context: Arc<Context>,
    group: GroupPlan,
    scope: Scope,
    transform: String,
    component: Component,
    options: wasm::Options,
    /// `None` after a failure, until the next batch.
    guest: Option<wasm::Transform>,
    pairs: Pairs,
    /// Of both: the changes that are compared.
    subscriptions: Vec<Subscription>,
    whole: bool,
    memory: Arc<Memory>,
    /// What the one that runs writes into state means the same to the candidate.
    carries_on: bool,
    state_bytes_max: usize,
    /// In a row.
    failures: u32,
    /// Since it was last written.
    found: ShadowFound,
    dirty: bool,
}

impl Work {
    async fn run(mut self, mut offers: mpsc::Receiver<Offer>) {
        let mut due = tokio::time::interval(WRITE);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut client = None;
        loop {
            tokio::select! {
                offer = offers.recv() => match offer {
                    Some(offer) => {
                        self.dirty = true;
                        if let Err(error) = self.take(offer).await {
                            let (problem, hint) = (error.told(), error.hint());
                            let (destination, transform) = (&self.group.slug, &self.transform);
                            tracing::warn!(destination, transform, "the candidate does not run any more: {problem}");
                            (self.found.problem, self.found.hint) = (Some(problem), hint);
                            break;
                        }
                    }
                    None => break,
                },
                _ = due.tick() => self.write(&mut client).await,
            }
        }
        self.write(&mut client).await;
    }

    /// Gives a batch to the candidate, and compares.
    ///
    /// # Errors
    /// It is not run any more in this run.
    async fn take(&mut self, offer: Offer) -> Result<(), EngineError> {
        let Offer { batch, rows, state, skipped, carried } = offer;
        self.found.skipped += skipped as i64;
        self.follow(carried)?;
        let whole = batch.spans.iter().all(|span| span.complete && span.first_in_transaction == 0);
        let output = match &self.guest {
            _ if self.whole && !whole => Err(None),
            Some(guest) => guest.process(batch.clone()).await.map_err(Some),
            None => match wasm::Transform::start(&self.component, self.options.clone()).await {
                Ok(guest) => self.guest.insert(guest).process(batch.clone()).await.map_err(Some),
                Err(error) => Err(Some(error)),
            },
        };
        match output {
            Ok(output) => {
                self.failures = 0;
                let differing = self.pairs.differing(&batch, &rows, &output.rows, &output.rejected);
                self.found.compared += self.compared(&batch) as i64;
                self.found.different += differing.len() as i64;
                let room = SAMPLES_MAX.saturating_sub(self.found.samples.len());
                self.found.samples.extend(differing.iter().take(room).map(Sample::to_json));
                let written = output.state.into_iter().map(|(key, value)| (key.into(), value)).collect();
                self.hold(written)?;
                self.guest.iter().for_each(|guest| guest.committed(batch.id));
                Ok(())
            }
            Err(error) => {
                self.found.skipped += batch.changes.len() as i64;
                self.follow(state)?;
                let Some(error) = error.map(EngineError::from) else { return Ok(()) };
                self.failures += 1;
                self.guest = None;
                let (problem, hint) = (error.told(), error.hint());
                tracing::warn!(
                    destination = self.group.slug,
                    transform = self.transform,
                    "the candidate failed: {problem}"
                );
                (self.found.problem, self.found.hint) = (Some(problem), hint);
                if self.failures >= FAILURES_MAX { Err(error) } else { Ok(()) }
            }
        }
    }

    /// Takes over what the one that runs wrote into state.
    fn follow(&mut self, writes: Writes) -> Result<(), EngineError> {
        if !self.carries_on || writes.is_empty() {
            return Ok(());
        }
        // Its instance keeps what it has read, and counts on writing its state alone.
        self.guest = None;
        self.hold(writes)
    }

    fn hold(&self, writes: Writes) -> Result<(), EngineError> {
        if self.memory.apply(writes) <= self.state_bytes_max * 2 {
            return Ok(());
        }
        Err(EngineError::Setup {
            what: format!("the candidate remembers more than {} MiB", self.state_bytes_max >> 19),
            hint: Some("raise limits.memoryMib".to_owned()),
        })
    }

    fn compared(&self, batch: &Batch) -> usize {
        let reads = |relation: &Arc<Relation>| {
            self.subscriptions.iter().any(|one| *one.schema == *relation.schema && *one.table == *relation.name)
        };
        let read: Vec<bool> = batch.relations.iter().map(reads).collect();
        batch.changes.iter().filter(|change| read.get(change.relation as usize) == Some(&true)).count()
    }

    /// Writes what was found since the last time. A destination that can't be written hears of it later.
    async fn write(&mut self, client: &mut Option<Client>) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let written = async {
            let client = match client {
                Some(open) if !open.is_closed() => open,
                _ => client.insert(destination::connect_to_deploy(&self.context, &self.group).await?),
            };
            let put = datastore::put_shadow(client, &self.scope, &self.transform, &self.found).await;
            put.map_err(|source| EngineError::DataStore { slug: self.group.slug.clone(), source })
        };
        if let Err(error) = written.await {
            tracing::debug!(destination = self.group.slug, "what a candidate did is not written: {}", Chain(&error));
            self.dirty = true;
            return;
        }
        let ShadowFound { compared, different, skipped, samples, .. } = &mut self.found;
        (*compared, *different, *skipped) = (0, 0, 0);
        samples.clear();
    }
}

impl Sample {
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "table": self.table,
            "op": self.op,
            "position": self.commit_lsn.to_string(),
            "change": self.change,
            "key": self.key,
            "publicSchema": self.public_schema,
            "what": self.to_string(),
        })
    }
}
