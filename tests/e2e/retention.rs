//! What an event store no longer keeps, and that nobody misses it.

use crate::events_line::Store;
use crate::support::{Pelton, assert_same};

const ITEMS: &str = "
CREATE TABLE items (id int PRIMARY KEY, v int, big text, doc jsonb);
CREATE TABLE notes (id int PRIMARY KEY, what text);
ALTER TABLE items ALTER COLUMN big SET STORAGE EXTERNAL;
INSERT INTO items SELECT i, i, repeat(i::text, 3000), '{\"a\": 1}' FROM generate_series(1, 300) AS i;
INSERT INTO notes SELECT i, 'first' FROM generate_series(1, 10) AS i;
";

/// Everything that can happen to a row, so that merging it wrongly shows.
const CHANGES: [&str; 8] = [
    // Values that stay outside of the row are not in the event.
    "UPDATE items SET v = v + 1 WHERE id <= 100; UPDATE items SET doc = 'null' WHERE id BETWEEN 50 AND 60",
    "DELETE FROM items WHERE id BETWEEN 70 AND 80; INSERT INTO items VALUES (75, 1, 'again', NULL)",
    // Keys that change, in a chain, back and onto others' former ones.
    "UPDATE items SET id = 1001 WHERE id = 1; UPDATE items SET id = 1002, v = 9 WHERE id = 1001; \
     UPDATE items SET id = 1 WHERE id = 2; UPDATE items SET id = 2 WHERE id = 1002",
    "UPDATE items SET doc = '{\"b\": null}' WHERE id BETWEEN 50 AND 55; UPDATE items SET doc = NULL WHERE id = 60",
    "BEGIN; DELETE FROM items WHERE id = 200; INSERT INTO items VALUES (200, 0, 'reborn', 'null'); \
     UPDATE items SET id = 2000 WHERE id = 200; COMMIT",
    "UPDATE notes SET what = 'second' WHERE id > 5; TRUNCATE notes; INSERT INTO notes VALUES (1, 'after'), (2, NULL)",
    "UPDATE items SET id = 3000 + id WHERE id BETWEEN 90 AND 95; \
     UPDATE items SET id = id - 3000 WHERE id > 3000",
    "UPDATE items SET v = -1 WHERE id = 2; UPDATE items SET doc = 'null' WHERE id = 2000",
];

fn prune(manifest: &str, more: &[&str]) -> Pelton {
    Pelton::new(["events", "prune"].iter().chain(more)).file("pelton.yaml", manifest)
}

async fn pruned(manifest: &str, more: &[&str], code: i32) -> String {
    let mut pelton = prune(manifest, more);
    assert_eq!(pelton.run().await.code(), Some(code), "{}{}", pelton.stdout(), pelton.stderr());
    format!("{}{}", pelton.stdout(), pelton.stderr())
}

