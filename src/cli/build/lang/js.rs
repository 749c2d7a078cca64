//! JavaScript and TypeScript: the SDK's own script bundles the project and makes a component of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::{Code, Compiled};
use crate::cli::build::cache::{self, Key};
use crate::cli::build::error::BuildError;

const SDK: &str = "@pelton/sdk";

/// The script, inside of the SDK's package. `node build.mjs bundle DIR OUT` makes one script of the project, which names
/// the versions of all that is not in it; `node build.mjs component BUNDLE OUT` makes the component.
const SCRIPT: &str = "build.mjs";

/// What else of the SDK goes into a component: who calls the tool, and the contract.
const MAKES_IT: [&str; 2] = ["tools/component.mjs", "wit/transform.wit"];

/// Compiles the package in `dir`.
///
/// # Errors
/// Without Node.js or the SDK, or when they refuse the project.
pub fn compile(dir: &Path) -> Result<Compiled, BuildError> {
    let node = super::on_path("node").ok_or(BuildError::NoToolchain {
        what: "Node.js",
        install: "install Node.js 20 or newer from https://nodejs.org, and have node on PATH",
    })?;
    let package = Package::read(dir)?;
    let name = package.short_name().unwrap_or_else(|| super::folder_name(dir));
    let sdk = sdk(dir).or_else(|| package.linked_sdk(dir)).ok_or_else(|| BuildError::NoSdk {
        dir: dir.to_path_buf(),
        sdk: SDK,
        install: if package.wanted_sdk().is_some() { "npm install" } else { "npm install @pelton/sdk" },
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
    let mut key = Key::default().and("js").and(script("bundle", dir, &bundle)?);
    for part in MAKES_IT {
        key = key.and(super::read(&sdk.join(part))?);
    }
    let made = cache::component(key, || script("component", &bundle, &component))?;
    Ok(Compiled { name, code: Code::Component(made) })
}

/// Finds the SDK as Node.js does: in `node_modules` of the folder or of one above it.
fn sdk(dir: &Path) -> Option<PathBuf> {
    let dir = dir.canonicalize().ok()?;
    dir.ancestors().map(|folder| folder.join("node_modules").join(SDK)).find(|sdk| sdk.join(SCRIPT).is_file())
}

/// `package.json`, as far as it matters here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Package {
    name: Option<String>,
    dependencies: BTreeMap<String, String>,
    dev_dependencies: BTreeMap<String, String>,
}

impl Package {
    fn read(dir: &Path) -> Result<Package, BuildError> {
        let path = dir.join("package.json");
        serde_json::from_slice(&super::read(&path)?).map_err(|error| BuildError::BadManifest {
            manifest: path,
            tool: "node",
            message: error.to_string(),
        })
    }

    /// The name without its scope.
    fn short_name(&self) -> Option<String> {
        self.name.as_deref()?.rsplit('/').find(|part| !part.is_empty()).map(str::to_owned)
    }

    /// What is asked for as the SDK: a version, or a folder.
    fn wanted_sdk(&self) -> Option<&str> {
        self.dependencies.get(SDK).or_else(|| self.dev_dependencies.get(SDK)).map(String::as_str)
    }

    /// Returns the folder that is named as the SDK, `file:../sdk`, for a project in which npm has not run; the script
    /// then puts it where modules look for it.
    fn linked_sdk(&self, dir: &Path) -> Option<PathBuf> {
        let folder = dir.join(self.wanted_sdk()?.strip_prefix("file:")?);
        folder.join(SCRIPT).is_file().then_some(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project of nothing but this package.json.
    fn error_of(manifest: &str) -> BuildError {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("package.json"), manifest).unwrap();
        compile(folder.path()).unwrap_err()
    }

    #[test]
    fn a_project_without_the_sdk_is_told_how_to_get_it() {
        let listed = error_of(r#"{"name": "shop", "devDependencies": {"@pelton/sdk": "0.1.0"}}"#);
        assert!(listed.to_string().ends_with("has no @pelton/sdk, with which its component is made"), "{listed}");
        assert!(listed.hint().unwrap().ends_with(": npm install"), "{:?}", listed.hint());
        let unlisted = error_of(r#"{"name": "shop"}"#);
        assert!(unlisted.hint().unwrap().ends_with(": npm install @pelton/sdk"), "{:?}", unlisted.hint());
    }

    #[test]
    fn an_sdk_that_is_named_by_its_folder_needs_no_npm() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("sdk")).unwrap();
        let project = folder.path().join("shop");
        let dev_dependencies = BTreeMap::from([(SDK.to_owned(), "file:../sdk".to_owned())]);
        let package = Package { dev_dependencies, ..Package::default() };
        assert_eq!(package.linked_sdk(&project), None, "it is no SDK");
        std::fs::create_dir(&project).unwrap();
        std::fs::write(folder.path().join("sdk").join(SCRIPT), "").unwrap();
        assert_eq!(package.linked_sdk(&project), Some(project.join("../sdk")));
    }

    #[test]
    fn a_broken_package_json_is_named_with_its_line() {
        let error = error_of("{\n  \"name\": shop\n}").to_string();
        assert!(error.contains("package.json:\n") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn the_components_name_is_the_packages_without_its_scope() {
        let name = |name: &str| Package { name: Some(name.to_owned()), ..Package::default() }.short_name();
        assert_eq!(name("@shop/orders").as_deref(), Some("orders"));
        assert_eq!(name("orders").as_deref(), Some("orders"));
        assert_eq!(name(""), None);
    }
}
