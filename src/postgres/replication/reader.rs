//! The thread's own loop: read, cut, hand over, and never stop answering the server.
//!
//! Whatever the loop waits for (bytes, room in the queue, a deadline), it waits for all of it at once, so a consumer
//! that stands still keeps the stream from being read and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use pgwire_replication::protocol::framing::{write_copy_data, write_copy_done, write_query};
use pgwire_replication::protocol::{encode_standby_status_update, unix_to_pg_timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Moment;
use super::gulp::{BUFFER_BYTES, Cut, End, Gulp, GulpBuffer};
use super::pace::{LOOPBACK_WINDOW_BYTES, Pace};
use super::status::{Feedback, regular_interval};
use super::wire::Wire;
use super::{ReplicationError, Shared, StreamOptions, handshake};
use crate::manifest::PostgresConnection;
use crate::postgres::connect::{NO_TRANSACTION_TIMEOUT, Session};
use crate::postgres::identity::SystemIdentity;
use crate::postgres::quote::quote_ident;
use crate::postgres::stream::Stream;

/// How long the server may take to acknowledge the last status, and then to end the session.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// How many gulps may wait, however small they are.
const QUEUE_GULPS_MAX: usize = 8;

/// What the consumer gets: gulps, and one error at the end.
pub(super) type Queue = UnboundedSender<Result<Gulp, ReplicationError>>;

/// A stream that has started.
pub(super) struct Started {
    wire: Wire,
    pub identity: SystemIdentity,
    wal_sender_timeout: Duration,
}

/// Connects and starts the stream.
pub(super) async fn start(to: &PostgresConnection, options: &StreamOptions) -> Result<Started, ReplicationError> {
    let mut wire = handshake::open(to, &Session::source(&options.application_name)).await?;
    let refused = |error| ReplicationError::of_server(Moment::Starting, &options.slot, &options.publications, error);
    let identity = identify(&mut wire).await?;
    let wal_sender_timeout = wal_sender_timeout(&mut wire).await?;
    // To the server, decoding a transaction of the source is a transaction too.
    wire.query(NO_TRANSACTION_TIMEOUT).await.map_err(|e| e.sorted(|source| ReplicationError::Refused { source }))?;
    if options.temporary {
        // Both words are understood by all versions; from 15 on the last one stands for `(SNAPSHOT 'nothing')`.
        let slot = quote_ident(&options.slot);
        let make = format!("CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT");
        let refused = |error| ReplicationError::of_server(Moment::Creating, &options.slot, &[], error);
        wire.query(&make).await.map_err(|e| e.sorted(refused))?;
    }
    write_query(&mut wire.stream, &start_statement(options))
        .await
        .map_err(|e| super::wire::WireError::from(e).sorted(refused))?;
    match wire.frame().await.map_err(|e| e.sorted(refused))? {
        (b'W', _) => Ok(Started { wire, identity, wal_sender_timeout }),
        (b'E', payload) => Err(refused(crate::postgres::ServerError::parse(&payload))),
        (other, _) => Err(ReplicationError::BadMessage { what: format!("a frame of type {other:#04x} at the start") }),
    }
}

pub(super) async fn identify(wire: &mut Wire) -> Result<SystemIdentity, ReplicationError> {
    let rows =
        wire.query("IDENTIFY_SYSTEM").await.map_err(|e| e.sorted(|source| ReplicationError::Refused { source }))?;
    let cell = |at: usize| rows.first()?.get(at)?.as_deref();
    let parsed =
        || Some(SystemIdentity { system_identifier: cell(0)?.parse().ok()?, timeline: cell(1)?.parse().ok()? });
    parsed()
        .ok_or_else(|| ReplicationError::BadMessage { what: "an answer to IDENTIFY_SYSTEM without numbers".to_owned() })
}

async fn wal_sender_timeout(wire: &mut Wire) -> Result<Duration, ReplicationError> {
    let sql = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'";
    let rows = wire.query(sql).await.map_err(|e| e.sorted(|source| ReplicationError::Refused { source }))?;
    let setting = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
    setting.map(Duration::from_millis).ok_or_else(|| ReplicationError::BadMessage {
        what: "no wal_sender_timeout among the server's settings".to_owned(),
    })
}

/// Names are quoted twice: as identifiers within the list of publications, and the list as a literal.
fn start_statement(options: &StreamOptions) -> String {
    let publications = options.publications.iter().map(|name| quote_ident(name)).collect::<Vec<_>>().join(",");
    // The grammar of replication commands knows no E'': within its quotes a backslash is a backslash.
    let publications = publications.replace('\'', "''");
    format!(
        "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names '{publications}', messages 'true')",
        quote_ident(&options.slot),
        options.start,
    )
}

/// Reads until the consumer goes away, or asks for the end, or the stream fails.
pub(super) struct Reader {
    stream: Stream,
    buffer: GulpBuffer,
    shared: Arc<Shared>,
    queue: Queue,
    room: Arc<Semaphore>,
    queue_bytes: usize,
    options: StreamOptions,
    feedback: Feedback,
    pace: Pace,
    received_at: Instant,
    asked_server: bool,
}

/// Why the loop woke up.
enum Wake {
    Called,
    Abandoned,
    Room(OwnedSemaphorePermit),
    Read(std::io::Result<usize>),
    Deadline,
}

impl Reader {
    pub fn new(started: Started, shared: Arc<Shared>, queue: Queue, options: StreamOptions) -> Reader {
        let now = Instant::now();
        let stream = started.wire.stream;
        let loopback = stream.loopback().map(|socket| {
            // A kernel that refuses leaves the buffer as it is, which costs speed alone.
            let _ = socket2::SockRef::from(socket).set_recv_buffer_size(LOOPBACK_WINDOW_BYTES);
        });
        let queue_bytes = options.queue_bytes.clamp(BUFFER_BYTES, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Reader {
            pace: Pace::new(loopback.is_some(), now),
            stream,
            buffer: GulpBuffer::new(started.wire.buffer),
            shared,
            queue,
            room: Arc::new(Semaphore::new(queue_bytes)),
            queue_bytes,
            feedback: Feedback::new(regular_interval(started.wal_sender_timeout), now),
            options,
            received_at: now,
            asked_server: false,
        }
    }

    /// Runs to the end; an error of the stream goes to the consumer behind the last gulp, one of closing is returned.
    pub async fn run(mut self) -> Result<(), ReplicationError> {
        match self.stream_on().await {
            Ok(Ended::Abandoned) => Ok(()),
            Ok(Ended::Closing) => self.finish().await,
            Err(error) => {
                let _ = self.queue.send(Err(error));
                Ok(())
            }
        }
    }

    async fn stream_on(&mut self) -> Result<Ended, ReplicationError> {
        let mut waiting: Option<Gulp> = None;
        let mut end: Option<End> = None;
        // What came together with the answer to START_REPLICATION.
        let cut = self.buffer.cut()?;
        self.take(cut, &mut waiting, &mut end);
        loop {
            if self.shared.closing() {
                return Ok(Ended::Closing);
            }
            if waiting.is_none()
                && let Some(end) = end.take()
            {
                return Err(self.ended(end));
            }
            if self.shared.asking() {
                self.send_status(true).await?;
            }
            let now = Instant::now();
            let confirmed = self.shared.confirmed();
            if self.feedback.due_at(confirmed, now) <= now {
                if let Err(error) = self.send_status(false).await {
                    // What has been read is the consumer's all the same.
                    if let Some(gulp) = waiting.take() {
                        let _ = self.queue.send(Ok(gulp));
                    }
                    return Err(error);
                }
                continue;
            }
            let mut deadline = self.feedback.due_at(confirmed, now);
            if waiting.is_none() {
                deadline = deadline.min(self.watch(now).await?);
            }
            match self.wait(waiting.as_ref(), deadline).await {
                Wake::Called | Wake::Deadline => {}
                Wake::Abandoned => return Ok(Ended::Abandoned),
                Wake::Room(permit) => {
                    let mut gulp = waiting.take().expect("room is waited for only with a gulp");
                    gulp.permit = Some(permit);
                    let _ = self.queue.send(Ok(gulp));
                    // While the queue was full nothing was read, so the server's silence was ours.
                    self.received_at = Instant::now();
                }
                Wake::Read(read) => {
                    let mut bytes = read.map_err(|source| ReplicationError::Lost { source })?;
                    if bytes == 0 {
                        let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                        return Err(ReplicationError::Lost { source });
                    }
                    if self.pace.more() {
                        bytes += self.drain(BUFFER_BYTES.saturating_sub(bytes)).await;
                    }
                    let cut = self.buffer.cut()?;
                    (self.received_at, self.asked_server) = (Instant::now(), false);
                    let messages = cut.gulp.messages.len();
                    self.take(cut, &mut waiting, &mut end);
                    // Hand over before the nap: it delays what comes next, never what is here.
                    self.hand_over(&mut waiting);
                    if let Some(nap) = self.pace.after_read(bytes, messages, self.received_at) {
                        // Finer than the runtime's timer, which counts milliseconds; this thread serves nothing else.
                        std::thread::sleep(nap);
                    }
                }
            }
        }
    }

    /// Reads on as long as there is something, up to so many bytes, and returns how many there were.
    async fn drain(&mut self, most: usize) -> usize {
        let mut bytes = 0;
        while bytes < most {
            // Lets the runtime hear from the kernel what the read before has let in.
            tokio::task::yield_now().await;
            match read_gulp(&mut self.stream, &mut self.buffer).now_or_never() {
                // An end or an error is found again by the next read.
                None | Some(Ok(0)) | Some(Err(_)) => break,
                Some(Ok(more)) => bytes += more,
            }
        }
        bytes
    }

    fn take(&mut self, cut: Cut, waiting: &mut Option<Gulp>, end: &mut Option<End>) {
        if cut.reply_requested {
            self.feedback.ask();
        }
        *end = cut.end;
        if !cut.gulp.messages.is_empty() {
            *waiting = Some(cut.gulp);
        }
    }

    /// Returns what a gulp takes of the queue's room: its size, but at least an eighth, so that the number of gulps is
    /// bounded too, and at most all of it, so that a message larger than the queue passes through alone.
    fn share(&self, gulp: &Gulp) -> u32 {
        gulp.bytes.clamp(self.queue_bytes / QUEUE_GULPS_MAX, self.queue_bytes) as u32
    }

    /// Hands a gulp over if there is room for it right now.
    fn hand_over(&mut self, waiting: &mut Option<Gulp>) {
        if let Some(mut gulp) = waiting.take() {
            match Arc::clone(&self.room).try_acquire_many_owned(self.share(&gulp)) {
                Ok(permit) => {
                    gulp.permit = Some(permit);
                    let _ = self.queue.send(Ok(gulp));
                }
                Err(_) => *waiting = Some(gulp),
            }
        }
    }

    async fn wait(&mut self, waiting: Option<&Gulp>, deadline: Instant) -> Wake {
        let share = waiting.map_or(0, |gulp| self.share(gulp));
        let room = Arc::clone(&self.room);
        tokio::select! {
            biased;
            () = self.shared.called() => Wake::Called,
            () = self.queue.closed() => Wake::Abandoned,
            permit = room.acquire_many_owned(share), if waiting.is_some() => {
                Wake::Room(permit.expect("the semaphore is never closed"))
            }
            read = read_gulp(&mut self.stream, &mut self.buffer), if waiting.is_none() => Wake::Read(read),
            () = tokio::time::sleep_until(deadline.into()) => Wake::Deadline,
        }
    }

    /// Watches for a server that says nothing: at half of the time it is asked, at the end it is given up.
    ///
    /// Returns when to look again.
    async fn watch(&mut self, now: Instant) -> Result<Instant, ReplicationError> {
        let limit = self.options.silence_max;
        let silent = now.duration_since(self.received_at);
        if silent >= limit {
            return Err(ReplicationError::Silent { after: limit });
        }
        if silent >= limit / 2 && !self.asked_server {
            self.asked_server = true;
            self.send_status(true).await?;
        }
        Ok(self.received_at + if self.asked_server { limit } else { limit / 2 })
    }

    async fn send_status(&mut self, reply: bool) -> Result<(), ReplicationError> {
        let confirmed = self.shared.confirmed();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
        let lsn = pgwire_replication::Lsn(confirmed.0);
        let status = encode_standby_status_update(lsn, unix_to_pg_timestamp(now), reply);
        let limit = self.options.silence_max;
        // A dead peer's socket fills up in the end, and then writing would wait for ever.
        match tokio::time::timeout(limit, write_copy_data(&mut self.stream, &status)).await {
            Ok(written) => written.map_err(lost)?,
            Err(_) => return Err(ReplicationError::Silent { after: limit }),
        }
        self.feedback.sent(confirmed, Instant::now());
        Ok(())
    }

    fn ended(&self, end: End) -> ReplicationError {
        match end {
            End::Done => ReplicationError::Ended,
            End::Error(error) => {
                ReplicationError::of_server(Moment::Streaming, &self.options.slot, &self.options.publications, error)
            }
        }
    }

    /// Sends the last status and waits until the server has read it: it answers CopyDone behind whatever it was about
    /// to send, which is dropped here.
    async fn finish(&mut self) -> Result<(), ReplicationError> {
        let taken = async {
            self.send_status(false).await?;
            write_copy_done(&mut self.stream).await.map_err(lost)?;
            loop {
                if read_gulp(&mut self.stream, &mut self.buffer)
                    .await
                    .map_err(|source| ReplicationError::Lost { source })?
                    == 0
                {
                    return Err(ReplicationError::Lost { source: std::io::ErrorKind::UnexpectedEof.into() });
                }
                match self.buffer.cut()?.end {
                    Some(End::Done) => return Ok(()),
                    Some(end) => return Err(self.ended(end)),
                    None => {}
                }
            }
        };
        match tokio::time::timeout(CLOSE_TIMEOUT, taken).await {
            Ok(taken) => taken?,
            Err(_) => return Err(ReplicationError::CloseTimedOut { after: CLOSE_TIMEOUT }),
        }
        // Terminate, and wait for the server to hang up: then the slot is free. In the middle of a large transaction
        // it may take its time; nothing depends on it.
        let goodbye = async {
            self.stream.write_all(&[b'X', 0, 0, 0, 4]).await?;
            self.stream.flush().await?;
            let mut rest = [0; 8 << 10];
            while self.stream.read(&mut rest).await? != 0 {}
            Ok::<(), std::io::Error>(())
        };
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
        Ok(())
    }
}

/// How the loop ended without an error.
enum Ended {
    /// The consumer dropped the stream.
    Abandoned,
    /// The consumer asked for an orderly end.
    Closing,
}

/// Reads what is there, waiting for the first byte only; over TLS a read brings one record at most, so it goes on until
/// there is nothing more. Returns 0 at the end of the stream.
///
/// May be dropped while it waits without losing a byte.
async fn read_gulp(stream: &mut Stream, buffer: &mut GulpBuffer) -> std::io::Result<usize> {
    let mut bytes = stream.read_buf(buffer.room()).await?;
    if bytes == 0 || !matches!(stream, Stream::Tls(_)) {
        return Ok(bytes);
    }
    while bytes < BUFFER_BYTES {
        match stream.read_buf(buffer.room()).now_or_never() {
            // An end or an error is found again by the next read.
            None | Some(Ok(0)) | Some(Err(_)) => break,
            Some(Ok(more)) => bytes += more,
        }
    }
    Ok(bytes)
}

fn lost(error: pgwire_replication::PgWireError) -> ReplicationError {
    let source = match error {
        pgwire_replication::PgWireError::Io(error) => std::io::Error::new(error.kind(), error),
        other => std::io::Error::other(other),
    };
    ReplicationError::Lost { source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    #[test]
    fn odd_names_stay_within_their_quotes() {
        let mut options = StreamOptions::new("s", r#"p"',\"#, Lsn(0x16_0000_0001));
        options.publications.push("q".to_owned());
        assert_eq!(
            start_statement(&options),
            r#"START_REPLICATION SLOT "s" LOGICAL 16/1 (proto_version '1', publication_names '"p""'',\","q"', messages 'true')"#
        );
    }
}
