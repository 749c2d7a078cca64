//! Transactions for transforms that take them whole.
//!
//! The stream is cut into batches without regard to transforms: a transaction larger than one comes in pieces. Most
//! transforms take it so. For one that says `whole-transactions` the pieces wait here until the last has come, and it is
//! given all of them in one batch; the others of its group go on piece by piece, and all rows are committed together,
//! for the writer's transaction is open from the first piece to the last.
//!
//! What waits is what the transform subscribes to and nothing else, in copies of its own, since a row of the stream
//! keeps all that was read with it in memory. Its bound is the memory that the guest may have (`limits.memoryMib`): what
//! does not fit there can't be handed over. A transaction beyond it is counted to its end, so that the error says how
//! much it would take.

use std::sync::Arc;

use crate::change::{Batch, Change, Op, Phase, Relation, Span};
use crate::lsn::Lsn;

/// The transaction whose pieces wait.
struct Waiting {
    span: Span,
    relations: Vec<Arc<Relation>>,
    /// Empty once they are more than may wait.
    changes: Vec<Change>,
    count: u64,
    bytes: usize,
}

/// Puts the pieces of transactions together.
pub struct Whole {
    bytes_max: usize,
    waiting: Option<Waiting>,
}

/// A transaction that is larger than what may wait of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub commit_lsn: Lsn,
    /// How many changes of it the transform takes, and how large they are.
    pub changes: u64,
    pub bytes: usize,
}

impl Whole {
    /// Holds up to so many bytes of one transaction.
    pub fn new(bytes_max: usize) -> Whole {
        Whole { bytes_max, waiting: None }
    }

    /// Returns how many bytes of one transaction are held at the most.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Takes a batch of the stream, and returns what can be handed over: of a transaction that goes on in the next
    /// batch nothing, behind its last piece all of it and what came with that.
    ///
    /// A change that `takes` refuses may be left out.
    ///
    /// # Errors
    /// The transaction that ends in this batch is too large.
    pub fn take(&mut self, batch: Arc<Batch>, takes: impl Fn(&Relation, Op) -> bool) -> Result<Arc<Batch>, TooLarge> {
        let Some(first) = batch.spans.first() else { return Ok(batch) };
        // A batch that ends inside a transaction has nothing else in it.
        if self.waiting.is_none() && first.complete {
            return Ok(batch);
        }
        debug_assert!(first.phase == Phase::Live, "copied rows are no pieces");
        let mut waiting = self.waiting.take().unwrap_or_else(|| Waiting {
            span: Span { first: 0, count: 0, first_in_transaction: 0, complete: true, ..first.clone() },
            relations: Vec::new(),
            changes: Vec::new(),
            count: 0,
            bytes: 0,
        });
        let piece = &batch.changes[..first.count as usize];
        waiting.add(&batch.relations, piece, self.bytes_max, takes);
        if !first.complete {
            self.waiting = Some(waiting);
            return Ok(Arc::new(Batch { id: batch.id, ..Batch::default() }));
        }
        if waiting.bytes > self.bytes_max {
            let Waiting { span, count, bytes, .. } = waiting;
            return Err(TooLarge { commit_lsn: span.commit_lsn, changes: count, bytes });
        }
        Ok(Arc::new(waiting.followed_by(&batch)))
    }
}

impl Waiting {
    fn add(
        &mut self,
        relations: &[Arc<Relation>],
        piece: &[Change],
        bytes_max: usize,
        takes: impl Fn(&Relation, Op) -> bool,
    ) {
        for change in piece {
            let relation = &relations[change.relation as usize];
            if !takes(relation, change.op) {
                continue;
            }
            self.count += 1;
            self.bytes += change.bytes();
            if self.bytes > bytes_max {
                self.changes = Vec::new();
                continue;
            }
            let mut change = Change { relation: self.relation(relation), ..change.clone() };
            change.rows_mut().for_each(|row| *row = row.detached());
            self.changes.push(change);
        }
    }

    /// Returns a relation's index. Most changes are of the table of the last one.
    fn relation(&mut self, relation: &Arc<Relation>) -> u32 {
        let index = self.relations.iter().rposition(|known| Arc::ptr_eq(known, relation)).unwrap_or_else(|| {
            self.relations.push(relation.clone());
            self.relations.len() - 1
        });
        index as u32
    }

