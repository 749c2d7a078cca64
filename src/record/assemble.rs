//! Messages of the stream become transactions.
//!
//! Pure: what needs the catalog is asked for ([`Taken::Described`]), and given by [`Assembler::describe`].

use std::sync::Arc;

use bytes::Bytes;

use super::{Table, Wanted};
use crate::change::{Change, Op, Phase, Relation, TupleWriter};
use crate::document::problem::Place;
use crate::fixture::Transaction;
use crate::lsn::Lsn;
use crate::pgoutput::{DecodeError, Decoder, LogicalMessage, Message, RelationIndex};
use crate::postgres::catalog::{OWN_SCHEMAS, TableName};

/// Logical messages of ours have this prefix, or one that begins with it and a dot.
const OWN_PREFIX: &str = "pelton";

/// Which logical messages are recorded; ours never are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Messages {
    All,
    /// Those with one of these prefixes.
    Of(Vec<String>),
}

/// What passed by.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// Its changes name tables by their index in [`super::Recorder::tables`].
    Transaction(Transaction),
    /// A transaction that is larger than what is kept of one.
    TooLarge { xid: u32, changes: u64 },
    /// A table that was recorded has other columns, or another replica identity, from here on; its changes name another
    /// entry of [`super::Recorder::tables`].
    Altered { table: String },
}

/// What came of a message.
pub(super) enum Taken {
    Nothing,
    /// A table is described: [`Assembler::describe`] has to be called before the next message.
    Described(RelationIndex),
    /// Everything before `end` was handed over.
    Ended {
        end: Lsn,
        recorded: Option<Recorded>,
    },
}

pub(super) struct Assembler {
    decoder: Decoder,
    /// Empty: all tables.
    wanted: Vec<TableName>,
    messages: Messages,
    bytes_max: usize,
    tables: Vec<Table>,
    /// For each description of the stream: the table, if it is wanted.
    known: Vec<Option<u32>>,
    open: Option<Open>,
}

/// The transaction that goes on.
struct Open {
    transaction: Transaction,
    bytes: usize,
    changes: u64,
}

impl Assembler {
    pub fn new(wanted: &Wanted, messages: Messages, bytes_max: usize) -> Assembler {
        let wanted = match wanted {
            Wanted::All => Vec::new(),
            Wanted::Listed(names) => names.clone(),
        };
        let (tables, known) = (Vec::new(), Vec::new());
        Assembler { decoder: Decoder::new(), wanted, messages, bytes_max, tables, known, open: None }
    }

    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Returns true between the beginning of a transaction and its commit.
    pub fn is_inside(&self) -> bool {
        self.open.is_some()
    }

    /// Returns a relation as the stream described it.
    pub fn relation(&self, index: RelationIndex) -> &Arc<Relation> {
        self.decoder.relation(index)
    }

    /// Returns true for the tables that are recorded.
    pub fn wants(&self, relation: &Relation) -> bool {
        let named = |name: &TableName| name.schema == *relation.schema && name.name == *relation.name;
        !OWN_SCHEMAS.contains(&&*relation.schema) && (self.wanted.is_empty() || self.wanted.iter().any(named))
    }

    /// Takes what is known of a table that was just described; returns true when it is another version of one that was
    /// known before.
    pub fn describe(&mut self, index: RelationIndex, table: Table) -> bool {
        let same_name = |known: &Table| {
            known.relation.schema == table.relation.schema && known.relation.name == table.relation.name
        };
        let before = self.tables.iter().rposition(same_name);
        let (at, altered) = match before {
            Some(at) if self.tables[at] == table => (at, false),
            _ => {
                self.tables.push(table);
                (self.tables.len() - 1, before.is_some())
            }
        };
        self.known[index.as_usize()] = Some(at as u32);
        altered
    }

