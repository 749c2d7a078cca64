//! Rows that exist are copied while the stream is at its hardest.

use crate::flows_setup::{Line, table};
use crate::support;

/// Nothing that is copied may enter inside a transaction that is written in pieces, nor wait for its end for ever.
#[tokio::test]
async fn a_table_without_a_key_is_copied_beside_transactions_that_come_in_pieces() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE l (n int, v text); ALTER TABLE l REPLICA IDENTITY FULL;
         INSERT INTO l SELECT n, repeat('x', 100) FROM generate_series(1, 300000) AS n;
         CREATE TABLE t (id int PRIMARY KEY)",
    )
    .await;
    let mut pelton = line.follow(&line.manifest(&[table("l"), table("t")]));
    pelton.start();
    pelton.says("streaming").await;
    line.destination.wait_until("EXISTS (SELECT FROM l)").await;
    for n in 0..4 {
        // The first pieces are of one table, the last one is of the one that is being copied.
        line.source(&format!(
            "INSERT INTO t SELECT {n} * 40000 + generate_series(1, 40000); INSERT INTO l VALUES (-{n} - 1, 'late');
             UPDATE l SET v = 'changed' WHERE n = {n} + 1"
        ))
        .await;
    }
    line.destination
        .wait_until(
            "(SELECT count(*) FROM t) = 160000 AND (SELECT count(*) FROM l) >= 300004
             AND NOT EXISTS (SELECT FROM rejot_data_store.flow WHERE backfill IS NOT NULL)",
        )
        .await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0));
    line.assert_equal(&["l", "t"]).await;
}

/// A table without a key is copied under the snapshot of a slot of its own.
#[tokio::test]
async fn a_copy_waits_for_a_free_slot_while_the_others_go_on() {
    let server = support::server_with(|builder| builder.setting("max_replication_slots", "2")).await;
    let line = Line { source: support::database_on(&server).await, destination: support::database().await };
    line.source(
        "CREATE TABLE l (n int); INSERT INTO l SELECT generate_series(1, 1000); CREATE TABLE t (id int PRIMARY KEY);
         ALTER TABLE l REPLICA IDENTITY FULL; SELECT pg_create_physical_replication_slot('other')",
    )
    .await;
    let mut pelton = line.follow(&line.manifest(&[table("l"), table("t")]));
    pelton.start();
    pelton.says("no snapshot to copy under: ").await;
    pelton.says("the server has no replication slot to spare").await;
    pelton.says("raise max_replication_slots").await;
    pelton.says("streaming").await;
    line.source("INSERT INTO t VALUES (1); INSERT INTO l VALUES (0)").await;
    line.destination.wait_until("EXISTS (SELECT FROM t)").await;
    assert_eq!(line.destination.value("SELECT count(*) FROM l").await, "0");

    line.source("SELECT pg_drop_replication_slot('other')").await;
    line.destination.wait_until("(SELECT count(*) FROM l) = 1001").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    line.assert_equal(&["l", "t"]).await;
}

/// A commit that waits for a synchronous standby was streamed and confirmed before any snapshot sees it. A consumer that
/// comes then does not get it from the stream, so its copy must wait for it.
#[tokio::test]
async fn a_consumer_that_comes_while_a_standby_stalls_gets_what_is_not_visible_yet() {
    let server = support::server().await;
    let line = Line { source: support::database_on(&server).await, destination: support::database().await };
    line.source(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY);
         INSERT INTO u SELECT generate_series(1, 10); CREATE PUBLICATION pelton FOR TABLE t, u",
    )
    .await;
    let first = line.manifest(&[table("t")]);
    line.catch_up(&first).await;

    line.source("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    line.source("SELECT pg_reload_conf()").await;
    line.source.wait_until("current_setting('synchronous_standby_names') = 'nobody'").await;
    let writer = line.source.connect().await;
    let pid: i32 = writer.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let commit =
        tokio::spawn(async move { writer.batch_execute("INSERT INTO t VALUES (1); INSERT INTO u VALUES (11)").await });
    let waits = format!("EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'SyncRep')");
    line.source.wait_until(&waits).await;
    line.catch_up(&first).await;
    assert_eq!(line.destination.value("SELECT count(*) FROM t").await, "1", "it was streamed");
    assert_eq!(line.source.value("SELECT count(*) FROM t").await, "0", "and is not visible");

    let mut pelton = line.follow(&line.manifest(&[table("t"), table("u")]));
    pelton.start();
    pelton.says("streaming").await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(line.destination.value("SELECT count(*) FROM u").await, "0", "a chunk entered that misses it");
    line.source(&format!("SELECT pg_cancel_backend({pid})")).await;
    commit.await.unwrap().unwrap();
    line.destination.wait_until("(SELECT count(*) FROM u) = 11").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0));
    // The database is dropped behind the test, which would wait for the standby too.
    line.source("ALTER SYSTEM RESET synchronous_standby_names").await;
    line.source("SELECT pg_reload_conf()").await;
}

