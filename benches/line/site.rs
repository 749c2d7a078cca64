//! Two servers, the guest, and a database for each run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use pelton::postgres::throwaway::Server;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::work::Through;

/// The program under test, of the same profile as the bench.
pub const PELTON: &str = env!("CARGO_BIN_EXE_pelton");

/// One of the programs under test, and what its rows go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub through: Through,
    /// The one that was named with `--other`.
    pub other: bool,
}

impl Way {
    pub fn name(self) -> String {
        format!("{}{}", self.through.name(), if self.other { " (other)" } else { "" })
    }
}

/// What all measurements share.
pub struct Site {
    pub source: Server,
    pub destination: Server,
    pub folder: TempDir,
    /// `tests/guests/passthrough`, built.
    pub component: PathBuf,
    other: Option<PathBuf>,
    count: AtomicU32,
}

impl Site {
    /// Starts the servers and builds the guest.
    pub async fn start(other: Option<PathBuf>) -> Site {
        let folder = tempfile::Builder::new().prefix("pelton-bench-").tempdir().expect("a folder can be made");
        let component = folder.path().join("passthrough.wasm");
        let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/passthrough");
        eprintln!("Building the guest in tests/guests/passthrough.");
        let built = Command::new(PELTON).arg("build").arg(guest).arg("--out").arg(&component).output();
        let built = built.expect("pelton starts");
        assert!(built.status.success(), "the guest can't be built:\n{}", String::from_utf8_lossy(&built.stderr));
        let count = AtomicU32::new(0);
        Site { source: server().await, destination: server().await, folder, component, other, count }
    }

    /// Returns each of these ways with each of the programs.
    pub fn ways(&self, through: &[Through]) -> Vec<Way> {
        let others = if self.other.is_some() { &[true, false][..] } else { &[false] };
        through.iter().flat_map(|&through| others.iter().map(move |&other| Way { through, other })).collect()
    }

    /// Returns the program of a way.
    pub fn program(&self, way: Way) -> &Path {
        self.other.as_deref().filter(|_| way.other).unwrap_or(Path::new(PELTON))
    }

    /// Returns a name that nothing else has.
    pub fn name(&self, what: &str) -> String {
        format!("{what}_{}", self.count.fetch_add(1, Ordering::Relaxed))
    }
}

/// As `floors.sh` had them when the goals were set: commits are asynchronous, and no checkpoint comes in between.
async fn server() -> Server {
    let server = Server::builder()
        .setting("shared_buffers", "512MB")
        .setting("synchronous_commit", "off")
        .setting("max_wal_size", "8GB")
        .setting("checkpoint_timeout", "1h")
        .setting("autovacuum", "off")
        .start();
    server.await.expect("a throwaway server starts (PELTON_PG_BIN chooses it)")
}

/// Connects over TCP, as Pelton and a subscription do.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server takes connections");
    tokio::spawn(async move { connection.await.ok() });
    client
}

/// Runs statements, and fails with them.
pub async fn run(client: &Client, sql: &str) {
    if let Err(error) = client.batch_execute(sql).await {
        panic!("{sql}: {error:?}");
    }
}

/// Makes a database, as a copy of `template` where one is given, and returns its URL.
pub async fn database(server: &Server, name: &str, template: &str) -> String {
    let client = connect(&server.url("postgres")).await;
    run(&client, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    server.url(name)
}

/// Drops a database with whatever is connected to it.
pub async fn drop_database(server: &Server, name: &str) {
    let client = connect(&server.url("postgres")).await;
    run(&client, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}
