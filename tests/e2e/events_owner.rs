//! One owner of consumers at a time, and what becomes of one that is paused.

use std::time::{Duration, Instant};

use crate::events_line::Store;

const ITEMS: &str = "CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items VALUES (0, 0)";

#[tokio::test]
async fn an_owner_of_consumers_that_is_paused_inside_a_transaction_holds_up_no_takeover() {
    let store = Store::new(ITEMS).await;
    let shop = store.manifest(&["items"], &[]);
    let reports = store.consuming("reports", &[("there", "items", "items", "")]);
    let mut publisher = store.sync(&shop);
    publisher.start();
    let mut first = store.sync(&reports);
    first.start();
    store.destination.wait_until("to_regclass('public.items') IS NOT NULL").await;
    store.destination.wait_until("EXISTS (SELECT FROM items WHERE id = 0)").await;
    let of_ours =
        "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pelton reports%'";
    // See `promises::owner`.
    let mut id = 0;
    let paused = loop {
        id += 1;
        assert!(id <= 20, "it was never paused inside a transaction");
        let other = store.destination.connect().await;
        other.batch_execute("BEGIN; LOCK TABLE public.items").await.unwrap();
        store.source.execute(&format!("INSERT INTO items VALUES ({id}, 1)")).await;
        store.destination.wait_until(&format!("EXISTS (SELECT {of_ours} AND wait_event_type = 'Lock')")).await;
        first.signal("STOP");
        other.batch_execute("ROLLBACK").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let for_good = "state = 'idle in transaction' AND state_change < clock_timestamp() - interval '0.5 s'";
        let paused = store.destination.rows(&format!("SELECT pid {of_ours} AND {for_good}")).await;
        if let Some(pid) = paused.first().and_then(|row| row[0].clone()) {
            break pid;
        }
        first.signal("CONT");
        store.destination.wait_until(&format!("EXISTS (SELECT FROM items WHERE id = {id})")).await;
    };
    // The session that says who runs is lost, as a network loses it; the one that writes is not.
    let others = format!("SELECT pg_terminate_backend(pid) {of_ours} AND pid <> {paused}");
    store.destination.execute(&others).await;
    store.destination.wait_until(&format!("(SELECT count(*) {of_ours}) = 1")).await;

    let begun = Instant::now();
    let mut second = store.sync(&reports);
    second.start();
    store.destination.wait_until(&format!("EXISTS (SELECT FROM items WHERE id = {id})")).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    let gone = format!("NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {paused})");
    store.destination.wait_until(&gone).await;

    first.signal("CONT");
    first.says("waiting to take over").await;
    store.source.execute("UPDATE items SET v = 2 WHERE id = 1; INSERT INTO items VALUES (100, 2)").await;
    store.destination.wait_until("EXISTS (SELECT FROM items WHERE id = 100)").await;
    store.assert_equal("items").await;
    for pelton in [&mut first, &mut second, &mut publisher] {
        pelton.terminate();
        assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    }
}
