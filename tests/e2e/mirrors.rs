//! Mirrors of event stores: the same events at the same positions, once each.

use std::collections::HashSet;

use crate::events_line::Store;
use crate::support::{Database, Pelton, assert_same, database, database_on, server};

const ITEMS: &str = "
CREATE TABLE items (id int PRIMARY KEY, v int, doc jsonb);
CREATE TABLE notes (id int PRIMARY KEY, what text);
INSERT INTO items SELECT i, i, 'null' FROM generate_series(1, 1000) AS i;
INSERT INTO notes VALUES (1, 'one');
";

/// All of an event but the ids that are each store's own.
const EVENTS: &str = "SELECT manifest_slug, public_schema_name, public_schema_major_version, public_schema_minor_version, \
                      source_slug, epoch, commit_lsn, ordinal, operation, xid, commit_time, key, object, component_digest, \
                      attributes FROM rejot_events.events";

const IS_THERE: &str = "SELECT to_regclass('rejot_events.store') IS NOT NULL";

/// Adds mirrors to a manifest: (slug, database, the store that it mirrors).
fn mirrored(manifest: &str, mirrors: &[(&str, &Database, &str)]) -> String {
    let mut text = manifest.to_owned();
    for (slug, database, of) in mirrors {
        let connection =
            format!("  - {{ slug: {slug}, config: {{ connectionType: postgres, url: \"{}\" }} }}\n", database.url());
        text = text.replace("dataStores:\n", &format!("{connection}dataStores:\n"));
        let store = format!("  - {{ connectionSlug: {slug}, mirrorOf: {of} }}\n");
        text = text.replace("publicSchemas:\n", &format!("{store}publicSchemas:\n"));
    }
    text
}

/// Lets a consumer name the event store that it reads.
fn reading(manifest: &str, consumer: &str, store: &str) -> String {
    manifest.replace(&format!("  - name: {consumer}\n"), &format!("  - name: {consumer}\n    eventStore: {store}\n"))
}

async fn check(manifest: &str, code: i32) -> String {
    let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest);
    assert_eq!(pelton.run().await.code(), Some(code), "{}", pelton.stderr());
    pelton.stderr()
}

#[tokio::test]
async fn a_consumer_goes_on_in_a_mirror_where_it_was() {
    let store = Store::new(ITEMS).await;
    let (second, third) = (database().await, database().await);
    let consumers = [("items-there", "items", "items", ""), ("notes-there", "notes", "notes", "")];
    let plain = store.manifest(&["items", "notes"], &consumers);
    let manifest = mirrored(&plain, &[("second", &second, "events"), ("third", &third, "second")]);
    // One reads the original, one the mirror of the mirror.
    let split = reading(&manifest, "notes-there", "third");
    let mut pelton = store.sync(&split);
    pelton.start();
    store
        .destination
        .wait_until("to_regclass('public.notes') IS NOT NULL AND to_regclass('public.items') IS NOT NULL")
        .await;
    store.source.execute("UPDATE items SET v = v + 1 WHERE id < 500; INSERT INTO notes VALUES (2, 'two')").await;
    store.destination.wait_until("EXISTS (SELECT FROM notes WHERE id = 2)").await;
    // A shape that comes while it runs.
    store.source.execute("ALTER TABLE notes ADD COLUMN who text; INSERT INTO notes VALUES (3, 'three', 'me')").await;
    store.destination.wait_until("EXISTS (SELECT FROM notes WHERE id = 3)").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    assert_same(&store.events, EVENTS, &second, EVENTS).await;
    assert_same(&store.events, EVENTS, &third, EVENTS).await;
    // They change places; nothing is written twice or left out.
    let applied = "SELECT sum(rows_applied) FROM rejot_data_store.consumer";
    let before = store.destination.value(applied).await;
    let swapped = reading(&manifest, "items-there", "third");
    store.catch_up(&swapped).await;
    assert_eq!(store.destination.value(applied).await, before);
    store
        .source
        .execute("DELETE FROM items WHERE id > 900; TRUNCATE notes; INSERT INTO notes VALUES (9, 'nine')")
        .await;
    store.catch_up(&swapped).await;
    store.assert_equal("items").await;
    store.assert_equal("notes").await;
    assert_same(&store.events, EVENTS, &third, EVENTS).await;
    let mut status = Pelton::new(["status", "--json"]).file("pelton.yaml", &swapped);
    assert_eq!(status.run().await.code(), Some(0), "{}{}", status.stdout(), status.stderr());
    let said: serde_json::Value = serde_json::from_str(&status.stdout()).unwrap();
    assert_eq!(said["mirrors"][1]["of"], "second");
    assert_eq!((&said["mirrors"][1]["state"], &said["mirrors"][1]["eventsLeft"]), (&"live".into(), &0.into()));
}

