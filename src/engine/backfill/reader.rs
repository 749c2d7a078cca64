//! Reading one chunk: a transaction that locks the table, takes its snapshot, and copies the rows out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, pin_mut};
use tokio::sync::mpsc;
use tokio_postgres::{CancelToken, Client, Row};

use super::copy_text;
use super::plan;
use super::read::{Arrived, Event, Opened, Question, ReadJob, What};
use super::read_error::ReadError;
use super::snapshot::{Replay, Snapshot};
use super::sql;
use super::table::TablePlan;
use crate::change::{Relation, TupleWriter};
use crate::lsn::Lsn;
use crate::postgres::QueryError;
use crate::postgres::catalog::{self, Which};

/// How long a transaction that has committed is given to become visible before the snapshot is taken again.
const AGAIN_FIRST: Duration = Duration::from_millis(2);
const AGAIN_MAX: Duration = Duration::from_millis(500);

/// A session at the source in which chunks are read, one after another.
pub struct ChunkReader {
    client: Client,
    wal: WalShape,
    standby: bool,
    /// The columns of the last chunk: the catalog is asked again only when they change.
    relation: Option<Arc<Relation>>,
    /// A chunk ended early, and the rest of its rows is still on the way.
    spent: bool,
}

/// What a session knows of its chunk before the rows.
struct Open {
    snapshot: Snapshot,
    lsn: Lsn,
    relation: Arc<Relation>,
    row_filter: Option<String>,
}

