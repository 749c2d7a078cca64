//! `pelton events`: what is in an event store.

mod print;
mod prune;
mod readers;
mod store;

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

pub(super) use self::store::{database, name_of};

use self::print::Printer;
use self::store::Store;
use super::columns;
use super::databases::Databases;
use super::report::Failure;
use crate::change::Position;
use crate::eventstore;

/// Shows, counts and exports the events of an event store, follows it, and removes what is not to be kept
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the newest events, and with --follow those that come
    Tail {
        #[command(flatten)]
        wanted: Filter,

        /// How many
        #[arg(short = 'n', long, default_value_t = 10, value_name = "EVENTS")]
        lines: u32,

        /// Go on with what is published from now on, until Ctrl-C
        #[arg(short, long)]
        follow: bool,

        #[command(flatten)]
        output: Output,
    },
    /// Print events from the oldest on
    Show {
        #[command(flatten)]
        wanted: Filter,

        /// At most so many
        #[arg(short = 'n', long, default_value_t = 50, value_name = "EVENTS")]
        limit: u32,

        #[command(flatten)]
        output: Output,
    },
    /// Count events, by public schema and operation
    Count {
        #[command(flatten)]
        wanted: Filter,

        /// Print JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Write all events as JSON, one a line; with --follow also those that come
    Export {
        #[command(flatten)]
        wanted: Filter,

        /// What a line looks like
        #[arg(long, value_enum, default_value = "json")]
        format: Format,

        /// Write into this file instead of stdout
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,

        /// Go on with what is published from now on, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
    },
    /// Remove what the event store is not to keep, as its `retention` says or as is said here
    ///
    /// Old segments of the log go, and of each key their newest event stays. What a registered consumer has not read stays,
    /// whatever is said, unless it is forced.
    Prune(prune::Args),
    /// Show who reads the event store: what they have not read is kept
    Readers {
        #[command(flatten)]
        chosen: Chosen,

        /// Print JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Forget a reader that is gone, so that nothing is kept for it; if it comes back, it may have missed something
    Forget {
        /// The manifest that it is in
        #[arg(value_name = "MANIFEST-SLUG")]
        of: String,

        /// Its name, as `pelton events readers` prints it
        #[arg(value_name = "READER")]
        reader: String,

        /// The destination that it writes into, as `pelton events readers` prints it, where there are several
        #[arg(long, value_name = "UUID")]
        destination: Option<String>,

        #[command(flatten)]
        chosen: Chosen,
    },
}

/// Which event store.
#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    #[command(flatten)]
    pub(super) databases: Databases,

    /// The event store, by its connection's slug, where the manifest has several
    #[arg(long, value_name = "SLUG", conflicts_with = "url")]
    pub(super) store: Option<String>,
}

/// Which events.
#[derive(Debug, clap::Args)]
struct Filter {
    #[command(flatten)]
    chosen: Chosen,

    /// Only this public schema: `orders`, `orders@2`, or `shop/orders@2` with the manifest that publishes it
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,

    /// Only events of rows whose key has this value: `id=7`; repeat it for a key of several columns
    #[arg(long, value_name = "COLUMN=VALUE")]
    key: Vec<String>,

    /// Only what was committed then or later, in any form that Postgres reads
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only what was committed before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Only what lies behind this position, as it is printed
    #[arg(long, value_name = "POSITION")]
    after: Option<Position>,
}

/// How events are printed.
#[derive(Debug, clap::Args)]
struct Output {
    /// Print JSON, one event a line
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// What a line of JSON looks like
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// A line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As the event store has it
    Json,
    /// As Debezium's change events
    Debezium,
    /// As CloudEvents 1.0
    Cloudevents,
}

impl Output {
    fn format(&self) -> Option<Format> {
        self.format.or(self.json.then_some(Format::Json))
    }
}

const APPLICATION: &str = "pelton events";