/// A transaction that is larger than a round of the mirror arrives whole, beside others.
#[tokio::test]
async fn transactions_stay_whole_in_a_mirror() {
    let store = Store::new("CREATE TABLE items (id int PRIMARY KEY); CREATE TABLE notes (id int PRIMARY KEY)").await;
    let second = database().await;
    let consumers = [("items-there", "items", "items", ""), ("notes-there", "notes", "notes", "")];
    let manifest = mirrored(&store.manifest(&["items", "notes"], &consumers), &[("second", &second, "events")]);
    let manifest = reading(&reading(&manifest, "notes-there", "second"), "items-there", "second");
    store.catch_up(&manifest).await;
    let mut pelton = store.sync(&manifest);
    pelton.start();
    pelton.says("mirroring").await;
    let client = store.source.connect().await;
    let sql = "BEGIN; INSERT INTO notes VALUES (1); INSERT INTO items SELECT generate_series(1, 210000); \
               INSERT INTO notes VALUES (2); COMMIT";
    client.batch_execute(sql).await.unwrap();
    let seen = second.connect().await;
    let begun = std::time::Instant::now();
    loop {
        let sql = "SELECT count(*), (SELECT count(*) FROM rejot_events.event AS e JOIN rejot_events.stream AS t \
                   ON t.id = e.stream_id AND t.public_schema_name = 'notes') FROM rejot_events.event";
        let row = seen.query_one(sql, &[]).await.unwrap();
        let (all, notes): (i64, i64) = (row.get(0), row.get(1));
        assert!((all, notes) == (0, 0) || (all, notes) == (210_002, 2), "{all} events, {notes} notes");
        if all > 0 {
            break;
        }
        assert!(begun.elapsed().as_secs() < 90, "{}", pelton.stderr());
    }
    store.destination.wait_until("(SELECT count(*) FROM items) = 210000 AND (SELECT count(*) FROM notes) = 2").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

/// Killed at any point of the line, with a mirror of a mirror and consumers at both ends.
#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_twice_in_a_mirror() {
    let store = Store::new(ITEMS).await;
    let (second, third) = (database().await, database().await);
    let consumers = [("items-there", "items", "items", ""), ("notes-there", "notes", "notes", "")];
    let plain = store.manifest(&["items", "notes"], &consumers);
    let manifest = mirrored(&plain, &[("second", &second, "events"), ("third", &third, "second")]);
    let manifest = reading(&manifest, "notes-there", "third");
    let mut next = 2000;
    let mut killed = 0;
    for point in ["before-mirrored", "after-mirrored", "before-commit", "after-commit", "before-cursor", "after-cursor"]
    {
        for pass in [1, 2, 4] {
            let mut pelton = store.sync(&manifest).env("PELTON_FAULT", format!("{point}:{pass}"));
            pelton.start();
            for _ in 0..12 {
                let change = format!(
                    "BEGIN; INSERT INTO items VALUES ({next}, 1); UPDATE items SET v = v + 1 WHERE id % 100 = {}; \
                     INSERT INTO notes VALUES ({next}, 'n'); COMMIT; DELETE FROM items WHERE id = {} - 3",
                    next % 100,
                    next
                );
                store.source.execute(&change).await;
                next += 1;
                if pelton.has_ended() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            }
            let begun = std::time::Instant::now();
            while !pelton.has_ended() && begun.elapsed().as_secs() < 5 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            killed += i32::from(pelton.has_ended());
            pelton.kill().await;
            // What a reader sees is never half of a transaction. Of one from while its tables are being copied the original
            // may have some rows only.
            let transactions =
                "SELECT epoch, commit_lsn, count(*) FROM rejot_events.event WHERE xid <> 0 GROUP BY 1, 2";
            if store.events.value(IS_THERE).await != "t" {
                continue;
            }
            let whole: HashSet<_> = store.events.rows(transactions).await.into_iter().collect();
            for database in [&second, &third] {
                if database.value(IS_THERE).await == "t" {
                    let found = database.rows(transactions).await;
                    assert!(found.iter().all(|transaction| whole.contains(transaction)), "after {point}:{pass}");
                }
            }
        }
    }
    assert!(killed >= 14, "only {killed} of 18 were killed");
    store.catch_up(&manifest).await;
    store.assert_equal("items").await;
    store.assert_equal("notes").await;
    assert_same(&store.events, EVENTS, &second, EVENTS).await;
    assert_same(&store.events, EVENTS, &third, EVENTS).await;
}

