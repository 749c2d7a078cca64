//! Changes of source tables, in runs of whole transactions.

use std::sync::Arc;

use super::{Op, Relation, Tuple, Value};
use crate::lsn::Lsn;

/// The old row of an update or a delete, as far as the replica identity sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Old {
    /// The key columns alone. In the tuple every other column is NULL by the protocol, which says nothing about it.
    Key(Tuple),
    /// The whole row (REPLICA IDENTITY FULL).
    Full(Tuple),
}

impl Old {
    /// Iterates over the columns of `relation`; what was not sent is [`Value::Unchanged`], never NULL.
    pub fn columns<'a>(&'a self, relation: &'a Relation) -> impl Iterator<Item = Value<'a>> {
        let (tuple, full) = match self {
            Old::Key(tuple) => (tuple, false),
            Old::Full(tuple) => (tuple, true),
        };
        let known = move |(value, column): (Value<'a>, &'a super::Column)| {
            if full || column.key { value } else { Value::Unchanged }
        };
        tuple.columns().zip(&relation.columns).map(known)
    }
}

/// One change of one table.
#[derive(Clone, Debug)]
pub struct Change {
    pub op: Op,
    /// Index into [`Batch::relations`].
    pub relation: u32,
    /// The new row of an insert or an update, in the order of the relation's columns.
    pub new: Option<Tuple>,
    /// The old row of a delete, and of an update that sent one: always under FULL, otherwise when the key changed.
    pub old: Option<Old>,
}

impl Change {
    /// Iterates over its rows, the new one first.
    pub fn rows(&self) -> impl Iterator<Item = &Tuple> {
        let old = self.old.as_ref().map(|(Old::Key(row) | Old::Full(row))| row);
        self.new.iter().chain(old)
    }

    /// The same, to replace them.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut Tuple> {
        let old = self.old.as_mut().map(|(Old::Key(row) | Old::Full(row))| row);
        self.new.iter_mut().chain(old)
    }
}

/// Where the changes of a span come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Rows that existed before the flow.
    Backfill,
    Live,
    Replay,
    Test,
}

/// A run of a batch's changes that belong to one source transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// 0 for backfill and for logical messages outside of a transaction.
    pub xid: u32,
    pub epoch: u32,
    /// The position of the commit record.
    pub commit_lsn: Lsn,
    /// Just past the commit record: the position that is confirmed once this transaction is applied.
    pub end_lsn: Lsn,
    /// Microseconds since 1970-01-01 UTC.
    pub commit_time: i64,
    pub phase: Phase,
    /// Index in [`Batch::changes`] of the span's first change.
    pub first: u32,
    pub count: u32,
    /// Index in its transaction of the span's first change; not 0 when a huge transaction goes on in this batch.
    pub first_in_transaction: u64,
    /// False while a huge transaction goes on in the next batch.
    pub complete: bool,
}

/// Changes in commit order, and within a transaction in the order of its changes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Grows by one a batch within a process.
    pub id: u64,
    /// The tables of this batch's changes. A table that is altered inside a batch stands in it twice.
    pub relations: Vec<Arc<Relation>>,
    /// In order, without gaps: every change belongs to exactly one span. A span may be empty.
    pub spans: Vec<Span>,
    pub changes: Vec<Change>,
}

impl Batch {
    /// Returns the part of the batch that was committed at or behind `lsn`.
    pub fn since(self: &Arc<Batch>, lsn: Lsn) -> Arc<Batch> {
        // Spans are in commit order, so what is behind is at the end.
        let skipped = self.spans.partition_point(|span| span.commit_lsn < lsn);
        if skipped == 0 {
            return self.clone();
        }
        let first = self.spans.get(skipped).map_or(self.changes.len() as u32, |span| span.first);
        let spans = self.spans[skipped..].iter().map(|span| Span { first: span.first - first, ..span.clone() });
        Arc::new(Batch {
            id: self.id,
            relations: self.relations.clone(),
            spans: spans.collect(),
            changes: self.changes[first as usize..].to_vec(),
        })
    }

    /// Returns true when a huge transaction goes on in the next batch.
    pub fn ends_inside_transaction(&self) -> bool {
        self.spans.last().is_some_and(|span| !span.complete)
    }
}
