//! Consumers by SQL: of a source itself, and of an event store.

use serde_json::json;

use super::place::{Place, sql, table};
use crate::support::assert_same;

const ITEMS: &str = "CREATE TABLE items (id int PRIMARY KEY, label text, flag bool, doc jsonb);
    INSERT INTO items SELECT i, 'l' || i, i % 2 = 0, '{\"a\": [1, null]}' FROM generate_series(1, 1000) AS i";
const KEPT: &str = "CREATE TABLE kept (id int PRIMARY KEY, label text, flag bool, doc jsonb);
    CREATE TABLE log (n serial, what text)";
const UPSERT: &str = "INSERT INTO kept VALUES (:id, :label, :flag, :doc) \
    ON CONFLICT (id) DO UPDATE SET label = :label, flag = :flag, doc = excluded.doc";

async fn keeps_equal(store: bool) {
    let place = Place::new(store, ITEMS, KEPT).await;
    let consumers = [
        ("kept", "items", sql(UPSERT, Some("DELETE FROM kept WHERE id = :id;"))),
        // The order is that of the source, beside tables too.
        (
            "log",
            "items",
            sql(
                "INSERT INTO log (what) VALUES ($1::text || coalesce($2, '-'))",
                Some("INSERT INTO log (what) VALUES ('-' || $1::int)"),
            ),
        ),
        ("there", "items", json!({ "consumerSchemaType": "table", "table": "public.items", "createTable": true })),
    ];
    let manifest = place.manifest(&[("items", table("items"))], &consumers);
    let same = async || {
        assert_same(&place.source, "SELECT * FROM items", &place.destination, "SELECT * FROM kept").await;
        assert_same(&place.source, "SELECT * FROM items", &place.destination, "SELECT * FROM items").await;
    };
    place.catch_up(&manifest).await;
    same().await;
    assert_eq!(place.found("SELECT count(*) FROM log").await, "1000");
    place.destination.execute("TRUNCATE log").await;
    place
        .source
        .execute(
            "BEGIN; INSERT INTO items VALUES (2000, 'a'); DELETE FROM items WHERE id = 2000; COMMIT;
             BEGIN; DELETE FROM items WHERE id = 1; INSERT INTO items VALUES (1, 'again', true, 'null'); COMMIT;
             BEGIN; UPDATE items SET label = NULL WHERE id = 2; UPDATE items SET label = 'x' WHERE id = 2; COMMIT;
             UPDATE items SET id = 3000 WHERE id = 3;
             INSERT INTO items VALUES (4000, 'quote '' :id $1 \\ \" é', NULL, '{\"n\": 12345678901234567890.10}')",
        )
        .await;
    place.catch_up(&manifest).await;
    same().await;
    let order = "2000a\n-2000\n-1\n1again\n2-\n2x\n-3\n3000l3\n4000quote ' :id $1 \\ \" é";
    assert_eq!(place.found("SELECT what FROM log ORDER BY n").await, order);
    // A transaction that is larger than a batch.
    place
        .source
        .execute(
            "UPDATE items SET label = label || '!'; INSERT INTO items SELECT i FROM generate_series(10000, 40000) i",
        )
        .await;
    place.catch_up(&manifest).await;
    same().await;
}

#[tokio::test]
async fn statements_keep_a_table_equal() {
    keeps_equal(false).await;
}

#[tokio::test]
async fn statements_keep_a_table_equal_by_way_of_an_event_store() {
    keeps_equal(true).await;
}

