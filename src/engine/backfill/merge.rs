//! One table with a key: which changes of the stream pass, and what of a chunk enters.
//!
//! **The invariant.** At every boundary between transactions, what was let through is exactly the source's rows with
//! copied keys, as of that position. A key is copied if it is not behind the frontier (the greatest key that has entered)
//! and is not one of the `unread` keys.
//!
//! Changes of copied keys pass. Changes of other keys are left to the chunk that will bring the key, and held while a
//! chunk is being read whose snapshot may not see them ([`super::held`]). A chunk enters at a boundary at which the
//! stream has gone past a position that everything its snapshot sees lies before. So every transaction that the
//! snapshot sees has been delivered – and dropped for these keys –, and every delivered one that it does not see is
//! held and is worked into the rows: the chunk that enters is the state at the boundary, the invariant holds again, and
//! nothing of the chunk has to be remembered. That also means that nothing enters which a crash of the source could
//! still take back (rows of asynchronous commits that are visible and not flushed): the stream carries flushed WAL only.
//!
//! **Keys that change** while one side is copied and the other is not: leaving the copied range is a delete, entering it
//! an insert. If the row that enters has columns that the stream did not send (unchanged, TOASTed) its key is *unread*:
//! it counts as not copied, and is read by key as a small chunk of its own, under the same rules. More than
//! [`UNREAD_MAX`] of those, and the table starts over on an emptied destination.
//!
//! **TRUNCATE** passes, and the table starts over: reads that were under way are forgotten.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::delivered::Delivered;
use super::error::BackfillError;
use super::held::{self, Entry, Held};
use super::key::{Key, KeySpec, NoKey};
use super::pace::Pace;
use super::read::{Arrived, Opened, ReadId, What};
use super::snapshot::{Commit, Sight};
use super::table::{TablePlan, same_columns};
use crate::change::{Change, Old, Op, Relation, Tuple};
use crate::fault;
use crate::lsn::Lsn;

/// How many bytes of changes wait for the chunks of one table; beyond that its reads are given up.
const HELD_BYTES_MAX: usize = 16 << 20;
/// How many keys may wait to be read one by one.
const UNREAD_MAX: usize = 10_000;
/// How many of them are read at once: their rows are all held in memory, and may be large.
const UNREAD_READ_MAX: usize = 64;
/// How many chunks of one table are read or wait to enter.
const READS_MAX: usize = 2;

/// How far a table is copied, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frontier {
    Start,
    At(Key),
    End,
}

enum Scope {
    Range,
    Keys(HashSet<Key>),
}

struct Reading {
    id: ReadId,
    scope: Scope,
    /// The merge's clock when it began: what was delivered up to then must be seen by its snapshot.
    start: u64,
    opened: Option<Opened>,
    arrived: Option<Arrived>,
}

impl Reading {
    /// Returns true when changes of `commit` may be missing from the rows.
    fn may_miss(&self, commit: &Commit) -> bool {
        self.opened.as_ref().is_none_or(|opened| opened.snapshot.sees(commit) != Sight::Seen)
    }
}

/// The merge of one table.
pub(super) struct TableMerge {
    pub(super) plan: Arc<TablePlan>,
    key: KeySpec,
    pub(super) frontier: Frontier,
    pub(super) unread: HashSet<Key>,
    /// The range reads are adjoining, the first begins at the frontier.
    reads: VecDeque<Reading>,
    held: Vec<Entry>,
    held_bytes: usize,
    /// Answers to the last questions: is the key greater than the bound that was asked about?
    known: HashMap<Key, bool>,
    /// The columns of the stream's last change, and when they were first seen.
    relation: Option<(u64, Arc<Relation>)>,
    pace: Pace,
    /// The destination is to be emptied before the first row.
    pub(super) empty_first: bool,
    pub(super) rows_copied: u64,
    /// What is to be saved has changed since this was last taken.
    pub(super) changed: bool,
}

/// Where a key is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Copied,
    NotYet,
}

/// A chunk that has become part of the flow.
pub(super) struct Entered {
    pub relation: Arc<Relation>,
    pub empty_first: bool,
    pub rows: Vec<Tuple>,
}

/// A transaction's change and where it stands.
pub(super) struct Judged<'a> {
    pub change: Change,
    pub relation: &'a Arc<Relation>,
    pub positions: &'a [usize],
    pub commit: Commit,
    pub clock: u64,
}

