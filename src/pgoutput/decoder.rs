//! From the bytes of one message to a [`Message`], with what the connection has told of relations and types so far.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::reader::Reader;
use super::{Begin, Commit, DecodeError, LogicalMessage, Message, Origin, RelationIndex, Truncate, Type, types};
use crate::change::{Column, Old, Relation, ReplicaIdentity, Tuple};

/// Decodes the messages of one replication connection, in order.
///
/// It grows with every version of a relation that the server describes, as the server's own cache does, and with
/// nothing else; [`Decoder::relation_count`] tells. A new connection begins with a new decoder.
#[derive(Debug, Default)]
pub struct Decoder {
    relations: Vec<Known>,
    newest: HashMap<u32, RelationIndex, foldhash::fast::RandomState>,
    /// The OID and index of the last row's relation: the next row is most often of the same.
    last: Option<(u32, RelationIndex)>,
    types: HashMap<u32, Type, foldhash::fast::RandomState>,
}

/// A version of a relation, with what every row asks of it at hand.
#[derive(Debug)]
struct Known {
    columns: usize,
    /// What comes before an old row: `O` under FULL, `K` where there are key columns, else neither.
    old: Option<u8>,
    relation: Arc<Relation>,
}

/// More than a server could describe: it runs out of OIDs and memory before.
const RELATIONS_MAX: u32 = 1 << 30;

const CASCADE: u8 = 1;
const RESTART_IDENTITY: u8 = 2;
const TRANSACTIONAL: u8 = 1;
const KEY_COLUMN: u8 = 1;

impl Decoder {
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Decodes one message: the payload of one CopyData `w` (XLogData), without its header.
    ///
    /// Rows and the content of logical messages are slices of `data`, which they keep alive. Relations and types are
    /// remembered.
    ///
    /// # Errors
    /// Every message that is not to the last byte what protocol version 1 has. The decoder is then as it was before,
    /// and can go on with the next message.
    #[inline]
    pub fn decode(&mut self, mut data: Bytes) -> Result<Message, DecodeError> {
        if data.is_empty() {
            return Err(DecodeError::Empty);
        }
        let tag = data[0];
        bytes::Buf::advance(&mut data, 1);
        let reader = |message| Reader { rest: data, message };
        match tag {
            b'I' => self.insert(reader("Insert")),
            b'U' => self.update(reader("Update")),
            b'D' => self.delete(reader("Delete")),
            b'B' => begin(reader("Begin")),
            b'C' => commit(reader("Commit")),
            b'R' => self.relation_message(reader("Relation")),
            b'Y' => self.type_message(reader("Type")),
            b'T' => self.truncate(reader("Truncate")),
            b'M' => logical_message(reader("Message")),
            b'O' => origin(reader("Origin")),
            tag => Err(DecodeError::UnknownTag { tag }),
        }
    }

    /// Returns the relation that a message of this decoder named.
    ///
    /// # Panics
    /// When the index is another decoder's and too large for this one.
    pub fn relation(&self, index: RelationIndex) -> &Arc<Relation> {
        &self.relations[index.as_usize()].relation
    }

    /// Returns how many versions of relations are remembered; all indexes are below it.
    pub fn relation_count(&self) -> u32 {
        self.relations.len() as u32
    }

    #[inline]
    fn insert(&mut self, mut reader: Reader) -> Result<Message, DecodeError> {
        let relation = self.row_relation(&mut reader)?;
        match reader.byte("kind of row")? {
            b'N' => {}
            got => return Err(reader.unexpected("kind of row", "N", got)),
        }
        let new = self.row(&mut reader, relation, "new row")?;
        reader.end()?;
        Ok(Message::Insert { relation, new })
    }

