//! Runs the changes of a batch through an instance, whatever the guest does with them.
//!
//! One rule covers rejections, traps, limits and broken results:
//!
//! - A change that the guest rejects is left out, and the part runs again on a clean overlay.
//! - When anything else goes wrong, the part is cut in two and both run, one after the other, each on what the former
//!   wrote: batches may be cut anywhere (between transactions, if the transform takes them whole), so this is the work
//!   that was asked for, only in smaller calls. A part that can't be cut any further and still fails is the answer:
//!   the change is found, in as many traps as the batch's length has binary digits.
//!
//! So a batch that is merely too large for the time or memory limit gets through, with a warning. Whatever the outcome,
//! nothing of a call that failed is kept: not a row, not a write into state.

use std::borrow::Cow;
use std::sync::Arc;

use super::error::Place;
use super::instance::{Done, Failure, Instance, Start};
use super::part::Part;
use super::relation::Plan;
use super::state::{State, Written};
use super::transform::Options;
use super::{Component, GuestError};
use crate::change::{Batch, Op, Rejection, Row};
use crate::lsn::Lsn;

/// Rejections after which a part is cut rather than run again, or many of them would cost their square.
const REJECTIONS_PER_PART_MAX: usize = 4;

/// One instance and all that is needed to replace it.
pub(super) struct Runner {
    pub component: Component,
    pub name: Arc<str>,
    pub options: Arc<Options>,
    pub state: Option<Arc<State>>,
    pub number: u32,
    instance: Option<Instance>,
    /// The newest version of each subscribed table.
    known: Vec<Arc<Plan>>,
}

/// What the parts of a batch came to so far.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub rows: Vec<Row>,
    pub rejected: Vec<Rejection>,
    pub written: Written,
}

impl Runner {
    pub(super) fn new(
        component: Component,
        options: Arc<Options>,
        state: Option<Arc<State>>,
        number: u32,
        known: Vec<Arc<Plan>>,
    ) -> Runner {
        let name = options.name.as_str().into();
        Runner { component, name, options, state, number, instance: None, known }
    }

    /// Makes the instance if there is none that lives.
    pub(super) fn instance(&mut self) -> Result<&mut Instance, GuestError> {
        if self.instance.as_ref().is_none_or(Instance::is_dead) {
            // The old one's memory goes back first.
            self.instance = None;
            let start = Start {
                component: &self.component,
                transform: &self.name,
                limits: self.options.limits,
                settings: &self.options.settings,
                state: self.state.as_ref(),
                instance: self.number,
                instances: self.options.instances,
                relations: &self.known,
            };
            self.instance = Some(Instance::start(&start)?);
        }
        Ok(self.instance.as_mut().expect("it was just made"))
    }

    /// Remembers the newest version of each table, for instances to come.
    pub(super) fn learn(&mut self, plans: &[Option<Arc<Plan>>]) {
        for plan in plans.iter().flatten() {
            match self.known.iter_mut().find(|known| known.same_table(plan)) {
                Some(known) => *known = plan.clone(),
                None => self.known.push(plan.clone()),
            }
        }
    }

    /// Holds what a batch has written so far, up to change `last`, against the limit.
    pub(super) fn check_state(&self, batch: &Batch, last: u32, bytes: usize) -> Result<(), GuestError> {
        if bytes <= self.options.limits.state_bytes() {
            return Ok(());
        }
        let span = batch.spans.iter().find(|span| last < span.first + span.count).or(batch.spans.last());
        Err(self.too_much_state(bytes, span.map_or(Lsn::ZERO, |span| span.commit_lsn)))
    }

    pub(super) fn too_much_state(&self, bytes: usize, commit_lsn: Lsn) -> GuestError {
        GuestError::StateSize {
            transform: self.name.to_string(),
            mib: (bytes as u64).div_ceil(1 << 20),
            limit_mib: (self.options.limits.state_bytes() >> 20) as u64,
            commit_lsn,
        }
    }

    /// Runs a part and adds what came of it. After an error `collected` is of no use.
    pub(super) fn run(
        &mut self,
        batch: &Batch,
        plans: &[Option<Arc<Plan>>],
        part: Part<'_>,
        collected: &mut Collected,
    ) -> Result<(), GuestError> {
        let whole_transactions = self.component.descriptor().whole_transactions;
        let mut indexes = Cow::Borrowed(part.indexes);
        let mut rejections = 0;
        loop {
            let now = Part { indexes: &indexes, whole: part.whole && rejections == 0, ..part };
            if !now.is_worth_a_call(batch) {
                return Ok(());
            }
            let error = match self.instance()?.process(batch, plans, &now, &collected.written.overlay) {
                Ok(done) => {
                    collected.add(done);
                    let last = now.indexes.last().copied().unwrap_or(now.to);
                    return self.check_state(batch, last, collected.written.bytes);
                }
                Err(Failure::Error(error)) if error.is_of_the_guest() => Some(error),
                Err(Failure::Error(error)) => return Err(error),
                Err(Failure::Rejected(rejection)) => {
                    let rejected = rejection.index;
                    collected.rejected.push(rejection);
                    indexes.to_mut().retain(|&index| index != rejected);
                    rejections += 1;
                    if rejections < REJECTIONS_PER_PART_MAX {
                        continue;
                    }
                    None
                }
            };
            let now = Part { indexes: &indexes, whole: part.whole && rejections == 0, ..part };
            match (now.split(batch, whole_transactions), error) {
                (Some((first, second)), error) => {
                    if let Some(error) = error
                        && part.whole
                    {
                        let changes = now.indexes.len();
                        tracing::warn!(
                            transform = &*self.name,
                            batch = batch.id,
                            changes,
                            "{error}; trying smaller calls"
                        );
                    }
                    self.run(batch, plans, first, collected)?;
                    return self.run(batch, plans, second, collected);
                }
                (None, Some(mut error)) => {
                    if let Some(place) = place(batch, &now) {
                        error.set_place(place);
                    }
                    return Err(error);
                }
                (None, None) => {}
            }
        }
    }
}

impl Collected {
    fn add(&mut self, done: Done) {
        if self.rows.is_empty() {
            self.rows = done.rows;
        } else {
            self.rows.extend(done.rows);
        }
        self.rejected.extend(done.rejected);
        self.written.lay(done.written);
    }
}

/// Says where a part is.
fn place(batch: &Batch, part: &Part<'_>) -> Option<Place> {
    let &index = part.indexes.first()?;
    let change = batch.changes.get(index as usize)?;
    let relation = batch.relations.get(change.relation as usize)?;
    let span = batch.spans.iter().find(|span| index < span.first + span.count)?;
    Some(Place {
        change: index,
        count: part.indexes.len() as u32,
        table: relation.display_name(),
        op: match change.op {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Truncate => "truncate",
        },
        commit_lsn: span.commit_lsn,
        in_transaction: span.first_in_transaction + u64::from(index - span.first),
        key_columns: relation
            .columns
            .iter()
            .filter(|column| column.key)
            .map(|column| column.name.to_string())
            .collect(),
    })
}
