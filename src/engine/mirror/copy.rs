//! One round of a mirror: what is new of some streams, as one snapshot shows it.
//!
//! The original is read by one COPY, by position, and what comes is handed on into COPYs of the mirror. A transaction of the
//! mirror ends between transactions of the source, once enough has come. A snapshot shows whole transactions, so at its end all
//! is whole. So that none is held open for long, a round reads so many events and no more, and what its last transaction of the
//! mirror has is given up then, since it may end anywhere. Where that is all there was, one transaction of the source is larger
//! than a round, and the next one is.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio_postgres::{Client, CopyInSink};

use super::super::failure::EngineError;
use super::rows::{AS_TEXT, COLUMNS, HEADER, Rows, TRAILER};
use crate::change::Position;
use crate::datastore::DataStoreError;
use crate::eventstore::{self, Adopted, Appended, Moved, Stream};
use crate::fault;

/// Events of a round.
const ROUND: i64 = 200_000;
/// A transaction of the mirror ends at the next boundary once it has so much.
const EVENTS: i64 = 16_384;
const BYTES: usize = 8 << 20;
/// Bytes of one message.
const MESSAGE: usize = 64 << 10;

/// What a round needs.
pub struct Copy<'a> {
    pub store: &'a str,
    pub upstream: &'a str,
    /// The original's UUID.
    pub id: &'a str,
    /// The owner's token.
    pub owner: i64,
}

/// What a round has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Copied {
    pub events: i64,
    /// It has not come to the end.
    pub more: bool,
}

/// A transaction of the mirror.
struct Unit {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    buffer: BytesMut,
    bytes: usize,
    appended: Appended,
}

