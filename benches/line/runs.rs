//! `pelton sync` as a process of its own, and a native subscription.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::site::{Site, Way, connect, run};
use super::work::manifest;

/// How often is looked whether the end has come; it is a look-up by key.
const LOOK: Duration = Duration::from_millis(5);

/// Nothing measured here takes so long.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// A `pelton sync` at work.
pub struct Sync {
    child: Child,
    folder: PathBuf,
}

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub cpu: Duration,
    /// The most that was resident at a time.
    pub resident_kib: u64,
}

impl Sync {
    /// Starts it over these databases; `name` names its slot and its folder.
    pub fn start(site: &Site, name: &str, tables: &[&str], way: Way, backfill: bool, urls: [&str; 2]) -> Sync {
        let urls = [("SOURCE_URL", urls[0]), ("WAREHOUSE_URL", urls[1])];
        Sync::with_manifest(site, name, &manifest(name, tables, way.through, backfill), way, &urls)
    }

    /// Starts it on a manifest, with variables of the environment.
    pub fn with_manifest(site: &Site, name: &str, manifest: &str, way: Way, variables: &[(&str, &str)]) -> Sync {
        Sync::with_arguments(site, name, manifest, way, variables, &[])
    }

    /// Runs it on a manifest until it has caught up.
    pub fn once(site: &Site, name: &str, manifest: &str, way: Way, variables: &[(&str, &str)]) {
        let mut sync = Sync::with_arguments(site, name, manifest, way, variables, &["--until-caught-up"]);
        let status = sync.child.wait().expect("a child can be waited for");
        let log = fs::read_to_string(sync.folder.join("stderr")).unwrap_or_default();
        assert!(status.success(), "pelton failed ({status})\n{log}");
    }

    fn with_arguments(
        site: &Site,
        name: &str,
        manifest: &str,
        way: Way,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Sync {
        let folder = site.folder.path().join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join("pelton.yaml"), manifest).expect("a file is written");
        fs::copy(&site.component, folder.join("passthrough.wasm")).expect("the component is copied");
        let log = |name: &str| File::create(folder.join(name)).expect("a log can be written");
        let child = Command::new(site.program(way))
            .arg("sync")
            .args(arguments)
            .current_dir(&folder)
            .envs(variables.iter().copied())
            // Compiled once for all runs.
            .env("XDG_CACHE_HOME", site.folder.path())
            .stdin(Stdio::null())
            .stdout(log("stdout"))
            .stderr(log("stderr"))
            .spawn()
            .expect("pelton starts");
        Sync { child, folder }
    }

    /// Fails with its log if it has ended.
    pub fn must_run(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child can be looked at") {
            let log = fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
            panic!("pelton ended by itself ({status})\n{log}");
        }
    }

    /// Returns what it has used until now.
    pub fn used(&self) -> Used {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_default();
        let status = read("status");
        let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let resident_kib =
            high.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default();
        // Fields 14 and 15, in ticks of 10 ms; the name before them may hold blanks, but ends with the last ')'.
        let stat = read("stat");
        let ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Used { cpu: Duration::from_millis(ticks * 10), resident_kib }
    }

    /// Asks it to end, and waits.
    pub fn end(mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-s", "TERM", &pid]).status().expect("kill starts");
        self.child.wait().expect("a child can be waited for");
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        // Only when a measurement failed is there something left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a query returns `true`, and returns when it did. `alive` is asked meanwhile.
pub async fn until(client: &Client, sql: &str, mut alive: impl FnMut()) -> Instant {
    let begun = Instant::now();
    loop {
        let statement = client.query_one(sql, &[]).await;
        if statement.is_ok_and(|row| row.get(0)) {
            return Instant::now();
        }
        alive();
        assert!(begun.elapsed() < PATIENCE, "nothing came of {sql}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Subscribes `destination` to a slot of the source that is there already.
pub async fn subscribe(site: &Site, slot: &str, source: &str, destination: &str) {
    let client = connect(destination).await;
    let port = site.source.port();
    run(
        &client,
        &format!(
            "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port={port} user=postgres dbname={source}' \
             PUBLICATION p WITH (create_slot = false, slot_name = '{slot}', copy_data = false)"
        ),
    )
    .await;
}

/// Ends the subscription; the slot stays.
pub async fn unsubscribe(destination: &str) {
    let client = connect(destination).await;
    run(&client, "ALTER SUBSCRIPTION s DISABLE").await;
    run(&client, "ALTER SUBSCRIPTION s SET (slot_name = NONE)").await;
    run(&client, "DROP SUBSCRIPTION s").await;
}

/// Drops a slot as soon as nobody reads it any more.
pub async fn drop_slot(source: &str, slot: &str) {
    let client = connect(source).await;
    let free = format!("SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
    until(&client, &free, || {}).await;
    run(&client, &format!("SELECT pg_drop_replication_slot('{slot}')")).await;
}
