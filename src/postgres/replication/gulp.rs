//! What piled up in the socket, cut into messages without a copy.
//!
//! The reader fills one buffer; the complete frames at its start are frozen into a [`Gulp`] whose messages are slices
//! of it, and what is left of a frame stays for the next read. A frame larger than the buffer makes it grow, as the
//! bytes arrive rather than at the word of a length field; the next buffer has the ordinary size again.

use bytes::{Buf, Bytes, BytesMut};
use pgwire_replication::protocol::{ReplicationCopyData, parse_copy_data};
use tokio::sync::OwnedSemaphorePermit;

use super::ReplicationError;
use crate::lsn::Lsn;
use crate::postgres::ServerError;

/// The size of a buffer, and so of a gulp, unless a single message is larger.
pub(super) const BUFFER_BYTES: usize = 1 << 20;

/// A read into less room than this is not worth its system call.
const ROOM_BYTES_MIN: usize = 64 << 10;

/// Postgres allocates at most 1 GB for a message; a length beyond it (and its headers) is nonsense.
const MESSAGE_BYTES_MAX: u64 = (1 << 30) + (1 << 20);

/// One message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalMessage {
    /// Output of the plugin: one pgoutput message.
    Data { wal_start: Lsn, data: Bytes },
    /// The server has nothing to send before `wal_end`, as far as it looked. Never to be confirmed by itself.
    Keepalive {
        wal_end: Lsn,
        /// Microseconds since 1970-01-01 UTC, by the server's clock.
        server_time: i64,
        /// The server waits for a status; the reader has answered it with the confirmed position. A server that
        /// shuts down asks so, again and again, until all that it sent is confirmed.
        reply_requested: bool,
    },
}

/// Messages in the order of the stream.
#[derive(Debug, Default)]
pub struct Gulp {
    pub messages: Vec<WalMessage>,
    /// The size of the frames, headers included.
    pub bytes: usize,
    /// The gulp's share of the queue; given back when the consumer takes it.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// How the stream ended, seen while cutting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// CopyDone or CommandComplete: the server ended the copy in order.
    Done,
    Error(ServerError),
}

/// What [`GulpBuffer::cut`] found.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub gulp: Gulp,
    /// A keepalive asked for a status.
    pub reply_requested: bool,
    /// Behind the gulp's messages. Whatever follows it is ignored.
    pub end: Option<End>,
}

/// The reader's buffer.
pub(super) struct GulpBuffer {
    bytes: BytesMut,
}

impl GulpBuffer {
    /// Goes on with the bytes that were read beyond the start of the stream.
    pub fn new(rest: BytesMut) -> GulpBuffer {
        GulpBuffer { bytes: rest }
    }

    /// Returns the buffer with room to read into.
    pub fn room(&mut self) -> &mut BytesMut {
        let spare = self.bytes.capacity() - self.bytes.len();
        // An incomplete frame that has outgrown the ordinary buffer doubles it; this also bounds what a lying length
        // field can make us allocate to twice of what was really sent.
        let wanted =
            if self.bytes.len() >= BUFFER_BYTES / 2 { self.bytes.len() } else { BUFFER_BYTES - self.bytes.len() };
        if spare < ROOM_BYTES_MIN {
            self.bytes.reserve(wanted.max(ROOM_BYTES_MIN));
        }
        &mut self.bytes
    }

    /// Cuts off all complete frames.
    ///
    /// # Errors
    /// [`ReplicationError::BadMessage`] and [`ReplicationError::TooLarge`] for bytes that are no replication stream.
    pub fn cut(&mut self) -> Result<Cut, ReplicationError> {
        let length = complete(&self.bytes)?;
        let mut frames = self.bytes.split_to(length).freeze();
        if length > BUFFER_BYTES {
            // The rest of a buffer that grew is left to the large message, and freed with it.
            self.bytes = BytesMut::from(&self.bytes[..]);
        }
        let mut cut = Cut::default();
        cut.gulp.bytes = length;
        // Row messages of some hundred bytes are the ordinary case.
        cut.gulp.messages.reserve(length / 128);
        while !frames.is_empty() && cut.end.is_none() {
            let tag = frames.get_u8();
            let size = frames.get_u32() as usize - 4;
            let payload = frames.split_to(size);
            match tag {
                b'd' => {
                    let message = message(payload)?;
                    cut.reply_requested |= matches!(message, WalMessage::Keepalive { reply_requested: true, .. });
                    cut.gulp.messages.push(message);
                }
                b'E' => cut.end = Some(End::Error(ServerError::parse(&payload))),
                b'c' | b'C' => cut.end = Some(End::Done),
                b'N' => super::wire::log_notice(&payload),
                // A changed setting is no business of the stream.
                b'S' => {}
                other => {
                    return Err(ReplicationError::BadMessage { what: format!("a frame of type {other:#04x}") });
                }
            }
        }
        Ok(cut)
    }
}

