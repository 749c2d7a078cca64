//! The SDKs, as they belong to this Pelton.
//!
//! A new project gets a copy of its language's, so that it builds at once, on any machine, and goes on building when
//! another Pelton comes. `build.rs` collects the files.

use std::io;
use std::path::Path;

use crate::cli::generate::Lang;

/// A file of an SDK: its path inside of the SDK's folder, and its contents.
type File = (&'static str, &'static [u8]);

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The folder of a project that holds the SDK.
pub const FOLDER: &str = "pelton-sdk";

fn files(lang: Lang) -> &'static [File] {
    match lang {
        Lang::Rust => RUST,
        Lang::Ts | Lang::Js => JS,
        Lang::Py => PYTHON,
        Lang::Go => GO,
        Lang::C => C,
    }
}

/// Writes the SDK into a project, in place of what is there of it.
///
/// # Errors
/// What the file system says.
pub fn write(lang: Lang, project: &Path) -> io::Result<()> {
    let folder = project.join(FOLDER);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    for (path, contents) in files(lang) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("it is inside of the folder"))?;
        std::fs::write(path, contents)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_its_sdk() {
        let has = |lang, file| files(lang).iter().any(|(path, contents)| *path == file && !contents.is_empty());
        assert!(has(Lang::Rust, "Cargo.toml") && has(Lang::Rust, "src/lib.rs") && has(Lang::Rust, "derive/src/lib.rs"));
        assert!(has(Lang::Ts, "package.json") && has(Lang::Js, "src/index.js"));
        assert!(has(Lang::Py, "pyproject.toml") && has(Lang::Py, "src/pelton_sdk/__init__.py"));
        assert!(has(Lang::Go, "go.mod") && has(Lang::Go, "transform.go"));
        assert!(has(Lang::C, "pelton.h") && has(Lang::C, "pelton.c"));
        for lang in Lang::ALL {
            let stray = |path: &str| {
                ["node_modules", "target", "__pycache__", "tests/", "test/"].iter().any(|part| path.contains(part))
            };
            assert_eq!(files(lang).iter().find(|(path, _)| stray(path)).map(|(path, _)| *path), None);
        }
    }
}
