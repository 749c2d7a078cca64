use std::sync::Arc;

use super::super::state::tests::Memory;
use super::guest::{ECHO, Guest};
use super::*;

#[test]
fn rows_pass_through_a_guest() {
    let changes = vec![
        insert(1, "a"),
        change(Op::Update, Some(&[Some("1"), Some("ü")]), None),
        change(Op::Delete, None, Some(&[Some("1"), None])),
        change(Op::Truncate, None, None),
    ];
    let output = run(Guest::default(), batch(1, changes, &[])).unwrap();
    assert_eq!(show(&output.rows), "insert 1 a @0; update 1 ü @1; delete 1 - @2; truncate @3");
}

#[test]
fn what_is_not_subscribed_is_not_handed_over() {
    let mut other = (*table()).clone();
    other.name = "other".into();
    other.oid = 1;
    let mut changes = vec![insert(1, "a"), insert(2, "b"), change(Op::Truncate, None, None), insert(3, "c")];
    changes[1].relation = 1;
    let mut batch = (*batch(1, changes, &[])).clone();
    batch.relations.push(Arc::new(other));
    let guest = Guest { ops: &[0], ..Guest::default() };
    assert_eq!(show(&run(guest, Arc::new(batch)).unwrap().rows), "insert 1 a @0; insert 3 c @3");
}

#[test]
fn a_subscribed_column_that_is_gone_stops_the_transform_before_data_is_read() {
    let guest = || load(Guest { subscribed: &["v", "w"], ..Guest::default() });
    let error = run(Guest { subscribed: &["v", "w"], ..Guest::default() }, inserts(1, 1)).unwrap_err();
    let expected = "transform `orders` needs column `w`, which public.t does not have \
                    [rename the column back, or deploy a transform that does not subscribe to it]";
    assert_eq!(told(&error, error.hint()), expected);
    let early = block_on(Transform::start(&guest(), Options { relations: vec![table()], ..options() }));
    assert_eq!(told(&early.err().unwrap(), error.hint()), expected);
}

/// Counts `relation-changed` in the id of its rows.
#[test]
fn the_guest_hears_of_a_relation_once_and_again_when_it_is_altered() {
    let component = load(Guest {
        relation_changed: "(global.set $changes (i32.add (global.get $changes) (i32.const 1)))",
        functions: "(global $changes (mut i32) (i32.const 0))",
        // One row: [[0, 0, 0, [changes, ""], nil]]
        process: "(i32.store (i32.const 600) (i32.const 0x00009591))
                  (i32.store (i32.const 604) (i32.const 0x00009200))
                  (i32.store8 (i32.const 606) (global.get $changes))
                  (i32.store16 (i32.const 607) (i32.const 0xc0a0))
                  (i32.store8 (i32.const 605) (i32.const 0x92))
                  (call $output (i32.const 1) (i32.const 600) (i32.const 9))",
        subscribed: &["v"],
        ..Guest::default()
    });
    block_on(async {
        let transform = Transform::start(&component, options()).await.unwrap();
        let mut altered = (*table()).clone();
        altered.columns[1].kind = Kind::Jsonb;
        let altered = Arc::new(altered);
        let mut widened = (*altered).clone();
        widened.columns.push(Column { name: "unseen".into(), ..widened.columns[1].clone() });
        let mut heard = Vec::new();
        for (id, relation) in [(1, table()), (2, table()), (3, altered.clone()), (4, altered), (5, Arc::new(widened))] {
            let mut batch = (*inserts(id, 1)).clone();
            if id == 5 {
                batch.changes = vec![change(Op::Insert, Some(&[Some("1"), Some("x"), Some("y")]), None)];
            }
            batch.relations = vec![relation];
            heard.push(show(&transform.process(Arc::new(batch)).await.unwrap().rows));
        }
        assert_eq!(heard, ["insert 1  @0", "insert 1  @0", "insert 2  @0", "insert 2  @0", "insert 2  @0"]);
        // Known from the start, there is nothing to tell.
        let transform = Transform::start(&component, Options { relations: vec![table()], ..options() }).await.unwrap();
        assert_eq!(show(&transform.process(inserts(1, 1)).await.unwrap().rows), "insert 0  @0");
    });
}

