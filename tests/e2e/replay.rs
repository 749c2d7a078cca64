//! `pelton replay`: fixtures and what an event store remembers, through one component and through two.

use crate::deploy::{counts, writes};
use crate::events_line::Store;
use crate::guest::Guest;
use crate::support::Pelton;

const FIXTURE: &str = "tables:
  t:
    columns: { id: bigint key, v: text not null }
transactions:
  - changes:
      - insert: t
        new: { id: 1, v: a }
      - insert: t
        new: { id: 2, v: x }
  - changes:
      - update: t
        new: { id: 1, v: y }
      - update: t
        new: { id: 1, v: a }
      - delete: t
        old: { id: 2 }
";

/// Runs `pelton replay ARGUMENTS…` beside these files, `a.wasm` and `t.yaml` among them; returns its exit code and what it
/// printed on stdout and stderr.
async fn replay(files: &[(&str, &[u8])], arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut pelton = Pelton::new([&["replay"][..], arguments].concat());
    for (name, content) in files {
        pelton = pelton.file(name, content);
    }
    let code = pelton.run().await.code();
    (code, pelton.stdout(), pelton.stderr())
}

/// Returns the lines of JSON, and the last of them, which has the counts.
fn lines(stdout: &str) -> (Vec<serde_json::Value>, serde_json::Value) {
    let mut lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut last = lines.pop().expect("there are counts");
    (lines, last["summary"].take())
}

#[tokio::test]
async fn two_components_show_which_rows_differ_and_how() {
    let (a, b) = (writes('a').component(), writes('b').component());
    let files: [(&str, &[u8]); 3] = [("a.wasm", &a), ("b.wasm", &b), ("t.yaml", FIXTURE.as_bytes())];
    let arguments = ["t.yaml", "--component", "a.wasm", "--against", "b.wasm"];
    let (code, stdout, stderr) = replay(&files, &arguments).await;
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let digest = |bytes: &[u8]| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes))[..12].to_owned();
    let expected = format!(
        "--- a.wasm (guest 0.1.0, {})
+++ b.wasm (guest 0.1.0, {})
t.yaml:6:9: transaction 1, change 1: insert public.t (id=\"1\")
  insert t id=\"1\"
  - v=\"a\"
  + v=\"b\"
t.yaml:13:9: transaction 2, change 2: update public.t (id=\"1\")
  update t id=\"1\"
  - v=\"a\"
  + v=\"b\"
Replayed 2 transactions, 5 changes: 5 rows of a.wasm; 5 rows of b.wasm.
2 changed, 0 only of a.wasm, 0 only of b.wasm.
",
        digest(&a),
        digest(&b)
    );
    assert_eq!(stdout, expected);

    let (code, stdout, _) = replay(&files, &[&arguments[..], &["--json", "--limit", "1"]].concat()).await;
    assert_eq!(code, Some(1));
    let (differences, counts) = lines(&stdout);
    let expected = serde_json::json!([{
        "fixture": "t.yaml", "line": 6, "transaction": 1, "change": 1,
        "operation": "insert", "table": "public.t", "key": { "id": "1" },
        "row": "t", "rowKey": { "id": "1" },
        "before": { "insert": "t", "new": { "id": "1", "v": "a" } },
        "after": { "insert": "t", "new": { "id": "1", "v": "b" } },
        "columns": [{ "column": "v", "before": "a", "after": "b" }],
    }]);
    assert_eq!(serde_json::Value::from(differences), expected);
    assert_eq!((&counts["changed"], &counts["changes"]), (&2.into(), &5.into()), "{counts}");

    let (code, stdout, _) = replay(&files, &["t.yaml", "--component", "a.wasm", "--against", "a.wasm"]).await;
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.ends_with("Both make the same rows.\n"), "{stdout}");
}

