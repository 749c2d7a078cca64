//! Writes what the decoder reads, for tests.
//!
//! It shares no code with the decoder, so that a misunderstanding of the format would have to be made twice.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Message, RelationIndex, Type};
use crate::change::{Old, Relation, ReplicaIdentity, Tuple};

/// Writes one message. `relation` returns what an index of it means.
pub fn write<'a>(message: &Message, relation: impl Fn(RelationIndex) -> &'a Relation) -> Bytes {
    let mut out = BytesMut::new();
    match message {
        Message::Begin(begin) => {
            out.put_u8(b'B');
            out.put_u64(begin.final_lsn.0);
            put_time(&mut out, begin.commit_time);
            out.put_u32(begin.xid);
        }
        Message::Commit(commit) => {
            out.put_slice(b"C\0");
            out.put_u64(commit.commit_lsn.0);
            out.put_u64(commit.end_lsn.0);
            put_time(&mut out, commit.commit_time);
        }
        Message::Origin(origin) => {
            out.put_u8(b'O');
            out.put_u64(origin.lsn.0);
            put_string(&mut out, &origin.name);
        }
        Message::Relation(index) => put_relation(&mut out, relation(*index)),
        Message::Type(Type { oid, schema, name }) => {
            out.put_u8(b'Y');
            out.put_u32(*oid);
            put_schema(&mut out, schema);
            put_string(&mut out, name);
        }
        Message::Insert { relation: index, new } => {
            out.put_u8(b'I');
            out.put_u32(relation(*index).oid);
            put_row(&mut out, b'N', new);
        }
        Message::Update { relation: index, old, new } => {
            out.put_u8(b'U');
            out.put_u32(relation(*index).oid);
            if let Some(old) = old {
                put_old(&mut out, old);
            }
            put_row(&mut out, b'N', new);
        }
        Message::Delete { relation: index, old } => {
            out.put_u8(b'D');
            out.put_u32(relation(*index).oid);
            put_old(&mut out, old);
        }
        Message::Truncate(truncate) => {
            out.put_u8(b'T');
            out.put_i32(truncate.relations.len() as i32);
            out.put_u8(u8::from(truncate.cascade) | u8::from(truncate.restart_identity) << 1);
            for index in &truncate.relations {
                out.put_u32(relation(*index).oid);
            }
        }
        Message::Message(message) => {
            out.put_u8(b'M');
            out.put_u8(message.transactional.into());
            out.put_u64(message.lsn.0);
            put_string(&mut out, &message.prefix);
            out.put_i32(message.content.len() as i32);
            out.put_slice(&message.content);
        }
    }
    out.freeze()
}

fn put_relation(out: &mut BytesMut, relation: &Relation) {
    out.put_u8(b'R');
    out.put_u32(relation.oid);
    put_schema(out, &relation.schema);
    put_string(out, &relation.name);
    out.put_u8(match relation.identity {
        ReplicaIdentity::Default => b'd',
        ReplicaIdentity::Index => b'i',
        ReplicaIdentity::Full => b'f',
        ReplicaIdentity::Nothing => b'n',
    });
    out.put_i16(relation.columns.len() as i16);
    for column in &relation.columns {
        out.put_u8(column.key.into());
        put_string(out, &column.name);
        out.put_u32(column.type_oid);
        out.put_i32(column.type_modifier);
    }
}

/// Times are counted from 2000-01-01, 10,957 days after 1970-01-01.
fn put_time(out: &mut BytesMut, unix_us: i64) {
    out.put_i64(unix_us.saturating_sub(10_957 * 86_400 * 1_000_000));
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

fn put_schema(out: &mut BytesMut, schema: &str) {
    put_string(out, if schema == "pg_catalog" { "" } else { schema });
}

fn put_old(out: &mut BytesMut, old: &Old) {
    match old {
        Old::Key(row) => put_row(out, b'K', row),
        Old::Full(row) => put_row(out, b'O', row),
    }
}

fn put_row(out: &mut BytesMut, kind: u8, row: &Tuple) {
    out.put_u8(kind);
    out.put_slice(row.as_bytes());
}
