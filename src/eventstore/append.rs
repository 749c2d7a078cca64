//! From a transform's rows to rows of `rejot_events.event`, which the sink writes like those of any table.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use super::object::ObjectWriter;
use super::{BadEvent, Position, SCHEMA, Stream};
use crate::change::{Column, Kind, Op, Phase, PublicSchema, Row, Span, TupleWriter, timestamptz};
use crate::lsn::Lsn;
use crate::sink::TableTarget;

/// A change of a source may give rise to this many rows of one stream.
const ROWS_A_CHANGE: u64 = 1 << 20;

/// Returns the table of events, as the sink takes it.
pub fn events_table() -> TableTarget {
    let column = |&(name, ref kind): &(&str, Kind)| Column {
        name: name.into(),
        kind: kind.clone(),
        type_oid: 0,
        type_modifier: -1,
        nullable: true,
        key: false,
        attrs: Vec::new(),
    };
    let columns = [
        ("stream_id", Kind::Int32),
        ("epoch", Kind::Int32),
        ("commit_lsn", Kind::Other("pg_lsn".into())),
        ("ordinal", Kind::Int64),
        ("segment", Kind::Int32),
        ("shape_id", Kind::Int32),
        ("operation", Kind::Text),
        ("xid", Kind::Int64),
        ("commit_time", Kind::Timestamptz),
        ("key", Kind::Text),
        ("object", Kind::Text),
        ("attributes", Kind::Text),
    ];
    let columns = columns.iter().map(column).collect();
    TableTarget {
        schema: SCHEMA.to_owned(),
        table: "event".to_owned(),
        create_table: false,
        public: PublicSchema { name: "events".into(), major: 1, minor: 0, columns, attrs: Vec::new() },
        exact: false,
    }
}

/// Makes events of the rows of one stream, in the order of their source.
#[derive(Debug)]
pub struct Appender {
    stream: i32,
    shape: i32,
    segment: Arc<AtomicI32>,
    writer: ObjectWriter,
    last: Position,
    /// What the events of a transaction have in common, as text.
    printed: Printed,
}

#[derive(Debug, Default)]
struct Printed {
    commit_lsn: (Lsn, String),
    commit_time: (i64, String),
}

impl Printed {
    fn commit_lsn(&mut self, lsn: Lsn) -> &[u8] {
        if self.commit_lsn.0 != lsn || self.commit_lsn.1.is_empty() {
            self.commit_lsn = (lsn, lsn.to_string());
        }
        self.commit_lsn.1.as_bytes()
    }

    fn commit_time(&mut self, micros: i64) -> &[u8] {
        if self.commit_time.0 != micros || self.commit_time.1.is_empty() {
            self.commit_time = (micros, timestamptz(micros));
        }
        self.commit_time.1.as_bytes()
    }
}

/// Where rows come from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub spans: &'a [Span],
    /// The boundary between transactions at which rows enter that existed before they were published.
    pub boundary: Lsn,
    pub epoch: i32,
}

impl Appender {
    /// Goes on behind the last event of the stream. Whoever keeps `segment` true says where events are appended to.
    pub fn new(stream: &Stream, public: &PublicSchema, segment: Arc<AtomicI32>) -> Appender {
        let writer = ObjectWriter::new(public, stream.from_component);
        Appender {
            stream: stream.id,
            shape: stream.shape,
            segment,
            writer,
            last: stream.last,
            printed: Printed::default(),
        }
    }

    /// Returns the id of the stream.
    pub fn stream(&self) -> i32 {
        self.stream
    }

    /// Makes the event of a row. Rows come in the order of their sources.
    ///
    /// # Errors
    /// The row has no text form, or its position would not be behind the last one: then the stream would be read wrongly,
    /// so nothing is appended.
    pub fn event(&mut self, out: &mut TupleWriter, row: &Row, origin: &Origin<'_>) -> Result<(), BadEvent> {
        let spans = origin.spans;
        let span = &spans[spans.partition_point(|span| span.first <= row.source).saturating_sub(1)];
        let live = span.phase != Phase::Backfill;
        let position = if live {
            let change = span.first_in_transaction + u64::from(row.source - span.first);
            self.next(origin.epoch, span.commit_lsn, Some(change * ROWS_A_CHANGE))?
        } else {
            self.next(origin.epoch, Lsn(origin.boundary.0.saturating_sub(1)), None)?
        };
        let time = (live && span.commit_time != 0).then_some(span.commit_time);
        self.write(out, row, position, if live { span.xid } else { 0 }, time)
    }

    /// Makes the event that says that all rows of the stream are gone, since they come anew in another epoch.
    ///
    /// # Errors
    /// The epoch is not a later one.
    pub fn begin_anew(&mut self, out: &mut TupleWriter, row: &Row, epoch: i32, boundary: Lsn) -> Result<(), BadEvent> {
        debug_assert_eq!(row.op, Op::Truncate);
        let position = self.next(epoch, Lsn(boundary.0.saturating_sub(1)), None)?;
        self.write(out, row, position, 0, None)
    }

    /// Returns the position of the next event: the first of a change's, `of_change`, or the one behind the last of the same
    /// change. Without a change, what is at hand is no part of any transaction: it follows whatever there is already, for a
    /// stream that restarts may be behind what this one has.
    fn next(&mut self, epoch: i32, commit_lsn: Lsn, of_change: Option<u64>) -> Result<Position, BadEvent> {
        let mut next = Position { epoch, commit_lsn, ordinal: of_change.unwrap_or(0) as i64 };
        if next <= self.last
            && (next.is_same_transaction(&self.last) || of_change.is_none())
            && epoch == self.last.epoch
        {
            next = Position { ordinal: self.last.ordinal + 1, ..self.last };
        }
        let of_this_change = of_change.is_none_or(|first| (next.ordinal as u64) < first + ROWS_A_CHANGE);
        if next <= self.last || !of_this_change {
            let last = self.last;
            return Err(BadEvent(format!("an event at {next} would follow one at {last} in stream {}", self.stream)));
        }
        self.last = next;
        Ok(next)
    }

