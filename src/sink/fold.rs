//! Folding: of all that happened to a key, what is left to do.
//!
//! | before ╲ then | put (all columns) | patch (some columns) | delete |
//! |---|---|---|---|
//! | nothing | put | patch | delete |
//! | put | the newer put | put with the patch's columns over it | delete |
//! | patch | put | both patches, the newer over the older | delete |
//! | delete | put, which replaces the row | delete: there is nothing to patch | delete |
//!
//! Insert and then delete stays a delete, for the row may be at the destination from before; only after a truncate is
//! it known to be gone. A truncate forgets all that was folded before it. A change of key is the delete of the old and
//! the put of the new one, where all columns are there and nothing hangs on the row itself
//! ([`Shape::moves_by_replacement`]); otherwise the table is not folded.
//!
//! What is left is a set, one entry a key: its entries touch different rows, so their order among each other can matter
//! to other constraints only, and those are answered by applying the rows in order instead ([`super::plan`]).

use std::hash::BuildHasher;

use hashbrown::HashTable;

use super::SinkError;
use super::key::Form;
use super::plan::{Do, Step};
use super::rows::{Act, Item, Rows, Side, act};
use super::shape::{Replacement, Shape};
use crate::change::{Kind, Value};

/// What is left to do with one table, in the order in which to do it.
#[derive(Default)]
pub(super) struct Folded {
    pub truncate: bool,
    pub deletes: Vec<Item>,
    /// Patches, one step for each set of unchanged columns.
    pub patches: Vec<Step>,
    /// Rows that the destination does not have, unless it differs from what was written to it.
    pub fresh: Vec<Item>,
    pub upserts: Vec<Item>,
    /// Patches of rows that are known to be gone.
    pub missing: u64,
}

/// What came out of folding a table's rows.
pub(super) enum Outcome {
    Folded(Folded),
    /// This table's rows are to be applied in order.
    InOrder,
    /// The rows of all tables are to be applied in order, since what happens to this one reaches into others.
    AllInOrder,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Put,
    Patch,
    Delete,
}

struct Entry {
    item: Item,
    state: State,
    /// The destination may have the row from before these rows.
    may_exist: bool,
    /// The source did not have the row before its put.
    fresh: bool,
    /// The old row is deleted before the put.
    delete_first: bool,
}

/// Folds the rows with these numbers, which all go to the table `table` of that shape.
pub(super) fn fold<'a>(
    table: usize,
    shape: &Shape,
    rows: &mut Rows<'a>,
    numbers: &[u32],
) -> Result<Outcome, SinkError> {
    let mut fold = Fold {
        shape,
        keys: Vec::with_capacity(numbers.len() * shape.key.len()),
        entries: Vec::with_capacity(numbers.len()),
        index: HashTable::with_capacity(numbers.len()),
        hasher: Default::default(),
        form: Default::default(),
        truncated: false,
        missing: 0,
    };
    for &number in numbers {
        let item = Item { row: number, side: Side::New };
        let keyed = match act(shape, rows.get(number).row)? {
            Act::Put { fresh } => fold.put(rows, item, fresh),
            Act::Patch => fold.patch(rows, item),
            Act::Delete => fold.delete(rows, item),
            Act::Truncate if shape.cascades() => return Ok(Outcome::AllInOrder),
            Act::Truncate => {
                fold.truncate();
                Ok(())
            }
            Act::Move { whole: true } if shape.moves_by_replacement() => {
                fold.delete(rows, Item { row: number, side: Side::Old }).and_then(|()| fold.put(rows, item, false))
            }
            Act::Move { .. } => Err(NotFoldable),
            Act::Append | Act::UpdateWhole | Act::DeleteWhole => Err(NotFoldable),
        };
        if keyed.is_err() {
            return Ok(if shape.cascades() { Outcome::AllInOrder } else { Outcome::InOrder });
        }
    }
    Ok(Outcome::Folded(fold.finish(table, rows)))
}

/// A key that is not canonical, or a change that must be seen in its order.
struct NotFoldable;

struct Fold<'s, 'a> {
    shape: &'s Shape,
    /// The parts of all entries' keys, one behind another.
    keys: Vec<&'a [u8]>,
    entries: Vec<Entry>,
    /// Indexes into `entries` by the hash of the key.
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    form: BinaryForm,
    truncated: bool,
    missing: u64,
}

