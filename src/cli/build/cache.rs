//! Components that took long to make, kept under what they were made of.
//!
//! Cargo and Go remember what they compiled. What turns a script and its interpreter into one component does not, and
//! takes seconds, so its result is kept in the user's cache folder, under the SHA-256 of all that went into it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::wasm::HostOptions;

/// Components that are kept; the oldest goes first. One of Python's is 18 MB.
const KEPT_MAX: usize = 32;

/// The user's cache folder of Pelton, the one where compiled components are kept too.
pub fn folder() -> Option<PathBuf> {
    HostOptions::for_user().cache_dir
}

/// Names what a component is made of.
#[derive(Clone, Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds one ingredient: a bundle, a file, a tool's version.
    pub fn and(mut self, ingredient: impl AsRef<[u8]>) -> Key {
        let bytes = ingredient.as_ref();
        // With its length, so that no two lists of ingredients read alike.
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn file(self, folder: &Path) -> PathBuf {
        folder.join(hex::encode(self.0.finalize())).with_extension("wasm")
    }
}

/// Returns the component of `key`, making it if there is none yet. A cache that can't be read or written costs time and
/// nothing else.
///
/// # Errors
/// What `make` says.
pub fn component<E>(key: Key, make: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
    component_in(folder().map(|folder| folder.join("built")).as_deref(), key, make)
}

fn component_in<E>(folder: Option<&Path>, key: Key, make: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
    let Some(folder) = folder else { return make() };
    let file = key.file(folder);
    // Whole files only: they are renamed into place. After a power cut one may be empty, or full of zeroes.
    if let Ok(bytes) = std::fs::read(&file)
        && bytes.starts_with(b"\0asm")
    {
        return Ok(bytes);
    }
    let bytes = make()?;
    let kept = std::fs::create_dir_all(folder).and_then(|()| {
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut temporary, &bytes)?;
        temporary.persist(&file).map_err(|error| error.error)
    });
    match kept {
        Ok(_) => drop_oldest(folder),
        Err(error) => tracing::debug!("the component is not kept for the next build: {error}"),
    }
    Ok(bytes)
}

fn drop_oldest(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let age = |entry: std::fs::DirEntry| {
        let path = entry.path();
        let is_one = path.extension().is_some_and(|ending| ending == "wasm");
        is_one.then(|| (entry.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH), path))
    };
    let mut kept: Vec<_> = entries.filter_map(age).collect();
    kept.sort();
    for (_, oldest) in kept.iter().take(kept.len().saturating_sub(KEPT_MAX)) {
        let _ = std::fs::remove_file(oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_made_once_for_what_it_is_made_of() {
        let folder = tempfile::tempdir().unwrap();
        let mut made = 0;
        let mut build = |ingredients: &[&str]| {
            let key = ingredients.iter().fold(Key::default(), |key, ingredient| key.and(ingredient));
            let bytes = component_in::<()>(Some(folder.path()), key, || {
                made += 1;
                Ok([b"\0asm".as_slice(), &[made]].concat())
            });
            bytes.unwrap()[4..].to_vec()
        };
        assert_eq!(build(&["a", "b"]), [1]);
        assert_eq!(build(&["a", "b"]), [1]);
        assert_eq!(build(&["ab"]), [2]);
        assert_eq!(build(&["a", "c"]), [3]);
        assert_eq!(build(&["ab"]), [2]);
        // One that a power cut left empty is made anew.
        let key = || ["a", "c"].iter().fold(Key::default(), |key, ingredient| key.and(ingredient));
        std::fs::write(key().file(folder.path()), "").unwrap();
        assert_eq!(build(&["a", "c"]), [4]);
        assert_eq!(build(&["a", "c"]), [4]);
        // Nothing is kept of one that fails, and nothing is needed where there is no folder.
        let key = || Key::default().and("x");
        assert_eq!(component_in(Some(folder.path()), key(), || Err("no")), Err("no"));
        assert_eq!(component_in::<()>(Some(folder.path()), key(), || Ok(vec![9])), Ok(vec![9]));
        assert_eq!(component_in::<()>(None, key(), || Ok(vec![8])), Ok(vec![8]));
    }

    #[test]
    fn the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..KEPT_MAX + 3 {
            component_in::<()>(Some(folder.path()), Key::default().and(n.to_string()), || Ok(vec![])).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT_MAX);
    }
}
