//! Single values: texts with their variables, words, numbers, sizes, paths and names of tables.

use std::path::{Path, PathBuf};

use super::environment::{Expanded, expand};
use super::fields::{Choice, Kind, Object, Rule, age_seconds, size_bytes};
use super::nearest::nearest;
use super::node::{self, Node, whole_number};
use super::problem::Code;
use super::report::quoted;
use super::shape::{Shaper, Value, subject};
use super::table_name::{TableName, reads_otherwise_in_sql};

const AGE_HINT: &str = "write a number and its unit: s, min, h, d or w";

impl Shaper<'_> {
    pub(super) fn wrong_type(&mut self, node: &Node, path: &str, kind: &Kind) {
        let secret = matches!(kind, Kind::Secret | Kind::Url);
        let found = match &node.value {
            node::Value::Text(text) | node::Value::Number(text) if !secret && !is_collection(kind) => {
                format!("{} {}", node.kind(), quoted(text))
            }
            node::Value::Bool(value) => format!("`{value}`"),
            _ => {
                self.report.mask(node.at, node.end);
                node.kind().to_owned()
            }
        };
        let scalar = matches!(node.value, node::Value::Number(_) | node::Value::Bool(_));
        let hint = match (kind, &node.value) {
            (Kind::Text(_) | Kind::Choice(_) | Kind::Path | Kind::Table | Kind::Secret | Kind::Url, _) if scalar => {
                Some("put it in quotes".to_owned())
            }
            (Kind::Bool, node::Value::Text(text)) => match text.to_lowercase().as_str() {
                "yes" | "on" | "true" | "y" => Some("write `true`, without quotes".to_owned()),
                "no" | "off" | "false" | "n" => Some("write `false`, without quotes".to_owned()),
                _ => None,
            },
            (Kind::Integer { .. }, node::Value::Text(text)) if whole_number(text).is_some() => {
                Some("write it without quotes".to_owned())
            }
            (Kind::List(_) | Kind::Columns, node::Value::Text(_) | node::Value::Map(_)) => {
                Some("write it as a list: `[ … ]`, or one item a line after `- `".to_owned())
            }
            (Kind::Object(Object { name: "version", .. }), _) => Some("write `{ major: 1, minor: 0 }`".to_owned()),
            (Kind::Object(object), _) => {
                let fields: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
                Some(format!("its fields are {}", fields.join(", ")))
            }
            (Kind::Size, _) => Some("write a number and its unit: kB, MB, GB or TB".to_owned()),
            (Kind::Age, _) => Some(AGE_HINT.to_owned()),
            _ => None,
        };
        let message = format!("{}: expected {}, found {found}", subject(path), kind.expected());
        self.report.error(node.at, path, Code::WrongType, message, hint);
    }

    pub(super) fn bad(&mut self, node: &Node, path: &str, message: String, hint: Option<String>) -> Value {
        self.report.error(node.at, path, Code::BadValue, format!("{}: {message}", subject(path)), hint);
        Value::Invalid
    }

    /// Returns a text with its variables put in.
    pub(super) fn text(&mut self, kind: &Kind, node: &Node, path: &str) -> Option<Expanded> {
        let node::Value::Text(text) = &node.value else {
            self.wrong_type(node, path, kind);
            return None;
        };
        match expand(text, self.environment) {
            Ok(expanded) => Some(expanded),
            Err(errors) => {
                for error in errors {
                    let message = format!("{}: {error}", subject(path));
                    self.report.error(node.at, path, Code::MissingVariable, message, error.hint());
                }
                None
            }
        }
    }

    pub(super) fn scalar(&mut self, kind: &'static Kind, node: &Node, path: &str) -> Option<Value> {
        // What is neither text nor made of variables is held against its kind as it stands.
        match (kind, &node.value) {
            (Kind::Bool, node::Value::Bool(value)) => return Some(Value::Bool(*value)),
            (Kind::Integer { min, max }, node::Value::Number(text)) => {
                return Some(match whole_number(text).filter(|number| (min..=max).contains(&number)) {
                    Some(number) => Value::Integer(number),
                    None => self.out_of_bounds(node, path, text, *min, *max),
                });
            }
            _ => {}
        }
        let Expanded { text, from_outside } = self.text(kind, node, path)?;
        if !from_outside && matches!(kind, Kind::Bool | Kind::Integer { .. }) {
            self.wrong_type(node, path, kind);
            return None;
        }
        // A value from outside may be anything, and is not shown.
        let shown = if from_outside { "what the environment gives".to_owned() } else { quoted(&text) };
        Some(match kind {
            Kind::Text(rule) => self.ruled(rule, node, path, text, &shown),
            Kind::Choice(choices) => self.choice(choices, node, path, text, &shown),
            Kind::Bool => match text.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => self.bad(node, path, format!("expected `true` or `false`, found {shown}"), None),
            },
            Kind::Integer { min, max } => match whole_number(&text).filter(|number| (min..=max).contains(&number)) {
                Some(number) => Value::Integer(number),
                None => self.out_of_bounds(node, path, &shown, *min, *max),
            },
            Kind::Size => match size_bytes(&text) {
                Some(bytes) => Value::Integer(bytes),
                None => {
                    let hint = Some("write a number and its unit: kB, MB, GB or TB".to_owned());
                    self.bad(node, path, format!("expected a size such as `10GB`, found {shown}"), hint)
                }
            },
            Kind::Age => match age_seconds(&text) {
                Some(seconds) => Value::Integer(seconds),
                None => {
                    let message = format!("expected a time span such as `30d`, found {shown}");
                    self.bad(node, path, message, Some(AGE_HINT.to_owned()))
                }
            },
            Kind::Path if text.is_empty() || text.contains('\0') => {
                self.bad(node, path, "the path is empty or holds a NUL".to_owned(), None)
            }
            Kind::Path => Value::Path(resolve(self.folder, Path::new(&text))),
            _ => self.table(node, path, &text, &shown),
        })
    }

    fn out_of_bounds(&mut self, node: &Node, path: &str, shown: &str, min: u64, max: u64) -> Value {
        let expected = match min == max {
            true => format!("{min}"),
            false => format!("a whole number from {min} to {max}"),
        };
        self.bad(node, path, format!("expected {expected}, found {shown}"), None)
    }

    fn ruled(&mut self, rule: &Rule, node: &Node, path: &str, text: String, shown: &str) -> Value {
        if (rule.holds)(&text) {
            return Value::Text(text);
        }
        let shown = if rule.secret { "something else" } else { shown };
        if rule.secret {
            self.report.mask(node.at, node.end);
        }
        self.bad(node, path, format!("expected {}, found {shown}", rule.expected), Some(rule.hint.to_owned()))
    }

    fn choice(&mut self, choices: &[Choice], node: &Node, path: &str, text: String, shown: &str) -> Value {
        let supported = || choices.iter().filter(|choice| choice.supported).map(|choice| choice.name);
        let words = || supported().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match choices.iter().find(|choice| choice.name == text) {
            Some(Choice { supported: true, .. }) => Value::Text(text),
            Some(Choice { supported: false, .. }) => {
                let message = format!("{}: {shown} is not supported yet", subject(path));
                let hint = format!("only {} for now", words());
                self.report.error(node.at, path, Code::NotSupported, message, Some(hint));
                Value::Invalid
            }
            None => {
                let hint = match nearest(&text, supported()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("one of {}", words()),
                };
                self.bad(node, path, format!("unknown word {shown}"), Some(hint))
            }
        }
    }

    fn table(&mut self, node: &Node, path: &str, text: &str, shown: &str) -> Value {
        match text.parse::<TableName>() {
            Ok(table) => {
                if reads_otherwise_in_sql(text, &table) {
                    let message = format!("{}: SQL reads {shown} otherwise without quotes", subject(path));
                    let hint = format!(
                        "it is taken as {}; write it so, or in lower case if that is the table",
                        quoted(&table.to_string())
                    );
                    self.report.warning(node.at, path, Code::UnquotedName, message, Some(hint));
                }
                Value::Table(table)
            }
            Err(error) => self.bad(node, path, format!("{shown} is no table: {error}"), error.hint()),
        }
    }
}

/// Resolves a path against the manifest's folder, without the `.` that people write.
pub(super) fn resolve(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path).components().collect()
}

fn is_collection(kind: &Kind) -> bool {
    matches!(kind, Kind::Object(_) | Kind::Variant(_) | Kind::List(_) | Kind::Settings | Kind::Columns | Kind::Json)
}
