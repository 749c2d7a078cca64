//! `pelton replay`: runs recorded changes through a component, or through two, and shows what comes of them.
//!
//! ```text
//! fixtures | event store → pieces of transactions → one component | two → rows | the rows that differ
//! ```
//!
//! Everything goes piece by piece ([`piece`]), so memory is bounded whatever there is to replay. Nothing is written
//! anywhere.

mod events;
mod fixtures;
mod piece;
mod print;
mod settings;
mod side;
mod stage;
mod tables;

use std::path::PathBuf;
use std::str::FromStr;

use clap::ArgGroup;

pub(super) use fixtures::Fixtures;
pub(super) use piece::{Origin, Piece};
pub(super) use print::Totals;
pub(super) use settings::{Given, Settings};
pub(super) use side::Side;
pub(super) use stage::Stage;

use super::component;
use super::databases::Databases;
use super::report::Failure;
use crate::change::Position;
use crate::wasm::{Host, HostOptions};
use events::Events;
use tables::As;

/// Runs recorded changes through a component and prints the rows, or through two and shows which rows differ
///
/// The changes are those of fixtures, or what an event store remembers, from a position on. State goes on from one fixture
/// to the next, in the order in which they are named. With --against, exit code 0 means that both make the same rows, 1 that they
/// do not; without it the rows are printed as they come, and 1 means that a transaction failed. What a fixture expects is not
/// looked at: that is `pelton test`. Nothing is written to any database. Docs: docs/testing.md.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").args(["fixtures", "from"]).required(true))]
pub struct Args {
    /// Fixtures, as `pelton test` reads them and `pelton capture` writes them
    #[arg(value_name = "FIXTURE")]
    fixtures: Vec<PathBuf>,

    /// The component, or the folder of its project, which is built
    #[arg(long, value_name = "FILE|DIR")]
    component: PathBuf,

    /// Another one: show what it makes otherwise
    #[arg(long, value_name = "FILE|DIR")]
    against: Option<PathBuf>,

    /// Replay what the manifest's event store has at this position and behind it: as `pelton events` prints it, or
    /// `beginning`
    #[arg(long, value_name = "POSITION")]
    from: Option<From>,

    /// The last position to replay [default: the last one that is there at the start]
    #[arg(long, value_name = "POSITION", requires = "from")]
    until: Option<Position>,

    /// Only events of this public schema: `orders`, `orders@2` or `shop/orders@2`; it can be repeated
    #[arg(long, visible_alias = "public-schema", value_name = "NAME", requires = "from")]
    schema: Vec<String>,

    /// The table that a public schema's events are changes of [default: the table of that name that the component reads];
    /// it can be repeated
    #[arg(long = "as", value_name = "PUBLIC_SCHEMA=SCHEMA.TABLE", requires = "from")]
    as_tables: Vec<As>,

    /// The manifest [default: pelton.yaml in this folder]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// The event store, by its connection's slug, where the manifest has several
    #[arg(long, value_name = "SLUG", requires = "from", conflicts_with = "url")]
    store: Option<String>,

    /// An event store by its URL, instead of the manifest's
    #[arg(long, value_name = "URL", requires = "from")]
    url: Option<String>,

    #[command(flatten)]
    given: Given,

    /// Show at most so many rows, or differences; all are counted [default: all rows, or 100 differences; with --json all]
    #[arg(short = 'n', long, value_name = "NUMBER")]
    limit: Option<u64>,

    /// Print JSON for scripts: a line for each row or difference, and a last one with the counts
    #[arg(long)]
    json: bool,
}

/// Where events begin to be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Beginning,
    At(Position),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        match text {
            "beginning" => Ok(From::Beginning),
            text => text.parse().map(From::At).map_err(|error| format!("{error}, or `beginning`")),
        }
    }
}

/// Where pieces come from.
enum Changes {
    Fixtures(Fixtures),
    Events(Box<Events>),
}

impl Changes {
    async fn next(&mut self) -> Result<Option<Piece>, Failure> {
        match self {
            Changes::Fixtures(fixtures) => Ok(fixtures.next()),
            Changes::Events(events) => events.next().await,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A component that can't be loaded or started, fixtures and events that do not fit it, an event store that can't be
/// reached; and whatever differs.
pub async fn run(args: Args) -> Result<(), Failure> {
    let given = args.given.read(args.manifest.as_deref(), args.from.is_some())?;
    // Before anything is built, which takes longer.
    let read = fixtures::read(&args.fixtures)?;
    let host = Host::new(HostOptions::for_user()).map_err(|error| Failure::of(&error, error.hint()))?;
    let mut sides = Vec::new();
    for path in std::iter::once(&args.component).chain(&args.against) {
        sides.push((path.display().to_string(), component::load(&host, path)?));
    }
    let descriptors: Vec<_> = sides.iter().map(|(_, component)| component.descriptor().clone()).collect();
    let mut changes = match args.from {
        None => Changes::Fixtures(Fixtures::of(read, &given, &descriptors)?),
        Some(from) => {
            let databases = Databases { manifest: args.manifest.clone(), url: args.url.clone() };
            let wanted = events::Wanted {
                from,
                until: args.until,
                schemas: &args.schema,
                as_tables: &args.as_tables,
                store: args.store.clone(),
            };
            Changes::Events(Box::new(Events::open(databases, wanted, &given, &descriptors).await?))
        }
    };
    let mut stage = Stage::new(sides, args.json, args.limit);
    stage.head();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let piece = tokio::select! {
            biased;
            _ = &mut interrupted => return stage.end(true),
            piece = changes.next() => piece?,
        };
        let Some(piece) = piece else { return stage.end(false) };
        stage.take(&piece).await?;
    }
}
