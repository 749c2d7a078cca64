//! `pelton capture`: live transactions, as the fixture that `pelton test` and `pelton replay` run.

mod columns;
mod file;
mod source;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

pub(super) use self::source::{Source, Which};
use indicatif::{ProgressBar, ProgressStyle};

use self::file::Out;
use super::dev::stopped;
use super::report::Failure;
use super::words::counted;
use crate::change::{Change, Column, Kind, Relation, Tuple, Value};
use crate::fixture::anonymise::Anonymiser;
use crate::fixture::write;
use crate::manifest::age_seconds;
use crate::postgres::catalog::TableName;
use crate::record::{Messages, Options, RecordError, Recorded, Recorder, Wanted};

const APPLICATION: &str = "pelton capture";

/// More than a fixture's reader takes are of no use; what is counted is a little more than what it counts.
const VALUES_MAX: usize = 190_000;

/// A fixture can't be larger; some room is left for its tables and its expectations.
const BYTES_MAX: usize = 6 << 20;

/// Records live transactions into a fixture, for `pelton test` and `pelton replay`
///
/// It reads from a slot of its own, which goes with it: no flow's slot is touched, and nothing stays at the source. The
/// source is the manifest's, or what --url names. It ends with --limit, after --for, or with Ctrl-C, and writes what it
/// has; a fixture that is full, and a table that is altered, end it too.
///
/// What is recorded holds the values of rows. With --anonymise texts, documents, bytes, uuids and network addresses become
/// others of the same shape, the same value the same one everywhere; numbers, moments, booleans, enums and the names of
/// members of documents stay.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Which,

    /// End after so many transactions
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// End after that time, such as 30s or 5min
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,

    /// Only these tables, as schema.table; without a schema it is one of `public` [default: those that the manifest's
    /// publication has, or all]
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    tables: Vec<String>,

    /// Only logical messages of these prefixes [default: all, or none where --tables is given]
    #[arg(long, value_name = "PREFIX", value_delimiter = ',')]
    messages: Vec<String>,

    /// Mask what may tell who somebody is
    #[arg(long, visible_alias = "anonymize")]
    anonymise: bool,

    /// A column, as schema.table.column, that --anonymise leaves as it is; may be repeated
    #[arg(long, value_name = "COLUMN", requires = "anonymise", value_delimiter = ',')]
    keep: Vec<String>,

    /// A column of numbers or moments that --anonymise masks too, or of documents whose numbers and names it masks too; may
    /// be repeated
    #[arg(long, value_name = "COLUMN", requires = "anonymise", value_delimiter = ',')]
    mask: Vec<String>,

    /// Where to write the fixture [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn time(text: &str) -> Result<Duration, &'static str> {
    age_seconds(text).map(Duration::from_secs).ok_or("write a number and its unit: s, min, h, d or w")
}

/// What ended a recording in order.
enum End {
    Limit,
    Time,
    Signal,
    Full,
    Altered(String),
}

impl End {
    /// Says why, where it was not what the user asked for.
    fn note(&self) -> Option<String> {
        match self {
            End::Limit | End::Time | End::Signal => None,
            End::Full => Some(format!(
                "The fixture is full: it may hold {} MiB, and so many values as can be read. Record fewer tables.",
                BYTES_MAX >> 20
            )),
            End::Altered(table) => Some(format!(
                "Table {table} was altered, and a fixture knows one form of each table: what came behind that is not in it."
            )),
        }
    }
}

/// What was recorded so far.
#[derive(Default)]
struct Recording {
    /// As they stand in the fixture.
    transactions: Vec<String>,
    changes: usize,
    bytes: usize,
    /// How many values the text holds, about: a fixture's are bounded.
    values: usize,
    /// Columns that were NULL, as (table, column).
    nulls: HashSet<(u32, usize)>,
    /// Transactions that were too large, with their changes.
    too_large: Vec<u64>,
    anonymiser: Option<Anonymiser>,
}

