//! The thread behind a [`Transform`](super::Transform): takes batches one after another, and spreads each over the
//! instances.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc as std_mpsc};

use tokio::sync::{mpsc, oneshot};

use super::part::Part;
use super::relation::Plan;
use super::run::{Collected, Runner};
use super::state::{Overlay, State, Written};
use super::transform::{Options, Output, spawn};
use super::{Component, GuestError, route};
use crate::change::{Batch, Relation};
use crate::lsn::Lsn;

/// A batch and where its output goes.
pub(super) struct Job {
    pub batch: Arc<Batch>,
    pub without: Vec<u32>,
    pub reply: oneshot::Sender<Result<Output, GuestError>>,
}

/// How each relation of a batch is handed over; `None` for those that nobody subscribes to.
type Plans = Vec<Option<Arc<Plan>>>;

pub(super) struct Worker {
    runner: Runner,
    /// Instances 1 and up.
    helpers: Vec<Helper>,
    /// Plans of the last batches' relations, by the relation's address.
    plans: Vec<(Arc<Relation>, Option<Arc<Plan>>)>,
    /// The batch that failed and was not run again yet.
    failed: Option<u64>,
}

/// Plans that are remembered; beyond that they are made anew.
const PLANS_MAX: usize = 1024;

impl Worker {
    pub(super) fn start(
        component: Component,
        options: Arc<Options>,
        state: Option<Arc<State>>,
    ) -> Result<Worker, GuestError> {
        let mut plans = Vec::new();
        let mut known = Vec::new();
        for relation in &options.relations {
            let plan = Plan::of(&options.name, &component.descriptor().subscriptions, relation)?.map(Arc::new);
            plans.push((relation.clone(), plan.clone()));
            known.extend(plan);
        }
        let runner = |number| Runner::new(component.clone(), options.clone(), state.clone(), number, known.clone());
        let mut first = runner(0);
        first.instance()?;
        let helpers = (1..options.instances).map(|number| Helper::start(runner(number)));
        let helpers = helpers.collect::<Result<Vec<_>, _>>()?;
        for helper in &helpers {
            helper.started()?;
        }
        Ok(Worker { runner: first, helpers, plans, failed: None })
    }

    /// Works until nobody can submit any more.
    pub(super) fn work(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(Job { batch, without, reply }) = queue.blocking_recv() {
            let result = self.batch(&batch, &without);
            if let Err(error) = &result
                && !matches!(error, GuestError::OutOfOrder { .. })
            {
                self.failed = Some(batch.id);
            }
            // Whoever gave up waiting will submit the batch again or end the flow.
            let _ = reply.send(result);
        }
    }

    fn batch(&mut self, batch: &Arc<Batch>, without: &[u32]) -> Result<Output, GuestError> {
        if let Some(failed) = self.failed
            && batch.id > failed
        {
            let transform = self.runner.name.to_string();
            return Err(GuestError::OutOfOrder { transform, id: batch.id, failed });
        }
        self.failed = None;
        if let Some(state) = &self.runner.state
            && !state.forget_from(batch.id)
        {
            let message = format!("batch {} can't be run again: a later piece of its transaction was", batch.id);
            return Err(GuestError::Fatal { transform: self.runner.name.to_string(), message });
        }
        let plans = Arc::new(self.plans(batch)?);
        self.runner.learn(&plans);
        let is_taken = |&index: &u32| {
            let change = &batch.changes[index as usize];
            let plan = plans.get(change.relation as usize).and_then(Option::as_ref);
            plan.is_some_and(|plan| plan.takes(change.op)) && without.binary_search(&index).is_err()
        };
        let changes = batch.changes.len() as u32;
        let indexes: Vec<u32> = (0..changes).filter(is_taken).collect();
        let mut collected = Collected::default();
        if self.helpers.is_empty() {
            let whole = Part { from: 0, to: changes, indexes: &indexes, whole: without.is_empty() };
            self.runner.run(batch, &plans, whole, &mut collected)?;
        } else {
            self.spread(batch, &plans, &indexes, &mut collected)?;
        }
        let Collected { rows, mut rejected, written, .. } = collected;
        rejected.sort_by_key(|rejection| rejection.index);
        let state = written.overlay.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        if let Some(shared) = &self.runner.state {
            let goes_on = batch.ends_inside_transaction();
            let pushed = shared.push(batch.id, written, goes_on, self.runner.options.limits.state_bytes());
            let commit_lsn = batch.spans.last().map_or(Lsn::ZERO, |span| span.commit_lsn);
            pushed.map_err(|bytes| self.runner.too_much_state(bytes, commit_lsn))?;
        }
        Ok(Output { rows, rejected, state })
    }

    fn plans(&mut self, batch: &Batch) -> Result<Plans, GuestError> {
        let mut plans = Vec::with_capacity(batch.relations.len());
        for relation in &batch.relations {
            if let Some((_, plan)) = self.plans.iter().find(|(known, _)| Arc::ptr_eq(known, relation)) {
                plans.push(plan.clone());
                continue;
            }
            let subscriptions = &self.runner.component.descriptor().subscriptions;
            let plan = Plan::of(&self.runner.name, subscriptions, relation)?.map(Arc::new);
            if self.plans.len() == PLANS_MAX {
                self.plans.clear();
            }
            self.plans.push((relation.clone(), plan.clone()));
            plans.push(plan);
        }
        Ok(plans)
    }

