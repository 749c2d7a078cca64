//! How long a batch takes; run by hand: `cargo nextest run --run-ignored only -E 'test(wasm::tests::speed)' --no-capture`.

use std::time::Instant;

use super::guest::Guest;
use super::*;

#[test]
#[ignore = "a measurement"]
fn a_thousand_changes_of_eight_columns_through_an_echo_guest() {
    let kinds = [
        ("id", Kind::Int64, "1234567", 3u8),
        ("name", Kind::Text, "Ada Lovelace", 7),
        ("note", Kind::Text, "a somewhat longer text, as notes are", 7),
        ("total", Kind::Numeric, "1234.50", 6),
        ("paid", Kind::Bool, "t", 0),
        ("at", Kind::Timestamptz, "2026-01-31 12:00:00.123456+00", 16),
        ("doc", Kind::Jsonb, "{\"a\": 1, \"b\": [true, null]}", 11),
        ("ref", Kind::Uuid, "6f1c1a1e-5a3e-4c52-9d8f-0a2b3c4d5e6f", 9),
    ];
    let columns: Vec<_> = kinds.iter().map(|(name, _, _, index)| (*name, *index, true, *name == "id")).collect();
    let component = load(Guest { columns: columns.leak(), ..Guest::default() });
    let mut relation = (*table()).clone();
    relation.columns = kinds
        .iter()
        .map(|(name, kind, ..)| Column {
            name: (*name).into(),
            kind: kind.clone(),
            key: *name == "id",
            ..relation.columns[0].clone()
        })
        .collect();
    let values: Vec<_> = kinds.iter().map(|(_, _, value, _)| Some(*value)).collect();
    let changes = vec![change(Op::Insert, Some(&values), None); 1000];
    let mut batch = (*batch(0, changes, &[])).clone();
    batch.relations = vec![Arc::new(relation)];
    block_on(async {
        let options = Options { limits: Limits::default(), ..options() };
        let transform = Transform::start(&component, options).await.unwrap();
        let mut best = f64::MAX;
        for id in 1..300 {
            batch.id = id;
            let batch = Arc::new(batch.clone());
            let started = Instant::now();
            let output = transform.process(batch).await.unwrap();
            best = best.min(started.elapsed().as_secs_f64());
            assert_eq!(output.rows.len(), 1000);
        }
        eprintln!("{:.0} µs a batch of 1,000 changes, {:.0} ns a change", best * 1e6, best * 1e6);
    });
}

/// `cargo build --release --target wasm32-unknown-unknown` in `examples/orders` makes the module that
/// `PELTON_TEST_GUEST` names.
#[test]
#[ignore = "a measurement; needs the example's module"]
fn a_thousand_changes_through_the_example_in_rust() {
    let module = std::fs::read(std::env::var("PELTON_TEST_GUEST").expect("PELTON_TEST_GUEST")).unwrap();
    let mut encoder = wit_component::ComponentEncoder::default().validate(true).module(&module).unwrap();
    let started = Instant::now();
    let component = HOST.load(&encoder.encode().unwrap(), "orders", Limits::default()).unwrap();
    eprintln!("loaded in {:.0?}, imports {:?}", started.elapsed(), component.imports());
    let columns = [
        ("id", Kind::Int64, "1234567"),
        ("customer_id", Kind::Int64, "17"),
        ("customer_name", Kind::Text, "Ada Lovelace"),
        ("email", Kind::Text, "ada@example.com"),
        ("amount", Kind::Numeric, "1234.50"),
        ("currency", Kind::Text, "EUR"),
        ("note", Kind::Text, "a somewhat longer text, as notes are"),
        ("is_test", Kind::Bool, "f"),
        ("placed_at", Kind::Timestamptz, "2026-01-31 12:00:00.123456+00"),
    ];
    let mut relation = (*table()).clone();
    relation.name = "orders".into();
    let template = relation.columns[0].clone();
    let column = |(name, kind, _): &(&str, Kind, &str)| {
        let key = *name == "id";
        Column { name: (*name).into(), kind: kind.clone(), key, nullable: *name == "note", ..template.clone() }
    };
    relation.columns = columns.iter().map(column).collect();
    let relation = Arc::new(relation);
    let changes = (0..1000)
        .map(|id| {
            let (id, customer) = (id.to_string(), (id % 50).to_string());
            let mut values: Vec<Option<&str>> = columns.iter().map(|(.., value)| Some(*value)).collect();
            values[0] = Some(&id);
            values[1] = Some(&customer);
            change(Op::Insert, Some(&values), None)
        })
        .collect();
    let mut batch = (*batch(0, changes, &[])).clone();
    batch.relations = vec![relation];
    let state = Arc::new(super::super::state::tests::Memory::default());
    block_on(async {
        let options = Options { limits: Limits::default(), state: Some(state.clone()), ..options() };
        let transform = Transform::start(&component, options).await.unwrap();
        let mut best = f64::MAX;
        let mut rows = 0;
        for id in 1..200 {
            batch.id = id;
            let batch = Arc::new(batch.clone());
            let started = Instant::now();
            let output = transform.process(batch).await.unwrap();
            best = best.min(started.elapsed().as_secs_f64());
            state.commit(&output.state);
            transform.committed(id);
            rows = output.rows.len();
        }
        eprintln!("{rows} rows; {:.0} µs a batch of 1,000 changes", best * 1e6);
    });
}
