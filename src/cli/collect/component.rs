//! Components: what they say of themselves becomes the manifest's public schemas.
//!
//! The component decides what it publishes: name, version, columns. Everything else, settings and limits and who may take
//! it, is the manifest's own and stays as it is written there.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::super::manifest::file::File;
use super::super::report::Failure;
use super::merge::definition_file;
use crate::change::PublicSchema;
use crate::engine;
use crate::manifest::edit::{Edit, Step};
use crate::manifest::output_schema_breaks;
use crate::wasm::{Host, HostOptions, Limits};

const LIST: &str = "publicSchemas";

/// A component's file, and what it publishes.
pub struct Described {
    pub file: PathBuf,
    pub public_schemas: Vec<PublicSchema>,
}

/// Returns true for the file of a component.
pub fn is_component(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "wasm")
}

/// Lets components describe themselves, in the sandbox.
///
/// # Errors
/// A file that can't be read, or that is no transform.
pub fn describe(files: &[PathBuf]) -> Result<Vec<Described>, Failure> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error: crate::wasm::WasmError| Failure::of(&error, error.hint());
    let host = Host::new(HostOptions::for_user()).map_err(failed)?;
    let describe = |file: &PathBuf| {
        let bytes = std::fs::read(file).map_err(|error| {
            let hint = "name components as `pelton build` writes them".to_owned();
            Failure::new(format!("{} could not be read: {error}", file.display()), Some(hint))
        })?;
        let component = host.load(&bytes, &file.display().to_string(), Limits::default()).map_err(failed)?;
        Ok(Described { file: file.clone(), public_schemas: component.descriptor().public_schemas.clone() })
    };
    files.iter().map(describe).collect()
}