/// Compaction may come between any two changes: whoever starts late has the source's rows, and so has whoever was there.
#[tokio::test]
async fn who_starts_late_gets_every_row_of_what_was_merged() {
    let store = Store::new(ITEMS).await;
    let tables = ["items", "notes"];
    let first = [("items-there", "items", "items", ""), ("notes-there", "notes", "notes", "")];
    let manifest = store.manifest(&tables, &first);
    store.catch_up(&manifest).await;
    let mut rounds = 0;
    for changes in CHANGES.chunks(2) {
        for change in changes {
            store.source.execute(change).await;
        }
        store.catch_up(&manifest).await;
        store.assert_equal("items").await;
        store.assert_equal("notes").await;
        let said = pruned(&manifest, &["--max-age", "0s"], 0).await;
        assert!(said.contains("Segments removed: 1;"), "{said}");
        rounds += 1;
        // One event for each row that there is.
        for table in tables {
            let rows = store.source.value(&format!("SELECT count(*) FROM {table}")).await;
            let events = format!(
                "SELECT count(*) || ' ' || count(DISTINCT key) FROM rejot_events.events WHERE public_schema_name = '{table}'"
            );
            assert_eq!(store.events.value(&events).await, format!("{rows} {rows}"), "round {rounds}");
        }
        let mut late = first.to_vec();
        let (items, notes) = (format!("items{rounds}"), format!("notes{rounds}"));
        late.extend([(&*items, "items", &*items, ""), (&*notes, "notes", &*notes, "")]);
        store.catch_up(&store.manifest(&tables, &late)).await;
        for (table, made) in [("items", &items), ("notes", &notes)] {
            let (of, into) = (format!("SELECT * FROM {table}"), format!("SELECT * FROM {made}"));
            assert_same(&store.source, &of, &store.destination, &into).await;
        }
        let names = format!("DELETE FROM rejot_events.consumer WHERE consumer IN ('{items}', '{notes}')");
        store.events.execute(&names).await;
    }
    let merged = "SELECT count(*) FROM rejot_events.event WHERE segment <> 0";
    assert_eq!(store.events.value(merged).await, "0");
    // One that was rewound to the start on top of its rows has them all the same.
    let mut rewind =
        Pelton::new(["consumers", "rewind", "items-there", "--to", "start"]).file("pelton.yaml", &manifest);
    assert_eq!(rewind.run().await.code(), Some(0), "{}", rewind.stderr());
    store.catch_up(&manifest).await;
    store.assert_equal("items").await;
}

/// Until it is forced: then who has not read it stops, and says what brings it back.
#[tokio::test]
async fn what_a_consumer_has_not_read_stays() {
    let store = Store::new(ITEMS).await;
    let manifest = store.manifest(&["items"], &[("quick", "items", "quick", ""), ("slow", "items", "slow", "")]);
    store.catch_up(&manifest).await;
    let consumer = |action: &'static str| Pelton::new(["consumers", action, "slow"]).file("pelton.yaml", &manifest);
    assert_eq!(consumer("pause").run().await.code(), Some(0));
    store.source.execute("UPDATE items SET v = 0; DELETE FROM items WHERE id > 290").await;
    store.catch_up(&manifest).await;
    let said = pruned(&manifest, &["--max-age", "0s"], 1).await;
    assert!(said.contains("consumer `slow` of manifest `shop` has not read behind"), "{said}");
    // What it had read was merged; the rest is there, and it reads it.
    assert_eq!(store.events.value("SELECT count(*) FROM rejot_events.event WHERE segment <> 0").await, "310");
    assert_eq!(consumer("resume").run().await.code(), Some(0));
    store.catch_up(&manifest).await;
    let rows = "SELECT * FROM items";
    assert_same(&store.source, rows, &store.destination, "SELECT * FROM slow").await;

    assert_eq!(consumer("pause").run().await.code(), Some(0));
    store.source.execute("UPDATE items SET v = 1; DELETE FROM items WHERE id > 280").await;
    store.catch_up(&manifest).await;
    let said = pruned(&manifest, &["--max-age", "0s", "--force"], 0).await;
    assert!(said.contains("Segments removed: 2;"), "{said}");
    assert_eq!(consumer("resume").run().await.code(), Some(0));
    store.source.execute("UPDATE items SET v = 2 WHERE id = 7").await;
    for _ in 0..2 {
        let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", &manifest);
        assert_eq!(pelton.run().await.code(), Some(1), "{}", pelton.stderr());
        let said = pelton.stderr();
        assert!(said.contains("no longer has all events of `items@1` that consumer `slow` has not read"), "{said}");
        assert!(said.contains("pelton consumers rewind slow --to start"), "{said}");
    }
    assert_same(&store.source, rows, &store.destination, "SELECT * FROM quick").await;
    // Not before what is merged, but to the start, as it was told.
    let rewind = |to: &str| Pelton::new(["consumers", "rewind", "slow", "--to", to]).file("pelton.yaml", &manifest);
    let mut before = rewind("1:0/1:0");
    assert_eq!(before.run().await.code(), Some(1));
    assert!(before.stderr().contains("merged into the newest of each key"), "{}", before.stderr());
    store.destination.execute("TRUNCATE slow").await;
    assert_eq!(rewind("start").run().await.code(), Some(0));
    store.catch_up(&manifest).await;
    assert_same(&store.source, rows, &store.destination, "SELECT * FROM slow").await;
}

