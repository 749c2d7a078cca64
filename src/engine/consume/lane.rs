//! Consumers that go on together: one task reads their events, another writes their rows and moves their cursors, in one
//! transaction of the destination for each batch.
//!
//! What a crash leaves: the destination has whole transactions of the source up to each consumer's cursor, and whoever comes
//! next reads on from there. An event is read again after a crash, and never written twice, for cursor and rows commit
//! together under the owner's token.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_postgres::Client;

use crate::datastore::{ConsumerSession, CursorMove, DataStoreError};
use crate::eventstore::{self, Event, Events, Horizons};
use crate::fault;
use crate::sink::{Addressed, Destination, SinkError, WriteStats};

use super::super::failure::EngineError;
use super::gather::{Consumer, Gather, Gathered};
use super::remote::Remote;

/// Events of one page.
const PAGE: i64 = 20_000;
/// How often is looked for events that nobody told of.
const POLL: Duration = Duration::from_secs(1);

/// How a lane ended.
#[derive(Debug)]
pub enum Ended {
    /// It was to go on until then only.
    CaughtUp,
    /// It was asked to.
    Stopped,
    /// `consumer` is the one that failed, where one did.
    Failed { consumer: Option<String>, error: EngineError },
}

/// Until when a lane goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Stopped,
    /// Until it has read everything, once nothing more is published by this process.
    Published,
    /// Until it has read everything that there is.
    Live,
}

/// Where the events come from.
pub enum LaneEvents {
    /// A session at the event store that listens, and what it hears.
    Store {
        slug: String,
        client: Client,
        heard: Arc<Notify>,
        horizons: Horizons,
    },
    Service(Remote),
}

/// What a lane needs.
pub struct Lane {
    pub slug: String,
    pub events: LaneEvents,
    pub client: Client,
    pub session: ConsumerSession,
    pub destination: Destination,
    /// Of each table: all of its rows are there, so one that is missing stops its consumer.
    pub whole: Vec<bool>,
    pub consumers: Vec<Consumer>,
    pub until: Until,
    /// True once nothing more is published by this process.
    pub published: watch::Receiver<bool>,
    pub stop: watch::Receiver<bool>,
}

impl Lane {
    /// Runs until it fails, is asked to stop, or has caught up where that is asked for.
    pub async fn run(self) -> Ended {
        let names: Vec<String> = self.consumers.iter().map(|consumer| consumer.name.clone()).collect();
        let of_table = names.clone();
        // Whatever fails where there is only one is its own.
        let only = if names.len() == 1 { names.first().cloned() } else { None };
        let (batches, received) = mpsc::channel(1);
        let until = self.until;
        let batches = Batches { gather: Gather::new(self.consumers), batches, stop: self.stop };
        let writer = Writer {
            slug: self.slug,
            client: self.client,
            session: self.session,
            destination: self.destination,
            whole: self.whole,
            told_missing: Vec::new(),
            names,
        };
        let writing = writer.run(received);
        let reading = async {
            match self.events {
                LaneEvents::Store { slug, client, heard, horizons } => {
                    let published = self.published;
                    Reader { batches, slug, client, heard, horizons, until, published }.run().await
                }
                LaneEvents::Service(remote) => remote.run(batches, until).await,
            }
        };
        // The reader ends when the writer hangs up, and the other way round.
        let (read, written) = tokio::join!(reading, writing);
        if let Err(error) = written {
            let consumer = match &error {
                EngineError::Sink { source, .. } => source.table_index().and_then(|table| of_table.get(table).cloned()),
                _ => None,
            };
            return Ended::Failed { consumer: consumer.or(only), error };
        }
        read.unwrap_or_else(|(consumer, error)| Ended::Failed { consumer: consumer.or(only), error })
    }
}

/// Collects what is read, and hands it to the writer.
pub(super) struct Batches {
    pub gather: Gather,
    batches: mpsc::Sender<Gathered>,
    stop: watch::Receiver<bool>,
}

