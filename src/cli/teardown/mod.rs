//! `pelton teardown`: takes away what `sync` and `setup` made for a manifest.
//!
//! First everything is looked at ([`look`]), and nothing is done while anything speaks against it: a database that can't
//! be reached, a slot that is read, a `pelton sync` that runs. Then it is said what will be removed and what stays, and
//! somebody has to agree. The manifest's locks are held from the first look to the end.

mod look;
mod step;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use super::files;
use super::report::Failure;
use look::Found;

/// Removes what Pelton made at the sources of a manifest: slots, publications, event triggers, the schema `pelton`
///
/// Tables and roles stay, and so does everything that somebody else may need; it says what. It asks before it begins.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifest [default: pelton.yaml in this folder]
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,

    /// Also what the destinations remember of the manifest in `rejot_data_store`, and the schema with the last one
    #[arg(long)]
    pub destinations: bool,

    /// Don't ask, for scripts
    #[arg(long)]
    pub yes: bool,

    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// Does it.
///
/// # Errors
/// The manifest's problems, everything that speaks against it, and what a server refuses.
pub async fn run(args: Args) -> Result<(), Failure> {
    let manifest = files::load_one(args.manifest.as_deref())?;
    let mut found = look::look(&manifest, args.destinations).await?;
    print(&found, args.dry_run);
    if args.dry_run || found.iter().all(|found| found.steps.is_empty()) {
        return Ok(());
    }
    if !args.yes {
        if !io::stdin().is_terminal() {
            let what = "nobody can be asked whether to go on: the input is not a terminal";
            return Err(Failure::new(what, Some("with --yes it does not ask; --dry-run only shows it".to_owned())));
        }
        eprint!("Go on? [y/N] ");
        let _ = io::stderr().flush();
        if !agrees(&mut io::stdin().lock()) {
            return Err(Failure::new("nothing was removed", Some("answer `y` to go on".to_owned())));
        }
    }
    let mut failures = Vec::new();
    for found in &mut found {
        // What comes later in one database may only be removed after what comes before: the slot first.
        for step in &found.steps {
            match step.run(&found.database, &mut found.client).await {
                Ok(done) => println!("{}: {done}.", found.database.label),
                Err(failure) => {
                    failures.push(failure);
                    break;
                }
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::all(failures)) }
}

/// Says what will be removed, and what stays.
fn print(found: &[Found], dry_run: bool) {
    let would = if dry_run { "Would remove" } else { "Will remove" };
    let (steps, stays) = (found.iter().any(|f| !f.steps.is_empty()), found.iter().any(|f| !f.stays.is_empty()));
    println!("{}", if steps { format!("{would}:") } else { "There is nothing to remove.".to_owned() });
    for found in found {
        for step in &found.steps {
            println!("  {}: {step}", found.database.label);
        }
    }
    if stays {
        println!("Stays:");
    }
    for found in found {
        for what in &found.stays {
            println!("  {}: {what}", found.database.label);
        }
    }
}

/// Reads an answer; anything but a yes is a no.
fn agrees(input: &mut impl BufRead) -> bool {
    let mut answer = String::new();
    input.read_line(&mut answer).is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        let said = |text: &str| agrees(&mut text.as_bytes());
        assert!(said("y\n") && said("YES\n") && said(" y "));
        assert!(!said("") && !said("\n") && !said("n\n") && !said("yeah\n"));
    }
}