    /// Returns all of the transaction, and behind it what `last` has behind its last piece.
    fn followed_by(mut self, last: &Batch) -> Batch {
        self.span.count = self.changes.len() as u32;
        self.span.end_lsn = last.spans[0].end_lsn;
        let behind = last.spans[0].count;
        let moved = |span: &Span| Span { first: span.first - behind + self.span.count, ..span.clone() };
        let spans = [self.span.clone()].into_iter().chain(last.spans[1..].iter().map(moved)).collect();
        for change in &last.changes[behind as usize..] {
            let relation = self.relation(&last.relations[change.relation as usize]);
            self.changes.push(Change { relation, ..change.clone() });
        }
        Batch { id: last.id, relations: self.relations, spans, changes: self.changes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, BatchLimits, Header};
    use crate::change::{ReplicaIdentity, Tuple, TupleWriter};

    fn relation(name: &str) -> Arc<Relation> {
        let (oid, identity) = (u32::from(name.as_bytes()[0]), ReplicaIdentity::Default);
        Arc::new(Relation { oid, schema: "public".into(), name: name.into(), identity, columns: Vec::new() })
    }

    /// Runs a script through batches of four changes at most, each taken when it is full or at `|`: `b` begins a
    /// transaction, `c` commits it, `t` is a change that the transform takes, `u` one that it doesn't. What is handed
    /// over prints as its transactions and their changes, each as its table and its number in the script.
    fn check(script: &str, changes_max: usize, expected: &str) {
        let tables = [relation("t"), relation("u")];
        let limits = BatchLimits { rows_max: 4, bytes_max: usize::MAX };
        let mut builder = BatchBuilder::new(limits, 1, Lsn(0));
        let size = numbered(0).bytes();
        let mut whole = Whole::new(changes_max * size);
        let mut out = Vec::new();
        let (mut xid, mut n) = (0, 0);
        for c in script.chars() {
            match c {
                'b' => {
                    xid += 1;
                    let commit_lsn = Lsn(u64::from(xid) * 10);
                    builder.begin(Header { xid, commit_lsn, commit_time: 0 });
                }
                'c' => builder.commit(Lsn(u64::from(xid) * 10 + 5)),
                't' | 'u' => {
                    n += 1;
                    let table = usize::from(c == 'u');
                    builder.change(table as u32, &tables[table], numbered(n));
                }
                _ => {}
            }
            if c == '|' || builder.is_full() {
                let batch = Arc::new(builder.take().batch);
                match whole.take(batch, |relation, _| &*relation.name == "t") {
                    Ok(batch) => out.push(show(&batch)),
                    Err(TooLarge { commit_lsn, changes, bytes }) => {
                        out.push(format!("{changes} at {}, {} too large", commit_lsn.0, bytes / size - changes_max));
                    }
                }
            }
        }
        assert_eq!(out.join("; "), expected, "for {script}");
    }

    fn numbered(n: u8) -> Change {
        let mut writer = TupleWriter::default();
        writer.begin();
        writer.text(&[n]);
        writer.end();
        Change { op: Op::Insert, relation: 0, new: writer.finish().pop(), old: None }
    }

    fn show(batch: &Batch) -> String {
        let mut seen = 0;
        let span = |span: &Span| {
            assert!(span.complete && span.first_in_transaction == 0 && span.end_lsn > span.commit_lsn);
            assert_eq!(span.first, seen, "spans have no gaps");
            seen += span.count;
            let changes = &batch.changes[span.first as usize..][..span.count as usize];
            let change = |change: &Change| {
                let number = change.new.as_ref().map_or(0, |row| row.as_bytes()[7]);
                format!("{}{number}", batch.relations[change.relation as usize].name)
            };
            format!("{}[{}]", span.xid, changes.iter().map(change).collect::<Vec<_>>().join(" "))
        };
        let shown = batch.spans.iter().map(span).collect::<Vec<_>>().join(" ");
        assert_eq!(seen as usize, batch.changes.len());
        shown
    }

    #[test]
    fn what_fits_into_a_batch_passes_as_it_is() {
        check("bttc buc | btc |", 100, "1[t1 t2] 2[u3]; 3[t4]");
    }

    #[test]
    fn a_transaction_of_many_pieces_comes_at_once() {
        check("btttttttttttttc |", 100, "; ; ; 1[t1 t2 t3 t4 t5 t6 t7 t8 t9 t10 t11 t12 t13]");
        check("bttttttc buc btc |", 100, "; 1[t1 t2 t3 t4 t5 t6] 2[u7]; 3[t8]");
        check("bttuutuc |", 100, "; 1[t1 t2 t5]");
    }

    #[test]
    fn one_that_fills_its_last_piece_comes_at_once_too() {
        check("bttttttttc |", 100, "; ; 1[t1 t2 t3 t4 t5 t6 t7 t8]");
        check("bttttuuc |", 100, "; 1[t1 t2 t3 t4]");
        check("buuuuuuc btc |", 100, "; 1[] 2[t7]");
    }

    #[test]
    fn one_that_is_too_large_is_told_with_its_size_and_the_next_is_taken() {
        check("bttttttttttc | btttttc |", 8, "; ; 10 at 10, 2 too large; ; 2[t11 t12 t13 t14 t15]");
        check("bttttttttc |", 8, "; ; 1[t1 t2 t3 t4 t5 t6 t7 t8]");
    }

    #[test]
    fn what_waits_keeps_nothing_else_in_memory() {
        let read = bytes::Bytes::from(vec![0; 1 << 20]);
        let row = Tuple::take(&mut read.slice(..)).expect("a row of no columns");
        let change = Change { op: Op::Insert, relation: 0, new: Some(row), old: None };
        let mut builder = BatchBuilder::new(BatchLimits { rows_max: 1, bytes_max: usize::MAX }, 1, Lsn(0));
        builder.begin(Header { xid: 1, commit_lsn: Lsn(10), commit_time: 0 });
        builder.change(0, &relation("t"), change);
        let mut whole = Whole::new(usize::MAX);
        whole.take(Arc::new(builder.take().batch), |_, _| true).expect("little");
        assert!(read.is_unique(), "nothing but the copy is kept");
    }
}