impl Batches {
    /// Takes an event, and hands on what is full. Returns whether to go on.
    ///
    /// # Errors
    /// See [`Gather::take`].
    pub async fn take(&mut self, event: &Event) -> Result<bool, (Option<String>, EngineError)> {
        let full = self.gather.take(event);
        let full = full.map_err(|(consumer, error)| (Some(self.gather.name(consumer)), error))?;
        Ok(full.is_none() || self.hand_on(full).await)
    }

    /// Hands rows on, and returns whether to go on. What is given up inside a transaction is rolled back.
    pub async fn hand_on(&mut self, batch: Option<Gathered>) -> bool {
        if *self.stop.borrow() {
            return false;
        }
        match batch {
            Some(batch) => self.batches.send(batch).await.is_ok(),
            None => true,
        }
    }

    /// Waits until nothing more is wanted.
    pub async fn unwanted(&mut self) {
        tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => {}
            () = self.batches.closed() => {}
        }
    }
}

struct Reader {
    batches: Batches,
    slug: String,
    client: Client,
    heard: Arc<Notify>,
    horizons: Horizons,
    until: Until,
    published: watch::Receiver<bool>,
}

impl Reader {
    /// Reads until it is asked to stop, the writer has hung up, or it has caught up.
    ///
    /// # Errors
    /// The consumer that it concerns, where it is one's own.
    async fn run(mut self) -> Result<Ended, (Option<String>, EngineError)> {
        let mut events = eventstore::events();
        self.execute("listen", "LISTEN rejot_events").await?;
        loop {
            let nothing_more = *self.published.borrow();
            let read = match self.read(&mut events).await? {
                Read::Gone => return Ok(Ended::Stopped),
                read => read,
            };
            if let Read::Page = read {
                continue;
            }
            match self.until {
                Until::Live => return Ok(Ended::CaughtUp),
                Until::Published if nothing_more => return Ok(Ended::CaughtUp),
                Until::Published | Until::Stopped => {}
            }
            let mut published = self.published.clone();
            let end = async {
                if nothing_more || published.wait_for(|published| *published).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.heard.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                () = end => {}
                () = self.batches.unwanted() => return Ok(Ended::Stopped),
            }
        }
    }

    async fn execute(&self, act: &'static str, sql: &str) -> Result<(), (Option<String>, EngineError)> {
        let done = self.client.batch_execute(sql).await.map_err(DataStoreError::query(act));
        done.map_err(|source| (None, EngineError::EventStore { slug: self.slug.clone(), source }))
    }

    /// Reads a page, or, of a transaction that is larger, as many as it takes, all of one snapshot.
    async fn read(&mut self, events: &mut Events) -> Result<Read, (Option<String>, EngineError)> {
        let wanted = self.batches.gather.wanted();
        let Reader { client, horizons, slug, .. } = self;
        let failed = |source| (None, EngineError::EventStore { slug: slug.clone(), source });
        let begin = client.batch_execute(eventstore::BEGIN_READING);
        let begun = async { begin.await.map_err(DataStoreError::query("begin to read events")) };
        // In this order: what is polled first is sent first. One round trip.
        let ((), all) = tokio::try_join!(biased; begun, horizons.hold(client, &wanted)).map_err(failed)?;
        if !all {
            return Err((None, EngineError::HorizonMoved { slug: slug.clone() }));
        }
        let read = loop {
            let is_full = match self.page(events).await? {
                None => return Ok(Read::Gone),
                Some(count) => count == PAGE,
            };
            let gather = &mut self.batches.gather;
            let ended = if is_full { gather.end_of_page() } else { gather.end_of_all() };
            if !self.batches.hand_on(ended).await {
                return Ok(Read::Gone);
            }
            if !is_full {
                break Read::All;
            }
            if !self.batches.gather.is_inside() {
                break Read::Page;
            }
        };
        self.execute("end reading", "COMMIT").await?;
        Ok(read)
    }

