//! A deployment is made ready beside what runs: what it may take, how often, and what becomes of what runs meanwhile.

use crate::deploy::{TABLES, deploy, deploys, has_rows, insert, letters, manifest, running, writes};
use crate::flows_setup::Line;
use crate::guest::{Guest, INT64, TEXT};

/// Ends the sessions of `pelton sync` at both databases; the server is shared with other tests.
async fn lose_connections(line: &Line) {
    let lost = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pelton line%' \
         AND application_name NOT LIKE '% deploy' AND datname IN ('{}', '{}')",
        line.source.name(),
        line.destination.name()
    );
    line.destination.execute(&lost).await;
}

/// Asks to be called again when it is started.
fn asks_again() -> Guest {
    Guest { init: "(return (call $retryable (i32.const 8) (i32.const 10)))", data: "no quota", ..writes('b') }
}

#[tokio::test]
async fn one_whose_init_always_asks_to_be_called_again_is_refused_in_the_end_and_holds_nobody_up() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    let mut sync = running(&line, &manifest).await;
    let files = [("x.wasm", asks_again().component())];
    let meanwhile = async {
        sync.says("can't take over yet").await;
        // A run that begins anew meanwhile begins with what ran.
        lose_connections(&line).await;
        insert(&line, 4..=5).await;
        line.source("INSERT INTO u VALUES (1)").await;
        has_rows(&line, 5).await;
        line.destination.wait_for_rows("u", 1).await;
        line.destination.value("SELECT state FROM rejot_data_store.deployment").await
    };
    let ((code, stdout, _), state) = tokio::join!(deploy(&manifest, &files, &["t", "x.wasm"]), meanwhile);
    assert_eq!(state, "wanted", "it was refused before the rows came");
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("asks to be called again in 10 ms: no quota; it was tried 5 times"), "{stdout}");
    assert!(stdout.contains("Hint: mend what it waits for, and deploy it again"), "{stdout}");
    // It is kept no longer.
    assert_eq!(line.destination.value("SELECT count(*) FROM rejot_data_store.component").await, "1");
    insert(&line, 6..=6).await;
    has_rows(&line, 6).await;
    assert_eq!(letters(&line.destination, 6).await, "aaaaaa");
    sync.kill().await;
}

#[tokio::test]
async fn a_run_that_begins_anew_does_not_wait_until_one_is_ready() {
    let line = Line::new().await;
    let manifest = manifest(&line).replace("component: t.wasm", "component: t.wasm, limits: { timeoutMs: 30000 }");
    let mut sync = running(&line, &manifest).await;
    let hangs = Guest { init: "(loop $forever (br $forever))", ..writes('b') };
    let (code, stdout, _) = deploy(&manifest, &[("x.wasm", hangs.component())], &["t", "x.wasm", "--wait", "1"]).await;
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("it was not taken in this time, and stays wanted"), "{stdout}");
    sync.says("was deployed; making it ready").await;
    lose_connections(&line).await;
    insert(&line, 4..=5).await;
    has_rows(&line, 5).await;
    assert_eq!(line.destination.value("SELECT state FROM rejot_data_store.deployment").await, "wanted");
    sync.kill().await;
}

#[tokio::test]
async fn a_transform_whose_init_asks_to_be_called_again_holds_up_no_other() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    line.source(TABLES).await;
    line.source("INSERT INTO u VALUES (1)").await;
    let mut sync = line.follow(&manifest).file("t.wasm", asks_again().component());
    sync.start();
    line.destination.wait_for_rows("u", 1).await;
    line.destination.wait_until("EXISTS (SELECT FROM rejot_data_store.flow WHERE problem LIKE '%no quota')").await;
    sync.kill().await;
}

const WITH_W: &[(&str, u8, bool, bool)] =
    &[("id", INT64, false, true), ("v", TEXT, false, false), ("w", TEXT, true, false)];

