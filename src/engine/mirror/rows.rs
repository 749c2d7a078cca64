//! Events in COPY's binary format: read, with their ids changed, and handed on as they are.
//!
//! The format is that of the manual's page on COPY, "Binary Format". Nothing of an event but its ids and its position is
//! looked at.

use bytes::{Buf, BufMut, BytesMut};

use crate::change::Position;
use crate::eventstore::Adopted;
use crate::lsn::Lsn;

/// The columns, in this order: [`Rows`] looks at the first six, the eighth and the ninth.
pub const COLUMNS: &str = "stream_id, shape_id, segment, epoch, commit_lsn, ordinal, operation, xid, commit_time, key, \
                           object, attributes";
/// The same, of an event store of any version: documents were jsonb once, whose binary form is another.
pub const AS_TEXT: &str = "stream_id, shape_id, segment, epoch, commit_lsn, ordinal, operation, xid, commit_time, key::text, \
                           object::text, attributes::text";
const FIELDS: i16 = 12;
const XID: usize = 7;
const COMMIT_TIME: usize = 8;

/// What every file in this format begins with: the signature, no flags, no extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub const TRAILER: &[u8] = &(-1i16).to_be_bytes();

/// Microseconds from 1970-01-01 to 2000-01-01, where Postgres's timestamps begin.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Whoever sends it speaks of another version of events, or of streams that nobody told of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRow(&'static str);

/// An event among the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowInfo {
    /// The stream's id where it goes to.
    pub stream: i32,
    pub position: Position,
    /// It belongs to no transaction.
    pub copied: bool,
    /// Microseconds since 1970-01-01 UTC.
    pub commit_time: Option<i64>,
}

/// What has come and is not yet taken.
#[derive(Debug, Default)]
pub struct Rows {
    bytes: BytesMut,
    begun: bool,
    ended: bool,
}

impl Rows {
    /// Takes what has come.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns true once everything has come.
    pub fn is_whole(&self) -> bool {
        self.ended && self.bytes.is_empty()
    }

    /// Appends the next event to `out` under the ids that it has where it goes to; `None` when it has not come whole.
    ///
    /// # Errors
    /// It is no event as this version knows them.
    pub fn next(&mut self, out: &mut BytesMut, adopted: &Adopted, segment: i32) -> Result<Option<RowInfo>, BadRow> {
        if !self.begun {
            if self.bytes.len() < HEADER.len() {
                return Ok(None);
            }
            if self.bytes[..HEADER.len()] != *HEADER {
                return Err(BadRow("what the event store sends is no binary COPY"));
            }
            self.bytes.advance(HEADER.len());
            self.begun = true;
        }
        let Some(count) = int16(&self.bytes, 0) else { return Ok(None) };
        if count == -1 {
            self.bytes.advance(2);
            self.ended = true;
            return Ok(None);
        }
        if count != FIELDS || self.ended {
            return Err(BadRow("an event has another number of columns"));
        }
        let mut fields = [(0usize, 0i32); FIELDS as usize];
        let mut at = 2;
        for field in &mut fields {
            let Some(length) = int32(&self.bytes, at) else { return Ok(None) };
            if length < -1 {
                return Err(BadRow("a column of an event has no length"));
            }
            *field = (at + 4, length);
            at += 4 + usize::try_from(length.max(0)).unwrap_or(0);
        }
        if self.bytes.len() < at {
            return Ok(None);
        }
        let widths = [4, 4, 4, 4, 8, 8];
        if fields.iter().zip(widths).any(|(&(_, length), width)| length != width) || fields[XID].1 != 8 {
            return Err(BadRow("an event's position has another form"));
        }
        let row = &self.bytes[..at];
        let int4 = |field: usize| int32(row, fields[field].0).unwrap_or(0);
        let int8 = |field: usize| int64(row, fields[field].0);
        let stream = adopted.streams.get(&int4(0)).ok_or(BadRow("an event is of a stream that nobody told of"))?.id;
        let shape = *adopted.shapes.get(&int4(1)).ok_or(BadRow("an event is of a shape that nobody told of"))?;
        let segment = if int4(2) == 0 { 0 } else { segment };
        let position = Position { epoch: int4(3), commit_lsn: Lsn(int8(4) as u64), ordinal: int8(5) };
        let commit_time = (fields[COMMIT_TIME].1 == 8).then(|| int8(COMMIT_TIME).saturating_add(EPOCH_MICROS));
        let copied = int8(XID) == 0 && commit_time.is_none();
        out.put_i16(FIELDS);
        for id in [stream, shape, segment] {
            out.put_i32(4);
            out.put_i32(id);
        }
        out.extend_from_slice(&row[fields[3].0 - 4..]);
        self.bytes.advance(at);
        Ok(Some(RowInfo { stream, position, copied, commit_time }))
    }
}

