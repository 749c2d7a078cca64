//! The candidate's own side: it is started, is given batches, and says what came of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_postgres::Client;

use super::super::deploy::{digest, short};
use super::super::destination::connect_to_deploy;
use super::super::failure::{Chain, EngineError};
use super::super::load;
use super::compare::{Pairs, Sample};
use super::state::{Memory, Writes};
use super::{Beside, Between, Offer};
use crate::change::{Batch, Op, Relation};
use crate::datastore::{self, ShadowFound};
use crate::wasm::{self, Component, Subscription};

/// Failures in a row after which it is not started again in this run.
const FAILURES_MAX: u32 = 10;
/// How often what was found is written, if there is something.
const WRITE: Duration = Duration::from_secs(1);
/// Samples that are taken between two writes.
const SAMPLES_MAX: usize = 10;

/// Starts the candidate in the file `path`, and runs it for as long as batches are offered. Why it can't be started is
/// recorded for `pelton status`: it is nobody else's trouble.
pub(super) async fn run(
    beside: Beside,
    path: PathBuf,
    between: Arc<Between>,
    offers: mpsc::Receiver<Offer>,
    started: oneshot::Sender<()>,
) {
    let (destination, transform) = (beside.group.slug.clone(), beside.state.transform.clone());
    let mut found = ShadowFound { beside: hex::encode(beside.running.digest()), ..ShadowFound::default() };
    let mut work = Work { beside, between, found: ShadowFound::default(), dirty: true, client: None };
    let guest = Guest::start(&work.beside, &path, &mut found).await;
    let candidate = short(&found.digest).to_owned();
    let running = short(&found.beside).to_owned();
    work.found = found;
    match guest {
        Ok(guest) => {
            // From here on it is given batches.
            let _ = work.between.carries_on.set(guest.carries_on);
            tracing::info!(destination, transform, candidate, running, "a candidate runs beside it");
            drop(started);
            work.follow(guest, offers).await;
        }
        Err(error) => {
            drop(offers);
            work.fails(&error, "does not run");
            work.write().await;
            drop(started);
        }
    }
}

/// What came of a candidate, on its way to the destination.
struct Work {
    beside: Beside,
    between: Arc<Between>,
    /// Since it was last written.
    found: ShadowFound,
    dirty: bool,
    client: Option<Client>,
}

impl Work {
    async fn follow(&mut self, mut guest: Guest, mut offers: mpsc::Receiver<Offer>) {
        let mut due = tokio::time::interval(WRITE);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                offer = offers.recv() => {
                    let Some(offer) = offer else { break };
                    self.dirty = true;
                    let taken = tokio::select! {
                        taken = guest.take(offer, &mut self.found) => taken,
                        () = self.between.lost.notified() => break,
                    };
                    match taken {
                        Ok(()) => {}
                        Err(Failed::Once(error)) => self.fails(&error, "failed"),
                        Err(Failed::ForGood(error)) => {
                            self.fails(&error, "does not run any more");
                            break;
                        }
                    }
                }
                _ = due.tick() => self.write().await,
            }
        }
        if self.between.is_lost.load(Ordering::Acquire) {
            self.fails(&too_far_behind(&self.beside), "does not run any more");
        }
        self.write().await;
    }

    /// Says in the log, and for `pelton status`, what is wrong with it.
    fn fails(&mut self, error: &EngineError, how: &str) {
        let (problem, hint) = (error.told(), error.hint());
        let (destination, transform) = (&self.beside.group.slug, &self.beside.state.transform);
        let shown = hint.as_deref().unwrap_or("-");
        tracing::warn!(destination, transform, hint = shown, "the candidate {how}: {problem}");
        (self.found.problem, self.found.hint) = (Some(problem), hint);
        self.dirty = true;
    }

    /// Writes what was found since the last time. A destination that can't be written hears of it later.
    async fn write(&mut self) {
        let skipped = self.between.skipped.swap(0, Ordering::Relaxed) as i64;
        self.found.skipped += skipped;
        if !std::mem::take(&mut self.dirty) && skipped == 0 {
            return;
        }
        let Beside { context, group, state, .. } = &self.beside;
        let written = async {
            let client = match &mut self.client {
                Some(open) if !open.is_closed() => open,
                closed => closed.insert(connect_to_deploy(context, group).await?),
            };
            let put = datastore::put_shadow(client, &state.scope, &state.transform, &self.found).await;
            put.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })
        };
        if let Err(error) = written.await {
            tracing::debug!(destination = group.slug, "what a candidate did is not written: {}", Chain(&error));
            self.dirty = true;
            return;
        }
        let ShadowFound { compared, different, skipped, samples, .. } = &mut self.found;
        (*compared, *different, *skipped) = (0, 0, 0);
        samples.clear();
    }
}

