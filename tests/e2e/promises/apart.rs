//! Promise 7: a flow that fails stops alone, says what it needs, and goes on where it stopped once mended.

use pelton::postgres::throwaway::Shutdown;

use super::items;
use super::pair::Pair;
use crate::support::{assert_same, database_on, server};

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

#[tokio::test]
async fn what_may_pass_is_shown_as_paused_and_goes_on_by_itself() {
    let pair = items::pair().await;
    let mut pelton = pair.live().await;
    // As a server says that has no room.
    pair.destination
        .execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
             CREATE TRIGGER full_disk BEFORE INSERT ON public.notes FOR EACH ROW EXECUTE FUNCTION full_disk()",
        )
        .await;
    pair.source.execute("INSERT INTO notes VALUES (1, 'fits')").await;
    pelton.says("trying again in").await;
    pair.destination.wait_until("EXISTS (SELECT FROM rejot_data_store.flow WHERE paused)").await;
    pair.source.execute("INSERT INTO items VALUES (1, 1)").await;
    pair.destination.wait_until("EXISTS (SELECT FROM public.items WHERE id = 1)").await;
    // It is tried again and again, and is `paused` in between.
    let mut told = String::new();
    for _ in 0..50 {
        let mut status = pair.pelton(&["status"]);
        status.run().await;
        told = status.stdout();
        assert!(!told.contains("stopped"), "{told}");
        if told.lines().any(|line| line.starts_with("notes") && line.contains("paused")) {
            break;
        }
    }
    assert!(told.lines().any(|line| line.starts_with("notes") && line.contains("paused")), "{told}");
    assert!(told.contains("53100"), "it says why: {told}");

    pair.destination.execute("DROP TRIGGER full_disk ON public.notes").await;
    pair.destination.wait_until("EXISTS (SELECT FROM public.notes WHERE id = 1)").await;
    pair.destination.wait_until("NOT EXISTS (SELECT FROM rejot_data_store.flow WHERE paused)").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    pair.compare().await.unwrap();
}

#[tokio::test]
async fn a_bug_of_ours_has_an_exit_code_of_its_own() {
    let pair = items::pair().await;
    drop(pair.live().await);
    pair.source.execute("INSERT INTO items VALUES (1, 1)").await;
    let mut pelton = pair.sync().env("PELTON_SABOTAGE", "bug");
    assert_eq!(pelton.run().await.code(), Some(70), "{}", pelton.stderr());
    assert!(pelton.stderr().contains("Hint: this is a bug of Pelton"), "{}", pelton.stderr());
    // It has lost nothing.
    pair.catch_up().await.unwrap();
}

#[tokio::test]
async fn a_destination_that_is_away_does_not_stop_the_others() {
    let pair = items::pair().await;
    let mut server = server().await;
    let mut other = database_on(&server).await;
    // The notes go to a server of their own.
    let connection = "  - slug: other\n    config: { connectionType: postgres, url: \"${OTHER_URL}\" }\ndataStores:\n";
    let manifest = pair
        .manifest()
        .replace("dataStores:\n", connection)
        .replace("  - connectionSlug: warehouse\n", "  - connectionSlug: warehouse\n  - connectionSlug: other\n")
        .replace("warehouse, table: public.notes", "other, table: public.notes");
    let mut pelton = pair.sync().file("pelton.yaml", manifest).env("OTHER_URL", other.url());
    pelton.start();
    pelton.says("streaming").await;
    pair.source.execute("INSERT INTO items VALUES (1, 1); INSERT INTO notes VALUES (1, 'there')").await;
    other.wait_until("to_regclass('public.notes') IS NOT NULL").await;
    other.wait_until("EXISTS (SELECT FROM public.notes WHERE id = 1)").await;

    server.stop(Shutdown::Fast).await.unwrap();
    for id in 2..6 {
        pair.source
            .execute(&format!("INSERT INTO notes VALUES ({id}, 'away'); INSERT INTO items VALUES ({id}, 1)"))
            .await;
        pair.destination.wait_until(&format!("EXISTS (SELECT FROM public.items WHERE id = {id})")).await;
    }
    server.start().await.unwrap();
    other.reconnect().await;
    other.wait_until("EXISTS (SELECT FROM public.notes WHERE id = 5)").await;
    assert_same(&pair.source, "SELECT id, what FROM public.notes", &other, "SELECT id, what FROM public.notes").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}
