//! What a publication says is honoured by what is copied and by what is streamed, and flows that come later.

use crate::flows_setup::{Flow, Line, table};
use crate::support::Pelton;

#[tokio::test]
async fn row_filters_and_column_lists_hold_for_both() {
    let line = Line::new().await;
    let version: u32 = line.source.value("SELECT current_setting('server_version_num')").await.parse().unwrap();
    if version < 150_000 {
        // PostgreSQL 14 has neither.
        return;
    }
    line.source(
        "CREATE TABLE t (id int PRIMARY KEY, kind text, secret text, v int); ALTER TABLE t REPLICA IDENTITY FULL;
         CREATE TABLE u (id int PRIMARY KEY, secret text, v int);
         INSERT INTO t SELECT n, CASE n % 2 WHEN 0 THEN 'even' ELSE 'odd' END, 's', n FROM generate_series(1, 20) AS n;
         INSERT INTO u SELECT n, 's', n FROM generate_series(1, 20) AS n;
         CREATE PUBLICATION pelton FOR TABLE t WHERE (kind = 'even'), u (id, v)",
    )
    .await;
    let manifest = line.manifest(&[table("t"), table("u")]);
    for changes in [
        "",
        "UPDATE t SET v = v + 1; UPDATE t SET kind = 'even' WHERE id = 1; UPDATE t SET kind = 'odd' WHERE id = 2;
         DELETE FROM t WHERE id IN (3, 4); INSERT INTO t VALUES (21, 'odd', 's', 0), (22, 'even', 's', 0);
         UPDATE u SET secret = 'x'; UPDATE u SET v = 0 WHERE id < 5; DELETE FROM u WHERE id = 9; INSERT INTO u VALUES (30, 's', 1)",
    ] {
        line.source(changes).await;
        line.catch_up(&manifest).await;
        line.assert_same("SELECT * FROM t WHERE kind = 'even'", "SELECT * FROM t").await;
        line.assert_same("SELECT id, v FROM u", "SELECT * FROM u").await;
    }
}

/// What is not published never comes, and a destination that is never told of a delete looks like any other.
#[tokio::test]
async fn a_publication_without_some_operations_is_refused() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE log (v int);
         INSERT INTO t VALUES (1, 0), (2, 0); INSERT INTO log VALUES (0);
         CREATE PUBLICATION pelton FOR TABLE t, log WITH (publish = 'insert')",
    )
    .await;
    let manifest = line.manifest(&[table("t"), table("log")]);
    let said = line.stop(&manifest).await;
    assert!(said.contains("publication pelton leaves out update, delete, truncate of table public.t"), "{said}");
    let mend = "ALTER PUBLICATION \"pelton\" SET (publish = 'insert, update, delete, truncate')";
    assert!(said.contains(mend), "{said}");
    // Rows that nothing tells apart are only added, and a publication must not make their updates fail.
    assert!(said.contains("publication pelton leaves out truncate of table public.log"), "{said}");
    let append_only = "ALTER PUBLICATION \"pelton\" SET (publish = 'insert, truncate')";
    assert!(said.contains(append_only), "{said}");
    line.source(append_only).await;
    line.source("UPDATE log SET v = 1; INSERT INTO log VALUES (2)").await;
    let said = line.stop(&manifest).await;
    assert!(said.contains("leaves out update, delete of table public.t"), "{said}");
    assert_eq!(line.destination.value("SELECT string_agg(v::text, ',' ORDER BY v) FROM log").await, "1,2");

    line.source(mend).await;
    line.catch_up(&manifest).await;
    line.source("DELETE FROM t WHERE id = 1; UPDATE t SET v = 1 WHERE id = 2").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;
}

