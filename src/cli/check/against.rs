//! `pelton check --against`: holds what a manifest publishes against what is deployed.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::deployed::{self, Source};
use super::diagnostic::{BREAKING_CHANGE, Diagnostic};
use super::former;
use crate::change::{PublicSchema, added, breaks};
use crate::cli::report::Failure;
use crate::engine;
use crate::manifest::{
    Manifest, OutputSchema, PublicSchemaConfig, PublicSchemaDef, TableProjection, output_schema_breaks,
};
use crate::wasm;

/// What is deployed.
#[derive(Clone, Debug)]
pub enum Target {
    /// What the event stores remember.
    Deployed,
    /// The same files at a revision of git.
    Git(String),
    /// Another manifest.
    File(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        match (text, text.strip_prefix("git:")) {
            ("", _) | (_, Some("")) => Err("name a manifest, git:REVISION, or deployed".to_owned()),
            (_, Some(revision)) if revision.starts_with('-') => Err("that is no revision".to_owned()),
            (_, Some(revision)) => Ok(Target::Git(revision.to_owned())),
            ("deployed", None) => Ok(Target::Deployed),
            (file, None) => Ok(Target::File(file.into())),
        }
    }
}

/// What came of the comparison.
#[derive(Debug, Default)]
pub struct Compared {
    pub told: Vec<String>,
    pub found: Vec<Diagnostic>,
}

/// One public schema as far as it is known.
#[derive(Debug, Default)]
pub struct Known {
    /// The columns.
    pub public: Option<PublicSchema>,
    pub output_schema: Option<OutputSchema>,
    pub table: Option<TableProjection>,
    pub minor: u32,
}

/// Compares every public schema of a manifest with the deployed one of the same name and major version.
///
/// # Errors
/// What is deployed can't be found out.
pub async fn compare(host: &Arc<wasm::Host>, manifest: &Manifest, target: &Target) -> Result<Compared, Failure> {
    let mut sources = Source::default();
    let mut compared = Compared::default();
    if manifest.public_schemas.is_empty() {
        return Ok(compared);
    }
    let (where_, deployed) = match target {
        Target::Deployed => ("the event store", deployed::of_event_stores(manifest).await?),
        Target::Git(revision) => match former::of_git(manifest, revision).await? {
            Some(former) => (revision.as_str(), known_all(host, &former.manifest, &mut sources).await),
            None => {
                compared.told.push(format!("{}: not there at {revision}, so all of it is new.", manifest.file));
                return Ok(compared);
            }
        },
        Target::File(path) => {
            let former = former::of_file(manifest, path)?;
            let shown = path.to_str().unwrap_or("the other manifest");
            (shown, known_all(host, &former, &mut sources).await)
        }
    };
    for public in &manifest.public_schemas {
        let name = format!("{}@{}", public.name, public.version.major);
        let Some((_, _, was)) =
            deployed.iter().find(|(n, major, _)| *n == public.name && *major == public.version.major)
        else {
            compared.told.push(format!("{name}: new, {where_} does not have it."));
            continue;
        };
        let is = known(host, manifest, public, &mut sources).await;
        judge(manifest, public, (where_, was), &is, &mut compared);
    }
    for (name, major, was) in &deployed {
        if manifest.public_schema(name, *major).is_none() {
            let what =
                format!("public schema `{name}` {major}.{}, which {where_} has, is published no more", was.minor);
            let hint = "whoever reads it gets nothing new: keep it until nobody does (`pelton consumers list`)";
            let gone = Diagnostic::error(BREAKING_CHANGE, manifest, None, what, Some(hint.to_owned()));
            compared.found.push(gone.warning());
        }
    }
    Ok(compared)
}

