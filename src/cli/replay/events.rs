//! What an event store remembers, as changes of tables.
//!
//! A public schema's events are changes of one table ([`super::tables`]), in the order in which they were published; those
//! of one transaction of the source are one here. They are read page by page, each under a snapshot of its own that only
//! reads, and made what the newest shape of their stream is: a column that older events do not have is NULL in a new
//! row, and left alone by an update. Large transactions come in pieces, unless a transform takes them whole.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Client;

use super::From;
use super::piece::{Origin, Piece};
use super::settings::Settings;
use super::tables::{As, Published, Tables, tables};
use crate::change::{Batch, Change, Old, Op, Phase, Position, Relation, Span, Tuple, TupleWriter, Value};
use crate::cli::databases::{Database, Databases};
use crate::cli::events::{Chosen, database, name_of};
use crate::cli::report::Failure;
use crate::datastore::DataStoreError;
use crate::eventstore::{self, BadEvent, Event, Page, Reading, Stream, Wanted as Behind};
use crate::lsn::Lsn;
use crate::rehearse::Setup;
use crate::wasm::Descriptor;

const APPLICATION: &str = "pelton replay";
/// Events that are read at a time.
const PAGE: i64 = 5_000;
/// A piece of a transaction has no more changes, and is no larger.
const PIECE_CHANGES: usize = 4_096;
const PIECE_BYTES: usize = 8 << 20;

/// What is asked for on the command line.
pub struct Wanted<'a> {
    pub from: From,
    pub until: Option<Position>,
    pub schemas: &'a [String],
    pub as_tables: &'a [As],
    pub store: Option<String>,
}

/// The events that are replayed.
pub struct Events {
    database: Database,
    client: Client,
    reader: eventstore::Events,
    behind: Vec<Behind>,
    /// The last position of each stream that is replayed.
    until: HashMap<i32, Position>,
    tables: Vec<Table>,
    relations: Vec<Arc<Relation>>,
    page: Option<(Page, i64)>,
    /// The first event of the next piece.
    next: Option<Event>,
    /// How many changes of the transaction that goes on were in pieces before.
    earlier: u64,
    piece_changes: usize,
    piece_bytes: usize,
    /// A transform takes transactions whole.
    whole: bool,
    setups: Option<Arc<[Setup]>>,
    ended: bool,
}

/// A stream that is replayed.
struct Table {
    stream: i32,
    name: Arc<str>,
    /// Positions of streams of the same source compare.
    source: (String, String),
    key: Vec<usize>,
    width: usize,
    /// By the shape that events were made under.
    readings: HashMap<i32, Reading>,
}

impl Events {
    /// Opens the event store and finds what is to be read.
    ///
    /// # Errors
    /// It can't be reached or has no such events, positions that mean nothing there, and what does not fit the transforms.
    pub async fn open(
        databases: Databases,
        wanted: Wanted<'_>,
        settings: &Settings,
        transforms: &[Descriptor],
    ) -> Result<Events, Failure> {
        let (database, _) = database(&Chosen { databases, store: wanted.store.clone() })?;
        let client = database.connect(APPLICATION).await?;
        let failed = |error: DataStoreError| database.failed(&error, error.hint());
        let streams = chosen(&database, eventstore::streams(&client).await.map_err(failed)?, wanted.schemas)?;
        let ids: Vec<i32> = streams.iter().map(|stream| stream.id).collect();
        let shapes = eventstore::shapes(&client, &ids, 0).await.map_err(failed)?;
        // The newest comes first.
        let newest = |stream: &Stream| shapes.iter().find(|shape| shape.stream == stream.id);
        let published = streams.iter().filter_map(|stream| {
            let public = newest(stream)?.public.clone();
            Some(Published { id: stream.id, name: name_of(stream), public })
        });
        let Tables { tables, notes } =
            tables(published.collect(), !wanted.schemas.is_empty(), wanted.as_tables, transforms)?;
        notes.iter().for_each(|note| eprintln!("note: {note}"));
        let streams: Vec<&Stream> =
            tables.iter().filter_map(|(table, _)| streams.iter().find(|stream| stream.id == table.id)).collect();
        check_positions(&database, &wanted, &streams)?;
        let after = match wanted.from {
            From::Beginning => Position::START,
            From::At(position) => Position { ordinal: position.ordinal - 1, ..position },
        };
        for stream in &streams {
            if after < stream.horizon {
                let what =
                    if stream.merged { "only the newest event of each key is kept" } else { "not everything is kept" };
                eprintln!("note: of {} up to {} {what}", name_of(stream), stream.horizon);
            }
        }
        let table = |((published, relation), stream): (&(Published, Arc<Relation>), &&Stream)| Table {
            stream: published.id,
            name: published.name.as_str().into(),
            source: (stream.manifest.clone(), stream.source.clone()),
            key: published.public.key(),
            width: relation.columns.len(),
            readings: shapes
                .iter()
                .filter(|shape| shape.stream == published.id)
                .map(|shape| (shape.id, Reading::new(&published.public, &shape.public)))
                .collect(),
        };
        let relations: Vec<Arc<Relation>> = tables.iter().map(|(_, relation)| relation.clone()).collect();
        let setups = settings.setups(transforms, None, &relations);
        let whole = transforms.iter().any(|descriptor| descriptor.whole_transactions);
        let memory = setups.iter().map(|setup| setup.limits.memory_mib).max().unwrap_or(0) as usize;
        Ok(Events {
            behind: streams.iter().map(|stream| Behind { stream: stream.id, after }).collect(),
            until: streams.iter().map(|s| (s.id, wanted.until.map_or(s.last, |until| until.min(s.last)))).collect(),
            tables: tables.iter().zip(&streams).map(table).collect(),
            relations,
            reader: eventstore::events(),
            page: None,
            next: None,
            earlier: 0,
            piece_changes: if whole { usize::MAX } else { PIECE_CHANGES },
            piece_bytes: if whole { memory << 20 } else { PIECE_BYTES },
            whole,
            setups: Some(setups),
            ended: false,
            database,
            client,
        })
    }

