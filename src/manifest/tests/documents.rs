//! The schema for editors and the reference for people are what the parser goes by.
//!
//! After a change of the description, `UPDATE=1 cargo nextest run -E 'test(manifest::tests::documents)'` rewrites both.

use serde_json::Value;

use super::*;
use crate::manifest::description::MANIFEST;
use crate::manifest::fields::{Kind, Object};
use crate::manifest::reference::reference;
use crate::manifest::report::Report;
use crate::manifest::shape::Shaper;

const BEGIN: &str = "<!-- From here on the text is made of the description in src/manifest/description.rs -->\n";

/// Holds a file of the repository against what it should be, or rewrites it when `UPDATE` is set.
#[track_caller]
fn holds(file: &str, expected: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let expected = expected(&found);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            found == expected,
            "{file} is stale; rewrite it: UPDATE=1 cargo nextest run -E 'test(manifest::tests::documents)'"
        );
    }
}

#[test]
fn the_json_schema_is_made_of_the_description() {
    holds("docs/manifest.schema.json", |_| serde_json::to_string_pretty(&json_schema()).unwrap() + "\n");
}

#[test]
fn the_reference_is_made_of_the_description() {
    holds("docs/manifest.md", |found| {
        let written = found.split_once(BEGIN).map_or(found, |(written, _)| written);
        format!("{written}{BEGIN}{}", reference())
    });
}

#[test]
fn the_manifests_in_the_documentation_are_valid() {
    for file in ["README.md", "docs/manifest.md", "docs/transforms.md"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let (written, _) = text.split_once(BEGIN).unwrap_or((&text, ""));
        let blocks = written.split("```yaml\n").skip(1).filter_map(|block| Some(block.split_once("```")?.0));
        // Other blocks are pieces of one.
        let manifests: Vec<&str> = blocks.filter(|text| text.starts_with("slug:")).collect();
        assert!(!manifests.is_empty(), "{file}");
        for manifest in manifests {
            valid(manifest);
        }
    }
}

/// Holds the examples against the parser, all that is below a kind.
fn examples(kind: &'static Kind, shaper: &mut Shaper<'_>, count: &mut usize) {
    let objects: Vec<&'static Object> = match kind {
        Kind::Object(object) => vec![object],
        Kind::Variant(variant) => variant.cases.iter().map(|(_, object)| *object).collect(),
        Kind::List(item) => return examples(item, shaper, count),
        _ => return,
    };
    for object in objects {
        let node = crate::manifest::node::read(object.example, false, shaper.report).unwrap();
        shaper.value(kind, &node, object.name);
        *count += 1;
        object.fields.iter().for_each(|field| examples(&field.kind, shaper, count));
    }
}

#[test]
fn the_examples_of_all_objects_are_valid() {
    let mut report = Report::default();
    let mut shaper = Shaper { report: &mut report, environment: &System, folder: Path::new("/m") };
    let mut count = 0;
    for field in MANIFEST.fields {
        examples(&field.kind, &mut shaper, &mut count);
    }
    let outside = |p: &Problem| matches!(p.code, Code::MissingVariable | Code::SecretUnreadable);
    let problems: Vec<String> =
        report.finish("", "").0.iter().filter(|p| !outside(p)).map(|p| p.message.clone()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    assert!(count > 15, "{count}");
}

/// As much of JSON Schema as ours uses: returns what is wrong.
fn against(schema: &Value, value: &Value, root: &Value) -> Result<(), String> {
    let Value::Object(schema) = schema else { panic!("{schema}") };
    for (word, rule) in schema {
        let ok = match word.as_str() {
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                against(&root["$defs"][name], value, root)?;
                true
            }
            "type" => {
                let is = |kind: &Value| match kind.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("{other}"),
                };
                rule.as_array().map_or_else(|| is(rule), |kinds| kinds.iter().any(is))
            }
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_u64().is_none_or(|n| n >= rule.as_u64().unwrap()),
            "maximum" => value.as_u64().is_none_or(|n| n <= rule.as_u64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "minProperties" => value.as_object().is_none_or(|fields| fields.len() as u64 >= rule.as_u64().unwrap()),
            "maxProperties" => value.as_object().is_none_or(|fields| fields.len() as u64 <= rule.as_u64().unwrap()),
            "required" => rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "anyOf" => rule.as_array().unwrap().iter().any(|schema| against(schema, value, root).is_ok()),
            "oneOf" => {
                rule.as_array().unwrap().iter().filter(|schema| against(schema, value, root).is_ok()).count() == 1
            }
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| against(rule, item, root))?;
                true
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    value.get(name).map_or(Ok(()), |value| against(schema, value, root))?;
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let mut more = value.as_object().into_iter().flatten();
                more.all(|(name, value)| {
                    known.is_some_and(|known| known.contains_key(name))
                        || rule.is_object() && against(rule, value, root).is_ok()
                })
            }
            // There is no regex here: of the patterns only that of a variable is held.
            "pattern" if rule.as_str().unwrap().starts_with(r"\$") => {
                value.as_str().is_none_or(|text| text.contains("${"))
            }
            "pattern" | "description" | "default" | "title" | "$schema" | "$defs" => true,
            other => panic!("this test does not know `{other}`"),
        };
        if !ok {
            return Err(format!("{word}: {rule} does not hold for {value}"));
        }
    }
    Ok(())
}

fn fits_schema(text: &str) -> Result<(), String> {
    let mut report = Report::default();
    let node = crate::manifest::node::read(text, false, &mut report).unwrap();
    let schema = json_schema();
    against(&schema, &crate::manifest::node::to_json(&node), &schema)
}

#[test]
fn the_schema_takes_what_the_parser_takes() {
    for text in [
        SMALL.to_owned(),
        init_text("shop"),
        small("tables: [public.orders]", "tables: [public.orders], detachedWalMax: \"${MAX:-10GB}\""),
        small("user: me }", "user: me, password: { file: pw }, port: \"${PORT}\", sslmode: require }"),
        small("table: public.orders }", "table: public.orders, columns: [id, { a: b }], key: [id] }"),
        small(
            "publicSchemaType: table, table: public.orders",
            "publicSchemaType: wasm, component: x, settings: { a: 1, b: true }, onError: stop",
        ),
        small("publicSchemas:", "workspaces:\npublicSchemas:"),
    ] {
        valid(&text);
        assert_eq!(fits_schema(&text), Ok(()), "{text}");
    }
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    for (from, to) in [
        ("slug: shop\n", ""),
        ("connectionSlug: source", "conectionSlug: source"),
        ("user: me }", "user: me, port: 0 }"),
        ("host: db, user: me", "user: me"),
        ("host: db, user: me", "host: db, user: me, sslmode: allow"),
        ("connectionType: postgres, host", "host"),
        ("connectionType: postgres, host", "connectionType: x, host"),
        ("tables: [public.orders]", "tables: public.orders"),
        ("table: orders }", "table: orders, createTable: yes }"),
        ("table: public.orders }", "table: public.orders, columns: [{ a: b, c: d }] }"),
        ("table: public.orders }", "table: public.orders, columns: [] }"),
        ("publicSchemaType: table, table: public.orders", "publicSchemaType: wasm, component: x, onError: park"),
        ("{ major: 1, minor: 0 }", "{ major: 1 }"),
    ] {
        let text = small(from, to);
        assert!(read(&text).is_err(), "{text}");
        assert!(fits_schema(&text).is_err(), "the schema takes {to}");
    }
}