/// Without compaction, and without a key, it is gone: who needs the first rows is told, who does not goes on.
#[tokio::test]
async fn what_is_removed_is_missed_by_name() {
    let store = Store::new("CREATE TABLE log (at int, what text); ALTER TABLE log REPLICA IDENTITY FULL; INSERT INTO log VALUES (1, 'one'), (2, 'two')").await;
    let manifest = store.manifest(&["log"], &[("there", "log", "there", "")]);
    store.catch_up(&manifest).await;
    store.source.execute("INSERT INTO log VALUES (3, 'three')").await;
    store.catch_up(&manifest).await;
    pruned(&manifest, &["--max-age", "0s"], 0).await;
    assert_eq!(store.events.value("SELECT count(*) FROM rejot_events.events").await, "0");
    store.source.execute("INSERT INTO log VALUES (4, 'four')").await;
    // Positions go on behind what is gone.
    store.catch_up(&manifest).await;
    assert_same(&store.source, "SELECT * FROM log", &store.destination, "SELECT * FROM there").await;
    let late = store.manifest(&["log"], &[("there", "log", "there", ""), ("late", "log", "late", "")]);
    let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", &late);
    assert_eq!(pelton.run().await.code(), Some(1), "{}", pelton.stderr());
    assert!(pelton.stderr().contains("has removed the first events of `log@1`"), "{}", pelton.stderr());
    let late = store.manifest(&["log"], &[("there", "log", "there", ""), ("late", "log", "late", ", backfill: false")]);
    store.catch_up(&late).await;
    assert_eq!(store.destination.value("SELECT string_agg(what, ' ') FROM late").await, "four");
}

