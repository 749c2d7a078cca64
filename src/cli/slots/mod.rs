//! `pelton slots`: what holds write-ahead log back at sources, and for whom; and letting go of it by hand.

mod list;
mod target;

use clap::Subcommand;

use super::columns::size;
use super::databases::Databases;
use super::report::Failure;
use crate::lsn::Lsn;
use crate::postgres::slot::{self, SlotError};
pub use target::own;
use target::{Target, find};

/// Lists, drops and advances the replication slots at sources
///
/// A slot that is being read from is never touched, and one that flows still need only with --force.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show all slots of the servers that are read, with what they hold back and whose they are
    List {
        #[command(flatten)]
        databases: Databases,

        /// Print JSON, for scripts, with sizes in bytes
        #[arg(long)]
        json: bool,
    },
    /// Drop a slot that no flow needs, so that the server lets go of its write-ahead log
    Drop {
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Move a slot forward: what lies between is never read
    Advance {
        #[command(flatten)]
        chosen: Chosen,

        /// Where to [default: the least checkpoint of its flows; without any, the end of the write-ahead log]
        #[arg(long, value_name = "LSN")]
        to: Option<Lsn>,
    },
}

/// A slot, and how sure the user is.
#[derive(Debug, clap::Args)]
pub struct Chosen {
    /// The slot
    name: String,

    #[command(flatten)]
    databases: Databases,

    /// The source that has it, by its connection's slug, where several have one of that name
    #[arg(long, value_name = "SLUG", conflicts_with = "url")]
    source: Option<String>,

    /// Even if flows still need it, or nobody knows whether any does: what they have not read is lost to them
    #[arg(long)]
    force: bool,
}

const APPLICATION: &str = "pelton slots";

/// Does it.
///
/// # Errors
/// The manifest's problems, databases that can't be reached, and everything that speaks against it.
pub async fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::List { databases, json } => list::run(&databases, json).await,
        Action::Drop { chosen } => drop_slot(&chosen).await,
        Action::Advance { chosen, to } => advance(&chosen, to).await,
    }
}

async fn drop_slot(chosen: &Chosen) -> Result<(), Failure> {
    let target = find(chosen).await?;
    let needed = target.objection(&chosen.name, "dropping it loses what they have not read");
    if let Some((what, hint)) = needed.filter(|_| !chosen.force) {
        return Err(target.database.refused(what, format!("{hint}; or drop it all the same with --force")));
    }
    slot::drop_slot(&target.client, &chosen.name).await.map_err(|error| target.failed(&error))?;
    println!("Dropped replication slot \"{}\" at {}.{}", chosen.name, target.database.label, kept(&target));
    for reader in target.readers.iter().flatten() {
        println!(
            "Flow {reader} can't go on from its checkpoint {}: start it anew (docs/operations.md says how).",
            reader.row.checkpoint
        );
    }
    Ok(())
}

/// Says how much the server kept for it.
fn kept(target: &Target) -> String {
    match target.slot.retained_bytes.and_then(|bytes| u64::try_from(bytes).ok()) {
        Some(bytes) => format!(" The server kept {} of write-ahead log for it.", size(bytes)),
        None => String::new(),
    }
}

async fn advance(chosen: &Chosen, to: Option<Lsn>) -> Result<(), Failure> {
    let target = find(chosen).await?;
    let name = &chosen.name;
    let least = target.readers.iter().flatten().min_by_key(|reader| reader.row.checkpoint);
    let end = target.position;
    if to.is_none() && target.readers.is_none() {
        let what = format!("it can't be known how far replication slot \"{name}\" may be advanced");
        return Err(target.database.refused(what, "say where to, with --to and --force"));
    }
    let to = to.unwrap_or(least.map_or(end, |reader| reader.row.checkpoint));
    let objection = match least {
        Some(reader) if to > reader.row.checkpoint => Some((
            format!("{to} is beyond the checkpoint of flow {reader}, which is {}", reader.row.checkpoint),
            format!("advance it to {} at most (--to)", reader.row.checkpoint),
        )),
        Some(_) => None,
        None => target.objection(name, "what lies between is lost to them"),
    };
    if let Some((what, hint)) = objection.filter(|_| !chosen.force) {
        return Err(target.database.refused(what, format!("{hint}; or do it all the same with --force")));
    }
    if to > end {
        let what = format!("{to} is beyond the end of the write-ahead log, which is {end}");
        return Err(target.database.refused(what, "leave --to out, or name a position that has been written"));
    }
    if let Some(at) = target.slot.confirmed.filter(|at| *at >= to) {
        println!("Replication slot \"{name}\" at {} is at {at} already; nothing to do.", target.database.label);
        return Ok(());
    }
    let reached = slot::advance(&target.client, name, to).await.map_err(|error| target.failed(&error))?;
    println!("Advanced replication slot \"{name}\" at {} to {reached}.", target.database.label);
    for reader in target.readers.iter().flatten().filter(|reader| reader.row.checkpoint < reached) {
        println!(
            "Flow {reader} misses what lies behind its checkpoint {}: start it anew (docs/operations.md says how).",
            reader.row.checkpoint
        );
    }
    Ok(())
}

impl Target {
    fn failed(&self, error: &SlotError) -> Failure {
        self.database.failed(error, error.hint())
    }
}
