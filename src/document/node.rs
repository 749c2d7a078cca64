//! The tree of a YAML or JSON text, every node with its place.
//!
//! JSON is YAML but for two things, which [`as_yaml`] evens out: a tab behind a colon, and characters beyond the
//! basic plane as two escapes. Everything is bounded, since a text may come from anybody: size, depth, and the
//! number of nodes once aliases are put in, so that a few lines of aliases can't become billions of nodes.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::json_text::{as_yaml, is_json, json_error};
use super::problem::{Code, Place};
use super::report::{Report, quoted};

/// The size of a file. A manifest of a thousand schemas stays far below it.
pub(crate) const BYTES_MAX: usize = 8 << 20;
const DEPTH_MAX: usize = 64;
const NODES_MAX: usize = 200_000;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub at: Place,
    pub end: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// A number as it was written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub key_at: Place,
    pub value: Node,
}

impl Node {
    /// Names what it is, for "expected …, found …".
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Returns the number of nodes and the depth of the tree.
    fn size(&self) -> (usize, usize) {
        let add = |(nodes, depth): (usize, usize), child: &Node| {
            let (n, d) = child.size();
            (nodes + n, depth.max(d + 1))
        };
        match &self.value {
            Value::List(items) => items.iter().fold((1, 1), add),
            Value::Map(entries) => entries.iter().map(|entry| &entry.value).fold((1, 1), add),
            _ => (1, 1),
        }
    }
}

/// Reads a text. `None`: it is no tree at all, and the report says why.
///
/// Of a `.json` file that is not even YAML the report says what is wrong with it as JSON.
pub(crate) fn read(text: &str, json_file: bool, report: &mut Report) -> Option<Node> {
    let converted;
    let text = match is_json(text) {
        true => {
            converted = as_yaml(text);
            &converted
        }
        false => text,
    };
    let mut builder = Builder { report, open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None };
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    while let Some(next) = parser.next_event() {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let (at, message, hint) = match json_error(text).filter(|_| json_file) {
                    Some((at, message)) => (at, message, "check quotes, brackets and commas, here and just before"),
                    None => {
                        let at = place(error.marker());
                        let (message, hint) = syntax_error(text, at, error.info());
                        (at, message, hint)
                    }
                };
                builder.report.error(at, "", Code::Syntax, message, Some(hint.to_owned()));
                return None;
            }
        };
        if let Event::DocumentStart(_) = event {
            documents += 1;
            if documents > 1 {
                let hint = Some("a file is one document; put the others into files of their own".to_owned());
                let message = "a second YAML document begins here".to_owned();
                builder.report.error(place(&span.start), "", Code::Syntax, message, hint);
                return None;
            }
        }
        if let Err((at, message, hint)) = builder.event(event, span) {
            builder.report.error(at, "", Code::Syntax, message, Some(hint));
            return None;
        }
    }
    builder.root
}

fn place(marker: &Marker) -> Place {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: count(marker.line()).max(1), column: count(marker.col()).saturating_add(1) }
}

/// Says what the parser found, and what is most often behind it.
fn syntax_error(text: &str, at: Place, info: &str) -> (String, &'static str) {
    if info.contains("recursion limit") {
        return ("values are nested too deep".to_owned(), TOO_DEEP_HINT);
    }
    let line = text.lines().nth(at.line as usize - 1).unwrap_or_default();
    let before: String = line.chars().take(at.column as usize).collect();
    let hint = if before.ends_with("${") {
        "inside { } put a variable in quotes: \"${NAME}\""
    } else if info.contains("tab") || line.trim_start_matches(' ').starts_with('\t') {
        "indent with spaces; YAML takes no tabs"
    } else if info.contains("end of stream") {
        "a quote or bracket that opens here is not closed"
    } else if info.contains("mapping values") {
        "put a value that holds `: ` in quotes, and check the indentation"
    } else if info.contains("anchor") {
        "a value that begins with `*` or `&` goes in quotes"
    } else {
        "check quotes, brackets and the indentation, here and on the line before"
    };
    (format!("this is not valid YAML: {info}"), hint)
}

const TOO_DEEP_HINT: &str = "no field lies that deep; look for a missing bracket";

type Refused = (Place, String, String);

/// A list or map that is not closed yet.
struct Open {
    at: Place,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    /// `lines` says on which line each key stands.
    Map {
        entries: Vec<Entry>,
        lines: HashMap<String, u32>,
        key: Option<(String, Place)>,
    },
}

