//! A row as the bytes that pgoutput sends for it, read lazily.
//!
//! The format is TupleData of the manual's "Logical Replication Message Formats": an int16 with the number of columns,
//! then for each a byte, `n` (NULL), `u` (unchanged TOASTed value), `t` (text) or `b` (the type's binary send format),
//! the last two with an int32 length and the bytes. Backfill and transforms write the same format, so that everything
//! behind the decoder has one shape of row.

use bytes::{BufMut, Bytes, BytesMut};

/// One column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    /// A TOASTed value that an update left alone, or a column of the old row that the replica identity did not send.
    /// It is never NULL: to write it is to leave the column alone.
    Unchanged,
    /// Postgres's text output under the pinned session settings.
    Text(&'a [u8]),
    /// The type's binary send format.
    Binary(&'a [u8]),
}

/// A row that is not what its own lengths say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row data ends too early or holds an unknown column format")]
pub struct BadTuple;

/// A row: TupleData, checked once when it is made, so that reading it can't fail.
#[derive(Clone, PartialEq, Eq)]
pub struct Tuple(Bytes);

impl Tuple {
    /// Checks the row at the start of `data` and takes its bytes from there, without a copy.
    ///
    /// `data` is left behind the row.
    ///
    /// # Errors
    /// [`BadTuple`] when `data` ends inside the row, when a length is negative, or a column has an unknown format.
    pub fn take(data: &mut Bytes) -> Result<Tuple, BadTuple> {
        let length = check(data)?;
        Ok(Tuple(data.split_to(length)))
    }

    /// Returns the number of columns.
    pub fn len(&self) -> usize {
        usize::from(u16::from_be_bytes([self.0[0], self.0[1]]))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Iterates over the columns.
    pub fn columns(&self) -> Columns<'_> {
        Columns { rest: &self.0[2..] }
    }

    /// Returns the column at `index`, walking over those before it.
    pub fn get(&self, index: usize) -> Option<Value<'_>> {
        self.columns().nth(index)
    }

    /// Returns the bytes, count included.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Returns the row in bytes of its own: the buffer that it was read into is let go.
    pub fn detached(&self) -> Tuple {
        Tuple(Bytes::copy_from_slice(&self.0))
    }
}

impl std::fmt::Debug for Tuple {
    /// Prints the shape alone: row values stay out of logs and errors.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tuple({} columns, {} bytes)", self.len(), self.0.len())
    }
}

fn check(data: &[u8]) -> Result<usize, BadTuple> {
    let count = u16::from_be_bytes(data.get(..2).ok_or(BadTuple)?.try_into().expect("two bytes"));
    // The manual has an int16; more than 1,600 columns do not fit into a table.
    if count > i16::MAX as u16 {
        return Err(BadTuple);
    }
    let mut at = 2;
    for _ in 0..count {
        match data.get(at).ok_or(BadTuple)? {
            b'n' | b'u' => at += 1,
            b't' | b'b' => {
                let length = data.get(at + 1..at + 5).ok_or(BadTuple)?;
                let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
                let length = usize::try_from(length).map_err(|_| BadTuple)?;
                at += 5 + length;
                if at > data.len() {
                    return Err(BadTuple);
                }
            }
            _ => return Err(BadTuple),
        }
    }
    Ok(at)
}

/// The columns of a [`Tuple`], in order.
#[derive(Clone)]
pub struct Columns<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Columns<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        let (&format, rest) = self.rest.split_first()?;
        match format {
            b'n' => {
                self.rest = rest;
                Some(Value::Null)
            }
            b'u' => {
                self.rest = rest;
                Some(Value::Unchanged)
            }
            _ => {
                // `check` has seen the length and the bytes.
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let (value, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
                self.rest = rest;
                Some(if format == b't' { Value::Text(value) } else { Value::Binary(value) })
            }
        }
    }
}

/// Writes rows one behind another into one buffer; each [`Tuple`] is a slice of it.
///
/// Write a row with [`begin`](TupleWriter::begin), one call a column, and [`end`](TupleWriter::end);
/// [`finish`](TupleWriter::finish) hands over all rows at once, since a slice can be taken only of a frozen buffer.
#[derive(Default)]
pub struct TupleWriter {
    buffer: BytesMut,
    ends: Vec<usize>,
    start: usize,
    columns: u16,
}

