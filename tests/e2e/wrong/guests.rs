//! Guests that misbehave on one row: each stops its own flow alone, with what it did and where; and goes on from there
//! with a component that is mended.

use super::{Flow, TABLE, fails, succeeds};
use crate::guest::{ECHO, Guest};
use crate::support::{Database, Pelton, database};

/// What each guest does on the row that says `boom`, and what is said of it.
const MISDEEDS: [(&str, &str, &[&str]); 7] = [
    ("loops", "(loop $forever (br $forever))", &[" ms on a batch of 1 change; limit 1,000 ms (limits.timeoutMs)"]),
    ("traps", "unreachable", &["crashed on a batch of 1 change", "it panicked or aborted"]),
    ("recurses", "(drop (call $recurse (i32.const 0)))", &["its stack is full: it recurses too deep"]),
    (
        "grows",
        "(loop $grow (drop (memory.grow (i32.const 16))) (br $grow))",
        &["used 9 MiB of memory on a batch of 1 change; its limit is 8 MiB (limits.memoryMib)"],
    ),
    (
        "garbage",
        "(return (call $output (i32.const 1) (i32.const 512) (i32.const 1)))",
        &["returned a wrong result: no array at byte 0 of the payload"],
    ),
    (
        "count",
        "(return (call $output (i32.const 1) (i32.const 513) (i32.const 8)))",
        &["row 0 of public schema `t 1.0`, column `v`: 1 values, and 2 are expected"],
    ),
    (
        "type",
        "(return (call $output (i32.const 1) (i32.const 528) (i32.const 9)))",
        &["row 0 of public schema `t 1.0`, column `v`: expected text, found an integer"],
    ),
];

/// Bytes that are no array; then a row of one column; then, at 528, a row whose text is a number.
const DATA: &str = "\\c1\\91\\95\\00\\00\\00\\91\\01\\c0-------\\91\\95\\00\\00\\00\\92\\01\\07\\c0";

fn component(misdeed: &str) -> Vec<u8> {
    let boom = "(i32.ge_s (call $boom (local.get $count) (local.get $payload)) (i32.const 0))";
    let process = format!("(if {boom} (then {misdeed})) {ECHO}");
    Guest { process: Box::leak(process.into_boxed_str()), data: DATA, ..Guest::default() }.component()
}

/// All guests in one process, a manifest, a slot and a table each.
fn sync(source: &Database, sink: &Database, component_of: impl Fn(&'static str) -> Vec<u8>) -> Pelton {
    let names: Vec<String> = MISDEEDS.iter().map(|(name, ..)| format!("{name}.yaml")).collect();
    let arguments = ["sync", "--until-caught-up"].into_iter().chain(names.iter().map(String::as_str));
    let mut pelton = Pelton::new(arguments);
    for (name, misdeed, _) in MISDEEDS {
        pelton = pelton.file(&format!("{name}.yaml"), flow(source, sink, name).yaml());
        pelton = pelton.file(&format!("{name}.wasm"), component_of(misdeed));
    }
    pelton
}

fn flow(source: &Database, sink: &Database, name: &str) -> Flow {
    let slug = format!("{}-{name}", source.name().replace('_', "-"));
    let public =
        format!("{{ publicSchemaType: wasm, component: {name}.wasm, limits: {{ memoryMib: 8, timeoutMs: 1000 }} }}");
    Flow { slug, public, table: format!("public.{name}"), ..Flow::new(source, sink) }
}

#[tokio::test]
async fn each_misdeed_is_told_with_its_place_and_mended_with_nothing_lost() {
    let (source, sink) = (database().await, database().await);
    source.execute(TABLE).await;
    source.execute("INSERT INTO t VALUES (1, 'before')").await;
    succeeds(&mut sync(&source, &sink, component)).await;

    source.execute("INSERT INTO t VALUES (2, 'well')").await;
    source.execute("INSERT INTO t VALUES (3, 'boom')").await;
    source.execute("INSERT INTO t VALUES (4, 'after')").await;
    let mut failing = sync(&source, &sink, component);
    let place = "at the insert on public.t, change 0 of the transaction at ";
    fails(&mut failing, 1, &["transform `t@1`", place, "(key: id)"]).await;
    let said = failing.stderr();
    // What is printed at the end: a paragraph for each.
    let last = &said[said.find("\nError: ").expect("the problems at the end")..];
    for (name, _, parts) in MISDEEDS {
        let source_of = format!("source `{}-{name}`", source.name().replace('_', "-"));
        let paragraph = last.split("Error: ").find(|text| text.contains(&source_of));
        let paragraph = paragraph.unwrap_or_else(|| panic!("nothing is said of {name}\n{said}"));
        for part in [&["Hint: ", place][..], parts].concat() {
            assert!(paragraph.contains(part), "{name}: `{part}` was not said\n{paragraph}");
        }
        assert!(!paragraph.contains("boom"), "values stay out: {paragraph}");
        let rows = sink.value(&format!("SELECT string_agg(v, ',' ORDER BY id) FROM {name}")).await;
        assert!(["before", "before,well"].contains(&&*rows), "{name}: {rows}");
    }
    flow(&source, &sink, "grows").status_says(&["stopped", "used 9 MiB", "raise limits.memoryMib above 8"]).await;

    succeeds(&mut sync(&source, &sink, |_| Guest::default().component())).await;
    for (name, ..) in MISDEEDS {
        let rows = sink.value(&format!("SELECT string_agg(v, ',' ORDER BY id) FROM {name}")).await;
        assert_eq!(rows, "before,well,boom,after", "{name}");
    }
}
