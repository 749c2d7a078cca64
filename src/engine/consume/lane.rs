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
use crate::eventstore;
use crate::fault;
use crate::sink::{Addressed, Destination, SinkError, WriteStats};

use super::super::failure::EngineError;
use super::gather::{Consumer, Gather, Gathered};

/// Events of one page.
const PAGE: i64 = 20_000;
/// How often is looked for events that nobody told of.
const POLL: Duration = Duration::from_secs(1);

/// How a lane ended.
#[derive(Debug)]
pub enum Ended {
    /// Everything that was published before has been applied.
    CaughtUp,
    /// It was asked to.
    Stopped,
    /// `consumer` is the one that failed, where one did.
    Failed { consumer: Option<String>, error: EngineError },
}

/// What a lane needs.
pub struct Lane {
    pub store_slug: String,
    pub slug: String,
    /// A session at the event store that listens, and what it hears.
    pub store: Client,
    pub heard: Arc<Notify>,
    pub client: Client,
    pub session: ConsumerSession,
    pub destination: Destination,
    /// Of each table: all of its rows are there, so one that is missing stops its consumer.
    pub whole: Vec<bool>,
    pub consumers: Vec<Consumer>,
    /// End once it has caught up with what the event store has.
    pub until_caught_up: bool,
    /// True once nothing more is published by this process.
    pub published: watch::Receiver<bool>,
    pub stop: watch::Receiver<bool>,
}

impl Lane {
    /// Runs until it fails, is asked to stop, or has caught up where that is asked for.
    pub async fn run(self) -> Ended {
        let names: Vec<String> = self.consumers.iter().map(|consumer| consumer.name.clone()).collect();
        let of_table = names.clone();
        let (batches, received) = mpsc::channel(1);
        let reader = Reader {
            gather: Gather::new(self.consumers),
            slug: self.store_slug,
            client: self.store,
            heard: self.heard,
            batches,
            until_caught_up: self.until_caught_up,
            published: self.published,
            stop: self.stop,
        };
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
        // The reader ends when the writer hangs up, and the other way round.
        let (read, written) = tokio::join!(reader.run(), writing);
        if let Err(error) = written {
            let consumer = match &error {
                EngineError::Sink { source, .. } => source.table_index().and_then(|table| of_table.get(table).cloned()),
                _ => None,
            };
            return Ended::Failed { consumer, error };
        }
        read.unwrap_or_else(|error| Ended::Failed { consumer: None, error })
    }
}

struct Reader {
    gather: Gather,
    slug: String,
    client: Client,
    heard: Arc<Notify>,
    batches: mpsc::Sender<Gathered>,
    until_caught_up: bool,
    published: watch::Receiver<bool>,
    stop: watch::Receiver<bool>,
}

impl Reader {
    async fn run(mut self) -> Result<Ended, EngineError> {
        let mut events = eventstore::events();
        let slug = self.slug.clone();
        let failed = move |source| EngineError::EventStore { slug: slug.clone(), source };
        let query = DataStoreError::query;
        self.client.batch_execute("LISTEN rejot_events").await.map_err(query("listen")).map_err(&failed)?;
        loop {
            if *self.stop.borrow() {
                return Ok(Ended::Stopped);
            }
            let nothing_more = *self.published.borrow();
            // One snapshot for all pages of a transaction that is larger than one.
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            self.client.batch_execute(begin).await.map_err(query("begin to read events")).map_err(&failed)?;
            let mut more = true;
            while more {
                let wanted = self.gather.wanted();
                let mut page = events.page(&self.client, &wanted, PAGE).await.map_err(&failed)?;
                let mut count = 0;
                while let Some(event) = page.next().await.map_err(&failed)? {
                    count += 1;
                    if let Some(full) = self.gather.take(&event)?
                        && self.batches.send(full).await.is_err()
                    {
                        return Ok(Ended::Stopped);
                    }
                }
                let is_full = count == PAGE;
                let ended = if is_full { self.gather.end_of_page() } else { self.gather.end_of_all() };
                if let Some(batch) = ended
                    && self.batches.send(batch).await.is_err()
                {
                    return Ok(Ended::Stopped);
                }
                more = is_full && self.gather.is_inside();
                if is_full && !more {
                    break;
                }
                if !is_full && self.until_caught_up && nothing_more {
                    return Ok(Ended::CaughtUp);
                }
                if !is_full {
                    let commit = "COMMIT";
                    self.client.batch_execute(commit).await.map_err(query("end reading")).map_err(&failed)?;
                    let mut published = self.published.clone();
                    let nothing_more = async {
                        if nothing_more || published.wait_for(|published| *published).await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    };
                    tokio::select! {
                        () = self.heard.notified() => {}
                        () = tokio::time::sleep(POLL) => {}
                        () = nothing_more => {}
                        _ = self.stop.wait_for(|stop| *stop) => return Ok(Ended::Stopped),
                        () = self.batches.closed() => return Ok(Ended::Stopped),
                    }
                    break;
                }
            }
            self.client.batch_execute("ROLLBACK").await.map_err(query("end reading")).map_err(&failed)?;
        }
    }
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
            let name = self.destination.tables()[table].target().readable();
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
