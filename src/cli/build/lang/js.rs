//! JavaScript and TypeScript: the SDK's own script bundles the project and makes a component of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::{Code, Compiled};
use crate::cli::build::cache::{self, Key};
use crate::cli::build::error::BuildError;

/// The script, inside of the SDK's package. `node build.mjs bundle DIR OUT` makes one script of the project, which names
/// the versions of all that is not in it; `node build.mjs component BUNDLE OUT` makes the component.
const SCRIPT: &str = "build.mjs";

/// Compiles the package in `dir`.
///
/// # Errors
/// Without Node.js or the SDK, or when they refuse the project.
pub fn compile(dir: &Path) -> Result<Compiled, BuildError> {
    let node = super::on_path("node").ok_or(BuildError::NoToolchain {
        what: "Node.js",
        install: "install Node.js 20 or newer from https://nodejs.org, and have node on PATH",
    })?;
    let name = name(dir)?;
    let sdk = sdk(dir).ok_or_else(|| BuildError::NoSdk {
        dir: dir.to_path_buf(),
        sdk: "@pelton/sdk",
        install: "npm install",
    })?;
    let scratch = super::scratch()?;
    let (bundle, component) = (scratch.path().join("bundle.js"), scratch.path().join("component.wasm"));
    let script = |step: &str, from: &Path, to: &Path| {
        let status = super::run(Command::new(&node).arg(sdk.join(SCRIPT)).arg(step).arg(from).arg(to))?;
        if !status.success() {
            return Err(BuildError::Compile { name: name.clone(), tool: "node", status });
        }
        super::read(to)
    };
    let key = Key::default().and("js").and(script("bundle", dir, &bundle)?);
    let made = cache::component(key, || script("component", &bundle, &component))?;
    Ok(Compiled { name, code: Code::Component(made) })
}

/// Finds the SDK as Node.js does: in `node_modules` of the folder or of one above it.
fn sdk(dir: &Path) -> Option<PathBuf> {
    let dir = dir.canonicalize().ok()?;
    dir.ancestors().map(|folder| folder.join("node_modules/@pelton/sdk")).find(|sdk| sdk.join(SCRIPT).is_file())
}

/// `package.json`, as far as it matters here.
#[derive(Deserialize)]
struct Package {
    name: Option<String>,
}

/// The package's name without its scope.
fn name(dir: &Path) -> Result<String, BuildError> {
    let path = dir.join("package.json");
    let package: Package = serde_json::from_slice(&super::read(&path)?).map_err(|error| BuildError::BadManifest {
        manifest: path,
        tool: "node",
        message: error.to_string(),
    })?;
    let last =
        package.name.as_deref().and_then(|name| name.rsplit('/').find(|part| !part.is_empty()).map(str::to_owned));
    Ok(last.unwrap_or_else(|| super::folder_name(dir)))
}
