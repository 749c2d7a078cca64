//! What a throwaway server is to be like: settings, authentication, certificates.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::binaries::{Binaries, MIN_MAJOR};
use super::error::{Result, ThrowawayError};
use super::origin::Origin;
use super::server::Server;

/// How clients prove over TCP that they are who they say. Over the unix socket, in a folder that only the server's account
/// may enter, everyone is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Everyone on this machine is trusted.
    #[default]
    Trust,
    /// The superuser `postgres` has this password, kept and checked as SCRAM-SHA-256.
    Scram(String),
    /// The superuser `postgres` has this password, kept and checked as MD5.
    Md5(String),
}

impl Authentication {
    /// Makes a password that nobody can guess, for a machine that others use too.
    pub fn random() -> Result<Authentication> {
        let path = Path::new("/dev/urandom");
        let mut bytes = [0; 16];
        fs::File::open(path)
            .and_then(|mut source| source.read_exact(&mut bytes))
            .map_err(|source| ThrowawayError::Io { act: "read", path: path.to_owned(), source })?;
        Ok(Authentication::Scram(hex::encode(bytes)))
    }

    pub(super) fn password(&self) -> Option<&str> {
        match self {
            Authentication::Trust => None,
            Authentication::Scram(password) | Authentication::Md5(password) => Some(password),
        }
    }

    /// Postgres's name of the method, in `pg_hba.conf` and in `password_encryption`.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Authentication::Trust => "trust",
            Authentication::Scram(_) => "scram-sha-256",
            Authentication::Md5(_) => "md5",
        }
    }
}

/// A server's certificate and key, and the authority that it holds its clients' certificates against, each as PEM.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub certificate: String,
    pub key: String,
    pub client_authority: Option<String>,
}

/// Says what a server is to be like, and starts it.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) binaries: Option<PathBuf>,
    pub(super) min_major: u32,
    pub(super) folder: Option<PathBuf>,
    pub(super) origin: Option<Origin>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) hba: Vec<String>,
    pub(super) authentication: Authentication,
    pub(super) tls: Option<Tls>,
    pub(super) durable: bool,
    pub(super) patience: Duration,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            binaries: None,
            min_major: MIN_MAJOR,
            folder: None,
            origin: None,
            settings: Vec::new(),
            hba: Vec::new(),
            authentication: Authentication::Trust,
            tls: None,
            durable: false,
            patience: Duration::from_secs(60),
        }
    }
}

impl Builder {
    /// Takes the server from this folder; by default [`Binaries::find`] chooses.
    pub fn binaries(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.binaries = Some(folder.into());
        self
    }

    /// Refuses a server that is older than this, 14 by default.
    pub fn min_major(mut self, major: u32) -> Builder {
        self.min_major = major;
        self
    }

