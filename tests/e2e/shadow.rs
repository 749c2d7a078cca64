//! A candidate beside the component that runs: what is counted, and what it can't do to the other.

use serde_json::Value;

use crate::deploy::writes;
use crate::flows_setup::{Flow, Line, table};
use crate::guest::Guest;
use crate::support::Pelton;

const TABLES: &str = "CREATE TABLE public.t (id bigint PRIMARY KEY, v text NOT NULL);
    CREATE TABLE public.u (id bigint PRIMARY KEY)";

fn manifest(line: &Line, more: &str) -> String {
    let config = format!("publicSchemaType: wasm, component: t.wasm, shadow: candidate.wasm{more}");
    line.manifest(&[Flow::new("t", &config).into("t", "createTable: true"), table("u")])
}

/// `pelton sync` with a candidate beside the component that writes `a`; returns once the candidate runs.
async fn running(line: &Line, manifest: &str, candidate: &Guest) -> Pelton {
    line.source(TABLES).await;
    let mut sync = line.follow(manifest).file("t.wasm", writes('a').component());
    sync = sync.file("candidate.wasm", candidate.component());
    sync.start();
    runs_beside(&sync, 1).await;
    is_live(line).await;
    sync
}

/// Waits until nothing is copied any more: what comes now is streamed.
async fn is_live(line: &Line) {
    line.destination.wait_until("to_regclass('rejot_data_store.shadow') IS NOT NULL").await;
    let live = "(SELECT count(*) = 2 AND bool_and(backfill IS NULL) FROM rejot_data_store.flow)";
    line.destination.wait_until(live).await;
}

/// Waits until a candidate was started so many times.
async fn runs_beside(sync: &Pelton, times: usize) {
    let begun = std::time::Instant::now();
    while sync.stderr().matches("a candidate runs beside it").count() < times {
        assert!(begun.elapsed() < crate::support::PATIENCE, "{}", sync.stderr());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Returns what `pelton status` says of the candidate.
async fn shadow(manifest: &str) -> Value {
    let mut status = Pelton::new(["status", "--json"]).file("pelton.yaml", manifest);
    status.run().await;
    let status: Value = serde_json::from_str(&status.stdout()).expect("JSON");
    status["transforms"][0]["shadow"].clone()
}

#[tokio::test]
async fn what_a_candidate_makes_otherwise_is_counted_and_not_written() {
    let line = Line::new().await;
    let manifest = manifest(&line, "");
    let mut sync = running(&line, &manifest, &writes('b')).await;
    line.source("INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'secret'); DELETE FROM t WHERE id = 2; INSERT INTO u VALUES (1)").await;
    line.source("INSERT INTO t VALUES (3, 'a')").await;
    let counted = "(SELECT compared >= 4 FROM rejot_data_store.shadow)";
    line.destination.wait_until(counted).await;
    let found = shadow(&manifest).await;
    assert_eq!(
        (&found["compared"], &found["different"], &found["skipped"]),
        (&4.into(), &2.into(), &0.into()),
        "{found}"
    );
    let sample = &found["samples"][0];
    assert_eq!(
        (&sample["table"], &sample["op"], &sample["key"][0]),
        (&"public.t".into(), &"insert".into(), &"id".into())
    );
    assert!(sample["what"].as_str().unwrap().ends_with("(key: id): column v in t@1"), "{sample}");
    // Neither here nor there is anything of it but names.
    assert!(!found.to_string().contains("secret") && !sync.stderr().contains("secret"));
    let rows = line.destination.value("SELECT string_agg(id || v, ' ' ORDER BY id) FROM t").await;
    assert_eq!(rows, "1a 3a");
    let mut status = Pelton::new(["status"]).file("pelton.yaml", &manifest);
    assert_eq!(status.run().await.code(), Some(0));
    assert!(
        status.stdout().contains(": 4 changes compared, 2 differ, 0 skipped\n  insert on public.t, change 0"),
        "{}",
        status.stdout()
    );

    // What is found of the same pair goes on being counted, and what is found of another one begins anew.
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));
    sync.start();
    runs_beside(&sync, 2).await;
    line.source("INSERT INTO t VALUES (4, 'x')").await;
    line.destination.wait_until("(SELECT compared = 5 AND different = 2 FROM rejot_data_store.shadow)").await;
    sync.kill().await;
    std::fs::write(sync.folder().join("candidate.wasm"), writes('a').component()).expect("a file can be written");
    sync.start();
    runs_beside(&sync, 3).await;
    line.source("INSERT INTO t VALUES (5, 'a')").await;
    line.destination.wait_until("(SELECT compared = 1 AND different = 0 FROM rejot_data_store.shadow)").await;
    sync.kill().await;
}