impl TupleWriter {
    pub fn with_capacity(bytes: usize, rows: usize) -> TupleWriter {
        TupleWriter { buffer: BytesMut::with_capacity(bytes), ends: Vec::with_capacity(rows), ..TupleWriter::default() }
    }

    /// Starts a row. What was written of a row that did not end is dropped.
    pub fn begin(&mut self) {
        self.start = self.ends.last().copied().unwrap_or(0);
        self.buffer.truncate(self.start);
        self.buffer.put_u16(0);
        self.columns = 0;
    }

    pub fn null(&mut self) {
        self.buffer.put_u8(b'n');
        self.columns += 1;
    }

    pub fn unchanged(&mut self) {
        self.buffer.put_u8(b'u');
        self.columns += 1;
    }

    pub fn text(&mut self, value: &[u8]) {
        self.sized(b't', value);
    }

    pub fn binary(&mut self, value: &[u8]) {
        self.sized(b'b', value);
    }

    /// Writes a text value piece by piece: `write` appends it to the buffer.
    pub fn text_with(&mut self, write: impl FnOnce(&mut BytesMut)) {
        self.buffer.put_u8(b't');
        let at = self.buffer.len();
        self.buffer.put_u32(0);
        write(&mut self.buffer);
        let length = (self.buffer.len() - at - 4) as u32;
        self.buffer[at..at + 4].copy_from_slice(&length.to_be_bytes());
        self.columns += 1;
    }

    /// Copies a column as it is.
    pub fn value(&mut self, value: Value<'_>) {
        match value {
            Value::Null => self.null(),
            Value::Unchanged => self.unchanged(),
            Value::Text(bytes) => self.text(bytes),
            Value::Binary(bytes) => self.binary(bytes),
        }
    }

    fn sized(&mut self, format: u8, value: &[u8]) {
        self.buffer.put_u8(format);
        self.buffer.put_u32(value.len() as u32);
        self.buffer.put_slice(value);
        self.columns += 1;
    }

    /// Ends the row and returns its index.
    pub fn end(&mut self) -> usize {
        let start = self.start;
        self.buffer[start..start + 2].copy_from_slice(&self.columns.to_be_bytes());
        self.ends.push(self.buffer.len());
        self.ends.len() - 1
    }

    /// Returns the size of what was written, in bytes.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the number of rows that ended.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Returns the rows in the order in which they ended.
    pub fn finish(mut self) -> Vec<Tuple> {
        self.buffer.truncate(self.ends.last().copied().unwrap_or(0));
        let mut rest = self.buffer.freeze();
        let mut start = 0;
        let split = |end: usize| {
            let tuple = Tuple(rest.split_to(end - start));
            start = end;
            tuple
        };
        self.ends.into_iter().map(split).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_written() {
        let mut writer = TupleWriter::default();
        writer.begin();
        writer.null();
        writer.text(b"half a row");
        writer.begin();
        writer.text(b"a");
        writer.null();
        writer.unchanged();
        writer.text_with(|b| b.put_slice(b"piece"));
        writer.end();
        writer.begin();
        writer.binary(&[0, 1]);
        writer.end();
        let rows = writer.finish();
        let expected = [Value::Text(b"a"), Value::Null, Value::Unchanged, Value::Text(b"piece")];
        assert_eq!(rows[0].columns().collect::<Vec<_>>(), expected);
        assert_eq!(rows[0].get(3), Some(Value::Text(b"piece")));
        assert_eq!(rows[1].columns().collect::<Vec<_>>(), [Value::Binary(&[0, 1])]);
        let mut bytes = Bytes::from([&rows[0].as_bytes()[..], b"behind"].concat());
        assert_eq!(Tuple::take(&mut bytes).unwrap(), rows[0]);
        assert_eq!(&bytes[..], b"behind");
    }

    #[test]
    fn a_row_cut_anywhere_is_an_error() {
        let mut writer = TupleWriter::default();
        writer.begin();
        writer.text(b"abc");
        writer.null();
        writer.end();
        let whole = writer.finish().remove(0).0;
        for length in 0..whole.len() {
            assert_eq!(Tuple::take(&mut whole.slice(..length)), Err(BadTuple), "cut at {length}");
        }
        for bad in [&b"\0\x01x"[..], b"\0\x01t\xff\xff\xff\xff", b"\xff\xff"] {
            assert_eq!(Tuple::take(&mut Bytes::from_static(bad)), Err(BadTuple));
        }
    }
}
