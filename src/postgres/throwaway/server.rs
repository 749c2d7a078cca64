//! A running throwaway server.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::Client;

use super::address::Address;
use super::binaries::Binaries;
use super::builder::Builder;
use super::error::{Result, ThrowawayError};
use super::home::Home;
use super::keeper::Keeper;
use super::plant::{Plant, Shutdown};

/// How often a port is tried that turns out to be taken.
const PORTS_MAX: usize = 8;

/// A running throwaway server; stopped and removed when dropped.
#[derive(Debug)]
pub struct Server {
    keeper: Arc<Mutex<Keeper>>,
    plant: Arc<Plant>,
    address: Address,
    pid: u32,
}

impl Server {
    /// Says what a server is to be like.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn start_with(binaries: Binaries, builder: Builder) -> Result<Server> {
        let home = Home::make(builder.folder.clone())?;
        if let Some(account) = &home.account {
            account.must_reach(binaries.folder())?;
        }
        let Home { folder, account } = &home;
        let mut keeper = Keeper::new(Some(folder), &folder.join("log"), "QUIT", account.as_ref(), hermetic)?;
        let (folder, account) = home.keep();
        let plant = Plant { binaries, folder, account, patience: builder.patience };
        match &builder.origin {
            Some(origin) => origin.copy(&plant)?,
            None => plant.initdb(&mut keeper, &builder)?,
        }
        plant.configure(&builder)?;
        let sockets = plant.folder.clone();
        let mut ports = 0;
        let (port, pid) = loop {
            let port = free_port(&plant.folder)?;
            plant.write("data/pelton.conf", &builder.conf(port, &sockets))?;
            match plant.start(&mut keeper) {
                Ok(pid) => break (port, pid),
                // Somebody took the port between our look and the server's.
                Err(ThrowawayError::Died { log, .. }) if ports < PORTS_MAX && log.contains("could not bind") => {
                    ports += 1
                }
                Err(error) => return Err(error),
            }
        };
        let address = Address { port, sockets, authentication: builder.authentication };
        Ok(Server { keeper: Arc::new(Mutex::new(keeper)), plant: Arc::new(plant), address, pid })
    }

    /// Returns where the server is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the TCP port on 127.0.0.1; it stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// Returns the pid of the postmaster.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the major version.
    pub fn major(&self) -> u32 {
        self.plant.binaries.major()
    }

    /// Returns the folder that holds its programs.
    pub fn binaries(&self) -> &Path {
        self.plant.binaries.folder()
    }

    /// Returns the server's folder: its `data`, its unix socket and its `log`.
    pub fn folder(&self) -> &Path {
        &self.plant.folder
    }

    /// Returns a URL over TCP as the superuser.
    pub fn url(&self, database: &str) -> String {
        self.address.url(database)
    }

    /// Connects over the unix socket as the superuser.
    pub async fn connect(&self, database: &str) -> Result<Client> {
        self.address.connect(database).await
    }

    /// Makes an empty database and returns its URL.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        self.address.create_database(name).await
    }

    /// Returns the server's log so far.
    pub fn log(&self) -> String {
        self.plant.log()
    }

    /// Appends a parameter to the configuration, for the next start.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        let path = self.plant.folder.join("data/pelton.conf");
        let line = format!("{name} = '{}'\n", value.replace('\'', "''"));
        let appended =
            fs::OpenOptions::new().append(true).open(&path).and_then(|mut conf| conf.write_all(line.as_bytes()));
        appended.map_err(|source| ThrowawayError::Io { act: "write", path, source })
    }

    /// Stops the server; its data stays for [`Server::start`].
    pub async fn stop(&mut self, how: Shutdown) -> Result<()> {
        let (keeper, plant) = (self.keeper.clone(), self.plant.clone());
        blocking(move || plant.stop(&mut lock(&keeper), how)).await
    }

    /// Starts the server again, on the same port.
    pub async fn start(&mut self) -> Result<()> {
        let (keeper, plant) = (self.keeper.clone(), self.plant.clone());
        self.pid = blocking(move || plant.start_again(&mut lock(&keeper))).await?;
        Ok(())
    }

    /// Stops and starts the server.
    pub async fn restart(&mut self, how: Shutdown) -> Result<()> {
        self.stop(how).await?;
        self.start().await
    }

    /// Leaves the server up when we end; returns what a shell must do to stop it and to remove it.
    pub fn leave(self) -> Result<String> {
        let (pid, folder) = (self.pid, self.plant.folder.display());
        let stop = format!("kill -INT {pid}; while kill -0 {pid}; do sleep 0.1; done 2>/dev/null; rm -rf '{folder}'");
        lock(&self.keeper).leave()?;
        Ok(stop)
    }

    /// Ties the server to the process `pid` instead of us: it goes when that process is gone.
    pub fn follow(self, pid: u32) -> Result<Address> {
        lock(&self.keeper).follow(pid)?;
        Ok(self.address.clone())
    }
}

/// Runs blocking work off the reactor.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn lock(keeper: &Mutex<Keeper>) -> std::sync::MutexGuard<'_, Keeper> {
    keeper.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the environment of whoever starts us out of the server: its PGDATA, PGPORT and the like mean another one.
fn hermetic(command: &mut Command) {
    let foreign = std::env::vars_os().map(|(name, _)| name);
    for name in foreign.filter(|name| name.to_str().is_some_and(|name| name.starts_with("PG"))) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").stderr(Stdio::null());
}

/// Looks for a port that nobody listens on.
///
/// First below the range that systems take the ports of outgoing connections from: those could take the port of a server
/// while it restarts.
fn free_port(folder: &Path) -> Result<u16> {
    let mut candidates = (0..32).map(|_| fastrand::u16(15_000..32_000)).chain([0]);
    let bound = candidates.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    bound
        .ok_or_else(|| ErrorKind::AddrInUse.into())
        .and_then(|listener| listener.local_addr())
        .map(|at| at.port())
        .map_err(|source| ThrowawayError::Io { act: "find a free port for", path: folder.to_owned(), source })
}