#[tokio::test]
async fn partitions_go_through_their_root_or_each_for_itself() {
    for via_root in [true, false] {
        let line = Line::new().await;
        line.source(&format!(
            "CREATE TABLE p (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
             CREATE TABLE p_eu PARTITION OF p FOR VALUES IN ('eu');
             CREATE TABLE p_us (v text, region text NOT NULL, id int NOT NULL, PRIMARY KEY (id, region));
             ALTER TABLE p ATTACH PARTITION p_us FOR VALUES IN ('us');
             INSERT INTO p SELECT n, CASE n % 2 WHEN 0 THEN 'eu' ELSE 'us' END, 'v' || n FROM generate_series(1, 50) AS n;
             CREATE PUBLICATION pelton FOR TABLE p WITH (publish_via_partition_root = {via_root})"
        ))
        .await;
        let names: &[&str] = if via_root { &["p"] } else { &["p_eu", "p_us"] };
        let flows: Vec<Flow> = names.iter().map(|name| table(name)).collect();
        let manifest = line.manifest(&flows);
        line.catch_up(&manifest).await;
        line.assert_equal(names).await;
        line.source(
            "UPDATE p SET v = 'changed' WHERE id < 10; UPDATE p SET region = 'us' WHERE id IN (2, 4);
             DELETE FROM p WHERE id IN (7, 8); INSERT INTO p VALUES (100, 'eu', 'n'), (101, 'us', 'n');
             TRUNCATE p_us; INSERT INTO p VALUES (102, 'us', 'after')",
        )
        .await;
        if via_root {
            // A partition that is truncated alone says nothing about its root.
            line.source("DELETE FROM p WHERE region = 'us'").await;
            line.catch_up(&manifest).await;
            line.assert_same("SELECT * FROM p_eu", "SELECT * FROM p WHERE region = 'eu'").await;
        } else {
            line.catch_up(&manifest).await;
            line.assert_equal(names).await;
        }
    }
}

#[tokio::test]
async fn a_consumer_that_comes_later_copies_what_was_there_while_the_others_go_on() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, 0 FROM generate_series(1, 1000) AS n;
         CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u SELECT generate_series(1, 1000)",
    )
    .await;
    let mut pelton = line.follow(&line.manifest(&[table("t")]));
    pelton.start();
    pelton.says("streaming").await;
    line.source("UPDATE t SET v = 1 WHERE id <= 10").await;
    line.destination.wait_until("(SELECT count(*) FILTER (WHERE v = 1) = 10 AND count(*) = 1000 FROM t)").await;
    line.destination
        .execute(
            "CREATE TABLE log (n bigserial, id int); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO public.log (id) VALUES (NEW.id); RETURN NULL; END $$;
         CREATE TRIGGER note AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0));
    line.source("INSERT INTO t VALUES (2001, 0); INSERT INTO u VALUES (2001); DELETE FROM u WHERE id = 1").await;

    let first = Flow::new("t", "publicSchemaType: table, table: public.t")
        .into("t", "createTable: true")
        .into("t_late", "createTable: true");
    let mut pelton = line.follow(&line.manifest(&[first, table("u")]));
    pelton.start();
    pelton.says("streaming").await;
    line.source("INSERT INTO t VALUES (2002, 0); UPDATE t SET v = 2 WHERE id = 500; INSERT INTO u VALUES (2002)").await;
    line.destination
        .wait_until(
            "(SELECT count(*) = 1002 AND bool_or(v = 2) FROM t_late) AND (SELECT count(*) = 1001 FROM u)
             AND (SELECT count(*) = 1002 FROM t) AND NOT EXISTS (SELECT FROM rejot_data_store.flow WHERE backfill IS NOT NULL)",
        )
        .await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0));
    line.assert_equal(&["t", "u"]).await;
    line.assert_same("SELECT * FROM t", "SELECT * FROM t_late").await;
    // The flow that was there has not copied anything again.
    assert_eq!(line.destination.value("SELECT string_agg(id::text, ',' ORDER BY n) FROM log").await, "2001,2002");
}

