//! C: clang compiles the folder's sources into a core module.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Code, Compiled};
use crate::cli::build::error::BuildError;

/// Compiles the sources in `dir`.
///
/// # Errors
/// Without a clang that knows WebAssembly, or when it refuses a source.
pub fn compile(dir: &Path) -> Result<Compiled, BuildError> {
    let clang = find()?;
    let sources = sources(dir);
    let name = match &sources[..] {
        [one] => one.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
        _ => None,
    };
    let name = name.unwrap_or_else(|| super::folder_name(dir));
    let scratch = super::scratch()?;
    let module = scratch.path().join("module.wasm");
    let status = super::run(
        Command::new(&clang)
            .args(["-mexec-model=reactor", "-O3", "-g", "-Wl,--strip-debug", "-o"])
            .arg(&module)
            .args(&sources)
            .current_dir(dir),
    )?;
    if !status.success() {
        return Err(BuildError::Compile { name, tool: "clang", status });
    }
    Ok(Compiled { name, code: Code::ModuleOf("transformer", super::read(&module)?) })
}

/// The C sources of a folder, in the order of their names.
pub fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut sources: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "c")).collect();
    sources.sort();
    sources
}

/// Finds the WASI SDK's clang, or the one that `scripts/toolchain-c.sh` puts together.
fn find() -> Result<PathBuf, BuildError> {
    let sdk = std::env::var_os("WASI_SDK_PATH").map(|sdk| PathBuf::from(sdk).join("bin/clang"));
    let fetched = super::fetched("c").map(|folder| folder.join("clang"));
    sdk.into_iter().chain(fetched).find(|file| file.is_file()).ok_or(BuildError::NoToolchain {
        what: "a C compiler for WebAssembly",
        install: "unpack the WASI SDK (https://github.com/WebAssembly/wasi-sdk) and set WASI_SDK_PATH to its folder",
    })
}
