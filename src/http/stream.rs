//! `/stream`: the events of public schemas as they are published, for as long as somebody reads them.
//!
//! What a reader gets is what it would get from the event store: whole transactions, in the order of their source. All that
//! is read within one snapshot is told without a gap; a snapshot that has grown old is left between two transactions, so
//! that a slow reader does not hold back the store's vacuum for long.
//!
//! A reader that does not read makes this side wait, with two pieces in hand and none asked for. One that has not read for
//! too long is left; it comes back with its cursors.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, watch};
use tokio_postgres::Client;

use super::answer::{Answer, Refusal, lines};
use super::cursor::Cursor;
use super::store::{Located, Store, locate};
use crate::change::Position;
use crate::datastore::DataStoreError;
use crate::engine::Chain;
use crate::eventstore::{
    self, BadEvent, Events, Horizon, Horizons, Shape, Wanted, write_end, write_error, write_event, write_shape,
};

/// Events of one page.
const PAGE: i64 = 20_000;
/// A piece is sent once it holds so much.
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 2;
/// How often is looked for events that nobody told of; the reader hears from us as often.
const POLL: Duration = Duration::from_secs(1);
/// How often the reader hears from us while the store is slow.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A reader that takes nothing for so long is left.
const STALL: Duration = Duration::from_secs(120);
/// A snapshot that is older is left between two transactions.
const SNAPSHOT: Duration = Duration::from_secs(60);

/// Answers with the events behind cursors. `horizons` are those of their streams, as far as the reader knows them. `permit` is
/// held until the end.
///
/// # Errors
/// The request is wrong, or the store can't be read.
pub async fn stream(
    stores: &[Store],
    cursors: &[Cursor],
    horizons: &[Option<Position>],
    permit: OwnedSemaphorePermit,
    mut stop: watch::Receiver<bool>,
) -> Result<Answer, Refusal> {
    if cursors.is_empty() {
        return Err(Refusal::bad("there are no cursors", "name at least one public schema"));
    }
    let Located { store, streams, wanted } = locate(stores, cursors).await?;
    let (client, heard) = store.listening().await?;
    let known = streams
        .iter()
        .zip(horizons)
        .map(|(stream, known)| Horizon { stream: stream.id, at: known.unwrap_or(stream.horizon) });
    let horizons = Horizons::prepare(&client, known.collect()).await.map_err(|error| store.failed(&error))?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let schemas = streams.iter().enumerate().map(|(index, stream)| (stream.id, index)).collect();
    let slug = store.slug.clone();
    let mut telling = Telling {
        client,
        heard,
        horizons,
        wanted,
        schemas,
        shapes: HashMap::new(),
        newest_shape: 0,
        current: None,
        out: Out { piece: Vec::new(), sender: sender.clone() },
    };
    tokio::spawn(async move {
        let _permit = permit;
        let told = tokio::select! {
            told = telling.run() => told,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
            () = sender.closed() => Ok(()),
        };
        let Err(Ended::Failed(error)) = told else { return };
        tracing::warn!(event_store = slug, "a stream ends: {}", Chain(&*error));
        let mut line = Vec::new();
        write_error(&mut line, &format!("event store `{slug}` can't be read now"));
        let _ = tokio::time::timeout(HEARTBEAT, sender.send(line.into())).await;
    });
    Ok(lines(pieces))
}

/// Why there is no more.
enum Ended {
    /// Nobody reads it.
    Unread,
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

struct Telling {
    client: Client,
    heard: Arc<Notify>,
    horizons: Horizons,
    wanted: Vec<Wanted>,
    /// Places in what was asked for, by the stream's id.
    schemas: HashMap<i32, usize>,
    /// Shapes that have not been told.
    shapes: HashMap<i32, Shape>,
    newest_shape: i32,
    /// Where the last event was.
    current: Option<Position>,
    out: Out,
}

impl Telling {
    async fn run(&mut self) -> Result<(), Ended> {
        let mut events = eventstore::events();
        self.client.batch_execute("LISTEN rejot_events").await?;
        loop {
            self.client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            if !self.horizons.hold(&self.client, &self.wanted).await? {
                return Err(Ended::Failed("events were removed that its reader has not read".into()));
            }
            let all = self.snapshot(&mut events).await?;
            self.client.batch_execute("COMMIT").await?;
            if !all {
                continue;
            }
            self.current = None;
            write_end(&mut self.out.piece);
            self.out.send().await?;
            let _ = tokio::time::timeout(POLL, self.heard.notified()).await;
        }
    }

    /// Tells what one snapshot has; false when it was left before its end.
    async fn snapshot(&mut self, events: &mut Events) -> Result<bool, Ended> {
        let began = Instant::now();
        let Telling { client, wanted, schemas, shapes, newest_shape, current, out, .. } = self;
        let ids: Vec<i32> = wanted.iter().map(|wanted| wanted.stream).collect();
        for shape in out.patiently(eventstore::shapes(client, &ids, *newest_shape)).await?? {
            *newest_shape = shape.id.max(*newest_shape);
            shapes.insert(shape.id, shape);
        }
        loop {
            let asked: Vec<Wanted> = wanted.clone();
            let mut page = out.patiently(events.page(client, &asked, PAGE)).await??;
            let mut count = 0;
            while let Some(event) = out.patiently(page.next()).await?? {
                count += 1;
                let position = event.position();
                let inside = current.is_some_and(|current| current.is_same_transaction(&position));
                if (!inside || event.is_copied()) && began.elapsed() >= SNAPSHOT {
                    return Ok(false);
                }
                let schema = schemas[&event.stream()];
                if let Some(shape) = shapes.remove(&event.shape()) {
                    write_shape(&mut out.piece, schema, &shape);
                }
                write_event(&mut out.piece, schema, &event)?;
                wanted[schema].after = position;
                *current = Some(position);
                if out.piece.len() >= PIECE_BYTES {
                    out.send().await?;
                }
            }
            if count < PAGE {
                return Ok(true);
            }
        }
    }
}

struct Out {
    piece: Vec<u8>,
    sender: mpsc::Sender<Bytes>,
}

impl Out {
    /// Sends what there is, once the reader has taken what was sent before.
    async fn send(&mut self) -> Result<(), Ended> {
        let piece = std::mem::take(&mut self.piece);
        match tokio::time::timeout(STALL, self.sender.send(piece.into())).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Ended::Unread),
        }
    }

    /// Waits for the store; the reader hears from us meanwhile.
    async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Ended> {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(HEARTBEAT, &mut work).await {
                Ok(done) => return Ok(done),
                Err(_) => {
                    // An empty line says nothing, and that somebody is there.
                    self.piece.push(b'\n');
                    self.send().await?;
                }
            }
        }
    }
}