/// As the hints say: what starts a flow anew.
async fn forget(line: &Line, table: &str) {
    let sql = format!(
        "DELETE FROM rejot_data_store.flow WHERE flow IN ('to-{table}');
         DELETE FROM rejot_data_store.backfill WHERE name IN ('to-{table}'); TRUNCATE {table}"
    );
    line.destination.execute(&sql).await;
}

#[tokio::test]
async fn a_table_that_was_taken_out_stops_its_flow_until_somebody_decides() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE TABLE u (id int PRIMARY KEY);
         INSERT INTO u VALUES (1); CREATE TABLE bare (id int NOT NULL); INSERT INTO bare VALUES (1)",
    )
    .await;
    let manifest = line.manifest(&[table("t"), table("u"), table("bare")]);
    assert!(line.stop(&manifest).await.contains("table public.bare has no primary key"));
    // What nothing was read of yet is added.
    line.source("ALTER TABLE bare ADD PRIMARY KEY (id)").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t", "u", "bare"]).await;

    line.source("ALTER PUBLICATION pelton DROP TABLE t; INSERT INTO t VALUES (2); INSERT INTO u VALUES (2)").await;
    let add = "ALTER PUBLICATION \"pelton\" ADD TABLE ONLY \"public\".\"t\"";
    for id in 3..6 {
        let said = line.stop(&manifest).await;
        for part in ["table public.t is not in publication", "flow `to-t` counts", "flow IN ('to-t')", add] {
            assert!(said.contains(part), "`{part}` was not said: {said}");
        }
        line.assert_equal(&["u"]).await;
        assert_eq!(line.destination.value("SELECT count(*) FROM t").await, "1");
        line.source(&format!("INSERT INTO u VALUES ({id}); INSERT INTO t VALUES ({id})")).await;
    }
    let mut status = Pelton::new(["status"]).file("pelton.yaml", &manifest);
    assert_eq!(status.run().await.code(), Some(1));
    assert!(status.stdout().contains("table public.t is not in publication"), "{}", status.stdout());

    // Accepted: what was not in the stream is missing, and what comes from now on comes.
    line.source(add).await;
    line.source("INSERT INTO t VALUES (10)").await;
    line.catch_up(&manifest).await;
    line.assert_same("SELECT * FROM t WHERE id IN (1, 10)", "SELECT * FROM t").await;

    // Copied anew.
    line.source("ALTER PUBLICATION pelton DROP TABLE t; INSERT INTO t VALUES (11)").await;
    line.stop(&manifest).await;
    forget(&line, "t").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t", "u"]).await;
}

#[tokio::test]
async fn a_table_that_is_taken_out_while_its_changes_are_followed_stops_its_flow_alone() {
    let line = Line::new().await;
    line.source("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await;
    let mut pelton = line.follow(&line.manifest(&[table("t"), table("u")]));
    pelton.start();
    pelton.says("streaming").await;
    line.destination.wait_until("EXISTS (SELECT FROM t)").await;
    line.source("ALTER PUBLICATION pelton DROP TABLE t; INSERT INTO t VALUES (2); INSERT INTO u VALUES (2)").await;
    pelton.says("stopped: table public.t is not in publication").await;
    line.source("INSERT INTO u VALUES (3)").await;
    line.destination.wait_until("EXISTS (SELECT FROM u WHERE id = 3)").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(1));
    line.assert_equal(&["u"]).await;
}

#[tokio::test]
async fn a_table_that_was_made_anew_between_two_runs_is_not_taken_for_the_former_one() {
    let line = Line::new().await;
    line.source("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)").await;
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    line.source("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (2), (3)").await;
    for _ in 0..2 {
        assert!(line.stop(&manifest).await.contains("it was taken out, or made anew"));
    }
    forget(&line, "t").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;
}