/// Runs the command.
///
/// # Errors
/// A source that can't be read, tables or columns that are not there, a file that is there already. What was recorded
/// before the source was lost is written all the same.
pub async fn run(args: Args) -> Result<(), Failure> {
    let source = args.source.find()?;
    let tables: Vec<TableName> = args.tables.iter().map(|name| columns::table(name)).collect::<Result<_, _>>()?;
    let (keep, mask) = (columns::columns(&args.keep)?, columns::columns(&args.mask)?);
    let client = source.database.connect(APPLICATION).await?;
    columns::check(&source.database, &client, &tables, &keep, &mask).await?;
    // Under the names by which they are recorded: what is named to be masked must not pass under another one.
    let mut named = tables.clone();
    named.extend(keep.iter().chain(&mask).map(|column| column.table.clone()));
    let publication = source.publication(&client, &named).await?;
    for note in source.lacking(&client, publication.as_deref(), &named).await? {
        eprintln!("{note}");
    }
    drop(client);
    let anonymiser = match args.anonymise {
        true => Some(Anonymiser::new(key()?, keep.into_iter().map(Into::into), mask.into_iter().map(Into::into))),
        false => None,
    };
    let recording = Recording { anonymiser, ..Recording::default() };
    let options = Options {
        messages: match (args.messages.is_empty(), tables.is_empty()) {
            (true, true) => Messages::All,
            _ => Messages::Of(args.messages.clone()),
        },
        tables: if tables.is_empty() { Wanted::All } else { Wanted::Listed(tables) },
        publication,
        transaction_bytes_max: BYTES_MAX,
        application_name: APPLICATION.to_owned(),
    };
    record(&args, &source, &options, recording).await
}

/// Bytes that nobody knows, and that are forgotten with the process.
fn key() -> Result<[u8; 32], Failure> {
    let mut key = [0; 32];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| std::io::Read::read_exact(&mut file, &mut key));
    read.map_err(|error| Failure::new(format!("/dev/urandom can't be read: {error}"), None))?;
    Ok(key)
}

async fn record(args: &Args, source: &Source, options: &Options, mut recording: Recording) -> Result<(), Failure> {
    let failed = |error: RecordError| source.database.failed(&error, error.hint());
    let mut signalled = std::pin::pin!(stopped());
    let mut out = Out::open(args.out.as_deref())?;
    eprintln!("Waiting for the transactions that run now at {} to end …", source.database.label);
    let mut recorder = match Recorder::start(&source.database.connection, options, signalled.as_mut()).await {
        Ok(recorder) => recorder,
        Err(RecordError::Cancelled) => return Err(Failure::new("stopped before anything was recorded", None)),
        Err(error) => return Err(failed(error)),
    };
    for refused in recorder.left_out() {
        eprintln!("Left out: {refused}");
    }
    eprintln!("Recording up to {} transactions. Ctrl-C ends it, and writes what there is.", args.limit);
    let progress = progress();
    let mut over = std::pin::pin!(async {
        match args.time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    });
    let ended = loop {
        if recording.transactions.len() >= args.limit as usize {
            break Ok(End::Limit);
        }
        let recorded = tokio::select! {
            biased;
            () = signalled.as_mut() => break Ok(End::Signal),
            () = over.as_mut() => break Ok(End::Time),
            recorded = recorder.next() => recorded,
        };
        match recorded {
            Ok(Recorded::Transaction(transaction)) => {
                if !recording.add(recorder.tables(), transaction) {
                    break Ok(End::Full);
                }
            }
            Ok(Recorded::TooLarge { changes, .. }) => recording.too_large.push(changes),
            Ok(Recorded::Altered { table }) => break Ok(End::Altered(table)),
            Err(error) => break Err(error),
        }
        progress.set_message(recording.counted());
    };
    progress.finish_and_clear();
    let mut tables = recorder.tables().to_vec();
    recording.loosen(&mut tables);
    if let Ok(End::Altered(_)) = &ended {
        // The last one is the new form of the table, of which nothing was recorded.
        tables.pop();
    }
    let comment = recording.comment(&source.database.name);
    let text = write::fixture(&comment, &tables, &recording.transactions);
    let mut written = Ok(());
    if ended.is_ok() || !recording.transactions.is_empty() {
        written = out.write(&text, recording.transactions.len());
        if written.is_ok() {
            recording.say(&out);
        }
    }
    // Last, for a server that does not answer takes a while.
    recorder.close().await;
    written?;
    match ended {
        Ok(end) => {
            end.note().into_iter().for_each(|note| eprintln!("{note}"));
            Ok(())
        }
        Err(error) => Err(failed(error)),
    }
}

/// A line on a terminal, nothing elsewhere.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is right");
    let progress = ProgressBar::new_spinner().with_style(style);
    progress.enable_steady_tick(Duration::from_millis(200));
    progress.set_message("nothing yet");
    progress
}

