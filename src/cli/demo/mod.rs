//! `pelton demo`: a small shop, streamed from one throwaway PostgreSQL into another.
//!
//! This file tells the story in order; the others each know one thing: [`shop`] the tables and who writes to them,
//! [`flows`] what is published and what the destination must hold for it, [`child`] the `pelton sync` that does the work,
//! [`meter`] the live line, [`compare`] whether both sides are equal, [`show`] how rows are printed.
//!
//! The work is done by the program itself, as its users run it: a child process, `pelton sync` on a manifest in a file.
//! Servers and child go when the story ends, whichever way: they are held by keepers (see
//! [`crate::postgres::throwaway`]), so even SIGKILL leaves nothing behind.

mod child;
mod compare;
mod error;
mod flows;
mod folder;
mod meter;
mod shop;
mod show;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use self::child::Sync;
use self::flows::Flow;
use self::folder::Folder;
use self::meter::Meter;
use self::shop::Shop;
use self::show::{grouped, talk};
use crate::postgres::throwaway::{Authentication, Server};

pub use self::error::DemoError;

type Result<T> = std::result::Result<T, DemoError>;

/// How long the destination may stand still before the demo gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a small shop through Pelton, from one throwaway PostgreSQL into another.
///
/// Starts two servers of its own, fills the shop, streams it while it keeps changing, and compares both sides in the end.
/// Everything is stopped and removed again.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Keep writing to the shop for this long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Write this many rows a second, or as many as the source takes.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Leave the servers up, and print their URLs and how to stop them.
    #[arg(long)]
    keep: bool,
    /// The folder that holds the server's initdb and postgres.
    #[arg(long, value_name = "DIR", env = "PELTON_PG_BIN")]
    pg_bin: Option<PathBuf>,
    /// The transform of the orders, compiled; by default examples/orders is built, when run in a checkout.
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
}

/// Tells the story; ends early, with everything removed, on Ctrl-C and SIGTERM.
pub async fn run(args: Args) -> Result<()> {
    let listen =
        |kind| signal(kind).map_err(|source| DemoError::Io { act: "listen for", path: "signals".into(), source });
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        told = story(args) => told,
        _ = interrupt.recv() => Err(DemoError::Interrupted),
        _ = terminate.recv() => Err(DemoError::Interrupted),
    }
}

async fn story(args: Args) -> Result<()> {
    let program = std::env::current_exe().map_err(|source| DemoError::Io {
        act: "find",
        path: "the program of this process".into(),
        source,
    })?;
    let folder = Folder::make()?;
    let component = flows::component(args.component.as_deref(), folder.path()).await?;

    let begun = Instant::now();
    let (source, warehouse) = tokio::try_join!(server(&args), server(&args))?;
    let seconds = begun.elapsed().as_secs_f32();
    talk(format!("Started two PostgreSQL {} servers of our own in {seconds:.1} s.", source.major()));
    let source_url = source.create_database("shop").await?;
    let warehouse_url = warehouse.create_database("warehouse").await?;
    let (reader, writer) = (source.connect("shop").await?, source.connect("shop").await?);
    let destination = warehouse.connect("warehouse").await?;

    let mut shop = Shop::open(writer).await?;
    let counts = shop.counts().await?;
    talk(format!("Filled a shop at the source: {counts}."));
    let flows = flows::of_shop(component.is_some());
    let manifest = folder.write("pelton.yaml", &flows::manifest(&flows))?;
    let urls = [("SOURCE_URL", source_url.as_str()), ("WAREHOUSE_URL", warehouse_url.as_str())];
    let mut sync = Sync::start(&program, &manifest, &urls)?;
    talk(format!("Started `pelton sync`, and keep writing for {} s.", args.seconds));

    // The servers outlive whatever fails from here on, if they are to be kept: that is when somebody wants to look.
    let told = stream_and_compare(&args, &mut shop, &flows, &mut sync, &reader, &destination).await;
    drop(sync);
    if args.keep {
        keep(folder, &program, &manifest, &urls, [source, warehouse])?;
    }
    told
}

/// Keeps writing, lets the sync catch up, stops it, and holds both sides against each other.
async fn stream_and_compare(
    args: &Args,
    shop: &mut Shop,
    flows: &[Flow],
    sync: &mut Sync,
    source: &tokio_postgres::Client,
    destination: &tokio_postgres::Client,
) -> Result<()> {
    let mut meter = Meter::new(source, destination, flows, std::io::stderr().is_terminal());
    let progress = shop.written();
    let writing = shop.keep_writing(Duration::from_secs(args.seconds.into()), args.rate);
    let written = meter.watch(writing, progress, sync).await?;
    let (rows, transactions) = (grouped(written.rows), grouped(written.transactions));
    talk(match meter.wait_until_caught_up(sync).await? {
        Some(after) => {
            let after_ms = grouped(after.as_millis() as u64);
            format!(
                "Wrote {rows} rows in {transactions} transactions; the destination had them all after {after_ms} ms more."
            )
        }
        None => format!("Wrote {rows} rows in {transactions} transactions; the destination does not have them all."),
    });
    let status = sync.stop().await?;
    talk(format!("Stopped `pelton sync` by SIGTERM; it ended with {status}.\n"));
    if status != 0 {
        return Err(DemoError::SyncEnded { status, log: sync.log() });
    }
    show::ten_orders(source, destination, flows).await?;
    let outcomes = compare::all(source, destination, flows).await?;
    show::outcomes(&outcomes);
    let differing = outcomes.iter().filter(|outcome| !outcome.is_equal()).map(|outcome| outcome.flow.clone());
    match differing.collect::<Vec<_>>() {
        differing if differing.is_empty() => Ok(()),
        differing => Err(DemoError::Differs { flows: differing, log: sync.log() }),
    }
}

/// Starts one server. Its password is random: on a machine that others use too, `trust` would make them its superuser.
async fn server(args: &Args) -> Result<Server> {
    let mut builder = Server::builder().authentication(Authentication::random()?);
    if let Some(folder) = &args.pg_bin {
        builder = builder.binaries(folder);
    }
    Ok(builder.start().await?)
}

/// Leaves everything where it is, with a script that takes it away.
fn keep(
    mut folder: Folder,
    program: &Path,
    manifest: &Path,
    urls: &[(&str, &str)],
    servers: [Server; 2],
) -> Result<()> {
    let mut script = String::from("#!/bin/sh\n# Stops the servers of this demo and removes all that it made.\n");
    for server in servers {
        script.push_str(&server.leave()?);
        script.push('\n');
    }
    script.push_str(&format!("rm -rf '{}'\n", folder.path().display()));
    let stop = folder.write("stop.sh", &script)?;
    folder.leave()?;
    let assignments = urls.iter().map(|(name, url)| format!("{name}='{url}'")).collect::<Vec<_>>();
    println!("The servers stay up:\n  {}\n", assignments.join("\n  "));
    println!("Stream on:   {} {} sync {}", assignments.join(" "), program.display(), manifest.display());
    println!("Take it all away:   sh {}", stop.display());
    Ok(())
}