#[tokio::test]
async fn a_column_that_it_brings_is_added_by_the_line_which_waits_for_no_lock_for_long() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    line.source(&TABLES.replace("v text NOT NULL", "v text NOT NULL, w text")).await;
    let narrow = Guest { subscribed: &["id", "v"], ..writes('a') };
    let wide = Guest { subscribed: &["id", "v", "w"], columns: WITH_W, version: (1, 1), ..writes('b') };
    let mut sync = line.follow(&manifest).file("t.wasm", narrow.component());
    sync.start();
    let add = async |id: u32| {
        line.source(&format!("INSERT INTO t VALUES ({id}, 'a', 'w')")).await;
        has_rows(&line, id).await;
    };
    add(1).await;
    let files = [("wide.wasm", wide.component())];
    let blocked = async {
        let reader = line.destination.connect().await;
        reader.batch_execute("BEGIN; SELECT FROM public.t").await.expect("a reader");
        sync.says("can't take over yet: cannot write to destination `destination`").await;
        // The line has tried, and nobody beside it; the lock is still held, and what ran goes on.
        let begun = std::time::Instant::now();
        while sync.stderr().matches("streaming").count() < 2 {
            assert!(begun.elapsed() < crate::support::PATIENCE, "{}", sync.stderr());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        add(2).await;
        assert_eq!(line.destination.value("SELECT state FROM rejot_data_store.deployment").await, "wanted");
        let column = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attname = 'w'";
        assert_eq!(line.destination.value(column).await, "0");
        reader.batch_execute("COMMIT").await.expect("the reader ends");
    };
    let ((code, stdout, stderr), ()) = tokio::join!(deploy(&manifest, &files, &["t", "wide.wasm"]), blocked);
    assert_eq!(code, 0, "{stdout}{stderr}");
    add(3).await;
    // The one from before knows nothing of the column, and may go on with the table all the same.
    let (code, stdout, stderr) = deploy(&manifest, &[], &["t", "--rollback"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    add(4).await;
    let rows = line.destination.value("SELECT string_agg(id || v || coalesce(w, '-'), ' ' ORDER BY id) FROM t").await;
    assert_eq!(rows, "1a- 2a- 3bw 4a-");
    sync.kill().await;
}

#[tokio::test]
async fn what_its_table_does_not_take_is_refused_before_anything_ends() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    line.source(&TABLES.replace("v text NOT NULL", "v text NOT NULL, w text")).await;
    let narrow = Guest { subscribed: &["id", "v"], ..writes('a') };
    let wide = Guest { subscribed: &["id", "v", "w"], columns: WITH_W, version: (1, 1), ..writes('b') };
    let mut sync = line.follow(&manifest).file("t.wasm", narrow.component());
    sync.start();
    line.destination.wait_until("to_regclass('public.t') IS NOT NULL").await;
    line.destination.execute("ALTER TABLE t ADD COLUMN w integer").await;
    sync.says("streaming").await;
    let (code, stdout, stderr) = deploy(&manifest, &[("x.wasm", wide.component())], &["t", "x.wasm"]).await;
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(
        stdout.contains(
            " was refused: cannot write to destination `destination`: column w of destination table public.t"
        ),
        "{stdout}"
    );
    line.source("INSERT INTO t VALUES (1, 'a', 'w')").await;
    has_rows(&line, 1).await;
    assert_eq!(sync.stderr().matches("streaming").count(), 1, "nothing began anew: {}", sync.stderr());
    sync.kill().await;
}

#[tokio::test]
async fn one_that_takes_the_process_with_it_is_refused_after_three_times_while_what_runs_goes_on() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    let mut sync = running(&line, &manifest).await;
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));
    let (code, stdout, stderr) = deploy(&manifest, &[("b.wasm", writes('b').component())], &["t", "b.wasm"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    sync.set("PELTON_FAULT", Some("before-compiled:1"));
    for (attempt, id) in (1..=3).zip(4..) {
        insert(&line, id..=id).await;
        sync.start();
        assert_eq!(sync.ended().await.code(), None, "{}", sync.stderr());
        let attempts = line.destination.value("SELECT attempts FROM rejot_data_store.deployment").await;
        assert_eq!(attempts, attempt.to_string());
    }
    // Between its attempts what runs has gone on.
    has_rows(&line, 6).await;
    sync.start();
    sync.says("the deployment is refused, and what ran goes on: component ").await;
    insert(&line, 7..=7).await;
    has_rows(&line, 7).await;
    assert_eq!(letters(&line.destination, 7).await, "aaaaaaa");
    line.destination.wait_until("(SELECT state = 'refused' FROM rejot_data_store.deployment)").await;
    let problem = line.destination.value("SELECT problem || ' ' || hint FROM rejot_data_store.deployment").await;
    assert!(
        problem.contains("was begun to be made ready 3 times, and each time `pelton sync` was gone before it was"),
        "{problem}"
    );
    // Another deployment of it is another chance.
    sync.kill().await;
    sync.set("PELTON_FAULT", None);
    sync.start();
    deploys(&manifest, &writes('b')).await;
    insert(&line, 8..=8).await;
    has_rows(&line, 8).await;
    assert_eq!(letters(&line.destination, 8).await, "aaaaaaab");
    // What was made ready is no attempt.
    assert_eq!(line.destination.value("SELECT attempts FROM rejot_data_store.deployment").await, "0");
    sync.kill().await;
}

#[tokio::test]
async fn one_that_takes_the_process_with_it_when_it_is_started_is_refused_too() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    let mut sync = running(&line, &manifest).await;
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));
    let (code, stdout, stderr) = deploy(&manifest, &[("b.wasm", writes('b').component())], &["t", "b.wasm"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    sync.set("PELTON_FAULT", Some("before-started:1"));
    for attempt in 1..=3 {
        sync.start();
        assert_eq!(sync.ended().await.code(), None, "{}", sync.stderr());
        let attempts = line.destination.value("SELECT attempts FROM rejot_data_store.deployment").await;
        assert_eq!(attempts, attempt.to_string());
    }
    sync.start();
    sync.says("the deployment is refused, and what ran goes on: component ").await;
    insert(&line, 4..=4).await;
    has_rows(&line, 4).await;
    assert_eq!(letters(&line.destination, 4).await, "aaaa");
    line.destination.wait_until("(SELECT state = 'refused' FROM rejot_data_store.deployment)").await;
    sync.kill().await;
}

#[tokio::test]
async fn a_process_that_ends_in_good_order_while_one_is_tried_out_says_nothing_against_it() {
    let line = Line::new().await;
    let manifest = manifest(&line).replace("component: t.wasm", "component: t.wasm, limits: { timeoutMs: 30000 }");
    let mut sync = running(&line, &manifest).await;
    let hangs = Guest { init: "(loop $forever (br $forever))", ..writes('b') };
    let (code, stdout, _) = deploy(&manifest, &[("x.wasm", hangs.component())], &["t", "x.wasm", "--wait", "1"]).await;
    assert_eq!(code, 0, "{stdout}");
    line.destination.wait_until("(SELECT attempts = 1 FROM rejot_data_store.deployment)").await;
    // Nor does a run that begins anew count a second one.
    lose_connections(&line).await;
    insert(&line, 4..=4).await;
    has_rows(&line, 4).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(line.destination.value("SELECT attempts FROM rejot_data_store.deployment").await, "1");
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));
    let stands = line.destination.value("SELECT state || attempts FROM rejot_data_store.deployment").await;
    assert_eq!(stands, "wanted0");
}

