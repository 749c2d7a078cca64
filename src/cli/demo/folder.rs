//! The demo's own folder: the manifest, the transform, the log of the sync.

use std::fs;
use std::path::{Path, PathBuf};

use super::{DemoError, Result};
use crate::postgres::throwaway::Keeper;

/// A folder that is removed when it is dropped, and, as its keeper sees to it, also when the demo is killed.
pub(super) struct Folder {
    path: PathBuf,
    keeper: Keeper,
}

impl Folder {
    pub fn make() -> Result<Folder> {
        let made = tempfile::Builder::new().prefix("pelton-demo-").tempdir();
        let made =
            made.map_err(|source| DemoError::Io { act: "make a folder in", path: std::env::temp_dir(), source })?;
        let keeper = Keeper::new(Some(made.path()), &made.path().join("log"), "TERM", None, |_| ())?;
        Ok(Folder { path: made.keep(), keeper })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|source| DemoError::Io { act: "write", path: path.clone(), source })?;
        Ok(path)
    }

    /// Lets the folder stay.
    pub fn leave(&mut self) -> Result<()> {
        Ok(self.keeper.leave()?)
    }
}