    /// Reads a page and returns how many events it had; `None` when nobody wants them any more.
    async fn page(&mut self, events: &mut Events) -> Result<Option<i64>, (Option<String>, EngineError)> {
        let slug = self.slug.clone();
        let failed = |source| (None, EngineError::EventStore { slug: slug.clone(), source });
        let mut page = events.page(&self.client, &self.batches.gather.wanted(), PAGE).await.map_err(failed)?;
        let mut count = 0;
        while let Some(event) = page.next().await.map_err(failed)? {
            count += 1;
            if !self.batches.take(&event).await? {
                return Ok(None);
            }
        }
        Ok(Some(count))
    }
}

/// What was read.
enum Read {
    /// There is more.
    Page,
    /// Everything that there was.
    All,
    /// Nobody wants it any more.
    Gone,
}

struct Writer {
    slug: String,
    client: Client,
    session: ConsumerSession,
    destination: Destination,
    whole: Vec<bool>,
    told_missing: Vec<usize>,
    names: Vec<String>,
}

impl Writer {
    /// Writes what comes until the reader hangs up.
    async fn run(mut self, mut batches: mpsc::Receiver<Gathered>) -> Result<(), EngineError> {
        let mut open = false;
        let mut rows = vec![0i64; self.names.len()];
        while let Some(batch) = batches.recv().await {
            self.write(&batch, !open).await?;
            open = true;
            rows.iter_mut().zip(&batch.cursors).for_each(|(sum, (_, more))| *sum += more);
            if !batch.complete {
                continue;
            }
            fault::point("before-cursor");
            let moves: Vec<CursorMove<'_>> = (self.names.iter().zip(&batch.cursors).zip(&rows))
                .map(|((consumer, &(cursor, _)), &rows)| CursorMove { consumer, cursor, rows })
                .collect();
            let committed = self.session.commit(&self.client, &moves, batch.commit_time).await;
            committed.map_err(|error| self.at_commit(error))?;
            fault::point("after-cursor");
            open = false;
            rows.fill(0);
        }
        // An open transaction is one whose end was not read: it comes again.
        Ok(())
    }

    async fn write(&mut self, batch: &Gathered, begin: bool) -> Result<(), EngineError> {
        let addressed: Vec<Addressed<'_>> =
            batch.rows.iter().map(|(table, row)| Addressed { table: *table, row }).collect();
        let Writer { client, session, destination, slug, .. } = self;
        let owned = async {
            let begun = if begin { session.begin(client).await } else { Ok(()) };
            begun.map_err(|source| EngineError::DataStore { slug: slug.clone(), source })
        };
        let written = async {
            let written = destination.write(client, &addressed).await;
            written.map_err(|source| EngineError::Sink { slug: slug.clone(), source })
        };
        // In this order: what is polled first is sent first, and its error counts first.
        let ((), stats) = tokio::try_join!(biased; owned, written)?;
        fault::point("after-consumed");
        self.nothing_is_missing(&stats)
    }

    /// See `group::Writer::nothing_is_missing`.
    fn nothing_is_missing(&mut self, stats: &WriteStats) -> Result<(), EngineError> {
        for &(table, rows) in &stats.missing_by_table {
            let name = self.destination.name(table);
            if self.whole[table] {
                let source = SinkError::RowsMissing { table: name, index: table, rows };
                return Err(EngineError::Sink { slug: self.slug.clone(), source });
            }
            if !self.told_missing.contains(&table) {
                self.told_missing.push(table);
                tracing::warn!(table = name, rows, "left out changes of rows that are not at the destination");
            }
        }
        Ok(())
    }

    /// A constraint that was deferred speaks up at the commit; its message is told like that of any other row.
    fn at_commit(&self, error: DataStoreError) -> EngineError {
        match error {
            DataStoreError::Query { source, .. } if source.as_db_error().is_some() => {
                EngineError::Sink { slug: self.slug.clone(), source: SinkError::at_commit(source) }
            }
            source => EngineError::DataStore { slug: self.slug.clone(), source },
        }
    }
}
