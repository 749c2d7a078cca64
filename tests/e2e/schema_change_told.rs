//! A source whose administrator has put the trigger there that tells of ALTER TABLE, and messages that pretend to be its.

use crate::flows_setup::{Flow, Line, table};
use crate::guest::Guest;
use crate::migrations::migrations;
use crate::support::{Pelton, database, database_on, server_with};

const TABLES: &str = "\
    CREATE TABLE mark (id int PRIMARY KEY); CREATE TABLE unread (id int PRIMARY KEY); CREATE TABLE flat (id int PRIMARY KEY, a text);
    CREATE TABLE t (id int8 PRIMARY KEY, v text, w text)";

const TRIGGER: &str = "\
    CREATE EVENT TRIGGER pelton_tell_ddl ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION pelton.tell_ddl()";

const COPIED: &str = "(SELECT count(*) FROM rejot_data_store.flow WHERE backfill IS NULL) = 3";

const COMPLAINT: &str = "is not what Pelton's trigger writes";

/// A guest that logs, each time that it is told of a table that was altered, which columns may be NULL: `nullable !?`.
fn watching() -> Guest {
    Guest {
        imports: r#"(import "pelton:transform/host@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#,
        relation_changed: r#"
            (local $i i32)
            (block $done
              (loop $next
                (br_if $done (i32.ge_u (local.get $i) (local.get 8)))
                (i32.store8 offset=521 (local.get $i)
                  (select (i32.const 0x3f) (i32.const 0x21)
                    (i32.load8_u offset=28 (i32.add (local.get 7) (i32.mul (local.get $i) (i32.const 40))))))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br $next)))
            (call $log (i32.const 2) (i32.const 512) (i32.add (i32.const 9) (local.get 8)) (i32.const 0) (i32.const 0))"#,
        data: "nullable ",
        subscribed: &["id", "v"],
        columns: &[("id", 3, false, true), ("v", 7, true, false)],
        ..Guest::default()
    }
}

async fn line(with_trigger: bool) -> Line {
    let line = Line::new().await;
    line.source(TABLES).await;
    if with_trigger {
        put_trigger(&line).await;
    }
    line
}

async fn put_trigger(line: &Line) {
    migrations(&["apply", "--privileged", "--url", &line.source.url()], 0).await;
    line.source(TRIGGER).await;
}

fn pelton(line: &Line, arguments: &[&str]) -> Pelton {
    let seen = Flow::new("t", "publicSchemaType: wasm, component: guest.wasm").into("seen", "createTable: true");
    let manifest = line.manifest(&[seen, table("mark"), table("flat")]);
    Pelton::new(arguments).file("pelton.yaml", manifest).file("guest.wasm", watching().component())
}

async fn caught_up(line: &Line) -> String {
    let mut pelton = pelton(line, &["sync", "--until-caught-up"]);
    assert!(pelton.run().await.success(), "{}", pelton.stderr());
    pelton.stderr()
}

async fn arrived(line: &Line, mark: u32) {
    line.source(&format!("INSERT INTO mark VALUES ({mark})")).await;
    line.destination.wait_until(&format!("EXISTS (SELECT FROM mark WHERE id = {mark})")).await;
}

async fn assert_equal(line: &Line) {
    line.assert_same("SELECT id, v FROM t", "SELECT id, v FROM seen").await;
    line.assert_equal(&["mark", "flat"]).await;
}

/// What the guest was told, in order.
fn told(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.split("nullable ").nth(1)?.split(' ').next()).collect()
}

