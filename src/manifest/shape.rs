//! Holds a tree against the description of a manifest: unknown and missing fields, wrong types, words and sizes;
//! variables, secrets and paths put in. What comes out has every value in its type, or [`Value::Invalid`] where a
//! problem was reported, so that the checks that follow can go on without reporting the same thing again.

use std::path::{Path, PathBuf};

use super::connection::Secret;
use super::environment::{Environment, Expanded, expand};
use super::fields::{Choice, Field, Kind, Object, Rule, Variant, size_bytes};
use super::model::ProjectedColumn;
use super::nearest::nearest;
use super::node::{self, Entry, Node, join, to_json, whole_number};
use super::problem::{Code, Place};
use super::report::{Report, quoted};
use super::table_name::{TableName, reads_otherwise_in_sql};
use super::url::Parts;

/// A value in the type that the description gives it.
pub(crate) struct Shaped {
    pub at: Place,
    /// Such as `publicSchemas[0].config.component`.
    pub path: String,
    pub value: Value,
}

pub(crate) enum Value {
    /// A problem was reported.
    Invalid,
    Text(String),
    Integer(u64),
    Bool(bool),
    Path(PathBuf),
    Table(TableName),
    Secret(Secret),
    Url(Parts),
    /// The fields that are there, tags of variants included.
    Object(Vec<(&'static str, Shaped)>),
    List(Vec<Shaped>),
    Settings(Vec<(String, String)>),
    Column(ProjectedColumn),
    Json(serde_json::Value),
}

impl Shaped {
    /// Returns the field of that name; `None` when it was left out, or this is no object.
    pub fn get(&self, name: &str) -> Option<&Shaped> {
        match &self.value {
            Value::Object(fields) => fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    pub fn integer(&self) -> Option<u64> {
        if let Value::Integer(number) = self.value { Some(number) } else { None }
    }

    pub fn bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self.value { Some(value) } else { None }
    }

    pub fn path_buf(&self) -> Option<PathBuf> {
        if let Value::Path(path) = &self.value { Some(path.clone()) } else { None }
    }

    pub fn table(&self) -> Option<&TableName> {
        if let Value::Table(table) = &self.value { Some(table) } else { None }
    }

    /// Returns the items of a list field; none when it was left out.
    pub fn items(&self, name: &str) -> &[Shaped] {
        match self.get(name) {
            Some(Shaped { value: Value::List(items), .. }) => items,
            _ => &[],
        }
    }

    /// Returns the text of a field.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }
}

/// Walks over the tree.
pub(crate) struct Shaper<'a> {
    pub report: &'a mut Report,
    pub environment: &'a dyn Environment,
    /// The manifest's folder.
    pub folder: &'a Path,
}

impl Shaper<'_> {
    /// Holds a node against an object.
    pub fn object(&mut self, object: &'static Object, node: &Node, path: &str) -> Shaped {
        let value = match self.entries(node, path, &Kind::Object(object)) {
            Some(entries) => {
                let entries: Vec<&Entry> = entries.iter().collect();
                Value::Object(self.fields(object, &entries, node, path))
            }
            None => Value::Invalid,
        };
        Shaped { at: node.at, path: path.to_owned(), value }
    }

    fn entries<'n>(&mut self, node: &'n Node, path: &str, kind: &Kind) -> Option<&'n [Entry]> {
        match &node.value {
            node::Value::Map(entries) => Some(entries),
            _ => {
                self.wrong_type(node, path, kind);
                None
            }
        }
    }

    fn fields(
        &mut self,
        object: &'static Object,
        entries: &[&Entry],
        node: &Node,
        path: &str,
    ) -> Vec<(&'static str, Shaped)> {
        let mut shaped = Vec::new();
        // A field that is misspelt is not missing as well.
        let mut meant = Vec::new();
        for entry in entries {
            let Some(field) = object.field(&entry.key) else {
                meant.extend(self.unknown_field(object, entry, entries, path));
                continue;
            };
            // `publicSchemas:` with all of its items commented out is a field left out.
            if matches!(entry.value.value, node::Value::Null) && !field.required {
                continue;
            }
            shaped.push((field.name, self.value(&field.kind, &entry.value, &join(path, field.name))));
        }
        let present = |name: &str| meant.contains(&name) || entries.iter().any(|entry| entry.key == name);
        for field in object.fields.iter().filter(|field| field.required && !present(field.name)) {
            self.missing(field.name, field.summary(), node, path);
        }
        if !object.any_of.is_empty() && !object.any_of.iter().any(|set| set.iter().all(|name| present(name))) {
            let names = |set: &[&str]| set.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
            let sets: Vec<String> = object.any_of.iter().map(|set| names(set)).collect();
            let message = format!("{} needs {}", subject(path), sets.join(", or "));
            let hint =
                object.field(object.any_of[0][0]).map(|field| format!("add `{}`: {}", field.name, field.summary()));
            self.report.error(node.at, path, Code::MissingField, message, hint);
        }
        shaped
    }

    fn missing(&mut self, name: &str, summary: &str, node: &Node, path: &str) {
        let message = format!("{} has no `{name}`", subject(path));
        self.report.error(node.at, path, Code::MissingField, message, Some(format!("add `{name}`: {summary}")));
    }

    /// Reports a field that nobody knows; returns the known one that was meant.
    fn unknown_field(
        &mut self,
        object: &'static Object,
        entry: &Entry,
        entries: &[&Entry],
        path: &str,
    ) -> Option<&'static str> {
        self.report.mask(entry.value.at, entry.value.end);
        let free = object.fields.iter().map(|field| field.name).filter(|name| entries.iter().all(|e| e.key != *name));
        let near = nearest(&entry.key, free);
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if object.fields.is_empty() => "remove it; no further fields are known here".to_owned(),
            None => {
                let known: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
                format!("known here: {}", known.join(", "))
            }
        };
        let message = format!("unknown field {} in {}", quoted(&entry.key), subject(path));
        let path = join(path, &entry.key.chars().take(100).collect::<String>());
        self.report.error(entry.key_at, &path, Code::UnknownField, message, Some(hint));
        near
    }

    fn wrong_type(&mut self, node: &Node, path: &str, kind: &Kind) {
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
            _ => None,
        };
        let message = format!("{}: expected {}, found {found}", subject(path), kind.expected());
        self.report.error(node.at, path, Code::WrongType, message, hint);
    }

    fn bad(&mut self, node: &Node, path: &str, message: String, hint: Option<String>) -> Value {
        self.report.error(node.at, path, Code::BadValue, format!("{}: {message}", subject(path)), hint);
        Value::Invalid
    }

    fn value(&mut self, kind: &'static Kind, node: &Node, path: &str) -> Shaped {
        let value = match kind {
            Kind::Object(object) => return self.object(object, node, path),
            Kind::Variant(variant) => return self.variant(variant, node, path),
            Kind::Secret => self.secret_text(kind, node, path).map(|text| Value::Secret(Secret::new(text))),
            Kind::Url => self.url(kind, node, path),
            Kind::List(item) => self.list(kind, node, path).map(|items| {
                let shape = |(i, node)| self.value(item, node, &format!("{path}[{i}]"));
                Value::List(items.iter().enumerate().map(shape).collect())
            }),
            Kind::Columns => self.list(kind, node, path).map(|items| {
                let shape = |(i, node)| self.column(node, &format!("{path}[{i}]"));
                Value::List(items.iter().enumerate().map(shape).collect())
            }),
            Kind::Settings => self.settings(kind, node, path),
            Kind::Json => match node.value {
                node::Value::Map(_) | node::Value::Bool(_) => Some(Value::Json(to_json(node))),
                _ => {
                    self.wrong_type(node, path, kind);
                    None
                }
            },
            Kind::Text(_)
            | Kind::Choice(_)
            | Kind::Bool
            | Kind::Integer { .. }
            | Kind::Size
            | Kind::Path
            | Kind::Table => self.scalar(kind, node, path),
        };
        Shaped { at: node.at, path: path.to_owned(), value: value.unwrap_or(Value::Invalid) }
    }

    fn list<'n>(&mut self, kind: &Kind, node: &'n Node, path: &str) -> Option<&'n [Node]> {
        match &node.value {
            node::Value::List(items) => Some(items),
            _ => {
                self.wrong_type(node, path, kind);
                None
            }
        }
    }

    fn variant(&mut self, variant: &'static Variant, node: &Node, path: &str) -> Shaped {
        let invalid = Shaped { at: node.at, path: path.to_owned(), value: Value::Invalid };
        let Some(entries) = self.entries(node, path, &Kind::Variant(variant)) else { return invalid };
        let words = || variant.cases.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let tag_path = join(path, variant.tag);
        let found = entries.iter().find(|entry| entry.key == variant.tag);
        let (tag_at, written) = match (found, variant.default) {
            (Some(entry), _) => match self.text(&Kind::Choice(&[]), &entry.value, &tag_path) {
                Some(Expanded { text, .. }) => (entry.value.at, text),
                None => return invalid,
            },
            (None, Some(default)) => (node.at, default.to_owned()),
            (None, None) => {
                let misspelt = entries.iter().find(|entry| nearest(&entry.key, [variant.tag]).is_some());
                let at = misspelt.map_or(node.at, |entry| entry.key_at);
                for entry in entries {
                    self.report.mask(entry.value.at, entry.value.end);
                }
                let message = format!("{} has no `{}`", subject(path), variant.tag);
                let hint = format!("add `{}`, one of {}", variant.tag, words());
                self.report.error(at, path, Code::MissingField, message, Some(hint));
                return invalid;
            }
        };
        let Some((tag, object)) = variant.cases.iter().find(|(name, _)| *name == written) else {
            for entry in entries.iter().filter(|entry| entry.key != variant.tag) {
                self.report.mask(entry.value.at, entry.value.end);
            }
            let near = nearest(&written, variant.cases.iter().map(|(name, _)| *name));
            let hint = near.map_or_else(|| format!("one of {}", words()), |near| format!("did you mean `{near}`?"));
            let message = format!("{}: unknown {} {}", subject(path), variant.tag, quoted(&written));
            self.report.error(tag_at, &tag_path, Code::BadValue, message, Some(hint));
            return invalid;
        };
        let entries: Vec<&Entry> = entries.iter().filter(|entry| entry.key != variant.tag).collect();
        let mut fields = self.fields(object, &entries, node, path);
        fields.push((variant.tag, Shaped { at: tag_at, path: tag_path, value: Value::Text((*tag).to_owned()) }));
        Shaped { value: Value::Object(fields), ..invalid }
    }

    /// Returns a text with its variables put in.
    fn text(&mut self, kind: &Kind, node: &Node, path: &str) -> Option<Expanded> {
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

    fn scalar(&mut self, kind: &'static Kind, node: &Node, path: &str) -> Option<Value> {
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

    /// Reads a secret: a text, or what the file that it names holds.
    fn secret_text(&mut self, kind: &Kind, node: &Node, path: &str) -> Option<String> {
        match &node.value {
            // The name of a variable or a file tells nothing, and is what its problem is about.
            node::Value::Text(text) if is_bare_variable(text) => {}
            node::Value::Map(_) => {}
            _ => self.report.mask(node.at, node.end),
        }
        static FILE: Object = Object {
            name: "secret file",
            doc: "A secret in a file of its own.",
            fields: &[Field::new("file", Kind::Path, "The file that holds the secret; a line break at its end is cut")
                .required()],
            any_of: &[],
            example: "{ file: /run/secrets/x }",
        };
        let text = match &node.value {
            node::Value::Map(_) => {
                let shaped = self.object(&FILE, node, path);
                let file = shaped.get("file").and_then(Shaped::path_buf)?;
                self.secret_file(&file, node, path)?
            }
            // ReJot's way to say that there is none.
            node::Value::Text(text) if text.is_empty() && matches!(kind, Kind::Secret) => return Some(String::new()),
            _ => self.text(kind, node, path)?.text,
        };
        if text.is_empty() || text.contains('\0') {
            let message = format!("{}: the secret is empty or holds a NUL", subject(path));
            let hint = Some("fill it in, or leave the field out".to_owned());
            self.report.error(node.at, path, Code::BadValue, message, hint);
            return None;
        }
        Some(text)
    }

    fn secret_file(&mut self, file: &Path, node: &Node, path: &str) -> Option<String> {
        match self.environment.secret_file(file) {
            Ok(text) => {
                let cut = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
                Some(cut.unwrap_or(&text).to_owned())
            }
            Err(error) => {
                let message = format!("{}: cannot read the secret in {}: {error}", subject(path), file.display());
                let hint = Some(
                    "relative paths begin at the manifest's folder; check that the file is there and readable"
                        .to_owned(),
                );
                self.report.error(node.at, path, Code::SecretUnreadable, message, hint);
                None
            }
        }
    }

    fn url(&mut self, kind: &Kind, node: &Node, path: &str) -> Option<Value> {
        let text = self.secret_text(kind, node, path)?;
        Some(match Parts::from_url(&text) {
            Ok(mut parts) => {
                // `system` is no file.
                for file in [&mut parts.sslrootcert, &mut parts.sslcert, &mut parts.sslkey].into_iter().flatten() {
                    if file.as_os_str() != "system" {
                        *file = resolve(self.folder, file);
                    }
                }
                Value::Url(parts)
            }
            Err(error) => self.bad(node, path, error.to_string(), error.hint()),
        })
    }

    fn settings(&mut self, kind: &Kind, node: &Node, path: &str) -> Option<Value> {
        static TEXT: Kind = super::fields::any_text();
        let entries = self.entries(node, path, kind)?;
        // A setting may well be a key to pseudonyms.
        self.report.mask(node.at, node.end);
        let mut settings = Vec::with_capacity(entries.len());
        for Entry { key, value, .. } in entries {
            let path = join(path, key);
            let text = match &value.value {
                node::Value::Number(text) => Some(text.clone()),
                node::Value::Bool(value) => Some(value.to_string()),
                _ => self.text(&TEXT, value, &path).map(|expanded| expanded.text),
            };
            settings.push((key.clone(), text?));
        }
        Some(Value::Settings(settings))
    }

    /// Reads a column of a projection: a name, or a pair `public name: source column`.
    fn column(&mut self, node: &Node, path: &str) -> Shaped {
        static NAME: Kind = super::fields::some_text();
        let mut name = |node: &Node| match self.value(&NAME, node, path).value {
            Value::Text(name) => Some(name),
            _ => None,
        };
        let column = match &node.value {
            node::Value::Map(entries) if entries.len() == 1 && !entries[0].key.is_empty() => {
                name(&entries[0].value).map(|source| ProjectedColumn { name: entries[0].key.clone(), source })
            }
            node::Value::Map(_) | node::Value::List(_) => {
                let hint = "write `name`, or `public name: source column`, one item each".to_owned();
                let message = format!("expected the name of a column, or one pair, found {}", node.kind());
                self.bad(node, path, message, Some(hint));
                None
            }
            _ => name(node).map(|name| ProjectedColumn { source: name.clone(), name }),
        };
        let value = column.map_or(Value::Invalid, Value::Column);
        Shaped { at: node.at, path: path.to_owned(), value }
    }
}

/// Resolves a path against the manifest's folder, without the `.` that people write.
fn resolve(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path).components().collect()
}

/// Returns true for `${NAME}` and nothing else.
fn is_bare_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

fn is_collection(kind: &Kind) -> bool {
    matches!(kind, Kind::Object(_) | Kind::Variant(_) | Kind::List(_) | Kind::Settings | Kind::Columns | Kind::Json)
}

/// Names what lies at `path` in a message.
pub(crate) fn subject(path: &str) -> String {
    if path.is_empty() { "the manifest".to_owned() } else { format!("`{path}`") }
}
