//! Puts collected schemas into a manifest, and takes out those that their files define no more.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::manifest::file::File;
use super::super::report::Failure;
use super::found::{Kind, Schema};
use crate::manifest::edit::{Edit, Step};
use crate::manifest::output_schema_breaks;

/// Returns a file's path as the manifest names it: relative to the manifest's folder.
pub fn definition_file(manifest: &Path, file: &Path) -> Result<String, Failure> {
    let absolute = |path: &Path| {
        fs::canonicalize(path).map_err(|error| {
            Failure::new(format!("{}: {error}", path.display()), Some("name a file that is there".to_owned()))
        })
    };
    let manifest = absolute(manifest)?;
    let (file, folder) = (absolute(file)?, manifest.parent().unwrap_or(Path::new("/")));
    let shared = folder.components().zip(file.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| PathBuf::from(".."));
    let path: PathBuf = up.chain(file.components().skip(shared).map(|part| part.as_os_str().into())).collect();
    Ok(path.display().to_string())
}

/// Edits the manifest's text; returns what was done, a line each. With `strict`, an `outputSchema` that breaks who reads
/// the manifest's own one under the same major version is refused.
pub fn into(file: &mut File, schemas: Vec<Schema>, files: &[String], strict: bool) -> Result<Vec<String>, Failure> {
    let manifest = file.path.clone();
    let mut told = Vec::new();
    for (list, kind) in [("publicSchemas", Kind::Public), ("consumerSchemas", Kind::Consumer)] {
        let mine: Vec<&Schema> = schemas.iter().filter(|schema| schema.kind == kind).collect();
        for schema in &mine {
            let mut value = schema.value.clone();
            value["definitionFile"] = json!(definition_file(&manifest, &schema.file)?);
            let what = format!(
                "{} `{}`",
                if kind == Kind::Public { "public schema" } else { "consumer schema" },
                schema.name()
            );
            match file.items(list).iter().position(|item| schema.is_of(item)) {
                None => {
                    file.edit(&Edit::Push { list, item: value })?;
                    told.push(format!("Added {what}"));
                }
                Some(index) => {
                    let was = file.items(list)[index].clone();
                    if strict {
                        refuse_a_break(schema, &was)?;
                    }
                    if align(file, &[Step::Field(list), Step::Item(index)], &was, &value)? {
                        told.push(format!("Updated {what}"));
                    }
                }
            }
        }
        let gone = |item: &Value| {
            let defined_here = item["definitionFile"].as_str().is_some_and(|file| files.iter().any(|one| one == file));
            defined_here && mine.iter().all(|schema| !schema.is_of(item))
        };
        while let Some(index) = file.items(list).iter().position(gone) {
            let name = file.items(list)[index]["name"].as_str().unwrap_or_default().to_owned();
            file.edit(&Edit::Remove { list, index })?;
            told.push(format!("Removed `{name}`, which its file defines no more"));
        }
    }
    Ok(told)
}

fn refuse_a_break(schema: &Schema, was: &Value) -> Result<(), Failure> {
    let breaks = output_schema_breaks(&was["outputSchema"], &schema.value["outputSchema"]);
    if schema.kind == Kind::Consumer || breaks.is_empty() {
        return Ok(());
    }
    let major = schema.value["version"]["major"].as_u64().unwrap_or(0);
    let list: String = breaks.iter().map(|one| format!("\n  - {one}")).collect();
    let what =
        format!("{}: public schema `{}` would break those who read it:{list}", schema.file.display(), schema.name());
    Err(Failure::new(what, Some(format!("give it version {}.0, or bring back what it had", major + 1))))
}

/// Makes a value of the manifest what it should be, field by field, so that what is equal stays as it was written.
/// Returns true when anything had to change.
fn align(file: &mut File, path: &[Step<'_>], was: &Value, is: &Value) -> Result<bool, Failure> {
    let (Value::Object(before), Value::Object(after)) = (was, is) else { return Ok(false) };
    let mut changed = false;
    for (name, value) in after {
        let below = [path, &[Step::Field(name)]].concat();
        match before.get(name) {
            Some(same) if same == value => continue,
            Some(object @ Value::Object(_)) if value.is_object() => {
                align(file, &below, object, value)?;
            }
            Some(Value::Array(items)) if value.as_array().is_some_and(|new| alike(items, new)) => {
                for (index, (was, is)) in items.iter().zip(value.as_array().into_iter().flatten()).enumerate() {
                    align(file, &[&below[..], &[Step::Item(index)]].concat(), was, is)?;
                }
            }
            _ => file.edit(&Edit::Set { map: path, field: name, value: value.clone() })?,
        }
        changed = true;
    }
    // What the manifest says of a schema and its file does not is the manifest's own.
    let whole = path.len() > 2;
    for name in before.keys().filter(|name| whole && !after.contains_key(*name)) {
        file.edit(&Edit::Unset { map: path, field: name })?;
        changed = true;
    }
    Ok(changed)
}

/// Lists of as many maps are aligned item by item.
fn alike(was: &[Value], is: &[Value]) -> bool {
    was.len() == is.len() && was.iter().chain(is).all(Value::is_object)
}
