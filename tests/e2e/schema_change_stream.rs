//! A source table is altered while its changes are streamed, and while nobody reads them.

use crate::flows_setup::{Flow, Line, table};
use crate::support::{database, database_on, server_with};

/// Waits until everything that was committed at the source before is at the destination: flows commit together.
async fn arrived(line: &Line, mark: u32) {
    line.source(&format!("INSERT INTO mark VALUES ({mark})")).await;
    line.destination.wait_until(&format!("EXISTS (SELECT FROM mark WHERE id = {mark})")).await;
}

async fn altered_line() -> Line {
    let line = Line::new().await;
    line.source("CREATE TABLE mark (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, a text, b int)").await;
    line.source("INSERT INTO t SELECT n, 'old ' || n, n FROM generate_series(1, 5) AS n").await;
    line
}

#[tokio::test]
async fn an_added_column_is_carried_where_all_are_taken_and_ignored_where_they_are_listed() {
    let line = altered_line().await;
    let listed = Flow::new("listed", "publicSchemaType: table, table: public.t, columns: [id, { name: a }]")
        .into("listed", "createTable: true");
    let manifest = line.manifest(&[table("t"), table("mark"), listed]);
    let mut pelton = line.follow(&manifest);
    pelton.start();
    pelton.says("streaming").await;
    line.destination.wait_until("(SELECT count(*) FROM t) = 5 AND (SELECT count(*) FROM listed) = 5").await;

    // Before and after the change, in one transaction; with a constant for the rows that exist, and without.
    line.source(
        "BEGIN;
         INSERT INTO t VALUES (6, 'six', 6);
         ALTER TABLE t ADD COLUMN c numeric(9, 2) NOT NULL DEFAULT 1.5, ADD COLUMN d text[];
         INSERT INTO t VALUES (7, 'seven', 7, 7.7, '{x,NULL}');
         UPDATE t SET d = '{}' WHERE id = 1;
         UPDATE t SET id = 20, c = 0 WHERE id = 2;
         DELETE FROM t WHERE id = 3;
         COMMIT;
         INSERT INTO t (id) VALUES (8)",
    )
    .await;
    arrived(&line, 1).await;
    line.assert_equal(&["t"]).await;
    line.assert_same("SELECT id, a FROM t", "SELECT id, name FROM listed").await;
    let columns = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute \
                   WHERE attrelid = 't'::regclass AND attnum > 0";
    line.assert_same(columns, columns).await;

    // Another one, and one that is gone again.
    line.source(
        "ALTER TABLE t ADD COLUMN e bigint;
         INSERT INTO t (id, e) VALUES (9, 9);
         ALTER TABLE t ADD COLUMN f int; INSERT INTO t (id, f) VALUES (10, 10); ALTER TABLE t DROP COLUMN f;
         INSERT INTO t (id, e) VALUES (11, 11)",
    )
    .await;
    arrived(&line, 2).await;
    line.assert_same("SELECT id, a, b, c, d, e FROM t", "SELECT id, a, b, c, d, e FROM t").await;
    line.assert_same("SELECT id, a FROM t", "SELECT id, name FROM listed").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_column_that_is_added_while_rows_are_copied_is_carried() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE mark (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, a text, b int);
         INSERT INTO t SELECT n, repeat(md5(n::text), 10), n FROM generate_series(1, 40000) AS n",
    )
    .await;
    // Made beforehand, so that it can be locked: what is copied waits there, in the middle of the table.
    line.destination.execute("CREATE TABLE t (id int PRIMARY KEY, a text, b int)").await;
    let mut pelton = line.follow(&line.manifest(&[table("t"), table("mark")]));
    pelton.start();
    line.destination.wait_until("EXISTS (SELECT FROM t)").await;
    let other = line.destination.connect().await;
    other.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let there: i64 = other.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert!(there < 40_000, "the copy is not through: {there}");
    line.source(
        "INSERT INTO t VALUES (50001, 'before', 1);
         ALTER TABLE t ADD COLUMN c int DEFAULT 42, ADD COLUMN d text;
         UPDATE t SET c = -id, d = 'changed' WHERE id % 1000 = 0;
         INSERT INTO t VALUES (50002, 'after', 2, 7, 'new');
         DELETE FROM t WHERE id % 1000 = 1;
         UPDATE t SET id = id + 60000 WHERE id % 1000 = 2",
    )
    .await;
    other.batch_execute("ROLLBACK").await.unwrap();
    let live = "(SELECT count(*) FROM rejot_data_store.flow WHERE backfill IS NULL) = 2";
    line.destination.wait_until(live).await;
    arrived(&line, 1).await;
    let rows = "SELECT id, a, b, c, d FROM t";
    line.assert_same(rows, rows).await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