impl TableMerge {
    pub(super) fn new(plan: Arc<TablePlan>, key: KeySpec) -> TableMerge {
        TableMerge {
            plan,
            key,
            frontier: Frontier::Start,
            unread: HashSet::new(),
            reads: VecDeque::new(),
            held: Vec::new(),
            held_bytes: 0,
            known: HashMap::new(),
            relation: None,
            pace: Pace::new(),
            empty_first: false,
            rows_copied: 0,
            changed: true,
        }
    }

    pub(super) fn key(&self) -> &KeySpec {
        &self.key
    }

    /// Returns true when every row has entered: from here on every change passes.
    pub(super) fn is_done(&self) -> bool {
        self.frontier == Frontier::End && self.unread.is_empty()
    }

    /// Returns the key's columns in `relation`.
    pub(super) fn positions(&self, relation: &Relation) -> Result<Vec<usize>, BackfillError> {
        let missing = |column| BackfillError::KeyColumnMissing { table: self.plan.name(), column };
        self.key.positions(relation).map_err(missing)
    }

    // What only Postgres can order.

    /// Returns the key behind which nothing is copied, if Postgres may have to say what is behind it.
    pub(super) fn asked_bound(&self) -> Option<Key> {
        match &self.frontier {
            Frontier::At(key) if !self.key.host_ordered() => Some(key.clone()),
            _ => None,
        }
    }

    /// Adds the keys of a change that the host can't compare with `bound`.
    pub(super) fn ask(
        &self,
        change: &Change,
        positions: &[usize],
        bound: &Key,
        keys: &mut HashSet<Key>,
    ) -> Result<(), BackfillError> {
        let mut ask = |key: Option<Key>| {
            if let Some(key) = key
                && self.key.compare(key.encoded(), bound.encoded()).is_none()
            {
                keys.insert(key);
            }
        };
        if change.op != Op::Truncate {
            let (old, new) = self.keys_of(change, positions)?;
            ask(old);
            ask(new);
        }
        Ok(())
    }

    pub(super) fn learn(&mut self, answers: impl IntoIterator<Item = (Key, bool)>) {
        self.known.extend(answers);
    }

    pub(super) fn forget_answers(&mut self) {
        self.known.clear();
    }

    fn is_behind(&self, key: &Key, bound: &Key) -> Result<bool, BackfillError> {
        match self.key.compare(key.encoded(), bound.encoded()) {
            Some(order) => Ok(order.is_gt()),
            None => self.known.get(key).copied().ok_or_else(|| BackfillError::Unanswered { table: self.plan.name() }),
        }
    }

    fn place(&self, key: &Key) -> Result<Place, BackfillError> {
        let behind = match &self.frontier {
            Frontier::Start => true,
            Frontier::End => false,
            Frontier::At(frontier) => self.is_behind(key, frontier)?,
        };
        Ok(if behind || self.unread.contains(key) { Place::NotYet } else { Place::Copied })
    }

    // The stream.

    /// Returns what passes of a change, if anything.
    pub(super) fn judge(
        &mut self,
        judged: Judged<'_>,
        delivered: &mut Delivered,
    ) -> Result<Option<Change>, BackfillError> {
        let Judged { change, relation, positions, commit, clock } = judged;
        let known = |(_, last): &(u64, Arc<Relation>)| Arc::ptr_eq(last, relation) || same_columns(last, relation);
        if !self.relation.as_ref().is_some_and(known) {
            self.relation = Some((clock, relation.clone()));
        }
        if change.op == Op::Truncate {
            self.start_over();
            delivered.record(commit);
            return Ok(Some(change));
        }
        // Nothing is copied and nobody reads: the common case of a table that waits for its turn.
        if self.frontier == Frontier::Start && self.reads.is_empty() {
            delivered.record(commit);
            return Ok(None);
        }
        let (old, new) = self.keys_of(&change, positions)?;
        let old_place = old.as_ref().map(|key| self.place(key)).transpose()?;
        let new_place = new.as_ref().map(|key| self.place(key)).transpose()?;
        if old_place != Some(Place::NotYet) && new_place != Some(Place::NotYet) {
            return Ok((!fault::sabotaged("merge")).then_some(change));
        }
        delivered.record(commit);
        let Change { op, relation: index, new: row, old: old_row } = change;
        let (held, passes) = match (old, old_place, new, new_place) {
            (Some(from), Some(Place::NotYet), Some(to), Some(Place::NotYet)) => {
                (row.map(|row| Held::Move { from, to, row: detach_filled(&row, old_row.as_ref()) }), None)
            }
            // The row leaves the copied range.
            (Some(_), Some(Place::Copied), Some(key), Some(Place::NotYet)) => {
                let held = row.map(|row| Held::Put { key, row: detach_filled(&row, old_row.as_ref()) });
                (held, Some(Change { op: Op::Delete, relation: index, new: None, old: old_row }))
            }
            // The row enters it.
            (Some(from), Some(Place::NotYet), Some(to), Some(Place::Copied)) => {
                let whole = row.as_ref().and_then(|row| held::fill(row, full(old_row.as_ref())));
                let passes = match whole {
                    Some(row) => Some(Change { op: Op::Insert, relation: index, new: Some(row), old: None }),
                    None if self.unread.len() < UNREAD_MAX => {
                        self.changed |= self.unread.insert(to);
                        None
                    }
                    None => {
                        self.start_over();
                        return Ok(Some(Change { op: Op::Truncate, relation: index, new: None, old: None }));
                    }
                };
                (Some(Held::Delete { key: from }), passes)
            }
            (_, _, Some(key), _) => {
                (row.map(|row| Held::Put { key, row: detach_filled(&row, old_row.as_ref()) }), None)
            }
            (Some(key), _, None, _) => (Some(Held::Delete { key }), None),
            (None, _, None, _) => (None, Some(Change { op, relation: index, new: row, old: old_row })),
        };
        if let Some(held) = held {
            self.hold(Entry { clock, commit, held });
        }
        Ok(passes)
    }

