//! Promise 2: what is confirmed to the source is committed at the destination, and what the source forgot is noticed.

use super::items;
use super::pair::Pair;
use crate::support::{Pelton, database};

#[tokio::test]
async fn ends_in_good_order_when_asked() {
    let pair = items::pair().await;
    let mut pelton = pair.live().await;
    for from in 0..20 {
        pair.source
            .execute(&format!("INSERT INTO items SELECT i, 0 FROM generate_series({from}000, {from}999) AS i"))
            .await;
    }
    pair.destination.wait_until("EXISTS (SELECT FROM public.items)").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    // All that it committed is confirmed, and nothing else.
    let confirmed = pair.source.value(&format!("SELECT {}", pair.confirmed())).await;
    let checkpoints = pair.destination.rows("SELECT DISTINCT lsn FROM rejot_data_store.flow").await;
    assert_eq!(checkpoints, [[Some(confirmed)]]);
    pair.catch_up().await.unwrap();
}

#[tokio::test]
async fn an_idle_streams_position_is_committed_before_it_is_confirmed() {
    let pair = items::pair().await;
    let _pelton = pair.live().await;
    // Nothing that anybody reads, and yet the source must be able to forget it.
    pair.source
        .execute("CREATE TABLE unread (t text); INSERT INTO unread SELECT 'x' FROM generate_series(1, 1000)")
        .await;
    let end = pair.source.value("SELECT pg_current_wal_flush_lsn()").await;
    let forgets = format!("SELECT {} >= '{end}'", pair.confirmed());
    let begun = std::time::Instant::now();
    loop {
        pair.check_feedback().await.unwrap();
        if pair.source.value(&forgets).await == "t" {
            break;
        }
        assert!(begun.elapsed() < crate::support::PATIENCE, "an idle stream's position does not move");
    }
    assert_eq!(pair.destination.value(&format!("SELECT {} >= '{end}'", Pair::CHECKPOINT)).await, "t");
}

/// A database that is idle while another one of its server writes holds nothing of that one's log back.
#[tokio::test]
async fn an_idle_source_lets_go_of_what_other_databases_write() {
    let pair = items::pair().await;
    let _pelton = pair.live().await;
    let listener = format!("{}_l", pair.slot());
    pair.source.execute(&format!("SELECT pg_create_logical_replication_slot('{listener}', 'pgoutput')")).await;
    let other = database().await;
    other.execute("CREATE TABLE much AS SELECT repeat(md5(i::text), 20) AS t FROM generate_series(1, 40000) i").await;
    let end = other.value("SELECT pg_current_wal_flush_lsn()").await;
    let beats = format!(
        "EXISTS (SELECT FROM pg_logical_slot_peek_binary_changes('{listener}', NULL, NULL, 'proto_version', '1',
             'publication_names', 'nobodys', 'messages', 'true') WHERE position('pelton.heartbeat'::bytea IN data) > 0)"
    );
    pair.source.wait_until(&beats).await;
    pair.source.execute(&format!("SELECT pg_drop_replication_slot('{listener}')")).await;
    pair.source.wait_until(&format!("{} >= '{end}'", pair.confirmed())).await;
    // What is still needed to decode moves with the server's own snapshots of what runs, as a checkpoint takes one.
    pair.source.execute("CHECKPOINT").await;
    let held = format!("(SELECT restart_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = '{}')", pair.slot());
    pair.source.wait_until(&held).await;
    pair.check_feedback().await.unwrap();
}

/// Stops the flows, changes something, and lets `meddle` do what an operator should not.
async fn meddled_with(meddle: impl AsyncFnOnce(&Pair)) -> (Pair, Pelton) {
    let pair = items::pair().await;
    let mut pelton = pair.live().await;
    pelton.terminate();
    pelton.ended().await;
    pair.source.execute("INSERT INTO items VALUES (1, 1)").await;
    meddle(&pair).await;
    let mut pelton = pair.sync();
    assert_eq!(pelton.run().await.code(), Some(1));
    (pair, pelton)
}

#[tokio::test]
async fn a_slot_that_was_advanced_stops_the_flows() {
    let advance = async |pair: &Pair| {
        let advance = format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_flush_lsn())", pair.slot());
        pair.source.execute(&advance).await;
    };
    let (pair, pelton) = meddled_with(advance).await;
    assert!(pelton.stderr().contains("beyond the checkpoint"), "{}", pelton.stderr());
    assert!(pelton.stderr().contains("Hint:"), "{}", pelton.stderr());
    assert_eq!(pair.destination.value("SELECT count(*) FROM public.items").await, "0", "it does not go on");
}

#[tokio::test]
async fn a_slot_that_was_made_anew_stops_the_flows() {
    let remake = async |pair: &Pair| {
        let slot = pair.slot();
        let remake = format!(
            "SELECT pg_drop_replication_slot('{slot}'); SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        );
        pair.source.execute(&remake).await;
    };
    let (_pair, pelton) = meddled_with(remake).await;
    assert!(pelton.stderr().contains("it was made anew or moved"), "{}", pelton.stderr());
}

#[tokio::test]
async fn a_slot_that_is_gone_is_no_reason_to_begin_anew_in_silence() {
    let (_pair, pelton) = meddled_with(async |pair: &Pair| {
        pair.source.execute(&format!("SELECT pg_drop_replication_slot('{}')", pair.slot())).await;
    })
    .await;
    assert!(pelton.stderr().contains("beyond the checkpoint"), "{}", pelton.stderr());
}
