//! `examples/typed-cpp`: a transform that no SDK knows, from its sources to its rows. Needs the clang that
//! `scripts/toolchain-c.sh` finds or fetches.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pelton::change::{
    Batch, Change, Column, Kind, Old, Op, Phase, Relation, ReplicaIdentity, Row, Span, Tuple, TupleWriter, Value,
};
use pelton::cli::build::build_component;
use pelton::lsn::Lsn;
use pelton::wasm::{Host, HostOptions, Limits, Options, Output, Transform};

/// Compiles the example in a folder of its own, and makes a component of the module.
fn component() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("labels.wasm");
    let made = Command::new("make")
        .args(["-C", "examples/typed-cpp", "--no-print-directory", "module"])
        .arg(format!("MODULE={}", module.display()))
        .current_dir(root)
        .status()
        .expect("make is on PATH");
    assert!(made.success(), "the example does not compile; scripts/toolchain-c.sh says what it lacks");
    let built = build_component(&module, None)
        .unwrap_or_else(|error| panic!("{error}\nHint: {}", error.hint().unwrap_or_default()));
    assert_eq!(built.path, folder.path().join("labels.component.wasm"), "beside the module, and not over it");
    assert!(built.imports.iter().all(|import| import.starts_with("pelton:transform/")), "{:?}", built.imports);
    assert!(built.to_string().ends_with("reads public.orders, publishes labels 1.0."), "{built}");
    std::fs::read(&built.path).unwrap()
}

/// `public.orders (is_test, customer, id)`: not in the order in which the transform names them.
fn relation() -> Relation {
    let column = |name: &str, kind, type_oid, key: bool| Column {
        name: name.into(),
        kind,
        type_oid,
        type_modifier: -1,
        nullable: !key,
        key,
        attrs: vec![],
    };
    let columns = vec![
        column("is_test", Kind::Bool, 16, false),
        column("customer", Kind::Text, 25, false),
        column("id", Kind::Int64, 20, true),
    ];
    let (schema, name) = ("public".into(), "orders".into());
    Relation { oid: 16384, schema, name, identity: ReplicaIdentity::Default, columns }
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

fn change(op: Op, new: Option<[&str; 3]>, old_id: Option<&str>) -> Change {
    let new = new.map(|values| tuple(&values.map(Some)));
    Change { op, relation: 0, new, old: old_id.map(|id| Old::Key(tuple(&[None, None, Some(id)]))) }
}

fn run(bytes: &[u8], changes: Vec<Change>) -> Output {
    let host = Host::new(HostOptions::default()).unwrap();
    let component = host.load(bytes, "labels", Limits::default()).unwrap();
    let options = Options {
        name: "labels".to_owned(),
        settings: vec![],
        limits: Limits::default(),
        instances: 1,
        state: None,
        relations: vec![],
    };
    let span = Span {
        xid: 700,
        epoch: 1,
        commit_lsn: Lsn(0x100),
        end_lsn: Lsn(0x130),
        commit_time: 0,
        phase: Phase::Live,
        first: 0,
        count: changes.len() as u32,
        first_in_transaction: 0,
        complete: true,
    };
    let batch = Arc::new(Batch { id: 1, relations: vec![Arc::new(relation())], spans: vec![span], changes });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Transform::start(&component, options).await?.process(batch).await }).unwrap()
}

/// Prints rows as `insert 1 Ann #1 @0`.
fn show(rows: &[Row]) -> Vec<String> {
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
    rows.iter().map(row).collect()
}

#[test]
fn a_transform_in_cpp_needs_the_contract_and_no_sdk() {
    let output = run(
        &component(),
        vec![
            change(Op::Insert, Some(["f", "Ann", "1"]), None),
            change(Op::Insert, Some(["t", "Bob", "2"]), None),
            change(Op::Update, Some(["f", "Änn", "1"]), None),
            change(Op::Update, Some(["f", "Ann", "-3"]), Some("1")),
            change(Op::Update, Some(["t", "Ann", "-3"]), None),
            change(Op::Delete, None, Some("1")),
            change(Op::Truncate, None, None),
        ],
    );
    assert_eq!(
        show(&output.rows),
        [
            "insert 1 Ann #1 @0",
            "update 1 Änn #1 @2",
            "update -3 Ann #-3 @3",
            "delete -3 - @4",
            "delete 1 - @5",
            "truncate @6"
        ]
    );
}