    pub fn take(&mut self, data: Bytes) -> Result<Taken, DecodeError> {
        match self.decoder.decode(data)? {
            Message::Begin(begin) => {
                let transaction = transaction(begin.xid, begin.final_lsn, begin.commit_time);
                self.open = Some(Open { transaction, bytes: 0, changes: 0 });
            }
            Message::Commit(commit) => {
                let recorded = self.open.take().and_then(Open::ended);
                return Ok(Taken::Ended { end: commit.end_lsn, recorded });
            }
            Message::Relation(index) if index.as_usize() == self.known.len() => {
                self.known.push(None);
                return Ok(Taken::Described(index));
            }
            Message::Relation(_) | Message::Origin(_) | Message::Type(_) => {}
            Message::Insert { relation, new } => self.change(relation, Op::Insert, Some(new), None),
            Message::Update { relation, old, new } => self.change(relation, Op::Update, Some(new), old),
            Message::Delete { relation, old } => self.change(relation, Op::Delete, None, Some(old)),
            Message::Truncate(truncate) => {
                for relation in truncate.relations {
                    self.change(relation, Op::Truncate, None, None);
                }
            }
            Message::Message(message) => return Ok(self.message(&message)),
        }
        Ok(Taken::Nothing)
    }

    fn change(
        &mut self,
        index: RelationIndex,
        op: Op,
        new: Option<crate::change::Tuple>,
        old: Option<crate::change::Old>,
    ) {
        let Some(relation) = self.known[index.as_usize()] else { return };
        let mut change = Change { op, relation, new, old };
        // A slice would keep all that was read with it.
        change.rows_mut().for_each(|row| *row = row.detached());
        if let Some(open) = &mut self.open {
            open.add(change, self.bytes_max);
        }
    }

    fn message(&mut self, message: &LogicalMessage) -> Taken {
        let prefix = &*message.prefix;
        let ours = prefix.strip_prefix(OWN_PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let wanted = match &self.messages {
            Messages::All => true,
            Messages::Of(prefixes) => prefixes.iter().any(|one| one == prefix),
        };
        let change = (wanted && !ours).then(|| self.of_message(message));
        if message.transactional {
            if let (Some(change), Some(open)) = (change, &mut self.open) {
                open.add(change, self.bytes_max);
            }
            return Taken::Nothing;
        }
        // Outside of transactions it is one of its own.
        let mut open = Open { transaction: transaction(0, message.lsn, 0), bytes: 0, changes: 0 };
        change.into_iter().for_each(|change| open.add(change, self.bytes_max));
        Taken::Ended { end: message.lsn, recorded: open.ended() }
    }

    fn of_message(&mut self, message: &LogicalMessage) -> Change {
        let prefix = &message.prefix;
        let is_its =
            |table: &Table| &*table.relation.schema == Relation::MESSAGE_SCHEMA && table.relation.name == *prefix;
        let at = self.tables.iter().position(is_its).unwrap_or_else(|| {
            self.tables.push(Table { relation: Arc::new(Relation::of_message(prefix)), key: Vec::new() });
            self.tables.len() - 1
        });
        let mut writer = TupleWriter::default();
        writer.begin();
        writer.text(if message.transactional { b"t" } else { b"f" });
        writer.binary(&message.content);
        writer.end();
        Change { op: Op::Insert, relation: at as u32, new: writer.finish().pop(), old: None }
    }
}

impl Open {
    fn add(&mut self, change: Change, bytes_max: usize) {
        self.changes += 1;
        self.bytes += change.bytes();
        if self.bytes <= bytes_max {
            self.transaction.changes.push(change);
            self.transaction.places.push(Place::START);
        } else {
            (self.transaction.changes, self.transaction.places) = (Vec::new(), Vec::new());
        }
    }

    fn ended(self) -> Option<Recorded> {
        let Open { transaction, changes, .. } = self;
        match (changes, transaction.changes.is_empty()) {
            (0, _) => None,
            (_, true) => Some(Recorded::TooLarge { xid: transaction.xid, changes }),
            (_, false) => Some(Recorded::Transaction(transaction)),
        }
    }
}

fn transaction(xid: u32, commit_lsn: Lsn, commit_time: i64) -> Transaction {
    let (changes, places) = (Vec::new(), Vec::new());
    Transaction { at: Place::START, xid, commit_lsn, commit_time, phase: Phase::Test, changes, places, expected: None }
}
