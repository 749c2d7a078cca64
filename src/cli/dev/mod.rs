//! `pelton dev`: builds a transform whenever it is saved, and shows what it makes otherwise.
//!
//! ```text
//! files change → build → fixtures and the last transactions → through this build and the one before → what differs
//! ```
//!
//! Both builds are given the same changes anew each time, each with an empty state, so nothing is kept but the last
//! component and the recording.

mod files;
mod recording;
mod round;
mod scratch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use self::files::{Contents, Files};
use self::recording::Recording;
use self::round::{Played, Round};
use self::scratch::Scratch;
use super::capture::{Source, Which};
use super::databases::{self, Database, Databases};
use super::replay::{Given, Settings};
use super::report::Failure;
use super::{build, component, files as manifests, test};
use crate::manifest::Manifest;
use crate::wasm::{Component, Host, HostOptions};

const APPLICATION: &str = "pelton dev";
/// How often is looked for files that were saved.
const POLL: Duration = Duration::from_millis(200);
/// Editors and tools write several files: it is waited until nothing more comes for that long.
const SETTLED: Duration = Duration::from_millis(100);

/// Builds a transform whenever it is saved, and shows which rows change
///
/// The project's fixtures, and with a source the last transactions that were committed there, run through each build and the one
/// before it. With --live the rows of the newest build are in tables, too: those of the recorded transactions, or of the
/// fixtures while there are none. Ctrl-C ends, and leaves nothing behind. Docs: docs/testing.md.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Record the last transactions of this database, through a temporary slot; a password that the URL lacks is taken
    /// from PGPASSWORD
    #[arg(long, value_name = "URL", conflicts_with = "once")]
    from: Option<String>,

    /// A manifest: its source is recorded where --from names none, --transform takes settings from it, and --live writes
    /// into its destination
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Which of the manifest's data stores to record, where it reads several
    #[arg(long, value_name = "SLUG", requires = "manifest")]
    data_store: Option<String>,

    /// Record what this publication has [default: the manifest's, if it has the tables; otherwise one is made, and dropped
    /// at the end]
    #[arg(long, value_name = "NAME", conflicts_with = "once")]
    publication: Option<String>,

    /// How many transactions to keep
    #[arg(long, value_name = "TRANSACTIONS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    last: u32,

    #[command(flatten)]
    given: Given,

    /// Write the rows into tables of a schema of their own, begun anew at each build
    #[arg(long)]
    live: bool,

    /// Where --live writes, instead of the manifest's destination
    #[arg(long, value_name = "URL", requires = "live")]
    to: Option<String>,

    /// The schema that --live writes into; it must not exist, or be one that pelton dev made [default: pelton_dev_NAME]
    #[arg(long, value_name = "SCHEMA", requires = "live")]
    scratch: Option<String>,

    /// Leave that schema there at the end
    #[arg(long, requires = "live")]
    keep: bool,

    /// Build and run the fixtures once; exit 1 when something fails
    #[arg(long)]
    once: bool,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// A folder that is no project, databases that can't be used; with `--once` whatever fails.
pub async fn run(args: Args) -> Result<(), Failure> {
    if !args.dir.is_dir() {
        let hint = "name the folder of a transform's project; `pelton new` makes one".to_owned();
        return Err(Failure::new(format!("there is no folder {}", args.dir.display()), Some(hint)));
    }
    build::Language::of(&args.dir).map_err(|error| Failure::of(&error, error.hint()))?;
    let settings = args.given.read(args.manifest.as_deref(), true)?;
    let (source, destination) = (args.source()?, args.destination()?);
    // Before anything is built, which takes longer.
    for database in source.iter().map(|source| &source.database).chain(&destination) {
        database.connect(APPLICATION).await?;
    }
    let host = Host::new(HostOptions::for_user()).map_err(|error| Failure::of(&error, error.hint()))?;
    let mut session = Session {
        files: Files::of(&args.dir),
        args,
        settings,
        host: Arc::new(host),
        source: source.map(Arc::new),
        destination,
        previous: None,
        recording: None,
        scratch: None,
        is_steady: false,
    };
    let ended = tokio::select! {
        () = stopped() => Ok(()),
        ended = session.watch() => ended,
    };
    let closed = session.close().await;
    ended.and(closed)
}