#[tokio::test]
async fn a_column_that_was_added_while_nobody_read_arrives_with_what_older_rows_have_of_it() {
    let line = altered_line().await;
    let manifest = line.manifest(&[table("t"), table("mark")]);
    line.catch_up(&manifest).await;
    line.source(
        "INSERT INTO t VALUES (6, 'six', 6), (7, 'seven', 7);
         UPDATE t SET a = 'changed' WHERE id IN (1, 6);
         UPDATE t SET id = 20 WHERE id = 2;
         ALTER TABLE t ADD COLUMN c int DEFAULT 42, ADD COLUMN d text, ADD COLUMN e int[] NOT NULL DEFAULT '{1,2}';
         INSERT INTO t VALUES (8, 'eight', 8, 8, 'd', '{}');
         UPDATE t SET c = NULL WHERE id = 3;
         ALTER TABLE t ALTER COLUMN c SET DEFAULT 43;
         INSERT INTO t (id) VALUES (9);
         DELETE FROM t WHERE id = 7",
    )
    .await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;
    // What was there before is not filled in later by a default of the destination's own.
    let defaults = line.destination.value("SELECT count(*) FROM pg_attrdef WHERE adrelid = 't'::regclass").await;
    assert_eq!(defaults, "0");
}

#[tokio::test]
async fn an_added_column_is_carried_though_the_stream_has_it_before_anybody_can_see_it() {
    // A commit is in the log, and so in the stream, before it is visible; a synchronous standby that is away makes
    // that moment as long as one likes.
    let server = server_with(|builder| builder.setting("synchronous_standby_names", "")).await;
    let line = Line { source: database_on(&server).await, destination: database().await };
    line.source("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'one')").await;
    let mut pelton = line.follow(&line.manifest(&[table("t")])).env("PELTON_LOG", "pelton=debug");
    pelton.start();
    pelton.says("streaming").await;
    line.destination.wait_until("(SELECT count(*) FROM t) = 1").await;
    line.source("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    line.source("SELECT pg_reload_conf()").await;
    line.source.wait_until("current_setting('synchronous_standby_names') = 'nobody'").await;
    let altering = line.source.connect().await;
    let altered = tokio::spawn(async move {
        let sql = "BEGIN; ALTER TABLE t ADD COLUMN b int; INSERT INTO t VALUES (2, 'two', 2); COMMIT";
        altering.batch_execute(sql).await.expect("it is committed once nobody has to be waited for");
    });
    pelton.says("waiting until an altered table can be seen").await;
    line.source("ALTER SYSTEM RESET synchronous_standby_names").await;
    line.source("SELECT pg_reload_conf()").await;
    altered.await.expect("it is committed");
    line.destination.wait_until("EXISTS (SELECT FROM t WHERE id = 2)").await;
    line.assert_equal(&["t"]).await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_column_that_is_dropped_renamed_or_retyped_stops_its_flow_alone() {
    for (ddl, said) in [
        ("DROP COLUMN b", "table public.t has no column \"b\""),
        ("RENAME COLUMN b TO c", "column \"b\" of table public.t was renamed to \"c\""),
        ("ALTER COLUMN b TYPE text", "column \"b\" of table public.t is text now"),
    ] {
        let line = altered_line().await;
        let listed = Flow::new("listed", "publicSchemaType: table, table: public.t, columns: [id, { name: a }]")
            .into("listed", "createTable: true");
        let mut pelton = line.follow(&line.manifest(&[table("t"), table("mark"), listed]));
        pelton.start();
        pelton.says("streaming").await;
        line.destination.wait_until("(SELECT count(*) FROM t) = 5 AND (SELECT count(*) FROM listed) = 5").await;
        line.source(&format!(
            "BEGIN; INSERT INTO t VALUES (6, 'six', 6); ALTER TABLE t {ddl}; INSERT INTO t VALUES (7, 'seven'); COMMIT"
        ))
        .await;
        pelton.says(said).await;
        arrived(&line, 1).await;
        line.assert_same("SELECT id, a FROM t", "SELECT id, name FROM listed").await;
        // Nothing of the transaction that can't be followed.
        assert_eq!(line.destination.value("SELECT count(*) FROM t").await, "5", "after {ddl}");
        pelton.terminate();
        assert_eq!(pelton.ended().await.code(), Some(1));
    }
}

/// Postgres would round at the destination without a word, so nothing is written before the column there keeps as much.
#[tokio::test]
async fn a_column_with_more_digits_waits_until_the_destination_keeps_them() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE mark (id int PRIMARY KEY);
         CREATE TABLE t (id int PRIMARY KEY, price numeric(10, 2), at timestamp(0), less numeric(12, 4));
         INSERT INTO t VALUES (1, 1.25, '2024-01-01 10:00:00', 1.2345)",
    )
    .await;
    let manifest = line.manifest(&[table("t"), table("mark")]);
    let mut pelton = line.follow(&manifest);
    pelton.start();
    pelton.says("streaming").await;
    line.destination.wait_until("(SELECT count(*) FROM t) = 1").await;
    // One that keeps fewer digits than before is followed: what it had, the source has rounded itself.
    line.source("ALTER TABLE t ALTER COLUMN less TYPE numeric(12, 3); INSERT INTO t VALUES (2, 2, now(), 2.345)").await;
    line.destination.wait_until("(SELECT count(*) FROM t) = 2").await;
    line.source(
        "BEGIN;
         INSERT INTO t VALUES (3, 3.25, now(), 3);
         ALTER TABLE t ALTER COLUMN price TYPE numeric(12, 4), ALTER COLUMN at TYPE timestamp;
         INSERT INTO t VALUES (4, 4.5678, '2024-01-01 10:00:00.123456', 4);
         COMMIT",
    )
    .await;
    let mends = ["price TYPE numeric", "at TYPE timestamp without time zone"];
    pelton.says("column price of destination table public.t is numeric(10,2), which rounds").await;
    pelton.says(&format!("ALTER TABLE public.t ALTER COLUMN {}", mends[0])).await;
    arrived(&line, 1).await;
    assert_eq!(line.destination.value("SELECT count(*) FROM t").await, "2");
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(1));
    for mend in mends {
        let said = line.stop(&manifest).await;
        assert!(said.contains(&format!("ALTER COLUMN {mend}")), "{said}");
        line.destination.execute(&format!("ALTER TABLE t ALTER COLUMN {mend}")).await;
    }
    line.catch_up(&manifest).await;
    // But for zeros at the end, which an alteration adds and takes away where the rows are.
    let values = "SELECT id, trim_scale(price), at, trim_scale(less) FROM t WHERE id > 1";
    line.assert_same(values, values).await;
}

