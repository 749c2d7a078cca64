//! `pelton collect`: reads schemas that are defined in TypeScript or Python with ReJot's packages, and puts them into the
//! manifest.

mod found;
mod merge;
mod run;

use std::path::PathBuf;

use super::manifest::file::{self, File};
use super::report::Failure;
use found::{Kind, Schema};

/// Collects public and consumer schemas that TypeScript or Python files define with ReJot's packages
///
/// The files are run by `node` or `python3` of this machine, so only name those that you trust. Without --check and
/// --write the schemas are printed. TypeScript takes Node 22.15 or newer, or esbuild in the project.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The files (.ts .mts .js .mjs .cjs .py)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// The manifest that they belong to [default: pelton.yaml … in this folder]
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// Print the names of the schemas
    #[arg(long)]
    pub print: bool,

    /// Check the manifest as it would be with them, and whether they would break who reads what it has
    #[arg(long)]
    pub check: bool,

    /// Write them into the manifest; what the files define no more goes
    #[arg(long)]
    pub write: bool,
}

/// Does it.
///
/// # Errors
/// A file can't be run, a schema is wrong, or the manifest would be.
pub async fn run(args: Args) -> Result<(), Failure> {
    let schemas = run::all(&args.files).await?;
    if args.print || !(args.check || args.write) {
        schemas.iter().for_each(print);
    }
    if !args.check && !args.write {
        return Ok(());
    }
    let path = file::find(args.manifest)?;
    let mut file = File::read(&path)?;
    let files = args.files.iter().map(|one| merge::definition_file(&path, one)).collect::<Result<Vec<_>, _>>()?;
    let told = merge::into(&mut file, schemas, &files, args.check)?;
    file.check()?;
    if args.write {
        file.write()?;
    }
    let done = if args.write { "" } else { " (not written)" };
    told.iter().for_each(|line| eprintln!("{line}{done}"));
    if told.is_empty() {
        eprintln!("{} has all of it already.", path.display());
    }
    Ok(())
}

fn print(schema: &Schema) {
    let (kind, version) = match schema.kind {
        Kind::Public => ("public schema", format!(" {}", schema.version())),
        Kind::Consumer => ("consumer schema", String::new()),
    };
    println!("{kind:15}  {}{version}  {}", schema.name(), schema.file.display());
}