#[test]
fn a_value_that_is_none_is_an_error_without_the_value() {
    let changes = vec![change(Op::Insert, Some(&[Some("secret"), Some("x")]), None)];
    let error = run(Guest::default(), batch(1, changes, &[])).unwrap_err();
    assert_eq!(error.to_string(), "public.t holds a value in column `id` that is no bigint");
    let short = batch(1, vec![change(Op::Insert, Some(&[Some("1")]), None)], &[]);
    let error = run(Guest::default(), short).unwrap_err();
    assert_eq!(error.to_string(), "public.t holds a value in column `v` that is no text");
}

#[test]
fn a_rejected_change_is_left_out_and_the_others_run_again() {
    let guest = Guest {
        data: "bad row",
        process: "(local.set $i (call $boom (local.get $count) (local.get $payload)))
                  (if (result i32) (i32.ge_s (local.get $i) (i32.const 0))
                    (then (call $rejected (local.get $i) (i32.const 7)))
                    (else (call $echo (local.get $count) (local.get $payload) (local.get $length))))",
        ..Guest::default()
    };
    let changes = (0..100).map(|i| insert(i, if i % 7 == 3 { "boom" } else { "x" })).collect();
    let output = run(guest, batch(1, changes, &[])).unwrap();
    let rejected: Vec<u32> = output.rejected.iter().map(|rejection| rejection.index).collect();
    assert_eq!(rejected, (0..100).filter(|i| i % 7 == 3).collect::<Vec<u32>>());
    assert_eq!(output.rejected[0].message, "bad row");
    let sources: Vec<u32> = output.rows.iter().map(|row| row.source).collect();
    assert_eq!(sources, (0..100).filter(|i| i % 7 != 3).collect::<Vec<u32>>());
}

const BOOM: &str =
    "(if (i32.ge_s (call $boom (local.get $count) (local.get $payload)) (i32.const 0)) (then unreachable))
                    (call $echo (local.get $count) (local.get $payload) (local.get $length))";

#[test]
fn a_trap_is_narrowed_down_to_its_change() {
    let changes = (0..100).map(|i| insert(i, if i == 77 { "boom" } else { "x" })).collect();
    let error = run(Guest { process: BOOM, ..Guest::default() }, batch(1, changes, &[50, 50])).unwrap_err();
    let place = error.place().expect("a place");
    assert_eq!((place.change, place.count), (77, 1));
    assert_eq!(place.to_string(), "at the insert on public.t, change 27 of the transaction at 0/200 (key: id)");
    let text = error.to_string();
    let expected = "transform `orders` crashed on a batch of 1 change: it panicked or aborted (`unreachable` was executed)\n    at ";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("process"), "a name of the backtrace: {text}");
}

#[test]
fn whole_transactions_are_never_cut() {
    let changes = (0..100).map(|i| insert(i, if i == 77 { "boom" } else { "x" })).collect();
    let guest = Guest { process: BOOM, whole_transactions: true, ..Guest::default() };
    let error = run(guest, batch(1, changes, &[30, 30, 40])).unwrap_err();
    let place = error.place().expect("a place");
    assert_eq!((place.change, place.count), (60, 40));
    assert_eq!(place.to_string(), "in one of the 40 changes of the transaction at 0/300");
}

#[test]
fn after_a_trap_the_transform_goes_on_with_a_new_instance() {
    let component = load(Guest { process: BOOM, ..Guest::default() });
    block_on(async {
        let transform = Transform::start(&component, options()).await.unwrap();
        for id in 1..20 {
            let error = transform.process(batch(id, vec![insert(1, "boom")], &[])).await.unwrap_err();
            assert!(matches!(error, GuestError::Trap { .. }), "{error}");
            // Parked, it runs without that change.
            let output = transform.submit(batch(id, vec![insert(1, "boom"), insert(2, "x")], &[]), vec![0]).await;
            assert_eq!(show(&output.output().await.unwrap().rows), "insert 2 x @1");
        }
    });
}

