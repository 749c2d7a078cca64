//! The other encodings, the other world, and the empty world behind WASI.

use super::guest::{Guest, TYPED_ECHO};
use super::*;
use crate::wasm::World;

#[test]
fn a_typed_guest_sees_and_makes_the_same_rows() {
    let guest = || Guest { world: "typed-transformer", encoding: 2, functions: TYPED_ECHO, ..Guest::default() };
    assert_eq!(load(guest()).world(), World::Typed);
    let changes = vec![
        insert(9_007_199_254_740_993, "a"),
        change(Op::Update, Some(&[Some("-1"), Some("ü")]), None),
        change(Op::Delete, None, Some(&[Some("1"), None])),
        change(Op::Truncate, None, None),
    ];
    let output = run(guest(), batch(1, changes, &[])).unwrap();
    assert_eq!(show(&output.rows), "insert 9007199254740993 a @0; update -1 ü @1; delete 1 - @2; truncate @3");
    let error = run(guest(), batch(1, vec![change(Op::Insert, Some(&[Some("1"), None]), None)], &[])).unwrap_err();
    assert!(error.to_string().ends_with("column `v`: NULL in a column that is not nullable"), "{error}");
}

#[test]
fn the_encoding_must_be_of_the_world() {
    let error = HOST.load(&Guest { encoding: 2, ..Guest::default() }.component(), "x", Limits::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`x` describes itself wrongly: it is of the world `transformer`, whose encoding is msgpack or json"
    );
}

#[test]
fn a_json_guest_is_given_json() {
    // Traps unless the payload is [[0,0,["1","a"],null]], and answers in JSON.
    let guest = Guest {
        encoding: 1,
        data: r#"[[0,0,0,[\22-7\22, \22\5cu00e9\22], null]]"#,
        process: r#"
            (if (i32.ne (local.get $length) (i32.const 22)) (then unreachable))
            (if (i64.ne (i64.load (local.get $payload)) (i64.const 0x225b2c302c305b5b)) (then unreachable))
            (call $output (i32.const 1) (i32.const 512) (i32.const 32))"#,
        ..Guest::default()
    };
    assert_eq!(show(&run(guest, batch(1, vec![insert(1, "a")], &[])).unwrap().rows), "insert -7 é @0");
}

const WASI_IMPORTS: &str = r#"
    (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $monotonic (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $sleep (param i64) (result i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))"#;

#[test]
fn the_clock_stands_at_the_commit_and_waiting_takes_no_time() {
    let guest = Guest {
        world: "with-wasi",
        imports: WASI_IMPORTS,
        process: "(call $wall (i32.const 600))
            (if (i64.ne (i64.load (i32.const 600)) (i64.const 1700000000)) (then unreachable))
            (if (i64.ne (call $monotonic) (i64.const 1700000000000000000)) (then unreachable))
            ;; an hour
            (call $block (call $sleep (i64.const 3600000000000)))
            (if (i64.ne (call $monotonic) (i64.const 1700003600000000000)) (then unreachable))
            (call $echo (local.get $count) (local.get $payload) (local.get $length))",
        ..Guest::default()
    };
    assert_eq!(run(guest, inserts(1, 3)).unwrap().rows.len(), 3);
}

#[test]
fn randomness_is_that_of_the_position() {
    let guest = || Guest {
        world: "with-wasi",
        imports: WASI_IMPORTS,
        // [[0, 0, 0, [random as int 32, ""], nil]]
        process: "(i32.store (i32.const 600) (i32.const 0x00009591))
            (i32.store8 (i32.const 604) (i32.const 0))
            (i32.store8 (i32.const 605) (i32.const 0x92))
            (i32.store8 (i32.const 606) (i32.const 0xd2))
            (i32.store (i32.const 607) (i32.wrap_i64 (call $random)))
            (i32.store16 (i32.const 611) (i32.const 0xc0a0))
            (call $output (i32.const 1) (i32.const 600) (i32.const 13))",
        ..Guest::default()
    };
    let at = |first: u64| {
        let mut batch = (*inserts(1, 1)).clone();
        batch.spans[0].first_in_transaction = first;
        show(&run(guest(), Arc::new(batch)).unwrap().rows)
    };
    assert_eq!(at(0), at(0), "the same position");
    assert_ne!(at(0), at(1), "another position");
}