#[tokio::test]
async fn rows_are_the_same_with_and_without_the_trigger_and_with_it_the_guest_learns_more() {
    for with_trigger in [true, false] {
        let line = line(with_trigger).await;
        line.source("INSERT INTO t VALUES (1, 'one'); INSERT INTO flat VALUES (1, 'one')").await;
        let mut following = pelton(&line, &["sync"]);
        following.start();
        following.says("streaming").await;
        line.destination.wait_until(COPIED).await;
        line.source("INSERT INTO t VALUES (2, 'two')").await;
        arrived(&line, 1).await;
        line.source(
            "ALTER TABLE t ALTER COLUMN v SET NOT NULL;
             INSERT INTO t VALUES (3, 'three'); UPDATE t SET v = 'changed' WHERE id = 1",
        )
        .await;
        arrived(&line, 2).await;
        let expected: &[&str] = if with_trigger { &["!!"] } else { &[] };
        assert_eq!(told(&following.stderr()), expected, "with the trigger: {with_trigger}\n{}", following.stderr());
        line.source(
            "BEGIN; INSERT INTO t VALUES (4, 'four'); ALTER TABLE t ADD COLUMN x int DEFAULT 7;
             ALTER TABLE t RENAME COLUMN w TO y; INSERT INTO t VALUES (5, 'five', 'y', 8); COMMIT;
             BEGIN; ALTER TABLE flat ADD COLUMN b int NOT NULL DEFAULT 5; INSERT INTO flat VALUES (2, 'two', 6);
             ALTER TABLE flat ALTER COLUMN a SET NOT NULL; UPDATE flat SET a = 'changed' WHERE id = 1; COMMIT;
             ALTER TABLE unread ADD COLUMN a text, ALTER COLUMN a SET NOT NULL; INSERT INTO unread VALUES (1, 'a')",
        )
        .await;
        arrived(&line, 3).await;
        assert_equal(&line).await;
        following.terminate();
        assert_eq!(following.ended().await.code(), Some(0), "{}", following.stderr());
        // Without a message the constraint shows once the table gets another column.
        assert_eq!(told(&following.stderr()), ["!!"], "with the trigger: {with_trigger}");
        assert!(!following.stderr().contains(COMPLAINT), "{}", following.stderr());

        // The stream is behind the catalog, which has the constraint again: only the message knows that it was gone.
        line.source(
            "ALTER TABLE t ALTER COLUMN v DROP NOT NULL; INSERT INTO t VALUES (6, NULL);
             UPDATE t SET v = 'six' WHERE id = 6;
             ALTER TABLE t ALTER COLUMN v SET NOT NULL; INSERT INTO t VALUES (7, 'seven')",
        )
        .await;
        let said = caught_up(&line).await;
        assert_equal(&line).await;
        let expected: &[&str] = if with_trigger { &["!?"] } else { &[] };
        assert_eq!(told(&said), expected, "with the trigger: {with_trigger}\n{said}");
        assert!(!said.contains(COMPLAINT), "{said}");
    }
}

