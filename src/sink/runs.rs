//! Rows in source order, cut into runs that one statement each may carry.
//!
//! This is the order that is always right, and the one that is used where folding is not: on few rows, where there is
//! nothing to gain; after a constraint has refused the folded order; and for the tables whose keys can't be compared
//! by their bytes ([`super::key`]) or are changed in ways that can't be folded.
//!
//! A run never holds one key twice, so within it there is no order to lose. Where a key is not canonical, that can't be
//! told, and [`Repeats`] says what is done instead.

use hashbrown::HashTable;

use super::SinkError;
use super::plan::{Do, Step};
use super::rows::{Act, Item, Rows, Side, act};
use super::shape::Shape;

/// What happens with keys of which only Postgres can tell whether they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// Such a row is a run of its own: every intermediate state is seen by triggers and constraints.
    Alone,
    /// Such rows share runs, and of equal keys the last row counts: within a run all rows write the same columns, so
    /// the earlier ones would leave no trace anyway.
    LastWins,
}

/// Cuts the rows with these numbers into runs.
pub(super) fn in_order<'a>(
    shapes: &[&Shape],
    rows: &Rows<'a>,
    numbers: impl Iterator<Item = u32>,
    repeats: Repeats,
) -> Result<Vec<Step>, SinkError> {
    let mut steps: Vec<Step> = Vec::new();
    let mut seen = Seen::default();
    for number in numbers {
        let addressed = rows.get(number);
        let shape = shapes[addressed.table];
        let act = act(shape, addressed.row)?;
        let item = Item { row: number, side: Side::New };
        let what = match act {
            Act::Put { .. } => Do::Upsert { last_wins: false },
            Act::Patch => Do::Patch { unchanged: rows.unchanged(shape, number), last_wins: false },
            Act::Delete => Do::Delete,
            Act::Truncate => Do::Truncate,
            Act::Move { whole } => Do::Move { whole },
            Act::Append => Do::Append,
            Act::UpdateWhole => Do::UpdateWhole,
            Act::DeleteWhole => Do::DeleteWhole,
        };
        let by_key = matches!(act, Act::Put { .. } | Act::Patch | Act::Delete);
        let same = steps.last().is_some_and(|step: &Step| step.table == addressed.table && step.what.like(&what));
        let joins = same
            && match by_key {
                false => what.takes_many(),
                true => match seen.insert(shape, rows, item) {
                    Inserted::New => true,
                    Inserted::Repeated => repeats == Repeats::LastWins && what.may_repeat(),
                    Inserted::Unknown => repeats == Repeats::LastWins,
                },
            };
        if !joins {
            seen.clear();
            if by_key {
                // A run that begins with such a key must not be joined either, unless the last row wins.
                let first = seen.insert(shape, rows, item);
                seen.closed = first == Inserted::Unknown && repeats == Repeats::Alone;
            }
            steps.push(Step { table: addressed.table, what, items: vec![item] });
        } else {
            steps.last_mut().expect("the run that it joins").items.push(item);
        }
        if by_key && repeats == Repeats::LastWins && seen.unsure {
            steps.last_mut().expect("the run just written").what.let_last_win();
        }
    }
    Ok(steps)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inserted {
    New,
    Repeated,
    /// The key is not canonical, or the run began with one that is not.
    Unknown,
}

/// The keys of the current run.
#[derive(Default)]
struct Seen<'a> {
    /// Keys of one table, `width` parts each.
    parts: Vec<&'a [u8]>,
    width: usize,
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    form: super::fold::BinaryForm,
    /// The run holds a key that may repeat.
    unsure: bool,
    closed: bool,
}

impl<'a> Seen<'a> {
    fn clear(&mut self) {
        self.parts.clear();
        self.index.clear();
        self.form = Default::default();
        (self.unsure, self.closed) = (false, false);
    }

    fn insert(&mut self, shape: &Shape, rows: &Rows<'a>, item: Item) -> Inserted {
        let start = self.parts.len();
        if !super::fold::push_key(shape, rows, item, &mut self.form, &mut self.parts) {
            self.parts.truncate(start);
            self.unsure = true;
            return Inserted::Unknown;
        }
        if self.closed {
            return Inserted::Unknown;
        }
        self.width = shape.key.len();
        let (width, hasher, all) = (self.width, &self.hasher, &self.parts);
        let (before, key) = all.split_at(start);
        let hash = super::fold::hash(hasher, key);
        let equal = |&at: &u32| before[at as usize * width..][..width] == *key;
        if self.index.find(hash, equal).is_some() {
            self.parts.truncate(start);
            self.unsure = true;
            return Inserted::Repeated;
        }
        let rehash = |&at: &u32| super::fold::hash(hasher, &all[at as usize * width..][..width]);
        self.index.insert_unique(hash, (start / width) as u32, rehash);
        Inserted::New
    }
}
