//! What statements may take of the source and of us: time, memory, and nobody else's flows.

use super::place::{Place, kept, public, sql, table};

#[tokio::test]
async fn a_slow_statement_is_run_for_fewer_changes_until_one_alone_is_too_slow() {
    let place = Place::new(false, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE log (id int)").await;
    // Three milliseconds a change are within the limit for one and not for all; what comes before the limit is long enough to
    // be sent.
    let slow = "SELECT id, pg_sleep(CASE WHEN id = 5000 THEN 5 ELSE 0.003 END)::text || repeat('x', 1000) AS slept FROM t \
                WHERE id = :id";
    let log = sql("INSERT INTO log VALUES (:id)", None);
    let manifest = place.manifest(&[("t", public(&[("insert update", "t", slow)]))], &[("t", "t", log)]);
    place.catch_up(&manifest).await;
    let run = async |code: i32| {
        let mut pelton = place.sync(&manifest, &["--until-caught-up"]).env("PELTON_SABOTAGE", "haste");
        assert_eq!(pelton.run().await.code(), Some(code), "{}", pelton.stderr());
        pelton.stderr()
    };
    place.source.execute("INSERT INTO t SELECT generate_series(1, 500)").await;
    let said = run(0).await;
    assert_eq!(place.found("SELECT count(*), count(DISTINCT id) FROM log").await, "500 500");
    assert!(said.contains("it is run for fewer at a time"), "{said}");
    place.source.execute("INSERT INTO t SELECT generate_series(4999, 5001)").await;
    let said = run(1).await;
    assert!(said.contains("it took more than 1 s for one change") && said.contains(", change 1"), "{said}");
    assert!(said.contains("EXPLAIN ANALYZE"), "{said}");
}

#[tokio::test]
async fn a_statement_that_gives_without_end_is_refused() {
    let place = Place::new(false, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE log (n int)").await;
    let much = "SELECT id, n, repeat('x', 1000000) AS big FROM t, generate_series(1, 100000) AS n WHERE id = :id";
    let statements = public(&[("insert update", "t", much)]);
    let manifest = place.manifest(&[("t", statements)], &[("t", "t", sql("INSERT INTO log VALUES (:n)", None))]);
    place.catch_up(&manifest).await;
    place.source.execute("INSERT INTO t VALUES (1)").await;
    let said = place.stops(&manifest).await;
    assert!(
        said.contains("cannot run its insert of public.t at ") && said.contains("it gave more than 128 MiB"),
        "{said}"
    );
    assert!(said.contains("let the statement give fewer rows"), "{said}");
}

/// What holds a statement up when it is prepared is its own flow's trouble.
#[tokio::test]
async fn a_statement_that_cannot_be_prepared_now_holds_nobody_else_up() {
    let place = Place::new(
        false,
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY, v text); INSERT INTO other VALUES (1, 'x')",
        "",
    )
    .await;
    let joined = "SELECT t.id, o.v FROM t LEFT JOIN other o ON o.id = t.id WHERE t.id = :id";
    let manifest = place.manifest(
        &[("joined", public(&[("insert update", "t", joined)])), ("plain", table("t"))],
        &[("joined", "joined", kept("joined")), ("plain", "plain", kept("plain"))],
    );
    place.catch_up(&manifest).await;
    let locking = place.source.connect().await;
    locking.batch_execute("BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE").await.unwrap();
    place.source.execute("INSERT INTO t VALUES (1)").await;
    let mut pelton = place.sync(&manifest, &[]).env("PELTON_SABOTAGE", "haste");
    pelton.start();
    place.destination.wait_until("EXISTS (SELECT FROM plain WHERE id = 1)").await;
    assert_eq!(place.found("SELECT count(*) FROM joined").await, "0");
    locking.batch_execute("COMMIT").await.unwrap();
    place.destination.wait_until("EXISTS (SELECT FROM joined WHERE id = 1 AND v = 'x')").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}
