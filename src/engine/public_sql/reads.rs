//! Whether what a statement reads includes the changed table, by whatever way: Postgres's own plan says it.
//!
//! A statement that is shown the changed row, or that takes placeholders alone, answers from the change only if it does not
//! come back to the table behind a view, a partition or a function that the planner looks into.

use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

/// The table and what is part of it. A plan names partitions, and tables that inherit, one by one.
const INCLUDES: &str = "WITH RECURSIVE part (oid) AS (SELECT $3::oid UNION \
         SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN part AS p ON p.oid = i.inhparent) \
     SELECT EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS r (schema, name) \
         JOIN pg_catalog.pg_namespace AS n ON n.nspname = r.schema \
         JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = r.name JOIN part AS p ON p.oid = c.oid)";

/// Returns true when a statement, which needs no parameters, reads the table with that OID.
pub(super) async fn includes(client: &Client, sql: &str, table_oid: u32) -> Result<bool, tokio_postgres::Error> {
    let explained = client.simple_query(&format!("EXPLAIN (VERBOSE, FORMAT JSON) {sql}")).await?;
    let lines = explained.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan = serde_json::from_str(&lines.collect::<String>()).unwrap_or(Value::Null);
    let mut names = Vec::new();
    relations(&plan, &mut names);
    let (schemas, names): (Vec<String>, Vec<String>) = names.into_iter().unzip();
    client.query_one(INCLUDES, &[&schemas, &names, &table_oid]).await.map(|row| row.get(0))
}

/// Collects the relations that a plan scans, with their schemas.
fn relations(plan: &Value, found: &mut Vec<(String, String)>) {
    match plan {
        Value::Object(node) => {
            let text = |name: &str| node.get(name).and_then(Value::as_str).map(str::to_owned);
            found.extend(text("Schema").zip(text("Relation Name")));
            node.values().for_each(|value| relations(value, found));
        }
        Value::Array(nodes) => nodes.iter().for_each(|node| relations(node, found)),
        _ => {}
    }
}
