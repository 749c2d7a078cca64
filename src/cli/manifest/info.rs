//! `pelton manifest info`: what a manifest says as it was written, and what is wrong with it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::check::Diagnostic;
use super::super::check::diagnostics_json;
use super::super::report::Failure;
use super::file::File;
use crate::manifest;

/// Prints one manifest, and what is wrong with it and those that it names.
pub fn run(path: &Path, json: bool) -> Result<(), Failure> {
    print(&[path.to_owned()], path, json)
}

/// Prints manifests, and what is wrong with `root` and all that it names.
///
/// # Errors
/// What is wrong.
pub fn print(shown: &[PathBuf], root: &Path, json: bool) -> Result<(), Failure> {
    let files = shown.iter().map(|path| File::read(path)).collect::<Result<Vec<_>, _>>()?;
    let loaded = manifest::load_all(&[root.to_owned()], crate::cli::files::resolver());
    let found = Diagnostic::all_of(&loaded);
    if json {
        let manifests: Vec<Value> = files.iter().map(document).collect();
        let mut told = diagnostics_json(&found);
        told["manifests"] = Value::Array(manifests);
        println!("{told:#}");
        return if loaded.failed() { Err(Failure::said()) } else { Ok(()) };
    }
    for (index, file) in files.iter().enumerate() {
        if index > 0 {
            println!();
        }
        text(file);
    }
    super::super::check::print(&found)
}

/// What there is of each kind: its name, and what else is worth a word.
fn parts(file: &File) -> [(&'static str, Vec<String>); 5] {
    let text = |item: &Value, path: &[&str]| {
        let value = path.iter().fold(item, |value, field| &value[*field]);
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    };
    let list = |name: &str, told: &dyn Fn(&Value) -> String| file.items(name).iter().map(told).collect::<Vec<_>>();
    [
        (
            "connections",
            list("connections", &|item| {
                format!("{} ({})", text(item, &["slug"]), text(item, &["config", "connectionType"]))
            }),
        ),
        (
            "dataStores",
            list("dataStores", &|item| {
                let role = if item.get("config").is_some() { "source" } else { "destination" };
                format!("{} ({role})", text(item, &["connectionSlug"]))
            }),
        ),
        ("eventStores", list("eventStores", &|item| text(item, &["connectionSlug"]))),
        (
            "publicSchemas",
            list("publicSchemas", &|item| {
                let [major, minor] = ["major", "minor"].map(|part| text(item, &["version", part]));
                let (name, source) = (text(item, &["name"]), text(item, &["source", "dataStoreSlug"]));
                format!("{name} {major}.{minor} from {source} ({})", text(item, &["config", "publicSchemaType"]))
            }),
        ),
        (
            "consumerSchemas",
            list("consumerSchemas", &|item| {
                let (name, owner) = (text(item, &["name"]), text(item, &["sourceManifestSlug"]));
                let [schema, major] = ["name", "majorVersion"].map(|part| text(item, &["publicSchema", part]));
                format!(
                    "{name}: {schema}@{major} of {owner} into {}",
                    text(item, &["config", "destinationDataStoreSlug"])
                )
            }),
        ),
    ]
}

fn text(file: &File) {
    println!("{}: {}", file.path.display(), file.tree["slug"].as_str().unwrap_or("-"));
    for member in file.items("workspaces") {
        println!("  workspace        {}", member.as_str().unwrap_or("-"));
    }
    for (list, items) in parts(file) {
        let one = match list {
            "connections" => "connection",
            "dataStores" => "data store",
            "eventStores" => "event store",
            "publicSchemas" => "public schema",
            _ => "consumer schema",
        };
        items.iter().for_each(|item| println!("  {one:15}  {item}"));
    }
}

fn document(file: &File) -> Value {
    let mut document = json!({ "file": file.path, "slug": file.tree["slug"], "workspaces": file.items("workspaces") });
    for (list, items) in parts(file) {
        document[list] = json!(items);
    }
    document
}
