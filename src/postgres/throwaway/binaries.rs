//! Finding the programs of a PostgreSQL server on this machine.

use std::cmp::Reverse;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Result, ThrowawayError};

/// The oldest major version that Pelton reads from.
pub const MIN_MAJOR: u32 = 14;

/// Folders of versions, `{v}` standing for the version: Debian and Ubuntu, Fedora's PGDG, Homebrew on both of Apple's chips.
const KNOWN: [&str; 5] = [
    "/usr/lib/postgresql/{v}/bin",
    "/usr/pgsql-{v}/bin",
    "/opt/homebrew/opt/postgresql@{v}/bin",
    "/usr/local/opt/postgresql@{v}/bin",
    "/Applications/Postgres.app/Contents/Versions/{v}/bin",
];

/// The folder of a server's programs, and the version that they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// Finds the programs: in `chosen` if it is given, else in `PELTON_PG_BIN`, else the newest version in the folders
    /// that systems install to, `PATH` included. What is named must be right; what is searched is skipped when it isn't.
    pub fn find(chosen: Option<&Path>, min_major: u32) -> Result<Binaries> {
        let named = chosen
            .map(Path::to_owned)
            .or_else(|| env::var_os("PELTON_PG_BIN").filter(|folder| !folder.is_empty()).map(PathBuf::from));
        if let Some(folder) = named {
            return Binaries::in_folder(&folder, min_major);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        // PATH is what the user chose: its first server wins, unless it is too old.
        let on_path = env::split_paths(&path).filter(|folder| holds_server(folder)).collect::<Vec<_>>();
        let installed = KNOWN.iter().flat_map(|pattern| versions_of(pattern)).collect::<Vec<_>>();
        first_usable(on_path.into_iter().chain(newest_first(installed)), min_major)
    }

    /// Takes the programs in `folder`.
    pub fn in_folder(folder: &Path, min_major: u32) -> Result<Binaries> {
        // Debian's are reached over links on PATH; the server finds its libraries by its real place.
        let folder = fs::canonicalize(folder.join("postgres"))
            .ok()
            .and_then(|program| program.parent().map(Path::to_owned))
            .unwrap_or_else(|| folder.to_owned());
        if let Some(missing) = ["postgres", "initdb"].into_iter().find(|name| !folder.join(name).is_file()) {
            return Err(ThrowawayError::Incomplete { folder, missing });
        }
        let program = folder.join("postgres");
        let output = Command::new(&program).arg("--version").output().map_err(|source| ThrowawayError::Io {
            act: "run",
            path: program.clone(),
            source,
        })?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let Some(major) = major_of(&said) else { return Err(ThrowawayError::UnknownVersion { program, said }) };
        if major < min_major {
            return Err(ThrowawayError::TooOld { folder, major, minimum: min_major });
        }
        Ok(Binaries { folder, major })
    }

    /// Returns the folder that holds `initdb` and `postgres`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Returns the path of the program `name`.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Takes the first folder that is usable; failing that, tells why the first one of all is not.
fn first_usable(folders: impl Iterator<Item = PathBuf>, min_major: u32) -> Result<Binaries> {
    let mut first_error = None;
    for folder in folders {
        match Binaries::in_folder(&folder, min_major) {
            Ok(found) => return Ok(found),
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| {
        let known = KNOWN.iter().map(|pattern| PathBuf::from(pattern.replace("{v}", "*")));
        ThrowawayError::NotInstalled { searched: [PathBuf::from("PATH")].into_iter().chain(known).collect() }
    }))
}

fn holds_server(folder: &Path) -> bool {
    folder.join("postgres").is_file() && folder.join("initdb").is_file()
}

/// Lists the folders that match `pattern`, with their versions.
fn versions_of(pattern: &str) -> Vec<(u32, PathBuf)> {
    let (before, after) = pattern.split_once("{v}").expect("every pattern has its version");
    let (parent, prefix) = before.rsplit_once('/').expect("every pattern is absolute");
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let version = version_in(&entry.file_name(), prefix)?;
            let folder = PathBuf::from(format!("{}{after}", entry.path().display()));
            holds_server(&folder).then_some((version, folder))
        })
        .collect()
}