#[tokio::test]
async fn a_candidate_that_crashes_or_hangs_harms_nobody() {
    for misdeed in ["unreachable", "(loop $forever (br $forever)) unreachable"] {
        let line = Line::new().await;
        let manifest = manifest(&line, ", limits: { timeoutMs: 300 }");
        let candidate = Guest { process: misdeed, ..Guest::default() };
        let mut sync = running(&line, &manifest, &candidate).await;
        // Single transactions, faster than one that hangs can be stopped.
        for id in 1..=60 {
            line.source(&format!("INSERT INTO t VALUES ({id}, 'a')")).await;
        }
        line.destination.wait_for_rows("t", 60).await;
        // It is not started again for ever.
        let begun = std::time::Instant::now();
        for id in 61.. {
            if sync.stderr().contains("the candidate does not run any more: ") {
                break;
            }
            assert!(begun.elapsed() < crate::support::PATIENCE, "{}", sync.stderr());
            line.source(&format!("INSERT INTO t VALUES ({id}, 'a')")).await;
            line.destination.wait_for_rows("t", id).await;
        }
        assert_eq!(sync.stderr().matches("the candidate failed: ").count(), 9);
        line.destination.wait_until("(SELECT problem IS NOT NULL AND skipped > 0 FROM rejot_data_store.shadow)").await;
        let found = shadow(&manifest).await;
        assert_eq!((&found["compared"], &found["different"]), (&0.into(), &0.into()), "{found}");
        let problem = found["problem"].as_str().unwrap();
        assert!(problem.contains("crashed") || problem.contains("limit 300 ms"), "{problem}");
        let told = "SELECT count(*) FROM rejot_data_store.flow WHERE problem IS NOT NULL";
        assert_eq!(line.destination.value(told).await, "0");
        sync.terminate();
        assert_eq!(sync.ended().await.code(), Some(0), "{}", sync.stderr());
    }
}

#[tokio::test]
async fn a_candidate_that_cannot_run_is_told_and_nothing_else_happens() {
    let line = Line::new().await;
    let manifest = manifest(&line, "");
    line.source(TABLES).await;
    let sync = || {
        let sync = Pelton::new(["sync"]).file("pelton.yaml", &manifest).file("t.wasm", writes('a').component());
        sync.file("candidate.wasm", "no component")
    };
    let mut broken = sync();
    broken.start();
    line.source("INSERT INTO t VALUES (1, 'a')").await;
    broken.says("the candidate does not run: ").await;
    line.destination.wait_until("(SELECT problem LIKE '%is not WebAssembly%' FROM rejot_data_store.shadow)").await;
    line.destination.wait_for_rows("t", 1).await;
    broken.kill().await;
    let strange = Guest { table: ("public", "gone"), ..writes('b') };
    let mut strange = sync().file("candidate.wasm", strange.component());
    strange.start();
    strange.says("the candidate reads table public.gone, which transform `t@1` as it runs does not").await;
    line.source("INSERT INTO t VALUES (2, 'a')").await;
    line.destination.wait_for_rows("t", 2).await;
    strange.kill().await;
}

#[tokio::test]
async fn a_candidate_goes_on_with_the_state_of_its_version() {
    let line = Line::new().await;
    let manifest = manifest(&line, "");
    line.source(TABLES).await;
    let (live, same) = (crate::deploy::counts(""), crate::deploy::counts("another"));
    let mut sync = line.follow(&manifest).file("t.wasm", live.component());
    sync = sync.file("candidate.wasm", live.component());
    sync.start();
    for id in 1..=3 {
        line.source(&format!("INSERT INTO t VALUES ({id}, 'a')")).await;
        line.destination.wait_for_rows("t", id).await;
    }
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));
    std::fs::write(sync.folder().join("candidate.wasm"), same.component()).expect("a file can be written");
    sync.start();
    // Its state was that of the checkpoint: it counts on from there.
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(same.component()));
    let beside = async |id: u32, condition: &str| {
        line.source(&format!("INSERT INTO t VALUES ({id}, 'a')")).await;
        let sql = format!("(SELECT {condition} FROM rejot_data_store.shadow WHERE component_digest = '{digest}')");
        line.destination.wait_until(&sql).await;
    };
    line.destination
        .wait_until(&format!("EXISTS (SELECT FROM rejot_data_store.shadow WHERE component_digest = '{digest}')"))
        .await;
    beside(4, "compared = 1 AND different = 0").await;
    beside(5, "compared = 2 AND different = 0").await;
    sync.kill().await;
    // What it remembers is its own: the one that runs has counted each change once.
    assert_eq!(line.destination.value("SELECT max(id) FROM t").await, "5");
    // Of another version it begins with nothing.
    let other = Guest { state_version: 8, ..crate::deploy::counts("") };
    std::fs::write(sync.folder().join("candidate.wasm"), other.component()).expect("a file can be written");
    sync.start();
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(other.component()));
    line.destination
        .wait_until(&format!("EXISTS (SELECT FROM rejot_data_store.shadow WHERE component_digest = '{digest}')"))
        .await;
    line.source("INSERT INTO t VALUES (6, 'a')").await;
    line.destination.wait_until("(SELECT compared = 1 AND different = 1 FROM rejot_data_store.shadow)").await;
    sync.kill().await;
}

