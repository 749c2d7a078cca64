//! Event stores: what is published stays, and any number of consumers read it at their own pace.

use crate::events_line::{CHANGES, EMPTIED, ITEMS, Store, WORK, assert_notes_equal, work_until_ended};
use crate::support::{Pelton, assert_same};

#[tokio::test]
async fn what_is_published_is_consumed() {
    let store = Store::new(ITEMS).await;
    let manifest = store
        .manifest(&["items", "notes"], &[("items-there", "items", "items", ""), ("notes-there", "notes", "notes", "")]);
    let mut pelton = store.sync(&manifest);
    pelton.start();
    store
        .destination
        .wait_until("to_regclass('public.items') IS NOT NULL AND to_regclass('public.notes') IS NOT NULL")
        .await;
    store.destination.wait_until("(SELECT count(*) FROM items) = 1000").await;
    store.source.execute(CHANGES).await;
    store.destination.wait_until("EXISTS (SELECT FROM notes WHERE id = 2)").await;
    store.assert_equal("items").await;
    store.assert_equal("notes").await;
    store.source.execute(EMPTIED).await;
    store.destination.wait_until("EXISTS (SELECT FROM notes WHERE id = 3)").await;
    store.assert_equal("items").await;
    // All of it is there to be read, with where it comes from.
    let count = "SELECT operation, count(*) FROM rejot_events.events WHERE public_schema_name = 'items' \
                 AND manifest_slug = 'shop' AND source_slug = 'source' GROUP BY 1 ORDER BY 1";
    let found: Vec<Vec<Option<String>>> = store.events.rows(count).await;
    let found: Vec<String> =
        found.iter().map(|row| row.iter().flatten().cloned().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(found, ["delete 11", "insert 1003", "truncate 1", "update 501"]);
    let copied = "SELECT count(*) FROM rejot_events.events WHERE xid = 0 AND commit_time IS NULL";
    assert_eq!(store.events.value(copied).await, "1000");
    let live = "SELECT bool_and(commit_time > now() - interval '10 min') FROM rejot_events.events WHERE xid <> 0";
    assert_eq!(store.events.value(live).await, "t");
    // What an owner exposes is confirmed once it is there.
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    store.source.execute("INSERT INTO items VALUES (2, 2)").await;
    store.catch_up(&manifest).await;
    store.assert_equal("items").await;
}

#[tokio::test]
async fn a_late_consumer_gets_the_history_and_one_without_backfill_what_comes() {
    let store = Store::new(ITEMS).await;
    store.catch_up(&store.manifest(&["items"], &[])).await;
    store.source.execute("UPDATE items SET v = -1 WHERE id = 7; DELETE FROM items WHERE id = 8").await;
    store.catch_up(&store.manifest(&["items"], &[])).await;
    // The slot is of no use to the history any more: it comes from the event store.
    let late = [("late", "items", "items", ""), ("fresh", "items", "fresh", ", backfill: false")];
    store.catch_up(&store.manifest(&["items"], &late)).await;
    store.assert_equal("items").await;
    assert_eq!(store.destination.value("SELECT count(*) FROM fresh").await, "0");
    store.source.execute("INSERT INTO items VALUES (2000, 1); UPDATE items SET v = -2 WHERE id = 9").await;
    store.catch_up(&store.manifest(&["items"], &late)).await;
    store.assert_equal("items").await;
    assert_eq!(store.destination.value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM fresh").await, "9 2000");
}

#[tokio::test]
async fn transactions_stay_whole_though_they_are_larger_than_a_page() {
    let store =
        Store::new("CREATE TABLE items (id int PRIMARY KEY, v int); CREATE TABLE notes (id int PRIMARY KEY)").await;
    let consumers = [("items-there", "items", "items", ""), ("notes-there", "notes", "notes", "")];
    let manifest = store.manifest(&["items", "notes"], &consumers);
    store.catch_up(&manifest).await;
    store
        .source
        .execute(
            "INSERT INTO notes VALUES (-1);
             BEGIN; INSERT INTO items SELECT i, i FROM generate_series(1, 70000) AS i; INSERT INTO notes VALUES (1);
             UPDATE items SET v = v + 1; COMMIT; INSERT INTO notes VALUES (2)",
        )
        .await;
    for i in 0..50 {
        store.source.execute(&format!("INSERT INTO notes VALUES (10 + {i}); DELETE FROM items WHERE id = {i}")).await;
    }
    let mut pelton = store.sync(&manifest);
    pelton.start();
    let begun = std::time::Instant::now();
    let whole = "SELECT (SELECT count(*) FROM items) || ' ' || (SELECT count(*) FROM notes WHERE id = 1)";
    loop {
        let found = store.destination.value(whole).await;
        if found == "0 0" {
            assert!(begun.elapsed() < std::time::Duration::from_secs(60), "nothing comes");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            continue;
        }
        let (items, note) = found.split_once(' ').unwrap();
        assert!(items.parse::<i32>().unwrap() >= 69_950 && note == "1", "half of a transaction: {found}");
        break;
    }
    store.destination.wait_until("(SELECT count(*) FROM notes) = 53").await;
    store.assert_equal("items").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

/// Killed at every point of the line, nothing is lost and nothing takes effect twice.
#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_twice_whatever_is_killed() {
    let store = Store::new(WORK).await;
    let consumers = [
        ("items-there", "items", "items", ""),
        ("items-again", "items", "again", ""),
        ("notes-there", "notes", "notes", ""),
    ];
    let manifest = store.manifest(&["items", "notes"], &consumers);
    let points = [
        "after-copy:2",
        "before-commit:2",
        "after-commit:2",
        "after-consumed:1",
        "before-cursor:1",
        "after-cursor:1",
        "after-consumed:3",
        "before-cursor:2",
        "after-cursor:3",
        "before-commit:5",
        "after-commit:4",
    ];
    for (round, point) in points.iter().enumerate() {
        let mut pelton = store.sync(&manifest).env("PELTON_FAULT", point);
        pelton.start();
        // It kills itself; until then there is work.
        work_until_ended(&store.source, &mut pelton, round, point).await;
    }
    store.catch_up(&manifest).await;
    store.assert_equal("items").await;
    assert_same(&store.source, "SELECT * FROM items", &store.destination, "SELECT * FROM again").await;
    assert_notes_equal(&store.source, &store.destination).await;
    let notes = "SELECT count(*) FROM rejot_events.events WHERE public_schema_name = 'notes' AND operation = 'insert'";
    assert_same(&store.source, "SELECT count(*) FROM notes", &store.events, notes).await;
}

#[tokio::test]
async fn one_that_fails_holds_nobody_and_comes_back_where_it_was() {
    let store = Store::new(ITEMS).await;
    let consumers = [("items-there", "items", "items", ""), ("broken", "items", "broken", "")];
    let manifest = store.manifest(&["items"], &consumers);
    store.catch_up(&manifest).await;
    store.destination.execute("ALTER TABLE broken ADD CHECK (v <> 77) NOT VALID").await;
    let mut pelton = store.sync(&manifest);
    pelton.start();
    pelton.says("consuming").await;
    store.source.execute("UPDATE items SET v = 77 WHERE id = 5").await;
    store.destination.wait_until("(SELECT v FROM items WHERE id = 5) = 77").await;
    store.source.execute("UPDATE items SET v = 78 WHERE id = 6").await;
    store.destination.wait_until("(SELECT v FROM items WHERE id = 6) = 78").await;
    let problem = "(SELECT problem FROM rejot_data_store.consumer WHERE consumer = 'broken') IS NOT NULL";
    store.destination.wait_until(problem).await;
    assert_eq!(store.destination.value("SELECT count(*) FROM broken WHERE id IN (5, 6) AND v <> id").await, "0");
    // Mended and resumed, it goes on where it was, without a restart.
    store.destination.execute("ALTER TABLE broken DROP CONSTRAINT broken_v_check").await;
    run(&manifest, &["consumers", "resume", "broken"], 0).await;
    store.destination.wait_until("(SELECT v FROM broken WHERE id = 6) = 78").await;
    assert_same(&store.source, "SELECT * FROM items", &store.destination, "SELECT * FROM broken").await;

    // A deferred constraint says at the commit that something is wrong, and not for whom.
    store
        .destination
        .execute(
            "CREATE TABLE allowed (v int PRIMARY KEY); INSERT INTO allowed SELECT DISTINCT v FROM broken; \
        ALTER TABLE broken ADD FOREIGN KEY (v) REFERENCES allowed DEFERRABLE INITIALLY DEFERRED",
        )
        .await;
    store.source.execute("UPDATE items SET v = -99 WHERE id = 7").await;
    store.destination.wait_until("(SELECT v FROM items WHERE id = 7) = -99").await;
    store.destination.wait_until(problem).await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(1), "{}", pelton.stderr());
}

/// What passes by itself takes one consumer out for a while, and nobody else.
#[tokio::test]
async fn one_that_waits_for_a_lock_holds_nobody() {
    let store = Store::new(ITEMS).await;
    let consumers = [("items-there", "items", "items", ""), ("locked", "items", "locked", "")];
    let manifest = store.manifest(&["items"], &consumers);
    store.catch_up(&manifest).await;
    let other = store.destination.connect().await;
    other.batch_execute("BEGIN; LOCK TABLE locked").await.unwrap();
    let mut pelton = store.sync(&manifest);
    pelton.start();
    store.source.execute("UPDATE items SET v = 77 WHERE id = 5").await;
    store.destination.wait_until("(SELECT v FROM items WHERE id = 5) = 77").await;
    store
        .destination
        .wait_until("(SELECT problem FROM rejot_data_store.consumer WHERE consumer = 'locked') IS NOT NULL")
        .await;
    store.source.execute("UPDATE items SET v = 78 WHERE id = 6").await;
    store.destination.wait_until("(SELECT v FROM items WHERE id = 6) = 78").await;
    other.batch_execute("ROLLBACK").await.unwrap();
    store.destination.wait_until("(SELECT v FROM locked WHERE id = 6) = 78").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

/// A flow that begins anew empties what consumers have of it, and what is there already stays in the store.
#[tokio::test]
async fn a_stream_that_begins_anew_leaves_no_row_behind() {
    let store = Store::new(
        "CREATE TABLE items (id int PRIMARY KEY, v int); CREATE TABLE notes (id int, what text);
         ALTER TABLE notes REPLICA IDENTITY FULL; INSERT INTO items VALUES (1, 1), (2, 2); INSERT INTO notes VALUES (1, 'a')",
    )
    .await;
    let consumers = [("items-there", "items", "items", ""), ("notes-there", "notes", "notes", "")];
    let manifest = store.manifest(&["items", "notes"], &consumers);
    store.catch_up(&manifest).await;
    // What the flows knew is gone, and so is the log that they would have needed.
    store.events.execute("DELETE FROM rejot_data_store.flow; DELETE FROM rejot_data_store.backfill").await;
    store.source.execute(&format!("SELECT pg_drop_replication_slot('{}')", store.source.name())).await;
    store
        .source
        .execute("DELETE FROM items WHERE id = 1; INSERT INTO items VALUES (3, 3); INSERT INTO notes VALUES (2, 'b')")
        .await;
    store.catch_up(&manifest).await;
    store.assert_equal("items").await;
    store.assert_equal("notes").await;
    store.source.execute("UPDATE items SET v = 9; DELETE FROM notes WHERE id = 1").await;
    store.catch_up(&manifest).await;
    store.assert_equal("items").await;
    store.assert_equal("notes").await;
    let late = [("late", "notes", "late", "")];
    store.catch_up(&store.manifest(&["items", "notes"], &late)).await;
    assert_same(&store.source, "SELECT * FROM notes", &store.destination, "SELECT * FROM late").await;

    // A repair after the loss of the slot does the same.
    store.source.execute(&format!("SELECT pg_drop_replication_slot('{}')", store.source.name())).await;
    store.source.execute("DELETE FROM items WHERE id = 2; INSERT INTO notes VALUES (3, 'c')").await;
    run(&manifest, &["repair"], 0).await;
    store.catch_up(&manifest).await;
    store.assert_equal("items").await;
    store.assert_equal("notes").await;
    assert_eq!(store.events.value("SELECT max(epoch) > 1 FROM rejot_events.event").await, "t");

    // Tearing this manifest down leaves the cursors of another one.
    store
        .destination
        .execute(
            "INSERT INTO rejot_data_store.consumer (manifest_slug, consumer, source_manifest_slug, \
        public_schema_name, public_schema_major_version) VALUES ('reports', 'x', 'shop', 'items', 1)",
        )
        .await;
    run(&manifest, &["teardown", "--yes", "--destinations"], 0).await;
    let left = "SELECT string_agg(manifest_slug, ' ') FROM rejot_data_store.consumer";
    assert_eq!(store.destination.value(left).await, "reports");
}

async fn run(manifest: &str, arguments: &[&str], code: i32) -> String {
    let mut pelton = Pelton::new(arguments).file("pelton.yaml", manifest);
    let status = pelton.run().await;
    assert_eq!(status.code(), Some(code), "{}{}", pelton.stdout(), pelton.stderr());
    if code == 0 { pelton.stdout() } else { pelton.stdout() + &pelton.stderr() }
}

#[tokio::test]
async fn a_consumer_is_paused_resumed_rewound_and_dropped_while_it_runs() {
    let store = Store::new(ITEMS).await;
    let consumers = [("one", "items", "one", ""), ("two", "items", "two", "")];
    let manifest = store.manifest(&["items"], &consumers);
    let said = run(&manifest, &["consumers", "pause", "one"], 1).await;
    assert!(said.contains("has not begun yet"), "{said}");
    let mut pelton = store.sync(&manifest);
    pelton.start();
    store
        .destination
        .wait_until("to_regclass('public.one') IS NOT NULL AND to_regclass('public.two') IS NOT NULL")
        .await;
    store.destination.wait_until("(SELECT count(*) FROM one) = 1000 AND (SELECT count(*) FROM two) = 1000").await;

    run(&manifest, &["consumers", "pause", "one"], 0).await;
    store.source.execute("INSERT INTO items VALUES (2000)").await;
    store.destination.wait_until("EXISTS (SELECT FROM two WHERE id = 2000)").await;
    let said = run(&manifest, &["consumers", "list"], 0).await;
    assert!(said.contains("paused") && said.contains("live"), "{said}");
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(store.destination.value("SELECT count(*) FROM one WHERE id = 2000").await, "0");

    run(&manifest, &["consumers", "resume", "one"], 0).await;
    store.destination.wait_until("EXISTS (SELECT FROM one WHERE id = 2000)").await;

    // What a rewound consumer reads again makes its table what it was.
    store.destination.execute("DELETE FROM one WHERE id < 500; UPDATE one SET v = -5").await;
    run(&manifest, &["consumers", "rewind", "one", "--to", "start"], 0).await;
    store.destination.wait_until("(SELECT count(*) FROM one WHERE v IS DISTINCT FROM -5) = 1001").await;
    assert_same(&store.source, "SELECT * FROM items", &store.destination, "SELECT * FROM one").await;
    let said = run(&manifest, &["consumers", "rewind", "one", "--to", "soon"], 1).await;
    assert!(said.contains("`soon` is no place in a stream") && said.contains("Hint"), "{said}");
    let said = run(&manifest, &["consumers", "resume", "three"], 1).await;
    assert!(said.contains("no consumer `three`") && said.contains("`one`, `two`"), "{said}");

    // From a time on: what was committed before is not read again.
    let then = store.source.value("SELECT clock_timestamp()").await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    store.source.execute("UPDATE items SET v = 500 WHERE id = 500").await;
    store.destination.wait_until("(SELECT v FROM one WHERE id = 500) = 500").await;
    store.destination.execute("UPDATE one SET v = -6 WHERE id IN (499, 500)").await;
    run(&manifest, &["consumers", "rewind", "one", "--to", &then], 0).await;
    store.destination.wait_until("(SELECT v FROM one WHERE id = 500) = 500").await;
    assert_eq!(store.destination.value("SELECT v FROM one WHERE id = 499").await, "-6");
    let said = run(&manifest, &["consumers", "rewind", "one", "--to", "9:0/0:0"], 1).await;
    assert!(said.contains("beyond the end"), "{said}");
    // Nothing was committed tomorrow.
    run(&manifest, &["consumers", "rewind", "one", "--to", "tomorrow"], 0).await;
    store.source.execute("INSERT INTO items VALUES (2001)").await;
    store.destination.wait_until("EXISTS (SELECT FROM one WHERE id = 2001)").await;
    let json: serde_json::Value =
        serde_json::from_str(&run(&manifest, &["consumers", "list", "--json"], 0).await).unwrap();
    assert_eq!(json[0]["state"], "live", "{json}");
    let status: serde_json::Value = serde_json::from_str(&run(&manifest, &["status", "--json"], 0).await).unwrap();
    assert_eq!(status["consumers"][1]["consumer"], "two", "{status}");
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());

    run(&manifest, &["consumers", "drop", "one"], 0).await;
    assert_eq!(store.destination.value("SELECT string_agg(consumer, ' ') FROM rejot_data_store.consumer").await, "two");
    assert_eq!(store.events.value("SELECT string_agg(consumer, ' ') FROM rejot_events.consumer").await, "two");
    store.destination.execute("TRUNCATE one").await;
    store.catch_up(&manifest).await;
    assert_same(&store.source, "SELECT * FROM items", &store.destination, "SELECT * FROM one").await;
}

#[tokio::test]
async fn events_are_shown_counted_exported_and_followed() {
    let store = Store::new(
        "CREATE TABLE items (id int PRIMARY KEY, price numeric, doc jsonb);
         INSERT INTO items VALUES (1, 1.50, '{\"a\": 123456789012345678901234567890.5}')",
    )
    .await;
    let manifest = store.manifest(&["items"], &[]);
    let said = run(&manifest, &["events", "count"], 0).await;
    assert_eq!(said.lines().count(), 1, "nothing was published yet: {said}");
    for command in ["tail", "show", "export"] {
        assert_eq!(run(&manifest, &["events", command], 0).await, "", "nor is there anything to {command}");
    }
    store.catch_up(&manifest).await;
    store
        .source
        .execute(
            "UPDATE items SET price = 2.50; INSERT INTO items VALUES (2, NULL, NULL); DELETE FROM items WHERE id = 1",
        )
        .await;
    store.catch_up(&manifest).await;

    let said = run(&manifest, &["events", "show"], 0).await;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(lines[0].contains("before") && lines[0].contains("items@1 insert"), "{said}");
    assert!(lines[3].contains("delete") && lines[3].ends_with("{\"id\":1}"), "{said}");
    assert_eq!(run(&manifest, &["events", "tail", "-n", "2"], 0).await.lines().collect::<Vec<_>>(), lines[2..]);
    assert_eq!(run(&manifest, &["events", "show", "--key", "id=2"], 0).await.lines().collect::<Vec<_>>(), lines[2..3]);
    let keyed = run(&manifest, &["events", "tail", "-n", "1", "--key", "id=1"], 0).await;
    assert_eq!(keyed.lines().collect::<Vec<_>>(), lines[3..]);
    let position = lines[1].split_whitespace().next().unwrap();
    let after = run(&manifest, &["events", "show", "--after", position], 0).await;
    assert_eq!(after.lines().collect::<Vec<_>>(), lines[2..]);
    assert_eq!(run(&manifest, &["events", "show", "--since", "tomorrow"], 0).await, "");
    assert_eq!(
        run(&manifest, &["events", "show", "--until", "yesterday"], 0).await.lines().count(),
        1,
        "what was before"
    );

    let exported = run(&manifest, &["events", "export"], 0).await;
    let first: serde_json::Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    assert_eq!((&first["operation"], &first["version"]), (&"insert".into(), &"1.0".into()), "{first}");
    assert_eq!(first["object"]["price"], "1.50", "{first}");
    assert!(exported.contains("123456789012345678901234567890.5"), "no number is rounded: {exported}");
    let debezium = run(&manifest, &["events", "export", "--format", "debezium"], 0).await;
    let ops: Vec<String> = debezium
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["op"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ops, ["r", "u", "c", "d"]);
    let cloud = run(&manifest, &["events", "tail", "--format", "cloudevents"], 0).await;
    let last: serde_json::Value = serde_json::from_str(cloud.lines().last().unwrap()).unwrap();
    assert_eq!((&last["specversion"], &last["type"]), (&"1.0".into(), &"items.v1.delete".into()), "{last}");
    let count: serde_json::Value =
        serde_json::from_str(&run(&manifest, &["events", "count", "--json"], 0).await).unwrap();
    assert_eq!((&count[0]["events"], &count[0]["delete"]), (&4.into(), &1.into()), "{count}");

    // By the URL alone, and followed.
    let url = store.events.url();
    let mut tail = Pelton::new(["events", "tail", "--follow", "--json", "--url", &url]);
    tail.start();
    store.source.execute("INSERT INTO items VALUES (3)").await;
    store.catch_up(&manifest).await;
    let begun = std::time::Instant::now();
    while !tail.stdout().contains("{\"id\":3}") {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{}", tail.stderr());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    tail.signal("INT");
    assert_eq!(tail.ended().await.code(), Some(0));

    for (arguments, expected) in [
        (&["events", "show", "--schema", "orders"][..], "it has shop/items@1"),
        (&["events", "show", "--key", "id"], "--key id=7"),
        (&["events", "show", "--since", "when"], "`when` is no time"),
        (&["events", "show", "--store", "other"], "it has `events`"),
    ] {
        let said = run(&manifest, arguments, 1).await;
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

/// One manifest publishes, another one elsewhere consumes; two publishers share a store without touching one another.
#[tokio::test]
async fn services_share_an_event_store() {
    let store = Store::new(ITEMS).await;
    let other = Store::new("CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items VALUES (1, 100)").await;
    let owner = store.manifest(&["items", "notes"], &[]);
    let consumer = format!(
        "slug: reports
manifestVersion: 0
connections:
  - {{ slug: events, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: mine, config: {{ connectionType: postgres, url: \"{}\" }} }}
dataStores:
  - {{ connectionSlug: mine }}
eventStores:
  - {{ connectionSlug: events }}
publicSchemas: []
consumerSchemas:
  - name: shop-items
    sourceManifestSlug: shop
    publicSchema: {{ name: items, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: mine, table: public.shop_items, createTable: true }}
  - name: depot-items
    sourceManifestSlug: depot
    publicSchema: {{ name: items, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: mine, table: public.depot_items, createTable: true }}
",
        store.events.url(),
        store.destination.url()
    );
    // Nobody has published yet: it says so, and waits.
    let said = run(&consumer, &["sync", "--until-caught-up"], 1).await;
    assert!(said.contains("public schema `items@1` of `shop` is not in event store `events`"), "{said}");
    let mut reports = Pelton::new(["sync"]).file("pelton.yaml", &consumer);
    reports.start();
    reports.says("waiting for its public schema to be published").await;
    store.catch_up(&owner).await;
    store.destination.wait_until("to_regclass('public.shop_items') IS NOT NULL").await;
    store.destination.wait_until("(SELECT count(*) FROM shop_items) = 1000").await;
    let depot = other
        .manifest(&["items"], &[])
        .replace("slug: shop", "slug: depot")
        .replace(&other.events.url(), &store.events.url());
    other.catch_up(&depot).await;
    store.destination.wait_until("to_regclass('public.depot_items') IS NOT NULL").await;
    store.destination.wait_until("(SELECT count(*) FROM depot_items) = 1").await;
    // The owner comes and goes, and the consumer goes on.
    for round in 0..3 {
        store.source.execute(&format!("UPDATE items SET v = {round}; INSERT INTO notes VALUES ({round})")).await;
        other.source.execute(&format!("UPDATE items SET v = {round}")).await;
        let (one, two) = tokio::join!(
            run(&owner, &["sync", "--until-caught-up"], 0),
            run(&depot, &["sync", "--until-caught-up"], 0)
        );
        drop((one, two));
        store.destination.wait_until(&format!("(SELECT count(*) FROM shop_items WHERE v = {round}) = 1000")).await;
        store.destination.wait_until(&format!("(SELECT v FROM depot_items) = {round}")).await;
    }
    assert_same(&store.source, "SELECT * FROM items", &store.destination, "SELECT * FROM shop_items").await;
    reports.terminate();
    assert_eq!(reports.ended().await.code(), Some(0), "{}", reports.stderr());
    // The same public schema from another source has other positions.
    let moved = store
        .manifest(&["items"], &[])
        .replace(&store.source.url(), &other.source.url())
        .replace("slug: source", "slug: elsewhere")
        .replace("connectionSlug: source", "connectionSlug: elsewhere")
        .replace("dataStoreSlug: source", "dataStoreSlug: elsewhere")
        .replace(store.source.name(), other.source.name());
    let said = run(&moved, &["sync", "--until-caught-up"], 1).await;
    assert!(said.contains("has been published from source `source`") && said.contains("Hint"), "{said}");
}

#[tokio::test]
async fn a_column_that_is_added_reaches_consumers_that_run() {
    let store = Store::new("CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items VALUES (1, 1)").await;
    let manifest = store.manifest(&["items"], &[("items-there", "items", "items", "")]);
    let mut pelton = store.sync(&manifest);
    pelton.start();
    pelton.says("consuming").await;
    store.source.execute("ALTER TABLE items ADD COLUMN more text; INSERT INTO items VALUES (2, 2, 'two')").await;
    let there = "EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.items') AND attname = 'more')";
    store.destination.wait_until(there).await;
    store.destination.wait_until("EXISTS (SELECT FROM items WHERE more = 'two')").await;
    store.assert_equal("items").await;
    // Who comes later reads events of both shapes.
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    let late = [("items-there", "items", "items", ""), ("late", "items", "late", "")];
    store.catch_up(&store.manifest(&["items"], &late)).await;
    assert_same(&store.source, "SELECT * FROM items", &store.destination, "SELECT * FROM late").await;
}
