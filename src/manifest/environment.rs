//! What a manifest takes from outside: `${VARIABLE}` in any string, and secrets in files of their own.
//!
//! Parsing is pure: the outside is handed in. [`System`] is the real one.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The variables and files that a manifest may name.
pub trait Environment {
    /// Returns the value of a variable, `None` when it is not set.
    ///
    /// # Errors
    /// When it is set to something that is no text.
    fn variable(&self, name: &str) -> Result<Option<String>, NotText>;

    /// Returns what a file holds, as it is.
    ///
    /// # Errors
    /// When it can't be read, or is no UTF-8.
    fn secret_file(&self, path: &Path) -> io::Result<String>;
}

/// A variable is set to bytes that are no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its value is not UTF-8")]
pub struct NotText;

/// The process's own variables, the machine's own files.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

/// A secret is a password or a URL; what is larger is another file.
const SECRET_BYTES_MAX: u64 = 64 << 10;

impl Environment for System {
    fn variable(&self, name: &str) -> Result<Option<String>, NotText> {
        match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(NotText),
        }
    }

    fn secret_file(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
        match text.len() as u64 > SECRET_BYTES_MAX {
            true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {SECRET_BYTES_MAX} bytes"))),
            false => Ok(text),
        }
    }
}

/// A string with its variables put in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub text: String,
    /// True when a variable was put in, so that the text is not what the file says.
    pub from_outside: bool,
}

/// Why a variable can't be put in. Holds names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VariableError {
    #[error("the environment variable `{0}` is not set")]
    Missing(String),
    #[error("the environment variable `{0}` holds bytes that are not UTF-8")]
    NotText(String),
    #[error("`${{` is not followed by the name of a variable and `}}`")]
    Malformed,
}

impl VariableError {
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            VariableError::Missing(name) => {
                format!("set it before you start pelton, or give it a default: `${{{name}:-default}}`")
            }
            VariableError::NotText(name) => format!("set {name} to text"),
            VariableError::Malformed => {
                "write `${NAME}` or `${NAME:-default}`; for a literal `${` write `$${`".to_owned()
            }
        })
    }
}

/// Puts variables into a string: `${NAME}`, `${NAME:-default}` (also for an empty variable), `$${` for a literal `${`.
///
/// What is put in is not looked at again.
///
/// # Errors
/// All that can't be put in.
pub(crate) fn expand(text: &str, environment: &dyn Environment) -> Result<Expanded, Vec<VariableError>> {
    let mut expanded = Expanded { text: String::with_capacity(text.len()), from_outside: false };
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, behind) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            expanded.text += before;
            expanded.text += "${";
            rest = behind;
            continue;
        }
        expanded.text += before;
        let Some((inside, behind)) = behind.split_once('}') else {
            errors.push(VariableError::Malformed);
            rest = "";
            break;
        };
        rest = behind;
        match variable(inside, environment) {
            Ok(value) => expanded.text += &value,
            Err(error) => errors.push(error),
        }
        expanded.from_outside = true;
    }
    expanded.text += rest;
    if errors.is_empty() { Ok(expanded) } else { Err(errors) }
}

fn variable(inside: &str, environment: &dyn Environment) -> Result<String, VariableError> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        return Err(VariableError::Malformed);
    }
    match (environment.variable(name), default) {
        (Err(NotText), _) => Err(VariableError::NotText(name.to_owned())),
        (Ok(Some(value)), None) => Ok(value),
        (Ok(Some(value)), Some(_)) if !value.is_empty() => Ok(value),
        (Ok(_), Some(default)) => Ok(default.to_owned()),
        (Ok(None), None) => Err(VariableError::Missing(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Few;

    impl Environment for Few {
        fn variable(&self, name: &str) -> Result<Option<String>, NotText> {
            match name {
                "A" => Ok(Some("${B}".to_owned())),
                "EMPTY" => Ok(Some(String::new())),
                "BYTES" => Err(NotText),
                _ => Ok(None),
            }
        }

        fn secret_file(&self, _: &Path) -> io::Result<String> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match expand(text, &Few) {
            Ok(Expanded { text, from_outside }) => format!("{text}{}", if from_outside { " (outside)" } else { "" }),
            Err(errors) => errors.iter().map(VariableError::to_string).collect::<Vec<_>>().join("; "),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn variables_are_put_in_once() {
        check("x", "x");
        check("a ${A} b", "a ${B} b (outside)");
        check("${EMPTY}|${EMPTY:-d}|${C:-d:-e}|${C:-}", "|d|d:-e| (outside)");
        check("$${A} $5 $ {A} $", "${A} $5 $ {A} $");
        check("$$${A}", "$${A}");
    }

    #[test]
    fn all_that_is_missing_is_named() {
        check("${C}${D} ${A}", "the environment variable `C` is not set; the environment variable `D` is not set");
        check("${BYTES}", "the environment variable `BYTES` holds bytes that are not UTF-8");
        for text in ["${", "${}", "${A", "${a b}", "${A:?x}", "${1}", "${A${B}}"] {
            check(text, "`${` is not followed by the name of a variable and `}`");
        }
    }
}
