//! Rust: cargo compiles the crate for wasm32-unknown-unknown into a core module that says which world it is of.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::rust_toolchain::{self, Toolchain};
use super::{Code, Compiled};
use crate::cli::build::error::BuildError;

pub use super::rust_toolchain::TARGET;

/// Compiles the crate in `dir`.
///
/// # Errors
/// Without a Rust that has the target, or when cargo refuses the crate.
pub fn compile(dir: &Path) -> Result<Compiled, BuildError> {
    let library = find_library(dir)?;
    let toolchain = rust_toolchain::find(dir)?;
    let module = compile_library(&library, &toolchain)?;
    Ok(Compiled { name: library.name, code: Code::Module(super::read(&module)?) })
}

/// A crate's library, which becomes the component.
#[derive(Debug, PartialEq, Eq)]
struct Library {
    dir: PathBuf,
    package: String,
    name: String,
}

fn cargo() -> OsString {
    // Under cargo itself (in tests) it is the cargo that runs them.
    std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

fn start(source: std::io::Error) -> BuildError {
    BuildError::Start { program: "cargo".to_owned(), source }
}

/// Finds the library of the crate in `dir`.
///
/// # Errors
/// When cargo can't read the crate, or it has no library of the type cdylib.
fn find_library(dir: &Path) -> Result<Library, BuildError> {
    let manifest = dir.join("Cargo.toml");
    // In the project's folder, whose rust-toolchain.toml and .cargo/config.toml count, as they do for its author.
    let output = Command::new(cargo())
        .current_dir(dir)
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path", "Cargo.toml"])
        .stdin(Stdio::null())
        .output()
        .map_err(start)?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(BuildError::BadManifest { manifest, tool: "cargo", message });
    }
    let manifest = manifest.canonicalize().map_err(|source| BuildError::Read { path: manifest, source })?;
    choose(dir, &manifest, &output.stdout)
}

/// `cargo metadata`, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

impl Package {
    fn cdylib(&self) -> Option<&Target> {
        self.targets.iter().find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
    }
}

fn choose(dir: &Path, manifest: &Path, metadata: &[u8]) -> Result<Library, BuildError> {
    let metadata: Metadata = serde_json::from_slice(metadata).map_err(|e| BuildError::BadManifest {
        manifest: manifest.to_path_buf(),
        tool: "cargo",
        message: e.to_string(),
    })?;
    let Some(package) = metadata.packages.iter().find(|package| package.manifest_path == manifest) else {
        let transforms = metadata.packages.iter().filter(|package| package.cdylib().is_some());
        let members = transforms.filter_map(|p| Some(p.manifest_path.parent()?.display().to_string())).collect();
        return Err(BuildError::Workspace { dir: dir.to_path_buf(), members });
    };
    let Some(target) = package.cdylib() else {
        return Err(BuildError::NotACdylib { package: package.name.clone() });
    };
    Ok(Library { dir: dir.to_path_buf(), package: package.name.clone(), name: target.name.replace('-', "_") })
}

/// Compiles the library and returns the path of its core module. Cargo talks on stderr.
///
/// # Errors
/// When it does not compile.
fn compile_library(library: &Library, toolchain: &Toolchain) -> Result<PathBuf, BuildError> {
    let output = Command::new(cargo())
        .current_dir(&library.dir)
        .args(["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .args(["--package", &library.package, "--manifest-path", "Cargo.toml"])
        .envs(toolchain.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(start)?;
    if !output.status.success() {
        return Err(BuildError::Compile { name: library.package.clone(), tool: "cargo", status: output.status });
    }
    artefact(library, &output.stdout).ok_or_else(|| BuildError::NoArtefact { package: library.package.clone() })
}

/// One line of cargo's messages, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn artefact(library: &Library, messages: &[u8]) -> Option<PathBuf> {
    let lines = messages.split(|&byte| byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    let is_it = |message: &Message| {
        message.reason == "compiler-artifact"
            && message.target.as_ref().is_some_and(|target| {
                target.name.replace('-', "_") == library.name && target.crate_types.iter().any(|kind| kind == "cdylib")
            })
    };
    let is_wasm = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
    messages.filter(is_it).flat_map(|message| message.filenames).find(is_wasm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(crate_types: &str) -> Vec<u8> {
        let package =
            r#"{"name":"my-orders","manifest_path":"/x/Cargo.toml","targets":[{"name":"my-orders","crate_types":["#;
        format!("{{\"packages\":[{package}{crate_types}]}}]}}]}}").into_bytes()
    }

    #[test]
    fn takes_the_cdylib_of_the_crate_in_the_folder() {
        let (dir, manifest) = (Path::new("/x"), Path::new("/x/Cargo.toml"));
        let library = choose(dir, manifest, &metadata(r#""cdylib","rlib""#)).unwrap();
        assert_eq!((library.package.as_str(), library.name.as_str()), ("my-orders", "my_orders"));
        let error = choose(dir, manifest, &metadata(r#""rlib""#)).unwrap_err();
        assert!(matches!(&error, BuildError::NotACdylib { package } if package == "my-orders"), "{error}");
        let error = choose(Path::new("/"), Path::new("/Cargo.toml"), &metadata(r#""cdylib""#)).unwrap_err();
        assert_eq!(error.to_string(), "/ is a workspace without a crate of its own; its transforms are /x");
    }

    #[test]
    fn takes_the_module_out_of_cargos_messages() {
        let library = Library { dir: "/x".into(), package: "my-orders".into(), name: "my_orders".into() };
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"dep","crate_types":["lib"]},"filenames":["/t/dep.rlib"]}
not json
{"reason":"compiler-artifact","target":{"name":"my-orders","crate_types":["cdylib","rlib"]},"filenames":["/t/my_orders.rlib","/t/my_orders.wasm"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(artefact(&library, messages.as_bytes()), Some("/t/my_orders.wasm".into()));
        assert_eq!(artefact(&library, b"{}"), None);
    }
}
