//! What `pelton status` says of public rows that are not what `outputSchema` says: counts, never values.

use serde_json::{Value, json};

use crate::datastore::ViolationRow;

/// Returns what a person is told of one rule at one destination.
pub fn line(destination: &str, of: &ViolationRow) -> String {
    let ViolationRow { public_schema, major, field, rule, rows, .. } = of;
    let key = if of.key.is_empty() { "none".to_owned() } else { of.key.join(", ") };
    let rows = if *rows == 1 { "1 row is".to_owned() } else { format!("{rows} rows are") };
    format!(
        "{destination}: {rows} not what outputSchema of {public_schema}@{major} says of `{field}` ({rule}; key: {key}), the \
         last from {}, change {}, at {}",
        of.commit_lsn, of.change, of.last_at
    )
}

/// Returns the counts for scripts.
pub fn to_json(found: &[ViolationRow]) -> Value {
    let one = |one: &ViolationRow| {
        json!({
            "field": one.field,
            "rule": one.rule,
            "key": one.key,
            "rows": one.rows,
            "firstAt": one.first_at,
            "lastAt": one.last_at,
            "lastCommitLsn": one.commit_lsn.to_string(),
            "lastChange": one.change,
        })
    };
    found.iter().map(one).collect()
}
