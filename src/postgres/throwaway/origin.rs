//! The server that another one is a standby of.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{Result, ThrowawayError};
use super::plant::Plant;
use super::server::Server;

/// Where a standby gets its data and its write-ahead log from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    data: PathBuf,
    conninfo: String,
}

impl Origin {
    /// Over its unix socket, where whoever runs both servers is trusted.
    pub fn of(primary: &Server) -> Origin {
        let sockets = primary.folder().display();
        Origin {
            data: primary.folder().join("data"),
            conninfo: format!("host={sockets} port={} user=postgres", primary.port()),
        }
    }

    /// Copies the data of the primary, which is stopped, but for its slots: they are its own.
    pub fn copy(&self, plant: &Plant) -> Result<()> {
        if self.data.join("postmaster.pid").exists() {
            return Err(ThrowawayError::Running { folder: self.data.clone() });
        }
        let data = plant.folder.join("data");
        copy_folder(&self.data, &data, plant)?;
        let slots = data.join("pg_replslot");
        let io = |act, path: &Path, source| ThrowawayError::Io { act, path: path.to_owned(), source };
        for slot in fs::read_dir(&slots).map_err(|error| io("read", &slots, error))?.flatten() {
            fs::remove_dir_all(slot.path()).map_err(|error| io("remove", &slot.path(), error))?;
        }
        plant.write("data/standby.signal", "").map(drop)
    }

    /// Returns `primary_conninfo`.
    pub fn conninfo(&self) -> &str {
        &self.conninfo
    }
}

/// Copies folders and files, with their permissions, for the account of the new server.
fn copy_folder(from: &Path, to: &Path, plant: &Plant) -> Result<()> {
    let io = |path: &Path, source| ThrowawayError::Io { act: "copy", path: path.to_owned(), source };
    let own = |path: &Path| plant.account.as_ref().map_or(Ok(()), |account| account.own(path));
    fs::create_dir(to).map_err(|error| io(to, error))?;
    for entry in fs::read_dir(from).map_err(|error| io(from, error))? {
        let entry = entry.map_err(|error| io(from, error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target, plant)?;
        } else {
            fs::copy(&source, &target).map_err(|error| io(&source, error))?;
            own(&target)?;
        }
    }
    let permissions = fs::metadata(from).map_err(|error| io(from, error))?.permissions();
    fs::set_permissions(to, permissions).map_err(|error| io(to, error))?;
    own(to)
}
