//! The floors that are fuzzed and measured, taken in as sources, and how a fuzzer's bytes become a stream.

#[path = "../../src/change/mod.rs"]
pub mod change;
#[path = "../../src/lsn.rs"]
pub mod lsn;
#[path = "../../src/pgoutput/mod.rs"]
pub mod pgoutput;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Splits the bytes into messages: each has its length before it, as two bytes; the last one takes what is left.
pub fn messages(input: &[u8]) -> impl Iterator<Item = Bytes> {
    let mut rest = Bytes::copy_from_slice(input);
    std::iter::from_fn(move || {
        if rest.len() < 2 {
            return None;
        }
        let length = usize::from(rest.get_u16()).min(rest.len());
        Some(rest.split_to(length))
    })
}

/// Joins messages to what [`messages`] splits.
pub fn join<'a>(messages: impl IntoIterator<Item = &'a Bytes>) -> Bytes {
    let mut out = BytesMut::new();
    for message in messages {
        let length = u16::try_from(message.len()).expect("the recordings have no larger message");
        out.put_u16(length);
        out.put_slice(message);
    }
    out.freeze()
}

/// Reads a recording (`tests/recordings/README.md`) as the messages of each of its streams.
pub fn streams(version: u32) -> Vec<Vec<Bytes>> {
    let path = format!("{}/../tests/recordings/pg{version}.bin", env!("CARGO_MANIFEST_DIR"));
    let mut file = Bytes::from(std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")));
    let (mut streams, mut last) = (Vec::<Vec<Bytes>>::new(), 0);
    while !file.is_empty() {
        let (stream, _lsn, length) = (file.get_u8(), file.get_u64(), file.get_u32());
        if stream != last {
            streams.push(Vec::new());
            last = stream;
        }
        streams.last_mut().expect("the first message starts a stream").push(file.split_to(length as usize));
    }
    streams
}
