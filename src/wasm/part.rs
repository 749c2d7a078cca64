//! What one call is given of a batch: all of it as a rule, less while a failing change is being found.

use super::bindings::types as wit;
use super::sandbox::Moment;
use crate::change::{Batch, Phase, Span};

/// Some changes of a batch, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// The stretch of the batch's changes that it covers, those left out included.
    pub from: u32,
    pub to: u32,
    /// Indexes in the batch of the changes that are handed over.
    pub indexes: &'a [u32],
    /// Everything that the transform subscribes to is in.
    pub whole: bool,
}

impl<'a> Part<'a> {
    /// Returns the batch's id for the whole batch; for less, an id that depends on nothing but the changes.
    ///
    /// So the same id always comes with the same bytes.
    pub(super) fn id(&self, batch: &Batch) -> u64 {
        if self.whole {
            return batch.id;
        }
        // FNV-1a. Batches count up from zero and never reach the highest bit.
        let mix = |hash: u64, value: u64| (hash ^ value).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = self.indexes.iter().fold(mix(0xcbf2_9ce4_8422_2325, batch.id), |hash, &i| mix(hash, i.into()));
        hash | 1 << 63
    }

    /// Returns the spans that the part has changes of, and those whose transaction goes on before or behind the batch.
    pub(super) fn spans(&self, batch: &Batch) -> Vec<wit::Span> {
        let mut spans = Vec::new();
        let mut first = 0usize;
        for span in &batch.spans {
            let end = span.first + span.count;
            let count = self.indexes[first..].partition_point(|&index| index < end);
            let ends_here = end > self.from && end <= self.to || span.count == 0 && self.whole;
            if count > 0 || ends_here && is_piece(span) {
                spans.push(to_wit(span, first as u32, count as u32, span.complete && end <= self.to));
            }
            first += count;
        }
        spans
    }

    /// Returns whether there is anything to say to the guest.
    pub(super) fn is_worth_a_call(&self, batch: &Batch) -> bool {
        !self.indexes.is_empty() || self.whole && batch.spans.iter().any(is_piece)
    }

    /// Returns the clock and the seed: those of the newest, and of the first, change.
    pub(super) fn moment(&self, batch: &Batch) -> Moment {
        let span_of = |index: u32| {
            let at = batch.spans.partition_point(|span| span.first + span.count <= index);
            batch.spans.get(at)
        };
        let last = self.indexes.last().map_or(batch.spans.last(), |&index| span_of(index));
        let time = last.map_or(0, |span| span.commit_time);
        let seed = match self.indexes.first() {
            Some(&index) => span_of(index).map_or(0, |span| {
                let in_transaction = span.first_in_transaction + u64::from(index - span.first);
                span.commit_lsn.0 ^ in_transaction.rotate_left(40) ^ u64::from(span.epoch).rotate_left(56)
            }),
            None => 0,
        };
        Moment { time, seed }
    }

    /// Cuts the part in two, between transactions if they must stay whole. `None` when it can't be cut.
    pub(super) fn split(&self, batch: &Batch, whole_transactions: bool) -> Option<(Part<'a>, Part<'a>)> {
        let middle = self.indexes.len() / 2;
        let at = if whole_transactions {
            let starts = batch.spans.iter().map(|span| self.indexes.partition_point(|&index| index < span.first));
            starts.filter(|&at| at > 0 && at < self.indexes.len()).min_by_key(|&at| at.abs_diff(middle))?
        } else {
            (self.indexes.len() > 1).then_some(middle)?
        };
        let (left, right) = self.indexes.split_at(at);
        let cut = right[0];
        Some((
            Part { from: self.from, to: cut, indexes: left, whole: false },
            Part { from: cut, to: self.to, indexes: right, whole: false },
        ))
    }
}

/// Returns whether the span is a piece of a transaction that is too large for one batch.
fn is_piece(span: &Span) -> bool {
    span.first_in_transaction > 0 || !span.complete
}

fn to_wit(span: &Span, first: u32, count: u32, complete: bool) -> wit::Span {
    wit::Span {
        xid: span.xid,
        epoch: span.epoch,
        commit_lsn: span.commit_lsn.0,
        commit_time: span.commit_time,
        phase: match span.phase {
            Phase::Backfill => wit::Phase::Backfill,
            Phase::Live => wit::Phase::Live,
            Phase::Replay => wit::Phase::Replay,
            Phase::Test => wit::Phase::Test,
        },
        first,
        count,
        complete,
        attrs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    /// Spans of these lengths; the first one ends a transaction that began in an earlier batch.
    fn batch(lengths: &[u32]) -> Batch {
        let mut first = 0;
        let span = |(i, &count): (usize, &u32)| {
            let span = Span {
                xid: i as u32 + 1,
                epoch: 1,
                commit_lsn: Lsn(i as u64),
                end_lsn: Lsn(i as u64),
                commit_time: 0,
                phase: Phase::Live,
                first,
                count,
                first_in_transaction: if i == 0 { 9 } else { 0 },
                complete: true,
            };
            first += count;
            span
        };
        Batch { id: 5, spans: lengths.iter().enumerate().map(span).collect(), ..Batch::default() }
    }

    fn show(batch: &Batch, part: Part<'_>) -> String {
        let span = |span: wit::Span| {
            let open = if span.complete { "" } else { "…" };
            format!("{}: {}+{}{open}", span.xid, span.first, span.count)
        };
        part.spans(batch).into_iter().map(span).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_part_has_the_spans_of_its_changes_and_the_ends_of_huge_transactions() {
        let batch = batch(&[0, 3, 2, 4]);
        // Change 3 and 4, all of transaction 3, are not subscribed.
        let indexes = [0, 2, 5, 6, 7, 8];
        let whole = Part { from: 0, to: 9, indexes: &indexes, whole: true };
        assert_eq!(show(&batch, whole), "1: 0+0, 2: 0+2, 4: 2+4");
        let (left, right) = whole.split(&batch, false).unwrap();
        assert_eq!((show(&batch, left), show(&batch, right)), ("2: 0+2, 4: 2+1…".into(), "4: 0+3".into()));
        let (left, right) = whole.split(&batch, true).unwrap();
        assert_eq!((show(&batch, left), show(&batch, right)), ("2: 0+2".into(), "4: 0+4".into()));
        assert!(right.split(&batch, true).is_none());
        assert_eq!(whole.id(&batch), 5);
        assert!(left.id(&batch) != right.id(&batch) && left.id(&batch) > 1 << 63);
        let nothing = Part { indexes: &[], ..whole };
        assert!(nothing.is_worth_a_call(&batch), "the end of the huge transaction is told");
    }
}
