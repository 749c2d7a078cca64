//! Events and shapes as lines of JSON: how a service tells another one what is in its event store.
//!
//! A line is one of
//!
//! ```text
//! {"type":"shape","schema":0,"id":3,"minorVersion":0,"columns":[…],"attrs":[…],"component":null}
//! {"type":"event","schema":0,"position":"1:0/16B3748:0","shape":3,"operation":"insert","xid":7,"commitTime":1,"key":…,"object":…,"attributes":…}
//! {"type":"end"}
//! {"type":"gone","error":"…","hint":"…"}
//! {"type":"error","error":"…"}
//! ```
//!
//! `schema` counts what was asked for, from 0. A shape comes before the first event that was made under it. `key`, `object`
//! and `attributes` are what the event store holds, to the byte, so that whoever reads them makes the same rows.

use std::io::Write;
use std::ops::Range;

use serde_json::value::RawValue;

use super::{BadEvent, Event, Position, Shape};
use crate::change::Op;

/// What a service tells.
pub enum Line {
    /// What the events of a stream look like from now on.
    Shape(Shape),
    Event(Event),
    /// Everything that there is has been told.
    End,
    /// Events that the reader has not read were removed: what happened, and what to do.
    Gone(String, Option<String>),
    /// The service can't go on.
    Error(String),
}

/// An event as a line tells it.
pub(super) struct EventLine {
    pub stream: i32,
    pub position: Position,
    pub shape: i32,
    pub op: Op,
    pub commit_time: Option<i64>,
    pub xid: i64,
    line: String,
    /// Where `key`, `object` and `attributes` stand in it.
    documents: [Option<Range<usize>>; 3],
}

impl EventLine {
    /// Returns `key`, `object` or `attributes`.
    pub fn document(&self, index: usize) -> Option<&str> {
        self.documents[index].clone().map(|range| &self.line[range])
    }
}

/// Any line, as it is written.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    r#type: Type,
    #[serde(default)]
    schema: usize,
    position: Option<&'a str>,
    shape: Option<i32>,
    operation: Option<&'a str>,
    #[serde(default)]
    xid: i64,
    commit_time: Option<i64>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    error: Option<String>,
    hint: Option<String>,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Shape,
    Event,
    End,
    Gone,
    Error,
}

/// What a stream that was asked for is: its id here, its name, its major version.
#[derive(Clone, Debug)]
pub struct Asked {
    pub id: i32,
    pub public_schema: String,
    pub major: u32,
}

/// Reads a line of an answer about `asked`.
///
/// # Errors
/// It is none.
pub fn read_line(line: String, asked: &[Asked]) -> Result<Line, BadEvent> {
    let bad = |what: &str| BadEvent(format!("a line of the service is not what it should be: {what}"));
    let written: Written<'_> = serde_json::from_str(&line).map_err(|_| bad("no JSON of that kind"))?;
    let of = asked.get(written.schema).ok_or_else(|| bad("it is about nothing that was asked for"));
    match written.r#type {
        Type::End => Ok(Line::End),
        Type::Gone => Ok(Line::Gone(written.error.unwrap_or_default(), written.hint)),
        Type::Error => Ok(Line::Error(written.error.unwrap_or_default())),
        Type::Shape => {
            let document = serde_json::from_str(&line).map_err(|_| bad("no JSON"))?;
            let of = of?;
            let shape = Shape::of_document(&document, of.id, &of.public_schema, of.major);
            shape.map(Line::Shape).ok_or_else(|| bad("no shape"))
        }
        Type::Event => {
            let stream = of?.id;
            let position = written.position.and_then(|text| text.parse().ok()).ok_or_else(|| bad("no position"))?;
            let shape = written.shape.ok_or_else(|| bad("no shape"))?;
            let op = match written.operation {
                Some("insert") => Op::Insert,
                Some("update") => Op::Update,
                Some("delete") => Op::Delete,
                Some("truncate") => Op::Truncate,
                _ => return Err(bad("an unknown operation")),
            };
            let (commit_time, xid) = (written.commit_time, written.xid);
            let start = line.as_ptr() as usize;
            let range = |raw: Option<&RawValue>| {
                let text = raw?.get();
                let from = text.as_ptr() as usize - start;
                Some(from..from + text.len())
            };
            let documents = [range(written.key), range(written.object), range(written.attributes)];
            Ok(Line::Event(Event::of_line(EventLine {
                stream,
                position,
                shape,
                op,
                commit_time,
                xid,
                line,
                documents,
            })))
        }
    }
}

