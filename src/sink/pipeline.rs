//! Statements that are sent one behind another without waiting for answers.
//!
//! A small transaction then costs one round trip however many statements it has. Each statement is its own unit to the
//! server, so after a failure the ones behind it fail too (25P02, in a failed transaction): the first failure in order
//! is the one that matters, and nothing behind it has taken effect.
//!
//! A connection gives out answers in order, and keeps only a few pieces of one that nobody reads: each packet of the
//! server and each NOTICE in between begins a new piece. So whoever waits for a later answer must read the earlier ones
//! meanwhile, or both wait for ever: that is [`Pipeline::alongside`].

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio_postgres::{Client, Error, Statement};

use super::encode::Param;
use super::shape::Shape;
use super::statement::{self, Which};
use super::{SinkError, WriteStats};

/// Statements that may be on their way at a time, and the bytes of their parameters: the server's answers pile up here
/// until they are looked at, and what is sent lies in the connection's buffer until the server takes it.
const STATEMENTS_MAX: usize = 1000;
const BYTES_MAX: usize = 8 << 20;

/// What the number of rows that a statement reports means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    Nothing,
    Inserted,
    Upserted,
    /// Of so many rows that should have been there.
    Updated {
        expected: u64,
    },
    /// The same.
    Deleted {
        expected: u64,
    },
    Truncated {
        tables: u64,
    },
}

/// What a statement is about, for its error.
#[derive(Clone)]
pub(super) struct About {
    pub act: &'static str,
    pub table: Option<(usize, Arc<Shape>)>,
    /// The consumer whose own statement it is, and which of what is written here that is.
    pub consumer: Option<(usize, Arc<str>, Which)>,
}

impl About {
    pub(super) fn session(act: &'static str) -> About {
        About { act, table: None, consumer: None }
    }

    pub(super) fn table(act: &'static str, table: usize, shape: &Arc<Shape>) -> About {
        About { act, table: Some((table, shape.clone())), consumer: None }
    }

    pub(super) fn fails(&self, error: Error) -> SinkError {
        if let Some((index, consumer, which)) = &self.consumer {
            return statement::refused(consumer, *which, Some(*index), self.act, error);
        }
        let (index, name) = match &self.table {
            Some((index, shape)) => (Some(*index), Some(shape.readable.as_str())),
            None => (None, None),
        };
        SinkError::server(self.act, index, name, error)
    }
}

type Reply<'p> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'p>>;

struct Sent<'p> {
    about: About,
    counts: Counts,
    reply: Reply<'p>,
    /// The answer, where it came before it was asked for.
    early: Option<Result<u64, Error>>,
}

impl Sent<'_> {
    /// Reads the answer as far as it has come. Returns true once it is there.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        if self.early.is_none()
            && let Poll::Ready(result) = self.reply.as_mut().poll(cx)
        {
            self.early = Some(result);
        }
        self.early.is_some()
    }
}

/// The statements on their way.
pub(super) struct Pipeline<'p> {
    client: &'p Client,
    sent: VecDeque<Sent<'p>>,
    bytes: usize,
    pub stats: WriteStats,
}

impl<'p> Pipeline<'p> {
    pub(super) fn new(client: &'p Client) -> Pipeline<'p> {
        Pipeline { client, sent: VecDeque::new(), bytes: 0, stats: WriteStats::default() }
    }

    /// Sends a statement. Waits only while too much is on its way.
    pub(super) async fn execute(
        &mut self,
        about: About,
        counts: Counts,
        statement: Statement,
        params: Vec<Param<'p>>,
    ) -> Result<(), SinkError> {
        let bytes: usize = params.iter().map(Param::len).sum();
        let client = self.client;
        self.stats.bytes += bytes as u64;
        self.send(about, counts, bytes, Box::pin(async move { client.execute_raw(&statement, params).await })).await
    }

    /// Sends statements without parameters that return nothing.
    pub(super) async fn batch(&mut self, about: About, counts: Counts, sql: String) -> Result<(), SinkError> {
        let client = self.client;
        self.send(about, counts, sql.len(), Box::pin(async move { client.batch_execute(&sql).await.map(|()| 0) })).await
    }

    async fn send(&mut self, about: About, counts: Counts, bytes: usize, reply: Reply<'p>) -> Result<(), SinkError> {
        if self.sent.len() >= STATEMENTS_MAX || (self.bytes + bytes > BYTES_MAX && !self.sent.is_empty()) {
            self.settle().await?;
        }
        // tokio-postgres hands a statement to its connection when the future is first polled: doing that here, one by
        // one, is what keeps the statements in order. The reply is waited for in `settle`, with a real waker.
        let mut sent = Sent { about, counts, reply, early: None };
        sent.read(&mut Context::from_waker(Waker::noop()));
        self.bytes += bytes;
        self.sent.push_back(sent);
        Ok(())
    }

    /// Waits for something that is asked of the connection behind the statements on their way, and reads their answers
    /// meanwhile.
    pub(super) async fn alongside<F: Future>(&mut self, later: F) -> F::Output {
        let mut later = std::pin::pin!(later);
        let mut unread = self.sent.iter().take_while(|sent| sent.early.is_some()).count();
        std::future::poll_fn(|cx| {
            while self.sent.get_mut(unread).is_some_and(|sent| sent.read(cx)) {
                unread += 1;
            }
            later.as_mut().poll(cx)
        })
        .await
    }

    /// Waits for all answers and counts them.
    ///
    /// # Errors
    /// The first failure in order. What was sent behind it had no effect.
    pub(super) async fn settle(&mut self) -> Result<(), SinkError> {
        self.bytes = 0;
        while let Some(sent) = self.sent.pop_front() {
            let result = match sent.early {
                Some(result) => result,
                None => sent.reply.await,
            };
            match result {
                Ok(rows) => self.count(sent.about.table.map(|(table, _)| table), sent.counts, rows),
                Err(error) => {
                    self.sent.clear();
                    return Err(sent.about.fails(error));
                }
            }
        }
        Ok(())
    }

    /// Turns a failure of a statement that was waited for into the first failure in order.
    pub(super) async fn first_failure(&mut self, about: &About, error: Error) -> SinkError {
        match self.settle().await {
            Err(earlier) => earlier,
            Ok(()) => about.fails(error),
        }
    }

    fn count(&mut self, table: Option<usize>, counts: Counts, rows: u64) {
        let stats = &mut self.stats;
        let missing = match counts {
            Counts::Updated { expected } | Counts::Deleted { expected } => expected.saturating_sub(rows),
            _ => 0,
        };
        stats.miss(table.unwrap_or_default(), missing);
        match counts {
            Counts::Nothing => {}
            Counts::Inserted => stats.inserted += rows,
            Counts::Upserted => stats.upserted += rows,
            Counts::Updated { .. } => stats.updated += rows,
            Counts::Deleted { .. } => stats.deleted += rows,
            Counts::Truncated { tables } => stats.truncated += tables,
        }
    }
}
