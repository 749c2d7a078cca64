//! What a transform runs as, from one run to the next: what is recorded, what stays loaded, and what another one is held
//! against.

use pelton::datastore::{self, Scope};

use crate::deploy::{TABLES, counts, has_rows, insert, letters, manifest, running, writes};
use crate::flows_setup::{Flow, Line, table};
use crate::guest::{Guest, INT64, TEXT};
use crate::support::Pelton;

/// Makes a component larger than what is kept at a destination.
fn heavy(mut component: Vec<u8>) -> Vec<u8> {
    const BYTES: u32 = 65 << 20;
    // A custom section: its id, its length, and a name without letters.
    component.push(0);
    let mut length = BYTES + 1;
    while length >= 0x80 {
        component.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    component.extend([length as u8, 0]);
    component.resize(component.len() + BYTES as usize, 0);
    component
}

#[tokio::test]
async fn one_that_is_too_large_to_be_kept_goes_on_when_its_file_was_rebuilt() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    line.source(TABLES).await;
    let mut sync = line.follow(&manifest).file("t.wasm", heavy(writes('a').component()));
    sync.start();
    insert(&line, 1..=2).await;
    has_rows(&line, 2).await;
    assert_eq!(line.destination.value("SELECT count(*) FROM rejot_data_store.component").await, "0");
    std::fs::write(sync.folder().join("t.wasm"), writes('z').component()).expect("a file can be written");
    let lost = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pelton line%' \
         AND datname IN ('{}', '{}')",
        line.source.name(),
        line.destination.name()
    );
    line.destination.execute(&lost).await;
    insert(&line, 3..=4).await;
    has_rows(&line, 4).await;
    assert_eq!(letters(&line.destination, 4).await, "aaaa");
    sync.kill().await;
}

#[tokio::test]
async fn a_new_file_is_new_until_it_is_recorded() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    let mut sync = running(&line, &manifest).await;
    sync.kill().await;
    std::fs::write(sync.folder().join("t.wasm"), writes('b').component()).expect("a file can be written");
    // It can be read, and not written.
    let other = line.destination.connect().await;
    other.batch_execute("BEGIN; LOCK TABLE rejot_data_store.transform IN SHARE MODE").await.expect("a lock");
    sync.start();
    let waits = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                 AND query LIKE '%INTO rejot_data_store.transform %'";
    line.destination.wait_until(&format!("EXISTS (SELECT {waits})")).await;
    let pid = line.destination.value(&format!("SELECT pid {waits}")).await;
    line.destination.execute(&format!("SELECT pg_terminate_backend({pid})")).await;
    // The next run records it just the same.
    line.destination.wait_until(&format!("EXISTS (SELECT {waits} AND pid <> {pid})")).await;
    other.batch_execute("COMMIT").await.expect("the lock goes");
    insert(&line, 4..=4).await;
    has_rows(&line, 4).await;
    assert_eq!(letters(&line.destination, 4).await, "aaab", "{}", sync.stderr());
    sync.kill().await;
}

#[tokio::test]
async fn at_a_start_a_deployment_is_held_against_what_ran_and_not_against_the_file() {
    const NULLABLE: &[(&str, u8, bool, bool)] = &[("id", INT64, false, true), ("v", TEXT, true, false)];
    let line = Line::new().await;
    let manifest = manifest(&line);
    let mut sync = running(&line, &manifest).await;
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));
    // The file would break those who read it just as what is deployed would.
    let file = Guest { columns: NULLABLE, ..writes('a') }.component();
    std::fs::write(sync.folder().join("t.wasm"), file).expect("a file can be written");
    let deployed = Guest { columns: NULLABLE, ..writes('b') }.component();
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&deployed));
    let scope = Scope { manifest: "line".to_owned(), source: "source".to_owned() };
    let mut client = line.destination.connect().await;
    datastore::deploy(&mut client, &scope, "t@1", &digest, &deployed).await.expect("it is wanted");
    sync.start();
    sync.says("the deployment is refused, and what ran goes on: public schema `t` 1.0 would break those who read it")
        .await;
    sync.kill().await;
}

/// A transform that counts in state and stops at `boom`, beside `u`; one that stops may hold back a megabyte.
fn limited(line: &Line) -> String {
    let t = Flow::new("t", "publicSchemaType: wasm, component: t.wasm").into("t", "createTable: true");
    line.manifest_of(", detachedWalMax: 1MB", &[t, table("u")])
}

/// Runs it until it is released.
async fn released(line: &Line, manifest: &str) -> Pelton {
    line.source("CREATE TABLE public.t (id bigint PRIMARY KEY, v text NOT NULL); CREATE TABLE public.u (id bigint PRIMARY KEY, v text)")
        .await;
    let counts = counts("");
    let process = format!(
        "(if (i32.ge_s (call $boom (local.get $count) (local.get $payload)) (i32.const 0)) (then unreachable)) {}",
        counts.process
    );
    let mut sync = line.follow(manifest).file("t.wasm", Guest { process: process.leak(), ..counts }.component());
    sync.start();
    line.source("INSERT INTO t VALUES (1, 'a')").await;
    has_rows(line, 1).await;
    line.destination.wait_until("(SELECT bool_and(backfill IS NULL) FROM rejot_data_store.flow)").await;
    line.source("INSERT INTO t VALUES (2, 'boom')").await;
    sync.says("crashed on a batch of 1 change").await;
    line.source("DELETE FROM t WHERE v = 'boom'").await;
    line.source("INSERT INTO u SELECT n, repeat('x', 200) FROM generate_series(1, 8000) AS n").await;
    sync.says("released: ").await;
    sync
}

#[tokio::test]
async fn a_released_transform_begins_anew_with_another_version_of_state_at_the_first_start() {
    let line = Line::new().await;
    let manifest = limited(&line);
    let mut sync = released(&line, &manifest).await;
    sync.kill().await;
    let other = Guest { state_version: 8, ..counts("") };
    std::fs::write(sync.folder().join("t.wasm"), other.component()).expect("a file can be written");
    line.source("INSERT INTO t VALUES (3, 'a')").await;
    sync.start();
    // Two rows are copied, and counted.
    line.destination.wait_until("(SELECT max(id) = 2 FROM t)").await;
    assert!(!sync.stderr().contains("is of state version 7"), "{}", sync.stderr());
    sync.kill().await;
}

#[tokio::test]
async fn what_is_deployed_to_a_released_transform_may_have_another_version_of_state() {
    let line = Line::new().await;
    let manifest = limited(&line);
    let mut sync = released(&line, &manifest).await;
    let other = Guest { state_version: 8, ..counts("") };
    crate::deploy::deploys(&manifest, &other).await;
    line.source("INSERT INTO t VALUES (3, 'a')").await;
    line.destination.wait_until("(SELECT max(id) = 2 FROM t)").await;
    let recorded = line.destination.value("SELECT state_version FROM rejot_data_store.transform").await;
    assert_eq!(recorded, "8");
    sync.kill().await;
}
