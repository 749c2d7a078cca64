//! What a guest returned, checked and turned into rows.
//!
//! Not a byte is trusted: the readers ([`msgpack`], [`json`]) yield items or say where the payload is broken, and
//! [`Rows`] holds each item against the public schema before it writes Postgres's text of it into the tuple. Both are
//! linear in the payload, recurse nowhere and never quote a value.

mod item;
mod json;
mod msgpack;
mod rows;
#[cfg(test)]
mod tests;
mod typed;

use std::fmt;

pub(super) use item::Item;
pub(super) use rows::{Rows, Schemas};
pub(super) use typed::read_typed;

use super::Encoding;
use crate::change::Row;

/// Where in a guest's result something is wrong, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFault {
    /// `name major.minor`
    pub public_schema: Option<String>,
    /// Index of the row in the result.
    pub row: Option<usize>,
    pub column: Option<String>,
    pub what: String,
}

impl OutputFault {
    pub(super) fn new(what: impl Into<String>) -> OutputFault {
        OutputFault { public_schema: None, row: None, column: None, what: what.into() }
    }
}

impl fmt::Display for OutputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(row) = self.row {
            write!(f, "row {row}")?;
            if let Some(schema) = &self.public_schema {
                write!(f, " of public schema `{schema}`")?;
            }
            if let Some(column) = &self.column {
                write!(f, ", column `{column}`")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}

/// An array that is being read.
pub(super) struct Array {
    /// Items still to come, where the format counts them.
    left: usize,
    /// Nothing was read of it yet.
    fresh: bool,
}

/// Reads a packed encoding, item by item.
trait Read<'a> {
    /// Reads the beginning of an array, `None` for nil.
    fn array(&mut self) -> Result<Option<Array>, String>;
    /// Returns whether another item of the array follows; reads its end when none does.
    fn more(&mut self, array: &mut Array) -> Result<bool, String>;
    /// Reads a value. An array or map that is no value is an [`Item::Other`], and reading ends there.
    fn item(&mut self) -> Result<Item<'a>, String>;
    /// Checks that nothing is left.
    fn end(&mut self) -> Result<(), String>;
}

/// Reads a packed payload: an array of `[public schema, op, source, [values], [old key] | nil]`.
///
/// `sources` gives, for each change that the guest was handed, its index in the batch; `count` is how many rows the
/// guest says that it returned.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn read_packed(
    encoding: Encoding,
    payload: &[u8],
    count: u32,
    schemas: &Schemas,
    sources: &[u32],
) -> Result<Vec<Row>, OutputFault> {
    let mut rows = Rows::new(schemas, sources, encoding == Encoding::Json, payload.len());
    let result = match encoding {
        Encoding::MessagePack => read_rows(msgpack::Reader::new(payload), &mut rows),
        Encoding::Json => match str::from_utf8(payload) {
            Ok(text) => read_rows(json::Reader::new(text), &mut rows),
            Err(error) => Err(format!("the payload is not UTF-8 from byte {} on", error.valid_up_to())),
        },
        Encoding::Typed => Err("a packed result of a typed transform".to_owned()),
    };
    match result {
        Ok(()) if rows.len() != count as usize => {
            Err(OutputFault::new(format!("it counts {count} rows, and the payload has {}", rows.len())))
        }
        Ok(()) => Ok(rows.finish()),
        Err(what) => Err(rows.fault(what)),
    }
}

fn read_rows<'a>(mut r: impl Read<'a>, rows: &mut Rows<'_>) -> Result<(), String> {
    let mut all = r.array()?.ok_or("the payload is nil where an array of rows should be")?;
    while r.more(&mut all)? {
        let mut row = r.array()?.ok_or("a row is nil")?;
        let mut head = [0; 3];
        for (field, name) in head.iter_mut().zip(["public schema", "op", "source"]) {
            if !r.more(&mut row)? {
                return Err(format!("a row has no {name}"));
            }
            *field = match r.item()? {
                Item::Int(value) => u32::try_from(value).map_err(|_| format!("a row's {name} is out of range"))?,
                other => return Err(format!("a row's {name} should be an integer, and is {other}")),
            };
        }
        rows.begin(head[0], head[1], head[2])?;
        if !r.more(&mut row)? {
            return Err("the row has no values".to_owned());
        }
        let mut values = r.array()?.ok_or("the values are nil where an array should be")?;
        while r.more(&mut values)? {
            rows.value(r.item()?)?;
        }
        rows.end_values()?;
        if !r.more(&mut row)? {
            return Err("the row has no old key, not even nil".to_owned());
        }
        if let Some(mut key) = r.array()? {
            rows.begin_old_key()?;
            while r.more(&mut key)? {
                rows.value(r.item()?)?;
            }
            rows.end_old_key()?;
        }
        if r.more(&mut row)? {
            return Err("the row has more than five items".to_owned());
        }
        rows.end();
    }
    r.end()
}
