//! What real servers of every supported version sent, decoded: `tests/recordings/README.md` says how it is made.

use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::{Buf, Bytes};

use super::{Decoder, Message, RelationIndex, writer};
use crate::change::{Old, ReplicaIdentity, Tuple, Value};
use crate::lsn::Lsn;

pub(super) const VERSIONS: [u32; 5] = [14, 15, 16, 17, 18];

/// One recorded message.
pub(super) struct Recorded {
    /// A decoder lives as long as this stays the same.
    pub(super) stream: u8,
    pub(super) lsn: Lsn,
    pub(super) data: Bytes,
}

fn path(version: u32, extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recordings/pg{version}.{extension}"))
}

pub(super) fn recording(version: u32) -> Vec<Recorded> {
    let mut file = Bytes::from(std::fs::read(path(version, "bin")).expect("a recording of each version is committed"));
    let mut recorded = Vec::new();
    while !file.is_empty() {
        let (stream, lsn, length) = (file.get_u8(), Lsn(file.get_u64()), file.get_u32());
        recorded.push(Recorded { stream, lsn, data: file.split_to(length as usize) });
    }
    recorded
}

/// Calls `see` with every message of the recording and the decoder that it came from.
fn each(version: u32, mut see: impl FnMut(&Recorded, &Decoder, Message)) {
    let (mut decoder, mut stream) = (Decoder::new(), 0);
    for recorded in recording(version) {
        if recorded.stream != stream {
            (decoder, stream) = (Decoder::new(), recorded.stream);
        }
        let message = decoder
            .decode(recorded.data.clone())
            .unwrap_or_else(|error| panic!("PostgreSQL {version} at {}: {error}", recorded.lsn));
        see(&recorded, &decoder, message);
    }
}

