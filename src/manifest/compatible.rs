//! Whether those who read rows of one `outputSchema` can read those of another.
//!
//! Of JSON Schema it knows what manifests use: `type`, `properties`, `required`, `items`, `enum`, and
//! `additionalProperties: false`. A reader is broken by what may come and could not before, and by what need not come
//! any more. Other words are not compared.

use serde_json::Value;

/// Returns what breaks for readers of `deployed` once they get `new`, one sentence each.
pub fn output_schema_breaks(deployed: &Value, new: &Value) -> Vec<String> {
    let mut breaks = Vec::new();
    compare("", deployed, new, &mut breaks);
    breaks
}

/// How deep schemas are compared; the manifest's own bound is below it.
const DEPTH_MAX: usize = 64;

fn compare(path: &str, deployed: &Value, new: &Value, breaks: &mut Vec<String>) {
    if path.matches('.').count() > DEPTH_MAX {
        return;
    }
    let what = if path.is_empty() { "the row".to_owned() } else { format!("`{path}`") };
    if let Some(allowed) = types(deployed) {
        match types(new) {
            None => breaks.push(format!("{what} was {} and may be anything", allowed.join(" or "))),
            Some(now) => {
                let is_new =
                    |kind: &&&str| !(allowed.contains(*kind) || **kind == "integer" && allowed.contains(&"number"));
                let fresh: Vec<&str> = now.iter().filter(is_new).copied().collect();
                if !fresh.is_empty() {
                    breaks.push(format!("{what} was {} and may be {}", allowed.join(" or "), fresh.join(" or ")));
                }
            }
        }
    }
    if let Some(Value::Array(allowed)) = deployed.get("enum") {
        match new.get("enum") {
            Some(Value::Array(now)) => {
                let fresh: Vec<String> =
                    now.iter().filter(|value| !allowed.contains(value)).map(Value::to_string).collect();
                if !fresh.is_empty() {
                    breaks.push(format!("{what} may be {}, which was not in its `enum`", fresh.join(", ")));
                }
            }
            _ => breaks.push(format!("{what} has no `enum` any more")),
        }
    }
    let required = |schema: &Value| -> Vec<String> {
        let names = schema.get("required").and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (still, empty) = (required(new), serde_json::Map::new());
    let properties = |schema: &'_ Value| schema.get("properties").and_then(Value::as_object).cloned();
    let now = properties(new).unwrap_or_else(|| empty.clone());
    let before = properties(deployed).unwrap_or(empty);
    for (name, was) in &before {
        match now.get(name) {
            Some(is) => compare(&join(path, name), was, is, breaks),
            None => breaks.push(format!("`{}` is gone", join(path, name))),
        }
    }
    let gone = |name: &&String| !still.contains(name) && (now.contains_key(*name) || !before.contains_key(*name));
    for name in required(deployed).iter().filter(gone) {
        breaks.push(format!("`{}` need not be there any more", join(path, name)));
    }
    if deployed.get("additionalProperties") == Some(&Value::Bool(false)) {
        for name in now.keys().filter(|name| !before.contains_key(*name)) {
            breaks.push(format!("`{}` is new, and `additionalProperties` is false", join(path, name)));
        }
    }
    if let (Some(was), Some(is)) = (deployed.get("items"), new.get("items")) {
        compare(&format!("{path}[]"), was, is, breaks);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Returns the types that a schema allows; `None`: any.
fn types(schema: &Value) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(many) => Some(many.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn readers_miss_what_is_gone_and_what_may_come() {
        let deployed = json!({
            "type": "object",
            "required": ["id", "label"],
            "properties": {
                "id": { "type": "integer" }, "label": { "type": "string" }, "size": { "enum": ["s", "m"] },
                "at": { "type": "object", "required": ["x"], "properties": { "x": { "type": "number" } } },
                "tags": { "type": "array", "items": { "type": "string" } }
            }
        });
        let check = |change: &dyn Fn(&mut Value), expected: &[&str]| {
            let mut new = deployed.clone();
            change(&mut new);
            assert_eq!(output_schema_breaks(&deployed, &new), expected);
        };
        check(&|_| {}, &[]);
        check(&|new| new["properties"]["more"] = json!({ "type": "string" }), &[]);
        check(&|new| new["required"] = json!(["id", "label", "size"]), &[]);
        check(&|new| new["properties"]["at"]["properties"]["x"]["type"] = json!("integer"), &[]);
        check(
            &|new| new["properties"]["id"]["type"] = json!(["integer", "null"]),
            &["`id` was integer and may be null"],
        );
        check(&|new| new["properties"]["id"]["type"] = json!("number"), &["`id` was integer and may be number"]);
        check(&|new| new["properties"]["id"] = json!({}), &["`id` was integer and may be anything"]);
        check(&|new| new["required"] = json!(["id"]), &["`label` need not be there any more"]);
        check(
            &|new| {
                new["properties"].as_object_mut().unwrap().remove("size");
            },
            &["`size` is gone"],
        );
        check(
            &|new| {
                new["properties"].as_object_mut().unwrap().remove("label");
            },
            &["`label` is gone"],
        );
        check(
            &|new| new["properties"]["size"]["enum"] = json!(["s", "l"]),
            &["`size` may be \"l\", which was not in its `enum`"],
        );
        check(&|new| new["properties"]["at"]["required"] = json!([]), &["`at.x` need not be there any more"]);
        check(
            &|new| new["properties"]["tags"]["items"]["type"] = json!("number"),
            &["`tags[]` was string and may be number"],
        );
        let strict = json!({ "properties": { "a": {} }, "additionalProperties": false });
        let more = json!({ "properties": { "a": {}, "b": {} } });
        assert_eq!(output_schema_breaks(&strict, &more), ["`b` is new, and `additionalProperties` is false"]);
    }
}
