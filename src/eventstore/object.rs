//! Rows as they stand in events, and back.
//!
//! `object` and `key` are JSON that jsonb takes, in one line. Booleans, integers and finite floats are JSON's own; a jsonb value is nested as it is;
//! everything else is Postgres's text as a string, numeric and json included, so nothing is rounded and nothing reformatted.
//! A column that an update left alone is not there. What jsonb can't tell apart is told in `attributes`: the JSON value
//! null of a jsonb column (`jsonNull`), the former key of an update that changed it (`oldKey`), and the former row where a
//! public schema has no key (`oldRow`).

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{json, rejot};
use crate::change::{Column, Kind, Op, PublicSchema, Row, TupleWriter, Value};
use crate::sink::text_of;

/// An event that is not what this program writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadEvent(pub String);

impl BadEvent {
    fn new(what: impl Into<String>) -> BadEvent {
        BadEvent(what.into())
    }
}

/// Writes the documents of one public schema's rows.
#[derive(Clone, Debug)]
pub(super) struct ObjectWriter {
    columns: Vec<Member>,
    key: Vec<usize>,
    /// A component wrote the values: JSON may be spelt in any way, or be none.
    from_component: bool,
}

#[derive(Clone, Debug)]
struct Member {
    /// `"name":`
    label: Vec<u8>,
    name: String,
    kind: Kind,
}

impl ObjectWriter {
    pub(super) fn new(public: &PublicSchema, from_component: bool) -> ObjectWriter {
        let member = |column: &Column| {
            let mut label = BytesMut::new();
            json::string(&mut label, column.name.as_bytes());
            label.put_u8(b':');
            Member { label: label.to_vec(), name: column.name.to_string(), kind: column.kind.clone() }
        };
        ObjectWriter { columns: public.columns.iter().map(member).collect(), key: public.key(), from_component }
    }

    /// Appends the columns `key`, `object` and `attributes` of a row's event.
    pub(super) fn write(&self, out: &mut TupleWriter, row: &Row) -> Result<(), BadEvent> {
        let has_key = !self.key.is_empty();
        let mut attributes = Attributes::default();
        if has_key && row.op != Op::Truncate {
            let mut failed = Ok(());
            out.text_with(|out| {
                let columns = row.values.columns().enumerate().filter(|(index, _)| self.key.contains(index));
                failed = self.document(out, columns, &mut Vec::new());
            });
            failed?;
        } else {
            out.null();
        }
        if row.op == Op::Truncate || (row.op == Op::Delete && has_key) {
            out.null();
        } else {
            let mut failed = Ok(());
            out.text_with(|out| {
                failed = self.document(out, row.values.columns().enumerate(), &mut attributes.json_null)
            });
            failed?;
        }
        if let Some(old) = &row.old_key {
            let mut document = BytesMut::new();
            if has_key {
                let columns = self.key.iter().copied().zip(old.columns());
                self.document(&mut document, columns, &mut Vec::new())?;
            } else {
                self.document(&mut document, old.columns().enumerate(), &mut attributes.old_json_null)?;
            }
            attributes.old = Some((if has_key { "oldKey" } else { "oldRow" }, document));
        }
        match attributes.is_empty() {
            true => out.null(),
            false => out.text_with(|out| attributes.write(out)),
        }
        Ok(())
    }

