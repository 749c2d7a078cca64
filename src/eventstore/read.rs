//! Reading streams: their events in the order of their source, from where each reader is.

use std::error::Error;
use std::pin::Pin;

use futures_util::TryStreamExt;
use hashbrown::HashMap;
use tokio_postgres::types::{FromSql, PgLsn, ToSql, Type, accepts};
use tokio_postgres::{Client, Row, RowStream, Statement};

use super::line::EventLine;
use super::object::{Documents, ObjectReader};
use super::stream::position;
use super::{BadEvent, Position, query};
use crate::change::{Op, PublicSchema, TupleWriter};
use crate::datastore::DataStoreError;

/// Microseconds from 1970-01-01 to 2000-01-01, where Postgres's timestamps begin.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A stream, and the position behind which it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub stream: i32,
    pub after: Position,
}

/// One event, as the server or a service sent it.
pub struct Event(Sent);

enum Sent {
    Row(Row),
    Line(EventLine),
}

impl Event {
    pub(super) fn of_line(line: EventLine) -> Event {
        Event(Sent::Line(line))
    }

    /// Returns its stream's id.
    pub fn stream(&self) -> i32 {
        match &self.0 {
            Sent::Row(row) => row.get(0),
            Sent::Line(line) => line.stream,
        }
    }

    /// Returns where it lies in its stream.
    pub fn position(&self) -> Position {
        match &self.0 {
            Sent::Row(row) => position(row, 1),
            Sent::Line(line) => line.position,
        }
    }

    /// Returns the id of the shape that it was made under.
    pub fn shape(&self) -> i32 {
        match &self.0 {
            Sent::Row(row) => row.get(4),
            Sent::Line(line) => line.shape,
        }
    }

    /// Microseconds since 1970-01-01 UTC; `None` for rows that existed before they were published.
    pub fn commit_time(&self) -> Option<i64> {
        match &self.0 {
            Sent::Row(row) => row.get::<_, Option<Micros>>(6).map(|Micros(micros)| micros),
            Sent::Line(line) => line.commit_time,
        }
    }

    /// It belongs to no transaction: the row existed before it was published, or the stream begins anew.
    pub fn is_copied(&self) -> bool {
        self.xid() == 0 && self.commit_time().is_none()
    }

    /// 0 for rows that existed before they were published.
    pub fn xid(&self) -> i64 {
        match &self.0 {
            Sent::Row(row) => row.get(10),
            Sent::Line(line) => line.xid,
        }
    }

    /// The columns of its key, as JSON.
    pub fn key(&self) -> Option<&str> {
        self.document(0)
    }

    /// Its columns, as JSON.
    pub fn object(&self) -> Option<&str> {
        self.document(1)
    }

    /// What `rejot_events.event.attributes` holds, as JSON.
    pub fn attributes(&self) -> Option<&str> {
        self.document(2)
    }

    /// Returns what it takes in memory, roughly.
    pub fn bytes(&self) -> usize {
        (0..3).map(|index| self.document(index).map_or(0, str::len)).sum::<usize>() + 64
    }

    /// Returns what happened to the row.
    ///
    /// # Errors
    /// A later version wrote it.
    pub fn op(&self) -> Result<Op, BadEvent> {
        let row = match &self.0 {
            Sent::Row(row) => row,
            Sent::Line(line) => return Ok(line.op),
        };
        match row.get::<_, &str>(5) {
            "insert" => Ok(Op::Insert),
            "update" => Ok(Op::Update),
            "delete" => Ok(Op::Delete),
            "truncate" => Ok(Op::Truncate),
            _ => Err(BadEvent("its operation is unknown".to_owned())),
        }
    }

    fn document(&self, index: usize) -> Option<&str> {
        match &self.0 {
            Sent::Row(row) => row.get(7 + index),
            Sent::Line(line) => line.document(index),
        }
    }
}

/// A `timestamptz`, in microseconds since 1970-01-01 UTC.
struct Micros(i64);

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Micros, Box<dyn Error + Sync + Send>> {
        let since_2000 = i64::from_be_bytes(raw.try_into()?);
        Ok(Micros(since_2000.saturating_add(EPOCH_MICROS)))
    }

    accepts!(TIMESTAMPTZ);
}

