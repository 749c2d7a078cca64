//! The sessions that read chunks, several at once.
//!
//! Bounded: so many sessions, and a channel of a few events, behind which the readers wait.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::pace::TARGET_BYTES;
use super::read::{Event, Question, ReadJob};
use super::read_error::ReadError;
use super::reader::ChunkReader;
use super::table::TablePlan;
use crate::manifest::PostgresConnection;
use crate::postgres::{Session, cancel, connect};

/// How many events wait to be taken.
const EVENTS_MAX: usize = 4;

/// How long a read that failed is kept back before it is reported.
const PAUSE: Duration = Duration::from_millis(500);

/// Reads chunks at one source. Dropping it ends all reads.
pub struct Readers {
    shared: Arc<Shared>,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
}

struct Shared {
    to: PostgresConnection,
    sessions: Semaphore,
    idle: Mutex<Vec<ChunkReader>>,
}

impl Shared {
    async fn session(&self) -> Result<ChunkReader, ReadError> {
        let idle = self.idle.lock().expect("nothing panics while it is held").pop();
        match idle {
            Some(reader) if !reader.is_spent() => Ok(reader),
            _ => ChunkReader::new(connect(&self.to, &Session::source("pelton backfill")).await?).await,
        }
    }

    async fn give_back(&self, reader: ChunkReader) {
        if !reader.is_spent() {
            self.idle.lock().expect("nothing panics while it is held").push(reader);
        } else if let Err(error) = cancel(&self.to, &reader.cancel_token()).await {
            // Then the server notices by itself, once it writes to the closed session.
            tracing::debug!(%error, "the rest of a chunk that ended early was not cancelled");
        }
    }
}

impl Readers {
    /// Makes readers that use up to `sessions_max` sessions at `to` for rows (2 is a good number), and one for questions.
    pub fn new(to: PostgresConnection, sessions_max: usize) -> Readers {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let shared = Shared { to, sessions: Semaphore::new(sessions_max.max(1)), idle: Mutex::default() };
        Readers { shared: Arc::new(shared), events, sender, tasks: JoinSet::new() }
    }

    /// Starts a read of [`super::Backfill::next_read`].
    pub fn start(&mut self, job: ReadJob) {
        while self.tasks.try_join_next().is_some() {}
        let (shared, events) = (self.shared.clone(), self.sender.clone());
        self.tasks.spawn(async move {
            let _turn = shared.sessions.acquire().await;
            let read = async {
                let mut reader = shared.session().await?;
                let arrived = reader.read(&job, &events).await;
                shared.give_back(reader).await;
                arrived
            };
            let event = match read.await {
                Ok(arrived) => Event::Arrived(arrived),
                Err(error) => {
                    tokio::time::sleep(PAUSE).await;
                    Event::Failed { read: job.read, error }
                }
            };
            let _ = events.send(event).await;
        });
    }

    /// Starts the copy of a table of [`super::Backfill::tables_to_copy_whole`] under an exported snapshot, which must
    /// stay exported until the first piece arrives.
    pub fn start_whole(&mut self, table: usize, plan: Arc<TablePlan>, snapshot: String) {
        let (shared, events) = (self.shared.clone(), self.sender.clone());
        self.tasks.spawn(async move {
            let copy = async {
                let mut reader = shared.session().await?;
                reader.read_whole(table, &plan, &snapshot, TARGET_BYTES, &events).await
            };
            if let Err(error) = copy.await {
                let _ = events.send(Event::CopyFailed { table, error }).await;
            }
        });
    }

    /// Returns the next event. Waits for ever when nothing is being read.
    pub async fn event(&mut self) -> Event {
        self.events.recv().await.expect("a sender is kept here")
    }

    /// Asks Postgres; the answer is for [`super::Backfill::learn`].
    ///
    /// # Errors
    /// [`ReadError`]; the question can be asked again when it is transient.
    pub async fn answer(&self, question: &Question) -> Result<Vec<bool>, ReadError> {
        let reader = self.shared.session().await?;
        let answer = reader.answer(question).await;
        self.shared.give_back(reader).await;
        answer
    }
}