struct Builder<'r> {
    report: &'r mut Report,
    open: Vec<Open>,
    /// What an alias stands for, with its number of nodes and depth.
    anchors: HashMap<usize, (Node, usize, usize)>,
    nodes: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Refused> {
        let (at, end) = (place(&span.start), place(&span.end));
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, 1, at)?;
                self.check_tag(tag.as_deref(), at);
                let value = scalar(&text, style, tag.as_deref());
                self.close(Node { at, end, value }, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.count(1, 1, at)?;
                self.check_tag(tag.as_deref(), at);
                self.open.push(Open { at, anchor, items: Items::List(Vec::new()) });
            }
            Event::MappingStart(anchor, tag) => {
                self.count(1, 1, at)?;
                self.check_tag(tag.as_deref(), at);
                let items = Items::Map { entries: Vec::new(), lines: HashMap::new(), key: None };
                self.open.push(Open { at, anchor, items });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { at, anchor, items }) = self.open.pop() else { return Ok(()) };
                let value = match items {
                    Items::List(items) => Value::List(items),
                    Items::Map { entries, .. } => Value::Map(self.merged(entries)),
                };
                self.close(Node { at, end, value }, anchor)?;
            }
            Event::Alias(anchor) => {
                let Some((node, nodes, depth)) = self.anchors.get(&anchor).cloned() else {
                    let hint = "an alias can stand only behind the whole of what it repeats".to_owned();
                    return Err((at, "this alias lies inside of what it stands for".to_owned(), hint));
                };
                self.count(nodes, depth, at)?;
                self.close(node, 0)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, depth: usize, at: Place) -> Result<(), Refused> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            let hint = "split the file, or repeat less by aliases".to_owned();
            return Err((at, format!("the file holds more than {NODES_MAX} values"), hint));
        }
        if self.open.len() + depth > DEPTH_MAX {
            let message = format!("values are nested more than {DEPTH_MAX} deep");
            return Err((at, message, TOO_DEEP_HINT.to_owned()));
        }
        Ok(())
    }

    fn check_tag(&mut self, tag: Option<&Tag>, at: Place) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            let message = format!("the tag {} has no meaning here", quoted(&tag.to_string()));
            let hint = Some("leave the tag out; a text that begins with `!` goes in quotes".to_owned());
            self.report.error(at, "", Code::Syntax, message, hint);
        }
    }

    /// Puts a whole node where it belongs: into the list or map that is open, as a key, or as the root.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Refused> {
        if anchor != 0 {
            let (nodes, depth) = node.size();
            // What is kept for aliases is a copy, and anchors may lie within one another.
            self.count(nodes, 0, node.at)?;
            self.anchors.insert(anchor, (node.clone(), nodes, depth));
        }
        let Some((open, outer)) = self.open.split_last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.items {
            Items::List(items) => items.push(node),
            Items::Map { entries, lines, key } => match key.take() {
                None => *key = Some((key_text(&node, self.report), node.at)),
                Some((key, key_at)) => match lines.get(&key) {
                    Some(line) => {
                        let path = path(outer, &key);
                        let message = format!("{} stands here a second time", quoted(&key));
                        let hint = format!("it stands on line {line} already; remove one");
                        self.report.error(key_at, &path, Code::DuplicateField, message, Some(hint));
                        self.report.mask(node.at, node.end);
                    }
                    None => {
                        lines.insert(key.clone(), key_at.line);
                        entries.push(Entry { key, key_at, value: node });
                    }
                },
            },
        }
        Ok(())
    }

    /// Puts in what `<<` names: entries that the map does not have itself.
    fn merged(&mut self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let Some(index) = entries.iter().position(|entry| entry.key == "<<") else { return entries };
        let merge = entries.remove(index);
        let maps = match merge.value.value {
            Value::List(maps) => maps,
            _ => vec![merge.value],
        };
        let mut own: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        for map in maps {
            let Value::Map(inherited) = map.value else {
                let hint = Some("`<<` takes an alias of a map, or a list of them".to_owned());
                self.report.error(map.at, "<<", Code::WrongType, format!("expected a map, found {}", map.kind()), hint);
                continue;
            };
            entries.extend(inherited.into_iter().filter(|entry| own.insert(entry.key.clone())));
        }
        entries
    }
}

/// Returns the path of a field in the innermost of the maps that are open.
fn path(outer: &[Open], field: &str) -> String {
    let mut path = String::new();
    for open in outer {
        match &open.items {
            Items::List(items) => path += &format!("[{}]", items.len()),
            Items::Map { key: Some((key, _)), .. } => path = join(&path, key),
            Items::Map { key: None, .. } => {}
        }
    }
    join(&path, field)
}

/// Appends a field to a path.
pub(crate) fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

fn key_text(key: &Node, report: &mut Report) -> String {
    match &key.value {
        Value::Text(text) | Value::Number(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => {
            let message = format!("the name of a field is {}", key.kind());
            let hint = Some("write `name: value`; a name with special characters goes in quotes".to_owned());
            report.error(key.at, "", Code::Syntax, message, hint);
            String::new()
        }
    }
}

/// YAML 1.2's core schema, and JSON's.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    if style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str") {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let of_radix = |prefix, radix| {
        text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
    };
    let is_float = || digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.parse::<f64>().is_ok();
    matches!(digits, ".inf" | ".Inf" | ".INF")
        || matches!(text, ".nan" | ".NaN" | ".NAN")
        || of_radix("0o", 8)
        || of_radix("0x", 16)
        || is_float()
}

/// Reads a number of the file as a whole number that is not negative.
pub(crate) fn whole_number(text: &str) -> Option<u64> {
    let of_radix = |prefix, radix| u64::from_str_radix(text.strip_prefix(prefix)?, radix).ok();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { of_radix("0o", 8).or_else(|| of_radix("0x", 16)) }
}

/// Turns a part of the tree into JSON, as it was written.
pub(crate) fn to_json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(text) => match (whole_number(text), serde_json::from_str(text)) {
            (Some(number), _) => Json::Number(number.into()),
            (None, Ok(Json::Number(number))) => Json::Number(number),
            _ => Json::String(text.clone()),
        },
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value))).collect())
        }
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