/// Makes rows of a public schema of the events of its stream.
#[derive(Clone, Debug)]
pub struct Reading {
    reader: ObjectReader,
}

impl Reading {
    /// Of events that were made under `written`, rows of `public`.
    pub fn new(public: &PublicSchema, written: &PublicSchema) -> Reading {
        Reading { reader: ObjectReader::new(public, written) }
    }

    /// Appends an event's row, and behind it its former key where there is one, which is what is returned.
    ///
    /// # Errors
    /// It is no event of that public schema.
    pub fn read(&self, out: &mut TupleWriter, event: &Event) -> Result<bool, BadEvent> {
        let documents = Documents { key: event.key(), object: event.object(), attributes: event.attributes() };
        self.reader.read(out, event.op()?, documents)
    }
}

/// Begins to read events, all of them as one snapshot shows them. The index gives them in order, which the planner, before it
/// has seen statistics, takes to be dearer than to sort all that is left of a stream for each page. A plan that can't do
/// without what is off costs so much that it would be compiled, which takes longer than any page.
///
/// The lock comes before the snapshot, for it takes none: a segment that goes is waited for by those who might see its events
/// only, and not what they were merged into.
pub const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     LOCK TABLE ONLY rejot_events.event IN ACCESS SHARE MODE; SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off";

/// Reads the events of several streams over one session, page by page.
pub struct Events {
    /// Prepared for so many streams.
    statements: HashMap<usize, Statement>,
}

/// Returns a reader of events.
pub fn events() -> Events {
    Events { statements: HashMap::new() }
}

/// The events of one page, as they come.
pub struct Page(Pin<Box<RowStream>>);

impl Page {
    /// Returns the next one.
    ///
    /// # Errors
    /// What the server says.
    pub async fn next(&mut self) -> Result<Option<Event>, DataStoreError> {
        let row = self.0.try_next().await.map_err(query("read events"))?;
        Ok(row.map(|row| Event(Sent::Row(row))))
    }
}

impl Events {
    /// Reads up to `limit` events of all of `wanted`, by position, in a transaction that [`BEGIN_READING`] began. So every transaction of a
    /// source is there with all its events, or not at all, but for what lies behind the limit.
    ///
    /// # Errors
    /// What the server says.
    pub async fn page(&mut self, client: &Client, wanted: &[Wanted], limit: i64) -> Result<Page, DataStoreError> {
        let statement = match self.statements.get(&wanted.len()) {
            Some(statement) => statement.clone(),
            None => {
                let statement = client.prepare(&sql(wanted.len())).await.map_err(query("prepare to read events"))?;
                self.statements.insert(wanted.len(), statement.clone());
                statement
            }
        };
        let lsns: Vec<PgLsn> = wanted.iter().map(|wanted| PgLsn::from(wanted.after.commit_lsn.0)).collect();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&limit];
        for (wanted, lsn) in wanted.iter().zip(&lsns) {
            parameters.extend([&wanted.stream as &(dyn ToSql + Sync), &wanted.after.epoch, lsn, &wanted.after.ordinal]);
        }
        let rows = client.query_raw(&statement, parameters).await.map_err(query("read events"))?;
        Ok(Page(Box::pin(rows)))
    }
}

/// Returns the statement for so many streams: the index gives each in order, and they are merged.
fn sql(streams: usize) -> String {
    let one = |index: usize| {
        let first = 2 + 4 * index;
        format!(
            "(SELECT stream_id, epoch, commit_lsn, ordinal, shape_id, operation, commit_time, key, object, attributes, xid \
             FROM rejot_events.event WHERE stream_id = ${} AND (epoch, commit_lsn, ordinal) > (${}, ${}, ${}) \
             ORDER BY epoch, commit_lsn, ordinal LIMIT $1)",
            first,
            first + 1,
            first + 2,
            first + 3
        )
    };
    let all: Vec<String> = (0..streams).map(one).collect();
    format!(
        "SELECT stream_id, epoch, commit_lsn, ordinal, shape_id, operation, \
         commit_time, key::text, object::text, attributes::text, xid \
         FROM ({}) AS events ORDER BY epoch, commit_lsn, ordinal LIMIT $1",
        all.join(" UNION ALL ")
    )
}