    /// Returns the former key, if the row has left it, and the new key.
    fn keys_of(&self, change: &Change, positions: &[usize]) -> Result<(Option<Key>, Option<Key>), BackfillError> {
        let old_row = change.old.as_ref().map(|old| match old {
            Old::Key(row) | Old::Full(row) => row,
        });
        let read = |row: &Tuple, old: Option<&Tuple>| {
            let mut key = Vec::with_capacity(32);
            let read = self.key.encode(positions, row, old, &mut key).and_then(|()| Key::new(&key));
            read.map_err(|no_key| self.no_key(no_key, change.op))
        };
        let new = change.new.as_ref().map(|row| read(row, old_row)).transpose()?;
        let old = match (change.op, old_row) {
            (Op::Update | Op::Delete, Some(row)) => Some(read(row, None)?),
            (Op::Delete, None) => return Err(self.no_key(NoKey::Absent(0), change.op)),
            _ => None,
        };
        Ok(if old == new && change.op == Op::Update { (None, new) } else { (old, new) })
    }

    fn no_key(&self, no_key: NoKey, op: Op) -> BackfillError {
        let table = self.plan.name();
        let column = |part: usize| self.key.columns[part].name.clone();
        match no_key {
            NoKey::Absent(part) => BackfillError::KeyAbsent { table, column: column(part), op },
            NoKey::Binary(part) | NoKey::NoText(part) => BackfillError::KeyNoText { table, column: column(part) },
        }
    }

    fn hold(&mut self, entry: Entry) {
        if !self.reads.iter().any(|read| read.may_miss(&entry.commit)) || fault::sabotaged("hold") {
            return;
        }
        self.held_bytes += entry.held.bytes();
        self.held.push(entry);
        if self.held_bytes > HELD_BYTES_MAX {
            self.pace.given_up();
            self.give_up_reads();
        }
    }

    fn give_up_reads(&mut self) {
        self.reads.clear();
        self.held.clear();
        self.held_bytes = 0;
    }

    /// Forgets all that was copied. The destination is emptied by whoever calls.
    pub(super) fn start_over(&mut self) {
        self.give_up_reads();
        self.frontier = Frontier::Start;
        self.unread.clear();
        self.changed = true;
        self.empty_first = false;
        self.rows_copied = 0;
    }

    // Reads.

    /// Begins the next read, if there is one to do now.
    pub(super) fn begin(&mut self, id: ReadId, clock: u64) -> Option<What> {
        if self.reads.len() >= READS_MAX || self.is_done() {
            return None;
        }
        let reads_keys = self.reads.iter().any(|read| matches!(read.scope, Scope::Keys(_)));
        let (scope, what) = if !self.unread.is_empty() && !reads_keys {
            let some: HashSet<Key> = self.unread.iter().take(UNREAD_READ_MAX).cloned().collect();
            (Scope::Keys(some.clone()), What::Keys(some.into_iter().collect()))
        } else {
            let last = self.reads.iter().rev().find(|read| matches!(read.scope, Scope::Range));
            let after = match last {
                None => match &self.frontier {
                    Frontier::Start => None,
                    Frontier::At(key) => Some(key.clone()),
                    Frontier::End => return None,
                },
                // The next chunk begins where the last one turned out to end.
                Some(last) => match self.end_of(last)? {
                    Frontier::At(key) => Some(key),
                    _ => return None,
                },
            };
            (Scope::Range, What::Range { after, rows_max: self.pace.rows() })
        };
        self.reads.push_back(Reading { id, scope, start: clock, opened: None, arrived: None });
        Some(what)
    }

