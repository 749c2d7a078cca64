//! The merge against a simulated Postgres: random workloads, reads, delays and crashes.
//!
//! The simulation keeps to Postgres's rules where they matter: row locks are held until a transaction is visible, a
//! commit is in the WAL before it is visible, it may be visible before it is flushed (asynchronous commits) and flushed
//! long before it is visible (synchronous standbys), a truncate waits for readers, and a crash of the source takes back
//! what was not flushed. The destination refuses an insert of a key that it has and a change of one that it lacks. At
//! every boundary it must equal the source at that position in all copied keys, and hold nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value as Json;

use super::group::How;
use super::merge::Frontier;
use super::*;
use crate::change::TupleWriter;
use crate::change::{Batch, Change, Column, Kind, Old, Op, Phase, Relation, ReplicaIdentity, Span, Tuple, Value};
use crate::lsn::Lsn;

const KEYS: i64 = 24;
const TABLES: usize = 2;

type Id = (usize, i64);
/// (a column that always travels, one that may be TOASTed)
type Data = (u32, u32);
type State = BTreeMap<Id, Data>;

#[derive(Clone, Copy, Debug)]
enum Do {
    Insert(Id, Data),
    /// From, to, and `None` for a column that is left alone.
    Update(Id, Id, u32, Option<u32>),
    Delete(Id),
    Truncate(usize),
}

#[derive(Clone, Debug)]
struct Tx {
    xid: u64,
    /// Each with the row before.
    done: Vec<(Do, Option<Data>)>,
    commit_lsn: u64,
    end_lsn: u64,
    visible: bool,
    asynchronous: bool,
}

impl Tx {
    fn locks(&self, id: Id) -> bool {
        self.done.iter().any(|(op, _)| match *op {
            Do::Insert(at, _) | Do::Delete(at) => at == id,
            Do::Update(from, to, ..) => from == id || to == id,
            Do::Truncate(table) => table == id.0,
        })
    }

    fn touches(&self, table: usize) -> bool {
        self.done.iter().any(|(op, _)| op.table() == table)
    }

    fn truncates(&self, table: usize) -> bool {
        self.done.iter().any(|(op, _)| matches!(op, Do::Truncate(t) if *t == table))
    }
}

impl Do {
    fn table(&self) -> usize {
        match *self {
            Do::Insert((table, _), _) | Do::Update((table, _), ..) | Do::Delete((table, _)) | Do::Truncate(table) => {
                table
            }
        }
    }

