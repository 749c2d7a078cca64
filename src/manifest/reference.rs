//! The reference of all fields in `docs/manifest.md`, made of the description that drives the parser.

use std::fmt::Write;

use super::description::MANIFEST;
use super::fields::{Kind, Object};

/// Returns the reference as Markdown: a section for every object, in the order in which they are met.
pub(crate) fn reference() -> String {
    let mut text = String::new();
    let mut todo: Vec<(&'static Object, Option<(&str, &str)>)> = vec![(&MANIFEST, None)];
    let mut done: Vec<&str> = Vec::new();
    while !todo.is_empty() {
        let (object, tag) = todo.remove(0);
        if done.contains(&object.name) {
            continue;
        }
        done.push(object.name);
        section(object, tag, &mut text);
        let mut inside = Vec::new();
        for field in object.fields {
            objects(&field.kind, &mut inside);
        }
        // Depth first: what belongs together stands together.
        todo.splice(0..0, inside);
    }
    text
}

fn objects(kind: &'static Kind, found: &mut Vec<(&'static Object, Option<(&'static str, &'static str)>)>) {
    match kind {
        Kind::Object(object) => found.push((object, None)),
        Kind::Variant(variant) => {
            found.extend(variant.cases.iter().map(|(case, object)| (*object, Some((variant.tag, *case)))));
        }
        Kind::List(item) => objects(item, found),
        _ => {}
    }
}

fn section(object: &Object, tag: Option<(&str, &str)>, text: &mut String) {
    let title = title(object.name);
    write!(text, "\n### {title}\n\n{}\n\n```yaml\n{}\n```\n\n", object.doc, object.example).unwrap();
    if object.fields.is_empty() && tag.is_none() {
        return;
    }
    text.push_str("| Field | Holds | |\n|---|---|---|\n");
    if let Some((tag, case)) = tag {
        writeln!(text, "| `{tag}` | `{case}` | What makes it one of these. |").unwrap();
    }
    for field in object.fields {
        let need = match (field.required, field.default) {
            (true, _) => " **Required.**".to_owned(),
            (false, Some(default)) if serde_json::from_str::<serde_json::Value>(default).is_ok() => {
                format!(" Default: `{}`.", default.trim_matches('"'))
            }
            (false, Some(default)) => format!(" Default: {default}."),
            (false, None) => String::new(),
        };
        writeln!(text, "| `{}` | {} | {}{need} |", field.name, holds(&field.kind), field.doc).unwrap();
    }
}

fn title(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

fn link(object: &Object) -> String {
    format!("[{}](#{})", object.name, object.name.replace(' ', "-"))
}

fn holds(kind: &'static Kind) -> String {
    match kind {
        Kind::Text(rule) => rule.expected.to_owned(),
        Kind::Choice(choices) => {
            let word = |choice: &super::fields::Choice| {
                let later = if choice.supported { "" } else { " (not supported yet)" };
                format!("`{}`: {}{later}", choice.name, choice.doc)
            };
            choices.iter().map(word).collect::<Vec<_>>().join("; ")
        }
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Integer { min, max } if min == max => format!("{min}"),
        Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Size => "a size".to_owned(),
        Kind::Age => "a time span".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Table => "the name of a table".to_owned(),
        Kind::Secret => "text, or `{ file: … }`".to_owned(),
        Kind::Url => "a URL, or `{ file: … }`".to_owned(),
        Kind::Object(object) => link(object),
        Kind::Variant(variant) => {
            let case = |(case, object): &(&str, &Object)| format!("`{}: {case}`: {}", variant.tag, link(object));
            variant.cases.iter().map(case).collect::<Vec<_>>().join(" · ")
        }
        Kind::List(item) => format!("a list; each: {}", holds(item)),
        Kind::Settings => "a map of names and texts".to_owned(),
        Kind::Columns => "a list of columns".to_owned(),
        Kind::Json => "a JSON Schema".to_owned(),
    }
}
