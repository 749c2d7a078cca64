//! Another component takes over: which rows it makes, what is recorded of it, and what is refused.

use std::time::Duration;

use crate::flows_setup::{Flow, Line, table};
use crate::guest::Guest;
use crate::support::{Database, Pelton};

/// Publishes `t` as it is, but writes `letter` where a row has `a`.
pub fn writes(letter: char) -> Guest {
    let process = format!(
        "(local.set $at (local.get $payload))
         (block $done
           (loop $next
             (br_if $done (i32.ge_u (local.get $at) (i32.add (local.get $payload) (local.get $length))))
             ;; A text of one byte, which is `a`.
             (if (i32.eq (i32.load16_u (local.get $at)) (i32.const 0x61a1))
               (then (i32.store8 offset=1 (local.get $at) (i32.const {}))))
             (local.set $at (i32.add (local.get $at) (i32.const 1)))
             (br $next)))
         (call $echo (local.get $count) (local.get $payload) (local.get $length))",
        letter as u32
    );
    Guest { process: process.leak(), ..Guest::default() }
}

/// Counts the changes in its state: the count is the id of its one row. `data` makes it another component.
pub fn counts(data: &'static str) -> Guest {
    const IMPORTS: &str = r#"
        (import "pelton:transform/state@0.1.0" "get" (func $get (param i32 i32 i32)))
        (import "pelton:transform/state@0.1.0" "put" (func $put (param i32 i32 i32)))"#;
    const PROCESS: &str = "
        (i32.store8 (i32.const 700) (i32.const 110))
        (i32.store (i32.const 704) (i32.const 700))
        (i32.store (i32.const 708) (i32.const 1))
        (call $get (i32.const 704) (i32.const 1) (i32.const 720))
        (local.set $at (i32.load (i32.const 724)))
        (if (i32.load8_u (local.get $at))
          (then (local.set $i (i32.load8_u (i32.load offset=4 (local.get $at))))))
        (local.set $i (i32.add (local.get $i) (local.get $count)))
        (i32.store8 (i32.const 701) (local.get $i))
        (i32.store (i32.const 760) (i32.const 700))
        (i32.store (i32.const 764) (i32.const 1))
        (i32.store8 (i32.const 768) (i32.const 1))
        (i32.store (i32.const 772) (i32.const 701))
        (i32.store (i32.const 776) (i32.const 1))
        (call $put (i32.const 760) (i32.const 1) (i32.const 800))
        (i32.store (i32.const 600) (i32.const 0x00009591))
        (i32.store8 (i32.const 604) (i32.const 0))
        (i32.store8 (i32.const 605) (i32.const 0x92))
        (i32.store8 (i32.const 606) (local.get $i))
        (i32.store16 (i32.const 607) (i32.const 0xc0a0))
        (call $output (i32.const 1) (i32.const 600) (i32.const 9))";
    Guest { imports: IMPORTS, process: PROCESS, stateful: true, data, ..Guest::default() }
}

pub const TABLES: &str = "CREATE TABLE public.t (id bigint PRIMARY KEY, v text NOT NULL);
    CREATE TABLE public.u (id bigint PRIMARY KEY)";

/// `t` through a component, and `u` beside it.
pub fn manifest(line: &Line) -> String {
    let t = Flow::new("t", "publicSchemaType: wasm, component: t.wasm").into("t", "createTable: true");
    line.manifest(&[t, table("u")])
}

/// One transaction for each id, so that a component may change between any two of them.
pub async fn insert(line: &Line, ids: std::ops::RangeInclusive<u32>) {
    for id in ids {
        line.source(&format!("INSERT INTO t VALUES ({id}, 'a')")).await;
    }
}