/// How a candidate failed.
enum Failed {
    /// It is started again for the next batch.
    Once(EngineError),
    /// It is not run any more in this run.
    ForGood(EngineError),
}

/// A candidate that takes batches.
struct Guest {
    component: Component,
    options: wasm::Options,
    /// `None` after a failure, until the next batch.
    running: Option<wasm::Transform>,
    pairs: Pairs,
    /// Of both: the changes that are compared.
    subscriptions: Vec<Subscription>,
    whole: bool,
    memory: Arc<Memory>,
    /// What the one that runs writes into state means the same to it.
    carries_on: bool,
    state_bytes_max: usize,
    /// In a row.
    failures: u32,
}

impl Guest {
    async fn start(beside: &Beside, path: &Path, found: &mut ShadowFound) -> Result<Guest, EngineError> {
        let Beside { context, group, config, running, state: table, relations } = beside;
        let (name, limits) = (path.display().to_string(), load::limits(config));
        let bytes = tokio::fs::read(path).await;
        let bytes = bytes.map_err(|source| EngineError::ReadComponent { path: name.clone(), source })?;
        found.digest = digest(&bytes);
        let component = {
            let _alone = context.compiling.lock().await;
            context.candidates().await?.load(&Arc::new(bytes), &found.digest, name, limits).await?
        };
        let (old, new) = (running.descriptor(), component.descriptor());
        if let Some(error) = unread(&table.transform, old, new) {
            return Err(error);
        }
        let state_bytes_max = beside.state_bytes_max();
        let carries_on = new.stateful && old.stateful && new.state_version == old.state_version;
        let memory = if carries_on {
            let client = connect_to_deploy(context, group).await?;
            let memory = Memory::of(&client, table, state_bytes_max).await;
            let memory = memory.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
            memory.ok_or_else(|| EngineError::Setup {
                what: format!(
                    "what transform `{}` remembers is more than the {} MiB that a candidate may hold of it",
                    table.transform,
                    state_bytes_max >> 20
                ),
                hint: Some("raise limits.memoryMib; or run the candidate by itself, into tables of its own".to_owned()),
            })?
        } else {
            Memory::default()
        };
        let memory = Arc::new(memory);
        let options = wasm::Options {
            name: table.transform.clone(),
            settings: load::settings(&component, config)?,
            limits,
            // One is enough to compare with, and takes little from the other candidates.
            instances: 1,
            state: new.stateful.then(|| memory.clone() as Arc<dyn wasm::StateStore>),
            relations: relations.clone(),
        };
        let started = wasm::Transform::start(&component, options.clone()).await?;
        Ok(Guest {
            pairs: Pairs::new(&old.public_schemas, &new.public_schemas),
            subscriptions: [&old.subscriptions[..], &new.subscriptions].concat(),
            whole: new.whole_transactions,
            component,
            options,
            running: Some(started),
            memory,
            carries_on,
            state_bytes_max,
            failures: 0,
        })
    }