    /// Returns the next piece; `None` at the end.
    ///
    /// # Errors
    /// What the server says, an event that can't be read, and a transaction that is larger than a transform may be given.
    pub async fn next(&mut self) -> Result<Option<Piece>, Failure> {
        let first = match self.next.take() {
            Some(event) => event,
            None => match self.event().await? {
                Some(event) => event,
                None => return Ok(None),
            },
        };
        let mut events = vec![first];
        let mut bytes = events[0].bytes();
        let complete = loop {
            let Some(event) = self.event().await? else { break true };
            if !self.is_same_transaction(&events[0], &event) {
                self.next = Some(event);
                break true;
            }
            if events.len() >= self.piece_changes || bytes + event.bytes() > self.piece_bytes {
                if self.whole {
                    return Err(self.too_large(&events[0]));
                }
                self.next = Some(event);
                break false;
            }
            bytes += event.bytes();
            events.push(event);
        };
        self.piece(&events, complete).map(Some)
    }

    fn is_same_transaction(&self, one: &Event, other: &Event) -> bool {
        let source = |event: &Event| self.table(event.stream()).map(|(_, table)| &table.source);
        one.position().is_same_transaction(&other.position()) && source(one) == source(other)
    }

    fn too_large(&self, event: &Event) -> Failure {
        let what = format!(
            "the transaction at {} is larger than the {} MiB of memory that a transform which takes transactions whole has",
            event.position(),
            self.piece_bytes >> 20
        );
        let hint = "give it more: `limits: { memoryMib: … }` of the manifest's transform, which --transform NAME takes";
        self.database.refused(what, hint)
    }

    fn piece(&mut self, events: &[Event], complete: bool) -> Result<Piece, Failure> {
        let first = &events[0];
        let position = first.position();
        let mut batch = Batch { relations: self.relations.clone(), ..Batch::default() };
        let mut origin = Vec::with_capacity(events.len());
        for event in events {
            let bad = |error: BadEvent| {
                let what = format!("the event at {} can't be read: {error}", event.position());
                self.database.refused(what, "a newer version of Pelton may have written it; use that one")
            };
            let (index, table) =
                self.table(event.stream()).ok_or_else(|| bad(BadEvent("nobody asked for it".to_owned())))?;
            let reading = table.readings.get(&event.shape());
            let reading = reading.ok_or_else(|| bad(BadEvent("its shape is unknown".to_owned())))?;
            let mut rows = TupleWriter::default();
            reading.read(&mut rows, event).map_err(bad)?;
            let change = change(event.op().map_err(bad)?, index as u32, &table.key, table.width, rows.finish());
            batch.changes.push(change);
            origin.push((event.position(), table.name.clone()));
        }
        batch.spans.push(Span {
            xid: first.xid() as u32,
            epoch: position.epoch as u32,
            commit_lsn: position.commit_lsn,
            end_lsn: Lsn(position.commit_lsn.0.saturating_add(1)),
            commit_time: first.commit_time().unwrap_or(0),
            phase: Phase::Replay,
            first: 0,
            count: events.len() as u32,
            first_in_transaction: self.earlier,
            complete,
        });
        self.earlier = if complete { 0 } else { self.earlier + events.len() as u64 };
        Ok(Piece { batch, origin: Origin::Events(origin), setups: self.setups.take() })
    }

    fn table(&self, stream: i32) -> Option<(usize, &Table)> {
        self.tables.iter().enumerate().find(|(_, table)| table.stream == stream)
    }

