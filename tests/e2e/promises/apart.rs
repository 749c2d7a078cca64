//! Promise 7: a flow that fails stops alone, says what it needs, and goes on where it stopped once mended.

use super::items;
use super::pair::Pair;

/// A pair whose destination refuses notes about 100.
async fn picky() -> Pair {
    let pair = items::pair().await;
    pair.destination.execute("CREATE TABLE public.notes (id int CONSTRAINT small CHECK (id < 100), what text)").await;
    pair
}

#[tokio::test]
async fn one_failing_flow_does_not_stop_the_others() {
    let pair = picky().await;
    let mut pelton = pair.live().await;
    let healthy = pair.pelton(&["status"]).run().await;
    assert_eq!(healthy.code(), Some(0));

    pair.source.execute("INSERT INTO notes VALUES (1, 'fits'), (100, 'secret')").await;
    pelton.says("stopped").await;
    pair.destination.wait_until("EXISTS (SELECT FROM rejot_data_store.flow WHERE problem IS NOT NULL)").await;
    pair.source.execute("INSERT INTO items VALUES (1, 1)").await;
    pair.destination.wait_until("EXISTS (SELECT FROM public.items WHERE id = 1)").await;
    assert_eq!(
        pair.destination.value("SELECT count(*) FROM public.notes").await,
        "0",
        "a transaction is whole or absent"
    );
    pair.check_feedback().await.unwrap();

    let mut status = pair.pelton(&["status"]);
    assert_eq!(status.run().await.code(), Some(1));
    let told = status.stdout();
    let states: Vec<&str> = told.lines().filter(|line| line.contains(" warehouse ")).collect();
    assert!(states.iter().any(|line| line.starts_with("notes") && line.contains("stopped")), "{told}");
    assert!(states.iter().any(|line| line.starts_with("items") && line.contains("live")), "{told}");
    assert!(told.contains("small"), "it names the constraint: {told}");
    let mut status = pair.pelton(&["status", "--json"]);
    assert_eq!(status.run().await.code(), Some(1));
    let json: serde_json::Value = serde_json::from_str(&status.stdout()).expect("JSON");
    let flows = json["flows"].as_array().expect("flows");
    let stopped: Vec<bool> = flows.iter().map(|flow| flow["problem"].is_string()).collect();
    assert_eq!(stopped.iter().filter(|stopped| **stopped).count(), 1, "{json:#}");

    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(1), "something is left to mend");
    for said in [pelton.stderr(), told] {
        assert!(!said.contains("secret"), "a row's values stay out of what is said: {said}");
    }

    // Without the mend it stops there again, and the others are caught up all the same.
    pair.source.execute("INSERT INTO items VALUES (2, 2)").await;
    let mut again = pair.pelton(&["sync", "--until-caught-up"]);
    assert_eq!(again.run().await.code(), Some(1), "{}", again.stderr());
    assert_eq!(pair.destination.value("SELECT count(*) FROM public.items").await, "2");

    pair.destination.execute("ALTER TABLE public.notes DROP CONSTRAINT small").await;
    pair.catch_up().await.unwrap();
    assert_eq!(pair.pelton(&["status"]).run().await.code(), Some(0));
}