#[tokio::test]
async fn a_renamed_table_stops_its_flow_and_goes_on_under_its_new_name() {
    let line = altered_line().await;
    let manifest = line.manifest(&[table("t"), table("mark")]);
    let mut pelton = line.follow(&manifest);
    pelton.start();
    pelton.says("streaming").await;
    line.destination.wait_until("(SELECT count(*) FROM t) = 5").await;
    line.source(
        "BEGIN; INSERT INTO t VALUES (6, 'six', 6); ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (7); COMMIT",
    )
    .await;
    pelton.says("table public.t is called public.u now").await;
    arrived(&line, 1).await;
    assert_eq!(line.destination.value("SELECT count(*) FROM t").await, "5");
    pelton.terminate();
    pelton.ended().await;

    // The destination keeps its name.
    let read = "publicSchemaType: table, table: public.";
    line.catch_up(&manifest.replace(&format!("{read}t }}"), &format!("{read}u }}"))).await;
    line.assert_same("SELECT * FROM u", "SELECT * FROM t").await;
}

#[tokio::test]
async fn another_table_of_the_same_name_is_not_taken_for_the_former_one() {
    let line = altered_line().await;
    line.source("CREATE PUBLICATION pelton FOR ALL TABLES").await;
    let manifest = line.manifest(&[table("t"), table("mark")]);
    let mut pelton = line.follow(&manifest);
    pelton.start();
    pelton.says("streaming").await;
    line.destination.wait_until("(SELECT count(*) FROM t) = 5").await;
    line.source(
        "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, a text, b int); INSERT INTO t VALUES (1, 'other', 0)",
    )
    .await;
    pelton.says("table public.t was dropped, and another one was made in its place").await;
    arrived(&line, 1).await;
    assert_eq!(line.destination.value("SELECT a FROM t WHERE id = 1").await, "old 1");
}