    /// Returns where a range read ends, once it has arrived and if its last key can be read.
    fn end_of(&self, read: &Reading) -> Option<Frontier> {
        let (opened, arrived) = (read.opened.as_ref()?, read.arrived.as_ref()?);
        self.end(&opened.relation, arrived.exhausted, &arrived.rows).ok()
    }

    fn index_of(&self, id: ReadId) -> Option<usize> {
        self.reads.iter().position(|read| read.id == id)
    }

    /// Takes note of a read's snapshot. Returns false if the read is not wanted any more.
    pub(super) fn opened(&mut self, opened: Opened) -> bool {
        let Some(i) = self.index_of(opened.read) else { return false };
        self.reads[i].opened = Some(opened);
        self.drop_unneeded();
        true
    }

    /// Takes a read's rows. Returns false if they are not wanted any more.
    pub(super) fn arrived(&mut self, arrived: Arrived) -> bool {
        let Some(i) = self.index_of(arrived.read) else { return false };
        if matches!(self.reads[i].scope, Scope::Range) {
            self.pace.read(arrived.rows.len(), arrived.bytes, arrived.elapsed);
        }
        self.reads[i].arrived = Some(arrived);
        true
    }

    /// Gives a read up; it is begun again later. Reads of ranges behind it go with it.
    pub(super) fn failed(&mut self, id: ReadId) {
        if self.index_of(id).is_some() {
            self.give_up_reads();
        }
    }

    pub(super) fn has_read(&self, id: ReadId) -> bool {
        self.index_of(id).is_some()
    }

    /// Returns true when nothing has been read of the table.
    pub(super) fn is_untouched(&self) -> bool {
        self.frontier == Frontier::Start && self.reads.is_empty()
    }

    /// Drops held changes that no read needs.
    fn drop_unneeded(&mut self) {
        let reads = &self.reads;
        self.held.retain(|entry| reads.iter().any(|read| entry.clock > read.start && read.may_miss(&entry.commit)));
        self.held_bytes = self.held.iter().map(|entry| entry.held.bytes()).sum();
    }

    // Entering.

    /// Returns the read that may enter now that the stream has gone up to `passed`, between two transactions.
    fn ready(&self, passed: Lsn) -> Option<usize> {
        let mut range_before = false;
        for (i, read) in self.reads.iter().enumerate() {
            let turn = match read.scope {
                Scope::Keys(_) => true,
                Scope::Range => !std::mem::replace(&mut range_before, true),
            };
            if turn
                && read.arrived.is_some()
                && let Some(opened) = &read.opened
                && (passed > opened.lsn || (passed == opened.lsn && !opened.snapshot.must_be_passed_strictly()))
            {
                return Some(i);
            }
        }
        None
    }

    /// Returns the position that the stream has to reach before the next chunk can enter.
    pub(super) fn waits_for(&self) -> Option<Lsn> {
        let arrived = self.reads.iter().filter(|read| read.arrived.is_some());
        arrived.filter_map(|read| read.opened.as_ref()).map(|opened| opened.lsn).min()
    }

    /// Returns the keys that Postgres has to compare with the end of the chunk that enters next, and that end.
    pub(super) fn ask_to_enter(&self, passed: Lsn) -> Option<(Key, Vec<Key>)> {
        let read = &self.reads[self.ready(passed)?];
        let Scope::Range = read.scope else { return None };
        let Some(Frontier::At(end)) = self.end_of(read) else { return None };
        let unclear = |key: &&Key| self.key.compare(key.encoded(), end.encoded()).is_none();
        let keys: HashSet<Key> = self.held.iter().flat_map(|e| e.held.keys()).filter(unclear).cloned().collect();
        (!keys.is_empty()).then(|| (end, keys.into_iter().collect()))
    }