impl ChunkReader {
    /// Takes a session whose settings print values as the stream does ([`crate::postgres::Session::source`]).
    ///
    /// # Errors
    /// [`ReadError::Query`].
    pub async fn new(client: Client) -> Result<ChunkReader, ReadError> {
        const SHAPE: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
                             pg_catalog.current_setting('wal_block_size')::bigint, \
                             pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))";
        let failed = |error| QueryError::new("ask the source for the shape of its WAL", error);
        let row = client.query_one(SHAPE, &[]).await.map_err(failed)?;
        let (block, segment): (i64, i64) = (row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?);
        let wal = WalShape { block: block.max(1) as u64, segment: segment.max(1) as u64 };
        Ok(ChunkReader { standby: row.try_get(0).map_err(failed)?, client, wal, relation: None, spent: false })
    }

    pub(super) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    /// Returns true when the session can't be used any more.
    pub fn is_spent(&self) -> bool {
        self.spent || self.client.is_closed()
    }

    /// Reads a chunk. [`Event::Opened`] is sent once its snapshot is taken, before the rows are read.
    ///
    /// # Errors
    /// [`ReadError`]. The session is as before, unless [`is_spent`](ChunkReader::is_spent).
    pub async fn read(&mut self, job: &ReadJob, events: &mpsc::Sender<Event>) -> Result<Arrived, ReadError> {
        let read = self.read_in_transaction(job, events).await;
        self.end().await;
        read
    }

    async fn read_in_transaction(&mut self, job: &ReadJob, events: &mpsc::Sender<Event>) -> Result<Arrived, ReadError> {
        let plan = &job.plan;
        let mut pause = AGAIN_FIRST;
        let open = loop {
            let open = self.open(plan).await?;
            let Some(xid) = job.must_see.missing_in(&open.snapshot) else { break open };
            tracing::debug!(table = plan.name(), xid, "a delivered transaction is not visible yet");
            self.end().await;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN_MAX);
        };
        let begun = Instant::now();
        let sql = sql::copy(plan, &open.relation, open.row_filter.as_deref(), Some(&job.what));
        let columns = open.relation.columns.len();
        let opened = Opened { read: job.read, snapshot: open.snapshot, lsn: open.lsn, relation: open.relation };
        // Nobody listens any more only when the readers are being dropped, and this read with them.
        let _ = events.send(Event::Opened(opened)).await;
        let mut rows = TupleWriter::default();
        let (rows_max, bytes_max) = match &job.what {
            What::Range { rows_max, .. } => (*rows_max as usize, job.bytes_max),
            // These are few, and a key that is left out would count as gone.
            What::Keys(_) => (usize::MAX, usize::MAX),
        };
        let ended = self.copy(plan, &sql, columns, &mut rows, bytes_max).await?;
        self.spent |= !ended;
        let (bytes, rows) = (rows.bytes(), rows.finish());
        let exhausted = ended && rows.len() < rows_max;
        Ok(Arrived { read: job.read, bytes, rows, exhausted, elapsed: begun.elapsed() })
    }

    /// Copies a whole table under an exported snapshot, in pieces ([`Event::Piece`]) of about `bytes` bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_whole(
        &mut self,
        table: usize,
        plan: &TablePlan,
        snapshot: &str,
        bytes: usize,
        events: &mpsc::Sender<Event>,
    ) -> Result<(), ReadError> {
        let copied = self.read_whole_in_transaction(table, plan, snapshot, bytes, events).await;
        self.end().await;
        copied
    }

    async fn read_whole_in_transaction(
        &mut self,
        table: usize,
        plan: &TablePlan,
        snapshot: &str,
        bytes: usize,
        events: &mpsc::Sender<Event>,
    ) -> Result<(), ReadError> {
        self.client.batch_execute(&sql::begin_whole(plan, snapshot)).await.map_err(|e| cannot_lock(plan, e))?;
        let open = self.look(plan, None).await?;
        let failed = |error| QueryError::new(format!("look whether {} was rewritten", plan.name()), error);
        let row = self.client.query_one(sql::WAS_REWRITTEN, &[&plan.relation.oid]).await.map_err(failed)?;
        if row.try_get::<_, bool>(0).map_err(failed)? {
            return Err(ReadError::Rewritten { table: plan.name() });
        }
        let sql = sql::copy(plan, &open.relation, open.row_filter.as_deref(), None);
        let failed = |error| QueryError::new(format!("copy {}", plan.name()), error);
        let stream = self.client.copy_out(&sql).await.map_err(failed)?;
        pin_mut!(stream);
        let columns = open.relation.columns.len();
        let mut lines = Lines::default();
        let mut rows = TupleWriter::default();
        while let Some(data) = stream.next().await {
            lines.write(data.map_err(failed)?, columns, &mut rows).map_err(|_| bad_row(plan))?;
            if rows.bytes() >= bytes {
                let (relation, rows) = (open.relation.clone(), std::mem::take(&mut rows).finish());
                let _ = events.send(Event::Piece { table, relation, rows, last: false }).await;
            }
        }
        lines.finish().map_err(|_| bad_row(plan))?;
        let _ = events.send(Event::Piece { table, relation: open.relation, rows: rows.finish(), last: true }).await;
        Ok(())
    }

    /// Returns for each key of the question whether it is greater than the bound.
    ///
    /// # Errors
    /// [`ReadError::Query`].
    pub async fn answer(&self, question: &Question) -> Result<Vec<bool>, ReadError> {
        let Some(key) = &question.plan.key else { return Ok(Vec::new()) };
        let mut columns: Vec<Vec<&str>> = vec![Vec::with_capacity(question.keys.len()); key.columns.len()];
        for texts in question.keys.iter().map(|key| key.texts()) {
            columns.iter_mut().zip(texts).for_each(|(column, text)| column.push(text));
        }
        let params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = columns.iter().map(|c| c as _).collect();
        let failed = |error| QueryError::new(format!("compare keys of {}", question.plan.name()), error);
        let rows = self.client.query(&sql::is_greater(key, &question.bound), &params).await.map_err(failed)?;
        if rows.len() != question.keys.len() {
            let (doing, what) = ("compare keys".to_owned(), format!("{} answers", rows.len()));
            return Err(QueryError::Answer { doing, what }.into());
        }
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?)
    }

    async fn open(&mut self, plan: &TablePlan) -> Result<Open, ReadError> {
        let before = match self.standby {
            true => Some(self.replayed(plan).await?),
            false => None,
        };
        self.client.batch_execute(&sql::begin(plan)).await.map_err(|error| cannot_lock(plan, error))?;
        self.look(plan, before).await
    }

    async fn replayed(&self, plan: &TablePlan) -> Result<Lsn, ReadError> {
        let failed = |error| QueryError::new(format!("ask how far the standby of {} is", plan.name()), error);
        let row = self.client.query_one("SELECT pg_catalog.pg_last_wal_replay_lsn()::text", &[]).await;
        let text: Option<String> = row.and_then(|row| row.try_get(0)).map_err(failed)?;
        Ok(text.unwrap_or_default().parse()?)
    }

    /// Takes the transaction's snapshot and looks at the table under it.
    async fn look(&mut self, plan: &TablePlan, replayed: Option<Lsn>) -> Result<Open, ReadError> {
        let failed = |error| QueryError::new(format!("take a snapshot for {}", plan.name()), error);
        let (schema, name) = (&*plan.relation.schema, &*plan.relation.name);
        let row = self.client.query_opt(&sql::open(), &[&&*plan.publication, &schema, &name]).await.map_err(failed)?;
        let gone = || ReadError::Gone { table: plan.name() };
        let row = row.ok_or_else(gone)?;
        let text = |at: usize| row.try_get::<_, Option<String>>(at).map_err(failed);
        if row.try_get::<_, u32>(3).map_err(failed)? != plan.relation.oid {
            return Err(gone());
        }
        if !row.try_get::<_, bool>(8).map_err(failed)? {
            let publication = plan.publication.to_string();
            return Err(ReadError::NotPublished { table: plan.name(), publication });
        }
        let mut snapshot: Snapshot = text(0)?.unwrap_or_default().parse()?;
        let mut lsn: Lsn = text(1)?.unwrap_or_default().parse()?;
        match replayed {
            Some(before) => {
                let received: Option<Lsn> = text(2)?.map(|text| text.parse()).transpose()?;
                snapshot = snapshot.on_standby(Replay { before, after: lsn, quiet: received == Some(lsn) });
            }
            None => lsn = self.wal.end_of_records(lsn),
        }
        let row_filter = text(7)?;
        let relation = self.relation(plan, &row).await?;
        Ok(Open { snapshot, lsn, relation, row_filter })
    }

    /// Returns the table's columns: those that are known, if they are still the same.
    async fn relation(&mut self, plan: &TablePlan, row: &Row) -> Result<Arc<Relation>, ReadError> {
        let failed = |error| QueryError::new(format!("read the columns of {}", plan.name()), error);
        let names: Vec<String> = row.try_get(4).map_err(failed)?;
        let (types, modifiers): (Vec<u32>, Vec<i32>) =
            (row.try_get(5).map_err(failed)?, row.try_get(6).map_err(failed)?);
        let same = |relation: &&Arc<Relation>| {
            let columns = relation.columns.iter().map(|c| (&*c.name, c.type_oid, c.type_modifier));
            let today = names
                .iter()
                .zip(&types)
                .zip(&modifiers)
                .map(|((name, oid), modifier)| (name.as_str(), *oid, *modifier));
            relation.oid == plan.relation.oid && columns.eq(today)
        };
        if let Some(relation) = self.relation.iter().chain(std::iter::once(&plan.relation)).find(same) {
            return Ok(relation.clone());
        }
        let tables = catalog::load(&self.client, Which::Oids(&[plan.relation.oid])).await?;
        let table = tables.first().ok_or_else(|| ReadError::Gone { table: plan.name() })?;
        let relation = Arc::new(plan::relation(table, &names));
        for key in plan.key.iter().flat_map(|key| &key.columns) {
            let today = relation.column(&key.name).map(|at| &relation.columns[at]);
            let then = plan.relation.column(&key.name).map(|at| &plan.relation.columns[at]);
            if today.map(|c| (c.type_oid, c.type_modifier)) != then.map(|c| (c.type_oid, c.type_modifier)) {
                return Err(ReadError::KeyChanged { table: plan.name(), column: key.name.to_string() });
            }
        }
        self.relation = Some(relation.clone());
        Ok(relation)
    }

    /// Copies rows until there are no more, or `bytes_max` is reached. Returns whether there are no more.
    async fn copy(
        &self,
        plan: &TablePlan,
        sql: &str,
        columns: usize,
        rows: &mut TupleWriter,
        bytes_max: usize,
    ) -> Result<bool, ReadError> {
        let failed = |error| QueryError::new(format!("copy rows of {}", plan.name()), error);
        let stream = self.client.copy_out(sql).await.map_err(failed)?;
        pin_mut!(stream);
        let mut lines = Lines::default();
        while let Some(data) = stream.next().await {
            lines.write(data.map_err(failed)?, columns, rows).map_err(|_| bad_row(plan))?;
            if rows.bytes() >= bytes_max && rows.rows() > 0 {
                return Ok(false);
            }
        }
        lines.finish().map_err(|_| bad_row(plan))?;
        Ok(true)
    }

    /// Ends the transaction, which has nothing to keep.
    async fn end(&mut self) {
        if !self.spent && self.client.batch_execute("ROLLBACK").await.is_err() {
            self.spent = true;
        }
    }
}