fn judge(
    manifest: &Manifest,
    public: &PublicSchemaDef,
    (where_, was): (&str, &Known),
    is: &Known,
    into: &mut Compared,
) {
    let (name, major, minor) = (&public.name, public.version.major, public.version.minor);
    let mut broken: Vec<String> = Vec::new();
    let mut news = Vec::new();
    let mut compared = false;
    match (&was.public, &is.public, &was.table, &is.table) {
        (Some(was), Some(is), ..) => {
            compared = true;
            broken.extend(breaks(was, is).iter().map(ToString::to_string));
            news.extend(added(was, is));
        }
        (_, _, Some(was), Some(is)) => {
            compared = true;
            broken.extend(projection_breaks(was, is));
        }
        _ => {}
    }
    if let (Some(was), Some(is)) = (&was.output_schema, &is.output_schema) {
        compared = true;
        let of_schema = output_schema_breaks(&was.schema, &is.schema);
        broken.extend(of_schema.into_iter().map(|what| format!("outputSchema: {what}")));
    }
    if !broken.is_empty() {
        let versions = format!("{major}.{minor} would break those who read {major}.{}", was.minor);
        let list: String = broken.iter().map(|one| format!("\n  - {one}")).collect();
        let what = format!("public schema `{name}` {versions} of {where_}:{list}");
        let hint = format!(
            "publish it as `{name}` {}.0, beside {major} for as long as that is read, or bring back what it had",
            major + 1
        );
        into.found.push(Diagnostic::error(BREAKING_CHANGE, manifest, Some(public.at), what, Some(hint)));
        return;
    }
    let versions = match was.minor == minor {
        true => format!("{major}.{minor}"),
        false => format!("{major}.{} → {major}.{minor}", was.minor),
    };
    let news = match news.is_empty() {
        true => String::new(),
        false => format!(", adds {}", news.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    };
    into.told.push(match compared {
        true => format!("{name}@{major}: {versions}{news}; those who read it can go on."),
        false => format!("{name}@{major}: {versions}; its columns are not known, so they are not compared."),
    });
}

/// Compares projections by what the manifests alone say, where no database can be asked.
fn projection_breaks(was: &TableProjection, is: &TableProjection) -> Vec<String> {
    let mut breaks = Vec::new();
    if was.table != is.table {
        breaks.push(format!("it was made from table {} and is made from {}", was.table, is.table));
    }
    if let (Some(was), Some(is)) = (&was.columns, &is.columns) {
        let gone = was.iter().filter(|column| is.iter().all(|other| other.name != column.name));
        breaks.extend(gone.map(|column| format!("column `{}` is gone", column.name)));
    }
    if let (Some(was), Some(is)) = (&was.key, &is.key)
        && (was.len() != is.len() || was.iter().any(|name| !is.contains(name)))
    {
        breaks.push(format!("the key was {} and is {}", was.join(", "), is.join(", ")));
    }
    breaks
}

async fn known_all(host: &Arc<wasm::Host>, manifest: &Manifest, sources: &mut Source) -> Vec<(String, u32, Known)> {
    let mut all = Vec::new();
    for public in &manifest.public_schemas {
        all.push((public.name.clone(), public.version.major, known(host, manifest, public, sources).await));
    }
    all
}

/// Finds out what a public schema of a manifest looks like: from its component, or from its table as it is now.
async fn known(host: &Arc<wasm::Host>, manifest: &Manifest, public: &PublicSchemaDef, sources: &mut Source) -> Known {
    let (major, minor) = (public.version.major, public.version.minor);
    let mut known = Known { output_schema: public.output_schema.clone(), minor, ..Known::default() };
    match &public.config {
        PublicSchemaConfig::Wasm(config) => {
            let component = engine::component(host, config).await.ok();
            let is_it = |found: &&PublicSchema| *found.name == *public.name && found.major == major;
            known.public =
                component.and_then(|component| component.descriptor().public_schemas.iter().find(is_it).cloned());
        }
        PublicSchemaConfig::Table(projection) => {
            known.table = Some(projection.clone());
            known.public = sources.public_schema(manifest, public, projection).await;
        }
        PublicSchemaConfig::Postgres(_) => {}
    }
    known
}

/// Returns a path relative to a folder, as git wants it.
pub fn relative<'p>(path: &'p Path, folder: &Path) -> Option<&'p Path> {
    path.strip_prefix(folder).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_file_a_revision_or_what_is_deployed() {
        let target = |text: &str| text.parse::<Target>().map(|target| format!("{target:?}"));
        assert_eq!(target("deployed").unwrap(), "Deployed");
        assert_eq!(target("git:HEAD~1").unwrap(), "Git(\"HEAD~1\")");
        assert_eq!(target("old.yaml").unwrap(), "File(\"old.yaml\")");
        assert!(target("").is_err() && target("git:").is_err() && target("git:--output=x").is_err());
    }
}
