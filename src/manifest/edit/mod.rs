//! Changes a manifest's text and leaves the rest of it as it is: comments, order, quotes, line ends.
//!
//! No YAML library that is kept well edits text without losing any of it, so this splices: [`splice`] finds where a
//! value stands and what takes its place, in the style of what is around it; [`render`] writes values. One edit is one
//! splice, so every other byte stays.
//!
//! Promise: what comes out parses to what the text said before and the edit, and to nothing else. That is checked for
//! each edit, whatever the text looks like; where it does not hold (aliases, tabs, rare styles) the edit is refused and
//! the person told what to write.

mod render;
mod splice;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::json_text::is_json;
use super::node::{self, Node, to_json};
use super::report::Report;
use splice::Text;

/// A way from the root of a manifest to a value.
pub type Path<'a> = &'a [Step<'a>];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

/// One change.
#[derive(Clone, Debug)]
pub enum Edit<'a> {
    /// Gives a map a field, or a field another value.
    Set { map: Path<'a>, field: &'a str, value: Value },
    /// Takes a field out of a map.
    Unset { map: Path<'a>, field: &'a str },
    /// Puts an item behind the last one of a list that is a field of the manifest, there or not.
    Push { list: &'a str, item: Value },
    /// Takes an item out of a list that is a field of the manifest.
    Remove { list: &'a str, index: usize },
}

/// Why a text stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("the manifest can't be read")]
    Unreadable,
    #[error("the manifest is written in a way that can't be edited here without losing something")]
    Intricate { wanted: String },
}

impl EditError {
    /// Returns what the operator should do.
    pub fn hint(&self) -> String {
        match self {
            EditError::Unreadable => "`pelton check` says what is wrong with it".to_owned(),
            EditError::Intricate { wanted } => format!("edit it by hand: {wanted}"),
        }
    }
}

/// Returns the text with one change; pure.
///
/// # Errors
/// The text can't be read, or not be edited without touching something else.
pub fn edit(text: &str, edit: &Edit<'_>) -> Result<String, EditError> {
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let root = read(body).ok_or(EditError::Unreadable)?;
    let mut wanted = to_json(&root);
    let intricate = || EditError::Intricate { wanted: told(edit) };
    apply(&mut wanted, edit).ok_or_else(intricate)?;
    let edited = Text::new(body, is_json(body)).splice(&root, edit).ok_or_else(intricate)?;
    let says = read(&edited).map(|root| plain(&to_json(&root)));
    if says != Some(plain(&wanted)) || is_json(body) && !is_json(&edited) {
        return Err(intricate());
    }
    Ok(format!("{mark}{edited}"))
}

/// Returns what a text says, as it was written: variables are not put in, and nothing is checked.
pub fn tree(text: &str) -> Option<Value> {
    read(text.strip_prefix('\u{feff}').unwrap_or(text)).map(|root| to_json(&root))
}

fn read(text: &str) -> Option<Node> {
    let mut report = Report::default();
    node::read(text, false, &mut report).filter(|_| !report.has_errors())
}

/// Does to a tree what is to be done to the text.
fn apply(tree: &mut Value, edit: &Edit<'_>) -> Option<()> {
    match edit {
        Edit::Set { map, field, value } => {
            at(tree, map)?.as_object_mut()?.insert((*field).to_owned(), value.clone());
        }
        Edit::Unset { map, field } => {
            at(tree, map)?.as_object_mut()?.shift_remove(*field)?;
        }
        Edit::Push { list, item } => {
            let list = tree.as_object_mut()?.entry(*list).or_insert_with(|| Value::Array(Vec::new()));
            if list.is_null() {
                *list = Value::Array(Vec::new());
            }
            list.as_array_mut()?.push(item.clone());
        }
        Edit::Remove { list, index } => {
            let list = tree.get_mut(*list)?.as_array_mut()?;
            (*index < list.len()).then(|| list.remove(*index))?;
        }
    }
    Some(())
}

fn at<'t>(tree: &'t mut Value, path: Path<'_>) -> Option<&'t mut Value> {
    path.iter().try_fold(tree, |value, step| match step {
        Step::Field(name) => value.get_mut(*name),
        Step::Item(index) => value.get_mut(*index),
    })
}

/// Brings a tree into the form in which equal trees are equal: the order of fields is the text's own business.
fn plain(tree: &Value) -> Value {
    match tree {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// Says what to write by hand. Values may be passwords, so they are not said.
fn told(edit: &Edit<'_>) -> String {
    match edit {
        Edit::Set { field, .. } => format!("set `{field}`"),
        Edit::Unset { field, .. } => format!("remove `{field}`"),
        Edit::Push { list, item } => {
            let name = item.get("slug").or_else(|| item.get("connectionSlug")).or_else(|| item.get("name"));
            let name = name.and_then(Value::as_str).unwrap_or("the new one");
            format!("add `{name}` to `{list}`")
        }
        Edit::Remove { list, index } => format!("remove item {} of `{list}`", index + 1),
    }
}
