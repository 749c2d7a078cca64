//! Recorded messages, damaged at random: the decoder must return, and what it accepts must be what is written.
//!
//! This is what the fuzz target checks (`fuzz/`), for everyone and in a second.

use bytes::Bytes;

use super::recordings::{Recorded, VERSIONS, recording};
use super::{Decoder, Message, writer};

/// Returns the shortest and the longest messages of each kind and version, behind all that describes relations: at
/// least one of each kind, and no kind drowns the others.
fn corpus() -> (Vec<Bytes>, Vec<Bytes>) {
    let (mut descriptions, mut samples) = (Vec::new(), Vec::new());
    for version in VERSIONS {
        let messages: Vec<Recorded> = recording(version);
        for tag in *b"BCORYIUDTM" {
            let mut of_tag: Vec<Bytes> = messages.iter().map(|m| m.data.clone()).filter(|m| m[0] == tag).collect();
            assert!(!of_tag.is_empty(), "PostgreSQL {version} has no message {}", tag as char);
            of_tag.sort_by_key(Bytes::len);
            of_tag.dedup();
            let step = of_tag.len().div_ceil(12);
            samples.extend(of_tag.into_iter().step_by(step));
        }
        if version == VERSIONS[0] {
            let described = messages.into_iter().map(|m| m.data).filter(|m| matches!(m[0], b'R' | b'Y'));
            descriptions.extend(described);
        }
    }
    (descriptions, samples)
}

fn described(descriptions: &[Bytes]) -> Decoder {
    let mut decoder = Decoder::new();
    for message in descriptions {
        decoder.decode(message.clone()).unwrap();
    }
    decoder
}

/// Damages a message in one of the ways in which bytes go wrong, lengths and counts at their limits among them.
fn damage(rng: &mut fastrand::Rng, message: &mut Vec<u8>, other: &[u8]) {
    let at = rng.usize(..message.len());
    match rng.u8(..8) {
        0 => message[at] ^= 1 << rng.u8(..8),
        1 => message[at] = rng.u8(..),
        2 => message.truncate(at),
        3 => message.insert(at, rng.u8(..)),
        4 => drop(message.remove(at)),
        5 => {
            let limits = [0, 1, -1, i32::MAX, i32::MIN, 0x7fff, message.len() as i32];
            let limit = limits[rng.usize(..limits.len())].to_be_bytes();
            message.iter_mut().skip(at).zip(limit).for_each(|(byte, new)| *byte = new);
        }
        6 => {
            message.truncate(at);
            message.extend_from_slice(&other[rng.usize(..other.len())..]);
        }
        _ => message.extend_from_slice(other),
    }
}

#[test]
fn damaged_messages_are_refused_or_mean_what_they_say() {
    let (descriptions, samples) = corpus();
    let mut rng = fastrand::Rng::with_seed(0x9E37_79B9_7F4A_7C15);
    let (mut accepted, mut refused) = (0, 0);
    let mut decoder = described(&descriptions);
    for round in 0..100_000 {
        // A damaged description stays in the decoder: begin anew before they are all odd.
        if round % 1_000 == 0 {
            decoder = described(&descriptions);
        }
        let mut message = samples[rng.usize(..samples.len())].to_vec();
        for _ in 0..=rng.u8(..3) {
            let other = &samples[rng.usize(..samples.len())];
            damage(&mut rng, &mut message, other);
            if message.is_empty() {
                break;
            }
        }
        let data = Bytes::from(message);
        match decoder.decode(data.clone()) {
            Ok(message) => {
                accepted += 1;
                let written = writer::write(&message, |index| decoder.relation(index));
                let same = written == data || spelled_otherwise(&message, written, &mut decoder);
                assert!(same, "round {round}: {message:?} of {data:?}");
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty() && error.hint().is_some());
            }
        }
    }
    // Flips inside values, times and names are valid messages; everything else is not.
    assert!(accepted > 10_000 && refused > 50_000, "{accepted} accepted, {refused} refused");
}

/// Two things can be spelled in two ways: `pg_catalog`, which Postgres leaves out, and a time beyond the end of time.
/// The spelling that the writer chooses must mean the same.
fn spelled_otherwise(message: &Message, written: Bytes, decoder: &mut Decoder) -> bool {
    let ambiguous = match message {
        Message::Begin(begin) => begin.commit_time == i64::MAX,
        Message::Commit(commit) => commit.commit_time == i64::MAX,
        Message::Relation(index) => &*decoder.relation(*index).schema == "pg_catalog",
        Message::Type(named) => &*named.schema == "pg_catalog",
        _ => false,
    };
    ambiguous && decoder.decode(written).as_ref() == Ok(message)
}

#[test]
fn every_recorded_message_cut_short_or_run_on_is_refused() {
    for version in VERSIONS {
        let mut decoder = Decoder::new();
        let mut stream = 0;
        for recorded in recording(version) {
            if recorded.stream != stream {
                (decoder, stream) = (Decoder::new(), recorded.stream);
            }
            let data = recorded.data;
            decoder.decode(data.clone()).unwrap();
            // Large values make no more kinds of cuts.
            for length in (0..data.len()).take(600) {
                assert!(decoder.decode(data.slice(..length)).is_err(), "{length} of {data:?}");
            }
            let run_on = Bytes::from([&data[..], &[0]].concat());
            assert!(decoder.decode(run_on).is_err(), "{data:?} and a byte more");
        }
    }
}