    fn apply(&self, state: &mut State) {
        match *self {
            Do::Insert(id, data) => assert!(state.insert(id, data).is_none()),
            Do::Update(from, to, value, toast) => {
                let former = state.remove(&from).expect("the row is there");
                state.insert(to, (value, toast.unwrap_or(former.1)));
            }
            Do::Delete(id) => assert!(state.remove(&id).is_some()),
            Do::Truncate(table) => state.retain(|id, _| id.0 != table),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    None,
    /// A chunk's snapshot need not see what was delivered.
    NotReadAgain,
    /// All delivered changes count as seen by the chunk.
    AllSeen,
    /// No delivered change counts as seen by the chunk.
    NoneSeen,
    /// A chunk enters before the stream has passed its snapshot.
    EnterEarly,
    /// What committed before the stream's start need not be visible.
    NoFence,
    /// A crash loses the saved transactions.
    ForgetDelivered,
}

/// A reader that has its snapshot.
struct Reader {
    job: ReadJob,
    /// Rows and events, once it is open.
    open: Option<(Vec<Tuple>, bool)>,
}

struct Committed {
    store: State,
    next: usize,
    start: Position,
    saved: BTreeMap<String, Json>,
}

struct World {
    rng: Rng,
    sabotage: Sabotage,
    /// Only Postgres knows the order of keys.
    asks: bool,
    full: bool,
    toast: bool,
    // The source.
    next_xid: u64,
    wal: u64,
    flushed: u64,
    open: Vec<Tx>,
    log: Vec<Tx>,
    current: State,
    // The stream: the next transaction, and how much of it was delivered.
    next: usize,
    inside: usize,
    at_position: State,
    // The destination.
    backfill: Backfill,
    readers: Vec<Reader>,
    store: State,
    committed: Committed,
    fence: Snapshot,
    relations: Vec<Arc<Relation>>,
    entered_rows: usize,
}

fn relation(table: usize, full: bool) -> Arc<Relation> {
    let column = |name: &str, key: bool| Column {
        name: name.into(),
        kind: Kind::Int64,
        type_oid: 20,
        type_modifier: -1,
        nullable: false,
        key,
        attrs: Vec::new(),
    };
    Arc::new(Relation {
        oid: 100 + table as u32,
        schema: "public".into(),
        name: format!("t{table}").into(),
        identity: if full { ReplicaIdentity::Full } else { ReplicaIdentity::Default },
        columns: vec![column("value", full), column("id", true), column("toast", full)],
    })
}

fn row((_, key): Id, value: Option<u32>, toast: Option<u32>, full: bool) -> Tuple {
    let mut writer = TupleWriter::default();
    writer.begin();
    match value {
        Some(value) => writer.text(value.to_string().as_bytes()),
        None => writer.null(),
    }
    writer.text(key.to_string().as_bytes());
    match toast {
        Some(toast) => writer.text(toast.to_string().as_bytes()),
        None if full => writer.unchanged(),
        None => writer.null(),
    }
    writer.end();
    writer.finish().remove(0)
}

fn read_column(tuple: &Tuple, at: usize) -> Option<i64> {
    match tuple.get(at).unwrap() {
        Value::Text(text) => Some(std::str::from_utf8(text).unwrap().parse().unwrap()),
        Value::Unchanged | Value::Null => None,
        Value::Binary(_) => unreachable!(),
    }
}

impl World {
    fn new(seed: u64, sabotage: Sabotage) -> World {
        let mut rng = Rng::with_seed(seed);
        let full = rng.u8(..4) == 0;
        let asks = rng.u8(..3) == 0;
        let epoch = rng.u64(..3) << 32;
        let relations: Vec<_> = (0..TABLES).map(|table| relation(table, full && table == 1)).collect();
        let mut world = World {
            sabotage,
            asks,
            full,
            toast: rng.bool(),
            next_xid: if rng.bool() { epoch + (1 << 32) - 20 } else { epoch + 1000 },
            wal: 1000,
            flushed: 1000,
            open: Vec::new(),
            log: Vec::new(),
            current: State::new(),
            next: 0,
            inside: 0,
            at_position: State::new(),
            backfill: Backfill::new(Vec::new(), Position::default(), None, &BTreeMap::new()).unwrap(),
            readers: Vec::new(),
            store: State::new(),
            committed: Committed { store: State::new(), next: 0, start: Position::default(), saved: BTreeMap::new() },
            fence: "1:1:".parse().unwrap(),
            relations,
            entered_rows: 0,
            rng,
        };
        // History that the stream begins behind; its last commits may not be visible yet.
        for _ in 0..world.rng.usize(..40) {
            world.work();
        }
        world.flushed = world.wal;
        world.next = world.log.len();
        for tx in &world.log {
            tx.done.iter().for_each(|(op, _)| op.apply(&mut world.at_position));
        }
        // The snapshot that a slot exports: it goes by the WAL, not by what is visible.
        let running: Vec<u64> = world.open.iter().map(|tx| tx.xid).collect();
        world.fence = snapshot(world.next_xid, &running);
        world.committed.next = world.next;
        world.committed.start.end_lsn = Lsn(world.wal);
        world.committed.start.commit_lsn = Lsn(world.wal);
        world.restart(true);
        world
    }

    fn plans(&self) -> Vec<TablePlan> {
        let order = if self.asks { Order::Postgres } else { Order::Integer };
        let key = KeyColumn { name: "id".into(), type_name: "bigint".into(), collation: None, order };
        let plan = |relation: &Arc<Relation>| TablePlan {
            publication: "p".into(),
            relation: relation.clone(),
            partitioned: false,
            row_filter: None,
            key: Some(KeySpec { columns: vec![key.clone()] }),
            rows_estimate: 10,
        };
        self.relations.iter().map(plan).collect()
    }

    /// Starts the process at the last checkpoint.
    fn restart(&mut self, first: bool) {
        let mut saved = self.committed.saved.clone();
        if self.sabotage == Sabotage::ForgetDelivered {
            saved.remove("*");
        }
        let fence = match first {
            true if self.sabotage != Sabotage::NoFence => Some(Fence::Exported(self.fence.clone())),
            _ => None,
        };
        self.backfill = Backfill::new(self.plans(), self.committed.start, fence, &saved).unwrap();
        self.store = self.committed.store.clone();
        self.next = self.committed.next;
        self.inside = 0;
        self.readers.clear();
        self.at_position = State::new();
        for tx in &self.log[..self.next] {
            tx.done.iter().for_each(|(op, _)| op.apply(&mut self.at_position));
        }
        if first {
            self.commit();
        }
    }

    // The source.

    fn locked(&self, id: Id, by: usize) -> bool {
        let open = self.open.iter().enumerate().any(|(i, tx)| i != by && tx.locks(id));
        open || self.log.iter().rev().take(30).any(|tx| !tx.visible && tx.locks(id))
    }

    /// Does one thing at the source.
    fn work(&mut self) {
        match self.rng.u8(..20) {
            0..=2 if self.open.len() < 4 => {
                let asynchronous = self.rng.u8(..3) == 0;
                let xid = self.next_xid;
                self.next_xid += 1;
                let (done, commit_lsn, end_lsn) = (Vec::new(), 0, 0);
                self.open.push(Tx { xid, done, commit_lsn, end_lsn, visible: false, asynchronous });
            }
            3..=11 if !self.open.is_empty() => {
                let by = self.rng.usize(..self.open.len());
                self.change(by);
            }
            12..=13 if !self.open.is_empty() => {
                let mut tx = self.open.swap_remove(self.rng.usize(..self.open.len()));
                if self.rng.u8(..6) == 0 {
                    // A rollback: nothing of it ever happened.
                    self.current = self.state(|_| true);
                    let open = std::mem::take(&mut self.open);
                    for tx in &open {
                        tx.done.iter().for_each(|(op, _)| op.apply(&mut self.current));
                    }
                    self.open = open;
                    return;
                }
                tx.commit_lsn = self.wal + self.rng.u64(..3) * 8;
                tx.end_lsn = tx.commit_lsn + 48;
                self.wal = tx.end_lsn + self.rng.u64(..2) * 16;
                self.log.push(tx);
            }
            14..=16 => {
                let may = |tx: &&mut Tx| !tx.visible && (tx.asynchronous || tx.end_lsn <= self.flushed);
                let mut may: Vec<_> = self.log.iter_mut().filter(may).collect();
                if !may.is_empty() {
                    let i = self.rng.usize(..may.len());
                    may[i].visible = true;
                }
            }
            _ => {
                let ahead = self.wal - self.flushed;
                if ahead > 0 {
                    self.flushed += if self.rng.bool() { ahead } else { self.rng.u64(..=ahead) };
                }
            }
        }
    }

    fn change(&mut self, by: usize) {
        let table = self.rng.usize(..TABLES);
        let id = (table, self.rng.i64(0..KEYS));
        let readers = self.readers.iter().any(|r| r.open.is_some() && self.table_of(&r.job) == table);
        let others = |tx: &Tx| tx.touches(table);
        if self.rng.u8(..40) == 0 {
            let busy = self.open.iter().enumerate().any(|(i, tx)| i != by && others(tx))
                || self.log.iter().rev().take(30).any(|tx| !tx.visible && others(tx));
            if !busy && !readers {
                self.do_it(by, Do::Truncate(table));
            }
            return;
        }
        // A truncate locks the table for all others.
        let truncating = self.open.iter().enumerate().any(|(i, tx)| i != by && tx.truncates(table))
            || self.log.iter().rev().take(30).any(|tx| !tx.visible && tx.truncates(table));
        if truncating || self.locked(id, by) {
            return;
        }
        let value = self.rng.u32(..);
        let toast = (!self.toast || self.rng.bool()).then(|| self.rng.u32(..));
        match (self.current.contains_key(&id), self.rng.u8(..6)) {
            (false, _) => self.do_it(by, Do::Insert(id, (value, toast.unwrap_or(7)))),
            (true, 0) => self.do_it(by, Do::Delete(id)),
            (true, 1..=2) => {
                let to = (table, self.rng.i64(0..KEYS));
                if !self.current.contains_key(&to) && !self.locked(to, by) {
                    self.do_it(by, Do::Update(id, to, value, toast));
                }
            }
            (true, _) => self.do_it(by, Do::Update(id, id, value, toast)),
        }
    }

    fn do_it(&mut self, by: usize, op: Do) {
        let before = match op {
            Do::Update(id, ..) | Do::Delete(id) => self.current.get(&id).copied(),
            _ => None,
        };
        op.apply(&mut self.current);
        self.open[by].done.push((op, before));
        self.wal += 8;
    }

    /// Returns the table's rows as some transactions left them.
    fn state(&self, of: impl Fn(&Tx) -> bool) -> State {
        let mut state = State::new();
        for tx in self.log.iter().filter(|tx| of(tx)) {
            tx.done.iter().for_each(|(op, _)| op.apply(&mut state));
        }
        state
    }

    /// The source crashes: what was not flushed never happened.
    fn source_crash(&mut self) {
        self.open.clear();
        self.log.retain(|tx| tx.end_lsn <= self.flushed);
        self.log.iter_mut().for_each(|tx| tx.visible = true);
        self.wal = self.flushed;
        self.current = self.state(|_| true);
        self.restart(false);
    }

    // Readers.

    fn table_of(&self, job: &ReadJob) -> usize {
        self.relations.iter().position(|relation| relation.oid == job.plan.relation.oid).unwrap()
    }

    fn read(&mut self) {
        if let Some(mut job) = self.backfill.next_read() {
            if let What::Range { rows_max, .. } = &mut job.what {
                *rows_max = self.rng.u32(1..9);
            }
            self.readers.push(Reader { job, open: None });
        }
        if self.readers.is_empty() {
            return;
        }
        let i = self.rng.usize(..self.readers.len());
        if self.rng.u8(..25) == 0 {
            let reader = self.readers.swap_remove(i);
            self.backfill.failed(reader.job.read);
            return;
        }
        let read = self.readers[i].job.read;
        if let Some((rows, exhausted)) = self.readers[i].open.take() {
            self.readers.swap_remove(i);
            let bytes = rows.iter().map(|row| row.as_bytes().len()).sum();
            self.backfill.arrived(Arrived { read, rows, bytes, exhausted, elapsed: Duration::from_millis(500) });
            return;
        }
        let table = self.table_of(&self.readers[i].job);
        let truncating = self.open.iter().chain(self.log.iter().filter(|tx| !tx.visible)).any(|tx| tx.truncates(table));
        if truncating {
            return;
        }
        let running: Vec<u64> =
            self.open.iter().chain(self.log.iter().filter(|tx| !tx.visible)).map(|tx| tx.xid).collect();
        let mut snapshot = snapshot(self.next_xid, &running);
        let job = &self.readers[i].job;
        if self.sabotage != Sabotage::NotReadAgain && job.must_see.missing_in(&snapshot).is_some() {
            return;
        }
        let state = self.state(|tx| tx.visible);
        let of_table = state.iter().filter(|(id, _)| id.0 == table);
        let data = |(&id, &(value, toast)): (&Id, &Data)| row(id, Some(value), Some(toast), false);
        let number = |key: &Key| key.texts().next().unwrap().parse::<i64>().unwrap();
        let (rows, exhausted): (Vec<Tuple>, bool) = match &job.what {
            What::Range { after, rows_max } => {
                let after = after.as_ref().map_or(i64::MIN, number);
                let rows: Vec<_> = of_table.filter(|(id, _)| id.1 > after).take(*rows_max as usize).map(data).collect();
                let exhausted = rows.len() < *rows_max as usize;
                (rows, exhausted)
            }
            What::Keys(keys) => {
                let keys: BTreeSet<i64> = keys.iter().map(number).collect();
                (of_table.filter(|(id, _)| keys.contains(&id.1)).map(data).collect(), false)
            }
        };
        match self.sabotage {
            Sabotage::AllSeen => snapshot = format!("{0}:{0}:", self.next_xid + 1_000_000).parse().unwrap(),
            Sabotage::NoneSeen => snapshot = "3:3:".parse().unwrap(),
            _ => {}
        }
        let (relation, lsn) = (self.relations[table].clone(), Lsn(self.wal));
        self.readers[i].open = Some((rows, exhausted));
        self.backfill.opened(Opened { read, snapshot, lsn, relation });
    }

    // The stream.

    fn deliver(&mut self) {
        let mut batch = Batch { relations: self.relations.clone(), ..Batch::default() };
        for _ in 0..self.rng.usize(1..4) {
            let Some(tx) = self.log.get(self.next).filter(|tx| tx.end_lsn <= self.flushed) else { break };
            let left = tx.done.len() - self.inside;
            let count = if left > 1 && self.rng.u8(..4) == 0 { self.rng.usize(1..left) } else { left };
            let complete = count == left;
            let first = batch.changes.len() as u32;
            for (op, before) in &tx.done[self.inside..][..count] {
                batch.changes.push(self.wire(op, *before));
            }
            batch.spans.push(Span {
                xid: tx.xid as u32,
                epoch: 0,
                commit_lsn: Lsn(tx.commit_lsn),
                end_lsn: Lsn(tx.end_lsn),
                commit_time: 0,
                phase: Phase::Live,
                first,
                count: count as u32,
                first_in_transaction: self.inside as u64,
                complete,
            });
            for (op, _) in &tx.done[self.inside..][..count] {
                op.apply(&mut self.at_position);
            }
            self.inside += count;
            if !complete {
                break;
            }
            self.next += 1;
            self.inside = 0;
        }
        for question in self.backfill.questions(&batch).unwrap() {
            self.answer(question);
        }
        let merged = self.backfill.merge(batch).unwrap();
        self.apply(merged);
        if self.inside == 0 {
            let caught_up = self.log.get(self.next).is_none_or(|tx| tx.end_lsn > self.flushed);
            if caught_up && self.rng.bool() {
                // A keepalive: up to the next transaction, or all that is flushed.
                let next = self.log.get(self.next).map_or(self.flushed, |tx| self.flushed.min(tx.commit_lsn));
                self.backfill.passed(Lsn(next));
            }
            self.check();
        }
    }

    fn answer(&mut self, question: Question) {
        let number = |key: &Key| key.texts().next().unwrap().parse::<i64>().unwrap();
        let bound = number(&question.bound);
        let greater = question.keys.iter().map(|key| number(key) > bound).collect();
        self.backfill.learn(question, greater);
    }

    /// Returns a change as pgoutput sends it.
    fn wire(&self, op: &Do, before: Option<Data>) -> Change {
        let full = self.full && op.table() == 1;
        let old = |id: Id| match before {
            Some((value, toast)) if full => Old::Full(row(id, Some(value), Some(toast), true)),
            _ => Old::Key(row(id, None, None, false)),
        };
        let (kind, new, old) = match *op {
            Do::Insert(id, (value, toast)) => (Op::Insert, Some(row(id, Some(value), Some(toast), true)), None),
            Do::Update(from, to, value, toast) => {
                let old = (from != to || full).then(|| old(from));
                (Op::Update, Some(row(to, Some(value), toast, true)), old)
            }
            Do::Delete(id) => (Op::Delete, None, Some(old(id))),
            Do::Truncate(_) => (Op::Truncate, None, None),
        };
        Change { op: kind, relation: op.table() as u32, new, old }
    }

    // The destination.

    fn enter(&mut self) {
        loop {
            if self.sabotage == Sabotage::EnterEarly {
                self.backfill.passed(Lsn(u64::MAX));
            }
            for question in self.backfill.questions_to_enter() {
                self.answer(question);
            }
            let Some(batch) = self.backfill.enter().unwrap() else { break };
            assert_eq!(self.inside, 0, "a chunk entered inside a transaction");
            self.entered_rows += batch.changes.len();
            self.apply(batch);
            self.check();
        }
    }

    fn apply(&mut self, batch: Batch) {
        let mut next = 0;
        for span in &batch.spans {
            assert_eq!(span.first, next);
            next += span.count;
        }
        assert_eq!(next as usize, batch.changes.len());
        for change in batch.changes {
            let oid = batch.relations[change.relation as usize].oid;
            let table = (oid - 100) as usize;
            let new = change.new.as_ref().map(|new| {
                let id = (table, read_column(new, 1).unwrap());
                (id, read_column(new, 0).unwrap() as u32, read_column(new, 2).map(|toast| toast as u32))
            });
            let old = change.old.as_ref().map(|old| match old {
                Old::Key(old) | Old::Full(old) => (table, read_column(old, 1).unwrap()),
            });
            match change.op {
                Op::Insert => {
                    let (id, value, toast) = new.unwrap();
                    let former = self.store.insert(id, (value, toast.expect("an insert is whole")));
                    assert!(former.is_none(), "{id:?} came twice");
                }
                Op::Update => {
                    let (id, value, toast) = new.unwrap();
                    let former = self.store.remove(&old.unwrap_or(id)).expect("a change came before its insert");
                    assert!(self.store.insert(id, (value, toast.unwrap_or(former.1))).is_none());
                }
                Op::Delete => assert!(self.store.remove(&old.unwrap()).is_some(), "a delete came before its insert"),
                Op::Truncate => self.store.retain(|id, _| id.0 != table),
            }
        }
    }

    /// The destination has exactly the copied keys, as of the stream's position.
    fn check(&self) {
        let copied = |&(table, key): &Id| {
            let How::Keyed(merge) = &self.backfill.tables[table].how else { unreachable!() };
            let number = |key: &Key| key.texts().next().unwrap().parse::<i64>().unwrap();
            let reached = match &merge.frontier {
                Frontier::Start => false,
                Frontier::At(frontier) => key <= number(frontier),
                Frontier::End => true,
            };
            reached && !merge.unread.iter().any(|unread| number(unread) == key)
        };
        let mut expected = self.at_position.clone();
        expected.retain(|id, _| copied(id));
        assert_eq!(self.store, expected);
    }

    fn commit(&mut self) {
        if self.inside > 0 {
            return;
        }
        self.committed.saved.extend(self.backfill.take_progress());
        self.committed.store = self.store.clone();
        self.committed.next = self.next;
        self.committed.start = self.backfill.position;
    }

    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..=54 => self.work(),
            55..=69 => self.deliver(),
            70..=84 => self.read(),
            85..=93 => self.enter(),
            94..=97 => self.commit(),
            98 => self.restart(false),
            _ if self.rng.u8(..4) == 0 => self.source_crash(),
            _ => {}
        }
    }

