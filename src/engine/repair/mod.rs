//! Brings flows back whose slot was lost.
//!
//! A slot that was lost, dropped, moved on, or belongs to another cluster or branch now can't deliver what changed behind
//! the flows' checkpoints. Nothing is skipped: `pelton sync` stops, and this is the way back:
//!
//! 1. The manifest's lock is taken, and only then are checkpoints and slot looked at: what a `sync` that is just ending
//!    confirms must not look like a loss.
//! 2. A slot that is of no use any more is made anew; another stays as it is. Either way there is a snapshot, and the slot
//!    has every change behind it ([`prepare::source_with_snapshot`]).
//! 3. Under that snapshot the flows' tables are compared with the destination's, where nobody else writes: the lock and
//!    the owner's token are ours. What differs is found without carrying the rows over
//!    ([`narrow()`]), and written; surplus rows are deleted.
//! 4. The same transaction sets the flows' checkpoints to the snapshot's position, in a new *epoch*: positions of different
//!    epochs don't compare, since another cluster may count from anywhere.
//!
//! So after the commit the destination has the source's rows as of the checkpoint, which is what a checkpoint says. All
//! tables of a destination are mended in one transaction, for they may refer to each other.
//!
//! **Crashes.** Flows whose transaction did not commit still have their former checkpoints, which `sync` goes on refusing
//! for the reason that it refused them before; and the repair begins again, for all flows. Those that were brought back
//! already are compared again. Only a slot that is of no use is ever dropped, and that once every destination has answered.
//!
//! **What can't be compared**, what a component made, tables without a key, and tables of which too much differs, is copied
//! anew: such flows are marked as released, and the next `sync` empties their tables and copies them
//! (`datastore/released.rs`). A flow with `backfill: false` holds just what changed since it began: what it missed can't be
//! found anywhere, so it stops the repair unless the gap is accepted. Where nothing is lost (`always`), such flows are left
//! alone.

mod compare;
mod lost;
mod mend;
mod narrow;

use std::sync::Arc;

use crate::datastore::{self, FlowRow, Scope, Start};
use crate::manifest::Manifest;

use super::failure::EngineError;
use super::plan::{FlowPlan, GroupPlan, SourcePlan};
use super::{Context, Options, Problem, begin, destination, prepare};
use lost::{lost, refuse_gaps};
use mend::Group;
pub use narrow::Limits;

/// How flows are to be repaired.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepairOptions {
    /// Compare even if nothing seems to be lost.
    pub always: bool,
    /// Flows with `backfill: false` go on without what they missed.
    pub accept_gap: bool,
    /// Say what is lost and what would be done, and change nothing.
    pub dry_run: bool,
    /// How finely is compared, and what is too much.
    pub limits: Limits,
}

/// What became of a source.
#[derive(Clone, Debug)]
pub struct SourceRepair {
    pub source: String,
    pub slot: String,
    /// What was lost; `None`: nothing.
    pub lost: Option<String>,
    pub flows: Vec<FlowRepair>,
}

/// What became of a flow.
#[derive(Clone, Debug)]
pub struct FlowRepair {
    pub flow: String,
    pub destination: String,
    pub outcome: Repaired,
}

/// How a flow goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// Its table is what the source's was at the new slot's first position.
    Compared(Differences),
    /// The next `sync` copies it anew, for this reason.
    CopiedAnew(String),
    /// Nothing was lost, so it was left alone: it can't be compared, for this reason.
    LeftAlone(String),
    /// What it missed stays missing.
    WithGap,
    /// Nothing was changed.
    Planned,
}

/// What a comparison found and mended. Counts of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Rows of the source's table.
    pub rows: u64,
    /// Rows of both ends of which at least the key was carried over to be looked at.
    pub fetched: u64,
    pub written: u64,
    pub deleted: u64,
}