    /// Returns the next event that is asked for.
    async fn event(&mut self) -> Result<Option<Event>, Failure> {
        while !self.ended {
            let Some((page, count)) = &mut self.page else {
                self.execute("begin to read events", eventstore::BEGIN_READING).await?;
                let page = self.reader.page(&self.client, &self.behind, PAGE).await;
                self.page = Some((page.map_err(|error| self.failed(&error))?, 0));
                continue;
            };
            match page.next().await {
                Ok(Some(event)) => {
                    *count += 1;
                    let position = event.position();
                    self.behind
                        .iter_mut()
                        .filter(|one| one.stream == event.stream())
                        .for_each(|one| one.after = position);
                    if self.until.get(&event.stream()).is_some_and(|until| position <= *until) {
                        return Ok(Some(event));
                    }
                }
                Ok(None) => {
                    let count = *count;
                    self.page = None;
                    self.execute("end reading", "COMMIT").await?;
                    let is_done = |one: &Behind| self.until.get(&one.stream).is_none_or(|until| one.after >= *until);
                    self.ended = count < PAGE || self.behind.iter().all(is_done);
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(None)
    }

    async fn execute(&self, act: &'static str, sql: &str) -> Result<(), Failure> {
        let done = self.client.batch_execute(sql).await;
        done.map_err(|error| self.failed(&DataStoreError::query(act)(error)))
    }

    fn failed(&self, error: &DataStoreError) -> Failure {
        self.database.failed(error, error.hint())
    }
}

/// Returns the streams that are asked for.
fn chosen(database: &Database, streams: Vec<Stream>, names: &[String]) -> Result<Vec<Stream>, Failure> {
    if streams.is_empty() {
        return Err(database.refused("nothing has been published there yet", "`pelton sync` publishes into it"));
    }
    if names.is_empty() {
        return Ok(streams);
    }
    let is_called = |stream: &Stream, name: &str| {
        let short = format!("{}@{}", stream.public_schema, stream.major);
        name == stream.public_schema || name == short || name == name_of(stream)
    };
    if let Some(name) = names.iter().find(|name| !streams.iter().any(|stream| is_called(stream, name))) {
        let known: Vec<String> = streams.iter().map(name_of).collect();
        return Err(
            database.refused(format!("there is no public schema `{name}`"), format!("it has {}", known.join(", ")))
        );
    }
    Ok(streams.into_iter().filter(|stream| names.iter().any(|name| is_called(stream, name))).collect())
}

/// Refuses positions that mean nothing for these streams.
fn check_positions(database: &Database, wanted: &Wanted<'_>, streams: &[&Stream]) -> Result<(), Failure> {
    let from = match wanted.from {
        From::Beginning => None,
        From::At(position) => Some(position),
    };
    let Some(some) = from.or(wanted.until) else { return Ok(()) };
    let mut sources: Vec<String> =
        streams.iter().map(|stream| format!("{} of `{}`", stream.source, stream.manifest)).collect();
    sources.sort();
    sources.dedup();
    if sources.len() > 1 {
        let what =
            format!("{some} means something for one source only, and these events are of {}", sources.join(", "));
        return Err(database.refused(what, "choose public schemas of one with --schema"));
    }
    if let (Some(from), Some(until)) = (from, wanted.until)
        && until < from
    {
        return Err(database.refused(format!("--until {until} lies before --from {from}"), "exchange them"));
    }
    let last = streams.iter().map(|stream| stream.last).max().unwrap_or(Position::START);
    if let Some(from) = from.filter(|from| *from > last) {
        let what = format!("there is nothing at {from} or behind it: the last event is at {last}");
        return Err(database.refused(what, "`pelton events tail` prints the newest with their positions"));
    }
    Ok(())
}

/// Makes a change of the rows that an event was read as.
fn change(op: Op, relation: u32, key: &[usize], width: usize, rows: Vec<Tuple>) -> Change {
    let mut rows = rows.into_iter();
    let (row, former) = (rows.next(), rows.next());
    let old = |row: Tuple| if key.is_empty() { Old::Full(row) } else { Old::Key(row) };
    match op {
        Op::Insert => Change { op, relation, new: row, old: None },
        Op::Update if key.is_empty() => Change { op, relation, new: row, old: former.map(Old::Full) },
        Op::Update => {
            Change { op, relation, new: row, old: former.map(|former| Old::Key(widened(&former, key, width))) }
        }
        Op::Delete => Change { op, relation, new: None, old: row.map(old) },
        Op::Truncate => Change { op, relation, new: None, old: None },
    }
}

/// Puts the columns of a key where they are in the whole row, in which the others are not known.
fn widened(former: &Tuple, key: &[usize], width: usize) -> Tuple {
    let mut writer = TupleWriter::default();
    writer.begin();
    for column in 0..width {
        let value = key.iter().position(|&index| index == column).and_then(|index| former.get(index));
        writer.value(value.unwrap_or(Value::Null));
    }
    writer.end();
    writer.finish().remove(0)
}
