//! `outputSchema`, held against rows.

use serde_json::{Value, json};

use super::place::{Place, table};
use crate::support::Pelton;

async fn place(schema: Value, strict: bool) -> (Place, String) {
    place_with(schema, strict, false).await
}

async fn place_with(schema: Value, strict: bool, store: bool) -> (Place, String) {
    let items = "CREATE TABLE items (id int PRIMARY KEY, label text, size int);
                 INSERT INTO items SELECT i, 'l' || i, i FROM generate_series(1, 50) AS i";
    let place = Place::new(store, items, "").await;
    let mut config = table("items");
    config["of-schema"] = json!({ "outputSchema": schema, "strict": strict });
    let there = json!({ "consumerSchemaType": "table", "table": "public.items", "createTable": true });
    let manifest = place.manifest(&[("items", config)], &[("there", "items", there)]);
    (place, manifest)
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["id", "label"],
        "properties": { "id": { "type": "integer" }, "label": { "type": "string", "pattern": "^l" }, "size": { "maximum": 40 } },
    })
}

#[tokio::test]
async fn rows_that_are_something_else_are_counted_and_told() {
    let (place, manifest) = place(schema(), false).await;
    place.catch_up(&manifest).await;
    place.source.execute("INSERT INTO items VALUES (100, NULL, 1), (101, 'secret', 1), (102, 'l', 1)").await;
    let said = place.catch_up(&manifest).await;
    assert_eq!(place.found("SELECT count(*) FROM items").await, "53");
    let told = |rule: &str| {
        said.lines().filter(|line| line.contains("not what outputSchema says") && line.contains(rule)).count()
    };
    assert_eq!((told("required"), told("pattern"), told("maximum")), (1, 1, 0), "{said}");
    assert!(said.contains("label") && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn a_strict_schema_stops_the_flow_at_the_row() {
    let mut strict = schema();
    strict["properties"]["size"] = json!({});
    let (place, manifest) = place(strict, true).await;
    place.catch_up(&manifest).await;
    place.source.execute("INSERT INTO items VALUES (100, 'l', 1)").await;
    place.source.execute("INSERT INTO items VALUES (101, 'l', 1), (102, 'secret', 1)").await;
    let said = place.stops(&manifest).await;
    assert!(
        said.contains("`label` of a row of public schema `items@1` is not what outputSchema says (`pattern`), at "),
        "{said}"
    );
    assert!(said.contains(", change 1") && !said.contains("secret"), "{said}");
    let loose = manifest.replace("\"strict\": true", "\"strict\": false");
    place.catch_up(&loose).await;
    assert_eq!(place.found("SELECT count(*) FROM items").await, "53");
}

#[tokio::test]
async fn a_strict_schema_that_no_row_can_be_is_refused_at_the_start() {
    let (place, manifest) = place(json!({ "required": ["gone"] }), true).await;
    let said = place.stops(&manifest).await;
    assert!(said.contains("holds for no row: `gone` is required, and there is no such column"), "{said}");
}

/// What `pelton status` counts, as `field rule key rows`.
async fn counted(manifest: &str) -> Vec<String> {
    let mut status = Pelton::new(["status", "--json", "rejot-manifest.json"]).file("rejot-manifest.json", manifest);
    assert_eq!(status.run().await.code(), Some(0), "{}{}", status.stdout(), status.stderr());
    assert!(!status.stdout().contains("secret"), "{}", status.stdout());
    let status: Value = serde_json::from_str(&status.stdout()).unwrap();
    let found = status["flows"][0]["violations"].as_array().unwrap().iter();
    found
        .map(|one| format!("{} {} {} {}", one["field"], one["rule"], one["key"], one["rows"]).replace('"', ""))
        .collect()
}

/// Each row once, whatever is killed and whenever; of flows and of what is published.
#[tokio::test]
async fn status_counts_what_is_not_what_output_schema_says() {
    for store in [false, true] {
        let (place, manifest) = place_with(schema(), false, store).await;
        place.catch_up(&manifest).await;
        assert_eq!(counted(&manifest).await, ["size maximum [id] 10"]);
        place.source.execute("INSERT INTO items VALUES (100, NULL, 1), (101, 'secret', 1), (102, 'l', 41)").await;
        for fault in ["before-commit:1", "after-commit:1"] {
            let mut killed = Pelton::new(["sync", "--until-caught-up", "rejot-manifest.json"])
                .file("rejot-manifest.json", &manifest)
                .env("PELTON_FAULT", fault);
            assert_ne!(killed.run().await.code(), Some(0), "{}", killed.stderr());
        }
        place.catch_up(&manifest).await;
        let all = ["label pattern [id] 1", "label required [id] 1", "size maximum [id] 11"];
        assert_eq!(counted(&manifest).await, all);
        let mut status = Pelton::new(["status", "rejot-manifest.json"]).file("rejot-manifest.json", &manifest);
        assert_eq!(status.run().await.code(), Some(0));
        let said = "1 row is not what outputSchema of items@1 says of `label` (required; key: id), the last from ";
        assert!(status.stdout().contains(said), "{}", status.stdout());
        // What another schema did not allow is of no interest any more.
        place.catch_up(&manifest.replace("\"maximum\": 40", "\"maximum\": 400")).await;
        assert_eq!(counted(&manifest).await, [""; 0]);
        place.source.execute("INSERT INTO items VALUES (103, NULL, 1)").await;
        place.catch_up(&manifest).await;
        assert_eq!(counted(&manifest).await, ["label required [id] 1"]);
    }
}
