//! Where an edit goes in the text, and what goes there.

use serde_json::Value;

use super::super::node::{Entry, Node, Value as Tree};
use super::super::problem::Place;
use super::render;
use super::{Edit, Path, Step};

/// A text with the places of its lines.
pub struct Text<'t> {
    text: &'t str,
    json: bool,
    /// Where each line begins.
    lines: Vec<usize>,
    newline: &'static str,
}

/// What stands between two bytes of the text, and what takes its place.
struct Splice {
    from: usize,
    to: usize,
    with: String,
}

impl<'t> Text<'t> {
    pub fn new(text: &'t str, json: bool) -> Text<'t> {
        let lines = [0].into_iter().chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect();
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Text { text, json, lines, newline }
    }

    /// Returns the text with the edit; `None` where no place for it is found.
    pub fn splice(&self, root: &Node, edit: &Edit<'_>) -> Option<String> {
        let Splice { from, to, with } = match edit {
            Edit::Set { map, field, value } => self.set(find(root, map)?, field, value),
            Edit::Unset { map, field } => self.unset(find(root, map)?, field),
            Edit::Push { list, item } => match entry(root, list) {
                Some(Entry { value: list, .. }) if matches!(list.value, Tree::List(_)) => self.push(list, item),
                _ => self.set(root, list, &Value::Array(vec![item.clone()])),
            },
            Edit::Remove { list, index } => self.remove(entry(root, list)?, *index),
        }?;
        let with = if self.newline == "\n" { with } else { with.replace('\n', self.newline) };
        Some(format!("{}{with}{}", self.text.get(..from)?, self.text.get(to..)?))
    }

    fn set(&self, map: &Node, field: &str, value: &Value) -> Option<Splice> {
        let Tree::Map(entries) = &map.value else { return None };
        if let Some(entry) = entries.iter().find(|entry| entry.key == field) {
            return self.replace(map, entry, value);
        }
        if self.is_flow(map)? {
            let name = render::flow(&Value::String(field.to_owned()), self.json);
            let Some(last) = entries.last() else {
                return Some(self.between(map)?.with(format!(" {name}: {} ", render::flow(value, self.json))));
            };
            let at = self.end(&last.value)?;
            let with = match self.begins_line(last.key_at)? {
                true => {
                    let indent = self.indent(last.key_at.line)?;
                    format!(",\n{indent}{name}: {}", self.lines_of(value, indent))
                }
                false => format!(", {name}: {}", render::flow(value, self.json)),
            };
            return Some(Splice { from: at, to: at, with });
        }
        let first = entries.first()?;
        let indent = " ".repeat(first.key_at.column as usize - 1);
        let at = self.end_of_line(self.last_line(map)?)?;
        Some(Splice { from: at, to: at, with: format!("\n{indent}{}", render::field(field, value, &indent)) })
    }

    /// Puts another value into a field that is there.
    fn replace(&self, map: &Node, entry: &Entry, value: &Value) -> Option<Splice> {
        let flow = self.is_flow(map)?;
        if matches!(entry.value.value, Tree::Null) && entry.value.at == entry.value.end {
            // Nothing stands there, or nothing but a comment.
            let indent = " ".repeat(entry.key_at.column as usize + 1);
            let (at, with) = match flow {
                true => return None,
                false if value.is_array() || value.is_object() => {
                    (self.end_of_line(entry.key_at.line)?, render::block(value, &indent))
                }
                false => (self.behind_colon(entry)?, format!(" {}", render::flow(value, false))),
            };
            return Some(Splice { from: at, to: at, with });
        }
        let (from, to) = (self.byte(entry.value.at)?, self.end(&entry.value)?);
        // The place of a literal is that of its first line.
        let is_literal = self.text.get(self.behind_colon(entry)?..)?.trim_start_matches(' ').starts_with(['|', '>']);
        let was_block = match entry.value.value {
            Tree::List(_) | Tree::Map(_) => !self.is_flow(&entry.value)?,
            _ => is_literal,
        };
        let is_block = value.as_str().is_some_and(|text| text.contains('\n'));
        if flow || !(was_block || is_block) {
            return Some(Splice { from, to, with: render::flow(value, self.json) });
        }
        let indent = " ".repeat(entry.key_at.column as usize + 1);
        let (from, end) = (self.behind_colon(entry)?, self.end_of_line(self.last_line(&entry.value)?)?);
        // Of a value over several lines it is not known which comments are about what.
        let around = if is_literal {
            ""
        } else if was_block {
            self.text.get(from..end)?
        } else {
            self.text.get(to..end)?
        };
        (!around.contains('#')).then(|| Splice { from, to: end, with: render::block(value, &indent) })
    }

    fn unset(&self, map: &Node, field: &str) -> Option<Splice> {
        let Tree::Map(entries) = &map.value else { return None };
        let index = entries.iter().position(|entry| entry.key == field)?;
        let entry = &entries[index];
        if !self.is_flow(map)? {
            return match self.begins_line(entry.key_at)? && entries.len() > 1 {
                true => self.without_lines(entry.key_at.line, self.last_line_of(entry)?),
                false => None,
            };
        }
        let (from, to) = match (entries.get(index + 1), index.checked_sub(1)) {
            (Some(next), _) => (self.byte(entry.key_at)?, self.byte(next.key_at)?),
            (None, Some(before)) => (self.end(&entries[before].value)?, self.end(&entry.value)?),
            (None, None) => return Some(self.between(map)?.with(String::new())),
        };
        Some(Splice { from, to, with: String::new() })
    }

    fn push(&self, list: &Node, item: &Value) -> Option<Splice> {
        let Tree::List(items) = &list.value else { return None };
        if self.is_flow(list)? {
            let Some(last) = items.last() else {
                return Some(self.between(list)?.with(self.only_item(list, item)?));
            };
            let at = self.end(last)?;
            let with = match self.begins_line(last.at)? {
                true => {
                    let indent = self.indent(last.at.line)?;
                    format!(",\n{indent}{}", self.lines_of(item, indent))
                }
                false => format!(", {}", render::flow(item, self.json)),
            };
            return Some(Splice { from: at, to: at, with });
        }
        let last = items.last()?;
        let indent = self.indent(items.first()?.at.line)?;
        let at = self.end_of_line(self.last_line(list)?)?;
        let written = match self.is_flow(last)? && matches!(last.value, Tree::Map(_)) {
            true => format!("- {}", render::flow(item, false)),
            false => render::item(item, indent),
        };
        Some(Splice { from: at, to: at, with: format!("\n{indent}{written}") })
    }

    /// Writes the first item of a list that had none.
    fn only_item(&self, list: &Node, item: &Value) -> Option<String> {
        if !self.json {
            return Some(render::flow(item, false));
        }
        let (indent, unit) = (self.indent(list.at.line)?, self.unit());
        // A file that is one line stays one line.
        if self.lines.len() <= 2 {
            return Some(render::flow(item, true));
        }
        let inner = format!("{indent}{unit}");
        Some(format!("\n{inner}{}\n{indent}", render::pretty(item, &inner, unit)))
    }

    fn lines_of(&self, value: &Value, indent: &str) -> String {
        match self.json {
            true => render::pretty(value, indent, self.unit()),
            false => render::flow(value, false),
        }
    }

    fn remove(&self, entry: &Entry, index: usize) -> Option<Splice> {
        let Tree::List(items) = &entry.value.value else { return None };
        let item = items.get(index)?;
        if !self.is_flow(&entry.value)? {
            let first = item.at.line;
            let last = self.last_line(item)?;
            if items.len() > 1 {
                return self.line(first)?.trim_start().starts_with('-').then(|| self.without_lines(first, last))?;
            }
            // The list stays, without items: comments that were around the item stay behind it.
            let (from, to) = (self.behind_colon(entry)?, self.end_of_line(last)?);
            let begins = self.lines[first as usize - 1];
            let kept = self.text.get(from..begins)?.trim_end_matches(['\r', '\n']);
            return Some(Splice { from, to, with: format!(" []{kept}") });
        }
        let (from, to) = match (items.get(index + 1), index.checked_sub(1)) {
            (Some(next), _) => (self.byte(item.at)?, self.byte(next.at)?),
            (None, Some(before)) => (self.end(&items[before])?, self.end(item)?),
            (None, None) => return Some(self.between(&entry.value)?.with(String::new())),
        };
        // A comment between items would go with them.
        let lost = self.text.get(from..self.byte(item.at)?.max(from))?;
        let lost_behind = self.text.get(self.end(item)?.min(to)..to)?;
        let comment = !self.json && (lost.contains('#') || lost_behind.contains('#'));
        (!comment).then(|| Splice { from, to, with: String::new() })
    }

    /// Takes whole lines out.
    fn without_lines(&self, first: u32, last: u32) -> Option<Splice> {
        let from = *self.lines.get(first as usize - 1)?;
        match self.lines.get(last as usize) {
            Some(&to) => Some(Splice { from, to, with: String::new() }),
            // The last line of the file may have no newline: take the one before instead.
            None => {
                let from = self.text.get(..from)?.trim_end_matches(['\n', '\r']).len();
                Some(Splice { from, to: self.text.len(), with: String::new() })
            }
        }
    }

    /// Returns what stands between the brackets of a flow collection.
    fn between(&self, node: &Node) -> Option<Splice> {
        let (from, to) = (self.byte(node.at)? + 1, self.end(node)?.checked_sub(1)?);
        let inside = self.text.get(from..to)?;
        (self.json || !inside.contains('#')).then(|| Splice { from, to, with: String::new() })
    }

    fn is_flow(&self, node: &Node) -> Option<bool> {
        // Where a list without indent begins, the parser points at its first item.
        let open = if matches!(node.value, Tree::List(_)) { '[' } else { '{' };
        Some(self.text.get(self.byte(node.at)?..)?.starts_with(open))
    }

    /// Returns the last line on which something of a node stands.
    fn last_line(&self, node: &Node) -> Option<u32> {
        let last = match &node.value {
            Tree::List(items) if !self.is_flow(node)? => return self.last_line(items.last()?),
            Tree::Map(entries) if !self.is_flow(node)? => return self.last_line_of(entries.last()?),
            _ => node.end,
        };
        // A text over several lines ends where the next thing begins.
        let before = self.line(last.line).map_or("", |line| line.get(..last.column as usize - 1).unwrap_or(line));
        let ended_above = last.line > node.at.line && before.trim().is_empty();
        let mut line = if ended_above { last.line - 1 } else { last.line };
        while line > node.at.line && self.line(line)?.trim().is_empty() {
            line -= 1;
        }
        Some(line)
    }

    fn last_line_of(&self, entry: &Entry) -> Option<u32> {
        match entry.value.value {
            Tree::Null if entry.value.at == entry.value.end => Some(entry.key_at.line),
            _ => self.last_line(&entry.value),
        }
    }

    fn behind_colon(&self, entry: &Entry) -> Option<usize> {
        let at = self.byte(entry.key_at)?;
        let rest = self.text.get(at..)?;
        let key = match rest.chars().next()? {
            quote @ ('"' | '\'') => 2 + rest.get(1..)?.find(quote)?,
            _ => entry.key.len(),
        };
        Some(at + key + rest.get(key..)?.find(':')? + 1)
    }

    /// Returns by how much the text indents, by its first line that does.
    fn unit(&self) -> &'t str {
        let mut indents = (2..=self.lines.len() as u32).filter_map(|line| self.indent(line));
        indents.find(|indent| !indent.is_empty()).unwrap_or("  ")
    }

