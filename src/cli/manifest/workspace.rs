//! `pelton workspace`: manifests that are one.

use std::path::{Path, PathBuf};

use super::super::report::Failure;
use super::{file, info};
use crate::manifest::{FILE_NAMES, load_all};

/// Several manifests as one: a manifest that names the others in `workspaces`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Writes a manifest that other manifests are named in
    Init {
        /// The workspace's slug, such as `@team/`
        #[arg(long)]
        slug: String,
        /// The file to write
        #[arg(long, default_value = file::DEFAULT_NAME, value_name = "FILE")]
        filename: PathBuf,
    },
    /// Prints the manifests of the workspace that this folder is in, and what is wrong with them
    Info {
        /// The name of the workspace's manifest, looked for in this folder and those above [default: pelton.yaml …]
        #[arg(long, value_name = "FILE")]
        filename: Option<PathBuf>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Does it.
///
/// # Errors
/// There is no workspace, or it is wrong.
pub fn run(args: Args) -> Result<(), Failure> {
    match args.what {
        What::Init { slug, filename } => file::init(&filename, &slug, true),
        What::Info { filename, json } => {
            let root = find(filename.as_deref())?;
            let loaded = load_all(std::slice::from_ref(&root), crate::cli::files::resolver());
            let mut files: Vec<PathBuf> =
                loaded.manifests.iter().map(|manifest| PathBuf::from(&manifest.file)).collect();
            if files.is_empty() {
                files.push(root.clone());
            }
            info::print(&files, &root, json)
        }
    }
}

/// Returns the workspace's manifest: in this folder, or the nearest one above it.
fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let names: Vec<PathBuf> = match named {
        Some(name) => vec![name.to_owned()],
        None => FILE_NAMES.iter().map(PathBuf::from).collect(),
    };
    let here = std::env::current_dir().map_err(|error| Failure::of(&error, None))?;
    let found = here.ancestors().enumerate().find_map(|(above, _)| {
        let folder: PathBuf = std::iter::repeat_n("..", above).collect();
        names.iter().map(|name| folder.join(name)).find(|path| path.is_file())
    });
    found.ok_or_else(|| {
        let names: Vec<String> = names.iter().map(|name| name.display().to_string()).collect();
        let what = format!("no workspace here: neither this folder nor one above it has {}", names.join(" or "));
        Failure::new(what, Some("write one with `pelton workspace init --slug @team/`".to_owned()))
    })
}