/// While it runs, it goes over to new segments and drops old ones, by size here.
#[tokio::test]
async fn a_running_sync_keeps_its_event_store_small() {
    let store = Store::new(ITEMS).await;
    let retained = "  - { connectionSlug: events, retention: { maxSize: 256kB } }\n";
    let manifest = store
        .manifest(&["items", "notes"], &[("items-there", "items", "items", "")])
        .replace("  - { connectionSlug: events }\n", retained);
    let mut pelton = store.sync(&manifest);
    pelton.start();
    store.destination.wait_until("to_regclass('public.items') IS NOT NULL").await;
    store.destination.wait_until("(SELECT count(*) FROM items) = 300").await;
    let client = store.events.connect().await;
    let begun = std::time::Instant::now();
    loop {
        store.source.execute("UPDATE items SET v = v + 1; UPDATE notes SET what = what || '!'").await;
        let gone: bool = client.query_one("SELECT min(id) > 1 FROM rejot_events.segment", &[]).await.unwrap().get(0);
        if gone {
            break;
        }
        assert!(begun.elapsed().as_secs() < 150, "no segment goes: {}", pelton.stderr());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    pelton.says("removed what is older than its retention").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    store.catch_up(&manifest).await;
    store.assert_equal("items").await;
    let late = manifest
        .replace("name: items-there", "name: late")
        .replace("table: public.items, createTable", "table: public.late, createTable");
    store.catch_up(&late).await;
    assert_same(&store.source, "SELECT * FROM items", &store.destination, "SELECT * FROM late").await;
}

/// What a user may type wrongly is told.
#[tokio::test]
async fn wrong_words_are_told() {
    let store = Store::new(ITEMS).await;
    let manifest = store.manifest(&["items"], &[]);
    let said = pruned(&manifest, &["--max-age", "0s"], 1).await;
    assert!(said.contains("there is no event store yet"), "{said}");
    store.catch_up(&manifest).await;
    let said = pruned(&manifest, &[], 1).await;
    assert!(said.contains("nothing says what is to be kept") && said.contains("--max-age"), "{said}");
    let said = pruned(&manifest, &["--max-age", "30 days"], 2).await;
    assert!(said.contains("write a number and its unit: s, min, h, d or w"), "{said}");
    let said = pruned(&manifest, &["--dry-run"], 0).await;
    assert!(said.starts_with("SEGMENT") && said.lines().count() == 2, "{said}");
}

/// An event store of before migration 11, whose documents are jsonb, is taken further with all that it has.
#[tokio::test]
async fn documents_of_before_are_kept() {
    let store = Store::new(ITEMS).await;
    let first = [("items-there", "items", "items", "")];
    let manifest = store.manifest(&["items"], &first);
    store.catch_up(&manifest).await;
    pruned(&manifest, &["--max-age", "0s"], 0).await;
    store.source.execute(CHANGES[0]).await;
    store.source.execute(CHANGES[2]).await;
    store.catch_up(&manifest).await;
    let view = "SELECT pg_get_viewdef('rejot_events.events')";
    let now = store.events.value(view).await;
    let count = store.events.value("SELECT count(*) FROM rejot_events.events").await;
    let seen = format!(
        "SELECT string_agg(e::text, ' ' ORDER BY epoch, commit_lsn, ordinal) FROM (SELECT * FROM rejot_events.events \
         ORDER BY epoch, commit_lsn, ordinal LIMIT {count}) AS e"
    );
    let before = store.events.value(&seen).await;
    let file = |name: &str| {
        let path = format!("{}/migrations/rejot_events/{name}.sql", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let made = file("0008_events");
    let made = &made[made.find("CREATE VIEW").unwrap()..];
    store
        .events
        .execute(&format!(
            "{hidden}; ALTER TABLE rejot_events.event ALTER key TYPE jsonb USING key::jsonb, \
             ALTER object TYPE jsonb USING object::jsonb, ALTER attributes TYPE jsonb USING attributes::jsonb; \
             CREATE INDEX event_0_key ON rejot_events.event_0 (stream_id, md5(key::text)); {made}; \
             DELETE FROM rejot_events.schema_migrations WHERE version = 11; \
             CREATE ROLE \"{role}\"; GRANT SELECT ON rejot_events.events TO \"{role}\"",
            hidden = "DROP VIEW rejot_events.events; DROP INDEX rejot_events.event_0_key",
            role = store.events.name(),
        ))
        .await;
    assert_ne!(store.events.value(view).await, now);

    // One that appends, merges on top of what was merged before, and serves one that comes late.
    store.source.execute(CHANGES[1]).await;
    store.catch_up(&manifest).await;
    assert_eq!(store.events.value(view).await, now);
    assert_eq!(store.events.value(&seen).await, before);
    let grant = format!("SELECT has_table_privilege('{}', 'rejot_events.events', 'SELECT')", store.events.name());
    assert_eq!(store.events.value(&grant).await, "t", "what was granted stays granted");
    pruned(&manifest, &["--max-age", "0s"], 0).await;
    store.catch_up(&store.manifest(&["items"], &[first[0], ("late", "items", "late", "")])).await;
    store.assert_equal("items").await;
    assert_same(&store.source, "SELECT * FROM items", &store.destination, "SELECT * FROM late").await;
}

/// One slow reader after the other: each is waited for no longer than its own transaction, and nobody waits for the drop.
#[tokio::test]
async fn slow_readers_one_after_another_hold_up_no_segment() {
    let store = Store::new(ITEMS).await;
    let manifest = store.manifest(&["items"], &[]);
    store.catch_up(&manifest).await;
    let read = async || {
        let client = store.events.connect().await;
        let read = "BEGIN ISOLATION LEVEL REPEATABLE READ; SET application_name = 'slow'; SELECT count(*) FROM rejot_events.event";
        client.batch_execute(read).await.unwrap();
        client
    };
    let count = "SELECT count(*) FROM rejot_events.event";
    let first = read().await;
    let said = pruned(&manifest, &["--max-age", "0s", "--wait", "1s"], 1).await;
    assert!(said.contains("it is waited for session") && said.contains("`slow`"), "{said}");
    // Another one has begun before the first has ended, and events are appended meanwhile.
    let second = read().await;
    first.batch_execute("COMMIT").await.unwrap();
    store.source.execute("UPDATE items SET v = 0").await;
    store.catch_up(&manifest).await;
    let mut waits = prune(&manifest, &["--max-age", "0s", "--wait", "50s"]);
    waits.start();
    let waiting = "EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%DETACH PARTITION%' AND wait_event_type = 'Lock' \
                   AND datname = current_database())";
    store.events.wait_until(waiting).await;
    let third = read().await;
    store.source.execute("UPDATE items SET v = 1").await;
    store.catch_up(&manifest).await;
    second.batch_execute("COMMIT").await.unwrap();
    // The third one is not waited for, but by the next segment.
    store.events.wait_until("to_regclass('rejot_events.event_1') IS NULL").await;
    third.batch_execute("COMMIT").await.unwrap();
    assert_eq!(waits.ended().await.code(), Some(0), "{}{}", waits.stdout(), waits.stderr());
    pruned(&manifest, &["--max-age", "0s"], 0).await;
    assert_eq!(store.events.value(count).await, "300");
    let late = store.manifest(&["items"], &[("late", "items", "items", "")]);
    store.catch_up(&late).await;
    store.assert_equal("items").await;
}

/// Between the beginning of a reader and its first look at the events no segment goes: its snapshot may be from before.
#[tokio::test]
async fn no_segment_goes_once_a_reader_has_begun() {
    let store = Store::new(ITEMS).await;
    let manifest = store.manifest(&["items"], &[]);
    store.catch_up(&manifest).await;
    let reader = store.events.connect().await;
    reader.batch_execute(pelton::eventstore::BEGIN_READING).await.unwrap();
    reader.query_one("SELECT count(*) FROM rejot_events.stream", &[]).await.unwrap();
    let said = pruned(&manifest, &["--max-age", "0s", "--wait", "1s"], 1).await;
    assert!(said.contains("it is waited for session"), "{said}");
    let seen = reader.query_one("SELECT count(*) FROM rejot_events.event", &[]).await.unwrap();
    assert_eq!(seen.get::<_, i64>(0), 300);
    reader.batch_execute("COMMIT").await.unwrap();
    pruned(&manifest, &["--max-age", "0s"], 0).await;
}

/// A publisher learns of a new segment some seconds late; until then it may meet one that is closed already.
#[tokio::test]
async fn a_publisher_that_meets_a_closed_segment_goes_on_with_the_newest() {
    let store = Store::new(ITEMS).await;
    let manifest = store.manifest(&["notes"], &[]);
    store.catch_up(&manifest).await;
    let mut sync = store.sync(&manifest);
    sync.start();
    store.source.execute("INSERT INTO notes VALUES (11, 'before')").await;
    store.events.wait_until("EXISTS (SELECT FROM rejot_events.event_1 WHERE key = '{\"id\":11}')").await;
    store
        .events
        .execute(
            "UPDATE rejot_events.segment SET ended_at = now(); INSERT INTO rejot_events.segment (id) VALUES (2); \
             CREATE TABLE rejot_events.event_2 PARTITION OF rejot_events.event FOR VALUES IN (2); \
             CREATE TRIGGER closed BEFORE INSERT ON rejot_events.event_1 \
             FOR EACH ROW EXECUTE FUNCTION rejot_events.closed()",
        )
        .await;
    store.source.execute("INSERT INTO notes VALUES (12, 'after')").await;
    store.events.wait_until("EXISTS (SELECT FROM rejot_events.event_2 WHERE key = '{\"id\":12}')").await;
    assert!(sync.stderr().contains("goes on by itself, with the newest segment"), "{}", sync.stderr());
    sync.signal("INT");
    assert_eq!(sync.ended().await.code(), Some(0), "{}", sync.stderr());
    assert_eq!(store.events.value("SELECT count(*) FROM rejot_events.event").await, "12");
}
