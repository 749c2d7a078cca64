//! Cuts the stream of changes into batches of whole transactions.
//!
//! A batch is handed over when the next station is ready for it: on an idle stream at once, in a backlog as large as the
//! limits allow. It ends at a commit; only a transaction that is larger than a whole batch goes on in the next one, and
//! is then alone in its batches, so that the sink's transaction that holds its pieces open holds nothing else.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::change::{Batch, Change, Phase, Relation, Span};
use crate::lsn::Lsn;

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    pub rows_max: usize,
    pub bytes_max: usize,
}

impl Default for BatchLimits {
    fn default() -> BatchLimits {
        BatchLimits { rows_max: 16_384, bytes_max: 8 << 20 }
    }
}

/// A source transaction's header.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub xid: u32,
    pub commit_lsn: Lsn,
    /// Microseconds since 1970-01-01 UTC.
    pub commit_time: i64,
}

/// A batch, and how far the stream is told with it.
#[derive(Clone, Debug)]
pub struct Cut {
    pub batch: Batch,
    /// Every transaction whose commit record lies before it is in this batch or an earlier one.
    pub through: Lsn,
    /// When the source was as `through` has it, microseconds since 1970-01-01 UTC, where it is known.
    pub time: Option<i64>,
    pub bytes: usize,
}

/// A point between two transactions, up to which a batch may be cut.
#[derive(Clone, Copy, Default)]
struct Boundary {
    changes: usize,
    spans: usize,
    bytes: usize,
}

struct Open {
    header: Header,
    /// Changes of this transaction that are in this batch or were in earlier ones.
    changes: u64,
    /// Its span is the last one of the batch.
    spanned: bool,
}

/// Collects changes into [`Cut`]s.
pub struct BatchBuilder {
    limits: BatchLimits,
    epoch: u32,
    next_id: u64,
    batch: Batch,
    bytes: usize,
    /// Indexes of relations in the stream → indexes in the batch.
    relations: HashMap<u32, u32, foldhash::fast::RandomState>,
    open: Option<Open>,
    boundary: Boundary,
    through: Lsn,
    time: Option<i64>,
    taken_through: Lsn,
    taken_time: Option<i64>,
    pinned: Pinned,
}

/// What the rows that were collected keep alive besides themselves.
///
/// A row is a slice of the buffer that the stream was read into, and one of a hundred bytes keeps a megabyte of other
/// groups' rows. So where little of what streams by is wanted, rows get bytes of their own; where much is, they don't:
/// what is kept alive is then at most [`SPARSE`] times what is counted.
#[derive(Default)]
struct Pinned {
    /// What has streamed by since the first row that still is a slice.
    streamed: usize,
    /// The size of the rows that still are slices, from this change on.
    bytes: usize,
    first: usize,
}

/// Rows of less than this part of the stream are copied.
const SPARSE: usize = 4;
/// Not before so much has streamed by: that is the size of one buffer.
const SPARSE_MIN_BYTES: usize = 1 << 20;

impl BatchBuilder {
    /// Begins at `start`: what was committed before it is not seen again.
    pub fn new(limits: BatchLimits, epoch: u32, start: Lsn) -> BatchBuilder {
        BatchBuilder {
            limits,
            epoch,
            next_id: 1,
            batch: Batch::default(),
            bytes: 0,
            relations: HashMap::default(),
            open: None,
            boundary: Boundary::default(),
            through: start,
            time: None,
            taken_through: start,
            taken_time: None,
            pinned: Pinned::default(),
        }
    }

    /// Opens a transaction.
    pub fn begin(&mut self, header: Header) {
        self.open = Some(Open { header, changes: 0, spanned: false });
    }

    /// Adds a change of the open transaction. `stream_relation` identifies the table at its present version.
    pub fn change(&mut self, stream_relation: u32, relation: &Arc<Relation>, mut change: Change) {
        let batch = &mut self.batch;
        change.relation = *self.relations.entry(stream_relation).or_insert_with(|| {
            batch.relations.push(relation.clone());
            (batch.relations.len() - 1) as u32
        });
        let open = self.open.as_mut().expect("changes come between begin and commit");
        if !open.spanned {
            open.spanned = true;
            let Header { xid, commit_lsn, commit_time } = open.header;
            batch.spans.push(Span {
                xid,
                epoch: self.epoch,
                commit_lsn,
                // Known only at the commit; until then the position of the commit record stands in for it.
                end_lsn: commit_lsn,
                commit_time,
                phase: Phase::Live,
                first: batch.changes.len() as u32,
                count: 0,
                first_in_transaction: open.changes,
                complete: false,
            });
        }
        open.changes += 1;
        batch.spans.last_mut().expect("a span was just made").count += 1;
        let bytes = std::mem::size_of::<Change>() + change.rows().map(|row| row.as_bytes().len()).sum::<usize>();
        self.bytes += bytes;
        self.pinned.bytes += bytes;
        batch.changes.push(change);
    }

