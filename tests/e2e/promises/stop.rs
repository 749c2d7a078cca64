//! Whatever a process waits for, it ends at once when it is asked; what it had begun is gone with it.

use std::time::{Duration, Instant};

use super::items;
use super::pair::Pair;
use crate::support::Pelton;

/// Far less than any time-out that it could be waiting for, far more than a machine that is busy needs.
const AT_ONCE: Duration = Duration::from_secs(8);

async fn ends_at_once(pelton: &mut Pelton) {
    let asked = Instant::now();
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    assert!(asked.elapsed() < AT_ONCE, "it took {:?}\n{}", asked.elapsed(), pelton.stderr());
}

/// A pair whose destination has all of our tables, and what it is started with now.
async fn prepared() -> (Pair, Pelton) {
    let pair = items::pair().await;
    pair.catch_up().await.unwrap();
    let pelton = pair.sync();
    (pair, pelton)
}

#[tokio::test]
async fn it_ends_at_once_while_a_destination_says_nothing() {
    let (_pair, mut pelton) = prepared().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    pelton.set("DESTINATION_URL", Some(&format!("postgres://nobody@127.0.0.1:{port}/silent")));
    pelton.start();
    let _connection = silent.accept().await.expect("it connects");
    ends_at_once(&mut pelton).await;
}

#[tokio::test]
async fn it_ends_at_once_while_somebody_else_locks_our_tables() {
    let (pair, mut pelton) = prepared().await;
    let other = pair.destination.connect().await;
    other.batch_execute("BEGIN; LOCK TABLE rejot_data_store.flow").await.expect("a lock");
    pelton.start();
    let waits = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                 AND application_name LIKE 'pelton%')";
    pair.destination.wait_until(waits).await;
    ends_at_once(&mut pelton).await;
    other.batch_execute("ROLLBACK").await.expect("the lock is let go");
    pair.catch_up().await.unwrap();
}

#[tokio::test]
async fn it_ends_at_once_while_the_slot_is_to_be_made() {
    let pair = items::pair().await;
    // A slot waits for the transactions that are running.
    let other = pair.source.connect().await;
    other.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.expect("a transaction");
    let mut pelton = pair.sync();
    pelton.start();
    pelton.says("making the replication slot").await;
    ends_at_once(&mut pelton).await;
    other.batch_execute("ROLLBACK").await.expect("it ends");
    pair.catch_up().await.unwrap();
}
