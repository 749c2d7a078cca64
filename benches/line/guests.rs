//! A guest alone: changes are encoded, transformed, decoded and dropped, with no server on either side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pelton::change::{Batch, Change, Column, Kind, Op, Phase, Relation, ReplicaIdentity, Span, TupleWriter};
use pelton::lsn::Lsn;
use pelton::wasm::{Host, HostOptions, Limits, Options, Transform};

use super::guest::{Guest, JSON_ECHO, JSON_FUNCTIONS, TYPED_ECHO};
use super::report::{Line, Report};
use super::site::Site;

const CHANGES: u64 = 1_000;
const AT_LEAST: Duration = Duration::from_secs(1);

fn relation() -> Relation {
    let column = |(name, kind): (&str, Kind)| Column {
        name: name.into(),
        key: name == "id",
        nullable: name != "id" && name != "name",
        kind,
        type_oid: 0,
        type_modifier: -1,
        attrs: Vec::new(),
    };
    let columns = [
        ("id", Kind::Int64),
        ("name", Kind::Text),
        ("city", Kind::Text),
        ("price", Kind::Numeric),
        ("active", Kind::Bool),
        ("seen", Kind::Timestamptz),
        ("doc", Kind::Jsonb),
        ("ref", Kind::Uuid),
    ];
    Relation {
        oid: 1,
        schema: "public".into(),
        name: "wide".into(),
        identity: ReplicaIdentity::Default,
        columns: columns.into_iter().map(column).collect(),
    }
}

fn batch(id: u64, relation: &Arc<Relation>) -> Arc<Batch> {
    let mut writer = TupleWriter::default();
    for n in 0..CHANGES {
        writer.begin();
        writer.text((id * CHANGES + n).to_string().as_bytes());
        writer.text(format!("customer-{n}").as_bytes());
        writer.text(b"a note of about sixty characters, as an order would have it");
        writer.text(b"123.45");
        writer.text(if n % 2 == 0 { b"t" } else { b"f" });
        writer.text(b"2024-02-29 12:34:56.789012+00");
        writer.text(br#"{"qty": 3, "sku": "sku-1", "who": "someone@example.com", "tags": ["a", "b", "c"]}"#);
        writer.text(b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        writer.end();
    }
    let change = |new| Change { op: Op::Insert, relation: 0, new: Some(new), old: None };
    let at = Lsn(id * 100);
    Arc::new(Batch {
        id,
        relations: vec![relation.clone()],
        spans: vec![Span {
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
        }],
        changes: writer.finish().into_iter().map(change).collect(),
    })
}

/// What the guests that are made by hand publish: the relation's columns, with the index of their kinds in the WIT.
const COLUMNS: &[(&str, u8, bool, bool)] = &[
    ("id", 3, false, true),
    ("name", 7, false, false),
    ("city", 7, true, false),
    ("price", 6, true, false),
    ("active", 0, true, false),
    ("seen", 16, true, false),
    ("doc", 11, true, false),
    ("ref", 9, true, false),
];

/// Measures a guest of the SDK, and for each encoding one that passes on what it gets without looking at it: what is left
/// is the host's own work.
pub async fn measure(site: &Site, report: &mut Report, rounds: usize) {
    eprintln!("guests: {CHANGES} changes a batch");
    let host = Host::new(HostOptions { cache_dir: Some(site.folder.path().join("pelton")) }).expect("a host");
    let echo = Guest { table: ("public", "wide"), columns: COLUMNS, ..Guest::default() };
    let json = Guest { process: JSON_ECHO, functions: JSON_FUNCTIONS, encoding: 1, ..echo };
    let typed = Guest { world: "typed-transformer", encoding: 2, functions: TYPED_ECHO, ..echo };
    let guests = [
        ("Rust guest, MessagePack", std::fs::read(&site.component).expect("the component")),
        ("echo, MessagePack", echo.component()),
        ("echo, JSON", json.component()),
        ("echo, typed values", typed.component()),
    ];
    for (name, bytes) in guests {
        let rates = rates(&host, name, &bytes, rounds.max(3)).await;
        let line = Line::new("encode → guest → decode", name, "changes/s", rates.iter().copied());
        report.add(line.cpu(rates.iter().map(|rate| 1e6 / rate)));
    }
}

async fn rates(host: &Host, name: &str, bytes: &[u8], rounds: usize) -> Vec<f64> {
    let component = host.load(bytes, name, Limits::default()).expect("the component loads");
    let relation = Arc::new(relation());
    let options = Options {
        name: name.to_owned(),
        settings: Vec::new(),
        limits: Limits::default(),
        instances: 1,
        state: None,
        relations: vec![relation.clone()],
    };
    let transform = Transform::start(&component, options).await.expect("the guest starts");
    let mut rates = Vec::new();
    let mut id = 0;
    for _ in 0..rounds {
        let (mut spent, mut changes) = (Duration::ZERO, 0);
        while spent < AT_LEAST {
            id += 1;
            let batch = batch(id, &relation);
            let begun = Instant::now();
            let output = transform.process(batch).await.expect("the guest works");
            spent += begun.elapsed();
            assert_eq!(output.rows.len() as u64, CHANGES);
            changes += CHANGES;
        }
        rates.push(changes as f64 / spent.as_secs_f64());
        eprintln!("  {name:<24} {:>10.0} changes/s", changes as f64 / spent.as_secs_f64());
    }
    rates
}