    fn update(&mut self, mut reader: Reader) -> Result<Message, DecodeError> {
        let relation = self.row_relation(&mut reader)?;
        let old = match reader.byte("kind of row")? {
            b'N' => None,
            kind @ (b'K' | b'O') => {
                let old = self.old(&mut reader, relation, kind)?;
                match reader.byte("kind of new row")? {
                    b'N' => Some(old),
                    got => return Err(reader.unexpected("kind of new row", "N", got)),
                }
            }
            got => return Err(reader.unexpected("kind of row", "K, O or N", got)),
        };
        let new = self.row(&mut reader, relation, "new row")?;
        reader.end()?;
        Ok(Message::Update { relation, old, new })
    }

    fn delete(&mut self, mut reader: Reader) -> Result<Message, DecodeError> {
        let relation = self.row_relation(&mut reader)?;
        let old = match reader.byte("kind of row")? {
            kind @ (b'K' | b'O') => self.old(&mut reader, relation, kind)?,
            got => return Err(reader.unexpected("kind of row", "K or O", got)),
        };
        reader.end()?;
        Ok(Message::Delete { relation, old })
    }

    fn truncate(&mut self, mut reader: Reader) -> Result<Message, DecodeError> {
        let count = reader.count32("number of relations")?;
        let flags = reader.flags("options", CASCADE | RESTART_IDENTITY)?;
        // The count is only believed as far as there are bytes for it.
        let mut relations = Vec::with_capacity(count.min(reader.rest.len() / 4));
        for _ in 0..count {
            let oid = reader.oid("relation")?;
            relations.push(self.known(oid).ok_or(DecodeError::UnknownRelation { message: reader.message, oid })?);
        }
        reader.end()?;
        let (cascade, restart_identity) = (flags & CASCADE != 0, flags & RESTART_IDENTITY != 0);
        Ok(Message::Truncate(Truncate { cascade, restart_identity, relations }))
    }

    fn type_message(&mut self, mut reader: Reader) -> Result<Message, DecodeError> {
        let oid = reader.oid("type")?;
        let schema = reader.schema()?;
        let name = reader.string("name")?;
        reader.end()?;
        let named = Type { oid, schema, name };
        self.types.insert(oid, named.clone());
        Ok(Message::Type(named))
    }

    fn relation_message(&mut self, mut reader: Reader) -> Result<Message, DecodeError> {
        let oid = reader.oid("relation")?;
        let schema = reader.schema()?;
        let name = reader.string("name")?;
        let identity = match reader.byte("replica identity")? {
            b'd' => ReplicaIdentity::Default,
            b'i' => ReplicaIdentity::Index,
            b'f' => ReplicaIdentity::Full,
            b'n' => ReplicaIdentity::Nothing,
            got => return Err(reader.unexpected("replica identity", "d, i, f or n", got)),
        };
        let count = reader.count16("number of columns")?;
        // A column takes ten bytes at least: the count is only believed as far as there are bytes for it.
        let mut columns = Vec::with_capacity(count.min(reader.rest.len() / 10));
        for _ in 0..count {
            columns.push(self.column(&mut reader)?);
        }
        reader.end()?;
        self.remember(Relation { oid, schema, name, identity, columns }).map(Message::Relation)
    }

    fn column(&self, reader: &mut Reader) -> Result<Column, DecodeError> {
        let key = reader.flags("column's flags", KEY_COLUMN)? != 0;
        let name = reader.string("column's name")?;
        let type_oid = reader.oid("column's type")?;
        let type_modifier = reader.int32("column's type modifier")?;
        let kind = types::kind(type_oid, self.types.get(&type_oid));
        // Whether a column may be NULL is not sent.
        Ok(Column { name, kind, type_oid, type_modifier, nullable: true, key, attrs: Vec::new() })
    }

    /// Finds the version that is described, or adds it.
    fn remember(&mut self, relation: Relation) -> Result<RelationIndex, DecodeError> {
        if let Some(&index) = self.newest.get(&relation.oid)
            && **self.relation(index) == relation
        {
            return Ok(index);
        }
        if self.relation_count() >= RELATIONS_MAX {
            return Err(DecodeError::TooManyRelations { limit: RELATIONS_MAX });
        }
        let index = RelationIndex(self.relation_count());
        self.newest.insert(relation.oid, index);
        self.last = None;
        let old = match relation.identity {
            ReplicaIdentity::Full => Some(b'O'),
            _ => relation.columns.iter().any(|column| column.key).then_some(b'K'),
        };
        self.relations.push(Known { columns: relation.columns.len(), old, relation: Arc::new(relation) });
        Ok(index)
    }

