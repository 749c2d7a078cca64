//! `outputSchema`, held against rows.

use serde_json::{Value, json};

use super::place::{Place, table};

async fn place(schema: Value, strict: bool) -> (Place, String) {
    let items = "CREATE TABLE items (id int PRIMARY KEY, label text, size int);
                 INSERT INTO items SELECT i, 'l' || i, i FROM generate_series(1, 50) AS i";
    let place = Place::new(false, items, "").await;
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