    /// Writes columns as an object; those left alone are left out. `json_null` is told which hold the JSON value null.
    fn document<'a>(
        &self,
        out: &mut BytesMut,
        columns: impl Iterator<Item = (usize, Value<'a>)>,
        json_null: &mut Vec<String>,
    ) -> Result<(), BadEvent> {
        let start = out.len();
        out.put_u8(b'{');
        let mut first = true;
        for (index, value) in columns {
            let Some(member) = self.columns.get(index) else {
                return Err(BadEvent::new("a row has more columns than its public schema"));
            };
            if value == Value::Unchanged {
                continue;
            }
            if !first {
                out.put_u8(b',');
            }
            first = false;
            out.put_slice(&member.label);
            let text = text_of(&member.kind, value).map_err(|_| {
                BadEvent::new(format!("column `{}` has a binary value without a text form", member.name))
            })?;
            match text {
                None => out.put_slice(b"null"),
                Some(text) if member.kind == Kind::Jsonb => {
                    let mut text = &*text;
                    if self.from_component {
                        // It stands inside of a document, which it must not break out of.
                        let raw: Option<&RawValue> = serde_json::from_slice(text).ok();
                        let raw = raw.map(|raw| raw.get().as_bytes()).filter(|raw| json::is_jsonb(raw));
                        text = raw.ok_or_else(|| {
                            BadEvent::new(format!("column `{}` holds no JSON that jsonb takes", member.name))
                        })?;
                    }
                    if text == b"null" {
                        json_null.push(member.name.clone());
                    }
                    // A string has no line breaks; between its parts a document may, where a component wrote it.
                    text.split(|byte| *byte < b' ').for_each(|piece| out.put_slice(piece));
                }
                Some(text) if self.from_component && memchr::memchr(0, &text).is_some() => {
                    return Err(BadEvent::new(format!("column `{}` holds a NUL, which no text has", member.name)));
                }
                Some(text) => value_of(out, &member.kind, &text),
            }
        }
        out.put_u8(b'}');
        // It bounds the sum of what stands in an object.
        match out.len() - start >= json::OBJECT_MAX {
            true => Err(BadEvent::new("its row does not fit into jsonb, which takes less than 256 MiB")),
            false => Ok(()),
        }
    }
}

fn value_of(out: &mut BytesMut, kind: &Kind, text: &[u8]) {
    match kind {
        Kind::Bool if text == b"t" => out.put_slice(b"true"),
        Kind::Bool if text == b"f" => out.put_slice(b"false"),
        Kind::Int16 | Kind::Int32 | Kind::Int64 if json::is_integer(text) => out.put_slice(text),
        Kind::Float32 | Kind::Float64 if json::is_float(text) => out.put_slice(text),
        _ => json::string(out, text),
    }
}

#[derive(Default)]
struct Attributes {
    json_null: Vec<String>,
    old: Option<(&'static str, BytesMut)>,
    old_json_null: Vec<String>,
}

impl Attributes {
    fn is_empty(&self) -> bool {
        self.json_null.is_empty() && self.old.is_none()
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u8(b'{');
        let mut separator = "";
        if let Some((name, document)) = &self.old {
            json::string(out, name.as_bytes());
            out.put_u8(b':');
            out.put_slice(document);
            separator = ",";
        }
        for (name, columns) in [("jsonNull", &self.json_null), ("oldJsonNull", &self.old_json_null)] {
            if columns.is_empty() {
                continue;
            }
            out.put_slice(separator.as_bytes());
            separator = ",";
            json::string(out, name.as_bytes());
            out.put_slice(b":[");
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    out.put_u8(b',');
                }
                json::string(out, column.as_bytes());
            }
            out.put_u8(b']');
        }
        out.put_u8(b'}');
    }
}

/// Reads the documents of events back into rows of a public schema: the one that they were made under, or a later one of
/// the same major version.
#[derive(Clone, Debug)]
pub(super) struct ObjectReader {
    columns: Vec<(String, Kind)>,
    key: Vec<usize>,
    /// ReJot wrote them.
    of_rejot: bool,
}

/// The documents of one event.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Documents<'a> {
    pub key: Option<&'a str>,
    pub object: Option<&'a str>,
    pub attributes: Option<&'a str>,
}

/// What an event's columns are, by the index of the public schema's column.
type Cells<'a> = Vec<Option<&'a RawValue>>;

impl ObjectReader {
    /// `written` is the public schema as it was when the events were made: it says how each value was written.
    pub(super) fn new(public: &PublicSchema, written: &PublicSchema) -> ObjectReader {
        let column = |column: &Column| {
            let then = written.columns.iter().find(|then| then.name == column.name);
            (column.name.to_string(), then.unwrap_or(column).kind.clone())
        };
        let of_rejot = rejot::is_of_rejot(written);
        ObjectReader { columns: public.columns.iter().map(column).collect(), key: public.key(), of_rejot }
    }

