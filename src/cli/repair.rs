//! `pelton repair`: brings flows back whose slot was lost.

use std::path::PathBuf;

use super::files;
use super::report::Failure;
use crate::engine::{self, Differences, Options, RepairOptions, Repaired, SourceRepair};

/// Brings flows back whose replication slot was lost: compares the tables, and writes only what differs
///
/// When a slot is lost, dropped, moved on, or the server was restored from a backup, `pelton sync` stops rather than skip
/// what it can't read any more. This makes the slot anew and compares source and destination by checksums under the new
/// slot's snapshot; rows that differ are written, surplus ones deleted, and the flows go on from there. What a component
/// made, and tables without a key, are copied anew by the next `pelton sync` instead.
///
/// Stop `pelton sync` first. It can be run again after any failure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifest [default: pelton.yaml in this folder]
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,

    /// Say what was lost and which flows would be brought back, and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Compare and mend even if no slot is lost
    #[arg(long)]
    pub always: bool,

    /// Let flows with `backfill: false` go on without what they missed
    #[arg(long)]
    pub accept_gap: bool,
}

/// Repairs, and prints a line for each flow.
///
/// # Errors
/// What keeps flows from being brought back.
pub async fn run(args: Args) -> Result<(), Failure> {
    let manifest = files::load_one(args.manifest.as_deref())?;
    let options = Options { cache_dir: files::cache_dir(), ..Options::default() };
    let Args { always, accept_gap, dry_run, .. } = args;
    let how = RepairOptions { always, accept_gap, dry_run, ..RepairOptions::default() };
    let repaired = engine::repair(&manifest, options, how, |source| print(&source)).await;
    repaired.map_err(|problems| Failure::of_problems(&problems))
}

fn print(repaired: &SourceRepair) {
    let SourceRepair { source, slot, lost, flows } = repaired;
    match lost {
        Some(lost) => println!("Source {source}: {lost}."),
        None if flows.is_empty() => {
            println!("Source {source}: nothing is lost; replication slot \"{slot}\" has all that its flows need.");
        }
        None => println!("Source {source}: nothing is lost; compared since you asked for it."),
    }
    if lost.is_some() && flows.is_empty() {
        println!("  No flow has begun, so nothing is missing.");
    }
    for flow in flows {
        println!("  {}: {}", flow.flow, told(&flow.outcome));
    }
    if lost.is_some() && flows.iter().any(|flow| flow.outcome != Repaired::Planned) {
        println!("Start `pelton sync` again.");
    }
}

fn told(outcome: &Repaired) -> String {
    match outcome {
        Repaired::Compared(Differences { rows, written: 0, deleted: 0, .. }) => format!("equal, {rows} rows"),
        Repaired::Compared(Differences { rows, fetched, written, deleted }) => {
            format!("{written} rows written and {deleted} deleted; of {rows} rows {fetched} were fetched to find them")
        }
        Repaired::LeftAlone(why) => format!("left alone: {why}"),
        Repaired::CopiedAnew(why) => format!("will be copied anew: {why}"),
        Repaired::WithGap => "goes on without what it missed".to_owned(),
        Repaired::Planned => "would be brought back".to_owned(),
    }
}
