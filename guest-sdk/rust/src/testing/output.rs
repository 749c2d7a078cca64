//! What a transform published, to be looked at.

use std::fmt;

use crate::error::{Error, Result};
use crate::log::Line;
use crate::model::Op;
use crate::msgpack::{Raw, Reader};
use crate::public::PublicSchema;
use crate::source::malformed;
use crate::transform::{self, Rejection};

/// What came of a batch. Printed, it is one line a row.
#[derive(Clone, Debug)]
pub struct Output {
    pub rows: Vec<PublicRow>,
    /// By the index of the change since the last run.
    pub rejected: Vec<Rejection>,
    pub logs: Vec<Line>,
    /// How often the host was asked for values of the state: once, where all was read ahead.
    pub state_reads: usize,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// A public row.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicRow {
    /// The index of its public schema.
    pub index: usize,
    pub schema: &'static str,
    pub op: Op,
    /// The index of the change that it came from, since the last run.
    pub source: u32,
    pub columns: Vec<(&'static str, Value)>,
    pub old_key: Option<Vec<Value>>,
}

/// A column's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Unchanged,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Raw<'_>> for Value {
    fn from(raw: Raw<'_>) -> Value {
        match raw {
            Raw::Null => Value::Null,
            Raw::Unchanged => Value::Unchanged,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Int(value) => Value::Int(value),
            Raw::Float(value) => Value::Float(value),
            Raw::Text(value) => Value::Text(value.to_owned()),
            Raw::Bytes(value) => Value::Bytes(value.to_vec()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Unchanged => f.write_str("unchanged"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value}"),
            Value::Text(value) => write!(f, "{value:?}"),
            Value::Bytes(value) => {
                f.write_str("\\x")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Display for PublicRow {
    /// `update people from (1) id=3 name="ANN"`; of a delete the key alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.op, self.schema)?;
        if let Some(key) = &self.old_key {
            let key: Vec<_> = key.iter().map(Value::to_string).collect();
            write!(f, " from ({})", key.join(", "))?;
        }
        let hidden = |value: &Value| self.op == Op::Delete && *value == Value::Unchanged;
        let mut shown = self.columns.iter().filter(|(_, value)| !hidden(value));
        shown.try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// Reads a transform's output as the host does, `sources` being the changes of its batch.
pub fn read(schemas: &[&'static PublicSchema], output: &transform::Output, sources: &[u32]) -> Result<Vec<PublicRow>> {
    let mut reader = Reader::new(&output.payload);
    let count = reader.array().map_err(malformed)?;
    assert_eq!(count, output.count, "the rows are as many as the output says");
    (0..count).map(|_| row(schemas, &mut reader, sources)).collect()
}

fn row(schemas: &[&'static PublicSchema], reader: &mut Reader<'_>, sources: &[u32]) -> Result<PublicRow> {
    let values = |reader: &mut Reader<'_>| -> Result<Option<Vec<Value>>> {
        let Some(count) = reader.array_or_nil().map_err(malformed)? else { return Ok(None) };
        (0..count).map(|_| reader.value().map(Value::from).map_err(malformed)).collect::<Result<_>>().map(Some)
    };
    reader.array().map_err(malformed)?;
    let index = reader.index().map_err(malformed)? as usize;
    let op = reader.index().map_err(malformed)?;
    let op = Op::of(op).ok_or_else(|| Error::fatal("an unknown operation in the output"))?;
    let source = sources[reader.index().map_err(malformed)? as usize];
    let schema = schemas[index];
    let columns: Vec<_> = schema.columns.iter().map(|c| c.name).zip(values(reader)?.unwrap_or_default()).collect();
    let old_key = values(reader)?;
    if let (Op::Insert, Some((column, _))) = (op, columns.iter().find(|(_, value)| *value == Value::Unchanged)) {
        return Err(Error::fatal(format_args!(
            "column `{column}` of public schema `{}` is unchanged in an insert: there is nothing to leave as it is",
            schema.name
        )));
    }
    Ok(PublicRow { index, schema: schema.name, op, source, columns, old_key })
}