/// Returns the JSON Schema of a public schema's rows.
pub fn output_schema(schema: &PublicSchema) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for column in &schema.columns {
        let types = engine::json_types(&column.kind);
        // Documents may be of any type; the others have one, the first.
        let mut types: Vec<&str> = if types.contains(&"object") { types.to_vec() } else { vec![types[0]] };
        if column.nullable {
            types.push("null");
        } else {
            required.push(column.name.to_string());
        }
        let of = if types.len() == 1 { json!(types[0]) } else { json!(types) };
        properties.insert(column.name.to_string(), json!({ "type": of }));
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

/// Edits the manifest's text; returns what was done, a line each. With `strict`, what would break who reads the manifest's
/// own schema under the same major version is refused.
///
/// # Errors
/// A manifest that can't be edited, several databases that it could be read from, a break.
pub fn merge(file: &mut File, components: &[Described], strict: bool) -> Result<Vec<String>, Failure> {
    let mut told = Vec::new();
    for component in components {
        let path = definition_file(&file.path.clone(), &component.file)?;
        for schema in &component.public_schemas {
            let (name, major) = (&*schema.name, schema.major);
            match file.items(LIST).iter().position(|item| is(item, schema)) {
                None => {
                    let item = added(file, schema, &path, &component.file)?;
                    file.edit(&Edit::Push { list: LIST, item })?;
                    told.push(format!("Added public schema `{name}` {major}.{}", schema.minor));
                }
                Some(index) => {
                    refuse_another(&file.items(LIST)[index], schema, &path)?;
                    if updated(file, index, schema, &component.file, strict)? {
                        told.push(format!("Updated public schema `{name}` {major}.{}", schema.minor));
                    }
                }
            }
        }
        let gone = |item: &Value| {
            item["config"]["component"] == path.as_str()
                && component.public_schemas.iter().all(|schema| !is(item, schema))
        };
        while let Some(index) = file.items(LIST).iter().position(gone) {
            let item = &file.items(LIST)[index];
            told.push(format!(
                "Removed `{}`, which its component publishes no more",
                item["name"].as_str().unwrap_or_default()
            ));
            file.edit(&Edit::Remove { list: LIST, index })?;
        }
    }
    Ok(told)
}

fn is(item: &Value, schema: &PublicSchema) -> bool {
    item["name"] == *schema.name && item["version"]["major"] == schema.major
}

/// A schema of that name and version that something else makes is not the component's to change.
fn refuse_another(item: &Value, schema: &PublicSchema, path: &str) -> Result<(), Failure> {
    let config = &item["config"];
    let by = match (config["publicSchemaType"].as_str(), config["component"].as_str()) {
        (Some("wasm"), Some(component)) if component == path || Path::new(component) == Path::new("./").join(path) => {
            return Ok(());
        }
        (Some("wasm"), Some(component)) => format!("component {component}"),
        (other, _) => format!("`publicSchemaType: {}`", other.unwrap_or("postgres")),
    };
    let what =
        format!("public schema `{}` {} of the manifest is made by {by}, not by {path}", schema.name, schema.major);
    Err(Failure::new(
        what,
        Some("name that component, or give one of the two another name or major version".to_owned()),
    ))
}

fn added(file: &File, schema: &PublicSchema, path: &str, shown: &Path) -> Result<Value, Failure> {
    // Another schema of the component knows where it reads from, and how it is to be run.
    let sibling = file.items(LIST).iter().find(|item| item["config"]["component"] == path);
    let (source, config) = match sibling {
        Some(item) => (item["source"].clone(), item["config"].clone()),
        None => {
            let slug = only_source(file, shown)?;
            (json!({ "dataStoreSlug": slug }), json!({ "publicSchemaType": "wasm", "component": path }))
        }
    };
    Ok(json!({
        "name": &*schema.name,
        "version": { "major": schema.major, "minor": schema.minor },
        "source": source,
        "outputSchema": output_schema(schema),
        "config": config,
    }))
}

/// Returns the one data store that is read.
fn only_source(file: &File, shown: &Path) -> Result<String, Failure> {
    let read = |item: &&Value| item.get("config").is_some();
    let sources: Vec<&str> =
        file.items("dataStores").iter().filter(read).filter_map(|item| item["connectionSlug"].as_str()).collect();
    match sources[..] {
        [one] => Ok(one.to_owned()),
        _ => {
            let what = format!(
                "{} has {} data stores that are read, so it is not known which one {} reads",
                file.path.display(),
                sources.len(),
                shown.display()
            );
            let hint = "add one of its public schemas by hand, with its `source`; the others follow".to_owned();
            Err(Failure::new(what, Some(hint)))
        }
    }
}

fn updated(file: &mut File, index: usize, schema: &PublicSchema, shown: &Path, strict: bool) -> Result<bool, Failure> {
    let was = file.items(LIST)[index].clone();
    let item = [Step::Field(LIST), Step::Item(index)];
    let mut changed = false;
    if was["version"]["minor"] != schema.minor {
        let map = [&item[..], &[Step::Field("version")]].concat();
        file.edit(&Edit::Set { map: &map, field: "minor", value: json!(schema.minor) })?;
        changed = true;
    }
    let Some(before) = was.get("outputSchema") else { return Ok(changed) };
    let now = output_schema(schema);
    let breaks = if strict { output_schema_breaks(before, &now) } else { Vec::new() };
    if !breaks.is_empty() {
        let list: String = breaks.iter().map(|one| format!("\n  - {one}")).collect();
        let what = format!("{}: public schema `{}` would break those who read it:{list}", shown.display(), schema.name);
        return Err(Failure::new(
            what,
            Some(format!("give it version {}.0, or bring back what it had", schema.major + 1)),
        ));
    }
    // What an author wrote of the same columns, formats and descriptions, stays.
    let agrees = engine::differences(before, schema).is_empty() && names(before) == names(&now);
    if !agrees {
        file.edit(&Edit::Set { map: &item, field: "outputSchema", value: now })?;
        changed = true;
    }
    Ok(changed)
}

fn names(schema: &Value) -> Vec<&String> {
    let mut names: Vec<_> = schema["properties"].as_object().into_iter().flat_map(Map::keys).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Column, Kind};

    fn schema(minor: u32, columns: &[(&str, Kind, bool)]) -> PublicSchema {
        let column = |(name, kind, nullable): &(&str, Kind, bool)| Column {
            name: (*name).into(),
            kind: kind.clone(),
            type_oid: 0,
            type_modifier: -1,
            nullable: *nullable,
            key: *name == "id",
            attrs: vec![],
        };
        let columns = columns.iter().map(column).collect();
        PublicSchema { name: "orders".into(), major: 1, minor, columns, attrs: vec![] }
    }

    const MANIFEST: &str = "slug: shop
manifestVersion: 0
connections:
  - { slug: db, config: { connectionType: postgres, host: h, user: u } }
dataStores:
  - { connectionSlug: db, config: { slotName: s } } # read
publicSchemas:
  # The shop's.
  - name: orders
    version: { major: 1, minor: 0 }
    source: { dataStoreSlug: db }
    outputSchema: { type: object, required: [id], properties: { id: { type: integer, description: Ours } } }
    config: { publicSchemaType: wasm, component: orders.wasm, settings: { a: b } }
";

    /// The manifest's text after a component of these public schemas was collected.
    fn collected(schemas: Vec<PublicSchema>, strict: bool) -> Result<(Vec<String>, Value), Failure> {
        let folder = tempfile::tempdir().unwrap();
        let (manifest, component) = (folder.path().join("pelton.yaml"), folder.path().join("orders.wasm"));
        std::fs::write(&manifest, MANIFEST).unwrap();
        std::fs::write(&component, "").unwrap();
        let mut file = File::read(&manifest)?;
        let told = merge(&mut file, &[Described { file: component, public_schemas: schemas }], strict)?;
        file.write()?;
        let text = std::fs::read_to_string(&manifest).unwrap();
        assert!(text.contains("# The shop's.") && text.contains("# read"), "{text}");
        Ok((told, file.tree))
    }

    #[test]
    fn what_a_component_says_becomes_the_manifests_schema() {
        let same = schema(0, &[("id", Kind::Int64, false)]);
        let (told, tree) = collected(vec![same.clone()], true).unwrap();
        assert!(told.is_empty(), "{told:?}");
        assert_eq!(tree["publicSchemas"][0]["outputSchema"]["properties"]["id"]["description"], "Ours");

        let wider = schema(1, &[("id", Kind::Int64, false), ("doc", Kind::Jsonb, true)]);
        let other = PublicSchema { name: "totals".into(), ..same };
        let (told, tree) = collected(vec![wider, other], true).unwrap();
        assert_eq!(told, ["Updated public schema `orders` 1.1", "Added public schema `totals` 1.0"]);
        let schemas = &tree["publicSchemas"];
        assert_eq!(schemas[0]["version"], json!({ "major": 1, "minor": 1 }));
        assert_eq!(schemas[0]["outputSchema"]["required"], json!(["id"]));
        assert_eq!(schemas[0]["outputSchema"]["properties"]["doc"]["type"].as_array().unwrap().len(), 7);
        // What the manifest says of the component holds for all that it publishes.
        assert_eq!(schemas[0]["config"], schemas[1]["config"]);
        assert_eq!(schemas[1]["source"], json!({ "dataStoreSlug": "db" }));
    }

    #[test]
    fn what_a_component_publishes_no_more_goes() {
        let next = PublicSchema { major: 2, ..schema(0, &[("id", Kind::Int64, false)]) };
        let (told, tree) = collected(vec![next], true).unwrap();
        assert_eq!(
            told,
            ["Added public schema `orders` 2.0", "Removed `orders`, which its component publishes no more"]
        );
        assert_eq!(tree["publicSchemas"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn what_would_break_readers_is_refused_by_a_check() {
        let broken = || schema(1, &[("id", Kind::Text, false)]);
        let error = format!("{:?}", collected(vec![broken()], true).unwrap_err());
        assert!(error.contains("would break those who read it") && error.contains("give it version 2.0"), "{error}");
        assert_eq!(collected(vec![broken()], false).unwrap().0, ["Updated public schema `orders` 1.1"]);
    }
}