async fn takes_effect_once(store: bool, points: &[&str]) {
    let place = Place::new(
        store,
        "CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items SELECT i, 0 FROM generate_series(1, 500) i",
        "CREATE TABLE log (id int, v int)",
    )
    .await;
    let consumers = [("log", "items", sql("INSERT INTO log VALUES (:id, :v)", None))];
    let manifest = place.manifest(&[("items", table("items"))], &consumers);
    for (round, point) in points.iter().enumerate() {
        let mut pelton = place.sync(&manifest, &[]).env("PELTON_FAULT", point);
        pelton.start();
        for n in 0..400 {
            if pelton.has_ended() {
                break;
            }
            let update = format!("UPDATE items SET v = v + 1 WHERE id % 5 = {} % 5", round + n);
            place.source.execute(&update).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(pelton.has_ended(), "{point} was never reached:\n{}", pelton.stderr());
    }
    place.catch_up(&manifest).await;
    // From the one that was copied on, every value that a row has had is there, once.
    let had = "SELECT id, generate_series(min(v), max(v)) FROM log GROUP BY id";
    assert_same(&place.destination, had, &place.destination, "SELECT id, v FROM log").await;
    let newest = "SELECT id, max(v) FROM log GROUP BY id";
    assert_same(&place.source, "SELECT id, v FROM items", &place.destination, newest).await;
}

#[tokio::test]
async fn statements_take_effect_once_whatever_is_killed() {
    let points =
        ["before-copy:2", "after-copy:2", "before-commit:2", "after-commit:2", "before-commit:6", "after-commit:5"];
    takes_effect_once(false, &points).await;
}

#[tokio::test]
async fn statements_take_effect_once_by_way_of_an_event_store() {
    let points = ["after-consumed:1", "before-cursor:1", "after-cursor:1", "before-cursor:3", "after-cursor:4"];
    takes_effect_once(true, &points).await;
}

async fn fails_alone(store: bool) {
    let place = Place::new(
        store,
        ITEMS,
        "CREATE TABLE kept (id int PRIMARY KEY, label text, flag bool, doc jsonb);
         CREATE TABLE few (id int PRIMARY KEY CHECK (id < 500), label text)",
    )
    .await;
    place
        .source
        .execute("CREATE TABLE others (id int PRIMARY KEY, label text); INSERT INTO others SELECT id, label FROM items")
        .await;
    let consumers = [
        ("kept", "items", sql(UPSERT, None)),
        (
            "few",
            "others",
            sql("INSERT INTO few VALUES (:id, :label) ON CONFLICT (id) DO UPDATE SET label = :label", None),
        ),
    ];
    let manifest = place.manifest(&[("items", table("items")), ("others", table("others"))], &consumers);
    let said = place.stops(&manifest).await;
    assert!(said.contains("cannot run `sql` of consumer `few`"), "{said}");
    assert!(said.contains("23514") && said.contains("few_id_check"), "{said}");
    assert!(!said.contains("l500"), "{said}");
    assert_same(&place.source, "SELECT * FROM items", &place.destination, "SELECT * FROM kept").await;
    place.destination.execute("ALTER TABLE few DROP CONSTRAINT few_id_check").await;
    place.catch_up(&manifest).await;
    assert_same(&place.source, "SELECT * FROM others", &place.destination, "SELECT * FROM few").await;
}

#[tokio::test]
async fn a_row_that_is_refused_stops_its_consumer_alone() {
    fails_alone(false).await;
}

#[tokio::test]
async fn a_row_that_is_refused_stops_its_consumer_of_an_event_store_alone() {
    fails_alone(true).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_statement_is_said_before_a_row_is_written() {
    let place = Place::new(false, ITEMS, KEPT).await;
    let check = async |config: serde_json::Value, what: &str, hint: &str| {
        let manifest = place.manifest(&[("items", table("items"))], &[("c", "items", config)]);
        let said = place.stops(&manifest).await;
        assert!(said.contains(what) && said.contains(hint), "{what} / {hint}:\n{said}");
        assert!(!said.contains("l500"), "{said}");
    };
    let of = |text: &str| sql(text, None);
    check(
        of("INSERT INTO kept (id, label) VALUES (:id, :lable)"),
        "`sql` of consumer `c` names :lable",
        "Did you mean :label?",
    )
    .await;
    check(
        of("INSERT INTO kept (id) VALUES ($5)"),
        "names $5, and public schema `items@1` has id, label, flag, doc",
        "-",
    )
    .await;
    check(
        sql("SELECT 1", Some("DELETE FROM kept WHERE label = :label")),
        "a delete of public schema `items@1` says id alone",
        "-",
    )
    .await;
    check(of("INSERT INTO kept (id) VALUES (:id); SELECT 1"), "it has several statements", "write one statement").await;
    check(of("INSERT INTO kept (id) VALUES (:id, $2)"), "it has both :id and $2", "everywhere").await;
    check(of("COMMIT"), "`sql` is a COMMIT", "alone").await;
    check(of("INSERT INTO kep (id) VALUES (:id)"), "relation \"kep\" does not exist", "Correct the statement").await;
    check(of("INSERT INTO kept (id) VALUE (:id)"), "syntax error", "Correct the statement").await;
    assert_eq!(place.found("SELECT count(*) FROM kept").await, "0");
    let manifest =
        place.manifest(&[("items", table("items"))], &[("c", "items", of("INSERT INTO kept VALUES (:id, $1)"))]);
    let mut check = crate::support::Pelton::new(["check", "m.json"]).file("m.json", &manifest);
    assert_eq!(check.run().await.code(), Some(1));
    assert!(check.stderr().contains("it has both :id and $1"), "{}", check.stderr());
}

#[tokio::test]
async fn a_large_value_that_an_update_leaves_out_is_not_made_up() {
    let big =
        "CREATE TABLE docs (id int PRIMARY KEY, v int, body text); ALTER TABLE docs ALTER body SET STORAGE EXTERNAL;
               INSERT INTO docs VALUES (1, 1, repeat('x', 20000))";
    let place = Place::new(false, big, "CREATE TABLE kept (id int PRIMARY KEY, v int, body text)").await;
    let all = sql("INSERT INTO kept VALUES (:id, :v, :body) ON CONFLICT (id) DO UPDATE SET v = :v, body = :body", None);
    let some = sql("INSERT INTO kept VALUES (:id, :v) ON CONFLICT (id) DO UPDATE SET v = :v", None);
    let manifest = |config| place.manifest(&[("docs", table("docs"))], &[("c", "docs", config)]);
    place.catch_up(&manifest(all.clone())).await;
    place.source.execute("UPDATE docs SET v = 2").await;
    let said = place.stops(&manifest(all.clone())).await;
    assert!(
        said.contains("leaves out the large value (TOAST) of `body`") && said.contains("REPLICA IDENTITY FULL"),
        "{said}"
    );
    // What the statement does not take need not be known.
    place.catch_up(&manifest(some)).await;
    assert_eq!(place.found("SELECT id, v, length(body) FROM kept").await, "1 2 20000");
    // With the whole old row it is known.
    place.source.execute("ALTER TABLE docs REPLICA IDENTITY FULL; UPDATE docs SET v = 3; UPDATE docs SET v = 4").await;
    place.catch_up(&manifest(all)).await;
    assert_eq!(place.found("SELECT id, v, length(body) FROM kept").await, "1 4 20000");
}

#[tokio::test]
async fn what_has_no_statement_stays_and_that_is_said_once() {
    let place = Place::new(false, ITEMS, KEPT).await;
    let manifest = place.manifest(&[("items", table("items"))], &[("c", "items", sql(UPSERT, None))]);
    place.catch_up(&manifest).await;
    place
        .source
        .execute("DELETE FROM items WHERE id < 10; UPDATE items SET id = 2000 WHERE id = 11; TRUNCATE items")
        .await;
    let said = place.catch_up(&manifest).await;
    assert_eq!(said.matches("the consumer has no `deleteSql`").count(), 1, "{said}");
    assert_eq!(said.matches("a table was truncated").count(), 1, "{said}");
    assert_eq!(place.found("SELECT count(*), count(*) FILTER (WHERE id = 2000) FROM kept").await, "1001 1");
}

/// A statement sees of the tables beside it what the source had when its row was changed.
#[tokio::test]
async fn statements_and_tables_take_turns_as_the_source_did() {
    let place = Place::new(
        false,
        "CREATE TABLE items (id int PRIMARY KEY); CREATE TABLE marks (id int PRIMARY KEY)",
        "CREATE TABLE items (id int PRIMARY KEY); CREATE TABLE log (n serial, what text)",
    )
    .await;
    let there = json!({ "consumerSchemaType": "table", "table": "public.items", "createTable": true });
    let seen = sql("INSERT INTO log (what) SELECT :id::int || ' ' || coalesce(sum(id), 0) FROM public.items", None);
    let manifest = place.manifest(
        &[("items", table("items")), ("marks", table("marks"))],
        &[("seen", "marks", seen), ("there", "items", there)],
    );
    place.catch_up(&manifest).await;
    place
        .source
        .execute(
            "BEGIN; INSERT INTO marks VALUES (1); INSERT INTO items VALUES (10); INSERT INTO marks VALUES (2); INSERT INTO items
             VALUES (5); UPDATE items SET id = 20 WHERE id = 10; INSERT INTO marks VALUES (3); DELETE FROM items; INSERT INTO marks
             VALUES (4); COMMIT",
        )
        .await;
    place.catch_up(&manifest).await;
    assert_eq!(place.found("SELECT what FROM log ORDER BY n").await, "1 0\n2 10\n3 25\n4 0");
}

#[tokio::test]
async fn deletes_of_whole_rows_are_told_apart_by_all_their_columns() {
    let place = Place::new(
        false,
        "CREATE TABLE notes (id int, what text); ALTER TABLE notes REPLICA IDENTITY FULL;
         CREATE TABLE items (id int PRIMARY KEY, what text); ALTER TABLE items REPLICA IDENTITY FULL",
        "CREATE TABLE notes (id int, what text); CREATE TABLE items (id int, what text)",
    )
    .await;
    let consumers = [
        (
            "notes",
            "notes",
            sql(
                "INSERT INTO notes VALUES (:id, :what)",
                Some("DELETE FROM notes WHERE id = :id AND what IS NOT DISTINCT FROM :what"),
            ),
        ),
        ("items", "items", sql("INSERT INTO items VALUES (:id, :what)", Some("DELETE FROM items WHERE id = :id"))),
    ];
    let manifest = place.manifest(&[("notes", table("notes")), ("items", table("items"))], &consumers);
    place.catch_up(&manifest).await;
    for table in ["notes", "items"] {
        place
            .source
            .execute(&format!(
                "INSERT INTO {table} VALUES (1, 'a'), (2, NULL), (3, 'c'); DELETE FROM {table} WHERE id < 3"
            ))
            .await;
    }
    place.catch_up(&manifest).await;
    assert_eq!(place.found("SELECT * FROM notes UNION ALL SELECT * FROM items").await, "3 c\n3 c");
}

#[tokio::test]
async fn one_value_may_be_taken_as_two_types() {
    let place = Place::new(
        false,
        "CREATE TABLE t (id int PRIMARY KEY, flag bool); INSERT INTO t VALUES (7, true)",
        "CREATE SCHEMA mine; CREATE TABLE mine.kept (id int, id_text text, flag text)",
    )
    .await;
    place.destination.execute(&format!("ALTER DATABASE \"{}\" SET search_path = mine", place.destination.name())).await;
    let consumer = sql("INSERT INTO kept (id, id_text, flag) VALUES (:id, :id, :flag)", None);
    place.catch_up(&place.manifest(&[("t", table("t"))], &[("c", "t", consumer)])).await;
    assert_eq!(place.found("SELECT * FROM mine.kept").await, "7 7 true");
}