/// A mirror is a consumer of the original: what it has not read stays there. And one that begins late has what was merged.
#[tokio::test]
async fn mirrors_and_retention_go_together() {
    let store = Store::new(ITEMS).await;
    let (second, third) = (database().await, database().await);
    let plain = store.manifest(&["items", "notes"], &[("items-there", "items", "items", "")]);
    let one = mirrored(&plain, &[("second", &second, "events")]);
    store.catch_up(&one).await;
    store.source.execute("UPDATE items SET v = 0, doc = '{}' WHERE id <= 400; DELETE FROM items WHERE id > 900").await;
    // Without its mirror the original is pruned only up to where that has read.
    store.catch_up(&plain).await;
    let mut prune = Pelton::new(["events", "prune", "--max-age", "0s"]).file("pelton.yaml", &plain);
    assert_eq!(prune.run().await.code(), Some(1), "{}{}", prune.stdout(), prune.stderr());
    assert!(prune.stderr().contains("consumer `mirror second ("), "{}", prune.stderr());
    store.catch_up(&one).await;
    assert_eq!(second.value("SELECT count(*) FROM rejot_events.event").await, "1501");
    store.source.execute("INSERT INTO notes VALUES (5, 'five')").await;
    store.catch_up(&one).await;
    let mut prune = Pelton::new(["events", "prune", "--max-age", "0s", "--store", "events"]).file("pelton.yaml", &one);
    assert_eq!(prune.run().await.code(), Some(0), "{}{}", prune.stdout(), prune.stderr());
    assert_eq!(store.events.value("SELECT count(*) FROM rejot_events.event").await, "902");
    // A mirror of what was merged has that, and goes on behind it; a consumer of it has every row.
    store.source.execute("UPDATE items SET v = 5 WHERE id = 5; DELETE FROM items WHERE id = 6").await;
    let both = mirrored(&one, &[("third", &third, "events")])
        .replace("name: items-there", "name: late\n    eventStore: third")
        .replace("table: public.items, createTable", "table: public.late, createTable");
    store.catch_up(&both).await;
    assert_same(&store.events, EVENTS, &third, EVENTS).await;
    assert_same(&store.source, "SELECT * FROM items", &store.destination, "SELECT * FROM late").await;
    // Pruned on its own it loses nothing either.
    let mut prune = Pelton::new(["events", "prune", "--max-age", "0s", "--store", "third"]).file("pelton.yaml", &both);
    assert_eq!(prune.run().await.code(), Some(0), "{}{}", prune.stdout(), prune.stderr());
    assert_eq!(third.value("SELECT count(*) FROM rejot_events.event").await, "901");
    let again = both.replace("name: late", "name: later").replace("public.late", "public.later");
    store.catch_up(&again).await;
    assert_same(&store.source, "SELECT * FROM items", &store.destination, "SELECT * FROM later").await;
}

