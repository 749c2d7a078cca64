//! `pelton deploy`: lets a transform run as another component.

mod show;
mod wait;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::report::Failure;
use super::{consumers, files};
use crate::engine::{self, DeployTarget, FoundTarget, Plan};
use crate::manifest::{Manifest, WasmConfig};
use crate::wasm::{self, Component};

pub use self::show::{Report, print_text};

/// Lets a transform run as another component, from a boundary between transactions of the source on
///
/// The component is held against the one that runs, and is kept at each destination with its position. A `pelton sync` that
/// runs, on whatever machine, takes it within seconds; without one the next start does. What can't take over is refused,
/// and leaves what runs alone. The component before it is kept for `--rollback`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The transform, by its name or by that of one of its public schemas
    #[arg(value_name = "NAME", required_unless_present = "status")]
    pub name: Option<String>,

    /// The component, as `pelton build` makes it
    #[arg(value_name = "FILE", required_unless_present_any = ["rollback", "status"])]
    pub file: Option<PathBuf>,

    /// Go back to the component before the one that runs
    #[arg(long, conflicts_with_all = ["file", "status"])]
    pub rollback: bool,

    /// Show which component each transform runs as, since which position, and what became of its newest deployment
    #[arg(long, conflicts_with = "file")]
    pub status: bool,

    /// The manifest [default: pelton.yaml in this folder]
    #[arg(long, value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,

    /// How many seconds to wait until it is taken; it stays wanted afterwards
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,

    /// Print JSON, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Does it.
///
/// # Errors
/// The manifest's problems, databases that can't be reached, and what speaks against the component.
pub async fn run(args: Args) -> Result<(), Failure> {
    let manifest = files::load_one(args.manifest.as_deref())?;
    let plan = consumers::plan(&manifest)?;
    let targets = chosen(&plan, &manifest, args.name.as_deref())?;
    let mut found = Vec::new();
    for target in &targets {
        found.push(target.look(&manifest.slug).await.map_err(|error| failed(&error))?);
    }
    if args.status {
        let reports: Vec<Report> = found.iter().map(Report::of).collect();
        return show::print(&reports, args.json);
    }
    let host = wasm::Host::new(wasm::HostOptions { cache_dir: files::cache_dir() })
        .map_err(|error| Failure::of(&error, error.hint()))?;
    let host = Arc::new(host);
    let mut wished = Vec::new();
    for found in found {
        let (bytes, name) = match &args.file {
            Some(file) => (read(file)?, file.display().to_string()),
            None => {
                let former = found.former().map_err(|error| failed(&error))?;
                let bytes = found.kept(&former).await.map_err(|error| failed(&error))?;
                (bytes, format!("component {}", engine::short_digest(&former)))
            }
        };
        let bytes = Arc::new(bytes);
        // A file is loaded once for all destinations: the cache of compiled code has it then.
        let component = load(&host, &bytes, name, &found.target.config).await?;
        found.judge(&host, &component).await.map_err(|error| failed(&error))?;
        wished.push((found, bytes));
    }
    // Nothing is written unless nothing speaks against it anywhere.
    let mut wishes = Vec::new();
    for (mut found, bytes) in wished {
        let number = found.deploy(&bytes).await.map_err(|error| failed(&error))?;
        wishes.push((found, number));
    }
    let reports = wait::until_taken(&plan, &manifest, wishes, Duration::from_secs(args.wait)).await?;
    show::print(&reports, args.json)
}

/// Returns the transforms of that name, one for each destination; all of them without a name.
fn chosen(plan: &Plan, manifest: &Manifest, name: Option<&str>) -> Result<Vec<DeployTarget>, Failure> {
    let targets = engine::deploy_targets(plan);
    let mut names: Vec<&str> = targets.iter().map(|target| &*target.transform.name).collect();
    names.dedup();
    if names.is_empty() {
        let what = format!("manifest `{}` has no transform that is a component and has a consumer", manifest.slug);
        return Err(Failure::new(what, Some("one is a public schema with `publicSchemaType: wasm`".to_owned())));
    }
    let Some(name) = name else { return Ok(targets) };
    let chosen: Vec<DeployTarget> = targets.iter().filter(|target| target.is_called(name)).cloned().collect();
    let mut called: Vec<&str> = chosen.iter().map(|target| &*target.transform.name).collect();
    called.sort_unstable();
    called.dedup();
    match &called[..] {
        [] => {
            let hint = format!("it has {}", names.join(", "));
            Err(Failure::new(format!("manifest `{}` has no transform `{name}`", manifest.slug), Some(hint)))
        }
        [_] => Ok(chosen),
        several => {
            let what = format!("`{name}` names several transforms");
            Err(Failure::new(what, Some(format!("name one of them: {}", several.join(", ")))))
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| {
        let hint = "`pelton build` makes it, and prints its name".to_owned();
        Failure::new(format!("{} can't be read: {error}", file.display()), Some(hint))
    })
}

async fn load(
    host: &Arc<wasm::Host>,
    bytes: &Arc<Vec<u8>>,
    name: String,
    config: &WasmConfig,
) -> Result<Component, Failure> {
    engine::compile(host, bytes.clone(), name, engine::limits(config)).await.map_err(|error| failed(&error))
}

fn failed(error: &engine::EngineError) -> Failure {
    Failure::new(engine::Chain(error), error.hint())
}

impl Report {
    fn of(found: &FoundTarget) -> Report {
        Report::new(&found.target, found.deployed.as_ref())
    }
}