#[test]
fn retryable_and_fatal_reach_the_engine_and_the_same_batch_comes_again() {
    let component = load(Guest {
        data: "not yet",
        functions: "(global $calls (mut i32) (i32.const 0))",
        process: "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                  (if (i32.eq (global.get $calls) (i32.const 1)) (then (return (call $retryable (i32.const 7) (i32.const 50)))))
                  (if (i32.eq (global.get $calls) (i32.const 3)) (then (return (call $fatal (i32.const 7)))))
                  (call $echo (local.get $count) (local.get $payload) (local.get $length))",
        ..Guest::default()
    });
    block_on(async {
        let transform = Transform::start(&component, options()).await.unwrap();
        let first = transform.submit(inserts(1, 1), vec![]).await;
        let second = transform.submit(inserts(2, 1), vec![]).await;
        let error = first.output().await.unwrap_err();
        assert_eq!(error.to_string(), "transform `orders` asks to be called again in 50 ms: not yet");
        let error = second.output().await.unwrap_err();
        assert_eq!(error.to_string(), "batch 2 of transform `orders` was not run, since batch 1 before it failed");
        assert_eq!(transform.process(inserts(1, 1)).await.unwrap().rows.len(), 1);
        let error = transform.process(inserts(2, 1)).await.unwrap_err();
        assert_eq!(error.to_string(), "transform `orders` can't go on: not yet");
        assert_eq!(transform.process(inserts(2, 1)).await.unwrap().rows.len(), 1);
    });
}

/// Adds the number of changes to a counter in state; the counter's low byte is the id of its one row. A batch with
/// `boom` traps after the write.
const COUNTING: &str = r#"
    ;; get(["n"])
    (i32.store8 (i32.const 700) (i32.const 110))
    (i32.store (i32.const 704) (i32.const 700))
    (i32.store (i32.const 708) (i32.const 1))
    (call $get (i32.const 704) (i32.const 1) (i32.const 720))
    ;; ok(list): one option<list<u8>>
    (local.set $at (i32.load (i32.const 724)))
    (if (i32.load8_u (local.get $at))
      (then (local.set $i (i32.load8_u (i32.load offset=4 (local.get $at))))))
    (local.set $i (i32.add (local.get $i) (local.get $count)))
    (i32.store8 (i32.const 701) (local.get $i))
    ;; put([("n", some([i]))]): key at 0, option at 8
    (i32.store (i32.const 760) (i32.const 700))
    (i32.store (i32.const 764) (i32.const 1))
    (i32.store8 (i32.const 768) (i32.const 1))
    (i32.store (i32.const 772) (i32.const 701))
    (i32.store (i32.const 776) (i32.const 1))
    (call $put (i32.const 760) (i32.const 1) (i32.const 800))
    (if (i32.ge_s (call $boom (local.get $count) (local.get $payload)) (i32.const 0)) (then unreachable))
    (i32.store (i32.const 600) (i32.const 0x00009591))
    (i32.store8 (i32.const 604) (i32.const 0))
    (i32.store8 (i32.const 605) (i32.const 0x92))
    (i32.store8 (i32.const 606) (local.get $i))
    (i32.store16 (i32.const 607) (i32.const 0xc0a0))
    (call $output (i32.const 1) (i32.const 600) (i32.const 9))"#;
const STATE_IMPORTS: &str = r#"
    (import "pelton:transform/state@0.1.0" "get" (func $get (param i32 i32 i32)))
    (import "pelton:transform/state@0.1.0" "put" (func $put (param i32 i32 i32)))"#;