/// An index may order texts in another way than `ORDER BY` does: then it is no key to copy by.
#[tokio::test]
async fn a_key_that_is_ordered_in_another_way_than_its_column_loses_no_change() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE t (name text COLLATE \"und-x-icu\" NOT NULL, v int);
         CREATE UNIQUE INDEX t_name ON t (name COLLATE \"C\"); ALTER TABLE t REPLICA IDENTITY USING INDEX t_name;
         INSERT INTO t SELECT chr(CASE n % 2 WHEN 0 THEN 65 ELSE 97 END + n % 26) || n, 0 FROM generate_series(1, 60000) AS n",
    )
    .await;
    let mut pelton = line.follow(&line.manifest(&[table("t")]));
    pelton.start();
    pelton.says("streaming").await;
    for n in 1..=20 {
        line.source(&format!("UPDATE t SET v = {n} WHERE hashtext(name) % 50 = 0; DELETE FROM t WHERE v = {n} - 10"))
            .await;
    }
    line.source("INSERT INTO t VALUES ('the end', 0)").await;
    line.destination
        .wait_until(
            "EXISTS (SELECT FROM t WHERE name = 'the end')
             AND NOT EXISTS (SELECT FROM rejot_data_store.flow WHERE backfill IS NOT NULL)",
        )
        .await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0));
    line.assert_equal(&["t"]).await;
}

/// A DELETE of a partition whose root has no key comes with an old row that the root's description does not fit.
#[tokio::test]
async fn a_change_that_cannot_be_read_of_a_table_that_nobody_reads_is_passed_over() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE p (id int NOT NULL, region text NOT NULL) PARTITION BY LIST (region);
         CREATE TABLE p_eu PARTITION OF p (PRIMARY KEY (id)) FOR VALUES IN ('eu');
         CREATE TABLE t (id int PRIMARY KEY);
         CREATE PUBLICATION pelton FOR ALL TABLES WITH (publish_via_partition_root = true)",
    )
    .await;
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    line.source("INSERT INTO p VALUES (1, 'eu'), (2, 'eu')").await;
    line.source("DELETE FROM p WHERE id = 1").await;
    line.source("INSERT INTO t VALUES (1)").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;
}

/// Once the identity no longer has the public key, an UPDATE of the key does not say which row it was.
#[tokio::test]
async fn an_identity_that_loses_the_public_key_stops_the_flow() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE t (id int PRIMARY KEY, mail text NOT NULL UNIQUE); INSERT INTO t VALUES (1, 'a');
         CREATE TABLE u (id int PRIMARY KEY)",
    )
    .await;
    let manifest = line.manifest(&[table("t"), table("u")]);
    let mut pelton = line.follow(&manifest);
    pelton.start();
    pelton.says("streaming").await;
    line.destination.wait_until("EXISTS (SELECT FROM t)").await;
    line.source("ALTER TABLE t REPLICA IDENTITY USING INDEX t_mail_key; UPDATE t SET id = 2 WHERE id = 1").await;
    pelton.says("key column \"id\" of public schema `t` is not part of table public.t's replica identity").await;
    line.source("INSERT INTO u VALUES (1)").await;
    line.destination.wait_until("EXISTS (SELECT FROM u)").await;
    assert_eq!(line.destination.value("SELECT string_agg(id::text, ',') FROM t").await, "1");
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(1));
}

/// What is written and not flushed is not sent: where nobody else writes, copying waits for nobody's flush all the same.
#[tokio::test]
async fn copying_goes_on_while_the_sources_log_is_not_flushed() {
    // On a server of its own, nobody flushes what another session has written into a page that is not full.
    let server = support::server_with(|builder| builder).await;
    let line = Line { source: support::database_on(&server).await, destination: support::database().await };
    line.source(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int);
         INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 100000) AS n",
    )
    .await;
    let writer = line.source.connect().await;
    let mut pelton = line.follow(&line.manifest(&[table("t")]));
    pelton.start();
    pelton.says("streaming").await;
    writer.batch_execute("BEGIN; INSERT INTO other VALUES (1)").await.unwrap();
    let begun = std::time::Instant::now();
    line.destination
        .wait_until("(SELECT count(*) FROM rejot_data_store.flow WHERE backfill IS NULL) = 1 AND (SELECT count(*) FROM t) = 100000")
        .await;
    // The server's own background writer would flush some 15 s after its start.
    assert!(begun.elapsed() < std::time::Duration::from_secs(8), "it took {:?}", begun.elapsed());
    drop(writer);
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}
