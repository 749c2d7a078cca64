//! Schemas among what a module exports: known by their fields, as they stand or one level down.

use std::path::PathBuf;

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Public,
    Consumer,
}

/// A schema that a file defines.
#[derive(Clone, Debug)]
pub struct Schema {
    pub kind: Kind,
    pub file: PathBuf,
    pub value: Value,
}

impl Schema {
    pub fn name(&self) -> &str {
        self.value["name"].as_str().unwrap_or_default()
    }

    /// Returns `1.0`.
    pub fn version(&self) -> String {
        format!("{}.{}", self.value["version"]["major"], self.value["version"]["minor"])
    }

    /// Returns true for a schema of a manifest that this one takes the place of.
    pub fn is_of(&self, item: &Value) -> bool {
        let same = item["name"] == self.value["name"];
        match self.kind {
            Kind::Public => same && item["version"]["major"] == self.value["version"]["major"],
            Kind::Consumer => same,
        }
    }
}

/// Returns the schemas in what a file exports, each once.
pub fn schemas(file: &std::path::Path, values: &[Value]) -> Vec<Schema> {
    let mut found: Vec<Schema> = Vec::new();
    for value in values {
        let below: Vec<&Value> = match value {
            Value::Object(fields) if kind(value).is_none() => fields.values().collect(),
            Value::Array(items) => items.iter().collect(),
            other => vec![other],
        };
        for value in below {
            let Some(kind) = kind(value) else { continue };
            let schema = Schema { kind, file: file.to_owned(), value: without_nulls(value) };
            if found.iter().all(|other| other.kind != kind || !other.is_of(&schema.value)) {
                found.push(schema);
            }
        }
    }
    found
}

fn kind(value: &Value) -> Option<Kind> {
    let has = |names: &[&str]| value.is_object() && names.iter().all(|name| value.get(name).is_some());
    match () {
        () if has(&["name", "source", "version", "config"]) => Some(Kind::Public),
        () if has(&["name", "sourceManifestSlug", "publicSchema", "config"]) => Some(Kind::Consumer),
        () => None,
    }
}

/// Leaves out fields that are null: that is how both languages say that a field is not there.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let there = fields.iter().filter(|(name, value)| !value.is_null() && *name != "$schema");
            Value::Object(there.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_are_known_by_their_fields_as_they_stand_or_one_level_down() {
        let public = json!({ "name": "p", "source": { "dataStoreSlug": "d" }, "version": { "major": 1, "minor": 0 }, "config": { "x": null, "y": 1 } });
        let consumer = json!({ "name": "c", "sourceManifestSlug": "s", "publicSchema": {}, "config": {} });
        let values = [json!({ "a": public, "b": [public], "n": 1 }), public.clone(), json!([consumer, "x"]), json!({})];
        let found = schemas("f.ts".as_ref(), &values);
        let told: Vec<String> = found.iter().map(|schema| format!("{:?} {}", schema.kind, schema.name())).collect();
        assert_eq!(told, ["Public p", "Consumer c"]);
        assert_eq!((found[0].version().as_str(), &found[0].value["config"]), ("1.0", &json!({ "y": 1 })));
    }
}
