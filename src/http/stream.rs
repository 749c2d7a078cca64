//! `/stream`: the events of public schemas as they are published, for as long as somebody reads them.
//!
//! What a reader gets is what it would get from the event store: whole transactions, in the order of their source. No snapshot
//! is held for long, nor while a reader does not read: one that has grown old is left, inside a transaction of the source
//! too, and what is behind the last event that was told of that transaction comes first in the next one ([`Inside`]). A
//! reader that comes back inside a transaction says so, and goes on in the same way.
//!
//! A reader that does not read makes this side wait, with two pieces in hand and none asked for, until its connection is
//! given up; it comes back with its cursors. Where others wait for a stream, one that has had its turn ends.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tokio_postgres::Client;

use super::answer::{Answer, Refusal, lines};
use super::cursor::{self, position_of};
use super::gone::Reader;
use super::store::{Cancel, Located, Store, locate};
use super::turns::Turn;
use crate::change::Position;
use crate::datastore::DataStoreError;
use crate::engine::Chain;
use crate::eventstore::{
    self, BadEvent, Events, Shape, Wanted, write_end, write_error, write_event, write_gone, write_shape,
};

/// Events of one page.
const PAGE: i64 = 20_000;
/// A piece is sent once it holds so much.
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 2;
/// How often is looked for events that nobody told of; the reader hears from us as often.
const POLL: Duration = Duration::from_secs(1);
/// How often the reader hears from us while the store is slow.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A snapshot that is older is left.
const SNAPSHOT: Duration = Duration::from_secs(10);

/// What a reader asks for.
pub struct Asked {
    cursors: Vec<cursor::Cursor>,
    /// The last event that it has of a transaction that it does not have all of.
    inside: Option<Position>,
}

impl Asked {
    /// Reads the body of a request, or the cursors alone.
    ///
    /// # Errors
    /// It is none.
    pub fn read(cursors: &Value, more: &Value) -> Result<Asked, Refusal> {
        let inside = match &more["inside"] {
            Value::Null => None,
            at => {
                let hint = "write the position of the last event that was told, or leave it out";
                let at = at.as_str().and_then(position_of);
                Some(at.ok_or_else(|| Refusal::bad("`inside` is no position", hint))?)
            }
        };
        Ok(Asked { cursors: cursor::all(cursors)?, inside })
    }
}

/// Answers with the events behind cursors. `turn` is held until the end.
///
/// # Errors
/// The request is wrong, or the store can't be read.
pub async fn stream(
    stores: &[Store],
    asked: Asked,
    turn: Turn,
    mut stop: watch::Receiver<bool>,
) -> Result<Answer, Refusal> {
    let located = locate(stores, &asked.cursors).await?;
    let mut reader = Reader::of(&located);
    let Located { store, streams, wanted, .. } = located;
    let (client, heard, cancel) = store.listening().await?;
    reader.refuse(store, &client, &wanted).await?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let schemas = streams.iter().enumerate().map(|(index, stream)| (stream.id, index)).collect();
    let slug = store.slug.clone();
    let mut telling = Telling {
        client,
        _cancel: cancel,
        heard,
        reader,
        wanted,
        schemas,
        shapes: HashMap::new(),
        known_shapes: HashSet::new(),
        current: asked.inside,
        inside: asked.inside.map(Inside),
        turn,
        out: Out { piece: Vec::new(), sender: sender.clone(), give_up: None },
    };
    tokio::spawn(async move {
        let told = tokio::select! {
            told = telling.run() => told,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
            () = sender.closed() => Ok(()),
        };
        // Before the last line, which a reader may never take.
        drop(telling);
        let mut line = Vec::new();
        match told {
            Ok(()) | Err(Ended::Unread) => return,
            Err(Ended::Gone(what, hint)) => write_gone(&mut line, &what, &hint),
            Err(Ended::Failed(error)) => {
                tracing::warn!(event_store = slug, "a stream ends: {}", Chain(&*error));
                write_error(&mut line, &format!("event store `{slug}` can't be read now"));
            }
        }
        let _ = tokio::time::timeout(HEARTBEAT, sender.send(line.into())).await;
    });
    Ok(lines(pieces))
}

