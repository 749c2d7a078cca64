//! The checks turn red when a promise is broken on purpose.
//!
//! Every scenario is run twice: as it is, and with Pelton sabotaged at the place that keeps the promise. A check that
//! stays green then would be worth nothing.

use super::items;

#[track_caller]
fn assert_red(checked: Result<(), String>, because: &str) {
    let red = checked.expect_err("the sabotage is noticed");
    assert!(red.contains(because), "another reason than `{because}`: {red}");
}

/// Changes of the same row in one transaction.
async fn one_row_changes(sabotage: Option<&str>) -> Result<(), String> {
    let pair = items::pair().await;
    let mut pelton = pair.live().await;
    pelton.terminate();
    pelton.ended().await;
    pair.source
        .execute("BEGIN; INSERT INTO items VALUES (1, 1); UPDATE items SET v = 2; UPDATE items SET v = 3; COMMIT")
        .await;
    let mut pelton = pair.pelton(&["sync", "--until-caught-up"]);
    pelton.set("PELTON_SABOTAGE", sabotage);
    pair.catch_up_with(pelton).await
}

#[tokio::test]
async fn another_order_is_noticed() {
    one_row_changes(None).await.unwrap();
    assert_red(one_row_changes(Some("order")).await, "flow items");
}

/// A kill while what was read is not yet written.
async fn killed_before_the_commit(sabotage: Option<&str>) -> Result<(), String> {
    let pair = items::pair().await;
    let mut pelton = pair.sync();
    pelton.set("PELTON_SABOTAGE", sabotage);
    pelton.start();
    pair.wait_until_live(&mut pelton).await;
    // The writer can't get on.
    let blocker = pair.destination.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE public.items").await.unwrap();
    pair.source.execute("INSERT INTO items VALUES (1, 1)").await;
    let inserted = pair.source.value("SELECT pg_current_wal_flush_lsn()").await;
    pair.wait_until_sent().await;
    pair.destination
        .wait_until("EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE NOT granted AND datname = current_database())")
        .await;
    if sabotage.is_some() {
        pair.source.wait_until(&format!("{} >= '{inserted}'", pair.confirmed())).await;
    }
    pelton.kill().await;
    blocker.batch_execute("ROLLBACK").await.unwrap();
    let before = pair.check_feedback().await;
    pair.catch_up().await?;
    before
}

#[tokio::test]
async fn feedback_before_the_commit_is_noticed() {
    killed_before_the_commit(None).await.unwrap();
    assert_red(killed_before_the_commit(Some("feedback")).await, "beyond the checkpoint");
}

/// Rows change while they and others are being copied.
async fn changed_while_copied(sabotage: Option<&str>) -> Result<(), String> {
    let pair = items::pair().await;
    pair.source.execute("INSERT INTO items SELECT i, 0, repeat('x', 400) FROM generate_series(1, 40000) AS i").await;
    let mut pelton = pair.pelton(&["sync", "--until-caught-up"]);
    pelton.set("PELTON_SABOTAGE", sabotage);
    pelton.start();
    {
        let mut ended = std::pin::pin!(pelton.ended());
        let mut n = 0u32;
        loop {
            // Some rows of every part of the table, and no row twice: a later change would bring it all again.
            let update = format!("UPDATE items SET v = v + 1 WHERE id % 2000 = {n}");
            n += 1;
            tokio::select! {
                status = &mut ended => {
                    if !status.success() {
                        return Err(format!("pelton ended ({status})"));
                    }
                    break;
                }
                () = pair.source.execute(&update) => {}
            }
        }
    }
    pair.catch_up().await
}

#[tokio::test]
async fn a_backfill_that_drops_changes_of_copied_rows_is_noticed() {
    changed_while_copied(None).await.unwrap();
    assert_red(changed_while_copied(Some("merge")).await, "flow items");
}

#[tokio::test]
async fn a_backfill_that_forgets_changes_of_rows_in_reading_is_noticed() {
    assert_red(changed_while_copied(Some("hold")).await, "flow items");
}

/// An owner that was paused wakes up with changes in hand, after another one took over and went on.
///
/// # Errors
/// What differs in the end.
async fn wakes_up_after_a_takeover(sabotage: Option<&str>) -> Result<(), String> {
    let pair = items::pair().await;
    let mut paused = pair.sync();
    paused.set("PELTON_SABOTAGE", sabotage);
    paused.start();
    pair.wait_until_live(&mut paused).await;
    pair.source.execute("INSERT INTO items VALUES (1, 0)").await;
    pair.destination.wait_until("(SELECT v FROM public.items WHERE id = 1) = 0").await;
    paused.signal("STOP");
    // This one lies in its socket when it wakes up.
    pair.source.execute("UPDATE items SET v = 1").await;
    pair.wait_until_sent().await;
    pair.cut_off().await;
    let mut other = pair.live().await;
    pair.source.execute("UPDATE items SET v = 2").await;
    pair.destination.wait_until("(SELECT v FROM public.items WHERE id = 1) = 2").await;
    paused.signal("CONT");
    paused.says("waiting to take over").await;
    assert!(other.pid().is_some());
    other.terminate();
    let status = other.ended().await;
    if !status.success() {
        return Err(format!("the new owner ended ({status}):\n{}", other.stderr()));
    }
    // Now it is its turn again.
    pair.source.execute("INSERT INTO items VALUES (2, 0)").await;
    pair.destination.wait_until("EXISTS (SELECT FROM public.items WHERE id = 2)").await;
    paused.kill().await;
    pair.catch_up().await
}

#[tokio::test]
async fn a_stale_owner_that_writes_is_noticed() {
    wakes_up_after_a_takeover(None).await.unwrap();
    // What woke up may first notice that its session is gone; then it writes nothing, sabotaged or not.
    for _ in 0..5 {
        if let Err(red) = wakes_up_after_a_takeover(Some("ownership")).await {
            return assert_red(Err(red), "flow items");
        }
    }
    panic!("the sabotage is noticed");
}