/// Appends an event's line, `schema` being the place of its stream in what was asked for.
///
/// # Errors
/// A later version wrote it.
pub fn write_event(out: &mut Vec<u8>, schema: usize, event: &Event) -> Result<(), BadEvent> {
    let op = op_name(event.op()?);
    let (position, shape, xid) = (event.position(), event.shape(), event.xid());
    let said = "writing to a Vec never fails";
    write!(
        out,
        "{{\"type\":\"event\",\"schema\":{schema},\"position\":\"{position}\",\"shape\":{shape},\"operation\":\"{op}\",\"xid\":{xid}"
    )
    .expect(said);
    if let Some(time) = event.commit_time() {
        write!(out, ",\"commitTime\":{time}").expect(said);
    }
    for (name, document) in [("key", event.key()), ("object", event.object()), ("attributes", event.attributes())] {
        if let Some(document) = document {
            write!(out, ",\"{name}\":{document}").expect(said);
        }
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Appends a shape's line.
pub fn write_shape(out: &mut Vec<u8>, schema: usize, shape: &Shape) {
    let mut document = shape.document();
    let map = document.as_object_mut().expect("a shape is an object");
    map.insert("type".to_owned(), "shape".into());
    map.insert("schema".to_owned(), schema.into());
    out.extend_from_slice(document.to_string().as_bytes());
    out.push(b'\n');
}

/// Appends the line that says that there is no more.
pub fn write_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"end\"}\n");
}

/// Appends the line that says that events have been removed which were to be told.
pub fn write_gone(out: &mut Vec<u8>, error: &str, hint: &str) {
    let line = serde_json::json!({ "type": "gone", "error": error, "hint": hint });
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
}

/// Appends the line that says why there is no more.
pub fn write_error(out: &mut Vec<u8>, error: &str) {
    let line = serde_json::json!({ "type": "error", "error": error });
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
}

/// Returns an operation as events name it.
pub fn op_name(op: Op) -> &'static str {
    match op {
        Op::Insert => "insert",
        Op::Update => "update",
        Op::Delete => "delete",
        Op::Truncate => "truncate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Column, Kind, PublicSchema};

    fn asked() -> Vec<Asked> {
        vec![Asked { id: 7, public_schema: "orders".to_owned(), major: 1 }]
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        for documents in [
            r#","key":{"id": 1},"object":{"id": 1, "é\n\"": [null, 1e400, 12345678901234567890.10]}"#,
            r#","attributes":{"jsonNull": ["a"]}"#,
            "",
        ] {
            let text = format!(
                "{{\"type\":\"event\",\"schema\":0,\"position\":\"2:1/FF:7\",\"shape\":3,\"operation\":\"update\",\"xid\":9,\"commitTime\":-5{documents}}}"
            );
            let Ok(Line::Event(event)) = read_line(text.clone(), &asked()) else { panic!("{text}") };
            assert_eq!((event.stream(), event.position().to_string()), (7, "2:1/FF:7".to_owned()));
            let mut again = Vec::new();
            write_event(&mut again, 0, &event).unwrap();
            let text = text + "\n";
            assert_eq!(String::from_utf8(again).unwrap(), text);
        }
    }

    #[test]
    fn a_shape_is_read_as_it_was_written() {
        let column = Column {
            name: "é\"x".into(),
            kind: Kind::Array("text".into()),
            type_oid: 0,
            type_modifier: 655_366,
            nullable: false,
            key: true,
            attrs: vec![("b".to_owned(), "1".to_owned())],
        };
        let public =
            PublicSchema { name: "orders".into(), major: 1, minor: 4, columns: vec![column], attrs: Vec::new() };
        let shape = Shape { id: 3, stream: 7, public, component_digest: Some("ab".to_owned()) };
        let mut line = Vec::new();
        write_shape(&mut line, 0, &shape);
        let Ok(Line::Shape(read)) = read_line(String::from_utf8(line).unwrap(), &asked()) else { panic!() };
        assert_eq!(read, shape);
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for text in [
            "",
            "x",
            "{}",
            "[]",
            r#"{"type":"what"}"#,
            r#"{"type":"event"}"#,
            r#"{"type":"event","schema":1,"position":"1:0/1:0","shape":1,"operation":"insert"}"#,
            r#"{"type":"event","schema":0,"position":"x","shape":1,"operation":"insert"}"#,
            r#"{"type":"event","schema":0,"position":"1:0/1:0","shape":1,"operation":"upsert"}"#,
            r#"{"type":"event","schema":0,"position":"1:0/1:0","operation":"insert"}"#,
            r#"{"type":"shape","schema":0}"#,
            r#"{"type":"event","schema":-1}"#,
        ] {
            assert!(read_line(text.to_owned(), &asked()).is_err(), "{text}");
        }
        assert!(matches!(read_line(r#"{"type":"end"}"#.to_owned(), &[]), Ok(Line::End)));
    }
}