    /// Notes that so many bytes of the stream have been taken, wanted or not.
    pub fn streamed(&mut self, bytes: usize) {
        let Pinned { streamed, bytes: sliced, first } = &mut self.pinned;
        if *first >= self.batch.changes.len() {
            *streamed = 0;
            return;
        }
        *streamed += bytes;
        if *streamed >= SPARSE_MIN_BYTES && *sliced < *streamed / SPARSE {
            self.batch.changes[*first..].iter_mut().flat_map(Change::rows_mut).for_each(|row| *row = row.detached());
            self.pinned = Pinned { first: self.batch.changes.len(), ..Pinned::default() };
        }
    }

    /// Commits the open transaction. `end_lsn` is just past its commit record.
    pub fn commit(&mut self, end_lsn: Lsn) {
        let open = self.open.take().expect("a commit follows a begin");
        if open.spanned {
            let span = self.batch.spans.last_mut().expect("the transaction has a span");
            span.complete = true;
            span.end_lsn = end_lsn;
        } else if open.changes > 0 {
            // Its last piece was handed over before the commit came: an empty span tells the sink to commit.
            let Header { xid, commit_lsn, commit_time } = open.header;
            self.batch.spans.push(Span {
                xid,
                epoch: self.epoch,
                commit_lsn,
                end_lsn,
                commit_time,
                phase: Phase::Live,
                first: self.batch.changes.len() as u32,
                count: 0,
                first_in_transaction: open.changes,
                complete: true,
            });
        }
        self.through = self.through.max(end_lsn);
        self.time = Some(open.header.commit_time).filter(|&time| time != 0).or(self.time);
        self.mark();
    }

    /// Notes that everything committed before `lsn` has been delivered, as a keepalive says outside of transactions.
    ///
    /// `time`, in microseconds since 1970-01-01 UTC, is when that was so, where it is known.
    pub fn passed(&mut self, lsn: Lsn, time: Option<i64>) {
        if self.open.is_none() {
            self.through = self.through.max(lsn);
            self.time = time.or(self.time);
        }
    }

    fn mark(&mut self) {
        self.boundary =
            Boundary { changes: self.batch.changes.len(), spans: self.batch.spans.len(), bytes: self.bytes };
    }

    /// Drops what was collected: nobody will take it.
    pub fn clear(&mut self) {
        self.batch = Batch::default();
        (self.bytes, self.pinned) = (0, Pinned::default());
        self.relations.clear();
        self.boundary = Boundary::default();
        if let Some(open) = &mut self.open {
            open.spanned = false;
        }
    }

    /// Returns true when no more should be added before a batch is taken.
    pub fn is_full(&self) -> bool {
        self.batch.changes.len() >= self.limits.rows_max || self.bytes >= self.limits.bytes_max
    }

    /// Returns true when [`take`](BatchBuilder::take) would hand over changes.
    pub fn has_changes(&self) -> bool {
        self.boundary.spans > 0 || self.is_full()
    }

    /// Returns the size of the changes that [`take`](BatchBuilder::take) would hand over.
    pub fn collected_bytes(&self) -> usize {
        if self.boundary.spans > 0 { self.boundary.bytes } else { self.bytes }
    }

    /// Returns how far the stream is known, and how far of it was handed over.
    pub fn positions(&self) -> (Lsn, Lsn) {
        (self.through, self.taken_through)
    }

