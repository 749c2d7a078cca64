//! The replication stream: a thread that reads the write-ahead log in gulps and reports what is durable.
//!
//! # Why a thread, and why gulps
//! A walsender flushes every message into its socket. A client that wakes, reads and passes on one message at a time
//! spends nearly all of its time in the kernel and slows the server down too. So an OS thread of its own reads into a
//! large buffer, and whatever has piled up there becomes one [`Gulp`], whose messages are slices of that buffer. While
//! a backlog flows, the thread naps some hundred microseconds after a short read, so that the socket fills; when
//! little comes, it delivers at once (`pace`).
//!
//! # What may be acknowledged
//! [`ReplicationStream::confirm`] alone moves the position that the server is told; status updates, those that a
//! keepalive asked for included, repeat it. A keepalive's position is never acknowledged by itself: it may lie inside
//! of what we have received and not yet applied. Before the first `confirm` the server is told `0/0`, which it takes
//! for "nothing new".
//!
//! # What is bounded
//! Gulps that wait for the consumer hold at most [`StreamOptions::queue_bytes`], except for one single message that is
//! larger than that, which then waits alone. While the queue is full nothing is read, so the server waits too; status
//! updates go on, so it does not take us for dead. Connecting, the silence of a server and closing are bounded in time.

mod error;
mod gulp;
mod handshake;
mod pace;
mod reader;
mod snapshot;
mod status;
mod timeline;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

pub use super::identity::SystemIdentity;
pub use error::ReplicationError;
pub use gulp::{Gulp, WalMessage};
pub use snapshot::{ExportedSnapshot, SnapshotKeeper, SnapshotSlot, create_slot_with_snapshot};
pub use timeline::{Fork, forks};

use crate::lsn::Lsn;
use crate::manifest::PostgresConnection;
use crate::postgres::connect::Session;

/// What to read, and how.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    pub slot: String,
    /// Makes the slot first, as one that goes with this very connection. It waits until every transaction that is running
    /// right now has ended. `false` by default.
    pub temporary: bool,
    /// At least one.
    pub publications: Vec<String>,
    /// The stream holds every transaction whose commit ends behind this. The server never goes back behind what the
    /// slot has confirmed, and says nothing about it: compare [`crate::postgres::slot::Slot::confirmed_flush`] first.
    pub start: Lsn,
    pub application_name: String,
    /// A server that says nothing for this long is given up; it is asked at half of it. 60 s by default.
    pub silence_max: Duration,
    /// How much may wait for the consumer. 8 MiB by default, 1 MiB at least.
    pub queue_bytes: usize,
}

impl StreamOptions {
    pub fn new(slot: impl Into<String>, publication: impl Into<String>, start: Lsn) -> StreamOptions {
        StreamOptions {
            slot: slot.into(),
            temporary: false,
            publications: vec![publication.into()],
            start,
            application_name: "pelton".to_owned(),
            silence_max: Duration::from_secs(60),
            queue_bytes: 8 << 20,
        }
    }
}

/// Opens a replication connection, asks the server who it is, and closes it: the one sure way to know that the address
/// leads to Postgres itself. Poolers refuse the connection, or drop its mode and take the question for SQL.
///
/// # Errors
/// [`ReplicationError`]: `Connect` where the connection is refused, `Refused` where the question is.
pub async fn identify(to: &PostgresConnection, application_name: &str) -> Result<SystemIdentity, ReplicationError> {
    let mut wire = handshake::open(to, &Session::source(application_name)).await?;
    reader::identify(&mut wire).await
}

/// What the consumer tells the thread.
#[derive(Debug, Default)]
struct Shared {
    confirmed: AtomicU64,
    closing: AtomicBool,
    /// The consumer wants to know how far the server is.
    asking: AtomicBool,
    call: Notify,
}

impl Shared {
    fn confirmed(&self) -> Lsn {
        Lsn(self.confirmed.load(Ordering::Acquire))
    }

    fn confirm(&self, lsn: Lsn) {
        if self.confirmed.fetch_max(lsn.0, Ordering::AcqRel) < lsn.0 {
            self.call.notify_one();
        }
    }

    fn asking(&self) -> bool {
        self.asking.swap(false, Ordering::AcqRel)
    }

    fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    async fn called(&self) {
        self.call.notified().await;
    }
}

/// Tells the server what is durable; may be cloned and outlive the stream, and does nothing then.
#[derive(Clone, Debug)]
pub struct Confirmer(Arc<Shared>);