#[test]
fn state_is_seen_before_it_is_committed_and_vanishes_with_a_trap() {
    let component = load(Guest { imports: STATE_IMPORTS, process: COUNTING, stateful: true, ..Guest::default() });
    let store = Arc::new(Memory::default());
    block_on(async {
        let with_store = Options { state: Some(store.clone()), ..options() };
        let transform = Transform::start(&component, with_store).await.unwrap();
        let first = transform.process(inserts(1, 3)).await.unwrap();
        let second = transform.process(inserts(2, 2)).await.unwrap();
        assert_eq!((show(&first.rows), show(&second.rows)), ("insert 3  @0".into(), "insert 5  @0".into()));
        assert_eq!(second.state, [(b"n".to_vec(), Some(bytes::Bytes::from_static(&[5])))]);
        store.commit(&first.state);
        transform.committed(1);
        // A trap takes its writes along, also those of the half that went well.
        let boom = batch(3, vec![insert(1, "x"), insert(2, "boom")], &[]);
        assert!(transform.process(boom).await.is_err());
        assert_eq!(show(&transform.process(inserts(3, 1)).await.unwrap().rows), "insert 6  @0");
        // Batch 2 again: what it and batch 3 wrote is forgotten.
        assert_eq!(show(&transform.process(inserts(2, 1)).await.unwrap().rows), "insert 4  @0");
    });
}

