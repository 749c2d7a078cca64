//! Who reads an event store, and that it is known of each what it has not read.

use crate::events_line::Store;
use crate::support::{Pelton, assert_same, database};

const ITEMS: &str = "CREATE TABLE items (id int PRIMARY KEY, v int); \
                     INSERT INTO items SELECT i, i FROM generate_series(1, 50) AS i";

async fn run(manifest: &str, arguments: &[&str], code: i32) -> String {
    let mut pelton = Pelton::new(arguments).file("pelton.yaml", manifest);
    assert_eq!(pelton.run().await.code(), Some(code), "{}{}", pelton.stdout(), pelton.stderr());
    format!("{}{}", pelton.stdout(), pelton.stderr())
}

/// One is run for tests beside the one that is in use: neither loses what only the other one has read.
#[tokio::test]
async fn two_deployments_of_one_manifest_are_kept_apart() {
    let store = Store::new(ITEMS).await;
    let shop = store.manifest(&["items"], &[]);
    let in_use = store.consuming("reports", &[("there", "items", "items", "")]);
    let second = database().await;
    let staging = in_use.replace(&store.destination.url(), &second.url());
    store.catch_up(&shop).await;
    store.catch_up(&in_use).await;
    store.source.execute("UPDATE items SET v = v + 1; DELETE FROM items WHERE id = 7").await;
    store.catch_up(&shop).await;
    store.catch_up(&staging).await;
    assert_same(&store.source, "SELECT * FROM items", &second, "SELECT * FROM items").await;

    let said = run(&shop, &["events", "prune", "--max-age", "0s"], 1).await;
    assert!(said.contains("consumer `there` of manifest `reports` has not read behind"), "{said}");
    store.catch_up(&in_use).await;
    store.assert_equal("items").await;
    run(&shop, &["events", "prune", "--max-age", "0s"], 0).await;

    let id = "SELECT id FROM rejot_data_store.store";
    let (first, second) = (store.destination.value(id).await, second.value(id).await);
    let said = run(&shop, &["events", "forget", "reports", "there"], 1).await;
    assert!(said.contains(&first) && said.contains(&second) && said.contains("--destination"), "{said}");
    run(&shop, &["events", "forget", "reports", "there", "--destination", &second], 0).await;
    let said = run(&shop, &["events", "readers"], 0).await;
    assert!(said.contains(&first) && !said.contains(&second), "{said}");
    // What was told before destinations were is the first one's that names one.
    store.events.execute("UPDATE rejot_events.consumer SET destination = ''").await;
    store.catch_up(&in_use).await;
    assert_eq!(store.events.value("SELECT string_agg(destination, ' ') FROM rejot_events.consumer").await, first);
    run(&in_use, &["consumers", "drop", "there"], 0).await;
    assert_eq!(store.events.value("SELECT count(*) FROM rejot_events.consumer").await, "0");
}