fn cannot_lock(plan: &TablePlan, error: tokio_postgres::Error) -> ReadError {
    const UNDEFINED_TABLE: &str = "42P01";
    let error = QueryError::new(format!("lock {} for reading", plan.name()), error);
    match error.code() {
        Some(UNDEFINED_TABLE) => ReadError::Gone { table: plan.name() },
        _ => error.into(),
    }
}

fn bad_row(plan: &TablePlan) -> ReadError {
    ReadError::BadRow { table: plan.name() }
}

/// Cuts COPY data into lines. The server sends a row a message; the protocol does not promise it.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn write(&mut self, data: Bytes, columns: usize, rows: &mut TupleWriter) -> Result<(), copy_text::BadLine> {
        let mut data = &data[..];
        while let Some(end) = memchr::memchr(b'\n', data) {
            if self.rest.is_empty() {
                copy_text::write_row(&data[..end], columns, rows)?;
            } else {
                self.rest.extend_from_slice(&data[..end]);
                copy_text::write_row(&std::mem::take(&mut self.rest), columns, rows)?;
            }
            data = &data[end + 1..];
        }
        self.rest.extend_from_slice(data);
        Ok(())
    }

    fn finish(self) -> Result<(), copy_text::BadLine> {
        if self.rest.is_empty() { Ok(()) } else { Err(copy_text::BadLine) }
    }
}