    fn line(&self, line: u32) -> Option<&'t str> {
        let from = *self.lines.get(line as usize - 1)?;
        Some(self.text[from..].split('\n').next().unwrap_or_default().trim_end_matches('\r'))
    }

    fn end_of_line(&self, line: u32) -> Option<usize> {
        Some(*self.lines.get(line as usize - 1)? + self.line(line)?.len())
    }

    fn indent(&self, line: u32) -> Option<&'t str> {
        let line = self.line(line)?;
        Some(&line[..line.len() - line.trim_start_matches([' ', '\t']).len()])
    }

    /// Returns true when nothing stands on the line before a place.
    fn begins_line(&self, at: Place) -> Option<bool> {
        Some(self.indent(at.line)?.chars().count() == at.column as usize - 1)
    }

    /// Returns where a scalar or a flow collection ends; the parser counts the comment behind a quoted text in.
    fn end(&self, node: &Node) -> Option<usize> {
        let (from, to) = (self.byte(node.at)?, self.byte(node.end)?);
        let text = self.text.get(from..to)?;
        let length = match text.chars().next() {
            Some('"') => 1 + closing(&text[1..], |rest| rest.starts_with('"'), |rest| rest.starts_with('\\'))?,
            Some('\'') => 1 + closing(&text[1..], |rest| rest.starts_with('\''), |rest| rest.starts_with("''"))?,
            Some('[' | '{') => text.rfind([']', '}'])? + 1,
            _ => text.split(" #").next().unwrap_or_default().trim_end().len(),
        };
        Some(from + length)
    }

    fn byte(&self, at: Place) -> Option<usize> {
        // The end of the text may be told as a line of its own.
        let Some(&start) = self.lines.get(at.line as usize - 1) else { return Some(self.text.len()) };
        let rest = &self.text[start..];
        let column = at.column as usize - 1;
        Some(start + rest.char_indices().nth(column).map_or(rest.len(), |(index, _)| index))
    }
}

/// Returns the length of a quoted text up to and with its closing quote, `escaped` being two bytes that are none.
fn closing(text: &str, closes: impl Fn(&str) -> bool, escaped: impl Fn(&str) -> bool) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let c = rest.chars().next()?;
        if escaped(rest) {
            at += c.len_utf8() + rest.chars().nth(1)?.len_utf8();
        } else if closes(rest) {
            return Some(at + 1);
        } else {
            at += c.len_utf8();
        }
    }
}

impl Splice {
    fn with(self, with: String) -> Splice {
        Splice { with, ..self }
    }
}

fn find<'n>(root: &'n Node, path: Path<'_>) -> Option<&'n Node> {
    path.iter().try_fold(root, |node, step| match (step, &node.value) {
        (Step::Field(name), _) => entry(node, name).map(|entry| &entry.value),
        (Step::Item(index), Tree::List(items)) => items.get(*index),
        _ => None,
    })
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<&'n Entry> {
    match &node.value {
        Tree::Map(entries) => entries.iter().find(|entry| entry.key == name),
        _ => None,
    }
}
