//! The messages of pgoutput, in Postgres's words.

use bytes::Bytes;

use crate::change::{Old, Tuple};
use crate::lsn::Lsn;

/// One version of one relation, as its [`Decoder`](super::Decoder) numbers them: from 0, without gaps, in the order in
/// which they were first described.
///
/// A relation that is described again without a change keeps its index; one that was altered gets a new one, and the
/// old index keeps meaning the old columns. So an index that is equal to the number of indexes seen so far is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationIndex(pub u32);

impl RelationIndex {
    /// Returns the index as one into a `Vec`.
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// One message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Begin(Begin),
    Commit(Commit),
    /// Comes at most once, right behind `Begin`.
    Origin(Origin),
    /// A table is described before its first change, and again after it may have been altered.
    Relation(RelationIndex),
    /// A type that is not built in is named before the relation that uses it.
    Type(Type),
    /// A value may be [`Unchanged`](crate::change::Value::Unchanged), and is then not to be had from this stream: a row
    /// filter of the publication makes an insert of an update that moves a row into the filter, and Postgres sends its
    /// TOASTed values only if the update changed them. REPLICA IDENTITY FULL mends it.
    Insert {
        relation: RelationIndex,
        new: Tuple,
    },
    /// `old` is there when the key changed, and always under REPLICA IDENTITY FULL, with one exception: a partition that
    /// is published via its root writes old rows by its own identity, which the stream labels with that of the root.
    Update {
        relation: RelationIndex,
        old: Option<Old>,
        new: Tuple,
    },
    Delete {
        relation: RelationIndex,
        old: Old,
    },
    Truncate(Truncate),
    Message(LogicalMessage),
}

/// A transaction begins; it is sent when its commit is read, so its end is known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The position of the commit record: equal to the commit's `commit_lsn`.
    pub final_lsn: Lsn,
    /// Microseconds since 1970-01-01 UTC.
    pub commit_time: i64,
    pub xid: u32,
}

/// A transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The position of the commit record.
    pub commit_lsn: Lsn,
    /// Just past the commit record: what is confirmed once the transaction is applied.
    pub end_lsn: Lsn,
    /// Microseconds since 1970-01-01 UTC.
    pub commit_time: i64,
}

/// The transaction was not made here, but replayed from a replication origin of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The position of the commit at the origin.
    pub lsn: Lsn,
    pub name: Box<str>,
}

/// The name of a type that is not built in.
///
/// Of a domain Postgres sends the OID of the domain with the name of the type below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    pub oid: u32,
    pub schema: Box<str>,
    pub name: Box<str>,
}

/// Tables were emptied, all by one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    pub cascade: bool,
    pub restart_identity: bool,
    pub relations: Vec<RelationIndex>,
}

/// What an application wrote into the stream with `pg_logical_emit_message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalMessage {
    /// False: it stands on its own between transactions, even if the transaction that wrote it was rolled back.
    pub transactional: bool,
    pub lsn: Lsn,
    pub prefix: Box<str>,
    pub content: Bytes,
}
