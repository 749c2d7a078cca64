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
mod tests {
    use super::*;
    use crate::change::Tuple;

    fn public(columns: &[(&str, Kind, bool)]) -> PublicSchema {
        let column = |(name, kind, key): &(&str, Kind, bool)| Column {
            name: (*name).into(),
            kind: kind.clone(),
            type_oid: 0,
            type_modifier: -1,
            nullable: true,
            key: *key,
            attrs: Vec::new(),
        };
        let columns = columns.iter().map(column).collect();
        PublicSchema { name: "s".into(), major: 1, minor: 0, columns, attrs: Vec::new() }
    }

    fn tuple(values: &[Value<'_>]) -> Tuple {
        let mut writer = TupleWriter::default();
        writer.begin();
        values.iter().for_each(|value| writer.value(*value));
        writer.end();
        writer.finish().remove(0)
    }

    /// Writes a row's documents and returns them.
    fn written(public: &PublicSchema, row: &Row) -> [Option<String>; 3] {
        let mut writer = TupleWriter::default();
        writer.begin();
        ObjectWriter::new(public, true).write(&mut writer, row).unwrap();
        writer.end();
        let event = writer.finish().remove(0);
        let text = |index: usize| match event.get(index).unwrap() {
            Value::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
            _ => None,
        };
        [text(0), text(1), text(2)]
    }

    fn read(public: &PublicSchema, op: Op, documents: &[Option<String>; 3]) -> (Tuple, Option<Tuple>) {
        let mut writer = TupleWriter::default();
        let [key, object, attributes] = documents.each_ref().map(Option::as_deref);
        let has_old =
            ObjectReader::new(public, public).read(&mut writer, op, Documents { key, object, attributes }).unwrap();
        let mut rows = writer.finish().into_iter();
        let values = rows.next().unwrap();
        let old = rows.next();
        assert_eq!(old.is_some(), has_old);
        (values, old)
    }

    #[test]
    fn rows_are_read_back_as_they_were() {
        use Value::{Null, Text, Unchanged};
        let kinds =
            [Kind::Int64, Kind::Text, Kind::Bool, Kind::Float64, Kind::Jsonb, Kind::Json, Kind::Numeric, Kind::Bytea];
        let names = ["id", "te\"xt", "b", "f", "jb", "j", "n", "raw"];
        let columns: Vec<_> =
            names.iter().zip(&kinds).map(|(name, kind)| (*name, kind.clone(), *name == "id")).collect();
        let public = public(&columns);
        let rows: [&[Value<'_>]; 5] = [
            &[
                Text(b"1"),
                Text(b"a\"\\\n\x01\xc3\xa9"),
                Text(b"t"),
                Text(b"1.5e-07"),
                Text(b"{\"a\": [1, null]}"),
                Text(b"{\"a\" : 1.50}"),
                Text(b"1.50"),
                Text(b"\\x00ff"),
            ],
            &[
                Text(b"-9223372036854775808"),
                Text(b""),
                Text(b"f"),
                Text(b"-0"),
                Text(b"null"),
                Text(b"null"),
                Text(b"NaN"),
                Null,
            ],
            &[Text(b"2"), Null, Null, Text(b"Infinity"), Null, Null, Null, Null],
            &[Text(b"3"), Text(b"null"), Null, Text(b"NaN"), Text(b"\"text\""), Text(b"[ ]"), Text(b"0"), Text(b"\\x")],
            &[Text(b"4"), Text(b"{}"), Null, Text(b"-1"), Text(b"true"), Text(b"\"x\""), Text(b"1e3"), Null],
        ];
        for values in rows {
            for op in [Op::Insert, Op::Update] {
                let row = Row { public_schema: 0, op, source: 0, values: tuple(values), old_key: None };
                assert_eq!(read(&public, op, &written(&public, &row)), (row.values, None));
            }
        }
        let values = tuple(&[Text(b"5"), Unchanged, Text(b"t"), Unchanged, Unchanged, Unchanged, Unchanged, Null]);
        let row = Row { public_schema: 0, op: Op::Update, source: 0, values, old_key: Some(tuple(&[Text(b"4")])) };
        let documents = written(&public, &row);
        assert_eq!(documents[0].as_deref(), Some("{\"id\":5}"));
        assert_eq!(documents[1].as_deref(), Some("{\"id\":5,\"b\":true,\"raw\":null}"));
        assert_eq!(documents[2].as_deref(), Some("{\"oldKey\":{\"id\":4}}"));
        assert_eq!(read(&public, Op::Update, &documents), (row.values, row.old_key));
        let deleted = [Text(b"5"), Unchanged, Unchanged, Unchanged, Unchanged, Unchanged, Unchanged, Unchanged];
        let row = Row { public_schema: 0, op: Op::Delete, source: 0, values: tuple(&deleted), old_key: None };
        let documents = written(&public, &row);
        assert_eq!(documents, [Some("{\"id\":5}".to_owned()), None, None]);
        assert_eq!(read(&public, Op::Delete, &documents), (row.values, None));
    }

    #[test]
    fn without_a_key_the_former_row_is_kept() {
        use Value::{Null, Text};
        let public = public(&[("a", Kind::Jsonb, false), ("b", Kind::Text, false)]);
        let old = tuple(&[Text(b"null"), Null]);
        let row =
            Row { public_schema: 0, op: Op::Update, source: 0, values: tuple(&[Null, Text(b"x")]), old_key: Some(old) };
        let documents = written(&public, &row);
        assert_eq!(documents[2].as_deref(), Some("{\"oldRow\":{\"a\":null,\"b\":null},\"oldJsonNull\":[\"a\"]}"));
        assert_eq!(read(&public, Op::Update, &documents), (row.values, row.old_key));
        let gone =
            Row { public_schema: 0, op: Op::Delete, source: 0, values: tuple(&[Text(b"1"), Null]), old_key: None };
        assert_eq!(read(&public, Op::Delete, &written(&public, &gone)), (gone.values, None));
    }

    #[test]
    fn a_later_minor_version_reads_older_events() {
        let later = public(&[("id", Kind::Int32, true), ("added", Kind::Text, false)]);
        let documents = [Some("{\"id\":1}".to_owned()), Some("{\"id\":1,\"gone\":2}".to_owned()), None];
        assert_eq!(read(&later, Op::Insert, &documents).0, tuple(&[Value::Text(b"1"), Value::Null]));
        assert_eq!(read(&later, Op::Update, &documents).0, tuple(&[Value::Text(b"1"), Value::Unchanged]));
    }

    #[test]
    fn a_column_that_became_jsonb_is_read_as_it_was_written() {
        let before = public(&[("id", Kind::Int32, true), ("doc", Kind::Text, false)]);
        let after = public(&[("id", Kind::Int32, true), ("doc", Kind::Jsonb, false)]);
        let values = tuple(&[Value::Text(b"1"), Value::Text(b"{\"a\": 1}")]);
        let row = Row { public_schema: 0, op: Op::Insert, source: 0, values, old_key: None };
        for (then, now) in [(&before, &after), (&after, &before)] {
            let [key, object, attributes] = written(then, &row);
            let documents =
                Documents { key: key.as_deref(), object: object.as_deref(), attributes: attributes.as_deref() };
            let mut writer = TupleWriter::default();
            ObjectReader::new(now, then).read(&mut writer, Op::Insert, documents).unwrap();
            assert_eq!(writer.finish().remove(0), row.values);
        }
    }

    #[test]
    fn what_a_component_calls_json_must_be_json() {
        let public = public(&[("id", Kind::Int32, true), ("doc", Kind::Jsonb, false)]);
        let with = |doc: &[u8]| Row {
            public_schema: 0,
            op: Op::Insert,
            source: 0,
            values: tuple(&[Value::Text(b"1"), Value::Text(doc)]),
            old_key: None,
        };
        let null = written(&public, &with(b" null\n"));
        assert_eq!(null[2].as_deref(), Some("{\"jsonNull\":[\"doc\"]}"));
        let lines = written(&public, &with(b"{\n\t\"a\": 1,\r\n \"b\": 2}"));
        assert_eq!(lines[1].as_deref(), Some("{\"id\":1,\"doc\":{\"a\": 1, \"b\": 2}}"));
        for doc in [&b"1,\"id\":5"[..], b"", b"{", b"nul", b"\"\\u0000\"", b"\"\\ud800\""] {
            let mut writer = TupleWriter::default();
            writer.begin();
            assert!(ObjectWriter::new(&public, true).write(&mut writer, &with(doc)).is_err());
        }
        let text = super::tests::public(&[("id", Kind::Text, true)]);
        let row = Row { values: tuple(&[Value::Text(b"a\0b")]), ..with(b"1") };
        let mut writer = TupleWriter::default();
        writer.begin();
        assert!(ObjectWriter::new(&text, true).write(&mut writer, &row).is_err());
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        let public = public(&[("id", Kind::Int32, true)]);
        let fails = |op, object: Option<&str>, attributes: Option<&str>| {
            let mut writer = TupleWriter::default();
            let documents = Documents { key: None, object, attributes };
            assert!(
                ObjectReader::new(&public, &public).read(&mut writer, op, documents).is_err(),
                "{object:?} {attributes:?}"
            );
        };
        fails(Op::Insert, None, None);
        fails(Op::Delete, Some("{}"), None);
        fails(Op::Insert, Some("[1]"), None);
        fails(Op::Insert, Some("{\"id\":[1]}"), None);
        fails(Op::Insert, Some("{\"id\":1}"), Some("1"));
        fails(Op::Update, Some("{\"id\":1}"), Some("{\"oldKey\":1}"));
    }
}