#[tokio::test]
async fn a_publication_that_was_dropped_stops_all_flows_until_they_start_anew() {
    let line = Line::new().await;
    line.source("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await;
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    line.source("DROP PUBLICATION pelton; INSERT INTO t VALUES (2)").await;
    let more = line.manifest(&[table("t"), table("u")]);
    for manifest in [&manifest, &more, &manifest] {
        let said = line.stop(manifest).await;
        assert!(said.contains("publication \"pelton\" of source `source` does not exist any more"), "{said}");
        assert!(said.contains("start again with a backfill"), "{said}");
        assert_eq!(line.source.value("SELECT count(*) FROM pg_publication").await, "0");
    }
    // As the hint says.
    line.source(&format!("SELECT pg_drop_replication_slot('{}')", line.source.name())).await;
    line.destination
        .execute(
            "DELETE FROM rejot_data_store.flow WHERE source_slug = 'source';
             DELETE FROM rejot_data_store.backfill WHERE source_slug = 'source'; TRUNCATE t",
        )
        .await;
    line.catch_up(&more).await;
    line.assert_equal(&["t", "u"]).await;
}

#[tokio::test]
async fn a_table_is_not_added_while_a_destination_that_may_have_read_it_is_away() {
    let line = Line::new().await;
    line.source("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1)")
        .await;
    line.catch_up(&line.manifest(&[table("t")])).await;
    let u = table("u").into("u_away", "createTable: true");
    let both = line.manifest(&[table("t"), u]);
    let nowhere = "postgres://pelton@127.0.0.1:1/none";
    let connection = format!("  - {{ slug: away, config: {{ connectionType: postgres, url: \"{nowhere}\" }} }}");
    let away = both
        .replace("dataStores:\n", &format!("{connection}\ndataStores:\n  - {{ connectionSlug: away }}\n"))
        .replace("destination, table: public.u_away", "away, table: public.u_away");
    let mut pelton = line.follow(&away);
    pelton.start();
    pelton.says("can't be added until destination `away` says whether it has changes of it").await;
    // The others of its group go on.
    line.source("INSERT INTO t VALUES (1)").await;
    line.destination.wait_until("EXISTS (SELECT FROM t)").await;
    assert_eq!(line.source.value("SELECT count(*) FROM pg_publication_tables").await, "1");
    pelton.terminate();
    pelton.ended().await;
    line.catch_up(&both).await;
    line.assert_equal(&["t", "u"]).await;
}

#[tokio::test]
async fn a_source_that_is_also_the_destination_does_not_feed_itself() {
    let line = Line::new().await;
    line.source("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10)").await;
    let manifest = line
        .manifest_of(
            ", allTables: true",
            &[Flow::new("t", "publicSchemaType: table, table: public.t").into("copy", "createTable: true")],
        )
        .replace(&line.destination.url(), &line.source.url());
    let mut pelton = line.follow(&manifest);
    pelton.start();
    pelton.says("streaming").await;
    line.source.wait_until("(SELECT count(*) FROM copy) = 10").await;
    line.source("INSERT INTO t VALUES (11); DELETE FROM t WHERE id = 1").await;
    line.source.wait_until("(SELECT max(id) = 11 AND count(*) = 10 FROM copy)").await;
    // What was written of our own accord is a few transactions, not one after another.
    let written = "SELECT sum(n_tup_ins + n_tup_upd) FROM pg_stat_all_tables WHERE schemaname = 'rejot_data_store'";
    let before = line.source.value("SELECT max(lsn) FROM rejot_data_store.flow").await;
    line.source("INSERT INTO t VALUES (12)").await;
    line.source
        .wait_until(&format!(
            "(SELECT max(lsn) > '{before}' FROM rejot_data_store.flow) AND (SELECT max(id) = 12 FROM copy)"
        ))
        .await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0));
    line.source.wait_until("NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pelton%')").await;
    let written: f64 = line.source.value(written).await.parse().unwrap();
    assert!(written < 60.0, "{written} rows of our own were written");
}
