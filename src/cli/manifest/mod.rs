//! `pelton manifest` and `pelton workspace`: looks at manifests, and edits them without touching what it need not.

mod connection;
pub mod file;
mod info;
mod store;
mod workspace;

use std::path::PathBuf;

use clap::Subcommand;

use super::report::Failure;

pub use workspace::{Args as WorkspaceArgs, run as run_workspace};

/// Looks at a manifest and edits it; comments, order and formatting stay
///
/// What comes out is checked before it is written: a change that would break the manifest is refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifest [default: pelton.yaml, pelton.yml, pelton.json or rejot-manifest.json in this folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Writes an empty manifest; `pelton init` writes one with examples
    Init {
        /// The manifest's slug, such as `shop` or `@team/shop`
        #[arg(long)]
        slug: String,
    },
    /// Prints what a manifest says, and what is wrong with it
    Info {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Connections: the databases, and how they are reached
    #[command(subcommand)]
    Connection(connection::What),
    /// Data stores: databases that are read from or written to
    #[command(subcommand)]
    Datastore(store::DataStoreCommand),
    /// Event stores: databases that keep what is published
    #[command(subcommand)]
    Eventstore(store::EventStoreCommand),
}

/// Does it.
///
/// # Errors
/// The file can't be read or written, or the change would break it.
pub fn run(args: Args) -> Result<(), Failure> {
    let named = args.manifest;
    match args.what {
        What::Init { slug } => file::init(&named.unwrap_or_else(|| file::DEFAULT_NAME.into()), &slug, false),
        What::Info { json } => info::run(&file::find(named)?, json),
        What::Connection(what) => connection::run(&file::find(named)?, what),
        What::Datastore(what) => store::run_data(&file::find(named)?, what),
        What::Eventstore(what) => store::run_event(&file::find(named)?, what),
    }
}
