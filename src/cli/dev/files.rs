//! The files of a project, and whether their contents are other than they were.
//!
//! They are looked at now and then, as `pelton sync --watch` does: no system's notices of changes are relied on, which
//! containers and mounted folders do not have. A file is read again only where its time or size changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Folders that hold what tools make or fetch; those whose names begin with a dot are left out, too.
const LEFT_OUT: [&str; 3] = ["target", "node_modules", "__pycache__"];
/// A project has fewer files; beyond that many, others are not looked at.
const FILES_MAX: usize = 10_000;

/// What a project's files hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(HashMap<PathBuf, [u8; 32]>);

/// Looks at the files of a project.
pub struct Files {
    folder: PathBuf,
    known: HashMap<PathBuf, (SystemTime, u64, [u8; 32])>,
}

impl Files {
    pub fn of(folder: &Path) -> Files {
        Files { folder: folder.to_path_buf(), known: HashMap::new() }
    }

    /// Returns what the files hold now. One that can't be read is as good as gone.
    pub fn look(&mut self) -> Contents {
        let mut paths = Vec::new();
        collect(&self.folder, true, &mut paths);
        let mut known = HashMap::with_capacity(paths.len());
        for path in paths {
            let Ok(data) = std::fs::metadata(&path) else { continue };
            let stamp = (data.modified().unwrap_or(SystemTime::UNIX_EPOCH), data.len());
            let digest = match self.known.get(&path) {
                Some((time, length, digest)) if (*time, *length) == stamp => *digest,
                _ => match std::fs::read(&path) {
                    Ok(bytes) => Sha256::digest(bytes).into(),
                    Err(_) => continue,
                },
            };
            known.insert(path, (stamp.0, stamp.1, digest));
        }
        let contents = known.iter().map(|(path, (_, _, digest))| (path.clone(), *digest)).collect();
        self.known = known;
        Contents(contents)
    }
}

impl Contents {
    /// Returns true where a file holds what it held then.
    pub fn has_same(&self, then: &Contents, path: &Path) -> bool {
        self.0.get(path).is_some_and(|digest| then.0.get(path) == Some(digest))
    }
}

/// Collects the files below a folder; `of_project`: in which the component is written.
fn collect(folder: &Path, of_project: bool, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        // Symbolic links are not followed: they may lead round in circles.
        let Ok(kind) = entry.file_type() else { continue };
        if name.starts_with('.') || files.len() >= FILES_MAX {
            continue;
        }
        if kind.is_dir() && !LEFT_OUT.contains(&&*name) {
            collect(&path, false, files);
        } else if kind.is_file() && !(of_project && name.ends_with(".wasm")) {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_authors_write_is_noticed_and_what_tools_make_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("src/lib.rs", "1");
        let mut files = Files::of(folder.path());
        let first = files.look();
        for made in ["target/x", "node_modules/m/x.js", ".venv/x", "src/__pycache__/x", "shop.wasm", ".x.swp"] {
            put(made, "made");
        }
        assert_eq!(files.look(), first);
        // Saved without a change.
        std::thread::sleep(std::time::Duration::from_millis(10));
        put("src/lib.rs", "1");
        assert_eq!(files.look(), first);
        put("src/lib.rs", "22");
        let second = files.look();
        assert_ne!(second, first);
        put("tests/a.yaml", "");
        let third = files.look();
        assert_ne!(third, second);
        assert!(third.has_same(&second, &folder.path().join("src/lib.rs")));
        assert!(!third.has_same(&second, &folder.path().join("tests/a.yaml")));
        std::fs::remove_file(folder.path().join("tests/a.yaml")).unwrap();
        assert_eq!(files.look(), second);
    }
}