    /// Gives a batch to the candidate, and compares.
    async fn take(&mut self, offer: Offer, found: &mut ShadowFound) -> Result<(), Failed> {
        let Offer { batch, rows, state, carried } = offer;
        self.follow(carried)?;
        let whole = batch.spans.iter().all(|span| span.complete && span.first_in_transaction == 0);
        let output = match &self.running {
            _ if self.whole && !whole => Err(None),
            Some(guest) => guest.process(batch.clone()).await.map_err(Some),
            None => match wasm::Transform::start(&self.component, self.options.clone()).await {
                Ok(guest) => self.running.insert(guest).process(batch.clone()).await.map_err(Some),
                Err(error) => Err(Some(error)),
            },
        };
        match output {
            Ok(output) => {
                self.failures = 0;
                let differing = self.pairs.differing(&batch, &rows, &output.rows, &output.rejected);
                found.compared += self.compared(&batch) as i64;
                found.different += differing.len() as i64;
                let room = SAMPLES_MAX.saturating_sub(found.samples.len());
                found.samples.extend(differing.iter().take(room).map(Sample::to_json));
                let written = output.state.into_iter().map(|(key, value)| (key.into(), value)).collect();
                self.hold(written)?;
                self.running.iter().for_each(|guest| guest.committed(batch.id));
                Ok(())
            }
            Err(error) => {
                found.skipped += batch.changes.len() as i64;
                self.follow(state)?;
                let Some(error) = error.map(EngineError::from) else { return Ok(()) };
                self.failures += 1;
                self.running = None;
                Err(if self.failures >= FAILURES_MAX { Failed::ForGood(error) } else { Failed::Once(error) })
            }
        }
    }

    /// Takes over what the one that runs wrote into state.
    fn follow(&mut self, writes: Writes) -> Result<(), Failed> {
        if !self.carries_on || writes.is_empty() {
            return Ok(());
        }
        // Its instance keeps what it has read, and counts on writing its state alone.
        self.running = None;
        self.hold(writes)
    }

    fn hold(&self, writes: Writes) -> Result<(), Failed> {
        if self.memory.apply(writes) <= self.state_bytes_max * 2 {
            return Ok(());
        }
        Err(Failed::ForGood(EngineError::Setup {
            what: format!("the candidate remembers more than {} MiB", self.state_bytes_max >> 19),
            hint: Some("raise limits.memoryMib".to_owned()),
        }))
    }

    fn compared(&self, batch: &Batch) -> usize {
        let reads = |relation: &Arc<Relation>| {
            self.subscriptions.iter().any(|one| *one.schema == *relation.schema && *one.table == *relation.name)
        };
        let read: Vec<bool> = batch.relations.iter().map(reads).collect();
        batch.changes.iter().filter(|change| read.get(change.relation as usize) == Some(&true)).count()
    }
}

/// Says what a candidate reads that the one that runs does not, and that does not come for it: to compare it on what comes
/// would tell half of it.
fn unread(transform: &str, running: &wasm::Descriptor, candidate: &wasm::Descriptor) -> Option<EngineError> {
    let refuse = |what: String| EngineError::Setup {
        what: format!(
            "the candidate reads {what}, which transform `{transform}` as it runs does not, so that it would not come"
        ),
        hint: Some("run it by itself, into tables of its own; or deploy it".to_owned()),
    };
    candidate.subscriptions.iter().find_map(|new| {
        let of_table = running.subscriptions.iter().filter(|old| old.schema == new.schema && old.table == new.table);
        let read: Vec<&Subscription> = of_table.collect();
        let table = match &new.schema[..] {
            Relation::MESSAGE_SCHEMA => format!("logical messages `{}`", new.table),
            schema => format!("table {schema}.{}", new.table),
        };
        if read.is_empty() {
            return Some(refuse(table));
        }
        // A transform that takes transactions whole is given what it subscribes to, and nothing else.
        let comes = |op: &Op| !running.whole_transactions || read.iter().any(|old| takes(old, *op));
        let all =
            [(Op::Insert, "inserts"), (Op::Update, "updates"), (Op::Delete, "deletes"), (Op::Truncate, "truncates")];
        let lacking = all.iter().find(|(op, _)| takes(new, *op) && !comes(op));
        lacking.map(|(_, ops)| refuse(format!("{ops} of {table}")))
    })
}

fn takes(subscription: &Subscription, op: Op) -> bool {
    subscription.ops.is_empty() || subscription.ops.contains(&op)
}

fn too_far_behind(beside: &Beside) -> EngineError {
    let mib = beside.state_bytes_max() >> 20;
    EngineError::Setup {
        what: format!(
            "it is too far behind: while it was not given batches, transform `{}` has written more than {mib} MiB into state",
            beside.state.transform
        ),
        hint: Some("raise limits.memoryMib; it runs again when flows begin again".to_owned()),
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