/// Returns how many values a change is in a fixture at most: a name and a value for each column, of which some are maps, and
/// what stands around them.
fn values(table: &write::Recorded, change: &Change) -> usize {
    let value = |(column, value): (&Column, Value<'_>)| match (&column.kind, value) {
        (Kind::Bytea, _) | (_, Value::Unchanged) => 4,
        _ => 2,
    };
    let row = |row: &Tuple| 3 + table.relation.columns.iter().zip(row.columns()).map(value).sum::<usize>();
    6 + change.rows().map(row).sum::<usize>()
}

impl Recording {
    /// Adds a transaction; returns false when the fixture has no room for it.
    fn add(&mut self, tables: &[write::Recorded], mut transaction: crate::fixture::Transaction) -> bool {
        if let Some(anonymiser) = &mut self.anonymiser {
            anonymiser.transaction(tables, &mut transaction);
        }
        let text = write::transaction(tables, &transaction);
        let values = 8 + transaction
            .changes
            .iter()
            .map(|change| values(&tables[change.relation as usize], change))
            .sum::<usize>();
        if self.bytes + text.len() > BYTES_MAX || self.values + values > VALUES_MAX {
            return false;
        }
        self.bytes += text.len();
        self.values += values;
        for change in &transaction.changes {
            if let Some(row) = &change.new {
                let null = |(index, value)| (value == Value::Null).then_some((change.relation, index));
                self.nulls.extend(row.columns().enumerate().filter_map(null));
            }
        }
        self.changes += transaction.changes.len();
        self.transactions.push(text);
        true
    }

    /// What was NULL may be: a constraint that was made or dropped meanwhile shows nowhere else.
    fn loosen(&self, tables: &mut [write::Recorded]) {
        for &(table, column) in &self.nulls {
            let table = &mut tables[table as usize];
            if !table.relation.columns[column].nullable && !table.key.contains(&column) {
                let mut relation = Relation::clone(&table.relation);
                relation.columns[column].nullable = true;
                table.relation = relation.into();
            }
        }
    }

    fn counted(&self) -> String {
        format!("{}, {}", counted(self.transactions.len(), "transaction"), counted(self.changes, "change"))
    }

    /// The lines above the fixture.
    fn comment(&self, from: &str) -> Vec<String> {
        let mut lines = vec![format!("Recorded by `pelton capture` from {from}: {}.", self.counted())];
        lines.push(match &self.anonymiser {
            None => "It holds values of real rows.".to_owned(),
            Some(anonymiser) if anonymiser.masked().is_empty() => "Nothing in it had to be masked.".to_owned(),
            Some(_) => "Masked, the same value the same everywhere:".to_owned(),
        });
        let masked = self.anonymiser.iter().flat_map(|anonymiser| anonymiser.masked());
        lines.extend(masked.map(|(table, columns)| {
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            format!("  {table}: {}", columns.join(", "))
        }));
        // A name may hold anything.
        lines.iter().map(|line| line.replace(char::is_control, " ")).collect()
    }

    /// Tells what was written.
    fn say(&self, out: &Out) {
        for changes in &self.too_large {
            let most = BYTES_MAX >> 20;
            eprintln!("Left out: a transaction of {changes} changes, which take more than {most} MiB.");
        }
        let next = match &out.path() {
            Some(path) => format!(" into {}. Next: pelton test --accept {0}", path.display()),
            None => String::new(),
        };
        eprintln!("Recorded {}{next}", self.counted());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_fixture_that_is_full_can_be_read() {
        let columns = "{ id: bigint key, raw: bytea, note: text not null }";
        let change = "- insert: t\n        new: { id: 1, raw: { bytes: 00ff }, note: null }";
        // `not null` was dropped while it was recorded.
        let before = format!("tables:\n  t: {{ columns: {} }}", columns.replace(" not null", ""));
        let text = format!("{before}\ntransactions:\n  - changes:\n      {change}\n");
        let one = fixture::read(&text, "t.yaml").unwrap_or_else(|problems| panic!("{problems}"));
        let mut relation = Relation::clone(&one.relations[0]);
        relation.columns[2].nullable = false;
        let mut tables = vec![write::Recorded { relation: relation.into(), key: vec![0] }];
        let mut transaction = one.transactions[0].clone();
        transaction.changes = vec![transaction.changes[0].clone(); 1_000];
        let mut recording = Recording::default();
        while recording.add(&tables, transaction.clone()) {}
        assert!(recording.changes >= 10_000, "{}", recording.changes);
        recording.loosen(&mut tables);
        let full = write::fixture(&[], &tables, &recording.transactions);
        let read = fixture::read(&full, "t.yaml").unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(read.transactions.len(), recording.transactions.len());
    }
}