#[test]
fn decodes_the_recordings_of_all_versions() {
    for version in VERSIONS {
        let mut text = String::new();
        each(version, |recorded, decoder, message| {
            write!(text, "{} {} ", recorded.stream as char, recorded.lsn).unwrap();
            print(&mut text, decoder, &message);
            text.push('\n');
        });
        if std::env::var_os("PELTON_UPDATE_RECORDINGS").is_some() {
            std::fs::write(path(version, "txt"), text).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(path(version, "txt")).unwrap();
        let differs = text.lines().zip(expected.lines()).position(|(got, expected)| got != expected);
        if let Some(at) = differs {
            let (got, expected) = (text.lines().nth(at).unwrap(), expected.lines().nth(at).unwrap());
            panic!("PostgreSQL {version}, line {}:\n     got {got}\nexpected {expected}", at + 1);
        }
        assert_eq!(text.lines().count(), expected.lines().count(), "PostgreSQL {version}");
    }
}

#[test]
fn the_writer_writes_what_servers_write() {
    for version in VERSIONS {
        each(version, |recorded, decoder, message| {
            let written = writer::write(&message, |index| decoder.relation(index));
            assert_eq!(written, recorded.data, "PostgreSQL {version} at {}: {message:?}", recorded.lsn);
        });
    }
}

#[test]
fn transactions_end_where_they_said_they_would() {
    for version in VERSIONS {
        let mut open = None;
        let mut replayed = 0;
        each(version, |_, _, message| match message {
            Message::Begin(begin) => assert_eq!(open.replace(begin), None),
            Message::Commit(commit) => {
                let begin = open.take().expect("a commit ends a transaction");
                assert_eq!((begin.final_lsn, begin.commit_time), (commit.commit_lsn, commit.commit_time));
                assert!(commit.end_lsn > commit.commit_lsn);
            }
            // Set by the script to 2024-02-29 12:34:56.789012 UTC.
            Message::Origin(origin) => {
                assert_eq!((origin.lsn.to_string().as_str(), &*origin.name), ("16/B374D848", "upstream"));
                assert_eq!(open.unwrap().commit_time, 1_709_210_096_789_012);
                replayed += 1;
            }
            Message::Message(message) => assert!(!message.transactional || open.is_some()),
            _ => assert!(open.is_some(), "changes come within transactions"),
        });
        assert_eq!(open, None);
        assert!(replayed > 0);
    }
}

#[test]
fn every_version_sends_the_same_changes() {
    let first = changes_in_text(VERSIONS[0]);
    assert!(first.len() > 140, "{} changes", first.len());
    for version in &VERSIONS[1..] {
        let other = changes_in_text(*version);
        for (a, b) in first.iter().zip(&other) {
            assert_eq!(a, b, "PostgreSQL {} and {version}", VERSIONS[0]);
        }
        assert_eq!(first.len(), other.len(), "PostgreSQL {version}");
    }
}

/// The stream in text without what differs from run to run and from version to version: positions, OIDs, empty
/// transactions (which 14 sends), and when a table is described again though nothing of it changed.
fn changes_in_text(version: u32) -> Vec<String> {
    let (mut lines, mut described) = (Vec::new(), 0);
    each(version, |recorded, decoder, message| {
        match message {
            _ if recorded.stream != b't' => return,
            Message::Begin(_) | Message::Commit(_) => return,
            Message::Relation(index) if index.0 < described => return,
            Message::Message(message) => return lines.push(format!("{:?} {:?}", message.prefix, message.content)),
            _ => {}
        }
        described = decoder.relation_count();
        let mut text = String::new();
        print(&mut text, decoder, &message);
        let end = text.rfind(" oid ").unwrap_or(text.len());
        lines.push(text[..end].to_owned());
    });
    lines
}

fn print(out: &mut String, decoder: &Decoder, message: &Message) {
    let name = |index: RelationIndex| format!("#{} {}", index.0, decoder.relation(index).display_name());
    match message {
        Message::Begin(b) => write!(out, "begin xid {} final {} time {}", b.xid, b.final_lsn, b.commit_time),
        Message::Commit(c) => write!(out, "commit {} end {} time {}", c.commit_lsn, c.end_lsn, c.commit_time),
        Message::Origin(o) => write!(out, "origin {:?} {}", o.name, o.lsn),
        Message::Type(t) => write!(out, "type {:?}.{:?} oid {}", t.schema, t.name, t.oid),
        Message::Relation(index) => {
            let relation = decoder.relation(*index);
            let identity = match relation.identity {
                ReplicaIdentity::Default => "default",
                ReplicaIdentity::Index => "index",
                ReplicaIdentity::Full => "full",
                ReplicaIdentity::Nothing => "nothing",
            };
            write!(out, "relation {} identity {identity} (", name(*index)).unwrap();
            for (i, column) in relation.columns.iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                let key = if column.key { " key" } else { "" };
                write!(out, "{comma}{:?} {}", column.name, column.kind).unwrap();
                write!(out, " mod {}{key}", column.type_modifier).unwrap();
            }
            let oids: Vec<u32> = relation.columns.iter().map(|column| column.type_oid).collect();
            write!(out, ") oid {} types {oids:?}", relation.oid)
        }
        Message::Insert { relation, new } => write!(out, "insert {} {}", name(*relation), row(new)),
        Message::Update { relation, old, new } => {
            let old = old.as_ref().map(self::old).unwrap_or_default();
            write!(out, "update {} {old}{}", name(*relation), row(new))
        }
        Message::Delete { relation, old } => write!(out, "delete {} {}", name(*relation), self::old(old).trim_end()),
        Message::Truncate(t) => {
            let names: Vec<String> = t.relations.iter().map(|&index| name(index)).collect();
            let cascade = if t.cascade { " cascade" } else { "" };
            let restart = if t.restart_identity { " restart identity" } else { "" };
            write!(out, "truncate {}{cascade}{restart}", names.join(", "))
        }
        Message::Message(m) => {
            let how = if m.transactional { "transactional " } else { "" };
            write!(out, "message {how}{:?} \"{}\" {}", m.prefix, m.content.escape_ascii(), m.lsn)
        }
    }
    .unwrap();
}

fn old(old: &Old) -> String {
    match old {
        Old::Key(key) => format!("key {} ", row(key)),
        Old::Full(full) => format!("old {} ", row(full)),
    }
}

fn row(row: &Tuple) -> String {
    let values: Vec<String> = row.columns().map(value).collect();
    format!("[{}]", values.join(", "))
}

fn value(value: Value<'_>) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Unchanged => "unchanged".to_owned(),
        Value::Text(text) if text.len() > 1000 => {
            format!("\"{}...\" ({} bytes)", text[..8].escape_ascii(), text.len())
        }
        Value::Text(text) => format!("{:?}", std::str::from_utf8(text).expect("the script writes UTF-8")),
        Value::Binary(bytes) if bytes.len() > 1000 => {
            format!("0x{}... ({} bytes)", hex::encode(&bytes[..8]), bytes.len())
        }
        Value::Binary(bytes) => format!("0x{}", hex::encode(bytes)),
    }
}
