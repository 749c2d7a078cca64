//! The stream's way to the groups: messages become changes, and each group collects those of the tables it reads.
//!
//! Nothing here waits for a group: what a group can't take yet is collected for it, and only when its batch is full
//! does the source stop reading. So an idle stream is handed on at once, and a backlog in large batches.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::batch::{BatchBuilder, BatchLimits, Header};
use crate::change::{Change, Op, Relation, TupleWriter};
use crate::lsn::Lsn;
use crate::pgoutput::{DecodeError, Decoder, LogicalMessage, Message, RelationIndex};

use super::told;

/// The stream is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{found} {}", if *.inside { "inside of a transaction" } else { "outside of any transaction" })]
    Sequence { found: &'static str, inside: bool },
}

/// Schemas whose changes are never replicated: a source that is also a destination would feed itself.
const OWN_SCHEMAS: [&str; 3] = ["rejot_data_store", "rejot_events", "pelton"];

/// What a message tells the caller, beside the changes that are collected.
pub enum News {
    /// A table is described as it was not before, so that the caller can add what only the catalog knows with
    /// [`Dispatch::enrich`].
    Described(RelationIndex),
    /// A table is described as it was before: something was altered that descriptions do not show, or nothing.
    Repeated(RelationIndex),
    /// Somebody tells of an ALTER TABLE.
    Altered(LogicalMessage),
}

/// Which tables a group reads.
pub trait Reads {
    fn reads(&self, schema: &str, table: &str) -> bool;

    /// Returns true when the group's destination has what a transaction changed already, though no checkpoint says so: ReJot
    /// stored it. `at` is where the stream delivers the transaction's beginning, or its first change.
    fn has(&self, at: Lsn) -> bool;
}

/// One version of a relation in the stream, and which groups want its changes.
struct Known {
    /// Tells it apart in batches.
    version: u32,
    relation: Arc<Relation>,
    groups: Vec<usize>,
}

/// The decoder and one collecting batch a group.
pub struct Dispatch<R> {
    decoder: Decoder,
    readers: Vec<R>,
    /// Groups that have ended.
    detached: Vec<usize>,
    pub builders: Vec<BatchBuilder>,
    known: Vec<Known>,
    /// By prefix.
    messages: HashMap<Box<str>, usize>,
    message_relations: Vec<Known>,
    /// How many there have been.
    versions: u32,
    in_transaction: bool,
    /// The open transaction has changes.
    changed: bool,
    /// Groups that have the changes of the open transaction already.
    having: Vec<usize>,
    /// The newest commit seen, or the position of a keepalive.
    pub position: Lsn,
    /// How many transactions have been complete.
    pub transactions: u64,
}

impl<R: Reads> Dispatch<R> {
    /// Begins at `start`, with one collecting batch for each of `readers`.
    pub fn new(readers: Vec<R>, limits: BatchLimits, epoch: u32, start: Lsn) -> Dispatch<R> {
        Dispatch {
            decoder: Decoder::new(),
            builders: readers.iter().map(|_| BatchBuilder::new(limits, epoch, start)).collect(),
            readers,
            detached: Vec::new(),
            known: Vec::new(),
            messages: HashMap::new(),
            message_relations: Vec::new(),
            versions: 0,
            in_transaction: false,
            changed: false,
            having: Vec::new(),
            position: start,
            transactions: 0,
        }
    }

    /// Returns true when a group's batch is full, so that nothing more should be read.
    pub fn is_full(&self) -> bool {
        self.builders.iter().any(BatchBuilder::is_full)
    }

    /// Stops collecting for a group that has ended.
    pub fn detach(&mut self, group: usize) {
        self.detached.push(group);
        for known in self.known.iter_mut().chain(&mut self.message_relations) {
            known.groups.retain(|&other| other != group);
        }
        self.builders[group].clear();
    }

    /// Says that all messages of a read of so many bytes have been taken.
    pub fn gulped(&mut self, bytes: usize) {
        self.builders.iter_mut().for_each(|builder| builder.streamed(bytes));
    }

    /// Takes what a keepalive says: everything committed before `lsn` was delivered, unless a transaction is open.
    /// `time` is the server's clock, in microseconds since 1970-01-01 UTC.
    pub fn keepalive(&mut self, lsn: Lsn, time: Option<i64>) {
        if !self.in_transaction {
            self.position = self.position.max(lsn);
            self.builders.iter_mut().for_each(|builder| builder.passed(lsn, time));
        }
    }

    /// Takes one message, which the stream delivers at `at`.
    ///
    /// # Errors
    /// The message is no pgoutput, or stands where it can't.
    pub fn message(&mut self, at: Lsn, data: bytes::Bytes) -> Result<Option<News>, StreamError> {
        let message = self.decoder.decode(data)?;
        self.check_sequence(&message)?;
        self.look_who_has(&message, at);
        match message {
            Message::Insert { relation, new } => {
                self.change(relation, Change { op: Op::Insert, relation: 0, new: Some(new), old: None });
            }
            Message::Update { relation, old, new } => {
                self.change(relation, Change { op: Op::Update, relation: 0, new: Some(new), old });
            }
            Message::Delete { relation, old } => {
                self.change(relation, Change { op: Op::Delete, relation: 0, new: None, old: Some(old) });
            }
            Message::Truncate(truncate) => {
                for relation in truncate.relations {
                    self.change(relation, Change { op: Op::Truncate, relation: 0, new: None, old: None });
                }
            }
            Message::Begin(begin) => {
                self.in_transaction = true;
                let header = Header { xid: begin.xid, commit_lsn: begin.final_lsn, commit_time: begin.commit_time };
                self.builders.iter_mut().for_each(|builder| builder.begin(header));
            }
            Message::Commit(commit) => {
                self.in_transaction = false;
                self.transactions += 1;
                self.position = commit.end_lsn;
                self.builders.iter_mut().for_each(|builder| builder.commit(commit.end_lsn));
            }
            Message::Relation(index) if index.as_usize() == self.known.len() => {
                let relation = self.decoder.relation(index).clone();
                let known = self.known_as(relation);
                self.known.push(known);
                return Ok(Some(News::Described(index)));
            }
            Message::Relation(index) => return Ok(Some(News::Repeated(index))),
            Message::Origin(_) | Message::Type(_) => {}
            Message::Message(message) => {
                self.logical_message(&message);
                return Ok((*message.prefix == *told::PREFIX).then_some(News::Altered(message)));
            }
        }
        Ok(None)
    }