/// How the WAL is cut into pages.
#[derive(Clone, Copy, Debug)]
struct WalShape {
    block: u64,
    segment: u64,
}

impl WalShape {
    /// Returns where the last record ends, of the position where the next one will begin.
    ///
    /// At the start of a page the two differ by the page's header, and a stream that has delivered everything is at the
    /// former. Without this an idle source could keep a chunk waiting for good.
    fn end_of_records(self, insert: Lsn) -> Lsn {
        const LONG_HEADER: u64 = 40;
        const SHORT_HEADER: u64 = 24;
        if insert.0 % self.segment == LONG_HEADER {
            Lsn(insert.0 - LONG_HEADER)
        } else if insert.0 % self.block == SHORT_HEADER {
            Lsn(insert.0 - SHORT_HEADER)
        } else {
            insert
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_behind_a_page_header_is_the_end_of_the_page_before() {
        let wal = WalShape { block: 8192, segment: 16 << 20 };
        let check = |insert: u64, end: u64| assert_eq!(wal.end_of_records(Lsn(insert)), Lsn(end));
        check((16 << 20) + 40, 16 << 20);
        check((16 << 20) + 8192 + 24, (16 << 20) + 8192);
        check((16 << 20) + 8192 + 40, (16 << 20) + 8192 + 40);
        check((16 << 20) + 8192, (16 << 20) + 8192);
        check(123_456, 123_456);
    }

    #[test]
    fn lines_may_come_in_any_pieces() {
        let data = b"1\tone\n2\ttwo\\n\n3\t\\N\n";
        for size in 1..data.len() {
            let (mut lines, mut rows) = (Lines::default(), TupleWriter::default());
            for piece in data.chunks(size) {
                lines.write(Bytes::copy_from_slice(piece), 2, &mut rows).unwrap();
            }
            lines.finish().unwrap();
            assert_eq!(rows.rows(), 3);
        }
    }
}
