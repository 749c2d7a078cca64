//! A candidate beside the component that runs: on the same changes, with a state of its own, and nothing that it makes is
//! written but counts, and names and positions of what differs.
//!
//! The one that runs never waits for it. It is read, compiled and started by a task of its own, on an engine of its own.
//! Batches are offered to it once they are made, through a queue of two; what does not fit, or came before it was ready, is
//! skipped and counted. It has its own instance on its own thread, its own limits, and when it fails it is started again for
//! the next batch, a few times in a row.
//!
//! # What it remembers
//! Its state begins as what the transform remembers, if both have the same state version, and empty otherwise. It is held in
//! memory, and never committed. Of a batch that it was not given, or failed on, it takes over what the one that runs wrote
//! into state, so that one lost batch does not make all later ones differ. The same brings it to its beginning: it reads the
//! state while the run goes on, and what was written since the run began is laid over that, the newest of each key.
//!
//! # What it may take
//! Beside the guest's own memory (`limits.memoryMib`): of state that many MiB, 64 at least, twice that once it has run, and
//! once more what waits to be taken over; and two batches.

mod compare;
mod state;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use super::Context;
use super::load;
use super::plan::GroupPlan;
use super::transform::Made;
use crate::change::{Batch, Relation, Row};
use crate::datastore::StateTable;
use crate::manifest::WasmConfig;
use crate::wasm::Component;

use self::state::{ENTRY_BYTES, Writes};

/// Batches that wait for a candidate.
const WAITING_MAX: usize = 2;

/// The transform that a candidate is to run beside.
pub struct Beside {
    pub context: Arc<Context>,
    pub group: GroupPlan,
    pub config: WasmConfig,
    /// What runs.
    pub running: Component,
    pub state: StateTable,
    pub relations: Vec<Arc<Relation>>,
}

impl Beside {
    /// Returns how much of state is held at a time.
    fn state_bytes_max(&self) -> usize {
        (load::limits(&self.config).memory_mib.max(64) as usize) << 20
    }
}

/// A candidate, as the transform that it runs beside has it.
pub struct Shadow {
    offers: mpsc::Sender<Offer>,
    between: Arc<Between>,
    /// What was written into state since the last batch that it was given.
    carried: BTreeMap<Bytes, Option<Bytes>>,
    carried_bytes: usize,
    carried_bytes_max: usize,
}

/// What both sides know.
#[derive(Default)]
struct Between {
    /// Set once it takes batches: what is written into state means the same to it.
    carries_on: OnceLock<bool>,
    /// Changes that it was not given.
    skipped: AtomicU64,
    /// More was written into state than is held: nobody can tell any more what it would remember.
    is_lost: AtomicBool,
    /// Told of that.
    lost: Notify,
}

/// A batch, and what the component that runs made of it.
struct Offer {
    batch: Arc<Batch>,
    rows: Vec<Row>,
    state: Writes,
    carried: Writes,
}

/// Starts the manifest's candidate, if there is one, beside what runs.
pub async fn open(beside: Beside) -> Option<Shadow> {
    let path = beside.config.shadow.clone()?;
    let (offers, received) = mpsc::channel(WAITING_MAX);
    let between = Arc::new(Between::default());
    let carried_bytes_max = beside.state_bytes_max();
    let (started, has_started) = oneshot::channel();
    let context = beside.context.clone();
    {
        let mut shadows = context.shadows.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Those of earlier runs have ended.
        while shadows.try_join_next().is_some() {}
        shadows.spawn(work::run(beside, path, between.clone(), received, started));
    }
    if context.options.until_caught_up {
        // Otherwise all may be over before it is ready. It tells itself why it is not.
        let _ = has_started.await;
    }
    Some(Shadow { offers, between, carried: BTreeMap::new(), carried_bytes: 0, carried_bytes_max })
}

impl Shadow {
    /// Offers what was made of a batch. Returns at once.
    pub fn offer(&mut self, made: &Made) {
        let Some(batch) = &made.batch else { return };
        // It has ended, and says why itself.
        if self.offers.is_closed() {
            return;
        }
        let carries_on = self.between.carries_on.get();
        // Nobody else sends: what there is room for now is taken.
        if carries_on.is_none() || self.offers.capacity() == 0 {
            self.between.skipped.fetch_add(batch.changes.len() as u64, Ordering::Relaxed);
            if carries_on != Some(&false) {
                self.carry(&made.state);
            }
            return;
        }
        self.carried_bytes = 0;
        let offer = Offer {
            batch: batch.clone(),
            rows: made.rows.clone(),
            state: made.state.clone(),
            carried: std::mem::take(&mut self.carried).into_iter().collect(),
        };
        // It may end this very moment.
        let _ = self.offers.try_send(offer);
    }

    /// Keeps what was written into state, the newest of each key. Beyond the limit the candidate ends.
    fn carry(&mut self, state: &Writes) {
        let size = |key: &Bytes, value: &Option<Bytes>| key.len() + value.as_ref().map_or(0, Bytes::len) + ENTRY_BYTES;
        for (key, value) in state {
            self.carried_bytes += size(key, value);
            if let Some(replaced) = self.carried.insert(key.clone(), value.clone()) {
                self.carried_bytes -= size(key, &replaced);
            }
        }
        if self.carried_bytes > self.carried_bytes_max {
            self.between.is_lost.store(true, Ordering::Release);
            self.between.lost.notify_one();
            (self.offers, _) = mpsc::channel(1);
            self.carried.clear();
        }
    }
}
