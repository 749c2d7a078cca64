//! The server that all tests of a run share.
//!
//! Under `cargo test` a run is one process, and the server goes with it. Under cargo-nextest every test is a process of its
//! own: the first to come starts the server, leaves its address in a folder that the run's id names, and ties it to the
//! runner, so that it goes when the runner goes, however the runner ends.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

use pelton::postgres::throwaway::{Address, Authentication, Server};
use tokio::sync::OnceCell;

/// Returns the address of the shared server, started if it isn't yet.
pub async fn address() -> &'static Address {
    static ADDRESS: OnceCell<Address> = OnceCell::const_new();
    ADDRESS
        .get_or_init(|| async {
            let found = tokio::task::spawn_blocking(|| match env::var("NEXTEST_RUN_ID") {
                Ok(run) => of_run(&run),
                Err(_) => of_process(),
            });
            found.await.expect("the shared server starts")
        })
        .await
}

fn of_process() -> Address {
    let server = super::started(Server::builder().start_blocking());
    let address = server.address().clone();
    // The end of the process ends the server too; dropping it at the end of one test would take it from the others.
    std::mem::forget(server);
    address
}

fn of_run(run: &str) -> Address {
    let mut hasher = DefaultHasher::new();
    (run, env::var_os("PELTON_PG_BIN")).hash(&mut hasher);
    // Short, for a unix socket's path takes some hundred bytes.
    let parent = env::temp_dir();
    let parent = if parent.as_os_str().len() > 40 { PathBuf::from("/tmp") } else { parent };
    let folder = parent.join(format!("pelton-run-{:016x}", hasher.finish()));
    fs::create_dir_all(&folder).expect("the run's folder can be made");

    let lock = fs::File::create(folder.join("lock")).expect("the run's lock can be made");
    lock.lock().expect("the run's lock can be had");
    read(&folder).unwrap_or_else(|| {
        let server = super::started(Server::builder().folder(&folder).start_blocking());
        let address = super::started(server.follow(parent_id()));
        fs::write(folder.join("port"), address.port.to_string()).expect("the address can be written");
        address
    })
}

fn read(folder: &Path) -> Option<Address> {
    let port = fs::read_to_string(folder.join("port")).ok()?.parse().ok()?;
    Some(Address { port, sockets: folder.to_owned(), authentication: Authentication::Trust })
}
