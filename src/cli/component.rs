//! A transform as the command line names it: the file of a component, or the folder of a project, which is built.

use std::path::Path;

use super::build::build_component;
use super::report::Failure;
use crate::wasm::{Component, Host, Limits};

/// Loads the component of that file, or builds the project of that folder and loads what came of it. Blocks meanwhile.
///
/// # Errors
/// The file can't be read or is no component; the project does not build.
pub fn load(host: &Host, path: &Path) -> Result<Component, Failure> {
    let built = match path.is_dir() {
        true => Some(build_component(path, None).map_err(|error| Failure::of(&error, error.hint()))?.path),
        false => None,
    };
    let path = built.as_deref().unwrap_or(path);
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        let hint = "name the .wasm file that `pelton build` wrote, or the folder of a project".to_owned();
        Failure::new(format!("the component {name} can't be read: {error}"), Some(hint))
    })?;
    host.load(&bytes, &name, Limits::default()).map_err(|error| Failure::of(&error, error.hint()))
}