    /// Runs the changes between two barriers on all instances at once, and each barrier alone.
    fn spread(
        &mut self,
        batch: &Arc<Batch>,
        plans: &Arc<Plans>,
        indexes: &[u32],
        collected: &mut Collected,
    ) -> Result<(), GuestError> {
        let instances = self.helpers.len() as u32 + 1;
        let route = |index: u32| {
            let change = &batch.changes[index as usize];
            let plan = plans.get(change.relation as usize)?.as_ref()?;
            route::of(plan, change, instances)
        };
        let end = batch.changes.len() as u32;
        let mut rest = indexes;
        let mut from = 0;
        while let Some(&first) = rest.first() {
            if route(first).is_none() {
                let part = Part { from, to: first + 1, indexes: &rest[..1], whole: false };
                self.runner.run(batch, plans, part, collected)?;
                (rest, from) = (&rest[1..], first + 1);
                continue;
            }
            let mut shares: Vec<Vec<u32>> = vec![Vec::new(); instances as usize];
            let mut taken = 0;
            for &index in rest {
                let Some(instance) = route(index) else { break };
                shares[instance as usize].push(index);
                taken += 1;
            }
            rest = &rest[taken..];
            let to = rest.first().copied().unwrap_or(end);
            self.share(batch, plans, from, to, shares, collected)?;
            from = to;
        }
        Ok(())
    }

    fn share(
        &mut self,
        batch: &Arc<Batch>,
        plans: &Arc<Plans>,
        from: u32,
        to: u32,
        shares: Vec<Vec<u32>>,
        collected: &mut Collected,
    ) -> Result<(), GuestError> {
        let below = collected.written.clone();
        let mut shares = shares.into_iter();
        let own = shares.next().unwrap_or_default();
        let mut busy = Vec::new();
        for (helper, indexes) in self.helpers.iter().zip(shares) {
            if !indexes.is_empty() {
                let task = Task { batch: batch.clone(), plans: plans.clone(), from, to, indexes, below: below.clone() };
                helper.send(task)?;
                busy.push(helper);
            }
        }
        let mut results = Vec::with_capacity(busy.len() + 1);
        let mut mine = Collected { written: below.clone(), ..Collected::default() };
        let part = Part { from, to, indexes: &own, whole: false };
        results.push(self.runner.run(batch, plans, part, &mut mine).map(|()| mine));
        // Every answer is waited for, or one would be taken for that of the next share.
        results.extend(busy.into_iter().map(Helper::receive));
        // Of several errors the one that concerns the first change is told: it is the same in every run.
        let first_change = |error: &GuestError| error.place().map_or(u32::MAX, |place| place.change);
        let errors = results.iter().filter_map(|result| result.as_ref().err().map(first_change));
        if let Some(first) = errors.min() {
            let is_first = |result: &Result<Collected, GuestError>| {
                result.as_ref().is_err_and(|error| first_change(error) == first)
            };
            let error = results.into_iter().find(is_first).and_then(Result::err);
            return Err(error.expect("the error that was just seen"));
        }
        let mut writes: BTreeMap<Vec<u8>, Option<bytes::Bytes>> = Overlay::new();
        for result in results.into_iter().flatten() {
            collected.rows.extend(result.rows);
            collected.rejected.extend(result.rejected);
            for (key, value) in result.written.overlay.iter() {
                if below.overlay.get(key) == Some(value) {
                    continue;
                }
                if writes.insert(key.clone(), value.clone()).is_some() {
                    return Err(GuestError::StateConflict { transform: self.runner.name.to_string() });
                }
            }
        }
        drop(below);
        // Each instance's rows are in order already, and no two share a source.
        collected.rows.sort_by_key(|row| row.source);
        collected.written.lay(writes);
        self.runner.check_state(batch, to.saturating_sub(1), collected.written.bytes)
    }
}

/// A share of a batch.
struct Task {
    batch: Arc<Batch>,
    plans: Arc<Plans>,
    from: u32,
    to: u32,
    indexes: Vec<u32>,
    below: Written,
}

/// An instance on a thread of its own, which answers each task.
struct Helper {
    name: Arc<str>,
    tasks: std_mpsc::SyncSender<Task>,
    answers: std_mpsc::Receiver<Result<Collected, GuestError>>,
}

impl Helper {
    fn start(mut runner: Runner) -> Result<Helper, GuestError> {
        let name = runner.name.clone();
        let (tasks, queue) = std_mpsc::sync_channel::<Task>(1);
        let (answer, answers) = std_mpsc::sync_channel(1);
        let number = runner.number;
        let work = move || {
            let started = runner.instance().map(|_| Collected::default());
            if answer.send(started).is_err() {
                return;
            }
            while let Ok(task) = queue.recv() {
                runner.learn(&task.plans);
                let mut collected = Collected { written: task.below, ..Collected::default() };
                let part = Part { from: task.from, to: task.to, indexes: &task.indexes, whole: false };
                let result = runner.run(&task.batch, &task.plans, part, &mut collected);
                if answer.send(result.map(|()| collected)).is_err() {
                    return;
                }
            }
        };
        spawn(&name, number, work)?;
        Ok(Helper { name, tasks, answers })
    }

    /// Waits for the instance's `init`.
    fn started(&self) -> Result<(), GuestError> {
        self.receive().map(|_| ())
    }

    fn send(&self, task: Task) -> Result<(), GuestError> {
        self.tasks.send(task).map_err(|_| self.gone())
    }

    fn receive(&self) -> Result<Collected, GuestError> {
        self.answers.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    fn gone(&self) -> GuestError {
        GuestError::Gone { transform: self.name.to_string() }
    }
}