#[tokio::test]
async fn a_failure_of_one_is_a_difference_and_its_words_are_shown() {
    let a = writes('a').component();
    // Fails on a text of one byte, which is `y`.
    let process = "(local.set $at (local.get $payload))
        (block $done
          (loop $next
            (br_if $done (i32.ge_u (local.get $at) (i32.add (local.get $payload) (local.get $length))))
            (if (i32.eq (i32.load16_u (local.get $at)) (i32.const 0x79a1)) (then unreachable))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
        (call $echo (local.get $count) (local.get $payload) (local.get $length))";
    let b = Guest { process, ..Guest::default() }.component();
    let files: [(&str, &[u8]); 3] = [("a.wasm", &a), ("b.wasm", &b), ("t.yaml", FIXTURE.as_bytes())];
    let (code, stdout, _) = replay(&files, &["t.yaml", "--component", "a.wasm", "--against", "b.wasm"]).await;
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("  - update t id=\"1\" v=\"y\"\n"), "{stdout}");
    assert!(stdout.contains("  + crash"), "{stdout}");
    assert!(stdout.contains("b.wasm said: "), "{stdout}");
    assert!(stdout.contains("5 rows of a.wasm; 2 rows, 1 failed of b.wasm"), "{stdout}");

    let (code, stdout, _) = replay(&files, &["t.yaml", "--component", "b.wasm"]).await;
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("t.yaml:10:5: transaction 2\n  crash"), "{stdout}");
    // What both do is the same.
    let (code, stdout, _) = replay(&files, &["t.yaml", "--component", "b.wasm", "--against", "b.wasm"]).await;
    assert_eq!(code, Some(0), "{stdout}");
}

#[tokio::test]
async fn the_rows_of_one_component_are_printed_and_its_state_goes_on_over_fixtures() {
    let component = counts("").component();
    let files: [(&str, &[u8]); 3] =
        [("c.wasm", &component), ("t.yaml", FIXTURE.as_bytes()), ("u.yaml", FIXTURE.as_bytes())];
    let (code, stdout, stderr) = replay(&files, &["t.yaml", "u.yaml", "--component", "c.wasm"]).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let expected = "t.yaml:5:5: transaction 1
  insert t id=\"2\" v=\"\"
t.yaml:10:5: transaction 2
  insert t id=\"5\" v=\"\"
u.yaml:5:5: transaction 1
  insert t id=\"7\" v=\"\"
u.yaml:10:5: transaction 2
  insert t id=\"10\" v=\"\"
Replayed 4 transactions, 10 changes: 4 rows.
";
    assert_eq!(stdout, expected);
}

/// Every kind of value that events write in a way of its own.
const VALUES: &str = r#"
    CREATE TABLE t (id bigint PRIMARY KEY, v text, n numeric, f float8, b bytea, j json, jb jsonb, large text);
    ALTER TABLE t ALTER COLUMN large SET STORAGE EXTERNAL;
    INSERT INTO t VALUES (1, 'copied', 1, 1, '\x00', '{}', '{}', 'x');
"#;

const CHANGES: &str = r#"
    BEGIN;
    INSERT INTO t VALUES (9007199254740993, E'é"\\\n', 12.50, 'NaN', '\x00ff', '{"a":  1}', '{"n": 1.10, "z": null}', repeat('L', 9000));
    INSERT INTO t VALUES (2, NULL, 'NaN', 1e300, NULL, NULL, 'null', NULL), (3, '', '-0.0', '-0', '', '"s"', NULL, '');
    COMMIT;
    UPDATE t SET v = 'left alone' WHERE id = 9007199254740993;
    UPDATE t SET id = 4 WHERE id = 3;
    DELETE FROM t WHERE id = 2;
    TRUNCATE t;
"#;

fn values() -> Guest {
    let columns = &[
        ("id", 3, false, true),
        ("v", 7, true, false),
        ("n", 6, true, false),
        ("f", 5, true, false),
        ("b", 8, true, false),
        ("j", 10, true, false),
        ("jb", 11, true, false),
        ("large", 7, true, false),
    ];
    Guest { columns, ..Guest::default() }
}

