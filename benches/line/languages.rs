//! The shop's orders in every language: what a change costs, the SDK and the host included, and how long a component that
//! was compiled before takes to load.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pelton::change::{Batch, Change, Column, Kind, Op, Phase, Relation, ReplicaIdentity, Span, TupleWriter};
use pelton::lsn::Lsn;
use pelton::wasm::{Host, HostOptions, Limits, Options, StateError, StateStore, Transform};

use super::report::{Line, Report};
use super::site::{PELTON, Site};

const CHANGES: u64 = 1_000;
const AT_LEAST: Duration = Duration::from_secs(1);

/// A language, its example, and the µs a change that the design asks for.
const LANGUAGES: [(&str, &str, f64); 6] = [
    ("Rust", "orders", 0.5),
    ("C", "orders-c", 0.5),
    ("Go", "orders-go", 3.0),
    ("TypeScript", "orders-ts", 7.0),
    ("JavaScript", "orders-js", 7.0),
    ("Python", "orders-python", 10.0),
];

/// Measures every language's example.
pub async fn measure(site: &Site, report: &mut Report, rounds: usize) {
    eprintln!("languages: the shop's orders, {CHANGES} changes a batch");
    let cache = site.folder.path().join("pelton");
    for (language, example, goal) in LANGUAGES {
        let bytes = std::fs::read(built(site, example)).expect("the component");
        let host = || Host::new(HostOptions { cache_dir: Some(cache.clone()) }).expect("a host");
        host().load(&bytes, example, limits()).expect("the component loads");
        // Another host finds it compiled.
        let loads = (0..rounds.max(3)).map(|_| {
            let host = host();
            let begun = Instant::now();
            let component = host.load(&bytes, example, limits()).expect("the component loads");
            assert!(component.compiled_from_cache(), "it was compiled a moment ago");
            begun.elapsed().as_secs_f64() * 1e3
        });
        let loads: Vec<f64> = loads.collect();
        let spent = spent(&host(), example, &bytes, rounds.max(3)).await;
        eprintln!("  {language:<24} {:>10.2} µs a change, {:>5.0} ms to load", spent[0], loads[0]);
        let line = Line::new("the shop's orders", language, "µs a change", spent.into_iter()).less_is_better();
        report.add(line.goal(format!("{goal} µs"), goal));
        report.add(Line::new("loading it, compiled before", language, "ms", loads.into_iter()).less_is_better());
    }
}

fn limits() -> Limits {
    Limits { memory_mib: 128, ..Limits::default() }
}

fn built(site: &Site, example: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let component = site.folder.path().join(format!("{example}.wasm"));
    let built = Command::new(PELTON).arg("build").arg(folder).arg("--out").arg(&component).output();
    let built = built.expect("pelton starts");
    assert!(built.status.success(), "{example} can't be built:\n{}", String::from_utf8_lossy(&built.stderr));
    component
}

/// `public.orders`, as the examples read it.
const COLUMNS: [(&str, Kind); 9] = [
    ("id", Kind::Int64),
    ("customer_id", Kind::Int64),
    ("customer_name", Kind::Text),
    ("email", Kind::Text),
    ("amount", Kind::Numeric),
    ("currency", Kind::Text),
    ("note", Kind::Text),
    ("is_test", Kind::Bool),
    ("placed_at", Kind::Timestamptz),
];

fn relation() -> Arc<Relation> {
    let column = |(name, kind): (&str, Kind)| Column {
        name: name.into(),
        key: name == "id",
        nullable: name == "note",
        kind,
        type_oid: 0,
        type_modifier: -1,
        attrs: Vec::new(),
    };
    Arc::new(Relation {
        oid: 1,
        schema: "public".into(),
        name: "orders".into(),
        identity: ReplicaIdentity::Default,
        columns: COLUMNS.into_iter().map(column).collect(),
    })
}

/// New orders of fifty customers, none of them a test.
fn batch(id: u64, relation: &Arc<Relation>) -> Arc<Batch> {
    let mut writer = TupleWriter::default();
    for n in 0..CHANGES {
        writer.begin();
        writer.text((id * CHANGES + n).to_string().as_bytes());
        writer.text((n % 50).to_string().as_bytes());
        writer.text(b"Ada Lovelace");
        writer.text(b"ada@example.com");
        writer.text(b"1234.50");
        writer.text(b"EUR");
        writer.text(b"a somewhat longer text, as notes are");
        writer.text(b"f");
        writer.text(b"2026-01-31 12:00:00.123456+00");
        writer.end();
    }
    let change = |new| Change { op: Op::Insert, relation: 0, new: Some(new), old: None };
    let at = Lsn(id * 100);
    let span = Span {
        xid: 1,
        epoch: 1,
        commit_lsn: at,
        end_lsn: at,
        commit_time: 0,
        phase: Phase::Live,
        first: 0,
        count: CHANGES as u32,
        first_in_transaction: 0,
        complete: true,
    };
    let changes = writer.finish().into_iter().map(change).collect();
    Arc::new(Batch { id, relations: vec![relation.clone()], spans: vec![span], changes })
}

/// Returns the µs a change of each round.
async fn spent(host: &Host, name: &str, bytes: &[u8], rounds: usize) -> Vec<f64> {
    let component = host.load(bytes, name, limits()).expect("the component loads");
    let relation = relation();
    let state = Arc::new(Memory::default());
    let options = Options {
        name: name.to_owned(),
        settings: Vec::new(),
        limits: limits(),
        instances: 1,
        state: Some(state.clone()),
        relations: vec![relation.clone()],
    };
    let transform = Transform::start(&component, options).await.expect("the guest starts");
    let mut id = 0;
    let mut of_rounds = Vec::new();
    for _ in 0..rounds {
        let (mut spent, mut changes) = (Duration::ZERO, 0);
        while spent < AT_LEAST {
            id += 1;
            let batch = batch(id, &relation);
            let begun = Instant::now();
            let output = transform.process(batch).await.expect("the guest works");
            spent += begun.elapsed();
            assert!(output.rows.len() as u64 >= CHANGES, "every order is published");
            state.commit(output.state);
            transform.committed(id);
            changes += CHANGES;
        }
        of_rounds.push(spent.as_secs_f64() * 1e6 / changes as f64);
    }
    of_rounds
}

type Entries = BTreeMap<Vec<u8>, Bytes>;

/// State that is kept in memory.
#[derive(Default)]
struct Memory(Mutex<Entries>);

impl Memory {
    fn commit(&self, written: Vec<(Vec<u8>, Option<Bytes>)>) {
        let mut entries = self.0.lock().expect("no thread has panicked");
        for (key, value) in written {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
    }
}

impl StateStore for Memory {
    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StateError> {
        let entries = self.0.lock().expect("no thread has panicked");
        Ok(keys.iter().map(|key| entries.get(*key).cloned()).collect())
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        let entries = self.0.lock().expect("no thread has panicked");
        let matching =
            entries.iter().filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| &key[..] > after));
        Ok(matching.take(limit as usize).map(|(key, value)| (Bytes::copy_from_slice(key), value.clone())).collect())
    }
}
