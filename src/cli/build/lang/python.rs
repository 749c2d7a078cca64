//! Python: the SDK's own module makes a component of the project.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::{Code, Compiled};
use crate::cli::build::cache::{self, Key};
use crate::cli::build::error::BuildError;

/// The SDK's module: `DIR --out FILE` makes the component; `DIR --ingredients` says what goes into it, one line each, the
/// project's name first.
const MODULE: [&str; 2] = ["-m", "pelton_sdk.componentize"];

/// Compiles the project in `dir`.
///
/// # Errors
/// Without a Python that has the SDK, or when it refuses the project.
pub fn compile(dir: &Path) -> Result<Compiled, BuildError> {
    let python = find(dir)?;
    let (name, key) = ingredients(&python, dir)?;
    let component = cache::component(key, || {
        let scratch = super::scratch()?;
        let component = scratch.path().join("component.wasm");
        let status = super::run(with_its_sdk(&python, dir).args(MODULE).arg(dir).arg("--out").arg(&component))?;
        if !status.success() {
            return Err(failed(&name, status));
        }
        super::read(&component)
    })?;
    Ok(Compiled { name, code: Code::Component(component) })
}

fn failed(name: &str, status: ExitStatus) -> BuildError {
    BuildError::Compile { name: name.to_owned(), tool: "python", status }
}

/// The project's name, and all that its component is made of: the files of the project and of the SDK, and the versions
/// of tools and packages.
fn ingredients(python: &Path, dir: &Path) -> Result<(String, Key), BuildError> {
    let mut command = with_its_sdk(python, dir);
    command.args(MODULE).arg(dir).arg("--ingredients").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|source| super::start(command.get_program(), source))?;
    if !output.status.success() {
        return Err(failed(&super::folder_name(dir), output.status));
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let key = lines.lines().try_fold(Key::default().and("python"), |key, line| {
        let (key, file) = (key.and(line), Path::new(line));
        if file.is_file() { Ok(key.and(super::read(file)?)) } else { Ok(key) }
    });
    let name = lines.lines().next().map_or_else(|| super::folder_name(dir), str::to_owned);
    Ok((name, key?))
}

/// Finds the Python that has the SDK and componentize-py: the project's, the one on `PATH`, or the one that
/// `scripts/toolchain-python.sh` puts together.
fn find(dir: &Path) -> Result<PathBuf, BuildError> {
    let own = Some(dir.join(".venv/bin/python")).filter(|file| file.is_file());
    let fetched = super::fetched("python").map(|folder| folder.join("bin/python")).filter(|file| file.is_file());
    let candidates: Vec<_> = own.into_iter().chain(super::on_path("python3")).chain(fetched).collect();
    if candidates.is_empty() {
        return Err(BuildError::NoToolchain {
            what: "Python",
            install: "install Python 3.11 or newer, and have python3 on PATH",
        });
    }
    let (sdk, install) = match dir.join("pelton-sdk/src").is_dir() {
        true => ("componentize-py", "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.0"),
        false => {
            ("pelton_sdk with componentize-py", "python3 -m venv .venv && .venv/bin/pip install 'pelton-sdk[build]'")
        }
    };
    let found = candidates.into_iter().find(|python| has_the_sdk(python, dir));
    found.ok_or_else(|| BuildError::NoSdk { dir: dir.to_path_buf(), sdk, install })
}

/// A copy of the SDK in the project itself, as `pelton new` puts it there, comes before any other.
fn with_its_sdk(python: &Path, dir: &Path) -> Command {
    let mut command = Command::new(python);
    let own = dir.join("pelton-sdk/src");
    if let Ok(own) = own.canonicalize() {
        let others = std::env::var_os("PYTHONPATH").unwrap_or_default();
        let all = std::iter::once(own).chain(std::env::split_paths(&others));
        if let Ok(path) = std::env::join_paths(all) {
            command.env("PYTHONPATH", path);
        }
    }
    command
}

fn has_the_sdk(python: &Path, dir: &Path) -> bool {
    let mut command = with_its_sdk(python, dir);
    command.args(["-c", "import pelton_sdk.componentize, componentize_py"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
