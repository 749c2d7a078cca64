//! Runs a transform in an ordinary unit test, without WebAssembly and without Pelton.
//!
//! ```
//! use pelton_sdk::prelude::*;
//! use pelton_sdk::testing::Harness;
//!
//! #[derive(Source)]
//! #[source(table = "public.users")]
//! struct User { #[key] id: i64, name: String, hidden: bool }
//!
//! #[derive(Public)]
//! #[public(name = "people", version = "1.0")]
//! struct Person { #[key] id: i64, name: String }
//!
//! #[transform(publishes(Person))]
//! fn people(change: Change<User>, out: &mut Out) -> Result<()> {
//!     out.map(change, |user| (!user.hidden).then(|| Person { id: user.id, name: user.name.to_uppercase() }))
//! }
//!
//! let user = |id, name: &str, hidden| User { id, name: name.to_owned(), hidden };
//! let mut host = Harness::<people>::new();
//! host.insert(&user(1, "ann", false)).insert(&user(2, "bob", true));
//! host.update(&user(1, "ann", false), &user(3, "ann", false));
//! assert_eq!(host.run().unwrap().to_string(), "\
//! insert people id=1 name=\"ANN\"
//! update people from (1) id=3 name=\"ANN\"
//! ");
//! assert_eq!(host.table::<Person>(), ["id=3 name=\"ANN\""]);
//! ```
//!
//! Changes are encoded as the host would, so what is tested is all but the sandbox: the derives, what the replica
//! identity sends, rejections, and state that is committed with the rows or dropped with them.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use crate::error::{Error, Result};
use crate::host::fake;
use crate::log::Level;
use crate::model::{Attrs, Context, Identity, Op, Phase, Relation, Span};
use crate::public::Public;
use crate::source::SourceRow;
use crate::state;
use crate::transform::{Rejection, Runner, Transform, check};

mod destination;
mod encode;
mod output;

use destination::Destination;
pub use output::{Output, PublicRow, Value};

/// A host for one transform.
pub struct Harness<T: Transform> {
    settings: Attrs,
    relations: Vec<Relation>,
    phase: Phase,
    level: Level,
    runner: Option<Runner<T>>,
    /// The changes since the last [`run`](Harness::run), each with the number of its transaction.
    waiting: Vec<(u32, Vec<u8>)>,
    xid: u32,
    commit_time: i64,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    destination: Destination,
    transform: PhantomData<T>,
}

impl<T: Transform> Default for Harness<T> {
    fn default() -> Self {
        Harness::new()
    }
}

impl<T: Transform> Harness<T> {
    /// Makes a host whose tables have their `#[key]` fields as primary keys.
    pub fn new() -> Self {
        let tables = T::tables();
        let relation =
            |(id, handler): (usize, &crate::transform::Handler<T>)| encode::relation(id as u32, handler.table);
        Harness {
            settings: Vec::new(),
            relations: tables.iter().enumerate().map(relation).collect(),
            phase: Phase::Test,
            level: Level::Debug,
            runner: None,
            waiting: Vec::new(),
            xid: 1,
            commit_time: 0,
            state: BTreeMap::new(),
            destination: Destination::new(T::publishes()),
            transform: PhantomData,
        }
    }

    /// Gives a setting, as the manifest would.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a table's replica identity; until then it is the primary key.
    pub fn identity<S: SourceRow>(mut self, identity: Identity) -> Self {
        let index = self.index::<S>();
        self.relations[index].identity = identity;
        self
    }

    /// Says where the changes come from from now on.
    pub fn phase(&mut self, phase: Phase) -> &mut Self {
        self.phase = phase;
        self
    }

    /// Sets the commit time of the transactions from now on, in microseconds since 1970-01-01 UTC.
    pub fn commit_time(&mut self, micros: i64) -> &mut Self {
        self.commit_time = micros;
        self
    }

    pub fn insert<S: SourceRow>(&mut self, row: &S) -> &mut Self {
        self.change::<S>(Op::Insert, Some(row), None)
    }

    /// Updates a row. A [`Toasted::Unchanged`](crate::Toasted) in `new` arrives as such; the old row is sent as far as
    /// the replica identity says.
    pub fn update<S: SourceRow>(&mut self, old: &S, new: &S) -> &mut Self {
        let full = self.relations[self.index::<S>()].identity == Identity::Full;
        let old = (full || old.key() != new.key()).then_some(old);
        self.change(Op::Update, Some(new), old)
    }

    /// Deletes a row.
    ///
    /// # Panics
    /// When the table has `REPLICA IDENTITY NOTHING`: Postgres itself refuses it then.
    pub fn delete<S: SourceRow>(&mut self, row: &S) -> &mut Self {
        let identity = self.relations[self.index::<S>()].identity;
        assert!(identity != Identity::Nothing, "Postgres refuses deletes on a table with REPLICA IDENTITY NOTHING");
        self.change(Op::Delete, None, Some(row))
    }