/// Why there is no more.
enum Ended {
    /// Nobody reads it.
    Unread,
    /// Events that were to be told have been removed: what happened, and what to do.
    Gone(String, String),
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl From<DataStoreError> for Ended {
    fn from(error: DataStoreError) -> Ended {
        Ended::Failed(error.into())
    }
}

impl From<tokio_postgres::Error> for Ended {
    fn from(error: tokio_postgres::Error) -> Ended {
        Ended::Failed(error.into())
    }
}

impl From<BadEvent> for Ended {
    fn from(error: BadEvent) -> Ended {
        Ended::Failed(error.into())
    }
}

/// The last event that was told of a transaction of which more is to come.
///
/// What others publish meanwhile may have positions in front of it, in streams that lag. It comes behind the transaction, as it
/// would have if one snapshot had shown all of it.
#[derive(Clone, Copy)]
struct Inside(Position);

impl Inside {
    /// Returns what is to be read of the transaction: each stream behind what was told of it.
    fn rest(self, wanted: &[Wanted]) -> Vec<Wanted> {
        // Several streams may have an event at one position.
        let Position { epoch, commit_lsn, ordinal } = self.0;
        let told = match ordinal {
            0 => Position { epoch, commit_lsn: crate::lsn::Lsn(commit_lsn.0.saturating_sub(1)), ordinal: i64::MAX },
            _ => Position { ordinal: ordinal - 1, ..self.0 },
        };
        wanted.iter().map(|one| Wanted { after: one.after.max(told), ..*one }).collect()
    }
}

/// How far one snapshot was told.
enum Told {
    All,
    /// It has grown old.
    Left,
}

struct Telling {
    client: Client,
    _cancel: Cancel,
    heard: Arc<Notify>,
    reader: Reader,
    wanted: Vec<Wanted>,
    /// Places in what was asked for, by the stream's id.
    schemas: HashMap<i32, usize>,
    /// Shapes that have not been told.
    shapes: HashMap<i32, Shape>,
    known_shapes: HashSet<i32>,
    /// Where the last event was.
    current: Option<Position>,
    inside: Option<Inside>,
    turn: Turn,
    out: Out,
}

impl Telling {
    async fn run(&mut self) -> Result<(), Ended> {
        let mut events = eventstore::events();
        self.client.batch_execute("LISTEN rejot_events").await?;
        loop {
            self.client.batch_execute(eventstore::BEGIN_READING).await?;
            if let Some((what, hint)) = self.reader.misses(&self.client, &self.wanted).await? {
                return Err(Ended::Gone(what, hint));
            }
            self.out.give_up = Some(Instant::now() + SNAPSHOT);
            let told = self.snapshot(&mut events).await?;
            self.client.batch_execute("COMMIT").await?;
            // From here on it may take as long as the reader takes.
            self.out.give_up = None;
            if let Told::Left = told {
                self.out.send().await?;
                if self.inside.is_none() && self.turn.is_over() {
                    return Ok(());
                }
                continue;
            }
            self.current = None;
            write_end(&mut self.out.piece);
            self.out.send().await?;
            if self.turn.is_over() {
                return Ok(());
            }
            let _ = tokio::time::timeout(POLL, self.heard.notified()).await;
        }
    }

    /// Tells what one snapshot has, first of all the rest of a transaction.
    async fn snapshot(&mut self, events: &mut Events) -> Result<Told, Ended> {
        let ids: Vec<i32> = self.wanted.iter().map(|wanted| wanted.stream).collect();
        let known: Vec<i32> = self.known_shapes.iter().copied().collect();
        for shape in self.out.patiently(eventstore::other_shapes(&self.client, &ids, &known)).await?? {
            self.known_shapes.insert(shape.id);
            self.shapes.insert(shape.id, shape);
        }
        loop {
            let asked = match self.inside {
                Some(inside) => inside.rest(&self.wanted),
                None => self.wanted.clone(),
            };
            match self.page(events, &asked).await? {
                Page::Left => return Ok(Told::Left),
                Page::More => {}
                Page::Last if self.inside.take().is_some() => {}
                Page::Last => return Ok(Told::All),
            }
        }
    }

    async fn page(&mut self, events: &mut Events, asked: &[Wanted]) -> Result<Page, Ended> {
        let Telling { client, wanted, schemas, shapes, current, inside, turn, out, .. } = self;
        let mut page = out.patiently(events.page(client, asked, PAGE)).await??;
        let mut count = 0;
        while let Some(event) = out.patiently(page.next()).await?? {
            count += 1;
            let position = event.position();
            let same = current.is_some_and(|current| current.is_same_transaction(&position));
            if inside.is_some() && !same {
                // Behind the end of the transaction: what was in front of it comes first.
                *inside = None;
                return Ok(Page::More);
            }
            let boundary = !same || event.is_copied();
            if boundary && turn.is_over() {
                *inside = None;
                return Ok(Page::Left);
            }
            let schema = schemas[&event.stream()];
            if let Some(shape) = shapes.remove(&event.shape()) {
                write_shape(&mut out.piece, schema, &shape);
            }
            write_event(&mut out.piece, schema, &event)?;
            wanted[schema].after = position;
            *current = Some(position);
            if out.piece.len() >= PIECE_BYTES && !out.send_for_now().await? {
                // It may be in the middle of a transaction; where it is not, nothing more comes of this one.
                *inside = (!event.is_copied()).then_some(Inside(position));
                return Ok(Page::Left);
            }
        }
        Ok(if count < PAGE { Page::Last } else { Page::More })
    }
}

/// How a page ended.
enum Page {
    More,
    Last,
    /// The snapshot has grown old, or the turn is over.
    Left,
}

struct Out {
    piece: Vec<u8>,
    sender: mpsc::Sender<Bytes>,
    /// Until then it may be waited for the reader while a snapshot is held.
    give_up: Option<Instant>,
}

impl Out {
    /// Sends what there is, once the reader has taken what was sent before.
    async fn send(&mut self) -> Result<(), Ended> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        self.sender.send(piece.into()).await.map_err(|_| Ended::Unread)
    }

    /// The same, unless the reader takes longer than a snapshot may be held: false, and nothing is sent.
    async fn send_for_now(&mut self) -> Result<bool, Ended> {
        let Some(give_up) = self.give_up else { return self.send().await.map(|()| true) };
        match tokio::time::timeout_at(give_up.into(), self.sender.reserve()).await {
            Ok(Ok(permit)) => {
                permit.send(std::mem::take(&mut self.piece).into());
                Ok(Instant::now() < give_up)
            }
            Ok(Err(_)) => Err(Ended::Unread),
            Err(_) => Ok(false),
        }
    }

    /// Waits for the store; the reader hears from us meanwhile.
    async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Ended> {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(HEARTBEAT, &mut work).await {
                Ok(done) => return Ok(done),
                Err(_) => {
                    // An empty line says nothing, and that somebody is there. Who does not read has something to read.
                    if let Ok(permit) = self.sender.try_reserve() {
                        self.piece.push(b'\n');
                        permit.send(std::mem::take(&mut self.piece).into());
                    }
                }
            }
        }
    }
}
