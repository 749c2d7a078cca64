//! `pelton consumers`: how far the consumers of event stores are; and stopping, resuming and rewinding them.

mod former;
mod found;
mod target;

use std::path::PathBuf;

use clap::Subcommand;

use self::target::Target;
use super::files;
use super::report::Failure;
use crate::change::Position;
use crate::datastore::{self, Control};
use crate::engine::{Chain, Plan};
use crate::manifest::Manifest;

pub use self::found::{Found, look, print, to_json};

/// Shows how far the consumers of event stores are, and pauses, resumes, rewinds and drops them
///
/// It works on the databases, so it works from any machine that reaches them, whether or not `pelton sync` runs; one that
/// runs notices within a second.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show each consumer: what it reads, how far it is, what stopped it
    List {
        /// The manifest [default: pelton.yaml in this folder]
        #[arg(value_name = "MANIFEST")]
        manifest: Option<PathBuf>,

        /// Print JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Let a consumer stand still until it is resumed; the others go on
    Pause(Chosen),
    /// Let a consumer go on that was paused, or stopped by an error
    Resume(Chosen),
    /// Let a consumer read events again, or skip some
    ///
    /// Read from the start, a table with a key ends as it would have: rows are replaced by key. Into one without a key rows come
    /// again, and from the middle an update may find that its row is gone by now, which stops the consumer: empty the table
    /// first, and rewind to the start.
    Rewind {
        #[command(flatten)]
        chosen: Chosen,

        /// Where to: `start`, `end`, a position as `pelton events` prints it (the first event read is the one behind it), or a
        /// time (the first event read is the first that was committed then or later)
        #[arg(long, value_name = "WHERE")]
        to: String,
    },
    /// Forget how far a consumer is, here and in its event store, also one that the manifest no longer has; its table stays
    Drop {
        #[command(flatten)]
        chosen: Chosen,

        /// The data store where it is kept, for a consumer that no longer writes there
        #[arg(long, value_name = "SLUG")]
        destination: Option<String>,
    },
}

/// A consumer of a manifest.
#[derive(Debug, clap::Args)]
struct Chosen {
    /// The consumer, by its name in the manifest
    name: String,

    /// The manifest [default: pelton.yaml in this folder]
    #[arg(value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
}

const APPLICATION: &str = "pelton consumers";

/// Does it.
///
/// # Errors
/// The manifest's problems, databases that can't be reached, and what speaks against it.
pub async fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::List { manifest, json } => {
            let manifest = files::load_one(manifest.as_deref())?;
            let plan = Plan::of_what_runs(&manifest).0;
            let found = look(&manifest, &plan).await;
            let former = former::look(&manifest, &plan).await;
            if found.is_empty() && former.rows.is_empty() {
                let hint = "consumers read from event stores and services: add `eventStores` or `syncServices` to the manifest".to_owned();
                return Err(Failure::new(
                    format!("manifest `{}` has no consumers of event stores", manifest.slug),
                    Some(hint),
                ));
            }
            if json {
                let all = found.iter().map(to_json).chain(former.rows.iter().map(former::to_json));
                println!("{:#}", all.collect::<serde_json::Value>());
            } else {
                print(&found);
                former.print();
            }
            let troubled = found.iter().any(|one| one.problem().is_some());
            if troubled { Err(Failure::said()) } else { Ok(()) }
        }
        Action::Pause(chosen) => {
            let target = Target::find(&chosen).await?;
            target.control(Control::Pause).await?;
            println!("Paused consumer `{}`. `pelton consumers resume {}` lets it go on.", chosen.name, chosen.name);
            Ok(())
        }
        Action::Resume(chosen) => {
            let target = Target::find(&chosen).await?;
            target.control(Control::Resume).await?;
            println!("Resumed consumer `{}`.", chosen.name);
            Ok(())
        }
        Action::Rewind { chosen, to } => {
            let target = Target::find(&chosen).await?;
            let position = target.position(&to).await?;
            target.is_kept(position)?;
            target.hold(position).await?;
            target.control(Control::Rewind(position)).await?;
            let what =
                if position == Position::START { "the beginning".to_owned() } else { format!("behind {position}") };
            println!("Consumer `{}` goes on from {what}.", chosen.name);
            Ok(())
        }
        Action::Drop { chosen, destination } => {
            let manifest = files::load_one(chosen.manifest.as_deref())?;
            let plan = Plan::of_what_runs(&manifest).0;
            let is_there = names(&plan).contains(&format!("`{}`", chosen.name));
            if !is_there || destination.is_some() {
                return former::drop(&manifest, &plan, &chosen.name, destination.as_deref()).await;
            }
            let target = Target::find(&chosen).await?;
            let manifest = &target.manifest.slug;
            let failed = |error: datastore::DataStoreError| target.failed(&error, error.hint());
            let forgotten = target.upstream.forget(target.deployment(), &chosen.name).await;
            let forgotten = forgotten.map_err(|error| Failure::new(Chain(&error), error.hint()))?;
            let dropped = datastore::drop_consumer(&target.client, manifest, &chosen.name).await.map_err(failed)?;
            if !dropped && !forgotten {
                return Err(target.absent());
            }
            println!(
                "Dropped consumer `{}`. Its table stays; while the manifest has it, `pelton sync` begins it anew.",
                chosen.name
            );
            Ok(())
        }
    }
}

/// Plans what a manifest asks for.
///
/// # Errors
/// Everything in it that can't be run.
pub fn plan(manifest: &Manifest) -> Result<Plan, Failure> {
    Plan::new(manifest)
        .map_err(|refused| Failure::all(refused.into_iter().map(|u| Failure::new(u.what, Some(u.hint))).collect()))
}

/// Returns the consumers of event stores and services that a manifest has, in quotes.
fn names(plan: &Plan) -> Vec<String> {
    plan.readers.iter().flat_map(|reader| &reader.consumers).map(|one| format!("`{}`", one.name)).collect()
}