#[tokio::test]
async fn what_only_a_candidate_reads_is_refused_and_not_compared_by_half() {
    let line = Line::new().await;
    let manifest = manifest(&line, "");
    line.source(TABLES).await;
    // `u` is published, and another flow reads it; and of a table that is read, only some operations come.
    let live = Guest { ops: &[0], whole_transactions: true, ..writes('a') };
    let others = [
        (
            Guest { table: ("public", "u"), ..writes('b') },
            "the candidate reads table public.u, which transform `t@1` as",
        ),
        (writes('b'), "the candidate reads updates of table public.t, which transform `t@1` as it runs does not"),
    ];
    let mut sync = line.follow(&manifest).file("t.wasm", live.component());
    for (index, (candidate, said)) in (1u64..).zip(others) {
        std::fs::write(sync.folder().join("candidate.wasm"), candidate.component()).expect("a file can be written");
        sync.start();
        sync.says(said).await;
        line.source(&format!("INSERT INTO t VALUES ({index}, 'a')")).await;
        line.destination.wait_for_rows("t", index).await;
        let found = shadow(&manifest).await;
        assert_eq!((&found["compared"], &found["samples"]), (&0.into(), &Value::Array(Vec::new())), "{found}");
        assert!(found["problem"].as_str().unwrap().contains("does not, so that it would not come"), "{found}");
        sync.kill().await;
    }
}

#[tokio::test]
async fn a_candidate_that_is_slow_to_start_keeps_nobody_waiting() {
    let line = Line::new().await;
    let manifest = manifest(&line, ", limits: { timeoutMs: 40000 }");
    line.source(TABLES).await;
    let candidate = Guest { init: "(loop $forever (br $forever))", ..writes('b') };
    let mut sync = line.follow(&manifest).file("t.wasm", writes('a').component());
    sync = sync.file("candidate.wasm", candidate.component());
    sync.start();
    is_live(&line).await;
    for id in 1..=20 {
        line.source(&format!("INSERT INTO t VALUES ({id}, 'a')")).await;
    }
    line.destination.wait_for_rows("t", 20).await;
    assert!(!sync.stderr().contains("candidate"), "it has started: {}", sync.stderr());
    sync.kill().await;
}

/// Counts the changes in its state as [`crate::deploy::counts`] does, and is `lingering` over a row with `boom`; its state
/// grows with each row by `kib`.
fn lingers(lingering: &'static str, data: &'static str) -> Guest {
    let counts = crate::deploy::counts(data);
    let process = format!(
        "(if (i32.ge_s (call $boom (local.get $count) (local.get $payload)) (i32.const 0)) (then {lingering}))
         {}",
        counts.process
    );
    Guest { process: process.leak(), ..counts }
}

const LINGER: &str = "(local.set $start (i32.const 300000000))
    (loop $again
      (local.set $start (i32.sub (local.get $start) (i32.const 1)))
      (br_if $again (local.get $start)))";

