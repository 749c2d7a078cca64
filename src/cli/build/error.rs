//! What can keep a project from becoming a component, and what its author does about it.

use std::path::PathBuf;
use std::process::ExitStatus;

use super::lang::Language;
use crate::wasm::WasmError;

/// Why a project did not become a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    #[error("`{program}` could not be started")]
    Start { program: String, source: std::io::Error },

    #[error(
        "{} holds no transform: there is no Cargo.toml, package.json, pyproject.toml, go.mod, nor a C source",
        dir.display()
    )]
    NotAProject { dir: PathBuf },

    #[error("{} holds two projects, of {one}{} and of {another}{}", dir.display(), by(*one), by(*another))]
    TwoLanguages { dir: PathBuf, one: Language, another: Language },

    #[error("there is no {what} here")]
    NoToolchain { what: &'static str, install: &'static str },

    #[error("{} has no {sdk}, with which its component is made", dir.display())]
    NoSdk { dir: PathBuf, sdk: &'static str, install: &'static str },

    #[error("{tool} can't read {}:\n{message}", manifest.display())]
    BadManifest { manifest: PathBuf, tool: &'static str, message: String },

    #[error("{} is a workspace without a crate of its own; its transforms are {}", dir.display(), or_none(members))]
    Workspace { dir: PathBuf, members: Vec<String> },

    #[error("crate `{package}` has no library of the type cdylib, so cargo makes no WebAssembly module of it")]
    NotACdylib { package: String },

    #[error("the Rust toolchain has no standard library for {}", super::lang::rust::TARGET)]
    NoTarget,

    #[error("`{name}` did not compile ({status}); the messages of {tool} are above")]
    Compile { name: String, tool: &'static str, status: ExitStatus },

    #[error("cargo compiled crate `{package}` and named no WebAssembly file")]
    NoArtefact { package: String },

    #[error("`{library}` is compiled, but is no transform: it was written for no world of Pelton's")]
    NoWorld { library: String, language: Language },

    #[error("`{library}` can't be made a component")]
    Component { library: String, source: Box<dyn std::error::Error + Send + Sync> },

    #[error("`{library}` imports {}, which the sandbox does not serve", imports.join(", "))]
    Imports { library: String, language: Language, imports: Vec<String> },

    #[error("`{library}` is a component, but does not run")]
    Describe { library: String, source: Box<WasmError> },

    #[error("{} could not be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    #[error("{} could not be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },

    #[error("--out names one file, and there are {dirs} folders to build")]
    OneOutForMany { dirs: usize },
}

impl BuildError {
    /// Returns what the author should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            BuildError::Start { program, source }
                if source.kind() == std::io::ErrorKind::NotFound && program.ends_with("cargo") =>
            {
                Some("install Rust from https://rustup.rs, and have cargo on PATH".to_owned())
            }
            BuildError::NotAProject { .. } => Some("name the folder of a transform: `pelton build DIR`".to_owned()),
            BuildError::TwoLanguages { .. } => Some("give each a folder of its own".to_owned()),
            BuildError::NoToolchain { install, .. } => Some((*install).to_owned()),
            BuildError::NoSdk { dir, install, .. } => Some(format!("in {}: {install}", dir.display())),
            BuildError::Workspace { .. } => Some("name the folder of one of them: `pelton build DIR`".to_owned()),
            BuildError::NotACdylib { .. } => {
                Some("add to Cargo.toml:\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]".to_owned())
            }
            BuildError::NoTarget => Some(format!(
                "rustup target add {}\n(or, where that can't be fetched, scripts/wasm-target.sh of Pelton's repository, \
                 which makes it of Debian's or Ubuntu's packages)",
                super::lang::rust::TARGET
            )),
            BuildError::NoWorld { language: Language::Rust, .. } => Some(
                "mark the transform with #[transform(…)] of pelton-sdk, in the crate that is built itself".to_owned(),
            ),
            BuildError::NoWorld { language: Language::Go, .. } => Some(
                "import github.com/pelton-dev/pelton/guest-sdk/go in the package that is built, and hand it the transform: \
                 func init() { pelton.Export(&transform) }"
                    .to_owned(),
            ),
            BuildError::NoWorld { language: Language::Other, .. } => Some(
                "export `lifecycle`, and `typed` or `packed`, of wit/transform.wit: docs/without-sdk.md shows how"
                    .to_owned(),
            ),
            BuildError::NoWorld { language, .. } => Some(format!(
                "declare the transform as the SDK for {language} has it, in the project that is built itself"
            )),
            BuildError::Imports { language, .. } => Some(format!(
                "a transform reaches no file, network, clock or entropy: find the dependency that wants them {}",
                language.where_imports_come_from()
            )),
            BuildError::Describe { source, .. } => source.hint(),
            BuildError::OneOutForMany { .. } => Some("build them one by one, or leave --out away".to_owned()),
            _ => None,
        }
    }
}

/// The file that gives a language away.
fn by(language: Language) -> String {
    language.marker().map(|file| format!(" ({file})")).unwrap_or_default()
}

fn or_none(members: &[String]) -> String {
    if members.is_empty() { "none".to_owned() } else { members.join(", ") }
}