#[tokio::test]
async fn a_lock_that_keeps_a_deployment_from_being_tried_out_keeps_nothing_from_going_on() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    let mut sync = running(&line, &manifest).await;
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));
    let (code, stdout, stderr) = deploy(&manifest, &[("b.wasm", writes('b').component())], &["t", "b.wasm"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    let other = line.destination.connect().await;
    other.batch_execute("BEGIN; SELECT FROM rejot_data_store.deployment FOR UPDATE").await.expect("a lock");
    sync.start();
    sync.says("a deployment is tried out later").await;
    insert(&line, 4..=4).await;
    has_rows(&line, 4).await;
    other.batch_execute("COMMIT").await.expect("the lock ends");
    sync.says("runs as another component from here on").await;
    insert(&line, 5..=5).await;
    has_rows(&line, 5).await;
    assert_eq!(letters(&line.destination, 5).await, "aaaab");
    sync.kill().await;
}

#[tokio::test]
async fn what_the_source_has_lost_is_no_reason_to_refuse_a_deployment() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    let mut sync = running(&line, &manifest).await;
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));
    let (code, stdout, stderr) = deploy(&manifest, &[("b.wasm", writes('b').component())], &["t", "b.wasm"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    insert(&line, 4..=4).await;
    line.source(&format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", line.source.name())).await;
    sync.start();
    assert_eq!(sync.ended().await.code(), Some(1), "{}", sync.stderr());
    assert!(sync.stderr().contains("beyond the checkpoint"), "{}", sync.stderr());
    assert_eq!(line.destination.value("SELECT state FROM rejot_data_store.deployment").await, "wanted");
}
