//! Promise 6: memory is bounded whatever the size of a transaction or a backlog.

use std::fs;

use super::pair::Pair;
use super::workload::{FLOWS, TABLES};
use crate::support::{Database, Pelton, database_on, server};

/// What the program may have in memory at most. It is built for debugging here, and carries the compiler of guests.
const RESIDENT_MIB_MAX: u64 = 400;

/// Returns the most memory that a process has ever had resident, in MiB.
fn most_resident_mib(pelton: &Pelton) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pelton.pid().expect("it runs"))).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB") / 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_huge_transaction_and_a_backlog_fit_into_little_memory() {
    // A server of its own: what is made here is a burden to everybody who reads the log.
    let server = server().await;
    let empty = TABLES.split("INSERT INTO orders").next().expect("the tables");
    let pair = Pair::of(database_on(&server).await, database_on(&server).await, empty, FLOWS).await;
    let mut pelton = pair.live().await;
    let small = most_resident_mib(&pelton);

    // One transaction over a stateful transform and a table without a key, far larger than a batch.
    let rows = 200_000;
    let huge = format!(
        "BEGIN;
         INSERT INTO orders SELECT i, i % 1000, 'Customer', 'c@example.com', 1, 'EUR', repeat('n', 100), false, now()
             FROM generate_series(1, 50000) AS i;
         INSERT INTO visits SELECT i, 'visitor', repeat('w', 100) FROM generate_series(1, {rows}) AS i;
         COMMIT"
    );
    pair.source.execute(&huge).await;
    arrived(&pair.destination, rows).await;
    let with_huge = most_resident_mib(&pelton);

    // The same as a backlog of many transactions.
    pelton.terminate();
    assert!(pelton.ended().await.success());
    for part in 1..=20 {
        let insert = format!(
            "INSERT INTO visits SELECT i, 'v', repeat('w', 100) FROM generate_series(1, 10000) AS i, (SELECT {part})"
        );
        pair.source.execute(&format!("{insert} AS part")).await;
    }
    pelton.start();
    arrived(&pair.destination, 2 * rows).await;
    let with_backlog = most_resident_mib(&pelton);
    println!("MiB resident at most: idle {small}, huge transaction {with_huge}, backlog {with_backlog}");
    pelton.terminate();
    assert!(pelton.ended().await.success());
    pair.compare().await.unwrap();
    for most in [with_huge, with_backlog] {
        assert!(most < RESIDENT_MIB_MAX, "{most} MiB");
    }
}

async fn arrived(destination: &Database, visits: u32) {
    destination.wait_until(&format!("(SELECT count(*) FROM public.visits) = {visits}")).await;
}