/// Returns the letters of all rows by id, as `aaabb`; fails where an id is missing, or a row is there that should not be.
pub async fn letters(destination: &Database, rows: u32) -> String {
    let ids = destination.value("SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '') FROM t").await;
    let expected: Vec<String> = (1..=rows).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected.join(" "));
    destination.value("SELECT coalesce(string_agg(v, '' ORDER BY id), '') FROM t").await
}

pub async fn has_rows(line: &Line, rows: u32) {
    line.destination.wait_for_rows("t", rows.into()).await;
}

/// Runs `pelton deploy ARGUMENTS…` and returns the exit code and what it printed on both.
pub async fn deploy(manifest: &str, files: &[(&str, Vec<u8>)], arguments: &[&str]) -> (i32, String, String) {
    let mut pelton = Pelton::new([&["deploy"][..], arguments].concat()).file("pelton.yaml", manifest);
    for (name, bytes) in files {
        pelton = pelton.file(name, bytes);
    }
    let code = pelton.run().await.code().expect("it ends by itself");
    (code, pelton.stdout(), pelton.stderr())
}

/// Deploys a component while `pelton sync` runs, which must take it.
pub async fn deploys(manifest: &str, guest: &Guest) {
    let (code, stdout, stderr) = deploy(manifest, &[("new.wasm", guest.component())], &["t", "new.wasm"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stderr.contains(": `t@1` runs as component "), "{stderr}");
}

/// `pelton sync` of the manifest, which has begun with the component that writes `a`.
pub async fn running(line: &Line, manifest: &str) -> Pelton {
    line.source(TABLES).await;
    let mut sync = line.follow(manifest).file("t.wasm", writes('a').component());
    sync.start();
    insert(line, 1..=3).await;
    has_rows(line, 3).await;
    sync
}

#[tokio::test]
async fn a_component_takes_over_between_transactions_and_is_rolled_back() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    let mut sync = running(&line, &manifest).await;
    // While changes come.
    let (source, writer) = (line.source.connect().await, "INSERT INTO t VALUES ($1, 'a')");
    let writing = tokio::spawn(async move {
        for id in 4..=200i64 {
            source.execute(writer, &[&id]).await.expect("a row is written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let here = "SELECT pg_current_wal_lsn()";
    let before = line.source.value(here).await;
    deploys(&manifest, &writes('b')).await;
    let between = format!(
        "SELECT lsn > '{before}' AND lsn <= '{}' FROM rejot_data_store.transform",
        line.source.value(here).await
    );
    assert_eq!(line.destination.value(&between).await, "t", "where it was taken is recorded");
    line.source("INSERT INTO u VALUES (1)").await;
    writing.await.expect("the writer ends");
    has_rows(&line, 200).await;
    let seen = letters(&line.destination, 200).await;
    let before = seen.find('b').expect("the new one has made rows");
    assert!(
        before >= 3 && seen[..before].chars().all(|c| c == 'a') && seen[before..].chars().all(|c| c == 'b'),
        "{seen}"
    );
    // The recorded position is the boundary: what was committed before it went through the first.
    line.destination.wait_for_rows("u", 1).await;

    let (code, stdout, stderr) = deploy(&manifest, &[], &["t", "--rollback", "--json"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    let told: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(told[0]["deployment"]["state"], "taken");
    assert_eq!(told[0]["component"], hex::encode(<sha2::Sha256 as sha2::Digest>::digest(writes('a').component())));
    let recorded = "SELECT component_digest || ' ' || lsn FROM rejot_data_store.transform";
    let (component, position) = (&told[0]["component"], &told[0]["position"]);
    let shown = format!("{} {}", component.as_str().unwrap(), position.as_str().unwrap());
    assert_eq!(line.destination.value(recorded).await, shown);
    insert(&line, 201..=203).await;
    has_rows(&line, 203).await;
    assert!(letters(&line.destination, 203).await.ends_with("baaa"));
    // And forward again: the rollback itself is what can be taken back.
    let (code, ..) = deploy(&manifest, &[], &["t", "--rollback"]).await;
    assert_eq!(code, 0);
    insert(&line, 204..=204).await;
    has_rows(&line, 204).await;
    assert!(letters(&line.destination, 204).await.ends_with("baaab"));
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));
    // Only what runs, and what ran before it, is kept.
    assert_eq!(line.destination.value("SELECT count(*) FROM rejot_data_store.component").await, "2");
    let (code, stdout, _) = deploy(&manifest, &[], &["--status"]).await;
    assert_eq!((code, stdout.lines().count()), (0, 2), "{stdout}");
}

#[tokio::test]
async fn what_was_deployed_runs_after_a_restart_whatever_the_file_is() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    let mut sync = running(&line, &manifest).await;
    deploys(&manifest, &writes('b')).await;
    sync.kill().await;
    insert(&line, 4..=5).await;
    // The file is the one from before: nothing is said of it.
    let mut again = line.follow(&manifest).file("t.wasm", writes('a').component());
    again.start();
    has_rows(&line, 5).await;
    assert!(!again.stderr().contains("not deployed"), "{}", again.stderr());
    again.kill().await;
    // It is one that nobody deployed.
    insert(&line, 6..=6).await;
    let mut strange = line.follow(&manifest).file("t.wasm", writes('z').component());
    strange.start();
    strange.says("which was not deployed").await;
    has_rows(&line, 6).await;
    strange.kill().await;
    assert_eq!(letters(&line.destination, 6).await, "aaabbb");
    // Once the file is what runs, a new file is a new component, at the next start and no sooner.
    let mut same = line.follow(&manifest).file("t.wasm", writes('b').component());
    same.start();
    insert(&line, 7..=7).await;
    has_rows(&line, 7).await;
    let file = same.folder().join("t.wasm");
    std::fs::write(file, writes('c').component()).expect("a file can be written");
    // The server is shared with other tests.
    line.destination
        .execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pelton line%' \
             AND datname IN ('{}', '{}')",
            line.source.name(),
            line.destination.name()
        ))
        .await;
    insert(&line, 8..=8).await;
    has_rows(&line, 8).await;
    same.kill().await;
    same.start();
    insert(&line, 9..=9).await;
    has_rows(&line, 9).await;
    assert_eq!(letters(&line.destination, 9).await, "aaabbbbbc");
}

#[tokio::test]
async fn a_kill_at_any_point_of_a_swap_loses_nothing_and_doubles_nothing() {
    let points = [
        "before-component",
        "after-component",
        "before-guest",
        "after-guest",
        "before-copy",
        "after-copy",
        "before-commit",
        "after-commit",
        "before-feedback",
        "after-feedback",
    ];
    for point in points {
        let line = Line::new().await;
        let manifest = manifest(&line);
        let mut sync = running(&line, &manifest).await;
        sync.terminate();
        assert_eq!(sync.ended().await.code(), Some(0));
        // Nobody runs it: the next start takes it.
        let (code, stdout, stderr) = deploy(&manifest, &[("b.wasm", writes('b').component())], &["t", "b.wasm"]).await;
        assert_eq!(code, 0, "{stdout}{stderr}");
        assert!(stdout.contains("no `pelton sync` runs now; the next one begins with it"), "{stdout}");
        insert(&line, 4..=9).await;
        sync.set("PELTON_FAULT", Some(&format!("{point}:1")));
        sync.start();
        assert_eq!(sync.ended().await.code(), None, "{point}: {}", sync.stderr());
        insert(&line, 10..=12).await;
        sync.set("PELTON_FAULT", None);
        sync.start();
        has_rows(&line, 12).await;
        assert_eq!(letters(&line.destination, 12).await, "aaabbbbbbbbb", "{point}");
        sync.kill().await;
    }
}

#[tokio::test]
async fn a_kill_while_a_swap_is_under_way_leaves_one_component_for_each_transaction() {
    for point in ["before-component:2", "after-component:2"] {
        let line = Line::new().await;
        let manifest = manifest(&line);
        line.source(TABLES).await;
        let mut sync = line.follow(&manifest).file("t.wasm", writes('a').component()).env("PELTON_FAULT", point);
        sync.start();
        insert(&line, 1..=3).await;
        has_rows(&line, 3).await;
        let files = [("b.wasm", writes('b').component())];
        let arguments = ["t", "b.wasm", "--wait", "5"];
        let ((code, ..), ended, ()) =
            tokio::join!(deploy(&manifest, &files, &arguments), sync.ended(), insert(&line, 4..=40));
        assert_eq!((code, ended.code()), (0, None), "{point}: {}", sync.stderr());
        sync.set("PELTON_FAULT", None);
        sync.start();
        insert(&line, 41..=42).await;
        has_rows(&line, 42).await;
        let seen = letters(&line.destination, 42).await;
        let before = seen.find('b').expect("the new one has made rows");
        assert!(seen[before..].chars().all(|c| c == 'b'), "{point}: {seen}");
        sync.kill().await;
    }
}

#[tokio::test]
async fn what_cannot_take_over_is_refused_and_what_runs_goes_on() {
    const WIDER: &[(&str, u8, bool, bool)] = &[("id", crate::guest::INT64, false, true), ("v", 7, true, false)];
    let line = Line::new().await;
    let manifest = manifest(&line);
    let mut sync = running(&line, &manifest).await;
    let cut = writes('b').component();
    // Refused before anything is written …
    let here: [(Vec<u8>, &[&str]); 6] = [
        (b"no component".to_vec(), &["is not WebAssembly"]),
        (cut[..cut.len() / 2].to_vec(), &["is not a valid component"]),
        (
            Guest { columns: WIDER, ..writes('b') }.component(),
            &["public schema `t` 1.0 would break those who read it: column `v` may be NULL", "publish it as `t` 2.0"],
        ),
        (Guest { version: (2, 0), ..writes('b') }.component(), &["does not publish `t@1`", "it publishes t@2"]),
        (
            Guest { name: "others", ..writes('b') }.component(),
            &["the component is `others`, and transform `t@1` is component `guest`"],
        ),
        (Guest { settings: &["currency"], ..writes('b') }.component(), &["the settings of component", "`currency`"]),
    ];
    for (component, parts) in here {
        let (code, stdout, stderr) = deploy(&manifest, &[("x.wasm", component)], &["t", "x.wasm"]).await;
        assert_eq!(code, 1, "{stdout}{stderr}");
        assert!(parts.iter().all(|part| stderr.contains(part)) && stderr.contains("Hint: "), "{stderr}");
    }
    let state = "SELECT count(*) FROM rejot_data_store.deployment";
    assert_eq!(line.destination.value(state).await, "0");
    // … and by whoever runs it, who knows the source.
    let there = [
        (Guest { table: ("public", "gone"), ..writes('b') }, "reads table public.gone, which is not published"),
        (Guest { subscribed: &["id", "w"], ..writes('b') }, "needs column `w`, which public.t does not have"),
        (Guest { init: "(return (call $fatal (i32.const 5)))", data: "never", ..writes('b') }, "can't go on: never"),
    ];
    for (guest, part) in there {
        let (code, stdout, stderr) = deploy(&manifest, &[("x.wasm", guest.component())], &["t", "x.wasm"]).await;
        assert_eq!(code, 1, "{stdout}{stderr}");
        assert!(stdout.contains(" was refused: ") && stdout.contains(part), "{stdout}{stderr}");
    }
    let stateful = counts("").component();
    let (code, _, stderr) = deploy(&manifest, &[("x.wasm", stateful)], &["t", "x.wasm"]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("the component keeps state, and") && stderr.contains("start its flows anew"), "{stderr}");
    let wrong: [(&[&str], &str); 3] = [
        (&["t", "gone.wasm"][..], "gone.wasm can't be read"),
        (&["nobody", "x.wasm"][..], "has no transform `nobody`\nHint: it has t@1"),
        (&["t", "--rollback"][..], "has run as one component only"),
    ];
    for (arguments, part) in wrong {
        let (code, _, stderr) = deploy(&manifest, &[], arguments).await;
        assert!(code == 1 && stderr.contains(part), "{stderr}");
    }
    insert(&line, 4..=5).await;
    has_rows(&line, 5).await;
    assert_eq!(letters(&line.destination, 5).await, "aaaaa");
    assert_eq!(sync.stderr().matches("streaming").count(), 1, "nothing began anew: {}", sync.stderr());
    // What was refused is shown until something else is deployed.
    let mut status = Pelton::new(["status"]).file("pelton.yaml", &manifest);
    status.run().await;
    assert!(status.stdout().contains("can't go on: never"), "{}", status.stdout());
    deploys(&manifest, &writes('b')).await;
    insert(&line, 6..=6).await;
    has_rows(&line, 6).await;
    assert_eq!(letters(&line.destination, 6).await, "aaaaab");
    sync.kill().await;
}

#[tokio::test]
async fn a_fix_that_is_deployed_brings_a_stopped_transform_back() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    line.source(TABLES).await;
    let fails = Guest {
        process: "(if (i32.ge_s (call $boom (local.get $count) (local.get $payload)) (i32.const 0)) (then unreachable))
                  (call $echo (local.get $count) (local.get $payload) (local.get $length))",
        ..Guest::default()
    };
    let mut sync = line.follow(&manifest).file("t.wasm", fails.component());
    sync.start();
    insert(&line, 1..=2).await;
    // What follows is streamed, not copied.
    has_rows(&line, 2).await;
    line.source("INSERT INTO t VALUES (3, 'boom'); INSERT INTO t VALUES (4, 'a'); INSERT INTO u VALUES (1)").await;
    line.destination.wait_for_rows("u", 1).await;
    sync.says("crashed on a batch of 1 change").await;
    has_rows(&line, 2).await;
    deploys(&manifest, &writes('b')).await;
    has_rows(&line, 4).await;
    let rows = line.destination.value("SELECT string_agg(id || v, ' ' ORDER BY id) FROM t").await;
    assert_eq!(rows, "1a 2a 3boom 4b");
    line.destination.wait_until("(SELECT count(*) FROM rejot_data_store.flow WHERE problem IS NOT NULL) = 0").await;
    sync.kill().await;
}

