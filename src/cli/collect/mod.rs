//! `pelton collect`: what components describe, and schemas that are defined in TypeScript or Python with ReJot's packages,
//! become the manifest's.

mod component;
mod found;
mod merge;
mod run;

use std::path::PathBuf;

use super::manifest::file::{self, File};
use super::report::Failure;
use found::{Kind, Schema};

/// Collects schemas: those that components describe, and those that TypeScript or Python files define with ReJot's packages
///
/// A component (.wasm) describes itself in the sandbox. Other files are run by `node` or `python3` of this machine, so only
/// name those that you trust; TypeScript takes Node 22.15 or newer, or esbuild in the project. Without --check and --write
/// the schemas are printed. Comments, settings and whatever else the manifest says stay.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The files (.wasm .ts .mts .js .mjs .cjs .py)
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
    let (components, files): (Vec<_>, Vec<_>) = args.files.into_iter().partition(|file| component::is_component(file));
    let components = component::describe(&components)?;
    let schemas = run::all(&files).await?;
    if args.print || !(args.check || args.write) {
        schemas.iter().for_each(print);
        components.iter().for_each(print_component);
    }
    if !args.check && !args.write {
        return Ok(());
    }
    let path = file::find(args.manifest)?;
    let mut file = File::read(&path)?;
    let files = files.iter().map(|one| merge::definition_file(&path, one)).collect::<Result<Vec<_>, _>>()?;
    let mut told = merge::into(&mut file, schemas, &files, args.check)?;
    told.extend(component::merge(&mut file, &components, args.check)?);
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

fn print_component(component: &component::Described) {
    for schema in &component.public_schemas {
        let (name, file) = (&schema.name, component.file.display());
        println!("{:15}  {name} {}.{}  {file}", "public schema", schema.major, schema.minor);
    }
}
