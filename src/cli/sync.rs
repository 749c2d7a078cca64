//! `pelton sync`: runs a manifest's flows.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::report::Failure;
use super::{files, http, progress};
use crate::engine::{self, Options, Publisher};
use crate::manifest;

/// Streams every flow of the manifests until it is told to stop (SIGTERM, Ctrl-C)
///
/// Makes what is missing (publication, slot, its own tables in `rejot_data_store`), copies the rows that exist, and
/// then follows the changes. It goes on where it stopped, whatever stopped it. A second process on the same manifest
/// waits, and takes over when the first one ends.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifests to run, YAML or JSON [default: pelton.yaml in this folder]
    #[arg(value_name = "MANIFEST")]
    pub manifests: Vec<PathBuf>,

    /// Exit once everything that was committed at the sources before the start is applied everywhere
    #[arg(long)]
    pub until_caught_up: bool,

    /// Deploy the manifests' components whenever their files change, for development
    #[arg(long)]
    pub watch: bool,

    #[command(flatten)]
    http: http::Args,

    /// Where services of other manifests are that neither the manifest nor the environment names: nowhere (`env`), or at
    /// localhost:3000
    #[arg(long, value_enum, default_value = "env", env = "PELTON_RESOLVER")]
    resolver: Resolver,
}

/// See `manifest::Resolver`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Resolver {
    Env,
    Localhost,
}

/// Runs until everything is caught up or a signal comes.
///
/// # Errors
/// The manifests' problems, or what stopped flows for good.
pub async fn run(args: Args) -> Result<(), Failure> {
    let resolver = match args.resolver {
        Resolver::Env => manifest::Resolver::Env,
        Resolver::Localhost => manifest::Resolver::Localhost,
    };
    let manifests = files::load_resolved(&args.manifests, resolver)?;
    let (stop, stopping) = watch::channel(false);
    let served = args.http.listen(&manifests).await?;
    let stop = Arc::new(stop);
    tokio::spawn(listen(Arc::clone(&stop)));
    let served = served.map(|served| tokio::spawn(served.run(stopping.clone())));
    let (copied, reports) = mpsc::unbounded_channel();
    tokio::spawn(progress::show(reports));
    let mut syncs = tokio::task::JoinSet::new();
    let publishers = Publisher::all(manifests.len());
    for (manifest, publisher) in manifests.into_iter().zip(publishers) {
        let options = Options {
            until_caught_up: args.until_caught_up,
            watch: args.watch,
            cache_dir: files::cache_dir(),
            copied: Some(copied.clone()),
        };
        let stopping = stopping.clone();
        syncs.spawn(async move { engine::sync(&manifest, options, publisher, stopping).await });
    }
    let mut problems = Vec::new();
    while let Some(ended) = syncs.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(more)) => problems.extend(more),
            Err(panic) => return Err(Failure::bug(panic)),
        }
    }
    if let Some(served) = served {
        let _ = stop.send(true);
        let _ = served.await;
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::of_problems(&problems)) }
}

/// The first signal asks to finish; the second one ends the process at once, which loses nothing either.
async fn listen(stop: Arc<watch::Sender<bool>>) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process, as they would without us.
        return std::future::pending().await;
    };
    for first in [true, false] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if !first {
            std::process::exit(130);
        }
        tracing::info!("finishing what is on its way; a second signal ends at once");
        let _ = stop.send(true);
    }
}