fn int16(bytes: &[u8], at: usize) -> Option<i16> {
    bytes.get(at..at + 2).map(|bytes| i16::from_be_bytes([bytes[0], bytes[1]]))
}

fn int32(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn int64(bytes: &[u8], at: usize) -> i64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventstore::Mirrored;

    fn row(stream: i32, segment: i32, lsn: u64, commit_time: Option<i64>) -> Vec<u8> {
        let mut row = FIELDS.to_be_bytes().to_vec();
        let mut field = |bytes: Option<&[u8]>| {
            row.extend(bytes.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
            row.extend(bytes.unwrap_or_default());
        };
        [stream, 5, segment, 1].iter().for_each(|id| field(Some(&id.to_be_bytes())));
        field(Some(&lsn.to_be_bytes()));
        field(Some(&7i64.to_be_bytes()));
        field(Some(b"insert"));
        field(Some(&0i64.to_be_bytes()));
        field(commit_time.map(i64::to_be_bytes).as_ref().map(|bytes| &bytes[..]));
        field(Some(b"\x01{}"));
        field(None);
        field(None);
        row
    }

    fn adopted() -> Adopted {
        let mirrored = Mirrored { id: 70, after: Position::START };
        Adopted { streams: [(7, mirrored)].into(), shapes: [(5, 50)].into() }
    }

    #[test]
    fn events_keep_all_but_their_ids_however_they_are_cut() {
        let all = [HEADER, &row(7, 3, 16, None), &row(7, 0, 17, Some(1)), TRAILER].concat();
        for piece in 1..all.len() {
            let (mut rows, mut out, mut infos) = (Rows::default(), BytesMut::new(), Vec::new());
            for bytes in all.chunks(piece) {
                rows.put(bytes);
                while let Some(info) = rows.next(&mut out, &adopted(), 9).unwrap() {
                    infos.push(info);
                }
            }
            assert!(rows.is_whole());
            let info = |lsn, copied, commit_time| {
                let position = Position { epoch: 1, commit_lsn: Lsn(lsn), ordinal: 7 };
                RowInfo { stream: 70, position, copied, commit_time }
            };
            assert_eq!(infos, [info(16, true, None), info(17, false, Some(EPOCH_MICROS + 1))]);
            let mut expected = [row(70, 9, 16, None), row(70, 0, 17, Some(1))].concat();
            for at in 0..expected.len() - 3 {
                if expected[at..at + 4] == 5i32.to_be_bytes() {
                    expected[at..at + 4].copy_from_slice(&50i32.to_be_bytes());
                }
            }
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let refused = |bytes: &[u8]| {
            let mut rows = Rows::default();
            rows.put(bytes);
            rows.next(&mut BytesMut::new(), &adopted(), 9).is_err()
        };
        assert!(refused(&[b'x'; 19]));
        assert!(refused(&[HEADER, &[0, 3]].concat()));
        assert!(refused(&[HEADER, &row(8, 1, 1, None)].concat()));
        // A length that is no length.
        let mut bad = [HEADER, &row(7, 1, 1, None)].concat();
        bad[19 + 2..19 + 6].copy_from_slice(&i32::MIN.to_be_bytes());
        assert!(refused(&bad));
    }
}