/// Waits for Ctrl-C, SIGTERM, or the end of the terminal.
pub(super) async fn stopped() {
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] =
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal)
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
}

impl Args {
    /// Returns what to record.
    fn source(&self) -> Result<Option<Source>, Failure> {
        let reads = |manifest: &Manifest| self.data_store.is_some() || manifest.sources().next().is_some();
        let wanted = match (&self.from, &self.manifest) {
            (Some(_), _) => true,
            (None, Some(file)) => !self.once && reads(&manifests::load_one(Some(file))?),
            (None, None) => false,
        };
        if !wanted && self.publication.is_some() {
            let hint = "name a database with --from URL, or a manifest that reads one with --manifest FILE".to_owned();
            return Err(Failure::new("there is nothing to record by --publication", Some(hint)));
        }
        if !wanted {
            return Ok(None);
        }
        let manifest = self.manifest.clone().filter(|_| self.from.is_none());
        let databases = Databases { manifest, url: self.from.clone() };
        Which::new(databases, self.data_store.clone(), self.publication.clone()).find().map(Some)
    }

    /// Returns the database that `--live` writes into.
    fn destination(&self) -> Result<Option<Database>, Failure> {
        match (self.live, &self.to, &self.manifest) {
            (false, ..) => Ok(None),
            (true, Some(url), _) => of_url(url).map(Some),
            (true, None, None) => {
                let hint = "name a database with --to URL, or a manifest with --manifest FILE".to_owned();
                Err(Failure::new("nothing says where --live writes", Some(hint)))
            }
            (true, None, Some(file)) => {
                let manifest = manifests::load_one(Some(file))?;
                let stores = databases::event_stores(&manifest);
                let mut found = databases::destinations(&manifest);
                found.retain(|one| stores.iter().all(|store| store.name != one.name));
                match &found[..] {
                    [one] => Ok(Some(one.clone())),
                    found => {
                        let names: Vec<&str> = found.iter().map(|one| one.label.as_str()).collect();
                        let names = if names.is_empty() { "no destination".to_owned() } else { names.join(", ") };
                        let what = format!("manifest `{}` has {names}", manifest.slug);
                        Err(Failure::new(what, Some("say where --live writes with --to URL".to_owned())))
                    }
                }
            }
        }
    }
}

fn of_url(url: &str) -> Result<Database, Failure> {
    let databases = Databases { manifest: None, url: Some(url.to_owned()) };
    databases.of_url().map(|database| database.expect("there is a URL"))
}

/// What goes on while files are watched.
struct Session {
    args: Args,
    files: Files,
    settings: Settings,
    host: Arc<Host>,
    source: Option<Arc<Source>>,
    destination: Option<Database>,
    /// The last build that succeeded, and the files that it was tried with.
    previous: Option<(Component, Contents)>,
    recording: Option<Recording>,
    scratch: Option<Scratch>,
    /// The databases were reached once: what fails from now on may pass.
    is_steady: bool,
}

impl Session {
    async fn watch(&mut self) -> Result<(), Failure> {
        loop {
            let started = Instant::now();
            let contents = self.files.look();
            let good = match self.build().await {
                Ok(component) => self.round(component, contents.clone(), started).await?,
                Err(failure) => {
                    failure.print();
                    false
                }
            };
            if self.args.once {
                return if good { Ok(()) } else { Err(Failure::said()) };
            }
            eprintln!("watching {}; Ctrl-C ends", self.args.dir.display());
            self.changed(contents).await;
        }
    }

    /// Builds beside the runtime's own threads: tools take seconds.
    async fn build(&self) -> Result<Component, Failure> {
        let (host, dir) = (self.host.clone(), self.args.dir.clone());
        let built = tokio::task::spawn_blocking(move || component::load(&host, &dir)).await;
        built.map_err(Failure::bug)?
    }