#[test]
fn state_needs_a_store_and_a_description_that_says_so() {
    let stateful = load(Guest { stateful: true, ..Guest::default() });
    let error = block_on(Transform::start(&stateful, options())).err().unwrap();
    assert_eq!(
        error.to_string(),
        "transform `orders` can't go on: it is stateful, and there is no store for its state"
    );
    let error =
        run(Guest { imports: STATE_IMPORTS, process: COUNTING, ..Guest::default() }, inserts(1, 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform `orders` can't go on: it uses state outside of `process`, or describes itself as stateless"
    );
}

/// put([("n", none)])
const PUT: &str = "
    (i32.store8 (i32.const 700) (i32.const 110))
    (i32.store (i32.const 760) (i32.const 700))
    (i32.store (i32.const 764) (i32.const 1))
    (i32.store8 (i32.const 768) (i32.const 0))
    (call $put (i32.const 760) (i32.const 1) (i32.const 800))";
/// get(["n"])
const GET: &str = "
    (i32.store8 (i32.const 700) (i32.const 110))
    (i32.store (i32.const 704) (i32.const 700))
    (i32.store (i32.const 708) (i32.const 1))
    (call $get (i32.const 704) (i32.const 1) (i32.const 720))";

#[test]
fn state_outside_of_process_is_refused() {
    let error = |guest: Guest| {
        let component = load(Guest { imports: STATE_IMPORTS, stateful: true, ..guest });
        let store = Arc::new(Memory::default());
        let options = Options { state: Some(store.clone()), ..options() };
        let error = block_on(async { Transform::start(&component, options).await?.process(inserts(1, 1)).await });
        assert_eq!(store.asked.load(std::sync::atomic::Ordering::Relaxed), 0);
        error.unwrap_err().to_string()
    };
    for call in [PUT, GET] {
        for guest in [Guest { init: call, ..Guest::default() }, Guest { relation_changed: call, ..Guest::default() }] {
            assert_eq!(
                error(guest),
                "transform `orders` can't go on: it uses state outside of `process`, or describes itself as stateless"
            );
        }
    }
}

#[test]
fn a_store_that_fails_is_not_blamed_on_the_guest() {
    struct Broken;
    impl crate::wasm::StateStore for Broken {
        fn get(&self, _: &[&[u8]]) -> Result<Vec<Option<bytes::Bytes>>, crate::wasm::StateError> {
            Err("connection lost".into())
        }
        fn scan(
            &self,
            _: &[u8],
            _: Option<&[u8]>,
            _: u32,
        ) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, crate::wasm::StateError> {
            Err("connection lost".into())
        }
    }
    let component = load(Guest { imports: STATE_IMPORTS, process: COUNTING, stateful: true, ..Guest::default() });
    let options = Options { state: Some(Arc::new(Broken)), ..options() };
    let error = block_on(async {
        let transform = Transform::start(&component, options).await.unwrap();
        transform.process(inserts(1, 4)).await.unwrap_err()
    });
    assert_eq!(told(&error, None), "the state of transform `orders` can't be read / connection lost");
}

/// Puts 1 MiB under the first byte of each change's key.
const HOARD: &str = "
    (i32.store8 (i32.const 600) (i32.const 0x90))
    (i32.store (i32.const 760) (i32.const 700))
    (i32.store (i32.const 764) (i32.const 1))
    (i32.store8 (i32.const 768) (i32.const 1))
    (i32.store (i32.const 772) (i32.const 0))
    (i32.store (i32.const 776) (i32.const 0x100000))
    (local.set $at (call $header (local.get $payload)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
        (i32.store8 (i32.const 700) (i32.load8_u offset=4 (local.get $at)))
        (call $put (i32.const 760) (i32.const 1) (i32.const 800))
        (local.set $at (call $skip (local.get $at)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (call $output (i32.const 0) (i32.const 600) (i32.const 1))";

/// What is written of a batch, or of a transaction in several, is bounded by the guest's memory, or 64 MiB if that is
/// more: a call that writes more than 64 MiB is cut, and only the sum counts.
#[test]
fn state_that_waits_for_its_commit_is_bounded_by_a_limit_that_can_be_raised() {
    let init = "(drop (memory.grow (i32.const 16)))";
    let component = load(Guest { imports: STATE_IMPORTS, init, process: HOARD, stateful: true, ..Guest::default() });
    let change = |i| insert(i, "x");
    let whole = vec![batch(1, (0..100).map(change).collect(), &[])];
    let piece = |id: u64, complete| {
        let from = 50 * (id as usize - 1);
        let mut piece = Batch::clone(&batch(id, (from..from + 50).map(change).collect(), &[]));
        piece.spans[0].complete = complete;
        piece.spans[0].first_in_transaction = from as u64;
        Arc::new(piece)
    };
    let pieces = vec![piece(1, false), piece(2, true)];
    let run = |memory_mib, batches: &[Arc<Batch>]| {
        let limits = Limits { memory_mib, timeout_ms: 10_000 };
        let options = Options { state: Some(Arc::new(Memory::default())), limits, ..options() };
        block_on(async {
            let transform = Transform::start(&component, options).await?;
            let mut entries = 0;
            for batch in batches {
                entries += transform.process(batch.clone()).await?.state.len();
            }
            Ok::<_, GuestError>(entries)
        })
    };
    for batches in [whole, pieces] {
        let error = run(8, &batches).unwrap_err();
        assert_eq!(
            told(&error, error.hint()),
            "transform `orders` wrote 101 MiB of state that is not committed yet, up to the transaction at 0/100; its limit \
             is 64 MiB (limits.memoryMib, at least 64) [raise limits.memoryMib above 64, or deploy a transform that \
             remembers less of a transaction; then restart `pelton sync`]"
        );
        assert_eq!(run(128, &batches).unwrap(), 100);
    }
}

#[test]
fn parallel_instances_give_back_the_order_of_the_source() {
    let component = load(Guest { parallel: true, ..Guest::default() });
    let mut changes: Vec<Change> = (0..2000).map(|i| insert(i, "x")).collect();
    changes[500] = change(Op::Truncate, None, None);
    changes[900] = change(Op::Update, Some(&[Some("5"), Some("y")]), Some(&[Some("4"), None]));
    changes[1999] = change(Op::Delete, None, Some(&[Some("7"), None]));
    let batch = batch(1, changes, &[700, 600, 700]);
    block_on(async {
        let one = Transform::start(&component, options()).await.unwrap().process(batch.clone()).await.unwrap();
        let four = Transform::start(&component, Options { instances: 4, ..options() }).await.unwrap();
        for _ in 0..3 {
            let four = four.process(batch.clone()).await.unwrap();
            assert_eq!(four.rows.len(), 2000);
            assert!(one.rows == four.rows, "the rows differ");
        }
    });
}

#[test]
fn parallel_instances_find_the_failing_change_too() {
    let component = load(Guest { parallel: true, process: BOOM, ..Guest::default() });
    let changes = (0..1000).map(|i| insert(i, if i == 400 || i == 800 { "boom" } else { "x" })).collect();
    block_on(async {
        let transform = Transform::start(&component, Options { instances: 3, ..options() }).await.unwrap();
        let error = transform.process(batch(1, changes, &[])).await.unwrap_err();
        assert_eq!(error.place().map(|place| place.change), Some(400));
        assert_eq!(transform.process(inserts(1, 10)).await.unwrap().rows.len(), 10);
    });
}

#[test]
fn keys_that_collide_in_state_are_refused() {
    let guest = Guest { imports: STATE_IMPORTS, process: COUNTING, stateful: true, parallel: true, ..Guest::default() };
    let component = load(guest);
    let options = Options { state: Some(Arc::new(Memory::default())), instances: 2, ..options() };
    let error = block_on(async {
        Transform::start(&component, options).await.unwrap().process(inserts(1, 100)).await.unwrap_err()
    });
    assert_eq!(error.to_string(), "two parallel instances of transform `orders` wrote the same key of state");
}

#[test]
fn several_instances_need_the_transforms_leave() {
    let refused = |guest, instances| {
        let error = block_on(Transform::start(&load(guest), Options { instances, ..options() })).err().unwrap();
        error.to_string()
    };
    let parallel = || Guest { parallel: true, process: ECHO, ..Guest::default() };
    assert_eq!(
        refused(Guest::default(), 2),
        "transform `orders` can't run 2 instances: it does not describe itself as parallel"
    );
    assert_eq!(refused(parallel(), 65), "transform `orders` can't run 65 instances: the most is 64");
    assert_eq!(refused(parallel(), 0), "transform `orders` can't run 0 instances: at least one is needed");
    assert_eq!(
        refused(Guest { whole_transactions: true, ..parallel() }, 2),
        "transform `orders` can't run 2 instances: it takes whole transactions, whose changes belong together"
    );
}

#[test]
fn changes_of_one_key_meet_in_one_instance_and_all_others_are_barriers() {
    use super::super::relation::Plan;
    use super::super::{Subscription, route};
    let all = Subscription { schema: "public".into(), table: "t".into(), columns: vec![], ops: vec![], attrs: vec![] };
    let route = |relation: &Arc<Relation>, change: &Change| {
        let plan = Plan::of("t", std::slice::from_ref(&all), relation).unwrap().unwrap();
        route::of(&plan, change, 8)
    };
    let table = table();
    let one = route(&table, &insert(1, "a"));
    assert!(one.is_some());
    assert_eq!(route(&table, &change(Op::Update, Some(&[Some("1"), Some("b")]), None)), one);
    assert_eq!(route(&table, &change(Op::Delete, None, Some(&[Some("1"), None]))), one);
    let mut binary = TupleWriter::default();
    binary.begin();
    binary.binary(&1i64.to_be_bytes());
    binary.text(b"a");
    binary.end();
    let binary = Change { new: Some(binary.finish().remove(0)), ..insert(1, "a") };
    assert_eq!(route(&table, &binary), one, "a key in binary is the same key");
    let instances: std::collections::HashSet<_> = (0..100).map(|i| route(&table, &insert(i, "a"))).collect();
    assert_eq!(instances.len(), 8, "all instances have work");

    assert_eq!(route(&table, &change(Op::Truncate, None, None)), None);
    assert_eq!(route(&table, &change(Op::Update, Some(&[Some("2"), Some("b")]), Some(&[Some("1"), None]))), None);
    for identity in [ReplicaIdentity::Full, ReplicaIdentity::Nothing] {
        assert_eq!(route(&Arc::new(Relation { identity, ..(*table).clone() }), &insert(1, "a")), None);
    }
    let mut keyless = (*table).clone();
    keyless.columns[0].key = false;
    assert_eq!(route(&Arc::new(keyless), &insert(1, "a")), None);
}

#[test]
fn candidates_take_no_instance_from_those_that_run() {
    let guest = || Guest { parallel: true, ..Guest::default() }.component();
    let all = || Options { instances: 64, ..options() };
    let running = Host::new(HostOptions::default()).expect("a host");
    let component = running.load(&guest(), "guest", Limits::default()).expect("a component");
    let transforms: Vec<Transform> =
        (0..4).map(|_| block_on(Transform::start(&component, all())).expect("there is room")).collect();
    assert!(block_on(Transform::start(&component, options())).is_err(), "there is always room");
    let candidates = Host::for_candidates(HostOptions::default()).expect("a host");
    let candidate = candidates.load(&guest(), "guest", Limits::default()).expect("a component");
    block_on(Transform::start(&candidate, all())).expect("there is room for a candidate");
    drop(transforms);
}
