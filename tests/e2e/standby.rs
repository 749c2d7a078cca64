//! A standby as a source: the publication is made at its primary, the slot is its own.

use std::time::Duration;

use pelton::postgres::throwaway::Shutdown;

use crate::flows_setup::{Line, table};
use crate::support::{Database, Pelton, database, database_on, server, standby_of};

const TABLES: &str =
    "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE l (n int); CREATE TABLE u (id int PRIMARY KEY);
    CREATE TABLE m (n int); INSERT INTO m VALUES (1);
    ALTER TABLE l REPLICA IDENTITY FULL;
    INSERT INTO t SELECT n, 'copied' FROM generate_series(1, 5000) AS n; INSERT INTO l SELECT generate_series(1, 5000)";

const NOTHING: &str = "(SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical')
     + (SELECT count(*) FROM pg_publication)";

/// Waits until the standby has everything that the primary has committed.
async fn replayed(primary: &Database, standby: &Database) {
    let end = primary.value("SELECT pg_current_wal_flush_lsn()").await;
    standby.wait_until(&format!("pg_last_wal_replay_lsn() >= '{end}'")).await;
}

/// Lets the primary log which transactions run, for as long as the task lives.
async fn log_snapshots(primary: &Database) -> tokio::task::JoinHandle<()> {
    let client = primary.connect().await;
    tokio::spawn(async move {
        while client.batch_execute("SELECT pg_log_standby_snapshot()").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

#[tokio::test]
async fn a_standby_is_copied_and_streamed_from_or_refused_before_16() {
    let mut server = server().await;
    let mut primary = database_on(&server).await;
    primary.execute(TABLES).await;
    let (_standby, source) = standby_of(&mut server, &mut primary).await;
    let line = Line { source, destination: database().await };
    let manifest = line.manifest(&[table("t"), table("l")]);
    if server.major() < 16 {
        let said = line.stop(&manifest).await;
        for part in ["this is a standby of PostgreSQL 1", "need 16 or newer", "connect to the primary"] {
            assert!(said.contains(part), "`{part}` was not said\n{said}");
        }
        assert_eq!(line.source.value(&format!("SELECT {NOTHING}")).await, "0");
        eprintln!("PostgreSQL {} decodes nothing on a standby: only its refusal was tested", server.major());
        return;
    }

    // What can't be made here is refused, with what makes it there, before anything is made.
    let said = line.stop(&manifest).await;
    assert!(said.contains("publication \"pelton\" does not exist, and this is a standby"), "{said}");
    let make = said.split("Hint: at the primary: ").nth(1).and_then(|hint| hint.split("; start again").next());
    assert_eq!(line.source.value(&format!("SELECT {NOTHING}")).await, "0");
    primary.execute(make.expect("a hint")).await;
    replayed(&primary, &line.source).await;

    // Copied with a key in chunks, without one under a snapshot, while changes stream.
    let mut pelton = line.follow(&manifest);
    pelton.start();
    pelton.says("at the primary: SELECT pg_log_standby_snapshot()").await;
    let logging = log_snapshots(&primary).await;
    for n in 1..=20 {
        let id = 10_000 + n;
        primary.execute(&format!("INSERT INTO t VALUES ({id}, 'streamed'); INSERT INTO l VALUES ({id})")).await;
        primary
            .execute(&format!("UPDATE t SET v = 'changed' WHERE id = {n}; DELETE FROM t WHERE id = {n} + 1000"))
            .await;
        primary.execute(&format!("UPDATE l SET n = -n WHERE n = {n}; DELETE FROM l WHERE n = {n} + 1000")).await;
    }
    line.destination.wait_until("to_regclass('t') IS NOT NULL AND to_regclass('l') IS NOT NULL").await;
    line.destination
        .wait_until(
            "(SELECT count(*) FROM t) = 5000 AND (SELECT count(*) FROM l) = 5000 AND EXISTS (SELECT FROM l WHERE n = 10020)
             AND NOT EXISTS (SELECT FROM rejot_data_store.flow WHERE backfill IS NOT NULL)",
        )
        .await;
    logging.abort();
    let mut status = Pelton::new(["status"]).file("pelton.yaml", &manifest);
    assert_eq!(status.run().await.code(), Some(0), "{}{}", status.stdout(), status.stderr());
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    line.assert_equal(&["t", "l"]).await;

    // It goes on where it stopped, and ends once everything that has arrived here is applied.
    primary.execute("UPDATE t SET v = 'later' WHERE id < 100; INSERT INTO l SELECT generate_series(-9, -1)").await;
    replayed(&primary, &line.source).await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t", "l"]).await;

    // A table more can't be added here either, though the publication is ours.
    let more = line.manifest(&[table("t"), table("l"), table("u")]);
    let said = line.stop(&more).await;
    for part in ["table public.u is not in publication pelton", "ALTER PUBLICATION"] {
        assert!(said.contains(part), "`{part}` was not said\n{said}");
    }
    primary.execute("ALTER PUBLICATION pelton ADD TABLE u; INSERT INTO u VALUES (1)").await;
    replayed(&primary, &line.source).await;
    line.catch_up(&more).await;
    line.assert_equal(&["t", "l", "u"]).await;

    // A table without a key needs a slot for its copy, and with it the primary.
    primary.execute("ALTER PUBLICATION pelton ADD TABLE m").await;
    replayed(&primary, &line.source).await;
    server.stop(Shutdown::Fast).await.expect("the primary stops");
    let mut pelton = line.follow(&line.manifest(&[table("t"), table("l"), table("u"), table("m")]));
    pelton.start();
    pelton.says("streaming").await;
    pelton.says("at the primary: SELECT pg_log_standby_snapshot()").await;
    server.start().await.expect("the primary starts");
    primary.reconnect().await;
    let logging = log_snapshots(&primary).await;
    line.destination.wait_until("EXISTS (SELECT FROM m)").await;
    logging.abort();
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    line.assert_equal(&["t", "l", "u", "m"]).await;

    // Promoted it goes on, from the same slot, and can do for itself what only the primary could.
    replayed(&primary, &line.source).await;
    server.stop(Shutdown::Fast).await.expect("the primary stops");
    line.source("SELECT pg_promote()").await;
    line.source(
        "INSERT INTO t VALUES (-1, 'promoted'); CREATE TABLE own (id int PRIMARY KEY); INSERT INTO own VALUES (1)",
    )
    .await;
    line.catch_up(&line.manifest(&[table("t"), table("l"), table("u"), table("m"), table("own")])).await;
    line.assert_equal(&["t", "l", "u", "m", "own"]).await;
}

/// The slot is synchronised to a standby, which takes the primary's place.
#[tokio::test]
async fn a_synchronised_slot_goes_on_at_the_promoted_standby() {
    let mut primary = server().await;
    if primary.major() < 17 {
        eprintln!("PostgreSQL {} synchronises no slots: nothing was tested", primary.major());
        return;
    }
    let mut line = Line { source: database_on(&primary).await, destination: database().await };
    line.source("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'copied' FROM generate_series(1, 1000) AS n")
        .await;
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    let name = line.source.name().to_owned();
    let slot = |condition: &str| {
        format!("EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{name}' AND {condition})")
    };
    assert_eq!(line.source.value(&format!("SELECT {}", slot("failover"))).await, "t");

    let (mut standby, there) = standby_of(&mut primary, &mut line.source).await;
    // The primary hands out no change that the standby lacks, or the promoted one would be behind the destination.
    line.source("ALTER SYSTEM SET synchronized_standby_slots = 'standby'").await;
    line.source("SELECT pg_reload_conf()").await;
    let own = format!(
        "ALTER SYSTEM SET primary_conninfo = '{} dbname={name}'",
        there.value("SHOW primary_conninfo").await.replace('\'', "''")
    );
    there.execute(&own).await;
    there.execute("ALTER SYSTEM SET sync_replication_slots = on").await;
    there.execute("SELECT pg_reload_conf()").await;
    // A slot is kept there once the primary's has moved on, which takes snapshots to move to.
    let logging = log_snapshots(&line.source).await;
    let mut pelton = line.follow(&manifest);
    pelton.start();
    pelton.says("streaming").await;
    line.source("INSERT INTO t VALUES (2001, 'streamed')").await;
    there.wait_until(&slot("synced AND NOT temporary AND invalidation_reason IS NULL")).await;
    logging.abort();
    line.source("UPDATE t SET v = 'changed' WHERE id <= 100; DELETE FROM t WHERE id BETWEEN 200 AND 250").await;
    line.destination.wait_until("NOT EXISTS (SELECT FROM t WHERE id = 250)").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    line.source("INSERT INTO t SELECT n, 'not applied yet' FROM generate_series(3001, 3100) AS n; UPDATE t SET v = 'twice' WHERE id = 2001").await;
    let confirmed = line
        .source
        .value(&format!("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{name}'"))
        .await;
    there.wait_until(&slot(&format!("confirmed_flush_lsn >= '{confirmed}'"))).await;
    replayed(&line.source, &there).await;
    primary.stop(Shutdown::Immediate).await.expect("the primary ends");
    there.execute("SELECT pg_promote(true)").await;
    there.execute("INSERT INTO t VALUES (-1, 'promoted'); DELETE FROM t WHERE id = 3001").await;

    let manifest = manifest.replace(&line.source.url(), &there.url());
    let line = Line { source: there, destination: line.destination };
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;
    let mut repair = Pelton::new(["repair"]).file("pelton.yaml", &manifest);
    assert_eq!(repair.run().await.code(), Some(0), "{}", repair.stderr());
    assert!(repair.stdout().contains("nothing is lost"), "{}", repair.stdout());
    // It is the same slot, and goes on being read.
    assert_eq!(line.destination.value("SELECT epoch || ' ' || timeline FROM rejot_data_store.flow").await, "1 2");
    line.source("UPDATE t SET v = 'later' WHERE id = 1").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;
    standby.stop(Shutdown::Fast).await.expect("it stops");
}
