//! Holds the manifest's `outputSchema` against the columns that a component says it publishes.

use serde_json::Value;

use crate::change::PublicSchema;
use crate::engine::json_types;

/// Returns what differs, one sentence each.
pub fn differences(schema: &Value, public: &PublicSchema) -> Vec<String> {
    let mut differences = Vec::new();
    let empty = serde_json::Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for (name, property) in properties {
        let Some(column) = public.columns.iter().find(|column| *column.name == **name) else {
            differences.push(format!("the component has no column `{name}`"));
            continue;
        };
        let declared: Vec<&str> = match property.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => continue,
        };
        let expected = json_types(&column.kind);
        if let Some(wrong) = declared.iter().find(|&&d| d != "null" && !expected.contains(&d)) {
            differences.push(format!("`{name}` is {wrong}, and {} ({}) in the component", expected[0], column.kind));
        }
    }
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        match public.columns.iter().find(|column| *column.name == *required) {
            Some(column) if column.nullable => {
                differences.push(format!("`{required}` is required, and may be NULL in the component"));
            }
            Some(_) => {}
            None if properties.contains_key(required) => {}
            None => differences.push(format!("the component has no column `{required}`, which is required")),
        }
    }
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        for column in public.columns.iter().filter(|column| !properties.contains_key(&*column.name)) {
            differences
                .push(format!("the component publishes `{}`, and additional properties are forbidden", column.name));
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Column, Kind};
    use serde_json::json;

    #[test]
    fn what_differs_is_said() {
        let column = |name: &str, kind, nullable| Column {
            name: name.into(),
            kind,
            type_oid: 0,
            type_modifier: -1,
            nullable,
            key: false,
            attrs: Vec::new(),
        };
        let public = PublicSchema {
            name: "orders".into(),
            major: 1,
            minor: 0,
            columns: vec![column("id", Kind::Int64, false), column("label", Kind::Text, true)],
            attrs: Vec::new(),
        };
        let check = |schema: Value, expected: &[&str]| assert_eq!(differences(&schema, &public), expected);
        check(json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}), &[]);
        check(json!({"properties": {"label": {"type": ["string", "null"]}}}), &[]);
        check(
            json!({"required": ["label", "gone"], "properties": {"id": {"type": "string"}, "x": {}}, "additionalProperties": false}),
            &[
                "`id` is string, and integer (bigint) in the component",
                "the component has no column `x`",
                "`label` is required, and may be NULL in the component",
                "the component has no column `gone`, which is required",
                "the component publishes `label`, and additional properties are forbidden",
            ],
        );
    }
}
