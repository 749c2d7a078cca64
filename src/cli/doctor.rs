//! `pelton doctor`: what is wrong with sources, destinations and components, and what mends it. It changes nothing.

mod look;
mod plan;
mod print;

use std::path::PathBuf;

use super::files;
use super::report::Failure;
use crate::setup::Severity;

/// Checks sources, destinations and components: what is wrong, why it matters, and what mends it
///
/// Asks every server, also when one of them can't be reached, and changes nothing. Exits 0 without errors, 1 with;
/// warnings and advice are none.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifest [default: pelton.yaml in this folder]
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,

    /// Print JSON, for scripts
    #[arg(long)]
    pub json: bool,

    /// Write what SQL can mend as a script for psql; for several databases one script each, FILE with their slugs in
    #[arg(long, value_name = "FILE")]
    pub fix_plan: Option<PathBuf>,
}

/// Looks at everything and prints what is amiss.
///
/// # Errors
/// The manifest's own problems; and that there are errors, which are printed by then.
pub async fn run(args: Args) -> Result<(), Failure> {
    let manifest = files::load_one(args.manifest.as_deref())?;
    let report = look::at(&manifest).await?;
    match args.json {
        true => print::json(&report),
        false => print::text(&report),
    }
    if let Some(file) = &args.fix_plan {
        plan::write(file, &manifest.slug, &report)?;
    }
    let is_error = |item: &crate::setup::Item| item.severity() == Some(Severity::Error);
    match report.items().any(is_error) {
        true => Err(Failure::said()),
        false => Ok(()),
    }
}
