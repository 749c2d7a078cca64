//! Servers that go away and come back: it is said, tried again without a flood of lines, and nothing is lost.

use std::time::Duration;

use super::{Flow, TABLE, succeeds};
use crate::support::{database, database_on, server};
use pelton::postgres::throwaway::Shutdown;

/// Long enough that tries without back-off would fill the log.
const OUTAGE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_destination_that_is_down_for_a_while_gets_everything() {
    let (source, mut server) = (database().await, server().await);
    let sink = database_on(&server).await;
    source.execute(TABLE).await;
    source.execute("INSERT INTO t VALUES (1, 'a')").await;
    let flow = Flow::new(&source, &sink);
    let mut sync = flow.pelton(["sync"]);
    sync.start();
    sync.says("copied").await;
    source.execute("INSERT INTO t SELECT i, 'b' FROM generate_series(2, 100) i").await;
    sink.wait_until("(SELECT count(*) FROM t) = 100").await;

    server.stop(Shutdown::Immediate).await.expect("the server stops");
    let begun = std::time::Instant::now();
    source.execute("INSERT INTO t SELECT i, 'c' FROM generate_series(101, 200) i").await;
    source.execute("DELETE FROM t WHERE id % 2 = 0").await;
    sync.says("cannot reach").await;
    sync.says("nothing listens there").await;
    // `status` tells it, and ends.
    flow.status_says(&["cannot reach", "nothing listens there"]).await;
    // A run that is to end by itself keeps trying just so.
    let mut until = flow.pelton(["sync", "--until-caught-up"]);
    until.start();
    // Not a wait for an event: what is shown is that an outage of some length leaves few lines.
    tokio::time::sleep(OUTAGE.saturating_sub(begun.elapsed())).await;
    let lines = sync.stderr().lines().count();
    assert!(lines < 60, "{lines} lines in some seconds\n{}", sync.stderr());
    server.start().await.expect("the server starts");

    let sink = server.connect(sink.name()).await.expect("a session");
    let arrived = || async {
        let row = sink.query_one("SELECT count(*), coalesce(sum(id), 0)::bigint FROM t", &[]).await.expect("a row");
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    sync.terminate();
    assert!(sync.ended().await.success());
    assert!(until.ended().await.success(), "it took over and caught up");
    assert_eq!(arrived().await, (100, (1..200).step_by(2).sum()));
}

#[tokio::test]
async fn a_source_that_is_restarted_goes_on_where_it_was() {
    let (mut server, sink) = (server().await, database().await);
    let source = database_on(&server).await;
    source.execute(TABLE).await;
    source.execute("INSERT INTO t VALUES (1, 'a')").await;
    let flow = Flow::new(&source, &sink);
    let mut sync = flow.pelton(["sync"]);
    sync.start();
    sync.says("copied").await;
    for (round, how) in [Shutdown::Fast, Shutdown::Immediate].into_iter().enumerate() {
        let source = server.connect(source.name()).await.expect("a session");
        let first = 10 * (round + 1);
        let rows = format!("INSERT INTO t SELECT i, 'b' FROM generate_series({first}, {}) i", first + 4);
        source.batch_execute(&rows).await.expect("rows");
        server.restart(how).await.expect("the server restarts");
        let source = server.connect(source_name(&flow)).await.expect("a session");
        let row = format!("INSERT INTO t VALUES ({}, 'c')", first + 5);
        source.batch_execute(&row).await.expect("a row");
        sink.wait_until(&format!("(SELECT count(*) FROM t WHERE id >= {first}) = 6")).await;
    }
    let said = sync.stderr();
    assert!(said.contains("trying again in"), "{said}");
    assert!(!said.contains(" ERROR "), "a restart is no error: {said}");
    sync.terminate();
    assert!(sync.ended().await.success());
    succeeds(&mut flow.pelton(["status"])).await;
}

fn source_name(flow: &Flow) -> &str {
    flow.source.rsplit('/').next().expect("a path")
}