/// Does it.
///
/// # Errors
/// The manifest's problems, an event store that can't be reached, and what is wrong with the filter.
pub async fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Tail { wanted, lines, follow, output } => {
            let mut store = Store::open(&wanted).await?;
            let positions = store.last(lines.into()).await?;
            let mut printer = Printer::new(Box::new(std::io::stdout()), output.format());
            store.print(&mut printer, positions, None, follow).await
        }
        Action::Show { wanted, limit, output } => {
            let mut store = Store::open(&wanted).await?;
            let positions = store.first();
            let mut printer = Printer::new(Box::new(std::io::stdout()), output.format());
            store.print(&mut printer, positions, Some(limit.into()), false).await
        }
        Action::Count { wanted, json } => count(&wanted, json).await,
        Action::Prune(args) => prune::run(args).await,
        Action::Readers { chosen, json } => readers::list(&chosen, json).await,
        Action::Forget { of, reader, destination, chosen } => {
            readers::forget(&chosen, &of, &reader, destination.as_deref()).await
        }
        Action::Export { wanted, format, output, follow } => {
            let mut store = Store::open(&wanted).await?;
            let positions = store.first();
            let to: Box<dyn Write + Send> = match &output {
                None => Box::new(std::io::stdout()),
                Some(path) => Box::new(BufWriter::new(std::fs::File::create(path).map_err(|error| {
                    let hint = "name a file in a folder that is there and can be written to";
                    Failure::new(format!("cannot write {}: {error}", path.display()), Some(hint.to_owned()))
                })?)),
            };
            let mut printer = Printer::new(to, Some(format));
            store.print(&mut printer, positions, None, follow).await?;
            if let Some(path) = &output {
                eprintln!("Wrote {} events into {}.", printer.printed, path.display());
            }
            Ok(())
        }
    }
}

async fn count(wanted: &Filter, json: bool) -> Result<(), Failure> {
    let store = Store::open(wanted).await?;
    let mut counts: Vec<(i32, [i64; 4])> = store.streams.iter().map(|stream| (stream.id, [0; 4])).collect();
    if store.is_plain() {
        let counted =
            eventstore::count_all(&store.client, &store.first()).await.map_err(|error| store.failed(&error))?;
        for (stream, op, count) in counted {
            if let Some((_, of)) = counts.iter_mut().find(|(id, _)| *id == stream) {
                of[op as usize] = count;
            }
        }
    } else {
        let mut positions = store.first();
        store
            .read(&mut positions, |event| {
                let of = counts.iter_mut().find(|(id, _)| *id == event.stream());
                if let (Some((_, of)), Ok(op)) = (of, event.op()) {
                    of[op as usize] += 1;
                }
                true
            })
            .await?;
    }
    let named = |id: i32| store.streams.iter().find(|stream| stream.id == id).expect("it was counted");
    if json {
        let one = |(id, [insert, update, delete, truncate]): &(i32, [i64; 4])| {
            let stream = named(*id);
            serde_json::json!({
                "manifest": stream.manifest, "publicSchema": stream.public_schema, "majorVersion": stream.major,
                "source": stream.source, "insert": insert, "update": update, "delete": delete, "truncate": truncate,
                "events": insert + update + delete + truncate, "last": stream.last.to_string(),
            })
        };
        println!("{:#}", counts.iter().map(one).collect::<serde_json::Value>());
        return Ok(());
    }
    let head = ["PUBLIC SCHEMA", "EVENTS", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "LAST"].map(str::to_owned);
    let line = |(id, [insert, update, delete, truncate]): &(i32, [i64; 4])| {
        let stream = named(*id);
        let number = |n: &i64| n.to_string();
        [
            name_of(stream),
            number(&(insert + update + delete + truncate)),
            number(insert),
            number(update),
            number(delete),
            number(truncate),
            stream.last.to_string(),
        ]
    };
    columns::print(std::iter::once(head).chain(counts.iter().map(line)));
    Ok(())
}