/// Returns the length of all complete frames at the start of `bytes`.
fn complete(bytes: &[u8]) -> Result<usize, ReplicationError> {
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + 5) {
        let size = u32::from_be_bytes(header[1..].try_into().expect("four bytes"));
        if size < 4 {
            return Err(ReplicationError::BadMessage { what: format!("a frame of length {size}") });
        }
        if u64::from(size) > MESSAGE_BYTES_MAX {
            return Err(ReplicationError::TooLarge { bytes: size.into() });
        }
        let next = at + 1 + size as usize;
        if next > bytes.len() {
            break;
        }
        at = next;
    }
    Ok(at)
}

fn message(payload: Bytes) -> Result<WalMessage, ReplicationError> {
    let parsed = parse_copy_data(payload).map_err(|e| ReplicationError::BadMessage { what: e.to_string() })?;
    Ok(match parsed {
        ReplicationCopyData::XLogData { wal_start, data, .. } => WalMessage::Data { wal_start: Lsn(wal_start.0), data },
        ReplicationCopyData::KeepAlive { wal_end, server_time_micros, reply_requested } => WalMessage::Keepalive {
            wal_end: Lsn(wal_end.0),
            server_time: server_time_micros.saturating_add(pgwire_replication::protocol::PG_EPOCH_MICROS),
            reply_requested,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(tag: u8, payload: &[u8]) -> Vec<u8> {
        [&[tag], &(payload.len() as u32 + 4).to_be_bytes()[..], payload].concat()
    }

    fn data(lsn: u64, body: &[u8]) -> Vec<u8> {
        frame(b'd', &[b"w", &lsn.to_be_bytes()[..], &[0; 16], body].concat())
    }

    fn keepalive(lsn: u64, reply: u8) -> Vec<u8> {
        frame(b'd', &[b"k", &lsn.to_be_bytes()[..], &0i64.to_be_bytes(), &[reply]].concat())
    }

    fn show(cut: &Cut) -> String {
        let messages = cut.gulp.messages.iter().map(|message| match message {
            WalMessage::Data { wal_start, data } => format!("{wal_start} {}", String::from_utf8_lossy(data)),
            WalMessage::Keepalive { wal_end, reply_requested, .. } => format!("{wal_end} alive {reply_requested}"),
        });
        messages.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn cuts_whole_frames_and_keeps_the_rest() {
        let bytes = [data(1, b"a"), keepalive(2, 1), frame(b'S', b"x\0y\0"), data(3, b"b")].concat();
        let mut buffer = GulpBuffer::new(BytesMut::from(&bytes[..bytes.len() - 1]));
        let cut = buffer.cut().unwrap();
        assert_eq!(show(&cut), "0/1 a, 0/2 alive true");
        assert!(cut.reply_requested);
        buffer.room().extend_from_slice(&bytes[bytes.len() - 1..]);
        assert_eq!(show(&buffer.cut().unwrap()), "0/3 b");
        assert!(buffer.bytes.is_empty());
    }

    #[test]
    fn an_error_ends_the_stream_behind_the_messages_before_it() {
        let error = frame(b'E', b"C57P01\0Mstop\0\0");
        let cut = GulpBuffer::new(BytesMut::from(&[data(1, b"a"), error, data(2, b"b")].concat()[..])).cut().unwrap();
        assert_eq!(show(&cut), "0/1 a");
        assert_eq!(cut.end, Some(End::Error(ServerError::new("57P01", "stop", None, None))));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for bad in [[b'd', 0, 0, 0, 3], [b'd', 0xff, 0, 0, 0]] {
            assert!(GulpBuffer::new(BytesMut::from(&bad[..])).cut().is_err());
        }
    }

    #[test]
    fn the_buffer_grows_for_a_large_message_and_shrinks_after_it() {
        let large = data(1, &vec![b'x'; 5 * BUFFER_BYTES]);
        let mut buffer = GulpBuffer::new(BytesMut::new());
        for piece in large.chunks(100_000) {
            assert!(buffer.cut().unwrap().gulp.messages.is_empty());
            let room = buffer.room();
            assert!(room.capacity() - room.len() >= ROOM_BYTES_MIN);
            assert!(room.capacity() <= 2 * room.len() + BUFFER_BYTES, "no more than twice of what came");
            room.extend_from_slice(piece);
        }
        assert_eq!(buffer.cut().unwrap().gulp.messages.len(), 1);
        assert!(buffer.room().capacity() <= 2 * BUFFER_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_messages(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = GulpBuffer::new(BytesMut::from(&bytes[..])).cut();
        }

        #[test]
        fn where_reads_end_makes_no_difference(cuts in proptest::collection::vec(1usize..60, 1..40)) {
            let stream: Vec<u8> = (0..20).flat_map(|i| data(i, &vec![b'a'; i as usize * 3])).collect();
            let mut buffer = GulpBuffer::new(BytesMut::new());
            let (mut at, mut seen) = (0, Vec::new());
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(stream.len());
                buffer.room().extend_from_slice(&stream[at..end]);
                seen.extend(buffer.cut().unwrap().gulp.messages);
                at = end;
                if at == stream.len() { break }
            }
            let whole = GulpBuffer::new(BytesMut::from(&stream[..])).cut().unwrap().gulp.messages;
            prop_assert_eq!(seen, whole);
        }
    }
}
