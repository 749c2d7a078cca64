//! A stopped flow that holds back too much of the source's log is released: the slot moves on without it, and it comes
//! back with a backfill, with nothing lost and nothing twice.

use super::pair::{Flow, Pair};
use super::workload::{FLOWS, TABLES};
use crate::support::{Pelton, database};

/// A transform with state and two flows, and a flow of its own that goes on without it.
const SOME: &[Flow] = &[FLOWS[0], FLOWS[1], FLOWS[5]];

/// More than the megabyte that a stopped flow may hold back.
const MUCH: &str = "INSERT INTO visits SELECT n, 'visitor', repeat('x', 200) FROM generate_series(1, 8000) AS n";

async fn pair() -> Pair {
    Pair::of(database().await, database().await, TABLES, SOME).await
}

fn limited(pair: &Pair, command: &[&str]) -> Pelton {
    let slot = pair.slot();
    let manifest = pair.manifest();
    let changed = manifest.replace(&format!("slotName: {slot}"), &format!("slotName: {slot}, detachedWalMax: 1MB"));
    assert_ne!(manifest, changed);
    pair.pelton(command).file("pelton.yaml", changed)
}

/// Makes the transform fail, and changes rows behind its back, which only a backfill can tell it of.
async fn stop_the_orders(pair: &Pair, pelton: &mut Pelton) {
    pair.destination.execute("ALTER TABLE public.customer_totals ADD CONSTRAINT few CHECK (customer_id < 1000)").await;
    pair.source
        .execute(
            "INSERT INTO orders VALUES (7001, 1000, 'Zoe', 'zoe@example.com', 10, 'EUR');
             DELETE FROM orders WHERE id <= 100;
             UPDATE orders SET amount = amount + 1 WHERE id <= 200;
             INSERT INTO orders VALUES (7002, 3, 'Cal', 'cal@example.com', 5, 'EUR')",
        )
        .await;
    pelton.says("stopped: ").await;
}

#[tokio::test]
async fn a_stopped_flow_that_holds_back_too_much_is_released_and_comes_back_with_a_backfill() {
    let pair = pair().await;
    let mut pelton = limited(&pair, &["sync"]);
    pelton.start();
    pair.wait_until_live(&mut pelton).await;
    stop_the_orders(&pair, &mut pelton).await;
    let stopped_at = "SELECT min(lsn) FROM rejot_data_store.flow WHERE problem IS NOT NULL";
    pair.destination.wait_until(&format!("({stopped_at}) IS NOT NULL")).await;
    let stopped_at = pair.destination.value(stopped_at).await;
    pair.check_feedback().await.unwrap();

    pair.source.execute(MUCH).await;
    pelton.says("released: ").await;
    pair.source.wait_until(&format!("{} > '{stopped_at}'::pg_lsn + 1000000", pair.confirmed())).await;
    let released =
        "SELECT string_agg(flow, ' ' ORDER BY flow) FROM rejot_data_store.flow WHERE released_at IS NOT NULL";
    assert_eq!(pair.destination.value(released).await, "customer_totals-there orders-there");
    // What goes on, goes on.
    pair.source.execute("INSERT INTO visits VALUES (-1, 'after', 'release')").await;
    pair.destination.wait_until("EXISTS (SELECT FROM public.visits WHERE at = -1)").await;

    let mut status = limited(&pair, &["status"]);
    assert_eq!(status.run().await.code(), Some(1));
    let told = status.stdout();
    let states: Vec<&str> = told.lines().filter(|line| line.contains(" warehouse ")).collect();
    assert_eq!(states.iter().filter(|line| line.contains("released")).count(), 2, "{told}");
    assert!(states.iter().any(|line| line.starts_with("visits") && line.contains("live")), "{told}");
    for part in ["detachedWalMax", "may no longer be read", "\"few\"", "copies it anew"] {
        assert!(told.contains(part), "`{part}` is missing in {told}");
    }
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(1), "something is left to mend");

    // Not mended: it begins anew, and stops where it has to.
    let mut unmended = limited(&pair, &["sync", "--until-caught-up"]);
    assert_eq!(unmended.run().await.code(), Some(1), "{}", unmended.stderr());
    assert!(unmended.stderr().contains("its tables are emptied and copied anew"), "{}", unmended.stderr());
    pair.destination.execute("ALTER TABLE public.customer_totals DROP CONSTRAINT few").await;
    pair.catch_up_with(limited(&pair, &["sync", "--until-caught-up"])).await.unwrap();
    assert_eq!(limited(&pair, &["status"]).run().await.code(), Some(0));
    pair.check_feedback().await.unwrap();
}

#[tokio::test]
async fn a_crash_around_the_release_loses_nothing() {
    let pair = pair().await;
    let mut pelton = limited(&pair, &["sync"]).env("PELTON_FAULT", "after-release:1");
    pelton.start();
    pair.wait_until_live(&mut pelton).await;
    stop_the_orders(&pair, &mut pelton).await;
    pair.source.execute(MUCH).await;
    assert!(!pelton.ended().await.success(), "it is killed");
    let released = "SELECT count(*) FROM rejot_data_store.flow WHERE released_at IS NOT NULL";
    assert_eq!(pair.destination.value(released).await, "2");
    // The slot has not moved: the release was durable first.
    pair.check_feedback().await.unwrap();

    pair.destination.execute("ALTER TABLE public.customer_totals DROP CONSTRAINT few").await;
    for point in ["before-anew:1", "after-anew:1", "after-copy:2", "after-commit:2"] {
        let mut pelton = limited(&pair, &["sync"]).env("PELTON_FAULT", point);
        pelton.start();
        assert!(!pelton.ended().await.success(), "it is killed {point}");
        let anew = if point == "before-anew:1" { "2" } else { "0" };
        assert_eq!(pair.destination.value(released).await, anew, "{point}");
    }
    pair.catch_up_with(limited(&pair, &["sync", "--until-caught-up"])).await.unwrap();
    pair.check_feedback().await.unwrap();
}

#[tokio::test]
async fn without_a_limit_nothing_is_released() {
    let pair = pair().await;
    let mut pelton = pair.live().await;
    stop_the_orders(&pair, &mut pelton).await;
    pair.source.execute(MUCH).await;
    pair.destination.wait_until("(SELECT count(*) FROM public.visits) = 8500").await;
    pair.check_feedback().await.unwrap();
    pair.destination.execute("ALTER TABLE public.customer_totals DROP CONSTRAINT few").await;
    drop(pelton);
    pair.catch_up().await.unwrap();
    assert_eq!(pair.pelton(&["status"]).run().await.code(), Some(0));
}
