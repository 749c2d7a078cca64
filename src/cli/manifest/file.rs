//! The file of a manifest: found, read, edited, and replaced as a whole or not at all.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::files;
use super::super::report::Failure;
use crate::manifest::edit::{self, Edit};
use crate::manifest::{Code, Origin, Problem, Problems, System, is_slug, parse};

/// The file that is written where none is named.
pub const DEFAULT_NAME: &str = "pelton.yaml";

/// A manifest's text, and what it says as it was written: variables are not put in.
pub struct File {
    pub path: PathBuf,
    pub tree: Value,
    text: String,
    first: String,
}

/// Returns the manifest that was named, or the one in this folder.
pub fn find(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    match named {
        Some(path) => Ok(path),
        None => files::find().ok_or_else(files::no_manifest),
    }
}

impl File {
    /// Reads a manifest.
    pub fn read(path: &Path) -> Result<File, Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            let hint = format!("`pelton manifest init --manifest {} --slug SLUG` writes one", path.display());
            Failure::of(&Unreadable { path: path.to_owned(), source: error }, Some(hint))
        })?;
        let unreadable = |problems: Option<Problems>| match problems {
            Some(problems) => Failure::of_problems_of_file(&problems),
            None => Failure::new(format!("{} is no manifest", path.display()), Some("it must be a map".to_owned())),
        };
        let tree = edit::tree(&text).filter(Value::is_object);
        let tree = tree.ok_or_else(|| unreadable(parse(text.as_bytes(), &Origin::of(path), &System).err()))?;
        Ok(File { path: path.to_owned(), tree, first: text.clone(), text })
    }

    /// Returns the items of a list, none where it was left out.
    pub fn items(&self, list: &str) -> &[Value] {
        self.tree.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Returns the index of the item with that text in a field.
    pub fn position(&self, list: &str, field: &str, text: &str) -> Option<usize> {
        self.items(list).iter().position(|item| item.get(field).and_then(Value::as_str) == Some(text))
    }

    /// Edits the text; nothing is written yet.
    pub fn edit(&mut self, change: &Edit<'_>) -> Result<(), Failure> {
        let shown = self.path.display();
        self.text = edit::edit(&self.text, change)
            .map_err(|error| Failure::new(format!("{shown}: {error}"), Some(error.hint())))?;
        self.tree = edit::tree(&self.text).unwrap_or_default();
        Ok(())
    }

    /// Writes the text, unless it has errors that it did not have before.
    pub fn write(&self) -> Result<(), Failure> {
        self.check()?;
        if self.text == self.first { Ok(()) } else { replace(&self.path, &self.text) }
    }

    /// Refuses errors that the file did not have before.
    pub fn check(&self) -> Result<(), Failure> {
        let origin = Origin::of(&self.path);
        let problems = |text: &str| parse(text.as_bytes(), &origin, &System).err().map_or_else(Vec::new, |all| all.0);
        let before = counts(&problems(&self.first));
        let after = problems(&self.text);
        let fresh = counts(&after);
        let grew = |problem: &Problem| fresh.get(&problem.code) > before.get(&problem.code);
        let broken: Vec<Problem> =
            after.into_iter().filter(|one| one.is_error() && grew(one) && !outside(one)).collect();
        if broken.is_empty() {
            return Ok(());
        }
        let hint = format!("{} is as it was; the lines above are those that it would have had", self.path.display());
        let what = Failure::new("the change would break the manifest", Some(hint));
        Err(Failure::all(vec![Failure::of_problems_of_file(&Problems(broken)), what]))
    }
}

/// What is not set here may well be set where the manifest runs.
fn outside(problem: &Problem) -> bool {
    matches!(problem.code, Code::MissingVariable | Code::SecretUnreadable)
}

fn counts(problems: &[Problem]) -> HashMap<Code, usize> {
    let mut counts = HashMap::new();
    for problem in problems.iter().filter(|problem| problem.is_error()) {
        *counts.entry(problem.code).or_insert(0) += 1;
    }
    counts
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read the manifest {}", path.display())]
struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write the manifest {}", path.display())]
struct Unwritable {
    path: PathBuf,
    source: std::io::Error,
}

/// Puts another text in the place of a file: a reader sees the one or the other, and so does a crash.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |source| {
        let hint = "the file is as it was; name one that this user may write, in a folder that it may write";
        Failure::of(&Unwritable { path: path.to_owned(), source }, Some(hint.to_owned()))
    };
    // A link stays a link.
    let path = &fs::canonicalize(path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(".pelton-").tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    let permissions = fs::metadata(path).map_err(failed)?.permissions();
    file.as_file().set_permissions(permissions).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Writes an empty manifest; one that exists stays.
pub fn init(path: &Path, slug: &str, workspace: bool) -> Result<(), Failure> {
    if !is_slug(slug) {
        let hint = "use a-z, 0-9 and `-`, such as `shop` or `@team/shop`".to_owned();
        return Err(Failure::new(format!("`{slug}` is no slug"), Some(hint)));
    }
    let lists = match workspace {
        true => &["workspaces", "connections", "dataStores", "eventStores"][..],
        false => &["connections", "dataStores", "eventStores", "publicSchemas", "consumerSchemas"][..],
    };
    let text = if path.extension().is_some_and(|extension| extension == "json") {
        let mut document = json!({ "slug": slug, "manifestVersion": 0 });
        lists.iter().for_each(|list| document[*list] = json!([]));
        format!("{document:#}\n")
    } else {
        let head = match workspace {
            true => "# A workspace: manifests that are checked and run together. Every field: docs/manifest.md\n",
            false => "# What Pelton reads, transforms and writes. Every field: docs/manifest.md\n",
        };
        let lists: String = lists.iter().map(|list| format!("{list}: []\n")).collect();
        format!("{head}slug: \"{slug}\"\nmanifestVersion: 0\n{lists}")
    };
    let written = fs::File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| {
        let hint = match source.kind() {
            std::io::ErrorKind::AlreadyExists => "it is left as it is; name another file, or edit this one",
            std::io::ErrorKind::NotFound => "make the folder first",
            _ => "name a file that this user may write",
        };
        Failure::of(&Unwritable { path: path.to_owned(), source }, Some(hint.to_owned()))
    })?;
    let (shown, flag) = (
        path.display(),
        if path == Path::new(DEFAULT_NAME) { String::new() } else { format!(" --manifest {}", path.display()) },
    );
    eprintln!("Wrote {shown}. Next:");
    eprintln!("  pelton manifest connection add{flag} --slug db --connection-string '${{DB_URL}}'");
    eprintln!("  pelton manifest datastore add{flag} --connection db --source");
    if workspace {
        eprintln!("  and name the files of its manifests in `workspaces`; `pelton workspace info` shows them");
    }
    Ok(())
}
