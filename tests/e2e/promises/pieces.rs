//! Promises 1 and 3 for a transaction larger than a batch: it is written in pieces, and whoever kills the process between
//! two of them finds nothing of it, neither rows nor state; in the end each took effect once.

use std::os::unix::process::ExitStatusExt;

use super::pair::Pair;
use super::workload::{FLOWS, TABLES};

/// Orders of a transaction, each of a customer of its own: several batches, and twice as many keys of state.
const ORDERS: u32 = 60_000;

fn insert(first: u32) -> String {
    format!(
        "INSERT INTO orders SELECT {first} + i, i, 'Customer', 'c@example.com', i / 100.0, 'EUR', NULL, false, now()
             FROM generate_series(1, {ORDERS}) AS i"
    )
}

/// What is at the destination: orders, customers with a total, and keys of state.
const ARRIVED: &str =
    "SELECT (SELECT count(*) FROM public.orders) || ' ' || (SELECT count(*) FROM public.customer_totals) || ' '
     || (SELECT count(*) FROM rejot_data_store.transform_state)";

#[tokio::test]
async fn a_kill_between_pieces_leaves_nothing_of_them_and_all_arrives_once() {
    let empty = TABLES.split("INSERT INTO orders").next().expect("the tables");
    let pair = Pair::new(empty, FLOWS).await;
    pair.catch_up().await.unwrap();
    let mut before = "0 0 0".to_owned();
    // The second transaction finds what the first one left in the state.
    for round in 0..2 {
        pair.source.execute(&insert(round * ORDERS)).await;
        for point in ["after-copy:1", "after-guest:2", "after-copy:2", "after-copy:3", "before-commit:1"] {
            let mut pelton = pair.pelton(&["sync", "--until-caught-up"]);
            pelton.set("PELTON_FAULT", Some(point));
            pelton.start();
            let died = pelton.ended().await;
            assert_eq!(died.signal(), Some(9), "{point}: {died}\n{}", pelton.stderr());
            assert_eq!(pair.destination.value(ARRIVED).await, before, "after a kill at {point}");
            pair.check_feedback().await.unwrap();
        }
        pair.catch_up().await.unwrap();
        // The transform remembers each order and each customer.
        before = format!("{} {ORDERS} {}", (round + 1) * ORDERS, (round + 2) * ORDERS);
        assert_eq!(pair.destination.value(ARRIVED).await, before);
    }
}