    /// Returns the whole transactions collected so far; or, when there is none and the batch is full, a piece of the
    /// open one. With nothing to hand over the batch is empty and `through` alone moves.
    pub fn take(&mut self) -> Cut {
        let boundary = self.boundary;
        let piece = boundary.spans == 0 && self.is_full();
        let id = self.next_id;
        self.next_id += 1;
        let mut batch = std::mem::take(&mut self.batch);
        batch.id = id;
        let bytes;
        if piece {
            bytes = self.bytes;
            (self.bytes, self.pinned) = (0, Pinned::default());
            self.relations.clear();
            if let Some(open) = &mut self.open {
                open.spanned = false;
            }
        } else {
            // What the open transaction has so far stays, with the relations that it refers to.
            bytes = boundary.bytes;
            self.bytes -= bytes;
            self.pinned = Pinned {
                streamed: 0,
                bytes: self.pinned.bytes.min(self.bytes),
                first: self.pinned.first.saturating_sub(boundary.changes),
            };
            self.batch.changes = batch.changes.split_off(boundary.changes);
            self.batch.spans = batch.spans.split_off(boundary.spans);
            for span in &mut self.batch.spans {
                span.first -= boundary.changes as u32;
            }
            if self.batch.changes.is_empty() {
                self.relations.clear();
            } else {
                self.batch.relations = batch.relations.clone();
            }
            self.taken_through = self.through;
            self.taken_time = self.time;
        }
        self.boundary = Boundary::default();
        Cut { batch, through: self.taken_through, time: self.taken_time, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Op, ReplicaIdentity, Tuple, TupleWriter};

    /// Runs a script: `b1` begins xid 1, `.` is a change, `c` commits, `k` is a keepalive, `|` takes a batch.
    /// Batches are full at four changes. A batch prints as its spans `xid[first+count]`, `…` when it goes on.
    fn check(script: &str, expected: &str) {
        let relation = Arc::new(Relation {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
            identity: ReplicaIdentity::Default,
            columns: Vec::new(),
        });
        let limits = BatchLimits { rows_max: 4, bytes_max: usize::MAX };
        let mut builder = BatchBuilder::new(limits, 1, Lsn(0));
        let mut out = String::new();
        let mut at = 0;
        for (i, c) in script.char_indices() {
            match c {
                'b' => {
                    let xid = script[i + 1..i + 2].parse().unwrap();
                    at += 10;
                    builder.begin(Header { xid, commit_lsn: Lsn(at), commit_time: 0 });
                }
                '.' => {
                    let change = Change { op: Op::Insert, relation: 9, new: None, old: None };
                    builder.change(7, &relation, change);
                }
                'c' => builder.commit(Lsn(at + 5)),
                'k' => builder.passed(Lsn(at + 7), None),
                '|' => {
                    let cut = builder.take();
                    let mut seen = 0;
                    for span in &cut.batch.spans {
                        assert_eq!(span.first, seen, "spans have no gaps");
                        seen += span.count;
                        let more = if span.complete { "" } else { "…" };
                        out += &format!("{}[{}+{}]{more} ", span.xid, span.first_in_transaction, span.count);
                    }
                    assert_eq!(seen as usize, cut.batch.changes.len());
                    assert!(cut.batch.changes.iter().all(|c| (c.relation as usize) < cut.batch.relations.len()));
                    out += &format!("@{}; ", cut.through.0);
                }
                _ => {}
            }
        }
        assert_eq!(out.trim_end(), expected, "for {script}");
    }

    #[test]
    fn a_batch_ends_at_a_commit() {
        check("b1..c b2.c | |", "1[0+2] 2[0+1] @25; @25;");
        check("b1..c b2. | .c |", "1[0+2] @15; 2[0+2] @25;");
        check("b1. | .c |", "@0; 1[0+2] @15;");
    }

    #[test]
    fn a_transaction_larger_than_a_batch_goes_on_alone_in_the_next() {
        check("b1.... | .... | .c |", "1[0+4]… @0; 1[4+4]… @0; 1[8+1] @15;");
        check("b1.... | c b2.c |", "1[0+4]… @0; 1[4+0] 2[0+1] @25;");
        check("b1.c b2.... | | c |", "1[0+1] @15; 2[0+4]… @15; 2[4+0] @25;");
    }

    /// Takes ten reads of 300 kB with so many rows of 1 kB in each, and returns how many rows still are slices of what
    /// was read.
    fn slices(rows: usize) -> usize {
        let relation = Arc::new(Relation {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
            identity: ReplicaIdentity::Default,
            columns: Vec::new(),
        });
        let mut row = TupleWriter::default();
        row.begin();
        row.text(&[b'x'; 1000]);
        row.end();
        let row = row.finish().pop().unwrap();
        let mut builder = BatchBuilder::new(BatchLimits::default(), 1, Lsn(0));
        builder.begin(Header { xid: 1, commit_lsn: Lsn(10), commit_time: 0 });
        let reads: Vec<bytes::Bytes> =
            (0..10).map(|_| bytes::Bytes::from(row.as_bytes().repeat(300_000 / row.as_bytes().len()))).collect();
        for read in &reads {
            let mut rest = read.clone();
            for _ in 0..rows {
                let new = Some(Tuple::take(&mut rest).unwrap());
                builder.change(7, &relation, Change { op: Op::Insert, relation: 0, new, old: None });
            }
            builder.streamed(read.len());
        }
        let within = |at: *const u8| reads.iter().any(|read| read.as_ptr_range().contains(&at));
        let batch = &builder.batch;
        assert!(batch.changes.iter().flat_map(Change::rows).all(|other| *other == row));
        batch.changes.iter().flat_map(Change::rows).filter(|row| within(row.as_bytes().as_ptr())).count()
    }

    #[test]
    fn a_few_rows_of_much_that_streams_by_do_not_keep_it_alive() {
        assert!(slices(1) <= 4, "{}", slices(1));
        assert_eq!(slices(290), 2900, "what is wanted whole is not copied");
    }

    #[test]
    fn positions_move_without_changes() {
        check("b1c | k |", "@15; @17;");
        check("b1. k | c |", "@0; 1[0+1] @15;");
    }
}
