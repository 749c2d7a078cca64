//! Go: the module becomes a reactor for WASI preview 1.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Code, Compiled};
use crate::cli::build::error::BuildError;

/// Compiles the module in `dir`.
///
/// # Errors
/// Without a Go, or when it refuses the module.
pub fn compile(dir: &Path) -> Result<Compiled, BuildError> {
    let go = find()?;
    let name = name(dir)?;
    let scratch = super::scratch()?;
    let module = scratch.path().join("module.wasm");
    let status = super::run(
        Command::new(&go)
            .args(["build", "-buildmode=c-shared", "-trimpath", "-o"])
            .arg(&module)
            .arg(".")
            .current_dir(dir)
            .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local")]),
    )?;
    if !status.success() {
        return Err(BuildError::Compile { name, tool: "go", status });
    }
    Ok(Compiled { name, code: Code::ModuleOf("transformer", super::read(&module)?) })
}

/// Finds Go on `PATH`, or where `scripts/toolchain-go.sh` puts it.
fn find() -> Result<PathBuf, BuildError> {
    let fetched = || super::fetched("go").map(|folder| folder.join("bin/go")).filter(|file| file.is_file());
    super::on_path("go").or_else(fetched).ok_or(BuildError::NoToolchain {
        what: "Go",
        install: "install Go 1.24 or newer from https://go.dev/dl, and have go on PATH",
    })
}

/// The last part of the module's path.
fn name(dir: &Path) -> Result<String, BuildError> {
    let text = super::read(&dir.join("go.mod"))?;
    let text = String::from_utf8_lossy(&text);
    let path = text.lines().find_map(|line| line.trim().strip_prefix("module "));
    let last = path.and_then(|path| path.trim().trim_matches('"').rsplit('/').find(|part| !part.is_empty()));
    Ok(last.map_or_else(|| super::folder_name(dir), str::to_owned))
}