    /// Lives in this folder, which must not hold folders yet and is removed in the end with all that is in it. By default one is made for it.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.folder = Some(folder.into());
        self
    }

    /// Becomes a standby of this server, whose data it takes as they are: stop the primary first, start it again afterwards.
    pub fn standby_of(mut self, primary: &Server) -> Builder {
        self.binaries = Some(primary.binaries().to_owned());
        self.authentication = primary.address().authentication.clone();
        self.origin = Some(Origin::of(primary));
        self
    }

    /// Sets a parameter of `postgresql.conf`; the last word on a parameter counts.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Builder {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Puts a line before the others in `pg_hba.conf`.
    pub fn hba(mut self, line: impl Into<String>) -> Builder {
        self.hba.push(line.into());
        self
    }

    /// Says how clients authenticate over TCP.
    pub fn authentication(mut self, authentication: Authentication) -> Builder {
        self.authentication = authentication;
        self
    }

    /// Offers TLS with this certificate and key (PEM).
    pub fn tls(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Builder {
        self.tls = Some(Tls { certificate: certificate.into(), key: key.into(), client_authority: None });
        self
    }

    /// Holds clients' certificates against this authority (PEM), for `hostssl … cert` lines; after [`Builder::tls`].
    pub fn client_authority(mut self, authority: impl Into<String>) -> Builder {
        if let Some(tls) = &mut self.tls {
            tls.client_authority = Some(authority.into());
        }
        self
    }

    /// Survives a crash of the machine: turns `fsync` and its kin on, as in real life.
    pub fn durable(mut self) -> Builder {
        self.durable = true;
        self
    }

    /// Waits this long for a start or a stop, a minute by default.
    pub fn patience(mut self, patience: Duration) -> Builder {
        self.patience = patience;
        self
    }

    /// Starts the server and returns once it takes connections.
    pub async fn start(self) -> Result<Server> {
        super::server::blocking(move || self.start_blocking()).await
    }

    /// Starts the server and returns once it takes connections, blocking the thread.
    pub fn start_blocking(self) -> Result<Server> {
        let binaries = Binaries::find(self.binaries.as_deref(), self.min_major)?;
        Server::start_with(binaries, self)
    }

    /// Renders our part of `postgresql.conf`.
    pub(super) fn conf(&self, port: u16, sockets: &Path) -> String {
        let mut settings = vec![
            ("port", port.to_string()),
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("unix_socket_directories", sockets.display().to_string()),
            ("wal_level", "logical".to_owned()),
            // Many tests share a server, and each has a slot or several.
            ("max_connections", "400".to_owned()),
            ("max_wal_senders", "100".to_owned()),
            ("max_replication_slots", "200".to_owned()),
            ("shared_buffers", "64MB".to_owned()),
            (
                "password_encryption",
                if self.authentication.method() == "md5" { "md5" } else { "scram-sha-256" }.to_owned(),
            ),
            ("timezone", "UTC".to_owned()),
            ("log_timezone", "UTC".to_owned()),
            ("log_checkpoints", "off".to_owned()),
        ];
        if !self.durable {
            for name in ["fsync", "full_page_writes"] {
                settings.push((name, "off".to_owned()));
            }
        }
        if let Some(origin) = &self.origin {
            settings.push(("primary_conninfo", origin.conninfo().to_owned()));
        }
        if let Some(tls) = &self.tls {
            settings.push(("ssl", "on".to_owned()));
            if tls.client_authority.is_some() {
                settings.push(("ssl_ca_file", "root.crt".to_owned()));
            }
        }
        settings.extend(self.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));
        settings.iter().map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''"))).collect()
    }

    /// Renders `pg_hba.conf`. `all` doesn't cover the database name `replication`, which physical replication uses.
    pub(super) fn hba_conf(&self) -> String {
        let method = self.authentication.method();
        let mut lines = self.hba.clone();
        lines.push("local all,replication all trust".to_owned());
        lines.push(format!("host all,replication all 127.0.0.1/32 {method}"));
        lines.push(format!("host all,replication all ::1/128 {method}"));
        lines.push(String::new());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_setting_is_the_callers() {
        let conf =
            Builder::default().setting("wal_level", "replica").setting("x.y", "it's").conf(5432, Path::new("/s"));
        assert!(conf.rfind("wal_level = 'replica'") > conf.rfind("wal_level = 'logical'"), "{conf}");
        assert!(conf.contains("x.y = 'it''s'\n"), "{conf}");
    }

    #[test]
    fn only_a_durable_server_writes_through() {
        let conf = |builder: Builder| builder.conf(5432, Path::new("/s"));
        assert!(conf(Builder::default()).contains("fsync = 'off'"));
        assert!(!conf(Builder::default().durable()).contains("fsync"));
    }

    #[test]
    fn the_callers_hba_lines_come_first() {
        let hba = Builder::default()
            .authentication(Authentication::Md5("x".into()))
            .hba("host all bob 0/0 reject")
            .hba_conf();
        assert!(hba.starts_with("host all bob 0/0 reject\n"), "{hba}");
        assert!(hba.contains("127.0.0.1/32 md5"), "{hba}");
    }
}
