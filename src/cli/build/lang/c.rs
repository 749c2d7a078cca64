//! C: clang compiles the folder's sources and the SDK into a core module.
//!
//! The SDK is `pelton.h` and `pelton.c`: in the folder itself, or where `compile_flags.txt` says. That file holds one flag
//! for the compiler a line, paths relative to the folder, and is what editors read too. Tests are in folders below this
//! one: every source in it belongs to the component.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Code, Compiled};
use crate::cli::build::error::BuildError;

/// The SDK's source, which lies beside its header.
const SDK: &str = "pelton.c";

/// What every transform is compiled with. A reactor has no `main`; without it each call would run the C library's exit.
const FLAGS: [&str; 8] = [
    "--target=wasm32-wasi",
    "-Wno-deprecated", // newer compilers call the target wasm32-wasip1
    "-mexec-model=reactor",
    "-std=gnu11",
    "-O3",
    "-Wall",
    "-Wextra",
    "-Wl,--strip-debug", // names stay, for traps
];

/// Compiles the sources in `dir`.
///
/// # Errors
/// Without a clang that knows WebAssembly or without the SDK, or when the compiler refuses a source.
pub fn compile(dir: &Path) -> Result<Compiled, BuildError> {
    let clang = find()?;
    let flags = flags(dir)?;
    let mut sources = sources(dir);
    let name = match &sources.iter().filter(|source| !source.ends_with(SDK)).collect::<Vec<_>>()[..] {
        [one] => one.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
        _ => None,
    };
    let name = name.unwrap_or_else(|| super::folder_name(dir));
    if !sources.iter().any(|source| source.ends_with(SDK)) {
        sources.push(sdk(dir, &flags).ok_or_else(|| BuildError::NoSdk {
            dir: dir.to_path_buf(),
            sdk: "pelton.h and pelton.c",
            install: "write -I and the path of guest-sdk/c of Pelton's repository into compile_flags.txt, or copy what is \
                      in guest-sdk/c into the folder",
        })?);
    }
    let scratch = super::scratch()?;
    let module = scratch.path().join("module.wasm");
    let status = super::run(
        Command::new(&clang)
            .args(FLAGS)
            .args(&flags)
            .arg("-o")
            .arg(&module)
            .args(named(&sources, dir))
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

/// The sources as they are called from inside of the folder, for `__FILE__` and the compiler's messages.
fn named<'a>(sources: &'a [PathBuf], dir: &Path) -> Vec<&'a Path> {
    sources.iter().map(|source| source.strip_prefix(dir).unwrap_or(source)).collect()
}

/// Reads `compile_flags.txt`, if there is one.
fn flags(dir: &Path) -> Result<Vec<String>, BuildError> {
    let path = dir.join("compile_flags.txt");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = super::read(&path)?;
    let lines = String::from_utf8_lossy(&text);
    let flags = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(flags.map(str::to_owned).collect())
}

/// Finds the SDK's source beside its header, as the compiler finds that. The path is one from inside of the folder.
fn sdk(dir: &Path, flags: &[String]) -> Option<PathBuf> {
    let mut folders = Vec::new();
    for (i, flag) in flags.iter().enumerate() {
        match flag.strip_prefix("-I") {
            Some("") => folders.extend(flags.get(i + 1).map(String::as_str)),
            Some(folder) => folders.push(folder.trim()),
            None => {}
        }
    }
    let mut sources = folders.into_iter().map(|folder| Path::new(folder).join(SDK));
    sources.find(|source| dir.join(source).is_file())
}

/// Finds the WASI SDK's clang, one on `PATH` that has a C library for WebAssembly, or the one that
/// `scripts/toolchain-c.sh` puts together.
fn find() -> Result<PathBuf, BuildError> {
    let sdk = std::env::var_os("WASI_SDK_PATH").filter(|path| !path.is_empty());
    if let Some(clang) = sdk.map(|sdk| PathBuf::from(sdk).join("bin/clang")) {
        let clang = std::path::absolute(&clang).unwrap_or(clang);
        // Named and not there: that is a mistake, and no reason to take another one in silence.
        return if clang.is_file() { Ok(clang) } else { Err(missing()) };
    }
    let own = super::on_path("clang").filter(|clang| has_libc(clang));
    let fetched = || super::fetched("c").map(|folder| folder.join("clang")).filter(|clang| clang.is_file());
    // It was made because what is on PATH would not do.
    fetched().or(own).ok_or_else(missing)
}

/// Asks clang for its C library for WebAssembly: it answers with a path if it has one, else with what was asked for.
fn has_libc(clang: &Path) -> bool {
    let asked = Command::new(clang)
        .args(["--target=wasm32-wasi", "-Wno-deprecated", "-print-file-name=libc.a"])
        .stdin(Stdio::null())
        .output();
    let answer = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    Path::new(&answer).is_absolute()
}

fn missing() -> BuildError {
    BuildError::NoToolchain {
        what: "C compiler for WebAssembly",
        install: "unpack the WASI SDK (https://github.com/WebAssembly/wasi-sdk/releases) and set WASI_SDK_PATH to its folder\n\
                  (or, on Debian and Ubuntu, scripts/toolchain-c.sh of Pelton's repository, which takes it from their packages)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_lines_and_the_sdk_is_found_along_them() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        assert_eq!(flags(dir).unwrap(), Vec::<String>::new());
        std::fs::write(dir.join("compile_flags.txt"), "-DFAST\n\n# the SDK\n-Isdk\n-I\nelsewhere\n").unwrap();
        let flags = flags(dir).unwrap();
        assert_eq!(flags, ["-DFAST", "-Isdk", "-I", "elsewhere"]);
        assert_eq!(sdk(dir, &flags), None);
        std::fs::create_dir(dir.join("elsewhere")).unwrap();
        std::fs::write(dir.join("elsewhere/pelton.c"), "").unwrap();
        assert_eq!(sdk(dir, &flags), Some("elsewhere/pelton.c".into()));
    }
}
