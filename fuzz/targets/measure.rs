//! Measures the decoder: ns a message over rows of 8 columns, as in the design's figures (bigint key, 2 texts, numeric,
//! bool, timestamptz, jsonb, uuid), and what it costs to read one or all of their columns.
//!
//! Messages are slices of one large buffer, as they are when they come from a socket.

use std::hint::black_box;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use pelton_fuzz::change::Tuple;
use pelton_fuzz::pgoutput::{Decoder, Message};

const MESSAGES: usize = 100_000;
const ROUNDS: usize = 15;

/// OID, name and type of the columns.
const COLUMNS: [(&str, u32); 8] = [
    ("id", 20),
    ("name", 25),
    ("label", 25),
    ("amount", 1700),
    ("done", 16),
    ("at", 1184),
    ("extra", 3802),
    ("uid", 2950),
];

fn main() {
    println!("{MESSAGES} messages of 8 columns, the best of {ROUNDS} rounds:");
    report("insert", &rows(b'I', 1, false), |_| 0);
    report("insert, tables in turn", &rows(b'I', 4, false), |_| 0);
    report("update with an old key", &rows(b'U', 1, true), |_| 0);
    report("insert, read one column", &rows(b'I', 1, false), |row| bytes(row.columns().take(1)));
    report("insert, read all columns", &rows(b'I', 1, false), |row| bytes(row.columns()));
}

fn bytes<'a>(values: impl Iterator<Item = pelton_fuzz::change::Value<'a>>) -> usize {
    values
        .map(|value| match value {
            pelton_fuzz::change::Value::Text(text) => text.len(),
            _ => 0,
        })
        .sum()
}

fn report(what: &str, messages: &[Bytes], read: impl Fn(&Tuple) -> usize) {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let mut decoder = Decoder::new();
        for table in 0..4 {
            decoder.decode(description(table)).expect("a relation");
        }
        let mut decoded = Vec::with_capacity(messages.len());
        let input = messages.to_vec();
        let mut seen = 0;
        let start = Instant::now();
        for data in input {
            let message = decoder.decode(data).expect("a row");
            if let Message::Insert { new, .. } | Message::Update { new, .. } = &message {
                seen += read(new);
            }
            decoded.push(message);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / messages.len() as f64);
        black_box((seen, decoded));
    }
    println!("{what:>26} {best:7.1} ns");
}

fn description(table: u32) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(b'R');
    out.put_u32(16_384 + table);
    out.put_slice(b"public\0orders\0d");
    out.put_i16(COLUMNS.len() as i16);
    for (index, (name, type_oid)) in COLUMNS.iter().enumerate() {
        out.put_u8(u8::from(index == 0));
        out.put_slice(name.as_bytes());
        out.put_u8(0);
        out.put_u32(*type_oid);
        out.put_i32(-1);
    }
    out.freeze()
}

fn rows(tag: u8, tables: u32, old_key: bool) -> Vec<Bytes> {
    let mut buffer = BytesMut::new();
    let mut ends = Vec::with_capacity(MESSAGES);
    for i in 0..MESSAGES {
        buffer.put_u8(tag);
        buffer.put_u32(16_384 + i as u32 % tables);
        if old_key {
            buffer.put_slice(b"K\0\x08");
            text(&mut buffer, &i.to_string());
            buffer.put_slice(&[b'n'; 7]);
        }
        buffer.put_slice(b"N\0\x08");
        text(&mut buffer, &i.to_string());
        text(&mut buffer, "Ada Lovelace");
        text(&mut buffer, "a label of some length, as labels are");
        text(&mut buffer, "1234.50");
        text(&mut buffer, "t");
        text(&mut buffer, "2026-11-20 11:14:34.123456+00");
        text(&mut buffer, "{\"a\": 1, \"b\": [true, null]}");
        text(&mut buffer, "6f2c3b1e-8a57-4a2b-9a39-000000000000");
        ends.push(buffer.len());
    }
    let all = buffer.freeze();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, &end)| all.slice(start..end)).collect()
}

fn text(buffer: &mut BytesMut, value: &str) {
    buffer.put_u8(b't');
    buffer.put_u32(value.len() as u32);
    buffer.put_slice(value.as_bytes());
}