impl Confirmer {
    /// Everything before `lsn` is durable and may be discarded at the server. Going back has no effect.
    pub fn confirm(&self, lsn: Lsn) {
        self.0.confirm(lsn);
    }
}

/// A replication stream that has started. Dropping it ends its thread and its connection at once.
#[derive(Debug)]
pub struct ReplicationStream {
    shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<Result<Gulp, ReplicationError>>,
    finished: oneshot::Receiver<Result<(), ReplicationError>>,
    identity: SystemIdentity,
}

impl ReplicationStream {
    /// Connects on a thread of its own and starts the stream.
    ///
    /// # Errors
    /// [`ReplicationError`]; `is_transient` says whether to try again. Right after another process stopped reading,
    /// [`ReplicationError::SlotInUse`] is normal for a moment.
    pub async fn start(to: &PostgresConnection, options: StreamOptions) -> Result<ReplicationStream, ReplicationError> {
        let shared = Arc::new(Shared::default());
        let (queue, receiver) = mpsc::unbounded_channel();
        let (ready, started) = oneshot::channel();
        let (finish, finished) = oneshot::channel();
        let (to, thread_shared) = (to.clone(), Arc::clone(&shared));
        // Built here, so that an error of it can be returned.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|source| ReplicationError::Thread { source })?;
        let read = move || {
            runtime.block_on(async {
                let starting = reader::start(&to, &options);
                let stream = tokio::select! {
                    stream = starting => stream,
                    // Whoever waited for the start has gone.
                    () = queue.closed() => return,
                };
                match stream {
                    Err(error) => drop(ready.send(Err(error))),
                    Ok(stream) => {
                        if ready.send(Ok(stream.identity)).is_ok() {
                            let result = reader::Reader::new(stream, thread_shared, queue, options).run().await;
                            let _ = finish.send(result);
                        }
                    }
                }
            });
            // Looking up a name may hang; it is not waited for.
            runtime.shutdown_background();
        };
        std::thread::Builder::new()
            .name("wal-reader".to_owned())
            .spawn(read)
            .map_err(|source| ReplicationError::Thread { source })?;
        let identity = started.await.map_err(|_| ReplicationError::Ended)??;
        Ok(ReplicationStream { shared, queue: receiver, finished, identity })
    }

    /// Returns the cluster that the stream comes from, as it said on this very connection.
    pub fn identity(&self) -> SystemIdentity {
        self.identity
    }

    /// Waits for the next gulp. May be dropped while it waits without losing anything.
    ///
    /// # Errors
    /// The reason for the end of the stream, once; after it [`ReplicationError::Ended`].
    pub async fn next(&mut self) -> Result<Gulp, ReplicationError> {
        let mut gulp = self.queue.recv().await.unwrap_or(Err(ReplicationError::Ended))?;
        gulp.permit = None;
        Ok(gulp)
    }

    /// Returns the next gulp if it is there already.
    pub fn try_next(&mut self) -> Option<Result<Gulp, ReplicationError>> {
        let mut gulp = self.queue.try_recv().ok()?;
        if let Ok(gulp) = &mut gulp {
            gulp.permit = None;
        }
        Some(gulp)
    }

    /// Everything before `lsn` is durable and may be discarded at the server, which is told within milliseconds.
    /// Going back has no effect.
    pub fn confirm(&self, lsn: Lsn) {
        self.shared.confirm(lsn);
    }

    /// Asks the server how far it is; the answer is a keepalive. A server that has things to send answers by sending.
    pub fn ask(&self) {
        self.shared.asking.store(true, Ordering::Release);
        self.shared.call.notify_one();
    }

    /// Returns a handle for [`confirm`](ReplicationStream::confirm).
    pub fn confirmer(&self) -> Confirmer {
        Confirmer(Arc::clone(&self.shared))
    }

    /// Ends the stream in order: sends the last status and waits, some seconds at most, until the server took it.
    ///
    /// # Errors
    /// [`ReplicationError`], if the server did not; nothing is lost then, what was not confirmed comes again.
    pub async fn close(self) -> Result<(), ReplicationError> {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.call.notify_one();
        // The queue is held until the end: closing it would end the thread at once.
        let ReplicationStream { mut queue, finished, .. } = self;
        match finished.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(ReplicationError::Ended),
        }
        // The stream may have failed before it was asked to close.
        while let Ok(left) = queue.try_recv() {
            left?;
        }
        Ok(())
    }
}
