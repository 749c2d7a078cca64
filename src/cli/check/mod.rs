//! `pelton check`: what can be said of a manifest without touching a database.

mod against;
mod deployed;
mod diagnostic;
mod former;
mod transforms;

use std::path::PathBuf;
use std::sync::Arc;

use super::files;
use super::report::Failure;
use crate::engine::Plan;
use crate::manifest::{self, Manifest};
use crate::wasm;
use diagnostic::NOT_SUPPORTED;

pub use diagnostic::{Diagnostic, diagnostics_json, print};
pub use transforms::transforms;

/// Validates manifests, loads their components, and holds what those publish against the manifest
///
/// Touches no database without --against. Manifests that `workspaces` name are checked too, by themselves and with each
/// other. Exits 0 without errors, 1 with.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifests to check [default: pelton.yaml in this folder]
    #[arg(value_name = "MANIFEST")]
    pub manifests: Vec<PathBuf>,

    /// Refuse what would break those who read what is deployed: another manifest FILE, git:REVISION (the same files
    /// there, such as git:HEAD~1), or `deployed` (what the event stores remember)
    ///
    /// Public schemas are compared by name and major version. A minor version may add columns. One that goes, gets another
    /// type, may be NULL where it never was, or a key of other columns breaks those who read, and takes a new major
    /// version, which lives beside the old one. Columns come from the components, and those of tables from the sources as
    /// they are now; where those can't be reached, from the manifests alone. An `outputSchema` is compared too.
    #[arg(long, value_name = "DEPLOYED")]
    pub against: Option<against::Target>,

    /// Print all that was found as JSON: type, severity, message, location, hint
    #[arg(long)]
    pub json: bool,
}

/// Checks manifests.
///
/// # Errors
/// Everything that is wrong.
pub async fn run(args: Args) -> Result<(), Failure> {
    let loaded = manifest::load_all(&files::choose(&args.manifests)?.files, files::resolver());
    let mut found: Vec<Diagnostic> = Diagnostic::all_of(&loaded);
    let mut told = Vec::new();
    if !loaded.failed() {
        let options = wasm::HostOptions { cache_dir: files::cache_dir() };
        let host = Arc::new(wasm::Host::new(options).map_err(|error| Failure::of(&error, error.hint()))?);
        let counts = loaded.manifests.iter().map(counts).collect::<Vec<_>>();
        let manifests = manifest::join(loaded.manifests);
        let several = manifests.iter().any(Manifest::runs);
        for manifest in &manifests {
            // Of manifests that are one, some may have nothing to run by themselves.
            if manifest.runs() || !several {
                found.extend(plan(manifest));
            }
            for checked in transforms(&host, manifest).await {
                match checked.told {
                    Ok(line) => told.push(line),
                    Err(findings) => found.extend(findings),
                }
            }
            if let Some(target) = &args.against {
                let compared = against::compare(&host, manifest, target).await?;
                told.extend(compared.told);
                found.extend(compared.found);
            }
        }
        if !found.iter().any(Diagnostic::is_error) {
            told.extend(counts);
        }
    }
    let failed = found.iter().any(Diagnostic::is_error);
    if args.json {
        println!("{:#}", diagnostics_json(&found));
        return if failed { Err(Failure::said()) } else { Ok(()) };
    }
    told.iter().for_each(|line| println!("{line}"));
    print(&found)
}

fn counts(manifest: &Manifest) -> String {
    let (public, consumers) = (manifest.public_schemas.len(), manifest.consumer_schemas.len());
    format!("{}: {public} public schemas, {consumers} consumer schemas, no problems.", manifest.file)
}

/// Returns what the manifest asks for and this version can't run.
fn plan(manifest: &Manifest) -> Vec<Diagnostic> {
    let refused = Plan::new(manifest).err().unwrap_or_default();
    let one = |unsupported: crate::engine::Unsupported| {
        let found = Diagnostic::error(NOT_SUPPORTED, manifest, None, unsupported.what, Some(unsupported.hint));
        // ReJot's own tests have such manifests, and all that can be said of them without a database is said.
        if unsupported.in_memory { found.warning() } else { found }
    };
    refused.into_iter().map(one).collect()
}
