//! Who runs the server: we ourselves, or an unprivileged account when we are root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::error::{Result, ThrowawayError};

/// An account of `/etc/passwd` that root hands the server over to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// Returns the account that must run a server in `folder`, which we have just made: `None` unless we are root.
    ///
    /// Whoever makes a folder owns it, so its owner tells who we are.
    pub(super) fn for_folder(folder: &Path) -> Result<Option<Account>> {
        let io = |source| ThrowawayError::Io { act: "look at", path: folder.to_owned(), source };
        if fs::metadata(folder).map_err(io)?.uid() != 0 {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "_postgres", "nobody"]
            .iter()
            .find_map(|name| find(&passwd, name))
            .map(Some)
            .ok_or(ThrowawayError::NoAccount)
    }

    /// Hands `path` over to this account.
    pub(super) fn own(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(|source| ThrowawayError::Io {
            act: "hand over",
            path: path.to_owned(),
            source,
        })
    }

    /// Makes `command` run as this account. The standard library clears the supplementary groups with it.
    pub(super) fn run(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Fails unless [`Account::reaches`] holds.
    pub(super) fn must_reach(&self, path: &Path) -> Result<()> {
        if self.reaches(path) {
            return Ok(());
        }
        Err(ThrowawayError::OutOfReach { account: self.name.clone(), path: path.to_owned() })
    }

    /// Checks that everyone may pass through the folders above `path` (and through `path`, if it is a folder).
    fn reaches(&self, path: &Path) -> bool {
        path.ancestors().all(|part| match fs::metadata(part) {
            Ok(found) => {
                let mode = found.permissions().mode();
                let everyone = mode & 0o001 != 0;
                everyone || (found.uid() == self.uid && mode & 0o100 != 0)
            }
            Err(_) => false,
        })
    }
}

/// Finds an account by its name; root never counts as one.
fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse::<i64>().ok()?;
        let gid = fields.next()?.parse::<i64>().ok()?;
        // macOS prints nobody's as -2.
        (uid != 0).then_some(Account { name: name.to_owned(), uid: uid as u32, gid: gid as u32 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                          nobody:*:-2:-2:Unprivileged User:/var/empty:/usr/bin/false\n\
                          toor:x:0:0::/root:/bin/sh\n\
                          postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n\
                          broken:x\n";

    #[test]
    fn finds_accounts_by_name() {
        let found = |name| find(PASSWD, name).map(|account| (account.uid, account.gid));
        assert_eq!(found("postgres"), Some((101, 104)));
        assert_eq!(found("nobody"), Some((u32::MAX - 1, u32::MAX - 1)));
        assert_eq!(found("broken"), None);
        assert_eq!(found("absent"), None);
    }

    #[test]
    fn never_takes_root_for_unprivileged() {
        assert_eq!(find(PASSWD, "toor"), None);
    }

    #[test]
    fn a_private_folder_is_out_of_reach() {
        let stranger = Account { name: "stranger".to_owned(), uid: u32::MAX - 7, gid: u32::MAX - 7 };
        let open = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir_in("/tmp").unwrap();
        assert!(stranger.reaches(open.path()));
        fs::set_permissions(open.path(), PermissionsExt::from_mode(0o700)).unwrap();
        assert!(!stranger.reaches(open.path()));
        assert!(!stranger.reaches(&open.path().join("absent")));
    }
}
