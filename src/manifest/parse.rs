//! From the bytes of a file to a manifest, or to all that is wrong with it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::environment::{Environment, System};
use super::lent::Others;
use super::model::Manifest;
use super::node::{self, BYTES_MAX, Node};
use super::problem::{Code, Place, Problem, Problems, Severity};
use super::report::Report;
use super::shape::Shaper;
use super::{build, cross, description, service};

/// Where a manifest comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file as it was named, for messages.
    pub file: String,
    /// What relative paths in it are relative to.
    pub folder: PathBuf,
}

impl Origin {
    /// Takes the folder from the path of the file.
    pub fn of(path: &Path) -> Origin {
        Origin { file: path.display().to_string(), folder: path.parent().unwrap_or(Path::new("")).to_owned() }
    }
}

/// Reads a manifest, YAML or JSON.
///
/// Pure but for what it asks `environment`.
///
/// # Errors
/// All problems at once, warnings included, at least one of them an error. In a text that is no YAML nothing can be
/// told behind the first place that is wrong.
pub fn parse(content: &[u8], origin: &Origin, environment: &dyn Environment) -> Result<Manifest, Problems> {
    parse_among(content, origin, environment, Others::Read(&[]))
}

/// The same, of one that may write into data stores of others.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_among(
    content: &[u8],
    origin: &Origin,
    environment: &dyn Environment,
    others: Others<'_>,
) -> Result<Manifest, Problems> {
    let mut report = Report::default();
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    // For places and excerpts alone; what is not UTF-8 is never parsed.
    let text = String::from_utf8_lossy(&content[..content.len().min(BYTES_MAX)]);
    let manifest = read(content, origin, environment, others, &mut report);
    let failed = report.has_errors();
    let mut problems = report.finish(&origin.file, &text);
    match manifest {
        Some(mut manifest) if !failed => {
            manifest.warnings = problems.0;
            Ok(manifest)
        }
        _ if failed => Err(problems),
        _ => {
            // Whoever leaves something out must have said why; if nobody did, to go on would be worse than to say so.
            problems.0.push(Problem {
                file: origin.file.clone(),
                at: Place::START,
                severity: Severity::Error,
                code: Code::BadValue,
                path: String::new(),
                message: "the manifest could not be read, and the reason was not found".to_owned(),
                hint: Some(
                    "this is a bug of Pelton: please report it with the manifest, without its secrets".to_owned(),
                ),
                excerpt: None,
            });
            Err(problems)
        }
    }
}

fn read(
    content: &[u8],
    origin: &Origin,
    environment: &dyn Environment,
    others: Others<'_>,
    report: &mut Report,
) -> Option<Manifest> {
    let text = text(content, report)?;
    let root = root(text, origin, report)?;
    let mut shaper = Shaper { report, environment, folder: &origin.folder };
    let shaped = shaper.object(&description::MANIFEST, &root, "");
    let connections = build::connections(&shaped, report);
    cross::check(&shaped, &connections, others, report);
    let mut manifest = build::build(&shaped, connections, &origin.file)?;
    others.lend(&mut manifest);
    service::from_environment(&mut manifest, environment, report);
    Some(manifest)
}

fn text<'a>(content: &'a [u8], report: &mut Report) -> Option<&'a str> {
    let mut refuse = |at, message: String, hint: &str| {
        report.error(at, "", Code::Syntax, message, Some(hint.to_owned()));
        None
    };
    if content.len() > BYTES_MAX {
        let message = format!("the file is larger than {BYTES_MAX} bytes");
        return refuse(Place::START, message, "this is hardly a manifest; split it if it is one");
    }
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
        return refuse(Place::START, "the file is UTF-16".to_owned(), "save it as UTF-8");
    }
    std::str::from_utf8(content).map_or_else(
        |error| {
            let valid = String::from_utf8_lossy(&content[..error.valid_up_to()]);
            let line = valid.matches('\n').count() as u32 + 1;
            let column = valid.chars().rev().take_while(|c| *c != '\n').count() as u32 + 1;
            refuse(Place { line, column }, "the file is not UTF-8 from here on".to_owned(), "save it as UTF-8")
        },
        Some,
    )
}

fn root(text: &str, origin: &Origin, report: &mut Report) -> Option<Node> {
    let root = node::read(text, origin.file.ends_with(".json"), report);
    let empty = match &root {
        None => !report.has_errors(),
        Some(node) => matches!(node.value, node::Value::Null),
    };
    if empty {
        let hint = Some("`pelton init` writes a manifest to begin with".to_owned());
        report.error(Place::START, "", Code::Syntax, "the manifest is empty".to_owned(), hint);
        return None;
    }
    root
}

/// A file that can't be read, or what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read the manifest {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Problems(Problems),
}

impl LoadError {
    /// Returns the file that it is about.
    pub fn path(&self) -> &Path {
        match self {
            LoadError::Read { path, .. } => path,
            LoadError::Problems(problems) => Path::new(problems.0.first().map_or("", |problem| &problem.file)),
        }
    }

    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            LoadError::Read { source, path } if source.kind() == io::ErrorKind::NotFound => {
                Some(format!("`pelton init {}` writes one to begin with", path.display()))
            }
            LoadError::Read { .. } => Some("name a file that this user may read".to_owned()),
            LoadError::Problems(problems) => problems.hint(),
        }
    }
}

/// Reads a manifest from a file, with the process's own environment.
///
/// # Errors
/// [`LoadError::Read`] when the file can't be read, otherwise as [`parse`].
pub fn load(path: &Path) -> Result<Manifest, LoadError> {
    let content = content(path)?;
    parse(&content, &Origin::of(path), &System).map_err(LoadError::Problems)
}

/// Reads the bytes of a manifest, no more of them than [`parse`] takes and one.
pub(crate) fn content(path: &Path) -> Result<Vec<u8>, LoadError> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX as u64 + 1).read_to_end(&mut content))
        .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    Ok(content)
}

/// Returns the slug that a text names, be it a valid manifest or not.
pub(crate) fn slug_of(content: &[u8]) -> Option<String> {
    let root = node::read(std::str::from_utf8(content).ok()?, false, &mut Report::default())?;
    let node::Value::Map(entries) = root.value else { return None };
    match entries.into_iter().find(|entry| entry.key == "slug")?.value.value {
        node::Value::Text(slug) => Some(slug),
        _ => None,
    }
}
