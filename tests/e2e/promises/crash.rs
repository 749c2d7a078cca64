//! Promise 3 where the destination's server dies: commits are asynchronous there, and the last ones are lost with it.

use std::time::Duration;

use pelton::postgres::throwaway::Shutdown;

use super::pair::Pair;
use super::workload::{FLOWS, TABLES, Workload};
use crate::support::{PATIENCE, database, database_on, server_with};

#[tokio::test]
async fn nothing_is_lost_with_the_destinations_server() {
    // Its log is flushed as seldom as can be, so that a crash takes much with it.
    let mut server = server_with(|builder| {
        builder
            .setting("wal_writer_delay", "10s")
            .setting("wal_writer_flush_after", "1GB")
            .setting("wal_buffers", "16MB")
    })
    .await;
    let mut pair = Pair::of(database().await, database_on(&server).await, TABLES, FLOWS).await;
    let mut pelton = pair.live().await;
    let mut workload = Workload::begin(&pair, 11).await;
    let mut lost = 0;
    for round in 0..4 {
        let before = pair.destination.value("SELECT min(lsn) FROM rejot_data_store.flow").await;
        let goes_on = format!("SELECT min(lsn) > '{before}' FROM rejot_data_store.flow");
        let begun = std::time::Instant::now();
        let mut steps = 0;
        while steps < 200 || pair.destination.value(&goes_on).await != "t" {
            workload.step().await;
            steps += 1;
            assert!(begun.elapsed() < PATIENCE, "the destination goes on\n{}", pelton.stderr());
        }
        let committed = pair.destination.value("SELECT min(lsn) FROM rejot_data_store.flow").await;
        server.stop(Shutdown::Immediate).await.unwrap();
        for _ in 0..50 {
            workload.step().await;
        }
        // Once the process goes with the server, otherwise it must find its way by itself.
        if round == 2 {
            pelton.kill().await;
        }
        server.start().await.unwrap();
        pair.destination.reconnect().await;
        // Whoever asks first: the process may have begun again by now, but then from what was left.
        let left = pair.destination.value(&format!("SELECT min(lsn) < '{committed}' FROM rejot_data_store.flow")).await;
        lost += u32::from(left == "t");
        pair.check_feedback().await.unwrap();
        if round == 2 {
            pelton.start();
        }
    }
    assert!(lost > 0, "no crash took a commit with it, so this shows nothing");
    workload.finish().await;
    pelton.terminate();
    let status = tokio::time::timeout(Duration::from_secs(60), pelton.ended()).await.expect("it ends");
    assert!(status.success(), "{status}");
    pair.catch_up().await.unwrap();
    pair.check_feedback().await.unwrap();
}