/// Reads the version from a folder's name: 15 from `postgresql@15`, with the prefix `postgresql@`.
fn version_in(name: &OsStr, prefix: &str) -> Option<u32> {
    name.to_str()?.strip_prefix(prefix)?.parse().ok()
}

fn newest_first(mut folders: Vec<(u32, PathBuf)>) -> impl Iterator<Item = PathBuf> {
    folders.sort_by_key(|(version, _)| Reverse(*version));
    folders.into_iter().map(|(_, folder)| folder)
}

/// Reads the major version from what `postgres --version` prints: `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major_of(said: &str) -> Option<u32> {
    let number = said.split_once("(PostgreSQL) ")?.1;
    let digits = number.find(|c: char| !c.is_ascii_digit()).map_or(number, |end| &number[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn reads_versions_as_servers_print_them() {
        for (said, major) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some(15)),
            ("postgres (PostgreSQL) 18.1", Some(18)),
            ("postgres (PostgreSQL) 19devel", Some(19)),
            ("postgres (PostgreSQL) 17beta1", Some(17)),
            ("postgres 15", None),
            ("", None),
        ] {
            assert_eq!(major_of(said), major, "{said}");
        }
    }

    #[test]
    fn reads_versions_from_the_names_of_folders() {
        assert_eq!(version_in(OsStr::new("postgresql@16"), "postgresql@"), Some(16));
        assert_eq!(version_in(OsStr::new("15"), ""), Some(15));
        assert_eq!(version_in(OsStr::new("latest"), ""), None);
        assert_eq!(version_in(OsStr::new("postgresql"), "postgresql@"), None);
    }

    #[test]
    fn takes_the_newest_of_what_is_installed() {
        let folder = |name: &str| PathBuf::from(name);
        let sorted = newest_first(vec![(9, folder("9")), (18, folder("18")), (15, folder("15"))]);
        assert_eq!(sorted.collect::<Vec<_>>(), [folder("18"), folder("15"), folder("9")]);
    }

    /// Makes a folder whose `postgres` claims to be of `version`.
    fn claims(version: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["postgres", "initdb"] {
            let program = folder.path().join(name);
            fs::write(&program, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
            fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn refuses_a_version_that_is_too_old_and_says_how_to_get_a_newer_one() {
        let old = claims("13.9");
        let error = Binaries::in_folder(old.path(), MIN_MAJOR).unwrap_err();
        assert!(matches!(error, ThrowawayError::TooOld { major: 13, minimum: 14, .. }), "{error}");
        assert!(error.hint().unwrap().contains("apt-get install postgresql"));
    }

    #[test]
    fn skips_what_is_too_old_when_it_searches() {
        let (old, new) = (claims("13.9"), claims("16.2"));
        let found = first_usable([old.path().to_owned(), new.path().to_owned()].into_iter(), MIN_MAJOR).unwrap();
        assert_eq!(found.major(), 16);
    }

    #[test]
    fn says_what_to_install_when_nothing_is_found() {
        let error = first_usable(std::iter::empty(), MIN_MAJOR).unwrap_err();
        assert!(error.to_string().contains("/usr/lib/postgresql/*/bin"), "{error}");
        assert!(error.hint().unwrap().contains("brew install"));
    }

    #[test]
    fn refuses_a_named_folder_without_a_server() {
        let empty = tempfile::tempdir().unwrap();
        let error = Binaries::in_folder(empty.path(), MIN_MAJOR).unwrap_err();
        assert!(matches!(error, ThrowawayError::Incomplete { missing: "postgres", .. }), "{error}");
    }
}
