//! How the program ends: what went wrong, why, and what to do about it, on stderr; and the exit code.

use std::error::Error;
use std::process::ExitCode;

use crate::engine::Problem;
use crate::manifest::{LoadError, Problems};

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// `Error:`, `Caused by:` and `Hint:` lines, without a newline at the end; empty when all has been said.
    text: String,
    code: u8,
}

/// Something that the user can mend.
pub const MENDABLE: u8 = 1;
/// What a shell reports of a program that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;
/// A bug of ours (`EX_SOFTWARE` of sysexits).
pub const BUG: u8 = 70;

impl Failure {
    /// A failure whose text has been printed already.
    pub fn said() -> Failure {
        Failure { text: String::new(), code: MENDABLE }
    }

    /// Ctrl-C came before the end, and what was found until then has been printed.
    pub fn interrupted() -> Failure {
        Failure { text: String::new(), code: INTERRUPTED }
    }

    /// A failure in words.
    pub fn new(what: impl std::fmt::Display, hint: Option<String>) -> Failure {
        let mut text = format!("Error: {what}");
        text.extend(hint.map(|hint| format!("\nHint: {hint}")));
        Failure { text, code: MENDABLE }
    }

    /// A failure with the chain of its causes.
    pub fn of(error: &(dyn Error + 'static), hint: Option<String>) -> Failure {
        let mut text = format!("Error: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text += &format!("\nCaused by: {error}");
            cause = error.source();
        }
        text.extend(hint.map(|hint| format!("\nHint: {hint}")));
        Failure { text, code: MENDABLE }
    }

    /// A bug of ours.
    pub fn bug(what: impl std::fmt::Display) -> Failure {
        let hint = "Hint: this is a bug of Pelton: please report it with the log";
        Failure { text: format!("Error: {what}\n{hint}"), code: BUG }
    }

    /// Several failures, one below the other.
    pub fn all(failures: Vec<Failure>) -> Failure {
        let code = failures.iter().map(|failure| failure.code).max().unwrap_or(MENDABLE);
        let texts: Vec<String> =
            failures.into_iter().map(|failure| failure.text).filter(|text| !text.is_empty()).collect();
        Failure { text: texts.join("\n\n"), code }
    }

    /// A manifest that can't be loaded: its problems speak for themselves.
    pub fn of_manifest(error: &LoadError) -> Failure {
        match error {
            LoadError::Problems(problems) => Failure::of_problems_of_file(problems),
            error => Failure::of(error, error.hint()),
        }
    }

    /// What is wrong with one manifest, which speaks for itself.
    pub fn of_problems_of_file(problems: &Problems) -> Failure {
        Failure { text: problems.to_string(), code: MENDABLE }
    }

    /// What stopped flows.
    pub fn of_problems(problems: &[Problem]) -> Failure {
        let one = |problem: &Problem| {
            let hint = problem.hint.as_ref().map(|hint| format!("\nHint: {hint}")).unwrap_or_default();
            format!("Error: {}{}{hint}", place(problem), problem.what)
        };
        let text = problems.iter().map(one).collect::<Vec<_>>().join("\n\n");
        Failure { text, code: if problems.iter().any(|p| p.bug) { BUG } else { MENDABLE } }
    }

    /// Prints the failure and returns the exit code.
    pub fn print(&self) -> ExitCode {
        if !self.text.is_empty() {
            eprintln!("{}", self.text);
        }
        ExitCode::from(self.code)
    }
}

/// Says where a problem is, as far as the problem itself does not: ``transform `orders@1` of source `shop`: ``.
fn place(problem: &Problem) -> String {
    let unnamed = |kind: &str, name: &str| {
        let named = format!("{kind} `{name}`");
        (name != "-" && !problem.what.contains(&named)).then_some(named)
    };
    if let Some(consumer) = &problem.consumer {
        return format!("consumer `{consumer}`: ");
    }
    let transform = problem.transform.as_ref().and_then(|name| unnamed("transform", name));
    match (transform, unnamed("source", &problem.source)) {
        (Some(transform), Some(source)) => format!("{transform} of {source}: "),
        (Some(one), None) | (None, Some(one)) => format!("{one}: "),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_problem_names_itself_is_not_said_twice() {
        let said = |source: &str, transform: Option<&str>, what: &str| {
            let (source, transform) = (source.to_owned(), transform.map(str::to_owned));
            let problem = Problem { source, transform, consumer: None, what: what.to_owned(), hint: None, bug: false };
            Failure::of_problems(&[problem]).text
        };
        assert_eq!(said("-", None, "no manifest"), "Error: no manifest");
        assert_eq!(said("shop", None, "it broke"), "Error: source `shop`: it broke");
        assert_eq!(said("shop", None, "source `shop` is away"), "Error: source `shop` is away");
        assert_eq!(said("shop", Some("t@1"), "it broke"), "Error: transform `t@1` of source `shop`: it broke");
        assert_eq!(said("shop", Some("t@1"), "source `shop` is away"), "Error: transform `t@1`: source `shop` is away");
        assert_eq!(
            said("shop", Some("t@1"), "transform `t@1` crashed"),
            "Error: source `shop`: transform `t@1` crashed"
        );
    }
}