    /// Appends the row's values, and its former key where there is one. Returns true when there is one: it is the row
    /// behind that of the values.
    pub(super) fn read(&self, out: &mut TupleWriter, op: Op, documents: Documents<'_>) -> Result<bool, BadEvent> {
        let attributes = documents.attributes.map(serde_json::from_str::<Marks<'_>>).transpose();
        let attributes = attributes.map_err(|_| BadEvent::new("its attributes are no object"))?.unwrap_or_default();
        out.begin();
        if op == Op::Truncate {
            out.end();
            return Ok(false);
        }
        let from_key = op == Op::Delete && !self.key.is_empty();
        let document = if from_key { documents.key } else { documents.object };
        let document = document.ok_or_else(|| BadEvent::new("it has no values"))?;
        let cells = self.cells(document)?;
        // What an older version of the public schema did not have is NULL in a new row, and left alone otherwise. ReJot's rows
        // are whole, but for deletes; and of many it never published the insert.
        let whole = op == Op::Insert || (op == Op::Update && self.of_rejot);
        let absent = if whole { Value::Null } else { Value::Unchanged };
        for (index, cell) in cells.iter().enumerate() {
            self.cell(out, index, *cell, absent, &attributes.json_null)?;
        }
        out.end();
        let (old, json_null) = match (attributes.old_key, attributes.old_row) {
            (None, None) => return Ok(false),
            (Some(key), _) => (key, &[][..]),
            (None, Some(row)) => (row, &attributes.old_json_null[..]),
        };
        let cells = self.cells(old.get())?;
        out.begin();
        let all: Vec<usize> = (0..self.columns.len()).collect();
        for &index in if self.key.is_empty() { &all } else { &self.key } {
            self.cell(out, index, cells[index], Value::Unchanged, json_null)?;
        }
        out.end();
        Ok(true)
    }

    fn cells<'a>(&self, document: &'a str) -> Result<Cells<'a>, BadEvent> {
        let mut deserializer = serde_json::Deserializer::from_str(document);
        deserializer
            .deserialize_map(Members { columns: &self.columns })
            .map_err(|_| BadEvent::new("its values are no object"))
    }

    fn cell(
        &self,
        out: &mut TupleWriter,
        index: usize,
        cell: Option<&RawValue>,
        absent: Value<'_>,
        json_null: &[Cow<'_, str>],
    ) -> Result<(), BadEvent> {
        let Some(raw) = cell.map(RawValue::get) else {
            out.value(absent);
            return Ok(());
        };
        let (name, kind) = &self.columns[index];
        match (raw.as_bytes()[0], kind) {
            (b'n', Kind::Jsonb) if json_null.iter().any(|column| column == name) => out.text(b"null"),
            (b'n', _) => out.null(),
            (_, Kind::Jsonb) => out.text(raw.as_bytes()),
            // ReJot parsed json, too.
            (_, Kind::Json) if self.of_rejot => out.text(raw.as_bytes()),
            (b'"', _) => match raw[1..raw.len() - 1].contains('\\') {
                false => out.text(&raw.as_bytes()[1..raw.len() - 1]),
                true => {
                    let text: String = serde_json::from_str(raw).map_err(|_| BadEvent::new("a string is broken"))?;
                    out.text(text.as_bytes());
                }
            },
            (b't', _) => out.text(b"t"),
            (b'f', _) => out.text(b"f"),
            (b'{' | b'[', _) if self.of_rejot => out.text(rejot::text_of(kind, name, raw)?.as_bytes()),
            (b'{' | b'[', _) => {
                return Err(BadEvent::new(format!("column `{name}` holds a document, and is no jsonb")));
            }
            _ => out.text(raw.as_bytes()),
        }
        Ok(())
    }
}

/// What `attributes` may say.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Marks<'a> {
    #[serde(borrow)]
    old_key: Option<&'a RawValue>,
    #[serde(borrow)]
    old_row: Option<&'a RawValue>,
    #[serde(borrow)]
    json_null: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    old_json_null: Vec<Cow<'a, str>>,
}

/// Sorts an object's members by the columns that they are of; others are left out.
struct Members<'c> {
    columns: &'c [(String, Kind)],
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Cells<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cells<'de>, A::Error> {
        let mut cells = vec![None; self.columns.len()];
        while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            if let Some(index) = self.columns.iter().position(|(column, _)| *column == name.0) {
                cells[index] = Some(value);
            }
        }
        Ok(cells)
    }
}

/// A member's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests;
