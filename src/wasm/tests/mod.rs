//! Guests good and hostile, against the whole host.

// Some of them are for tests against servers, and for benches.
#[allow(dead_code)]
mod guest;
mod hostile;
mod load;
mod speed;
mod transforms;
mod worlds;

use std::sync::{Arc, LazyLock};

use guest::Guest;

use super::{Component, GuestError, Host, HostOptions, Limits, Options, Output, Transform};
use crate::change::{
    Batch, Change, Column, Kind, Old, Op, Phase, Relation, ReplicaIdentity, Row, Span, Tuple, TupleWriter, Value,
};
use crate::lsn::Lsn;

static HOST: LazyLock<Host> = LazyLock::new(|| Host::new(HostOptions::default()).expect("a host"));

fn load(guest: Guest) -> Component {
    HOST.load(&guest.component(), "guest", Limits::default()).expect("a component")
}

fn options() -> Options {
    Options {
        name: "orders".to_owned(),
        settings: vec![],
        limits: Limits { memory_mib: 8, timeout_ms: 200 },
        instances: 1,
        state: None,
        relations: vec![],
    }
}

/// `public.t (id bigint key, v text)`
fn table() -> Arc<Relation> {
    let column = |name: &str, kind, type_oid, key: bool| Column {
        name: name.into(),
        kind,
        type_oid,
        type_modifier: -1,
        nullable: !key,
        key,
        attrs: vec![],
    };
    let columns = vec![column("id", Kind::Int64, 20, true), column("v", Kind::Text, 25, false)];
    let (schema, name) = ("public".into(), "t".into());
    Arc::new(Relation { oid: 16384, schema, name, identity: ReplicaIdentity::Default, columns })
}

fn tuple(values: &[Option<&str>]) -> Tuple {
    let mut writer = TupleWriter::default();
    writer.begin();
    for value in values {
        match value {
            Some(text) => writer.text(text.as_bytes()),
            None => writer.null(),
        }
    }
    writer.end();
    writer.finish().remove(0)
}

fn change(op: Op, new: Option<&[Option<&str>]>, old: Option<&[Option<&str>]>) -> Change {
    Change { op, relation: 0, new: new.map(tuple), old: old.map(|values| Old::Key(tuple(values))) }
}

fn insert(id: usize, v: &str) -> Change {
    change(Op::Insert, Some(&[Some(&id.to_string()), Some(v)]), None)
}

/// A batch of `public.t`; `transactions` are the lengths of its transactions, one for all by default.
fn batch(id: u64, changes: Vec<Change>, transactions: &[u32]) -> Arc<Batch> {
    let all = [changes.len() as u32];
    let transactions = if transactions.is_empty() { &all } else { transactions };
    let mut first = 0;
    let mut spans = Vec::new();
    for (i, &count) in transactions.iter().enumerate() {
        let commit_lsn = Lsn(0x100 * (i as u64 + 1));
        let end_lsn = Lsn(commit_lsn.0 + 0x30);
        let (xid, epoch, commit_time) = (700 + i as u32, 1, 1_700_000_000_000_000);
        let (phase, first_in_transaction, complete) = (Phase::Live, 0, true);
        spans.push(Span {
            xid,
            epoch,
            commit_lsn,
            end_lsn,
            commit_time,
            phase,
            first,
            count,
            first_in_transaction,
            complete,
        });
        first += count;
    }
    Arc::new(Batch { id, relations: vec![table()], spans, changes })
}

fn inserts(id: u64, count: usize) -> Arc<Batch> {
    batch(id, (0..count).map(|i| insert(i, "x")).collect(), &[])
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Runs one batch through a guest.
fn run(guest: Guest, batch: Arc<Batch>) -> Result<Output, GuestError> {
    let component = load(guest);
    block_on(async { Transform::start(&component, options()).await?.process(batch).await })
}

/// Prints rows as `insert 1 a @0`.
fn show(rows: &[Row]) -> String {
    let text = |value: Value<'_>| match value {
        Value::Null => "NULL".to_owned(),
        Value::Unchanged => "-".to_owned(),
        Value::Text(text) => String::from_utf8(text.to_vec()).expect("text"),
        Value::Binary(_) => panic!("rows are text"),
    };
    let row = |row: &Row| {
        let values: Vec<String> = row.values.columns().map(text).collect();
        let op = ["insert", "update", "delete", "truncate"][row.op as usize];
        [&[op.to_owned()], &values[..], &[format!("@{}", row.source)]].concat().join(" ")
    };
    rows.iter().map(row).collect::<Vec<_>>().join("; ")
}

/// Prints the whole chain of an error, and the hint.
fn told(error: &dyn std::error::Error, hint: Option<String>) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(" / {cause}");
        source = cause.source();
    }
    text + &hint.map(|hint| format!(" [{hint}]")).unwrap_or_default()
}
