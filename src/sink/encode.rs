//! Values as bytes for the server: COPY's text format, elements of a `text[]`, parameters.
//!
//! A value is Postgres's own text and passes through as it is. What comes in binary form is bytea, and the few other
//! kinds whose binary form is plain; those are written as the text that stands for them.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::Write as _;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

use crate::change::{Kind, Value};

/// A binary value of a kind that has no text form here.
#[derive(Debug, PartialEq, Eq)]
pub struct NotText;

/// Returns a value as text, `None` for NULL. `Unchanged` is NULL here: the planner sends no such column.
///
/// # Errors
/// The value is in binary form, and of a kind whose binary form is not plain.
pub fn text<'a>(kind: &Kind, value: Value<'a>) -> Result<Option<Cow<'a, [u8]>>, NotText> {
    match value {
        Value::Null | Value::Unchanged => Ok(None),
        Value::Text(bytes) => Ok(Some(Cow::Borrowed(bytes))),
        Value::Binary(bytes) => text_of_binary(kind, bytes).map(Some),
    }
}

/// Writes the text of a value in a type's send format.
fn text_of_binary<'a>(kind: &Kind, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, NotText> {
    fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], NotText> {
        bytes.try_into().map_err(|_| NotText)
    }
    let mut out = Vec::new();
    let integer = |n: i64| Ok(Cow::Owned(itoa::Buffer::new().format(n).as_bytes().to_vec()));
    match kind {
        Kind::Text | Kind::Json | Kind::Enumeration => return Ok(Cow::Borrowed(bytes)),
        // Version 1 is the only one there is.
        Kind::Jsonb => return bytes.strip_prefix(&[1]).map(Cow::Borrowed).ok_or(NotText),
        Kind::Bool => return Ok(Cow::Borrowed(if fixed::<1>(bytes)? == [0] { b"f" } else { b"t" })),
        Kind::Int16 => return integer(i16::from_be_bytes(fixed(bytes)?).into()),
        Kind::Int32 => return integer(i32::from_be_bytes(fixed(bytes)?).into()),
        Kind::Int64 => return integer(i64::from_be_bytes(fixed(bytes)?)),
        // The shortest text that reads back as the same float, as Postgres prints it.
        Kind::Float32 => {
            float(&mut out, f32::from_be_bytes(fixed(bytes)?).into(), |f, out| write!(out, "{:e}", f as f32))
        }
        Kind::Float64 => float(&mut out, f64::from_be_bytes(fixed(bytes)?), |f, out| write!(out, "{f:e}")),
        Kind::Bytea => {
            out.resize(2 + 2 * bytes.len(), 0);
            out[..2].copy_from_slice(b"\\x");
            hex::encode_to_slice(bytes, &mut out[2..]).expect("two digits a byte");
        }
        Kind::Uuid => {
            let mut digits = [0; 32];
            hex::encode_to_slice(fixed::<16>(bytes)?, &mut digits).expect("two digits a byte");
            for (i, part) in [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().enumerate() {
                if i > 0 {
                    out.push(b'-');
                }
                out.extend_from_slice(&digits[part]);
            }
        }
        _ => return Err(NotText),
    }
    Ok(Cow::Owned(out))
}

fn float(out: &mut Vec<u8>, value: f64, finite: impl FnOnce(f64, &mut Vec<u8>) -> std::io::Result<()>) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else {
        finite(value, out).expect("a Vec takes all");
    }
}

/// Appends a column of COPY's text format, without the separator behind it.
pub(super) fn copy(out: &mut BytesMut, kind: &Kind, value: Value<'_>) -> Result<(), NotText> {
    match text(kind, value)? {
        None => out.put_slice(b"\\N"),
        Some(text) => escape(out, &text),
    }
    Ok(())
}

/// What COPY's text format needs a backslash for: itself, the separators, and the carriage return, which would pass
/// for another line ending. `\.`, the end of data, can't arise once backslashes are doubled.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    table[b'\\' as usize] = b'\\';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table
};

fn escape(out: &mut BytesMut, mut text: &[u8]) {
    // Most values hold none of them. Long ones are searched by vector instructions, 64 bytes is where that pays.
    let next = |text: &[u8]| {
        if text.len() < 64 {
            return text.iter().position(|&b| ESCAPES[usize::from(b)] != 0);
        }
        let first = memchr::memchr3(b'\\', b'\n', b'\t', text);
        memchr::memchr(b'\r', &text[..first.unwrap_or(text.len())]).or(first)
    };
    while let Some(at) = next(text) {
        out.put_slice(&text[..at]);
        out.put_slice(&[b'\\', ESCAPES[usize::from(text[at])]]);
        text = &text[at + 1..];
    }
    out.put_slice(text);
}

