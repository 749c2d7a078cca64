//! `pelton build`: a project becomes a component that `pelton sync` can run, whatever language it is written in.
//!
//! ```text
//! folder → language → its tools (lang) → core module or component → component of the contract (component) → described
//! ```
//!
//! The component is written to `DIR/<name>.wasm` unless `--out` says otherwise.

mod cache;
mod component;
mod error;
mod lang;
mod speed;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use error::BuildError;
pub use lang::Language;

use lang::Compiled;

use crate::wasm::{Descriptor, Host, HostOptions, Limits};

/// Builds transforms into components: Rust, TypeScript, JavaScript, Python, Go or C.
///
/// What a folder holds is told by its Cargo.toml, package.json, pyproject.toml, go.mod or C sources. The language's own
/// compiler is used as it is installed; where one is missing, this says what to install. Of any other language name the
/// core module that its compiler has made.
///
/// Where the project has a fixture (tests/*.yaml, fixtures/), its changes are run for a moment, and what one costs is
/// printed: the transform's time and that of the host around it, on this machine.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of the transforms' projects, or core modules
    #[arg(value_name = "DIR", default_value = ".")]
    dirs: Vec<PathBuf>,

    /// Where the component goes [default: DIR/<name>.wasm]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Print what was built as JSON
    #[arg(long)]
    json: bool,
}

/// A component that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The project's name.
    pub name: String,
    pub language: Language,
    pub path: PathBuf,
    pub bytes: u64,
    /// The interfaces that it imports, such as `pelton:transform/host@0.1.0`.
    pub imports: Vec<String>,
    /// What it says of itself: the tables that it reads, the public schemas that it publishes, its settings.
    pub descriptor: Descriptor,
    /// How long the language's tools took.
    pub compiled_in: Duration,
    /// How long making the component and checking it took.
    pub componentised_in: Duration,
    /// What a change of the project's fixture costs, where it was measured.
    pub change_takes: Option<Duration>,
}

/// Builds the project in `dir` and writes its component to `out`, by default `DIR/<name>.wasm`.
///
/// The tools' own messages go to stderr. Blocks for as long as they work.
///
/// # Errors
/// [`BuildError`] for whatever keeps it from being a component that the sandbox will run.
pub fn build_component(dir: &Path, out: Option<&Path>) -> Result<Built, BuildError> {
    let language = Language::of(dir)?;
    let started = Instant::now();
    let Compiled { name, code } = language.compile(dir)?;
    let compiled_in = started.elapsed();

    let started = Instant::now();
    let made = component::of_code(&name, language, code)?;
    let descriptor = describe(&name, &made.bytes)?;
    let path = match out {
        Some(path) => path.to_path_buf(),
        None if language == Language::Other => lang::module::component_of(dir),
        // A name may have dots, and is that of a file.
        None => dir.join(format!("{}.wasm", name.replace(['/', '\\'], "-"))),
    };
    write(&path, &made.bytes)?;
    Ok(Built {
        name,
        language,
        path,
        bytes: made.bytes.len() as u64,
        imports: made.imports,
        descriptor,
        compiled_in,
        componentised_in: started.elapsed(),
        change_takes: None,
    })
}

/// Asks the component what it is, in the sandbox where it will run. What is compiled here is there when it is deployed.
fn describe(library: &str, bytes: &[u8]) -> Result<Descriptor, BuildError> {
    let loaded = Host::new(HostOptions::for_user()).and_then(|host| host.load(bytes, library, Limits::default()));
    let loaded =
        loaded.map_err(|source| BuildError::Describe { library: library.to_owned(), source: Box::new(source) })?;
    Ok(loaded.descriptor().clone())
}

/// Writes the component whole or not at all: a running `pelton` may be about to load it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        std::io::Write::write_all(&mut file, bytes)?;
        readable_by_all(file.as_file())?;
        file.persist(path).map_err(|e| e.error)
    });
    written.map(|_| ()).map_err(|source| BuildError::Write { path: path.to_path_buf(), source })
}

/// A temporary file is its owner's alone; a component is no secret, and another user may run it.
fn readable_by_all(file: &std::fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let _ = file;
    Ok(())
}

/// Runs the command.
///
/// # Errors
/// [`BuildError`] of the first project that does not build; those before it are built.
pub async fn run(args: Args) -> Result<(), BuildError> {
    if args.out.is_some() && args.dirs.len() > 1 {
        return Err(BuildError::OneOutForMany { dirs: args.dirs.len() });
    }
    let mut all = Vec::new();
    for dir in &args.dirs {
        let mut built = build_component(dir, args.out.as_deref())?;
        built.change_takes = speed::of(dir, &built).await;
        if !args.json {
            println!("{built}");
        }
        all.push(built);
    }
    if args.json {
        let components: Vec<_> = all.iter().map(Built::to_json).collect();
        println!("{}", serde_json::json!({ "components": components }));
    }
    Ok(())
}

impl Built {
    /// Returns the subscribed tables, `schema.table`.
    fn reads(&self) -> Vec<String> {
        self.descriptor.subscriptions.iter().map(|s| format!("{}.{}", s.schema, s.table)).collect()
    }

    /// Returns the public schemas with their versions, `orders 1.0`.
    fn publishes(&self) -> Vec<String> {
        self.descriptor.public_schemas.iter().map(|s| format!("{} {}.{}", s.name, s.major, s.minor)).collect()
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "language": self.language.to_string(),
            "path": self.path,
            "bytes": self.bytes,
            "imports": self.imports,
            "reads": self.reads(),
            "publishes": self.publishes(),
            "compiledInMs": self.compiled_in.as_millis() as u64,
            "componentisedInMs": self.componentised_in.as_millis() as u64,
            "microsecondsPerChange": self.change_takes.map(|time| time.as_nanos() as f64 / 1e3),
        })
    }
}

impl std::fmt::Display for Built {
    /// `Built examples/orders/orders.wasm: 187 KiB, compiled in 6.1 s, made a component in 12 ms, 2.5 µs a change; reads
    /// public.orders, publishes orders 1.0.`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Built {}: {} KiB, compiled in {:.1} s, made a component in {} ms{}; reads {}, publishes {}.",
            self.path.display(),
            self.bytes.div_ceil(1024),
            self.compiled_in.as_secs_f64(),
            self.componentised_in.as_millis(),
            self.change_takes
                .map(|time| format!(", {:.1} µs a change", time.as_nanos() as f64 / 1e3))
                .unwrap_or_default(),
            self.reads().join(", "),
            self.publishes().join(", ")
        )
    }
}
