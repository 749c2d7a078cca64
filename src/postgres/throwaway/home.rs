//! The folder that a server lives in: private, owned by whoever runs it, under a path that leaves room for a socket's name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::error::{Result, ThrowawayError};

/// The shortest limit of a unix socket's path, macOS's, without its closing zero.
const SOCKET_PATH_MAX_BYTES: usize = 103;

/// A server's folder before it has a keeper; removed when it is dropped.
pub(super) struct Home {
    pub folder: PathBuf,
    /// Who must run the server.
    pub account: Option<Account>,
}

impl Home {
    /// Takes the folder `chosen`, made if it is absent; by default makes one for temporary files.
    ///
    /// macOS's temporary folders are long, and root's may be closed to the server's account. Then `/tmp` takes their place.
    pub fn make(chosen: Option<PathBuf>) -> Result<Home> {
        if let Some(folder) = chosen {
            let io = |source| ThrowawayError::Io { act: "make", path: folder.clone(), source };
            fs::create_dir_all(&folder).map_err(io)?;
            // It will be removed with all that is in it, so somebody else's folder must not be taken for ours.
            let mut entries = fs::read_dir(&folder).map_err(io)?.flatten();
            if entries.any(|entry| entry.path().is_dir()) {
                return Err(ThrowawayError::Occupied { folder });
            }
            return Home::of(fs::canonicalize(&folder).map_err(io)?);
        }
        Home::under(&std::env::temp_dir()).or_else(|error| match error {
            ThrowawayError::PathTooLong { .. } | ThrowawayError::OutOfReach { .. } => Home::under(Path::new("/tmp")),
            error => Err(error),
        })
    }

    fn under(parent: &Path) -> Result<Home> {
        let made = tempfile::Builder::new().prefix("pelton-pg-").tempdir_in(parent);
        let io = |source| ThrowawayError::Io { act: "make a folder in", path: parent.to_owned(), source };
        Home::of(made.map_err(io)?.keep())
    }

    fn of(folder: PathBuf) -> Result<Home> {
        let mut home = Home { folder, account: None };
        let folder = &home.folder;
        let io = |source| ThrowawayError::Io { act: "make private", path: folder.clone(), source };
        fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).map_err(io)?;
        if folder.join(".s.PGSQL.65535").as_os_str().len() > SOCKET_PATH_MAX_BYTES {
            return Err(ThrowawayError::PathTooLong { path: folder.clone(), max_bytes: SOCKET_PATH_MAX_BYTES });
        }
        home.account = Account::for_folder(folder)?;
        if let Some(account) = &home.account {
            account.own(folder)?;
            account.must_reach(folder)?;
        }
        Ok(home)
    }

    /// Hands the folder over to its keeper.
    pub fn keep(mut self) -> (PathBuf, Option<Account>) {
        (std::mem::take(&mut self.folder), self.account.take())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.folder.as_os_str().is_empty() {
            fs::remove_dir_all(&self.folder).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_path_that_no_socket_fits_in_and_removes_it() {
        let parent = tempfile::tempdir().unwrap();
        let long = parent.path().join("x".repeat(100));
        assert!(matches!(Home::make(Some(long.clone())), Err(ThrowawayError::PathTooLong { .. })));
        assert!(!long.exists());
    }

    #[test]
    fn leaves_a_folder_alone_that_holds_folders() {
        let taken = tempfile::tempdir().unwrap();
        fs::create_dir(taken.path().join("data")).unwrap();
        assert!(matches!(Home::make(Some(taken.path().to_owned())), Err(ThrowawayError::Occupied { .. })));
        assert!(taken.path().join("data").exists());
    }

    #[test]
    fn is_private_and_goes_unless_it_is_kept() {
        let home = Home::make(None).unwrap();
        let folder = home.folder.clone();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        drop(home);
        assert!(!folder.exists());
        let (folder, _) = Home::make(None).unwrap().keep();
        assert!(folder.exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