    #[inline]
    fn known(&mut self, oid: u32) -> Option<RelationIndex> {
        match self.last {
            Some((last, index)) if last == oid => Some(index),
            _ => {
                let index = *self.newest.get(&oid)?;
                self.last = Some((oid, index));
                Some(index)
            }
        }
    }

    #[inline]
    fn row_relation(&mut self, reader: &mut Reader) -> Result<RelationIndex, DecodeError> {
        let oid = reader.oid("relation")?;
        self.known(oid).ok_or(DecodeError::UnknownRelation { message: reader.message, oid })
    }

    /// Takes a row, which has one value for each column of its relation.
    #[inline]
    fn row(&self, reader: &mut Reader, index: RelationIndex, field: &'static str) -> Result<Tuple, DecodeError> {
        let known = &self.relations[index.as_usize()];
        let message = reader.message;
        let tuple = Tuple::take(&mut reader.rest).map_err(|source| DecodeError::BadRow {
            message,
            field,
            relation: known.relation.display_name(),
            source,
        })?;
        if tuple.len() == known.columns {
            return Ok(tuple);
        }
        let (relation, expected, got) = (known.relation.display_name(), known.columns, tuple.len());
        Err(DecodeError::ColumnCount { message, field, relation, expected, got })
    }

    /// Takes an old row.
    ///
    /// The server sends the whole row exactly under FULL and the key otherwise. A key row that held the whole row, or
    /// the other way round, would make columns NULL that are not, so it is refused.
    fn old(&self, reader: &mut Reader, index: RelationIndex, kind: u8) -> Result<Old, DecodeError> {
        let field = if kind == b'K' { "old key" } else { "old row" };
        let known = &self.relations[index.as_usize()];
        if known.old != Some(kind) {
            return Err(DecodeError::OldRow {
                message: reader.message,
                field,
                index,
                relation: known.relation.display_name(),
                identity: known.relation.identity,
                key_columns: known.relation.columns.iter().filter(|column| column.key).count(),
            });
        }
        let row = self.row(reader, index, field)?;
        Ok(if kind == b'O' { Old::Full(row) } else { Old::Key(row) })
    }
}

fn begin(mut reader: Reader) -> Result<Message, DecodeError> {
    let final_lsn = reader.lsn("final LSN")?;
    let commit_time = reader.time("commit time")?;
    let xid = reader.oid("xid")?;
    reader.end()?;
    Ok(Message::Begin(Begin { final_lsn, commit_time, xid }))
}

fn commit(mut reader: Reader) -> Result<Message, DecodeError> {
    // None are defined, and Postgres's own subscriber refuses any.
    reader.flags("flags", 0)?;
    let commit_lsn = reader.lsn("commit LSN")?;
    let end_lsn = reader.lsn("end LSN")?;
    let commit_time = reader.time("commit time")?;
    reader.end()?;
    Ok(Message::Commit(Commit { commit_lsn, end_lsn, commit_time }))
}

fn origin(mut reader: Reader) -> Result<Message, DecodeError> {
    let lsn = reader.lsn("origin's LSN")?;
    let name = reader.string("name")?;
    reader.end()?;
    Ok(Message::Origin(Origin { lsn, name }))
}

fn logical_message(mut reader: Reader) -> Result<Message, DecodeError> {
    let transactional = reader.flags("flags", TRANSACTIONAL)? != 0;
    let lsn = reader.lsn("LSN")?;
    let prefix = reader.string("prefix")?;
    let length = reader.count32("length of the content")?;
    let content = reader.bytes(length, "content")?;
    reader.end()?;
    Ok(Message::Message(LogicalMessage { transactional, lsn, prefix, content }))
}
