//! What can keep a crate from becoming a component, and what its author does about it.

use std::path::PathBuf;
use std::process::ExitStatus;

use super::toolchain::TARGET;
use crate::wasm::WasmError;

/// Why a crate did not become a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    #[error("`{program}` could not be started")]
    Start { program: String, source: std::io::Error },

    #[error("{} holds no Rust crate: there is no Cargo.toml", dir.display())]
    NotACrate { dir: PathBuf },

    #[error("cargo can't read {}:\n{message}", manifest.display())]
    BadManifest { manifest: PathBuf, message: String },

    #[error("{} is a workspace without a crate of its own; its transforms are {}", dir.display(), or_none(members))]
    Workspace { dir: PathBuf, members: Vec<String> },

    #[error("crate `{package}` has no library of the type cdylib, so cargo makes no WebAssembly module of it")]
    NotACdylib { package: String },

    #[error("the Rust toolchain has no standard library for {TARGET}")]
    NoTarget,

    #[error("crate `{package}` did not compile ({status}); cargo's messages are above")]
    Compile { package: String, status: ExitStatus },

    #[error("cargo compiled crate `{package}` and named no WebAssembly file")]
    NoArtefact { package: String },

    #[error("`{library}` is compiled, but is no transform: it was written for no world of Pelton's")]
    NoWorld { library: String },

    #[error("`{library}` can't be made a component")]
    Component { library: String, source: Box<dyn std::error::Error + Send + Sync> },

    #[error("`{library}` imports {}, which the sandbox does not serve", imports.join(", "))]
    Imports { library: String, imports: Vec<String> },

    #[error("`{library}` is a component, but does not run")]
    Describe { library: String, source: Box<WasmError> },

    #[error("{} could not be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    #[error("{} could not be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },

    #[error("--out names one file, and there are {dirs} crates to build")]
    OneOutForMany { dirs: usize },
}

impl BuildError {
    /// Returns what the author should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            BuildError::Start { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Some("install Rust from https://rustup.rs, and have cargo on PATH".to_owned())
            }
            BuildError::NotACrate { .. } => Some("name the folder of a transform: `pelton build DIR`".to_owned()),
            BuildError::Workspace { .. } => Some("name the folder of one of them: `pelton build DIR`".to_owned()),
            BuildError::NotACdylib { .. } => {
                Some("add to Cargo.toml:\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]".to_owned())
            }
            BuildError::NoTarget => Some(format!(
                "rustup target add {TARGET}\n(or, where that can't be fetched, scripts/wasm-target.sh of Pelton's \
                 repository, which makes it of Debian's or Ubuntu's packages)"
            )),
            BuildError::NoWorld { .. } => Some(
                "mark the transform with #[transform(…)] of pelton-sdk, in the crate that is built itself".to_owned(),
            ),
            BuildError::Imports { .. } => Some(
                "a transform reaches no file, network, clock or entropy: find the dependency that wants them \
                 (`cargo tree --target wasm32-unknown-unknown`) and leave it or its feature out"
                    .to_owned(),
            ),
            BuildError::Describe { source, .. } => source.hint(),
            BuildError::OneOutForMany { .. } => Some("build them one by one, or leave --out away".to_owned()),
            _ => None,
        }
    }
}

fn or_none(members: &[String]) -> String {
    if members.is_empty() { "none".to_owned() } else { members.join(", ") }
}
