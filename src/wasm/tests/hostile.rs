//! Guests that do what they must not.

use super::guest::Guest;
use super::*;

fn fails(guest: Guest) -> String {
    let error = run(guest, inserts(1, 1)).unwrap_err();
    told(&error, error.hint())
}

fn process(process: &'static str) -> Guest {
    Guest { process, ..Guest::default() }
}

/// A guest that returns these bytes as `rows` rows.
fn returns(rows: usize, data: &'static str, bytes: usize) -> String {
    let body = format!("(call $output (i32.const {rows}) (i32.const 512) (i32.const {bytes}))");
    fails(Guest { data, process: Box::leak(body.into_boxed_str()), ..Guest::default() })
}

#[test]
fn a_loop_without_end_is_stopped() {
    let text = fails(process("(loop $forever (br $forever)) unreachable"));
    assert!(text.starts_with("transform `orders` ran for 2"), "{text}");
    assert!(
        text.contains(" ms on a batch of 1 change; limit 200 ms (limits.timeoutMs) [raise limits.timeoutMs above 200"),
        "{text}"
    );
}

#[test]
fn a_batch_that_is_merely_too_large_for_the_time_gets_through_in_pieces() {
    // A loop of some milliseconds for each change, so that one call can't do them all.
    let body = "(local.set $i (i32.mul (local.get $count) (i32.const 20000000)))
        (loop $work
          (local.set $i (i32.sub (local.get $i) (i32.const 1)))
          (local.set $at (i32.xor (local.get $at) (local.get $i)))
          (br_if $work (local.get $i)))
        (i32.store (i32.const 8) (local.get $at))
        (call $echo (local.get $count) (local.get $payload) (local.get $length))";
    let output = run(process(body), inserts(1, 64)).unwrap();
    assert_eq!(output.rows.len(), 64);
}

#[test]
fn recursion_without_end_is_stopped() {
    let text = fails(process("(call $recurse (i32.const 0))"));
    assert!(
        text.starts_with(
            "transform `orders` crashed on a batch of 1 change: its stack is full: it recurses too deep\n    at "
        ),
        "{text}"
    );
}

#[test]
fn growth_without_end_is_stopped() {
    let text = fails(process("(loop $grow (drop (memory.grow (i32.const 16))) (br $grow)) unreachable"));
    assert_eq!(
        text,
        "transform `orders` used 9 MiB of memory on a batch of 1 change; its limit is 8 MiB (limits.memoryMib) \
         [raise limits.memoryMib above 8, or make the transform hold less]"
    );
}

#[test]
fn traps_of_every_sort_are_told() {
    let cases = [
        ("(drop (i32.load (i32.const -1))) unreachable", "out of bounds memory access"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0))) unreachable", "integer divide by zero"),
        ("unreachable", "it panicked or aborted"),
        ("(i32.const 17)", "pointer not aligned"),
        ("(i32.const 2147483644)", "pointer out of bounds"),
        ("(i32.store8 (i32.const 16) (i32.const 9)) (i32.const 16)", "discriminant"),
        ("(call $output (i32.const 0) (i32.const 0) (i32.const -1))", "out of bounds"),
    ];
    for (body, expected) in cases {
        let text = fails(process(body));
        assert!(
            text.starts_with("transform `orders` crashed on a batch of 1 change: ") && text.contains(expected),
            "{expected}: {text}"
        );
    }
}

#[test]
fn garbage_rows_are_told_with_their_place() {
    let cases = [
        (returns(1, "\\c1", 1), "no array at byte 0 of the payload, where one should be"),
        (returns(1, "\\91", 1), "the payload ends too early"),
        (returns(2, "\\90", 1), "it counts 2 rows, and the payload has 0"),
        (returns(1, "\\dd\\ff\\ff\\ff\\ff", 5), "the payload ends too early"),
        (returns(1, "\\91\\95\\01", 3), "the payload ends too early"),
        (returns(1, "\\91\\95\\01\\00\\00", 5), "row 0 is of public schema 1, and the transform describes 1"),
        (
            returns(1, "\\91\\95\\00\\00\\00\\91\\01\\c0", 8),
            "row 0 of public schema `t 1.0`, column `v`: 1 values, and 2 are expected",
        ),
        (
            returns(1, "\\91\\95\\00\\00\\00\\92\\a1a\\a0\\c0", 11),
            "row 0 of public schema `t 1.0`, column `id`: expected bigint, found text",
        ),
        (
            returns(1, "\\91\\95\\00\\00\\00\\92\\01\\07\\c0", 9),
            "row 0 of public schema `t 1.0`, column `v`: expected text, found an integer",
        ),
        (
            returns(1, "\\91\\95\\00\\00\\00\\92\\01\\c0\\c0", 9),
            "row 0 of public schema `t 1.0`, column `v`: NULL in a column that is not nullable",
        ),
        (
            returns(1, "\\91\\95\\00\\00\\01\\92\\01\\a0\\c0", 9),
            "row 0 of public schema `t 1.0`, column `id`: it comes from change 1 of a batch that has 1",
        ),
    ];
    for (text, expected) in cases {
        let expected = format!("transform `orders` returned a wrong result: {expected} [hold what the transform emits");
        assert!(text.starts_with(&expected), "{expected}: {text}");
    }
}