    /// Lets everything come to its end.
    fn finish(&mut self) {
        while let Some(mut tx) = self.open.pop() {
            tx.commit_lsn = self.wal;
            tx.end_lsn = self.wal + 48;
            self.wal = tx.end_lsn;
            self.log.push(tx);
        }
        self.flushed = self.wal;
        self.log.iter_mut().for_each(|tx| tx.visible = true);
        for _ in 0..2_000 {
            self.deliver();
            self.read();
            self.enter();
            if self.backfill.is_done() && self.next == self.log.len() {
                assert_eq!(self.store, self.state(|_| true));
                return;
            }
        }
        panic!("the backfill does not come to its end");
    }
}

fn snapshot(next_xid: u64, running: &[u64]) -> Snapshot {
    let xmin = running.iter().copied().min().unwrap_or(next_xid);
    let xip: Vec<String> = running.iter().map(u64::to_string).collect();
    format!("{xmin}:{next_xid}:{}", xip.join(",")).parse().unwrap()
}

fn run(seed: u64, sabotage: Sabotage) -> usize {
    let mut world = World::new(seed, sabotage);
    for _ in 0..world.rng.usize(50..400) {
        world.step();
    }
    world.finish();
    world.entered_rows
}

fn seeds() -> u64 {
    std::env::var("PELTON_MODEL_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

#[test]
fn every_boundary_shows_the_copied_rows_as_of_its_position() {
    let mut rows = 0;
    for seed in 0..seeds() {
        let outcome = catch_unwind(|| run(seed, Sabotage::None));
        rows += outcome.unwrap_or_else(|_| panic!("seed {seed}"));
    }
    assert!(rows as u64 > seeds() * 5, "hardly a row was copied: {rows}");
}

#[test]
fn each_sabotage_is_noticed() {
    use Sabotage::*;
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let noticed =
        |sabotage| (0..3_000u64).find(|&seed| catch_unwind(AssertUnwindSafe(|| run(seed, sabotage))).is_err());
    let kinds = [NotReadAgain, AllSeen, NoneSeen, EnterEarly, NoFence, ForgetDelivered];
    let found = kinds.map(|kind| (kind, noticed(kind)));
    std::panic::set_hook(hook);
    for (kind, seed) in found {
        assert!(seed.is_some(), "{kind:?} was not noticed");
    }
}