/// A parameter of a statement. Its debug form, which tokio-postgres logs, holds no value.
pub(super) enum Param<'a> {
    /// One value, as text whatever its type: Postgres reads it by the type's own input function.
    Text(Option<Cow<'a, [u8]>>),
    /// A bytea as it is.
    Bytea(&'a [u8]),
    /// One column of many rows.
    Array(TextArray),
}

impl fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Param<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Param::Text(text) => text.as_ref().map_or(0, |text| text.len()),
            Param::Bytea(bytes) => bytes.len(),
            Param::Array(array) => array.elements.len(),
        }
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Param::Text(None) => return Ok(IsNull::Yes),
            Param::Text(Some(text)) => out.put_slice(text),
            Param::Bytea(bytes) => out.put_slice(bytes),
            Param::Array(array) => array.write(out),
        }
        Ok(IsNull::No)
    }

    // The statements are ours, their types are whatever the destination's columns are.
    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self {
            Param::Text(_) => Format::Text,
            Param::Bytea(_) | Param::Array(_) => Format::Binary,
        }
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A `text[]` in binary form: no quoting, and the server takes its elements as they are.
#[derive(Default)]
pub(super) struct TextArray {
    elements: Vec<u8>,
    count: i32,
    has_null: bool,
}

impl TextArray {
    /// Appends an element and returns its size in bytes.
    pub(super) fn push(&mut self, kind: &Kind, value: Value<'_>) -> Result<usize, NotText> {
        let before = self.elements.len();
        match text(kind, value)? {
            None => {
                self.elements.extend_from_slice(&(-1i32).to_be_bytes());
                self.has_null = true;
            }
            Some(text) => {
                self.elements.extend_from_slice(&(text.len() as u32).to_be_bytes());
                self.elements.extend_from_slice(&text);
            }
        }
        self.count += 1;
        Ok(self.elements.len() - before)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_i32(1);
        out.put_i32(self.has_null.into());
        out.put_u32(Type::TEXT.oid());
        out.put_i32(self.count);
        out.put_i32(1);
        out.put_slice(&self.elements);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_escapes_what_would_end_a_column_or_a_row() {
        let check = |value: &[u8], expected: &[u8]| {
            for padding in [0, 100] {
                let padding = vec![b'x'; padding];
                let mut out = BytesMut::new();
                copy(&mut out, &Kind::Text, Value::Text(&[value, &padding].concat())).unwrap();
                assert_eq!(out, [expected, &padding].concat());
            }
        };
        check(b"plain", b"plain");
        check(b"a\tb\nc\rd\\", b"a\\tb\\nc\\rd\\\\");
        check(b"\\.", b"\\\\.");
        check(b"\\N", b"\\\\N");
        check(b"\r\n", b"\\r\\n");
        check("é\u{2028}".as_bytes(), "é\u{2028}".as_bytes());
        let mut out = BytesMut::new();
        copy(&mut out, &Kind::Text, Value::Null).unwrap();
        assert_eq!(&out[..], b"\\N");
    }

    #[test]
    fn binary_values_become_the_text_that_stands_for_them() {
        let check = |kind: Kind, bytes: &[u8], expected: &str| {
            let text = text(&kind, Value::Binary(bytes)).unwrap().unwrap();
            assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
        };
        check(Kind::Int64, &i64::MIN.to_be_bytes(), "-9223372036854775808");
        check(Kind::Int16, &(-2i16).to_be_bytes(), "-2");
        check(Kind::Float32, &0.1f32.to_be_bytes(), "1e-1");
        check(Kind::Float64, &f64::NEG_INFINITY.to_be_bytes(), "-Infinity");
        check(Kind::Bytea, &[0, 0xff], "\\x00ff");
        check(Kind::Uuid, &[0xa0; 16], "a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0");
        check(Kind::Jsonb, b"\x01{}", "{}");
        check(Kind::Bool, &[1], "t");
        for (kind, bytes) in [(Kind::Int32, &[0][..]), (Kind::Jsonb, b"\x02{}"), (Kind::Numeric, b"x")] {
            assert_eq!(text(&kind, Value::Binary(bytes)), Err(NotText));
        }
    }
}