impl<'a> Fold<'_, 'a> {
    /// Finds the entry of a key, or makes room for it: then the entry's index is the number of entries.
    fn find(&mut self, rows: &Rows<'a>, item: Item) -> Result<(usize, u64), NotFoldable> {
        let start = self.keys.len();
        if !push_key(self.shape, rows, item, &mut self.form, &mut self.keys) {
            return Err(NotFoldable);
        }
        let width = self.shape.key.len();
        let (before, key) = self.keys.split_at(start);
        let hash = hash(&self.hasher, key);
        match self.index.find(hash, |&at| before[at as usize * width..][..width] == *key) {
            Some(&at) => {
                self.keys.truncate(start);
                Ok((at as usize, hash))
            }
            None => Ok((self.entries.len(), hash)),
        }
    }

    fn add(&mut self, hash: u64, entry: Entry) {
        let width = self.shape.key.len();
        let (keys, hasher) = (&self.keys, &self.hasher);
        let rehash = |&at: &u32| self::hash(hasher, &keys[at as usize * width..][..width]);
        self.index.insert_unique(hash, self.entries.len() as u32, rehash);
        self.entries.push(entry);
    }

    fn put(&mut self, rows: &Rows<'a>, item: Item, fresh: bool) -> Result<(), NotFoldable> {
        let (at, hash) = self.find(rows, item)?;
        let Some(entry) = self.entries.get_mut(at) else {
            let may_exist = !self.truncated;
            self.add(hash, Entry { item, state: State::Put, may_exist, fresh, delete_first: false });
            return Ok(());
        };
        match entry.state {
            State::Put => {}
            State::Patch => entry.fresh = false,
            State::Delete if !entry.may_exist => {}
            State::Delete => match self.shape.replacement {
                Replacement::InPlace => entry.fresh = false,
                // Rows that others refer to are deleted after the puts.
                Replacement::DeleteFirst if !self.shape.referred_by.is_empty() => return Err(NotFoldable),
                // The statement that deletes takes its key from the row that is put.
                Replacement::DeleteFirst => (entry.fresh, entry.delete_first) = (true, true),
                Replacement::Never => return Err(NotFoldable),
            },
        }
        (entry.item, entry.state) = (item, State::Put);
        Ok(())
    }

    fn patch(&mut self, rows: &mut Rows<'a>, item: Item) -> Result<(), NotFoldable> {
        let (at, hash) = self.find(rows, item)?;
        match self.entries.get_mut(at) {
            None if self.truncated => {
                // The key was written down for an entry that there will not be.
                self.keys.truncate(self.entries.len() * self.shape.key.len());
                self.missing += 1;
            }
            None => {
                let entry = Entry { item, state: State::Patch, may_exist: true, fresh: false, delete_first: false };
                self.add(hash, entry);
            }
            Some(entry) if entry.state == State::Delete => self.missing += 1,
            Some(entry) => {
                rows.merge(item.row, entry.item.row);
                entry.item = item;
            }
        }
        Ok(())
    }

    fn delete(&mut self, rows: &Rows<'a>, item: Item) -> Result<(), NotFoldable> {
        let (at, hash) = self.find(rows, item)?;
        match self.entries.get_mut(at) {
            None => {
                let may_exist = !self.truncated;
                self.add(hash, Entry { item, state: State::Delete, may_exist, fresh: false, delete_first: false });
            }
            Some(entry) => {
                (entry.item, entry.state) = (item, State::Delete);
                // A row that the put replaced in place is still there.
                entry.delete_first = false;
            }
        }
        Ok(())
    }

    fn truncate(&mut self) {
        self.keys.clear();
        self.entries.clear();
        self.index.clear();
        self.truncated = true;
    }

    fn finish(self, table: usize, rows: &Rows<'a>) -> Folded {
        let mut folded = Folded { truncate: self.truncated, missing: self.missing, ..Folded::default() };
        for entry in self.entries {
            match entry.state {
                State::Delete if entry.may_exist => folded.deletes.push(entry.item),
                State::Delete => {}
                State::Put => {
                    if entry.delete_first {
                        folded.deletes.push(entry.item);
                    }
                    let fresh = entry.fresh || !entry.may_exist;
                    if fresh { &mut folded.fresh } else { &mut folded.upserts }.push(entry.item);
                }
                State::Patch => {
                    let what = Do::Patch { unchanged: rows.unchanged(self.shape, entry.item.row), last_wins: false };
                    match folded.patches.iter_mut().find(|step| step.what == what) {
                        Some(step) => step.items.push(entry.item),
                        None => folded.patches.push(Step { table, what, items: vec![entry.item] }),
                    }
                }
            }
        }
        folded
    }
}

pub(super) fn hash(hasher: &foldhash::fast::RandomState, key: &[&[u8]]) -> u64 {
    hasher.hash_one(key)
}

/// Whether the bytea keys came as bytes or as text so far: the two can't be compared with each other.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BinaryForm(Option<bool>);

/// Appends the parts of a row's key, or returns false if they are not canonical; then some may have been appended.
pub(super) fn push_key<'a>(
    shape: &Shape,
    rows: &Rows<'a>,
    item: Item,
    form: &mut BinaryForm,
    parts: &mut Vec<&'a [u8]>,
) -> bool {
    for (position, &column) in shape.key.iter().enumerate() {
        let column = &shape.columns[column];
        let part = match rows.key_cell(shape, item, position) {
            Value::Text(text) if column.form == Form::Bytea => {
                (!*form.0.get_or_insert(false)).then(|| column.form.canonical(text)).flatten()
            }
            Value::Text(text) => column.form.canonical(text),
            Value::Binary(bytes) if column.kind == Kind::Bytea && column.form == Form::Bytea => {
                (*form.0.get_or_insert(true)).then_some(bytes)
            }
            _ => None,
        };
        match part {
            Some(part) => parts.push(part),
            None => return false,
        }
    }
    true
}