/// Brings back every flow of a manifest whose slot was lost. `told` hears of each source when it is done.
///
/// # Errors
/// The first thing that keeps a source's flows from being brought back, for each source.
pub async fn repair(
    manifest: &Manifest,
    options: Options,
    how: RepairOptions,
    mut told: impl FnMut(SourceRepair),
) -> Result<(), Vec<Problem>> {
    let (plan, context) = begin(manifest, options)?;
    let mut problems = Vec::new();
    for source in &plan.sources {
        match repair_source(&context, source, how).await {
            Ok(repaired) => told(repaired),
            Err(error) => problems.push(Problem::of(&source.slug, None, &error)),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

async fn repair_source(
    context: &Arc<Context>,
    plan: &SourcePlan,
    how: RepairOptions,
) -> Result<SourceRepair, EngineError> {
    let scope = Scope { manifest: context.manifest.clone(), source: plan.slug.clone() };
    let client = prepare::own(context, plan).await?;
    let (mut clients, mut rows) = (Vec::new(), Vec::new());
    for group in &plan.groups {
        let client = destination::connect(context, &plan.slug, group).await?;
        let found = datastore::flows(&client, &scope).await;
        let mut found = found.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
        // What the manifest no longer names holds nothing back, and its checkpoint stands still for ever.
        found.retain(|row| flow_of(group, row).is_some());
        rows.push(found);
        clients.push(client);
    }
    let flows: Vec<(&FlowPlan, &FlowRow)> = plan
        .groups
        .iter()
        .zip(&rows)
        .flat_map(|(group, rows)| rows.iter().filter_map(move |row| Some((flow_of(group, row)?, row))))
        .collect();
    let lost = lost(context, plan, &client, &flows).await?;
    let mut repaired =
        SourceRepair { source: plan.slug.clone(), slot: plan.config.slot_name.clone(), lost, flows: Vec::new() };
    if flows.is_empty() || (repaired.lost.is_none() && !how.always) {
        return Ok(repaired);
    }
    let is_lost = repaired.lost.is_some();
    if is_lost {
        refuse_gaps(plan, &flows, how)?;
    }
    if how.dry_run {
        for (group, rows) in plan.groups.iter().zip(&rows) {
            let one = |row: &FlowRow| outcome(group, &row.flow, Repaired::Planned);
            repaired.flows.extend(rows.iter().map(one));
        }
        return Ok(repaired);
    }
    let epoch = flows.iter().map(|(_, row)| row.epoch.max(1).cast_unsigned()).max().unwrap_or(1);
    let (source, mut snapshot) = prepare::source_with_snapshot(context, plan, client).await?;
    let start = Start {
        lsn: snapshot.consistent_point,
        system_identifier: source.system_identifier.clone(),
        timeline: source.timeline,
        slot_name: source.slot.clone(),
    };
    for (group, mut client) in plan.groups.iter().zip(clients) {
        let migrated = datastore::migrate(&mut client).await;
        migrated.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
        let taken = datastore::take_over(&mut client, &scope, &[], &[], &start).await;
        let owned = taken.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })?;
        let work = Group {
            context,
            plan: group,
            source: &source,
            client: &client,
            owned: &owned,
            start: &start,
            epoch: epoch + u32::from(is_lost),
            is_lost,
            limits: &how.limits,
        };
        let done = tokio::select! {
            done = work.repair(&snapshot.name) => done?,
            error = snapshot.keeper.lost() => {
                return Err(EngineError::Replication { slug: plan.slug.clone(), source: error });
            }
        };
        repaired.flows.extend(done);
    }
    Ok(repaired)
}

fn flow_of<'a>(group: &'a GroupPlan, row: &FlowRow) -> Option<&'a FlowPlan> {
    group.transforms.iter().flat_map(|transform| &transform.flows).find(|flow| flow.name == row.flow)
}

fn outcome(group: &GroupPlan, flow: &str, outcome: Repaired) -> FlowRepair {
    FlowRepair { flow: flow.to_owned(), destination: group.slug.clone(), outcome }
}