    fn write(
        &mut self,
        out: &mut TupleWriter,
        row: &Row,
        position: Position,
        xid: u32,
        commit_time: Option<i64>,
    ) -> Result<(), BadEvent> {
        let mut number = itoa::Buffer::new();
        out.begin();
        out.text(number.format(self.stream).as_bytes());
        out.text(number.format(position.epoch).as_bytes());
        out.text(self.printed.commit_lsn(position.commit_lsn));
        out.text(number.format(position.ordinal).as_bytes());
        out.text(number.format(self.segment.load(Relaxed)).as_bytes());
        out.text(number.format(self.shape).as_bytes());
        out.text(match row.op {
            Op::Insert => b"insert",
            Op::Update => b"update",
            Op::Delete => b"delete",
            Op::Truncate => b"truncate",
        });
        out.text(number.format(xid).as_bytes());
        match commit_time {
            None => out.null(),
            Some(micros) => out.text(self.printed.commit_time(micros)),
        }
        self.writer.write(out, row)?;
        out.end();
        Ok(())
    }
}

/// Prints microseconds since 1970-01-01 UTC as RFC 3339 has it.
pub fn rfc3339(micros: i64) -> String {
    timestamptz(micros).replace(' ', "T").replace("+00", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Tuple, Value};

    fn appender(last: Position) -> Appender {
        let public = PublicSchema { name: "s".into(), major: 1, minor: 0, columns: Vec::new(), attrs: Vec::new() };
        let stream = Stream { id: 7, major: 1, shape: 3, last, ..Stream::default() };
        Appender::new(&stream, &public, Arc::new(AtomicI32::new(1)))
    }

    fn span(phase: Phase, commit_lsn: u64, first: u32, first_in_transaction: u64) -> Span {
        Span {
            xid: 9,
            epoch: 1,
            commit_lsn: Lsn(commit_lsn),
            end_lsn: Lsn(commit_lsn + 8),
            commit_time: 1,
            phase,
            first,
            count: 10,
            first_in_transaction,
            complete: true,
        }
    }

    fn row(source: u32) -> Row {
        let mut writer = TupleWriter::default();
        writer.begin();
        writer.end();
        let values: Tuple = writer.finish().remove(0);
        Row { public_schema: 0, op: Op::Insert, source, values, old_key: None }
    }

    fn positions(appender: &mut Appender, origin: &Origin<'_>, sources: &[u32]) -> Result<Vec<String>, BadEvent> {
        let mut writer = TupleWriter::default();
        for &source in sources {
            appender.event(&mut writer, &row(source), origin)?;
        }
        let text = |tuple: &Tuple, index| match tuple.get(index) {
            Some(Value::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
            other => format!("{other:?}"),
        };
        Ok(writer.finish().iter().map(|t| format!("{}:{}:{}", text(t, 1), text(t, 2), text(t, 3))).collect())
    }

    #[test]
    fn positions_only_grow() {
        let mut appender = appender(Position::START);
        let spans = [span(Phase::Live, 0x100, 0, 0), span(Phase::Live, 0x200, 10, 5)];
        let origin = Origin { spans: &spans, boundary: Lsn(0x300), epoch: 1 };
        let change = ROWS_A_CHANGE;
        let expected = [
            "1:0/100:0".to_owned(),
            "1:0/100:1".to_owned(),
            format!("1:0/100:{}", 2 * change),
            format!("1:0/200:{}", 6 * change),
        ];
        assert_eq!(positions(&mut appender, &origin, &[0, 0, 2, 11]).unwrap(), expected);
        // The same batch again would be a mistake of ours, and so would a change that comes too late.
        assert!(positions(&mut appender, &origin, &[2]).is_err());
        assert!(positions(&mut appender, &origin, &[10]).is_err());
        // What existed before enters at a boundary, before the transaction that may begin right there.
        let copied = [span(Phase::Backfill, 0, 0, 0)];
        let copied = Origin { spans: &copied, ..origin };
        assert_eq!(positions(&mut appender, &copied, &[0, 1]).unwrap(), ["1:0/2FF:0", "1:0/2FF:1"]);
        assert_eq!(positions(&mut appender, &copied, &[0]).unwrap(), ["1:0/2FF:2"]);
        let later = [span(Phase::Live, 0x300, 0, 0)];
        let later = Origin { spans: &later, ..origin };
        assert_eq!(positions(&mut appender, &later, &[0]).unwrap(), ["1:0/300:0"]);
        // After a restart it goes on behind what the store has, also where the stream has not come so far yet.
        for (last, expected) in [(0x2ff, "1:0/2FF:3"), (0x400, "1:0/400:3")] {
            let last = Position { epoch: 1, commit_lsn: Lsn(last), ordinal: 2 };
            let mut again = super::tests::appender(last);
            assert_eq!(positions(&mut again, &copied, &[0]).unwrap(), [expected]);
        }
        // Nothing of an earlier epoch follows a later one.
        let mut later = super::tests::appender(Position { epoch: 2, ..Position::START });
        assert!(positions(&mut later, &copied, &[0]).is_err());
    }
}
