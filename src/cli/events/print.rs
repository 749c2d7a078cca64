//! Events for people and for programs.

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::Format;
use crate::change::Op;
use crate::eventstore::{Event, Shape, Stream, rfc3339};

/// An event with what its store knows of it.
pub struct Columns<'a> {
    pub stream: &'a Stream,
    pub shape: Option<&'a Shape>,
    pub event: &'a Event,
}

/// Writes events, one a line.
pub struct Printer {
    to: Box<dyn Write + Send>,
    /// `None`: for people.
    format: Option<Format>,
    pub printed: u64,
}

impl Printer {
    pub fn new(to: Box<dyn Write + Send>, format: Option<Format>) -> Printer {
        Printer { to, format, printed: 0 }
    }

    /// Writes an event.
    ///
    /// # Errors
    /// It can't be written.
    pub fn print(&mut self, columns: &Columns<'_>) -> io::Result<()> {
        self.printed += 1;
        match self.format {
            None => self.for_people(columns),
            Some(Format::Json) => self.line(&Json(columns)),
            Some(Format::Debezium) => self.line(&Debezium(columns)),
            Some(Format::Cloudevents) => self.line(&CloudEvent(columns)),
        }
    }

    /// Hands on what was written.
    ///
    /// # Errors
    /// It can't be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn line(&mut self, event: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, event)?;
        self.to.write_all(b"\n")
    }

    fn for_people(&mut self, columns: &Columns<'_>) -> io::Result<()> {
        let Columns { stream, event, .. } = columns;
        let time = event.commit_time().map_or_else(|| "before".to_owned(), rfc3339);
        let what = event.object().or(event.key()).unwrap_or("");
        let (schema, major, op) = (&stream.public_schema, stream.major, columns.operation());
        writeln!(self.to, "{:24} {time:27} {schema}@{major} {op:8} {what}", event.position().to_string())
    }
}

impl Columns<'_> {
    fn operation(&self) -> &'static str {
        match self.event.op() {
            Ok(Op::Insert) => "insert",
            Ok(Op::Update) => "update",
            Ok(Op::Delete) => "delete",
            Ok(Op::Truncate) => "truncate",
            Err(_) => "unknown",
        }
    }

    fn version(&self) -> String {
        let minor = self.shape.map_or(0, |shape| shape.public.minor);
        format!("{}.{minor}", self.stream.major)
    }

    fn key(&self) -> Option<&RawValue> {
        raw(self.event.key())
    }

    fn object(&self) -> Option<&RawValue> {
        raw(self.event.object())
    }
}

/// Passes JSON on as the server printed it, so that no number is rounded.
fn raw(json: Option<&str>) -> Option<&RawValue> {
    serde_json::from_str(json?).ok()
}

struct Json<'a>(&'a Columns<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Columns { stream, shape, event } = self.0;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("position", &event.position().to_string())?;
        map.serialize_entry("manifest", &stream.manifest)?;
        map.serialize_entry("source", &stream.source)?;
        map.serialize_entry("publicSchema", &stream.public_schema)?;
        map.serialize_entry("version", &self.0.version())?;
        map.serialize_entry("operation", self.0.operation())?;
        map.serialize_entry("xid", &event.xid())?;
        map.serialize_entry("commitTime", &event.commit_time().map(rfc3339))?;
        map.serialize_entry("key", &self.0.key())?;
        map.serialize_entry("object", &self.0.object())?;
        map.serialize_entry("component", &shape.and_then(|shape| shape.component_digest.as_deref()))?;
        map.serialize_entry("attributes", &raw(event.attributes()))?;
        map.end()
    }
}

/// The envelope of Debezium's connector for PostgreSQL, without its schema
/// (<https://debezium.io/documentation/reference/stable/connectors/postgresql.html>).
struct Debezium<'a>(&'a Columns<'a>);

impl Serialize for Debezium<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Columns { stream, event, .. } = self.0;
        let copied = event.commit_time().is_none();
        let op = match event.op() {
            Ok(Op::Insert) if copied => "r",
            Ok(Op::Insert) => "c",
            Ok(Op::Update) => "u",
            Ok(Op::Delete) => "d",
            Ok(Op::Truncate) | Err(_) => "t",
        };
        let deleted = op == "d";
        let ms = event.commit_time().map(|micros| micros.div_euclid(1000));
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("before", &if deleted { self.0.object().or(self.0.key()) } else { None })?;
        map.serialize_entry("after", &if deleted { None } else { self.0.object() })?;
        map.serialize_entry(
            "source",
            &serde_json::json!({
                "connector": "pelton",
                "version": env!("CARGO_PKG_VERSION"),
                "name": stream.manifest,
                "db": stream.source,
                "schema": self.0.version(),
                "table": stream.public_schema,
                "ts_ms": ms,
                "snapshot": copied.to_string(),
                "txId": event.xid(),
                "lsn": event.position().commit_lsn.0,
                "position": event.position().to_string(),
            }),
        )?;
        map.serialize_entry("op", op)?;
        map.serialize_entry("ts_ms", &ms)?;
        map.end()
    }
}

/// A CloudEvent in JSON (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).
struct CloudEvent<'a>(&'a Columns<'a>);

impl Serialize for CloudEvent<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Columns { stream, event, .. } = self.0;
        let (manifest, schema, major) = (&stream.manifest, &stream.public_schema, stream.major);
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &format!("{schema}@{major}/{}", event.position()))?;
        map.serialize_entry("source", &format!("/{manifest}/{}", stream.source))?;
        map.serialize_entry("type", &format!("{schema}.v{major}.{}", self.0.operation()))?;
        if let Some(micros) = event.commit_time() {
            map.serialize_entry("time", &rfc3339(micros))?;
        }
        if let Some(key) = event.key() {
            map.serialize_entry("subject", key)?;
        }
        map.serialize_entry("datacontenttype", "application/json")?;
        map.serialize_entry("data", &self.0.object().or(self.0.key()))?;
        map.end()
    }
}