#[tokio::test]
async fn each_destination_takes_it_at_a_position_of_its_own() {
    let line = Line::new().await;
    let second = crate::support::database().await;
    line.source(TABLES).await;
    let t = Flow::new("t", "publicSchemaType: wasm, component: t.wasm").into("t", "createTable: true");
    let manifest = line
        .manifest(&[t])
        .replace("dataStores:\n", &format!("  - {{ slug: second, config: {{ connectionType: postgres, url: \"{}\" }} }}\ndataStores:\n  - {{ connectionSlug: second }}\n", second.url()))
        + "  - name: second-t
    sourceManifestSlug: line
    publicSchema: { name: t, majorVersion: 1 }
    config: { consumerSchemaType: table, destinationDataStoreSlug: second, table: public.t, createTable: true }
";
    let mut sync = line.follow(&manifest).file("t.wasm", writes('a').component());
    sync.start();
    insert(&line, 1..=3).await;
    has_rows(&line, 3).await;
    second.wait_for_rows("t", 3).await;
    let (code, stdout, stderr) =
        deploy(&manifest, &[("b.wasm", writes('b').component())], &["t", "b.wasm", "--json"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    let told: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let states: Vec<&str> =
        told.as_array().unwrap().iter().map(|one| one["deployment"]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["taken", "taken"]);
    insert(&line, 4..=5).await;
    has_rows(&line, 5).await;
    second.wait_for_rows("t", 5).await;
    assert_eq!(letters(&line.destination, 5).await, "aaabb");
    assert_eq!(letters(&second, 5).await, "aaabb");
    sync.kill().await;
}

#[tokio::test]
async fn state_is_carried_on_where_its_version_is_the_same() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    line.source(TABLES).await;
    let mut sync = line.follow(&manifest).file("t.wasm", counts("").component());
    sync.start();
    for id in 1..=3 {
        line.source(&format!("INSERT INTO t VALUES ({id}, 'a')")).await;
        has_rows(&line, id).await;
    }
    deploys(&manifest, &counts("another")).await;
    line.source("INSERT INTO t VALUES (4, 'a')").await;
    has_rows(&line, 4).await;
    assert_eq!(line.destination.value("SELECT max(id) FROM t").await, "4");
    let other = Guest { state_version: 8, ..counts("") };
    let (code, _, stderr) = deploy(&manifest, &[("x.wasm", other.component())], &["t", "x.wasm"]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("is of state version 7, and the component reads version 8"), "{stderr}");
    let (code, _, stderr) = deploy(&manifest, &[("x.wasm", writes('b').component())], &["t", "x.wasm"]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("the component keeps no state"), "{stderr}");
    sync.kill().await;
}

#[tokio::test]
async fn a_file_of_another_state_version_is_refused_at_the_start() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    line.source(TABLES).await;
    line.source("INSERT INTO t VALUES (1, 'a')").await;
    let start = async |guest: Guest, code| {
        let mut sync = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", &manifest);
        sync = sync.file("t.wasm", guest.component());
        assert_eq!(sync.run().await.code(), Some(code), "{}", sync.stderr());
        sync.stderr()
    };
    start(counts(""), 0).await;
    line.source("INSERT INTO t VALUES (2, 'a')").await;
    let said = start(Guest { state_version: 8, ..counts("") }, 1).await;
    assert!(said.contains("is of state version 7, and the component reads version 8"), "{said}");
    assert_eq!(line.destination.value("SELECT max(id) FROM t").await, "1");
    start(counts("another"), 0).await;
    assert_eq!(line.destination.value("SELECT max(id) FROM t").await, "2");
}