impl Copy<'_> {
    /// Mirrors what is new of the streams of one source.
    ///
    /// # Errors
    /// What either server says. What was committed stays.
    pub async fn round(
        &self,
        upstream: &Client,
        client: &Client,
        group: &[&Stream],
        adopted: &mut Adopted,
    ) -> Result<Copied, EngineError> {
        let mut limit = ROUND;
        loop {
            let copied = self.read(upstream, client, group, adopted, limit).await?;
            if copied.events > 0 || !copied.more {
                return Ok(copied);
            }
            limit *= 4;
        }
    }

    async fn read(
        &self,
        upstream: &Client,
        client: &Client,
        group: &[&Stream],
        adopted: &mut Adopted,
        limit: i64,
    ) -> Result<Copied, EngineError> {
        let at_upstream = |error| self.at_upstream(DataStoreError::query_in(eventstore::SCHEMA, "read events")(error));
        let out = upstream.copy_out(&*sql(group, adopted, limit)).await.map_err(at_upstream)?;
        let mut out = std::pin::pin!(out);
        let segment = eventstore::newest_segment(client).await.map_err(|source| self.here(source))?;
        let (mut rows, mut row) = (Rows::default(), BytesMut::new());
        let mut unit: Option<Unit> = None;
        let mut current: Option<Position> = None;
        let (mut seen, mut copied) = (0, Copied::default());
        while let Some(bytes) = out.next().await {
            rows.put(&bytes.map_err(at_upstream)?);
            while let Some(info) = rows.next(&mut row, adopted, segment)? {
                seen += 1;
                let boundary =
                    info.copied || current.is_none_or(|current| !current.is_same_transaction(&info.position));
                current = Some(info.position);
                if boundary && let Some(full) = unit.take_if(|unit| unit.is_full()) {
                    copied.events += self.commit(client, full, adopted).await?;
                }
                let open = match &mut unit {
                    Some(open) => open,
                    None => unit.insert(self.begin(client).await?),
                };
                open.bytes += row.len();
                open.buffer.unsplit(row.split());
                let Appended { last, events, commit_time } = &mut open.appended;
                let begun = || {
                    let from = adopted.after(info.stream);
                    Moved { from, to: from }
                };
                last.entry(info.stream).or_insert_with(begun).to = info.position;
                *events += 1;
                *commit_time = info.commit_time.or(*commit_time);
                if open.buffer.len() >= MESSAGE {
                    let message = open.buffer.split().freeze();
                    open.sink.send(message).await.map_err(|error| self.refused(error))?;
                }
            }
        }
        if !rows.is_whole() {
            return Err(EngineError::Bug("an event store sent half an event".to_owned()));
        }
        if limit == seen {
            // The last transaction of the source may go on behind it.
            copied.more = true;
            if let Some(unit) = unit {
                drop(unit);
                let rolled_back = client.batch_execute("ROLLBACK").await;
                rolled_back
                    .map_err(|error| self.here(DataStoreError::query_in(eventstore::SCHEMA, "roll back")(error)))?;
            }
        } else if let Some(unit) = unit {
            copied.events += self.commit(client, unit, adopted).await?;
        }
        Ok(copied)
    }

    async fn begin(&self, client: &Client) -> Result<Unit, EngineError> {
        if !eventstore::begin_mirroring(client, self.id, self.owner).await.map_err(|source| self.here(source))? {
            return Err(self.here(DataStoreError::StaleMirror { upstream: self.upstream.to_owned() }));
        }
        let sql = format!("COPY rejot_events.event ({COLUMNS}) FROM STDIN (FORMAT binary)");
        let sink = client.copy_in(&*sql).await.map_err(|error| self.refused(error))?;
        let buffer = BytesMut::from(HEADER);
        Ok(Unit { sink: Box::pin(sink), buffer, bytes: 0, appended: Appended::default() })
    }

    async fn commit(&self, client: &Client, mut unit: Unit, adopted: &mut Adopted) -> Result<i64, EngineError> {
        unit.buffer.extend_from_slice(TRAILER);
        unit.sink.send(unit.buffer.freeze()).await.map_err(|error| self.refused(error))?;
        unit.sink.as_mut().finish().await.map_err(|error| self.refused(error))?;
        fault::point("before-mirrored");
        let committed = eventstore::commit_mirrored(client, self.id, &unit.appended).await;
        committed.map_err(|source| self.here(source))?;
        fault::point("after-mirrored");
        unit.appended.last.iter().for_each(|(&stream, moved)| adopted.moved(stream, moved.to));
        Ok(unit.appended.events)
    }

    fn at_upstream(&self, source: DataStoreError) -> EngineError {
        EngineError::EventStore { slug: self.upstream.to_owned(), source }
    }

    fn here(&self, source: DataStoreError) -> EngineError {
        EngineError::EventStore { slug: self.store.to_owned(), source }
    }

    fn refused(&self, error: tokio_postgres::Error) -> EngineError {
        self.here(DataStoreError::query_in(eventstore::SCHEMA, "append events")(error))
    }
}

impl Unit {
    fn is_full(&self) -> bool {
        self.appended.events >= EVENTS || self.bytes >= BYTES
    }
}

/// Returns the COPY of what is new of some streams. All that goes into it are numbers and positions.
fn sql(group: &[&Stream], adopted: &Adopted, limit: i64) -> String {
    let one = |stream: &&Stream| {
        let after = adopted.streams[&stream.id].after;
        format!(
            "(SELECT {COLUMNS} FROM rejot_events.event WHERE stream_id = {} \
             AND (epoch, commit_lsn, ordinal) > ({}, pg_lsn '{}', bigint '{}') ORDER BY epoch, commit_lsn, ordinal LIMIT {limit})",
            stream.id, after.epoch, after.commit_lsn, after.ordinal
        )
    };
    let all: Vec<String> = group.iter().map(one).collect();
    format!(
        "COPY (SELECT {AS_TEXT} FROM ({}) AS events ORDER BY epoch, commit_lsn, ordinal LIMIT {limit}) TO STDOUT (FORMAT binary)",
        all.join(" UNION ALL ")
    )
}
