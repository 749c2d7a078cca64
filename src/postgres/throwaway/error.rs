//! What can go wrong with a throwaway server, and what the operator should do.

use std::io;
use std::path::PathBuf;

pub type Result<T> = std::result::Result<T, ThrowawayError>;

/// Why a throwaway server could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ThrowawayError {
    #[error("no PostgreSQL server programs found (looked in {searched})", searched = list(.searched))]
    NotInstalled { searched: Vec<PathBuf> },
    #[error("`{}` holds no `{missing}`", .folder.display())]
    Incomplete { folder: PathBuf, missing: &'static str },
    #[error("PostgreSQL {major} in `{}` is too old: {minimum} or newer is needed", .folder.display())]
    TooOld { folder: PathBuf, major: u32, minimum: u32 },
    #[error("`{}` does not say which version of PostgreSQL it is, but `{said}`", .program.display())]
    UnknownVersion { program: PathBuf, said: String },
    #[error("PostgreSQL does not run as root, and there is neither an account `postgres` nor `nobody` to run it as")]
    NoAccount,
    #[error("the account `{account}` can't reach `{}`", .path.display())]
    OutOfReach { account: String, path: PathBuf },
    #[error("`{}` is too long for a unix socket, which takes {max_bytes} bytes", .path.display())]
    PathTooLong { path: PathBuf, max_bytes: usize },
    #[error("`{}` holds other folders already, and would be removed with them", .folder.display())]
    Occupied { folder: PathBuf },
    #[error("`{}` can't be copied while its server runs", .folder.display())]
    Running { folder: PathBuf },
    #[error("initdb ended with {status}:\n{output}")]
    Initdb { status: i32, output: String },
    #[error("PostgreSQL ended with status {status} while it started:\n{log}")]
    Died { status: i32, log: String },
    #[error("PostgreSQL was not {state} within {seconds} s; the end of its log:\n{log}")]
    TooSlow { state: &'static str, seconds: u64, log: String },
    #[error("the keeper of `{}` is gone", .folder.display())]
    KeeperGone { folder: PathBuf },
    #[error("can't {act} `{}`", .path.display())]
    Io { act: &'static str, path: PathBuf, source: io::Error },
    #[error("the throwaway server on port {port} refused to {act}")]
    Sql { act: String, port: u16, source: tokio_postgres::Error },
}

impl ThrowawayError {
    /// Says what the operator should do, where there is something that he can.
    pub fn hint(&self) -> Option<String> {
        use ThrowawayError::*;
        match self {
            NotInstalled { .. } => Some(how_to_install()),
            Incomplete { .. } | UnknownVersion { .. } => Some(
                "PELTON_PG_BIN and --pg-bin name the folder that holds initdb and postgres, such as \
                 /usr/lib/postgresql/15/bin"
                    .to_owned(),
            ),
            TooOld { .. } => Some(format!("{}\nA newer one elsewhere: PELTON_PG_BIN=FOLDER", how_to_install())),
            NoAccount => Some("run as an ordinary user, or make one: useradd --system postgres".to_owned()),
            OutOfReach { path, .. } => Some(format!(
                "every folder above `{}` needs the right x for others: move it, or run as an ordinary user",
                path.display()
            )),
            PathTooLong { .. } => Some("set TMPDIR to a shorter folder, such as /tmp".to_owned()),
            Io { .. } | Initdb { .. } => Some("is the disk full, or TMPDIR not writable?".to_owned()),
            Running { .. } => Some("stop the primary, start its standby, start the primary".to_owned()),
            Occupied { .. } => Some("name a folder that is empty, or not there yet".to_owned()),
            Died { .. } | TooSlow { .. } | KeeperGone { .. } | Sql { .. } => None,
        }
    }
}

/// Says how to install a PostgreSQL server, for each system that we know of.
fn how_to_install() -> String {
    "install a PostgreSQL server, 15 or newer:
  Debian, Ubuntu  sudo apt-get install postgresql
  Fedora          sudo dnf install postgresql-server
  macOS           brew install postgresql@18
or name the folder of its initdb and postgres: PELTON_PG_BIN=FOLDER"
        .to_owned()
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
