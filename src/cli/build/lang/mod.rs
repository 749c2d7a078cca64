//! The languages that transforms are written in: one driver each.
//!
//! A driver finds its language's tools and turns a project's folder into WebAssembly. What becomes of that is the same
//! for all and is done by [`super::component`]. What has to run in a language's own tools lives in that language's
//! SDK, so that it changes with the SDK, and drivers stay thin.

mod c;
mod go;
mod js;
pub(super) mod module;
mod python;
pub(super) mod rust;
mod rust_toolchain;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::error::BuildError;

/// A language with an SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Rust,
    /// JavaScript and TypeScript.
    Js,
    Python,
    Go,
    C,
    /// Whatever made a core module.
    Other,
}

impl Language {
    const ALL: [Language; 5] = [Language::Rust, Language::Js, Language::Python, Language::Go, Language::C];

    /// Tells the language of the project in `dir` by the file that every project of that language has. A file is a module
    /// that another language's tools have made.
    ///
    /// # Errors
    /// [`BuildError::NotAProject`] without such a file, [`BuildError::TwoLanguages`] with those of two.
    pub fn of(dir: &Path) -> Result<Language, BuildError> {
        if dir.is_file() {
            return Ok(Language::Other);
        }
        let found: Vec<_> = Language::ALL.into_iter().filter(|language| language.is_in(dir)).collect();
        match found[..] {
            [language] => Ok(language),
            // A C file beside another language's project is part of it.
            [language, Language::C] => Ok(language),
            [] => Err(BuildError::NotAProject { dir: dir.to_path_buf() }),
            [one, another, ..] => Err(BuildError::TwoLanguages { dir: dir.to_path_buf(), one, another }),
        }
    }

    fn is_in(self, dir: &Path) -> bool {
        match self.marker() {
            Some(file) => dir.join(file).is_file(),
            None => !c::sources(dir).is_empty(),
        }
    }

    /// The file that says that a folder holds a project of the language; `None`: any source file does.
    pub(super) fn marker(self) -> Option<&'static str> {
        match self {
            Language::Rust => Some("Cargo.toml"),
            Language::Js => Some("package.json"),
            Language::Python => Some("pyproject.toml"),
            Language::Go => Some("go.mod"),
            Language::C | Language::Other => None,
        }
    }

    /// Compiles the project in `dir`. The tools talk on stderr; blocks for as long as they work.
    ///
    /// # Errors
    /// [`BuildError`] when a tool is missing, or refuses the project.
    pub fn compile(self, dir: &Path) -> Result<Compiled, BuildError> {
        match self {
            Language::Rust => rust::compile(dir),
            Language::Js => js::compile(dir),
            Language::Python => python::compile(dir),
            Language::Go => go::compile(dir),
            Language::C => c::compile(dir),
            Language::Other => module::take(dir),
        }
    }

    /// What keeps a dependency from asking for what the sandbox does not serve.
    pub fn where_imports_come_from(self) -> &'static str {
        match self {
            Language::Rust => "(`cargo tree --target wasm32-unknown-unknown`) and leave it or its feature out",
            _ => "and leave it out",
        }
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Language::Rust => "Rust",
            Language::Js => "JavaScript",
            Language::Python => "Python",
            Language::Go => "Go",
            Language::C => "C",
            Language::Other => "another language",
        })
    }
}

/// What a language's tools made of a project.
#[derive(Debug)]
pub struct Compiled {
    /// The project's name; the component's file is called after it.
    pub name: String,
    pub code: Code,
}

/// WebAssembly on its way to be a component.
#[derive(Debug)]
pub enum Code {
    /// A core module, which says in its custom section for which world it was written.
    Module(Vec<u8>),
    /// A core module of this world of the contract, which does not say so.
    ModuleOf(&'static str, Vec<u8>),
    /// A component.
    Component(Vec<u8>),
}

/// Where `scripts/toolchain-NAME.sh` puts what it fetches: `${XDG_CACHE_HOME:-~/.cache}/pelton/toolchains/NAME`.
fn fetched(name: &str) -> Option<PathBuf> {
    Some(super::cache::folder()?.join("toolchains").join(name))
}

/// Returns the program of that name on `PATH`.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Returns the name of the folder, for a project whose own files name none.
fn folder_name(dir: &Path) -> String {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    whole.file_name().map_or_else(|| "transform".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Runs a tool whose words go to stderr as they come.
fn run(command: &mut Command) -> Result<ExitStatus, BuildError> {
    let program = command.get_program().to_owned();
    // What tools print on stdout is talk too; ours is data.
    let output = command.stdin(Stdio::null()).stdout(std::io::stderr()).stderr(Stdio::inherit()).status();
    output.map_err(|source| start(&program, source))
}

fn start(program: &OsStr, source: std::io::Error) -> BuildError {
    BuildError::Start { program: program.to_string_lossy().into_owned(), source }
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|source| BuildError::Read { path: path.to_path_buf(), source })
}

/// A folder for what a tool writes, removed when it is dropped.
fn scratch() -> Result<tempfile::TempDir, BuildError> {
    tempfile::tempdir().map_err(|source| BuildError::Write { path: std::env::temp_dir(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_its_language() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        let of = || Language::of(folder.path());
        assert!(matches!(of(), Err(BuildError::NotAProject { .. })));
        put("orders.c");
        assert_eq!(of().unwrap(), Language::C);
        put("go.mod");
        assert_eq!(of().unwrap(), Language::Go, "cgo's files are the Go project's");
        put("package.json");
        let error = of().unwrap_err().to_string();
        assert!(error.ends_with("holds two projects, of JavaScript (package.json) and of Go (go.mod)"), "{error}");
    }
}