#[tokio::test]
async fn a_constraint_is_learnt_though_the_stream_has_it_before_anybody_can_see_it() {
    // A synchronous standby that is away makes the moment between the log and the catalog as long as one likes.
    let server = server_with(|builder| builder.setting("synchronous_standby_names", "")).await;
    let line = Line { source: database_on(&server).await, destination: database().await };
    line.source(TABLES).await;
    put_trigger(&line).await;
    let mut following = pelton(&line, &["sync"]).env("PELTON_LOG", "pelton=debug");
    following.start();
    following.says("streaming").await;
    line.destination.wait_until(COPIED).await;
    line.source("INSERT INTO t VALUES (1, 'one')").await;
    line.destination.wait_until("EXISTS (SELECT FROM seen WHERE id = 1)").await;
    line.source("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    line.source("SELECT pg_reload_conf()").await;
    line.source.wait_until("current_setting('synchronous_standby_names') = 'nobody'").await;
    let altering = line.source.connect().await;
    let altered = tokio::spawn(async move {
        let sql = "BEGIN; ALTER TABLE t ALTER COLUMN v SET NOT NULL; INSERT INTO t VALUES (2, 'two'); COMMIT";
        altering.batch_execute(sql).await.expect("it is committed once nobody has to be waited for");
    });
    following.says("waiting until an altered table can be seen").await;
    line.source("ALTER SYSTEM RESET synchronous_standby_names").await;
    line.source("SELECT pg_reload_conf()").await;
    altered.await.expect("it is committed");
    line.destination.wait_until("EXISTS (SELECT FROM seen WHERE id = 2)").await;
    assert_eq!(told(&following.stderr()), ["!!"], "{}", following.stderr());
    following.terminate();
    assert_eq!(following.ended().await.code(), Some(0), "{}", following.stderr());
}

#[tokio::test]
async fn forged_messages_are_ignored_and_said_once() {
    let line = line(true).await;
    line.source("INSERT INTO t VALUES (1, 'one'); INSERT INTO flat VALUES (1, 'one')").await;
    caught_up(&line).await;
    let forged = |columns: &str| {
        format!(
            "SELECT pg_logical_emit_message(true, 'pelton.ddl', jsonb_build_object('schema', 'public', 'table', 't', \
             'oid', 't'::regclass::oid::bigint, 'columns', '{columns}'::jsonb)::text)"
        )
    };
    // Another prefix, nothing, half of one, one outside of its transaction; then of columns that the table has not, of too
    // few, and one that says of a column with NULLs that it has none, each before the stream describes the table again.
    line.source(&format!(
        "SELECT pg_logical_emit_message(true, 'pelton.ddl', ''); SELECT pg_logical_emit_message(true, 'pelton.ddlx', '{{');
         SELECT pg_logical_emit_message(true, 'pelton.ddl', '\\x00ff'::bytea);
         SELECT pg_logical_emit_message(true, 'pelton.ddl', repeat('[', 3000000));
         SELECT pg_logical_emit_message(false, 'pelton.ddl', '{{\"oid\": 1, \"columns\": []}}');
         SET pelton.ddl_messages = off;
         {}; INSERT INTO t VALUES (2, 'two'); ALTER TABLE t ALTER COLUMN w SET DEFAULT '';
         INSERT INTO t VALUES (3, NULL);
         {}; ALTER TABLE t ADD COLUMN x int; INSERT INTO t VALUES (4, 'four', '', 4);
         {}; ALTER TABLE t ALTER COLUMN w DROP DEFAULT; UPDATE t SET v = NULL WHERE id = 1; INSERT INTO t VALUES (5);
         ALTER TABLE flat ADD COLUMN b int; INSERT INTO flat VALUES (2, 'two', 2); DELETE FROM t WHERE id = 2",
        forged(r#"[{"name": "no", "not_null": true}]"#),
        forged("[]"),
        forged(
            r#"[{"name": "id", "not_null": true}, {"name": "v", "not_null": true}, {"name": "w", "not_null": true},
                {"name": "x", "not_null": true}]"#
        ),
    ))
    .await;
    let said = caught_up(&line).await;
    assert_equal(&line).await;
    assert_eq!(said.matches(COMPLAINT).count(), 1, "{said}");
    // Nobody was told that a column that holds NULL has none.
    assert_eq!(told(&said), Vec::<&str>::new(), "{said}");
}

#[tokio::test]
async fn a_transform_that_subscribes_to_the_messages_gets_them() {
    let line = line(true).await;
    let guest = Guest {
        table: ("pg_logical_message", "pelton.ddl"),
        columns: &[("transactional", 0, false, false), ("content", 8, false, false)],
        ..Guest::default()
    };
    let flow = Flow::new("t", "publicSchemaType: wasm, component: guest.wasm").into("ddl", "createTable: true");
    let rows = Flow::new("rows", "publicSchemaType: table, table: public.t").into("t", "createTable: true");
    let manifest = line.manifest(&[flow, rows]);
    let run = || {
        Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", &manifest).file("guest.wasm", guest.component())
    };
    let mut first = run();
    assert!(first.run().await.success(), "{}", first.stderr());
    line.source(
        "ALTER TABLE t ALTER COLUMN v SET NOT NULL; INSERT INTO t VALUES (1, 'one'); ALTER TABLE unread ADD a int",
    )
    .await;
    let mut second = run();
    assert!(second.run().await.success(), "{}", second.stderr());
    let told = "SELECT string_agg(content ->> 'table', ' ' ORDER BY content ->> 'table')
                FROM (SELECT convert_from(content, 'UTF8')::jsonb FROM ddl) AS d (content)";
    assert_eq!(line.destination.value(told).await, "t unread");
    line.assert_equal(&["t"]).await;
    assert!(!first.stderr().contains("does not exist"), "{}", first.stderr());
}