    /// Changes stand between a Begin and its Commit, and transactions are not nested.
    fn check_sequence(&self, message: &Message) -> Result<(), StreamError> {
        let inside = self.in_transaction;
        let (found, wanted) = match message {
            Message::Insert { .. } => ("an Insert", true),
            Message::Update { .. } => ("an Update", true),
            Message::Delete { .. } => ("a Delete", true),
            Message::Truncate(_) => ("a Truncate", true),
            Message::Commit(_) => ("a Commit", true),
            Message::Begin(_) => ("a Begin", false),
            Message::Message(message) if message.transactional => ("a transactional Message", true),
            Message::Message(_) => ("a Message on its own", false),
            Message::Origin(_) | Message::Relation(_) | Message::Type(_) => return Ok(()),
        };
        if inside == wanted { Ok(()) } else { Err(StreamError::Sequence { found, inside }) }
    }

    /// Finds the groups that have the open transaction already. Who reads no logical messages sees a transaction begin with
    /// its first change, and since PostgreSQL 15 that is where it is delivered then.
    fn look_who_has(&mut self, message: &Message, at: Lsn) {
        match message {
            Message::Begin(_) => {
                self.changed = false;
                self.having.clear();
            }
            Message::Insert { .. } | Message::Update { .. } | Message::Delete { .. } | Message::Truncate(_)
                if !self.changed =>
            {
                self.changed = true;
            }
            // Descriptions are delivered nowhere.
            _ => return,
        }
        let has = |(_, reader): &(usize, &R)| reader.has(at);
        self.having.extend(self.readers.iter().enumerate().filter(has).map(|(group, _)| group));
    }

    /// Returns a relation as the stream described it.
    pub fn relation(&self, index: RelationIndex) -> &Arc<Relation> {
        self.decoder.relation(index)
    }

    /// Returns a relation as it is known; `None` when no group reads it.
    pub fn wanted(&self, index: RelationIndex) -> Option<&Arc<Relation>> {
        let known = &self.known[index.as_usize()];
        (!known.groups.is_empty()).then_some(&known.relation)
    }

    /// Replaces a relation that was just described by one that says more, perhaps under another name. Changes that are
    /// collected already keep the former one.
    pub fn enrich(&mut self, index: RelationIndex, relation: Relation) {
        if *self.known[index.as_usize()].relation != relation {
            self.known[index.as_usize()] = self.known_as(Arc::new(relation));
        }
    }

    /// Takes no changes of a relation that was just described.
    pub fn ignore(&mut self, index: RelationIndex) {
        self.known[index.as_usize()].groups.clear();
    }

    fn change(&mut self, index: RelationIndex, change: Change) {
        let known = &self.known[index.as_usize()];
        if !self.having.is_empty() {
            for &group in known.groups.iter().filter(|group| !self.having.contains(group)) {
                self.builders[group].change(known.version, &known.relation, change.clone());
            }
            return;
        }
        let Some((&last, others)) = known.groups.split_last() else { return };
        for &group in others {
            self.builders[group].change(known.version, &known.relation, change.clone());
        }
        self.builders[last].change(known.version, &known.relation, change);
    }

    fn logical_message(&mut self, message: &LogicalMessage) {
        let index = match self.messages.get(&message.prefix) {
            Some(&index) => index,
            None => {
                let index = self.message_relations.len();
                let known = self.known_as(Arc::new(Relation::of_message(&message.prefix)));
                self.message_relations.push(known);
                self.messages.insert(message.prefix.clone(), index);
                index
            }
        };
        // Outside of a transaction a message is one of its own. Its LSN is the end of its record, which can be where
        // the commit record of the transaction that wrote it begins; one byte less lies inside its own record.
        let (inside, end_lsn) = (Lsn(message.lsn.0.saturating_sub(1)), message.lsn);
        let Known { version, relation, groups } = &self.message_relations[index];
        for &group in groups {
            let mut writer = TupleWriter::default();
            writer.begin();
            writer.text(if message.transactional { b"t" } else { b"f" });
            writer.binary(&message.content);
            writer.end();
            let new = writer.finish().pop();
            let builder = &mut self.builders[group];
            if !message.transactional {
                builder.begin(Header { xid: 0, commit_lsn: inside, commit_time: 0 });
            }
            builder.change(*version, relation, Change { op: Op::Insert, relation: 0, new, old: None });
            if !message.transactional {
                builder.commit(end_lsn);
            }
        }
        if !message.transactional {
            self.keepalive(end_lsn, None);
        }
    }

    fn known_as(&mut self, relation: Arc<Relation>) -> Known {
        let ours = OWN_SCHEMAS.contains(&&*relation.schema);
        let wants = |group: &usize| {
            !ours && !self.detached.contains(group) && self.readers[*group].reads(&relation.schema, &relation.name)
        };
        let groups = (0..self.readers.len()).filter(wants).collect();
        // A batch holds far fewer than would be needed to come round.
        self.versions = self.versions.wrapping_add(1);
        Known { version: self.versions, relation, groups }
    }
}
