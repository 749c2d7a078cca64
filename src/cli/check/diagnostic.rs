//! What `pelton check` finds, for people and for scripts. For scripts it has the names and the shape that ReJot's
//! diagnostics have, with line and column beside them.

use serde_json::{Value, json};

use super::super::report::Failure;
use crate::manifest::{Loaded, Manifest, Place, Problem, Problems, Severity};

/// A component is not what the manifest says.
pub const COMPONENT_MISMATCH: &str = "COMPONENT_MISMATCH";
/// It would break those who read what is deployed.
pub const BREAKING_CHANGE: &str = "BREAKING_CHANGE";
/// This version can't run it.
pub const NOT_SUPPORTED: &str = "NOT_SUPPORTED";
/// A named manifest is not there, or may not be read.
const UNREADABLE: &str = "MANIFEST_UNREADABLE";

/// One thing that was found.
#[derive(Debug)]
pub struct Diagnostic {
    kind: &'static str,
    severity: Severity,
    slug: Option<String>,
    file: String,
    at: Option<Place>,
    /// Where in the manifest.
    context: String,
    message: String,
    hint: Option<String>,
    /// A problem of the file itself, which is shown with its line.
    problem: Option<Problem>,
}

impl Diagnostic {
    /// Makes an error.
    pub fn error(
        kind: &'static str,
        manifest: &Manifest,
        at: Option<Place>,
        message: String,
        hint: Option<String>,
    ) -> Diagnostic {
        let (slug, file) = (Some(manifest.slug.clone()), manifest.file.clone());
        let (severity, context, problem) = (Severity::Error, String::new(), None);
        Diagnostic { kind, severity, slug, file, at, context, message, hint, problem }
    }

    /// Makes a warning of it.
    pub fn warning(self) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self }
    }

    /// Returns all that was found while manifests were read.
    pub fn all_of(loaded: &Loaded) -> Vec<Diagnostic> {
        let unread = loaded.unread.iter().map(|error| {
            let message = match std::error::Error::source(error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            };
            Diagnostic {
                kind: UNREADABLE,
                severity: Severity::Error,
                slug: None,
                file: error.path().display().to_string(),
                at: None,
                context: String::new(),
                message,
                hint: error.hint(),
                problem: None,
            }
        });
        let problem = |problem: &Problem| Diagnostic {
            kind: problem.code.as_str(),
            severity: problem.severity,
            slug: loaded.slugs.iter().find(|(file, _)| *file == problem.file).map(|(_, slug)| slug.clone()),
            file: problem.file.clone(),
            at: Some(problem.at),
            context: problem.path.clone(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
            problem: Some(problem.clone()),
        };
        unread.chain(loaded.problems.iter().map(problem)).collect()
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Returns what is wrong, with its place in front.
    pub fn what(&self) -> String {
        match self.at {
            Some(at) => format!("{}:{}: {}", self.file, at.line, self.message),
            None if self.kind == UNREADABLE => self.message.clone(),
            None => format!("{}: {}", self.file, self.message),
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn to_json(&self) -> Value {
        json!({
            "type": self.kind,
            "severity": match self.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "message": self.message,
            "location": {
                "manifestSlug": self.slug,
                "manifestPath": self.file,
                "context": self.context,
                "line": self.at.map(|at| at.line),
                "column": self.at.map(|at| at.column),
            },
            "hint": self.hint.as_ref().map(|hint| json!({ "message": hint })),
        })
    }
}

/// Returns all that was found, for scripts.
pub fn diagnostics_json(found: &[Diagnostic]) -> Value {
    json!({
        "isValid": !found.iter().any(Diagnostic::is_error),
        "diagnostics": found.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
    })
}

/// Prints warnings, and returns errors as the failure of the command.
pub fn print(found: &[Diagnostic]) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let same_file = |one: &Diagnostic, next: &Diagnostic| {
        one.file == next.file && one.problem.is_some() == next.problem.is_some() && one.problem.is_some()
    };
    for found in found.chunk_by(same_file) {
        let problems: Vec<Problem> = found.iter().filter_map(|one| one.problem.clone()).collect();
        let failed = found.iter().any(Diagnostic::is_error);
        match (&found[0].problem, failed) {
            (Some(_), true) => failures.push(Failure::of_problems_of_file(&Problems(problems))),
            (Some(_), false) => problems.iter().for_each(|warning| eprintln!("{warning}")),
            (None, true) => failures.push(Failure::new(found[0].what(), found[0].hint())),
            (None, false) => {
                let hint = found[0].hint().map(|hint| format!("\n  Hint: {hint}")).unwrap_or_default();
                eprintln!("{}: warning: {}{hint}", found[0].file, found[0].message);
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::all(failures)) }
}