    /// Lets the next chunk enter, if one is ready. Afterwards its keys are copied, as of the stream's position.
    pub(super) fn enter(&mut self, passed: Lsn) -> Result<Option<Entered>, BackfillError> {
        let Some(i) = self.ready(passed) else { return Ok(None) };
        let Some(opened) = &self.reads[i].opened else { return Ok(None) };
        let relation = opened.relation.clone();
        let positions = self.positions(&relation)?;
        if self.is_of_other_columns(&self.reads[i], opened) {
            self.give_up_reads();
            return Ok(None);
        }
        let (scope, snapshot, mut rows) = {
            let mut read = self.reads.remove(i).expect("it was found there");
            let arrived = read.arrived.as_mut().expect("it was ready");
            let rows = std::mem::take(&mut arrived.rows);
            let end = match &read.scope {
                Scope::Keys(_) => None,
                Scope::Range => Some(self.end(&relation, arrived.exhausted, &rows)?),
            };
            let opened = read.opened.expect("it was ready");
            ((read.scope, end), opened.snapshot, rows)
        };
        let mut inside = HashSet::new();
        for key in self.held.iter().flat_map(|entry| entry.held.keys()) {
            let belongs = match &scope {
                (Scope::Keys(keys), _) => keys.contains(key),
                (_, Some(Frontier::At(end))) => !self.unread.contains(key) && !self.is_behind(key, end)?,
                _ => !self.unread.contains(key),
            };
            if belongs {
                inside.insert(key.clone());
            }
        }
        if let (Scope::Keys(keys), _) = &scope {
            // Postgres may find a row whose key is equal to it and has another text: that one is no unread row.
            let mut key = Vec::new();
            rows.retain(|row| self.key.encode(&positions, row, None, &mut key).is_ok() && keys.contains(&key[..]));
        }
        let entries = std::mem::take(&mut self.held);
        let Ok(patched) = held::patch(rows, &self.key, &positions, &snapshot, entries, &inside) else {
            self.give_up_reads();
            return Ok(None);
        };
        self.held = patched.rest;
        self.drop_unneeded();
        match scope {
            (Scope::Keys(keys), _) => self.unread.retain(|key| !keys.contains(key)),
            (Scope::Range, end) => self.frontier = end.expect("a range has an end"),
        }
        self.unread.extend(patched.unknown);
        self.changed = true;
        if self.unread.len() > UNREAD_MAX {
            self.start_over();
            self.empty_first = true;
            return Ok(None);
        }
        self.rows_copied += patched.rows.len() as u64;
        let empty_first = std::mem::take(&mut self.empty_first);
        Ok(Some(Entered { relation, empty_first, rows: patched.rows }))
    }

    /// Returns true when DDL came between a chunk and the stream: then the chunk is read again, with the new columns.
    ///
    /// What was delivered before the read began is seen by its snapshot, so that a difference which is older than the
    /// read says that the chunk has newer columns than the stream has shown so far, which is no harm.
    fn is_of_other_columns(&self, read: &Reading, opened: &Opened) -> bool {
        let altered = self
            .relation
            .as_ref()
            .is_some_and(|(clock, last)| *clock > read.start && !same_columns(last, &opened.relation));
        let columns = opened.relation.columns.len();
        let misfit = |entry: &Entry| match &entry.held {
            Held::Put { row, .. } | Held::Move { row, .. } => {
                row.len() != columns && opened.snapshot.sees(&entry.commit) != Sight::Seen
            }
            Held::Delete { .. } => false,
        };
        altered || self.held.iter().any(misfit)
    }

    /// Returns where a chunk ends.
    fn end(&self, relation: &Relation, exhausted: bool, rows: &[Tuple]) -> Result<Frontier, BackfillError> {
        if exhausted {
            return Ok(Frontier::End);
        }
        let Some(last) = rows.last() else { return Ok(self.frontier.clone()) };
        let mut key = Vec::new();
        let read = self.key.encode(&self.positions(relation)?, last, None, &mut key).and_then(|()| Key::new(&key));
        read.map(Frontier::At).map_err(|no_key| self.no_key(no_key, Op::Insert))
    }
}

/// Returns the whole old row, where the identity is FULL.
fn full(old: Option<&Old>) -> Option<&Tuple> {
    match old {
        Some(Old::Full(row)) => Some(row),
        _ => None,
    }
}

fn detach_filled(row: &Tuple, old: Option<&Old>) -> Tuple {
    held::fill(row, full(old)).map_or_else(|| row.detached(), |row| row.detached())
}