#[tokio::test]
async fn a_candidate_that_comes_late_begins_with_what_was_remembered_until_then() {
    let line = Line::new().await;
    let manifest = manifest(&line, ", limits: { timeoutMs: 50000 }");
    line.source(TABLES).await;
    // A second or two, before what is remembered is read, and once more behind that. There are no variables.
    const LATE: &str = "
        (i32.store (i32.const 900) (i32.const 1500000000))
        (loop $again
          (i32.store (i32.const 900) (i32.sub (i32.load (i32.const 900)) (i32.const 1)))
          (br_if $again (i32.load (i32.const 900))))";
    let candidate = Guest { describe: LATE, init: LATE, ..crate::deploy::counts("candidate") };
    let mut sync = line.follow(&manifest).file("t.wasm", crate::deploy::counts("live").component());
    sync = sync.file("candidate.wasm", candidate.component());
    sync.start();
    is_live(&line).await;
    let mut id = 0;
    let insert = async |id: u64| {
        line.source(&format!("INSERT INTO t VALUES ({id}, 'a')")).await;
        line.destination.wait_for_rows("t", id).await;
    };
    // What counts has one byte.
    while !sync.stderr().contains("a candidate runs beside it") && id < 100 {
        id += 1;
        insert(id).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    runs_beside(&sync, 1).await;
    for _ in 0..2 {
        id += 1;
        insert(id).await;
    }
    let all =
        format!("(SELECT compared >= 2 AND skipped > 0 AND compared + skipped = {id} FROM rejot_data_store.shadow)");
    line.destination.wait_until(&all).await;
    let found = shadow(&manifest).await;
    assert_eq!(found["different"], 0, "{found}");
    sync.kill().await;
}

#[tokio::test]
async fn a_candidate_that_fell_behind_goes_on_with_what_was_remembered_meanwhile() {
    let line = Line::new().await;
    let manifest = manifest(&line, ", limits: { timeoutMs: 30000 }");
    line.source(TABLES).await;
    let mut sync = line.follow(&manifest).file("t.wasm", lingers("", "live").component());
    sync = sync.file("candidate.wasm", lingers(LINGER, "candidate").component());
    sync.start();
    runs_beside(&sync, 1).await;
    is_live(&line).await;
    let insert = async |id: u32, v: &str| line.source(&format!("INSERT INTO t VALUES ({id}, '{v}')")).await;
    insert(1, "a").await;
    line.destination.wait_until("(SELECT compared = 1 AND different = 0 FROM rejot_data_store.shadow)").await;
    let mut last = 1;
    // On a slow machine it may be done with one before the others have come.
    while line.destination.value("SELECT skipped FROM rejot_data_store.shadow").await == "0" {
        assert!(last < 200, "it never falls behind");
        last += 1;
        insert(last, "boom").await;
        line.destination.wait_for_rows("t", last.into()).await;
        // Each a batch of its own, while the candidate is busy.
        for _ in 0..10 {
            last += 1;
            insert(last, "a").await;
            line.destination.wait_for_rows("t", last.into()).await;
        }
        let told = format!("(SELECT compared + skipped = {last} FROM rejot_data_store.shadow)");
        line.destination.wait_until(&told).await;
    }
    // It has what the other one remembers by now, its instance too: each change is counted once.
    for _ in 0..2 {
        last += 1;
        insert(last, "a").await;
        line.destination.wait_for_rows("t", last.into()).await;
    }
    line.destination.wait_until(&format!("(SELECT compared + skipped = {last} FROM rejot_data_store.shadow)")).await;
    let found = shadow(&manifest).await;
    assert_eq!((&found["different"], &found["problem"]), (&0.into(), &Value::Null), "{found}");
    sync.kill().await;
}

#[tokio::test]
async fn a_candidate_that_falls_too_far_behind_to_know_what_it_would_remember_ends_and_says_so() {
    // Each batch writes 3 MiB under a key of its own, and the candidate takes its time.
    const GROWS: &str = "
        (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 3145728)))
        (i32.store8 (i32.const 700) (i32.load8_u (i32.add (local.get $payload) (i32.const 4))))
        (memory.copy (i32.const 640) (local.get $payload) (i32.const 24))
        (i32.store (i32.const 760) (i32.const 640))
        (i32.store (i32.const 764) (i32.const 24))
        (i32.store8 (i32.const 768) (i32.const 1))
        (i32.store (i32.const 772) (local.get $at))
        (i32.store (i32.const 776) (i32.const 3145728))
        (call $put (i32.const 760) (i32.const 1) (i32.const 800))";
    let guest = |lingering: &str, data: &'static str| {
        let counts = crate::deploy::counts(data);
        let process = format!("{GROWS} {lingering} {}", crate::guest::ECHO);
        Guest { process: process.leak(), ..counts }
    };
    let line = Line::new().await;
    let manifest = manifest(&line, ", limits: { timeoutMs: 60000 }");
    line.source(TABLES).await;
    let mut sync = line.follow(&manifest).file("t.wasm", guest("", "live").component());
    sync = sync.file("candidate.wasm", guest("(loop $forever (br $forever))", "candidate").component());
    sync.start();
    runs_beside(&sync, 1).await;
    is_live(&line).await;
    for id in 1..=30u32 {
        line.source(&format!("INSERT INTO t VALUES ({id}, 'row number {id:06}')")).await;
        line.destination.wait_for_rows("t", id.into()).await;
    }
    assert_eq!(line.destination.value("SELECT count(*) FROM rejot_data_store.transform_state").await, "30");
    line.destination.wait_until("(SELECT problem LIKE 'it is too far behind: %' FROM rejot_data_store.shadow)").await;
    assert!(line.destination.value("SELECT skipped > 20 FROM rejot_data_store.shadow").await == "t");
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0), "{}", sync.stderr());
}