#[tokio::test]
async fn a_file_that_changes_is_deployed_with_watch() {
    let line = Line::new().await;
    let manifest = manifest(&line);
    line.source(TABLES).await;
    let mut sync =
        Pelton::new(["sync", "--watch"]).file("pelton.yaml", &manifest).file("t.wasm", writes('a').component());
    sync.start();
    insert(&line, 1..=2).await;
    has_rows(&line, 2).await;
    let file = sync.folder().join("t.wasm");
    std::fs::write(&file, writes('b').component()).expect("a file can be written");
    sync.says("runs as another component from here on").await;
    insert(&line, 3..=4).await;
    has_rows(&line, 4).await;
    std::fs::write(&file, "half of it").expect("a file can be written");
    sync.says("t.wasm is not deployed, and what ran goes on: ").await;
    insert(&line, 5..=5).await;
    has_rows(&line, 5).await;
    std::fs::write(&file, writes('c').component()).expect("a file can be written");
    line.destination.wait_until("(SELECT former_digest IS NOT NULL AND count(*) OVER () = 1 FROM rejot_data_store.deployment JOIN rejot_data_store.transform USING (transform) WHERE number = 2 AND state = 'taken')").await;
    insert(&line, 6..=6).await;
    has_rows(&line, 6).await;
    assert_eq!(letters(&line.destination, 6).await, "aabbbc");
    // The file is what runs, so the next start goes on with it.
    sync.kill().await;
    sync.start();
    insert(&line, 7..=7).await;
    has_rows(&line, 7).await;
    assert_eq!(letters(&line.destination, 7).await, "aabbbcc");
    sync.kill().await;
}
