//! Who reads an event store, and that it is known of each what it has not read.

use crate::events_line::Store;
use crate::http;
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

/// A consumer tells now and then how far it is; by force goes what it has read and not told yet, too.
#[tokio::test]
async fn what_goes_by_force_stops_nobody_who_has_read_it() {
    let store = Store::new(ITEMS).await;
    let manifest = store.manifest(&["items"], &[("there", "items", "items", "")]);
    store.catch_up(&manifest).await;
    store.source.execute("UPDATE items SET v = v + 1").await;
    store.catch_up(&manifest).await;
    // What it told last, some seconds ago.
    store.events.execute("UPDATE rejot_events.consumer SET epoch = 1, commit_lsn = '0/1', ordinal = 1").await;
    run(&manifest, &["events", "prune", "--max-age", "0s", "--force"], 0).await;
    assert_eq!(store.events.value("SELECT missed FROM rejot_events.consumer").await, "t");
    store.source.execute("DELETE FROM items WHERE id = 9").await;
    store.catch_up(&manifest).await;
    store.assert_equal("items").await;
    assert_eq!(store.events.value("SELECT missed FROM rejot_events.consumer").await, "f");
}

/// Nobody reads across what is gone: neither a consumer that runs, nor who reads over HTTP.
#[tokio::test]
async fn what_goes_by_force_stops_who_reads_on_behind_it() {
    let store = Store::new(ITEMS).await;
    let shop = store.manifest(&["items"], &[]);
    let reports = store.consuming("reports", &[("there", "items", "items", "")]);
    store.catch_up(&shop).await;
    let mut reader = store.sync(&reports);
    reader.start();
    reader.says("consuming").await;
    store.destination.wait_until("(SELECT count(*) FROM items) = 50").await;
    let told = "EXISTS (SELECT FROM rejot_events.consumer WHERE epoch > 0)";
    store.events.wait_until(told).await;
    reader.signal("STOP");
    store.source.execute("DELETE FROM items WHERE id <= 10").await;
    store.catch_up(&shop).await;
    run(&shop, &["events", "prune", "--max-age", "0s", "--force"], 0).await;
    store.source.execute("INSERT INTO items VALUES (100, 0)").await;
    store.catch_up(&shop).await;
    reader.signal("CONT");
    assert_eq!(reader.ended().await.code(), Some(1), "{}", reader.stderr());
    assert!(reader.stderr().contains("no longer has all events of `items@1`"), "{}", reader.stderr());
    // What came later did not come without it.
    assert_eq!(store.destination.value("SELECT count(*) FROM items").await, "50");

    let port = http::free_port();
    let serve = Pelton::new(["sync", "--http", &format!("127.0.0.1:{port}")]).file("pelton.yaml", &shop);
    let mut owner = http::serving(serve).await;
    let cursor = http::cursor("items", Some("1:0/1:1"));
    let answer = http::ask(port, "POST /stream", "", &format!("{{\"cursors\": [{cursor}]}}")).await;
    assert_eq!((answer.status, answer.body.contains("\"event\"")), (410, false), "{}", answer.body);
    http::end(&mut owner).await;
}

/// What a manifest no longer has is listed, and dropped where it was and where it read.
#[tokio::test]
async fn a_consumer_that_is_no_longer_in_the_manifest_can_be_dropped() {
    let store = Store::new(ITEMS).await;
    let (one, two) = (("one", "items", "one", ""), ("two", "items", "two", ""));
    store.catch_up(&store.manifest(&["items"], &[one, two])).await;
    let manifest = store.manifest(&["items"], &[one]);
    let said = run(&manifest, &["consumers", "list"], 0).await;
    assert!(said.contains("no longer there:\n  `two` at `warehouse`, of shop/items@1, at 1:"), "{said}");
    let listed = run(&manifest, &["consumers", "list", "--json"], 0).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[1]["consumer"], &listed[1]["state"]), (&"two".into(), &"former".into()), "{listed}");
    let said = run(&manifest, &["consumers", "drop", "three"], 1).await;
    assert!(said.contains("the manifest has `one`; kept of former ones: `two` at `warehouse`"), "{said}");
    let said = run(&manifest, &["consumers", "drop", "two", "--destination", "elsewhere"], 1).await;
    assert!(said.contains("nor is one kept"), "{said}");

    let said = run(&manifest, &["consumers", "drop", "two"], 0).await;
    assert!(said.contains("Dropped consumer `two` at `warehouse`"), "{said}");
    for (database, table) in [(&store.destination, "rejot_data_store"), (&store.events, "rejot_events")] {
        let left = format!("SELECT string_agg(consumer, ' ') FROM {table}.consumer");
        assert_eq!(database.value(&left).await, "one");
    }
    run(&manifest, &["consumers", "drop", "two"], 1).await;
    // The last one, too, of a manifest that has nothing else to do.
    let nothing = manifest.replace("eventStores:\n  - { connectionSlug: events }\n", "");
    let nothing = format!("{}consumerSchemas: []\n", nothing.split("consumerSchemas:").next().unwrap());
    run(&nothing, &["consumers", "drop", "one"], 0).await;
    assert_eq!(store.destination.value("SELECT count(*) FROM rejot_data_store.consumer").await, "0");
}
