//! Transactions become batches: output must not depend on where they are cut.

use std::ops::Range;
use std::sync::Arc;

use crate::change::{Batch, Relation, Span};
use crate::fixture::Transaction;
use crate::lsn::Lsn;

/// Where batches end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Behind every transaction.
    Transactions,
    /// Nowhere: all in one.
    Nowhere,
    /// Behind every change.
    Changes,
    /// Behind that many changes, and at the end.
    Behind(usize),
}

/// A batch, and where its first change stands among all of them.
pub struct Piece {
    pub batch: Batch,
    pub first: usize,
}

/// Cuts transactions into batches. Empty transactions come alone.
pub fn cut(relations: &[Arc<Relation>], transactions: &[Transaction], cut: Cut) -> Vec<Piece> {
    let total: usize = transactions.iter().map(|transaction| transaction.changes.len()).sum();
    let mut ends: Vec<usize> = match cut {
        Cut::Nowhere => Vec::new(),
        Cut::Changes => (1..total).collect(),
        Cut::Behind(count) => vec![count],
        Cut::Transactions => {
            let ends = transactions.iter().scan(0, |end, transaction| {
                *end += transaction.changes.len();
                Some(*end)
            });
            ends.collect()
        }
    };
    ends.retain(|&end| end > 0 && end < total);
    ends.push(total);
    ends.dedup();
    let mut first = 0;
    let mut pieces = Vec::new();
    for end in ends {
        pieces.push(Piece { batch: piece(relations, transactions, first..end), first });
        first = end;
    }
    pieces
}

/// Makes a batch of the changes in `range`, counted over all transactions.
fn piece(relations: &[Arc<Relation>], transactions: &[Transaction], range: Range<usize>) -> Batch {
    let mut batch = Batch { relations: relations.to_vec(), ..Batch::default() };
    let mut begin = 0;
    for transaction in transactions {
        let end = begin + transaction.changes.len();
        let (from, to) = (range.start.max(begin), range.end.min(end));
        if from < to {
            batch.spans.push(Span {
                xid: transaction.xid,
                epoch: 1,
                commit_lsn: transaction.commit_lsn,
                end_lsn: Lsn(transaction.commit_lsn.0 + 0x30),
                commit_time: transaction.commit_time,
                phase: transaction.phase,
                first: batch.changes.len() as u32,
                count: (to - from) as u32,
                first_in_transaction: (from - begin) as u64,
                complete: to == end,
            });
            batch.changes.extend_from_slice(&transaction.changes[from - begin..to - begin]);
        }
        begin = end;
    }
    batch
}