#[tokio::test]
async fn what_an_event_store_remembers_comes_back_as_it_was() {
    let store = Store::new(VALUES).await;
    let manifest = store.manifest(&["t"], &[]);
    store.catch_up(&manifest).await;
    store.source.execute(CHANGES).await;
    store.catch_up(&manifest).await;
    let component = values().component();
    let files: [(&str, &[u8]); 2] = [("pelton.yaml", manifest.as_bytes()), ("a.wasm", &component)];
    let arguments = ["--from", "beginning", "--component", "a.wasm", "--json"];
    let (code, stdout, stderr) = replay(&files, &arguments).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let (found, counts) = lines(&stdout);
    assert_eq!((&counts["changes"], &counts["transactions"]), (&8.into(), &3.into()), "{counts}");
    let made: Vec<String> = found.iter().map(|line| line["made"].to_string()).collect();
    let large = "L".repeat(9000);
    let expected = [
        r#"{"insert":"t","new":{"id":"1","v":"copied","n":"1","f":"1","b":{"bytes":"00"},"j":"{}","jb":"{}","large":"x"}}"#.to_owned(),
        format!(r#"{{"insert":"t","new":{{"id":"9007199254740993","v":"é\"\\\n","n":"12.50","f":"NaN","b":{{"bytes":"00ff"}},"j":"{{\"a\":  1}}","jb":"{{\"n\": 1.10, \"z\": null}}","large":"{large}"}}}}"#),
        r#"{"insert":"t","new":{"id":"2","v":null,"n":"NaN","f":"1e+300","b":null,"j":null,"jb":"null","large":null}}"#.to_owned(),
        r#"{"insert":"t","new":{"id":"3","v":"","n":"0.0","f":"-0","b":{"bytes":""},"j":"\"s\"","jb":null,"large":""}}"#.to_owned(),
        r#"{"update":"t","new":{"id":"9007199254740993","v":"left alone","n":"12.50","f":"NaN","b":{"bytes":"00ff"},"j":"{\"a\":  1}","jb":"{\"n\": 1.10, \"z\": null}","large":{"unchanged":true}}}"#.to_owned(),
        r#"{"update":"t","new":{"id":"4","v":"","n":"0.0","f":"-0","b":{"bytes":""},"j":"\"s\"","jb":null,"large":""}}"#.to_owned(),
        r#"{"delete":"t","old":{"id":"2"}}"#.to_owned(),
        r#"{"truncate":"t"}"#.to_owned(),
    ];
    // The guest that echoes does not tell former keys.
    assert_eq!(made, expected);
    assert_eq!(found[5]["key"]["id"], "3", "the former key is known: {}", found[5]);

    // From one position to another, both of them included.
    let position = |line: usize| found[line]["position"].as_str().unwrap().to_owned();
    let (from, until) = (position(2), position(4));
    let (code, stdout, stderr) =
        replay(&files, &["--from", &from, "--until", &until, "--component", "a.wasm", "--json"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    let (part, _) = lines(&stdout);
    assert_eq!(part, found[2..=4]);

    // Two components, and a table of another name.
    let of_two = |letter| Guest { subscribed: &["id", "v"], ..writes(letter) };
    let (a, b) = (of_two('a').component(), of_two('b').component());
    let elsewhere = Guest { table: ("public", "other"), ..of_two('b') }.component();
    store.source.execute("INSERT INTO t (id, v) VALUES (7, 'a')").await;
    store.catch_up(&manifest).await;
    let files: [(&str, &[u8]); 4] =
        [("pelton.yaml", manifest.as_bytes()), ("a.wasm", &a), ("b.wasm", &b), ("c.wasm", &elsewhere)];
    let more = ["--from", &until, "--component", "a.wasm", "--against", "b.wasm"];
    let (code, stdout, stderr) = replay(&files, &more).await;
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains(": insert public.t (id=\"7\")\n"), "{stdout}{stderr}");
    let named = ["--from", &until, "--component", "c.wasm", "--as", "t=public.other", "--schema", "t@1"];
    let (code, stdout, stderr) = replay(&files, &named).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("\n  insert t id=\"7\" v=\"b\""), "{stdout}");
    // It only reads, and takes no part in anything.
    assert_eq!(store.events.value("SELECT count(*) FROM rejot_events.consumer").await, "0");
}

#[tokio::test]
async fn a_transaction_larger_than_a_page_is_one_transaction() {
    let store = Store::new("CREATE TABLE t (id bigint PRIMARY KEY, v text)").await;
    let manifest = store.manifest(&["t"], &[]);
    store.catch_up(&manifest).await;
    store.source.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 12000) AS i").await;
    store.catch_up(&manifest).await;
    let (a, b) = (writes('a').component(), writes('b').component());
    let whole = Guest { whole_transactions: true, ..counts("") }.component();
    let files: [(&str, &[u8]); 4] =
        [("pelton.yaml", manifest.as_bytes()), ("a.wasm", &a), ("b.wasm", &b), ("whole.wasm", &whole)];
    let (code, stdout, stderr) =
        replay(&files, &["--from", "beginning", "--component", "a.wasm", "--against", "b.wasm", "-n", "1"]).await;
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("… and 11999 differences; --limit shows more\n"), "{stdout}");
    assert!(stdout.contains("Replayed 1 transaction, 12000 changes: 12000 rows of a.wasm; "), "{stdout}");
    // One that takes transactions whole is given it in one batch, of each of which it makes a row.
    let (code, stdout, stderr) = replay(&files, &["--from", "beginning", "--component", "whole.wasm"]).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.ends_with("Replayed 1 transaction, 12000 changes: 1 row.\n"), "{stdout}");
}

