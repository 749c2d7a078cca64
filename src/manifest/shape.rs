//! Holds a tree against the description of a manifest: unknown and missing fields, wrong types, words and sizes;
//! variables, secrets and paths put in. What comes out has every value in its type, or [`Value::Invalid`] where a
//! problem was reported, so that the checks that follow can go on without reporting the same thing again.

use std::path::{Path, PathBuf};

use super::connection::Secret;
use super::environment::{Environment, Expanded};
use super::fields::{Field, Kind, Object, Variant};
use super::model::ProjectedColumn;
use super::nearest::nearest;
use super::node::{self, Entry, Node, join, to_json};
use super::problem::{Code, Place};
use super::report::{Report, quoted};
use super::table_name::TableName;
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
        let free = |field: &&Field| entries.iter().all(|entry| entry.key != field.name);
        let free: Vec<&'static str> = object.fields.iter().filter(free).map(|field| field.name).collect();
        // A field that is misspelt is not missing as well.
        let mut meant = Vec::new();
        for entry in entries {
            let Some(field) = object.field(&entry.key) else {
                meant.extend(self.unknown_field(object, entry, &free, path));
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
        free: &[&'static str],
        path: &str,
    ) -> Option<&'static str> {
        self.report.mask(entry.value.at, entry.value.end);
        let near = nearest(&entry.key, free.iter().copied());
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

    pub(super) fn value(&mut self, kind: &'static Kind, node: &Node, path: &str) -> Shaped {
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
            | Kind::Age
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

/// Names what lies at `path` in a message.
pub(crate) fn subject(path: &str) -> String {
    if path.is_empty() { "the manifest".to_owned() } else { format!("`{path}`") }
}
