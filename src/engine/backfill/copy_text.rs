//! COPY's text format, as far as COPY TO writes it.
//!
//! One line a row, columns between tabs, NULL as `\N`. In values a backslash begins an escape: of the control characters
//! that the format itself uses, or of itself. A newline or a tab outside of an escape is always a separator.

use bytes::BufMut;
use memchr::{memchr, memchr_iter};

use crate::change::TupleWriter;

/// A line that is not what COPY TO writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadLine;

/// Writes the row of `line` (without its newline), which must have `columns` columns.
pub(super) fn write_row(line: &[u8], columns: usize, row: &mut TupleWriter) -> Result<(), BadLine> {
    row.begin();
    if columns == 0 {
        row.end();
        return if line.is_empty() { Ok(()) } else { Err(BadLine) };
    }
    // Most rows have no escapes; then the values are what stands between the tabs.
    let escapes = memchr(b'\\', line).is_some();
    let mut start = 0;
    let mut written = 0;
    for end in memchr_iter(b'\t', line).chain(std::iter::once(line.len())) {
        let value = &line[start..end];
        start = end + 1;
        written += 1;
        if !escapes {
            row.text(value);
        } else if value == b"\\N" {
            row.null();
        } else if memchr(b'\\', value).is_none() {
            row.text(value);
        } else {
            let mut unescaped = Ok(());
            row.text_with(|out| unescaped = unescape(value, out));
            unescaped?;
        }
    }
    if written != columns {
        return Err(BadLine);
    }
    row.end();
    Ok(())
}

fn unescape(mut value: &[u8], out: &mut impl BufMut) -> Result<(), BadLine> {
    while let Some(at) = memchr(b'\\', value) {
        out.put_slice(&value[..at]);
        out.put_u8(match value.get(at + 1).ok_or(BadLine)? {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'\\' => b'\\',
            _ => return Err(BadLine),
        });
        value = &value[at + 2..];
    }
    out.put_slice(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Value;

    fn check(line: &[u8], expected: &[Option<&[u8]>]) {
        let mut writer = TupleWriter::default();
        write_row(line, expected.len(), &mut writer).unwrap();
        let rows = writer.finish();
        let values: Vec<Option<&[u8]>> = rows[0]
            .columns()
            .map(|value| match value {
                Value::Text(text) => Some(text),
                _ => None,
            })
            .collect();
        assert_eq!(values, expected);
    }

    #[test]
    fn reads_what_copy_writes() {
        check(b"1\ttwo\t", &[Some(b"1"), Some(b"two"), Some(b"")]);
        check(b"\\N\t\\\\N\t\\\\", &[None, Some(b"\\N"), Some(b"\\")]);
        check(b"a\\tb\\nc\\rd\\be\\ff\\vg\\\\h", &[Some(b"a\tb\nc\rd\x08e\x0cf\x0bg\\h")]);
        check(b"", &[Some(b"")]);
        check(b"", &[]);
    }

    #[test]
    fn refuses_what_copy_does_not_write() {
        for (line, columns) in [(&b"1\t2"[..], 1), (b"1", 2), (b"\\", 1), (b"\\x41", 1), (b"a\\", 1), (b"1", 0)] {
            assert_eq!(write_row(line, columns, &mut TupleWriter::default()), Err(BadLine));
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let line: Vec<u8> = (0..rng.usize(..12)).map(|_| *rng.choice(b"\\\tNnx1\n\0\xff").unwrap()).collect();
            let _ = write_row(&line, rng.usize(..4), &mut TupleWriter::default());
        }
    }
}