#[test]
fn a_rejection_of_what_was_not_handed_over_is_no_rejection() {
    let text = fails(process("(call $rejected (i32.const 1) (i32.const 1))"));
    assert!(text.contains("it rejects change 1 of a batch that has 1"), "{text}");
}

#[test]
fn lists_that_point_at_the_same_megabytes_do_not_fill_the_host() {
    // 100,000 rejections of a megabyte each, all at one address.
    let body = "(local.set $start (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 2000000)))
        (drop (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1000000)))
        (loop $fill
          (local.set $at (i32.add (local.get $start) (i32.mul (local.get $i) (i32.const 20))))
          (i32.store offset=4 (local.get $at) (i32.const 0))
          (i32.store offset=8 (local.get $at) (i32.const 1000000))
          (i32.store offset=12 (local.get $at) (i32.const 0))
          (i32.store offset=16 (local.get $at) (i32.const 1000000))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $fill (i32.lt_u (local.get $i) (i32.const 100000))))
        (drop (call $output (i32.const 0) (i32.const 512) (i32.const 0)))
        (i32.store (i32.const 32) (local.get $start))
        (i32.store (i32.const 36) (i32.const 100000))
        (i32.const 16)";
    let text = fails(process(body));
    assert!(text.contains("transform `orders` crashed on a batch of 1 change"), "{text}");
}

#[test]
fn init_may_refuse_and_may_fail() {
    let start = |init| {
        let component = load(Guest { init, data: "no currency", ..Guest::default() });
        let result = block_on(Transform::start(&component, options()));
        result.err().expect("init fails").to_string()
    };
    assert_eq!(start("(return (call $fatal (i32.const 11)))"), "transform `orders` can't go on: no currency");
    assert!(start("unreachable").starts_with("transform `orders` crashed in `init`: it panicked"));
    assert!(start("(loop $forever (br $forever))").contains(" ms in `init`; limit 200 ms"));
}

/// Logs the 32 bytes of its data at a level, 0 to 4, and traps.
fn says_and_traps(level: &str) -> String {
    let log = "(call $log (i32.const LEVEL) (i32.const 512) (i32.const 32) (i32.const 0) (i32.const 0)) unreachable";
    fails(Guest {
        imports: r#"(import "pelton:transform/host@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#,
        process: log.replace("LEVEL", level).leak(),
        data: r"oh no at=src/lib.rs:7:5\n  by f()",
        ..Guest::default()
    })
}

#[test]
fn what_a_guest_said_before_it_crashed_is_told_with_the_crash() {
    // Nobody listens to the log here: it is told all the same.
    let text = says_and_traps("4");
    let expected = "transform `orders` crashed on a batch of 1 change: it panicked or aborted (`unreachable` was executed); \
                    it said: oh no at=src/lib.rs:7:5\n      by f()\n    at ";
    assert!(text.starts_with(expected), "{text}");
    let text = says_and_traps("3");
    assert!(!text.contains("oh no"), "a warning is not what it crashed with: {text}");
}

#[test]
fn a_flood_of_log_lines_is_bounded_and_cheap() {
    let guest = Guest {
        imports: r#"(import "pelton:transform/host@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#,
        process: "(local.set $i (i32.const 20000))
            (loop $more
              (call $log (i32.const 4) (i32.const 512) (i32.const 4) (i32.const 0) (i32.const 0))
              (local.set $i (i32.sub (local.get $i) (i32.const 1)))
              (br_if $more (local.get $i)))
            (call $echo (local.get $count) (local.get $payload) (local.get $length))",
        data: "spam",
        ..Guest::default()
    };
    let lines = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    struct Count(Arc<std::sync::atomic::AtomicUsize>);
    impl tracing::Subscriber for Count {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target() == "pelton::guest"
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
    // Global: the guest runs on a thread of its own. Each test is a process of its own under nextest.
    let _ = tracing::subscriber::set_global_default(Count(lines.clone()));
    assert_eq!(run(guest, inserts(1, 1)).unwrap().rows.len(), 1);
    let lines = lines.load(std::sync::atomic::Ordering::Relaxed);
    assert!((1..=201).contains(&lines), "{lines} lines");
}
