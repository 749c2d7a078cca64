//! The Rust that can compile for WebAssembly.
//!
//! Usually that is the one on PATH, once `rustup target add` has run. Where that can't be, `scripts/wasm-target.sh`
//! leaves another one in the user's cache folder, which is used without being asked for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::build::cache;
use crate::cli::build::error::BuildError;

pub const TARGET: &str = "wasm32-unknown-unknown";

/// The environment in which cargo compiles for WebAssembly.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Toolchain {
    pub environment: Vec<(&'static str, PathBuf)>,
}

/// Finds a toolchain with the target, as cargo would see it in `dir` (which may pin another one).
///
/// # Errors
/// [`BuildError::NoTarget`] when there is none, [`BuildError::Start`] when there is no rustc at all.
pub fn find(dir: &Path) -> Result<Toolchain, BuildError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    match has_target(&rustc, dir) {
        Ok(true) => return Ok(Toolchain::default()),
        Ok(false) => {}
        // Cargo without rustc is no toolchain, but the one in the cache has its own.
        Err(source) => {
            return fallback(cached().as_deref())
                .ok_or(BuildError::Start { program: rustc.to_string_lossy().into_owned(), source });
        }
    }
    fallback(cached().as_deref()).ok_or(BuildError::NoTarget)
}

fn has_target(rustc: &OsString, dir: &Path) -> std::io::Result<bool> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).current_dir(dir).output()?;
    let sysroot = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

/// Where `scripts/wasm-target.sh` puts it.
fn cached() -> Option<PathBuf> {
    Some(cache::folder()?.join("wasm-target"))
}

fn fallback(cache: Option<&Path>) -> Option<Toolchain> {
    let (rustc, linker) = (cache?.join("rustc"), cache?.join("rust-lld"));
    let environment = vec![("RUSTC", rustc), ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)];
    environment.iter().all(|(_, file)| file.exists()).then_some(Toolchain { environment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fallback_needs_both_of_its_programs() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(fallback(None), None);
        std::fs::write(folder.path().join("rustc"), "").unwrap();
        assert_eq!(fallback(Some(folder.path())), None);
        std::fs::write(folder.path().join("rust-lld"), "").unwrap();
        let found = fallback(Some(folder.path())).unwrap();
        assert_eq!(found.environment[0], ("RUSTC", folder.path().join("rustc")));
    }
}