    /// Waits until files are other than they were, and no more of them change.
    async fn changed(&mut self, then: Contents) {
        let mut now = then.clone();
        while now == then {
            tokio::time::sleep(POLL).await;
            now = self.files.look();
        }
        loop {
            tokio::time::sleep(SETTLED).await;
            let next = self.files.look();
            if next == now {
                return;
            }
            now = next;
        }
    }

    /// Shows what comes of a build; returns false when something failed.
    async fn round(&mut self, component: Component, contents: Contents, started: Instant) -> Result<bool, Failure> {
        let opened = [self.record(&component).await, self.open_scratch(&component).await];
        let mut reached = true;
        for failure in opened.into_iter().filter_map(Result::err) {
            if !self.is_steady {
                return Err(failure);
            }
            failure.print();
            reached = false;
        }
        self.is_steady = true;
        let recorded = self.recording.as_ref().map(Recording::snapshot);
        let descriptor = component.descriptor();
        println!("built {} {} in {:.1} s", descriptor.name, descriptor.version, started.elapsed().as_secs_f64());
        let fixtures = test::of_folder(&self.args.dir)?;
        let before = self.previous.as_ref();
        let mut round = Round {
            previous: before.map(|(component, _)| component),
            component: &component,
            settings: &self.settings,
            recorded: recorded.as_ref(),
            scratch: self.scratch.as_mut(),
            result: Played::default(),
        };
        let same = |path: &PathBuf| before.is_some_and(|(_, then)| contents.has_same(then, path));
        let written = round.play(&fixtures, same).await;
        let played = round.result;
        played.print(before.is_none(), recorded.as_ref().map_or(0, |recorded| recorded.len()), started.elapsed());
        let written = match written {
            Ok(()) => {
                if let Some(scratch) = &self.scratch {
                    println!("the rows are in schema \"{}\": {}", scratch.schema, scratch.tables.join(", "));
                }
                true
            }
            Err(failure) => {
                failure.print();
                false
            }
        };
        self.previous = Some((component, contents));
        Ok(reached && written && !played.failed)
    }

    /// Records what a build reads; anew, if the build before read something else, or the recording has ended.
    async fn record(&mut self, component: &Component) -> Result<(), Failure> {
        let Some(source) = &self.source else { return Ok(()) };
        let descriptor = component.descriptor();
        if let Some(former) = &mut self.recording {
            let ended = former.ended();
            if ended.is_none() && former.is_of(descriptor) {
                return Ok(());
            }
            ended.into_iter().for_each(|why| eprintln!("{why}"));
            former.close().await;
            self.recording = None;
        }
        let recording = self.recording.insert(Recording::start(source, descriptor, self.args.last as usize));
        let begun = recording.begun().await;
        match begun {
            Ok(()) => eprintln!("recording from {}", source.database.name),
            Err(_) => self.recording = None,
        }
        begun
    }

    /// Takes hold of the schema that the rows are written into; again, if the connection was lost.
    async fn open_scratch(&mut self, component: &Component) -> Result<(), Failure> {
        let Some(destination) = &self.destination else { return Ok(()) };
        if self.scratch.as_ref().is_some_and(|scratch| !scratch.is_closed()) {
            return Ok(());
        }
        let former = self.scratch.take().map(|scratch| scratch.schema);
        let schema = former.or(self.args.scratch.clone());
        let schema = schema.unwrap_or_else(|| scratch::schema_of(&component.descriptor().name));
        self.scratch = Some(Scratch::open(destination.clone(), schema).await?);
        Ok(())
    }

    /// Leaves nothing behind.
    async fn close(self) -> Result<(), Failure> {
        if let Some(mut recording) = self.recording {
            recording.close().await;
        }
        match self.scratch {
            Some(scratch) => scratch.close(self.args.keep).await,
            None => Ok(()),
        }
    }
}