    pub fn truncate<S: SourceRow>(&mut self) -> &mut Self {
        self.change::<S>(Op::Truncate, None, None)
    }

    /// Ends the source transaction: what comes next belongs to another one.
    pub fn commit(&mut self) -> &mut Self {
        self.xid += 1;
        self
    }

    /// Hands all changes since the last run to the transform, as one batch.
    ///
    /// As at the host, a batch with rejected changes runs again without them, and what the state had before comes back
    /// when it fails.
    ///
    /// # Errors
    /// [`Error::Retry`], whose batch comes again with the next run, and [`Error::Fatal`].
    pub fn run(&mut self) -> Result<Output> {
        let batch = std::mem::take(&mut self.waiting);
        self.xid += 1;
        self.enter();
        let ran = self.run_batch(&batch);
        let fake = fake::with(std::mem::take);
        match ran {
            Ok((rows, rejected)) => {
                self.state = fake.state;
                self.destination.apply(&rows);
                Ok(Output { rows, rejected, logs: fake.lines, state_reads: fake.reads })
            }
            Err(error) => {
                if matches!(error, Error::Retry { .. }) {
                    self.waiting = batch;
                }
                Err(error)
            }
        }
    }

    /// Replaces the instance, as the host may between any two batches: only the state survives.
    pub fn restart(&mut self) -> &mut Self {
        self.runner = None;
        self
    }

    /// Returns the rows of a public schema as they are at the destination now, in key order.
    pub fn table<P: Public>(&self) -> Vec<String> {
        self.destination.table(P::SCHEMA)
    }

    /// Returns the number of entries in the state.
    pub fn state_len(&self) -> usize {
        self.state.len()
    }

    /// Runs `read` with the state at hand: `host.with_state(|| TOTALS.get(&7))`.
    pub fn with_state<R>(&mut self, read: impl FnOnce() -> R) -> R {
        self.enter();
        let _open = state::Open::new();
        read()
    }

    fn enter(&self) {
        fake::with(|fake| {
            fake.state.clone_from(&self.state);
            fake.lines.clear();
            fake.reads = 0;
            fake.level = self.level;
            fake.stateful = T::STATEFUL;
        });
    }

    fn index<S: SourceRow>(&self) -> usize {
        let table = S::TABLE;
        let found = self.relations.iter().position(|r| r.schema == table.schema && r.name == table.name);
        found.unwrap_or_else(|| panic!("the transform has no function for table {table}"))
    }

    fn change<S: SourceRow>(&mut self, op: Op, new: Option<&S>, old: Option<&S>) -> &mut Self {
        let index = self.index::<S>();
        let bytes = encode::change(&self.relations[index], op, new, old);
        self.waiting.push((self.xid, bytes));
        self
    }

    fn run_batch(&mut self, batch: &[(u32, Vec<u8>)]) -> Result<(Vec<PublicRow>, Vec<Rejection>)> {
        let mut left: Vec<u32> = (0..batch.len() as u32).collect();
        let mut rejected: Vec<Rejection> = Vec::new();
        loop {
            let (spans, payload) = self.batch(batch, &left);
            let output = self.runner()?.process(spans, left.len() as u32, &payload)?;
            if output.rejected.is_empty() {
                rejected.sort_by_key(|rejection| rejection.index);
                return Ok((output::read(&T::publishes(), &output, &left)?, rejected));
            }
            let refused: Vec<u32> = output.rejected.iter().map(|rejection| left[rejection.index as usize]).collect();
            let named = output.rejected.into_iter().map(|r| Rejection { index: left[r.index as usize], ..r });
            rejected.extend(named);
            left.retain(|index| !refused.contains(index));
            fake::with(|fake| fake.state.clone_from(&self.state));
        }
    }

    fn runner(&mut self) -> Result<&mut Runner<T>> {
        if self.runner.is_none() {
            check::<T>()?;
            let (settings, relations) = (self.settings.clone(), self.relations.clone());
            self.runner = Some(Runner::new(&Context { settings, relations, instances: 1, ..Context::default() })?);
        }
        Ok(self.runner.as_mut().expect("just made"))
    }

    fn batch(&self, batch: &[(u32, Vec<u8>)], left: &[u32]) -> (Vec<Span>, Vec<u8>) {
        let mut spans: Vec<Span> = Vec::new();
        let mut payload = crate::msgpack::Writer::default();
        payload.array(left.len());
        for (first, &index) in left.iter().enumerate() {
            let (xid, bytes) = &batch[index as usize];
            payload.bytes.extend_from_slice(bytes);
            match spans.last_mut() {
                Some(span) if span.xid == *xid => span.count += 1,
                _ => spans.push(Span {
                    xid: *xid,
                    epoch: 1,
                    commit_lsn: u64::from(*xid) << 8,
                    commit_time: self.commit_time,
                    phase: self.phase,
                    first: first as u32,
                    count: 1,
                    complete: true,
                    attrs: Vec::new(),
                }),
            }
        }
        (spans, payload.bytes)
    }
}