#[tokio::test]
async fn what_can_not_be_a_mirror_is_told() {
    let store = Store::new(ITEMS).await;
    let second = database().await;
    let plain = store.manifest(&["items"], &[("items-there", "items", "items", "")]);
    // In the manifest.
    let circle = mirrored(&plain, &[("second", &second, "third"), ("third", &second, "second")]);
    let said = check(&circle, 1).await;
    assert!(said.contains("event store `second` would be a mirror of itself"), "{said}");
    let said = check(&mirrored(&plain, &[("second", &second, "event")]), 1).await;
    assert!(said.contains("there is no event store `event`") && said.contains("did you mean `events`"), "{said}");
    let said = check(&mirrored(&plain, &[("second", &store.events, "events")]), 1).await;
    assert!(said.contains("are the same database"), "{said}");
    // Of two manifests: the second would bring back what came from there.
    let manifest = mirrored(&plain, &[("second", &second, "events")]);
    store.catch_up(&manifest).await;
    let back = format!(
        "slug: back
connections:
  - {{ slug: events, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: second, config: {{ connectionType: postgres, url: \"{}\" }} }}
eventStores:
  - {{ connectionSlug: second }}
  - {{ connectionSlug: events, mirrorOf: second }}
",
        store.events.url(),
        second.url()
    );
    let said = check(&back, 1).await;
    assert!(said.contains("`shop/items@1` comes from this very event store"), "{said}");
    // Nobody publishes into a mirrored stream, and a cursor is of one stream.
    let there =
        plain.replace("connectionSlug: events }", "connectionSlug: second }").replace("slug: events,", "slug: second,");
    let there = there.replace(&store.events.url(), &second.url());
    let said = check(&there, 1).await;
    assert!(said.contains("is mirrored into this event store, so nobody else may publish it here"), "{said}");
    let apart = database().await;
    let elsewhere = plain.replace(&store.events.url(), &apart.url());
    let said = check(&elsewhere, 1).await;
    assert!(said.contains("has read another stream of the same name up to now"), "{said}");
    assert!(said.contains("pelton consumers drop items-there"), "{said}");
    // Where it is published on its own it can't be mirrored.
    let said = check(&mirrored(&plain, &[("apart", &apart, "events")]), 1).await;
    assert!(said.contains("is another stream of the same name"), "{said}");
}

/// The example, as it stands.
#[tokio::test]
async fn the_example_of_mirrored_events_runs() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mirrored-events");
    let text = |file: &str| std::fs::read_to_string(folder.join(file)).expect("the example is there");
    // A server of its own: the example's slot has a name that nobody else may use.
    let server = server().await;
    let (source, events) = (database_on(&server).await, database_on(&server).await);
    let (mirror, reports) = (database_on(&server).await, database_on(&server).await);
    source.execute(&text("shop.sql")).await;
    let run = |file: &str, arguments: &[&str]| {
        Pelton::new(arguments)
            .file(file, text(file))
            .env("SHOP_URL", source.url())
            .env("SHOP_EVENTS_URL", events.url())
            .env("EUROPE_EVENTS_URL", mirror.url())
            .env("EUROPE_REPORTS_URL", reports.url())
    };
    let mut shop = run("shop.yaml", &["sync", "shop.yaml"]);
    let mut europe = run("europe.yaml", &["sync", "europe.yaml"]);
    shop.start();
    europe.start();
    reports.wait_until("to_regclass('public.shop_orders') IS NOT NULL").await;
    reports.wait_until("(SELECT count(*) FROM shop_orders) = 2").await;
    source.execute("UPDATE orders SET amount = 8 WHERE customer_name = 'Bob'").await;
    reports.wait_until("(SELECT amount FROM shop_orders WHERE customer = 'Bob') = 8").await;
    assert_same(&events, EVENTS, &mirror, EVENTS).await;
    let mut tail = run("europe.yaml", &["events", "tail", "europe.yaml", "--store", "europe-events"]);
    assert_eq!(tail.run().await.code(), Some(0), "{}", tail.stderr());
    assert!(tail.stdout().contains("Bob") && !tail.stdout().contains("@example.com"), "{}", tail.stdout());
    let mut status = run("europe.yaml", &["status", "europe.yaml"]);
    assert_eq!(status.run().await.code(), Some(0), "{}", status.stdout());
    europe.terminate();
    assert_eq!(europe.ended().await.code(), Some(0), "{}", europe.stderr());
    // The last thing that the README says: the consumer goes on in the original.
    let original = text("europe.yaml").replace("    eventStore: europe-events\n", "");
    let mut europe = run("europe.yaml", &["sync", "europe.yaml"]).file("europe.yaml", original);
    europe.start();
    source.execute("DELETE FROM orders WHERE customer_name = 'Ann'").await;
    reports.wait_until("(SELECT count(*) FROM shop_orders) = 1").await;
    for pelton in [&mut europe, &mut shop] {
        pelton.terminate();
        assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    }
}

/// What went by force before it was mirrored is missed by name, also by a mirror that runs.
#[tokio::test]
async fn a_mirror_stops_where_events_are_gone() {
    let store = Store::new(ITEMS).await;
    let second = database().await;
    let shop = store.manifest(&["items"], &[]);
    let copier = mirrored(&store.manifest(&[], &[]), &[("second", &second, "events")]);
    let copier = copier.replacen("slug: shop", "slug: copier", 1).replace("publicSchemas:\n", "publicSchemas: []\n");
    store.catch_up(&shop).await;
    let mut copies = store.sync(&copier);
    copies.start();
    second.wait_until("to_regclass('rejot_events.store') IS NOT NULL").await;
    second.wait_until("(SELECT count(*) FROM rejot_events.event) = 1000").await;
    copies.signal("STOP");
    store.source.execute("DELETE FROM items WHERE id <= 10").await;
    store.catch_up(&shop).await;
    let mut prune =
        Pelton::new(["events", "prune", "--max-age", "0s", "--force", "--wait", "1s"]).file("pelton.yaml", &shop);
    prune.run().await;
    store.source.execute("INSERT INTO items VALUES (2000, 1, NULL)").await;
    store.catch_up(&shop).await;
    copies.signal("CONT");
    assert_eq!(copies.ended().await.code(), Some(1), "{}", copies.stderr());
    assert!(copies.stderr().contains("no longer has all events that `mirror second"), "{}", copies.stderr());
    assert_eq!(second.value("SELECT count(*) FROM rejot_events.event").await, "1000");
}

/// Two processes never both append what is new: how far a stream was is held against its row.
#[tokio::test]
async fn a_mirror_commits_only_from_where_it_read() {
    use pelton::change::Position;
    use pelton::datastore::DataStoreError;
    use pelton::eventstore::{self, Appended, Moved, Upstream};

    let store = Store::new(ITEMS).await;
    let second = database().await;
    store.catch_up(&mirrored(&store.manifest(&["items"], &[]), &[("second", &second, "events")])).await;
    let (upstream, client) = (store.events.connect().await, second.connect().await);
    let id = eventstore::store_id(&upstream).await.unwrap();
    let of = Upstream { id: &id, slug: "events", manifest: "shop" };
    let owner = eventstore::take_over_mirror(&client, &of).await.unwrap();
    assert!(!eventstore::begin_mirroring(&client, &id, owner - 1).await.unwrap(), "a former owner");
    client.batch_execute("ROLLBACK").await.unwrap();
    let stream = eventstore::streams(&client).await.unwrap().remove(0);
    for (from, stale) in [(Position::START, true), (stream.last, false)] {
        assert!(eventstore::begin_mirroring(&client, &id, owner).await.unwrap());
        let moved = Moved { from, to: stream.last };
        let appended = Appended { last: [(stream.id, moved)].into_iter().collect(), ..Appended::default() };
        let committed = eventstore::commit_mirrored(&client, &id, &appended).await;
        assert_eq!(matches!(committed, Err(DataStoreError::StaleMirror { .. })), stale, "{committed:?}");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
}