#[tokio::test]
async fn ctrl_c_ends_with_what_was_counted_so_far() {
    let slow = "(loop $wait (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $wait (i32.lt_u (local.get $i) (i32.const 20000000))))
        (call $echo (local.get $count) (local.get $payload) (local.get $length))";
    let component = Guest { process: slow, ..Guest::default() }.component();
    let mut fixture = FIXTURE.to_owned();
    for id in 10..2000 {
        fixture += &format!("  - changes: [ {{ insert: t, new: {{ id: {id}, v: a }} }} ]\n");
    }
    let mut pelton =
        Pelton::new(["replay", "t.yaml", "--component", "a.wasm"]).file("a.wasm", component).file("t.yaml", fixture);
    pelton.start();
    while !pelton.stdout().contains("transaction 2\n") {
        assert!(!pelton.has_ended(), "{}", pelton.stderr());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    pelton.signal("INT");
    assert_eq!(pelton.ended().await.code(), Some(130), "{}", pelton.stderr());
    let stdout = pelton.stdout();
    assert!(stdout.lines().last().unwrap().starts_with("Interrupted after "), "{stdout}");
}

#[tokio::test]
async fn every_wrong_input_is_told_with_what_to_do() {
    let store = Store::new("CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')").await;
    let manifest = store.manifest(&["t"], &[]);
    store.catch_up(&manifest).await;
    let bare = manifest.replace("eventStores:\n  - { connectionSlug: events }\n", "");
    let a = writes('a').component();
    let more = Guest { subscribed: &["id", "w"], ..Guest::default() }.component();
    let files: [(&str, &[u8]); 6] = [
        ("pelton.yaml", manifest.as_bytes()),
        ("bare.yaml", bare.as_bytes()),
        ("a.wasm", &a),
        ("more.wasm", &more),
        ("text.wasm", b"no component"),
        ("t.yaml", FIXTURE.as_bytes()),
    ];
    let a = ["--component", "a.wasm"];
    let cases: &[(&[&str], i32, &str)] = &[
        (&["none.yaml"], 1, "the fixture none.yaml can't be read"),
        (&["."], 1, "Hint: name the fixtures in it"),
        (&["pelton.yaml"], 1, "the fixture is not one"),
        (&["t.yaml", "--against", "none.wasm"], 1, "the component none.wasm can't be read"),
        (&["t.yaml", "--against", "text.wasm"], 1, "text.wasm"),
        (
            &["t.yaml", "--against", "more.wasm"],
            1,
            "t.yaml does not fit the transform: the transform reads column `w` of public.t",
        ),
        (&["t.yaml", "--setting", "x=1"], 1, "the transform knows no setting `x`"),
        (&["t.yaml", "--setting", "x"], 2, "a setting is written NAME=VALUE"),
        (&["t.yaml", "--transform", "t"], 1, "manifest `shop` has no transform `t`"),
        (&["t.yaml", "--manifest", "pelton.yaml"], 1, "nothing is asked of the manifest"),
        (&["t.yaml", "--from", "beginning"], 2, "cannot be used with"),
        (&[], 2, "required"),
        (&["--from", "yesterday"], 2, "a position is written EPOCH:LSN:ORDINAL, as 1:0/16B3748:0, or `beginning`"),
        (&["--from", "beginning", "--manifest", "bare.yaml"], 1, "manifest `shop` has no event store"),
        (&["--from", "beginning", "--schema", "u"], 1, "there is no public schema `u`"),
        (&["--from", "beginning", "--as", "t=u"], 1, "--as names table public.u, which nobody reads"),
        (&["--from", "beginning", "--as", "t"], 2, "write PUBLIC_SCHEMA=SCHEMA.TABLE"),
        (&["--from", "99:0/1:0"], 1, "there is nothing at 99:0/1:0 or behind it: the last event is at "),
        (&["--from", "1:0/2:0", "--until", "1:0/1:0"], 1, "--until 1:0/1:0 lies before --from 1:0/2:0"),
        (
            &["--from", "beginning", "--against", "more.wasm"],
            1,
            "reads column `w` of public.t, which shop/t@1 does not have",
        ),
        (&["--from", "beginning", "--url", "postgres://nobody@127.0.0.1:1/none"], 1, "127.0.0.1:1/none"),
    ];
    for (arguments, expected, text) in cases {
        let (code, stdout, stderr) = replay(&files, &[arguments, &a[..]].concat()).await;
        assert_eq!((code, stderr.contains(text)), (Some(*expected), true), "{arguments:?}: {stdout}{stderr}");
        let has_hint = *expected == 2 || stderr.contains("Hint: ") || stderr.contains("fixture is not one");
        assert!(has_hint, "{arguments:?} has no hint: {stderr}");
    }
}
