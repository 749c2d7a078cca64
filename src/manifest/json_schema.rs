//! The JSON Schema of a manifest, for editors, made of the description that drives the parser.
//!
//! It is the description's shadow: what it refuses the parser refuses too, but not the other way round, since
//! references and the words of a URL are beyond it.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::description::MANIFEST;
use super::fields::{Choice, Field, Kind, Object, Variant};

/// Returns the JSON Schema (draft 2020-12) of a manifest; `docs/manifest.schema.json` holds it.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    definitions.insert(
        "variable".to_owned(),
        json!({ "description": "Text with a variable: `${NAME}` or `${NAME:-default}`.", "type": "string", "pattern": VARIABLE }),
    );
    definitions.insert(
        "secret-file".to_owned(),
        json!({
            "description": "A secret in a file of its own; a line break at its end is cut.",
            "type": "object",
            "properties": { "file": { "description": "The file, relative to the manifest's folder.", "type": "string", "minLength": 1 } },
            "required": ["file"],
            "additionalProperties": false,
        }),
    );
    let mut schema = object(&MANIFEST, None, &mut definitions);
    let head = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Pelton manifest" });
    if let (Value::Object(whole), Value::Object(mut head)) = (&mut schema, head) {
        head.append(whole);
        *whole = head;
        whole.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

const VARIABLE: &str = r"\$\{[A-Za-z_]";

/// Returns the schema of an object; `tag` is the field that picked it and its value.
fn object(object: &'static Object, tag: Option<(&Variant, &str)>, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    let mut required: Vec<&str> = Vec::new();
    if let Some((variant, case)) = tag {
        properties.insert(variant.tag.to_owned(), json!({ "description": variant.doc, "const": case }));
        if variant.default != Some(case) {
            required.push(variant.tag);
        }
    }
    for field in object.fields {
        properties.insert(field.name.to_owned(), property(field, definitions));
        required.extend(field.required.then_some(field.name));
    }
    let mut schema = json!({
        "description": format!("{}\n\nExample:\n\n{}", object.doc, object.example),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if !object.any_of.is_empty() {
        schema["anyOf"] = object.any_of.iter().map(|set| json!({ "required": set })).collect();
    }
    schema
}

fn property(field: &'static Field, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = kind(&field.kind, definitions);
    // A field with nothing behind it, such as a list with all items commented out, is a field left out.
    if !field.required && schema.get("type") == Some(&json!("array")) {
        schema["type"] = json!(["array", "null"]);
    }
    let mut description = field.doc.to_owned();
    if let Kind::Choice(choices) = &field.kind {
        for choice in supported(choices) {
            // Cannot fail: it writes to a string.
            let _ = write!(description, "\n- `{}`: {}", choice.name, choice.doc);
        }
    }
    if let Some(default) = field.default {
        let _ = write!(description, "\n\nDefault: {}.", default.trim_matches('"'));
    }
    schema["description"] = description.into();
    // Only what is JSON can stand as a default; the rest says it in words.
    if let Some(default) = field.default.and_then(|default| serde_json::from_str::<Value>(default).ok()) {
        schema["default"] = default;
    }
    schema
}

fn kind(of: &'static Kind, definitions: &mut Map<String, Value>) -> Value {
    let or_variable = |schema: Value| json!({ "anyOf": [schema, { "$ref": "#/$defs/variable" }] });
    match of {
        Kind::Text(rule) => match rule.pattern {
            Some(pattern) => or_variable(json!({ "type": "string", "pattern": pattern })),
            None => json!({ "type": "string" }),
        },
        Kind::Choice(choices) => {
            let words: Vec<&str> = supported(choices).map(|choice| choice.name).collect();
            or_variable(json!({ "enum": words }))
        }
        Kind::Bool => or_variable(json!({ "type": "boolean" })),
        Kind::Integer { min, max } => or_variable(json!({ "type": "integer", "minimum": min, "maximum": max })),
        Kind::Size => or_variable(json!({ "type": "string", "pattern": "^[0-9]+ ?([kKmMgGtT][iI]?)?[bB]$" })),
        Kind::Age => or_variable(json!({ "type": "string", "pattern": "^[0-9]+ ?(s|min|h|d|w)$" })),
        Kind::Path | Kind::Table => json!({ "type": "string", "minLength": 1 }),
        Kind::Secret | Kind::Url => json!({ "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/secret-file" }] }),
        Kind::Object(of) => reference(of, None, definitions),
        Kind::Variant(variant) => {
            let cases = variant.cases.iter().map(|(case, of)| reference(of, Some((variant, case)), definitions));
            match cases.collect::<Vec<_>>() {
                mut cases if cases.len() == 1 => cases.remove(0),
                cases => json!({ "oneOf": cases }),
            }
        }
        Kind::List(item) => json!({ "type": "array", "items": kind(item, definitions) }),
        Kind::Settings => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
        }
        Kind::Columns => json!({
            "type": "array",
            "minItems": 1,
            "items": {
                "anyOf": [
                    { "type": "string", "minLength": 1 },
                    { "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": { "type": "string", "minLength": 1 } },
                ],
            },
        }),
        Kind::Json => json!({ "type": ["object", "boolean"] }),
    }
}

fn supported(choices: &[Choice]) -> impl Iterator<Item = &Choice> {
    choices.iter().filter(|choice| choice.supported)
}

/// Puts an object among the definitions and refers to it.
fn reference(of: &'static Object, tag: Option<(&Variant, &str)>, definitions: &mut Map<String, Value>) -> Value {
    let name = of.name.replace(' ', "-");
    if !definitions.contains_key(&name) {
        // It stands in its place before what it holds.
        definitions.insert(name.clone(), Value::Null);
        let schema = object(of, tag, definitions);
        definitions.insert(name.clone(), schema);
    }
    json!({ "$ref": format!("#/$defs/{name}") })
}
