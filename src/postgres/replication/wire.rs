//! Frames before a stream starts: requests and answers, one at a time.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use pgwire_replication::PgWireError;
use pgwire_replication::protocol::framing::write_query;
use tokio::io::AsyncReadExt;

use super::error::ReplicationError;
use crate::postgres::ServerError;
use crate::postgres::stream::Stream;

/// Nothing that is read here is large; what claims to be is no answer of a server's.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// A stream of bytes with what was read of it and not used yet.
pub(super) struct Wire {
    pub stream: Stream,
    pub buffer: BytesMut,
}

/// One row of a simple query's answer.
pub(super) type TextRow = Vec<Option<String>>;

/// What can go wrong with a request.
#[derive(Debug)]
pub(super) enum WireError {
    Io(io::Error),
    Server(ServerError),
    /// Not what a server answers.
    Odd(String),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> WireError {
        WireError::Io(error)
    }
}

impl From<PgWireError> for WireError {
    fn from(error: PgWireError) -> WireError {
        match error {
            PgWireError::Io(error) => WireError::Io(io::Error::new(error.kind(), error)),
            other => WireError::Odd(other.to_string()),
        }
    }
}

impl WireError {
    /// Turns what is not the server's refusal into an error of the stream's.
    pub fn sorted(self, refused: impl FnOnce(ServerError) -> ReplicationError) -> ReplicationError {
        match self {
            WireError::Io(source) => ReplicationError::Lost { source },
            WireError::Server(error) => refused(error),
            WireError::Odd(what) => ReplicationError::BadMessage { what },
        }
    }
}

impl Wire {
    pub fn new(stream: Stream) -> Wire {
        Wire { stream, buffer: BytesMut::with_capacity(16 << 10) }
    }

    /// Reads one frame, its type and its payload. Notices are logged and changed settings passed over.
    ///
    /// May be dropped at any await without losing a byte.
    pub async fn frame(&mut self) -> Result<(u8, Bytes), WireError> {
        loop {
            while let Some((tag, payload)) = self.buffered_frame()? {
                match tag {
                    b'N' => log_notice(&payload),
                    b'S' => {}
                    _ => return Ok((tag, payload)),
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    fn buffered_frame(&mut self) -> Result<Option<(u8, Bytes)>, WireError> {
        let Some(header) = self.buffer.get(..5) else { return Ok(None) };
        let tag = header[0];
        let size = u32::from_be_bytes(header[1..].try_into().expect("four bytes")) as usize;
        if !(4..=FRAME_BYTES_MAX).contains(&size) {
            return Err(WireError::Odd(format!("a frame of length {size}")));
        }
        if self.buffer.len() < 1 + size {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(1 + size).freeze();
        frame.advance(5);
        Ok(Some((tag, frame)))
    }

    /// Runs one statement by the simple protocol and returns its rows as text.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<TextRow>, WireError> {
        write_query(&mut self.stream, sql).await?;
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            let (tag, payload) = self.frame().await?;
            match tag {
                b'D' => rows.push(text_row(&payload).ok_or_else(|| WireError::Odd("a row cut short".to_owned()))?),
                b'E' => {
                    let error = ServerError::parse(&payload);
                    // A fatal error is the last thing that a server says.
                    if fatal(&payload) {
                        return Err(WireError::Server(error));
                    }
                    refused = Some(error);
                }
                b'Z' => return refused.map_or(Ok(rows), |error| Err(WireError::Server(error))),
                b'T' | b'C' | b'I' => {}
                other => return Err(WireError::Odd(format!("a frame of type {other:#04x} in answer to a query"))),
            }
        }
    }
}

/// Returns true when the session ends with this error; the field `V` is never translated.
fn fatal(payload: &[u8]) -> bool {
    payload.split(|b| *b == 0).any(|field| field == b"VFATAL" || field == b"VPANIC")
}

fn text_row(payload: &[u8]) -> Option<TextRow> {
    let (count, mut rest) = payload.split_first_chunk::<2>()?;
    let mut row = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (size, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        match usize::try_from(i32::from_be_bytes(*size)) {
            Err(_) => row.push(None),
            Ok(size) => {
                row.push(Some(String::from_utf8_lossy(rest.get(..size)?).into_owned()));
                rest = &rest[size..];
            }
        }
    }
    Some(row)
}

/// Logs what the server notes beside its answers. PostgreSQL 18 says in this way that a publication is missing.
pub(super) fn log_notice(payload: &[u8]) {
    let notice = ServerError::parse(payload);
    let warning = payload.split(|b| *b == 0).any(|field| field == b"VWARNING");
    if warning {
        tracing::warn!(code = notice.code, "the server warns: {}", notice.message);
    } else {
        tracing::debug!(code = notice.code, "the server notes: {}", notice.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_cut_anywhere_are_refused() {
        let whole = [&[0, 2][..], &[0, 0, 0, 1, b'a'], &[0xff; 4]].concat();
        assert_eq!(text_row(&whole), Some(vec![Some("a".to_owned()), None]));
        for length in 0..whole.len() {
            assert_eq!(text_row(&whole[..length]), None, "cut at {length}");
        }
    }
}
