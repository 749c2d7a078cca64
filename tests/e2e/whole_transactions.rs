//! Transforms that take transactions whole, however the host cuts the stream.

use crate::flows_setup::{Flow, Line};
use crate::guest::Guest;
use crate::support::{Database, Pelton, database};

/// Publishes a row for each span that it is given: the number of its changes, and `w` if the transaction ends with it,
/// else `p`.
const SPANS: &str = "
    (local.set $start
      (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.add (i32.const 5) (i32.mul (local.get $spans-count) (i32.const 17)))))
    ;; array 32
    (i32.store8 (local.get $start) (i32.const 0xdd))
    (call $big-endian (i32.add (local.get $start) (i32.const 1)) (local.get $spans-count))
    (local.set $out (i32.add (local.get $start) (i32.const 5)))
    (local.set $at (local.get $spans))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $spans-count)))
        ;; [0, 0, first, [count, text], nil]
        (i32.store (local.get $out) (i32.const 0xce000095))
        (call $big-endian (i32.add (local.get $out) (i32.const 4)) (i32.load offset=28 (local.get $at)))
        (i32.store16 offset=8 (local.get $out) (i32.const 0xce92))
        (call $big-endian (i32.add (local.get $out) (i32.const 10)) (i32.load offset=32 (local.get $at)))
        (i32.store8 offset=14 (local.get $out) (i32.const 0xa1))
        (i32.store8 offset=15 (local.get $out)
          (select (i32.const 119) (i32.const 112) (i32.load8_u offset=36 (local.get $at))))
        (i32.store8 offset=16 (local.get $out) (i32.const 0xc0))
        (local.set $out (i32.add (local.get $out) (i32.const 17)))
        (local.set $at (i32.add (local.get $at) (i32.const 48)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (call $output (local.get $spans-count) (local.get $start) (i32.sub (local.get $out) (local.get $start)))";

const FUNCTIONS: &str = "
    (func $big-endian (param $at i32) (param $n i32)
      (i32.store8 (local.get $at) (i32.shr_u (local.get $n) (i32.const 24)))
      (i32.store8 offset=1 (local.get $at) (i32.shr_u (local.get $n) (i32.const 16)))
      (i32.store8 offset=2 (local.get $at) (i32.shr_u (local.get $n) (i32.const 8)))
      (i32.store8 offset=3 (local.get $at) (local.get $n)))";

/// Passes changes on, and says so when it is told that a transaction has ended of which it got all changes before.
const PASSES_ON_AND_SAYS: &str = "
    ;; The first span of the batch has no changes, and is complete.
    (if (i32.and (i32.eqz (i32.load offset=32 (local.get $spans))) (i32.load8_u offset=36 (local.get $spans)))
      (then (call $log (i32.const 2) (i32.const 512) (i32.const 16) (i32.const 0) (i32.const 0))))
    (call $echo (local.get $count) (local.get $payload) (local.get $length))";

fn pelton(source: &Database, sink: &Database, memory_mib: u32) -> Pelton {
    let (slug, source, sink) = (source.name().replace('_', "-"), source.url(), sink.url());
    let slot = slug.replace('-', "_");
    let manifest = format!(
        "slug: {slug}
manifestVersion: 0
connections:
  - {{ slug: source, config: {{ connectionType: postgres, url: \"{source}\" }} }}
  - {{ slug: sink, config: {{ connectionType: postgres, url: \"{sink}\" }} }}
dataStores:
  - connectionSlug: source
    config: {{ connectionType: postgres, slotName: {slot}, publicationName: {slot} }}
  - connectionSlug: sink
publicSchemas:
  - name: t
    version: {{ major: 1, minor: 0 }}
    source: {{ dataStoreSlug: source }}
    config: {{ publicSchemaType: wasm, component: spans.wasm, limits: {{ memoryMib: {memory_mib} }} }}
  - name: u
    version: {{ major: 1, minor: 0 }}
    source: {{ dataStoreSlug: source }}
    config: {{ publicSchemaType: table, table: public.u }}
consumerSchemas:
  - name: t
    sourceManifestSlug: {slug}
    publicSchema: {{ name: t, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: sink, table: public.spans, createTable: true }}
  - name: u
    sourceManifestSlug: {slug}
    publicSchema: {{ name: u, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: sink, table: public.u, createTable: true }}
"
    );
    let guest = Guest { process: SPANS, functions: FUNCTIONS, whole_transactions: true, ..Guest::default() };
    Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest).file("spans.wasm", guest.component())
}

const TABLES: &str = "CREATE TABLE public.t (id bigint PRIMARY KEY, v text NOT NULL);
    CREATE TABLE public.u (id bigint PRIMARY KEY)";

fn insert(first: u32, count: u32) -> String {
    let last = first + count - 1;
    format!("INSERT INTO t SELECT i, repeat('v', 100) FROM generate_series({first}, {last}) AS i")
}

#[tokio::test]
async fn a_transaction_of_any_size_comes_in_one_call() {
    let (source, sink) = (database().await, database().await);
    source.execute(TABLES).await;
    let mut first = pelton(&source, &sink, 64);
    assert!(first.run().await.success());

    // Larger than a batch; as large as two of them; with its last batches full of what others take; and small ones.
    source.execute(&insert(1, 20_000)).await;
    source.execute(&insert(20_001, 2 * 16_384)).await;
    let others = "INSERT INTO u SELECT generate_series(1, 20000)";
    source.execute(&format!("BEGIN; {}; {others}; COMMIT", insert(100_001, 9_000))).await;
    source.execute(&insert(200_001, 3)).await;
    source.execute(&insert(300_001, 5)).await;
    let mut second = pelton(&source, &sink, 64);
    assert!(second.run().await.success());
    let spans = sink.value("SELECT string_agg(id || v, ' ' ORDER BY id) FROM spans").await;
    assert_eq!(spans, "3w 5w 9000w 20000w 32768w");
    assert_eq!(sink.value("SELECT count(*) FROM u").await, "20000");
}

#[tokio::test]
async fn who_takes_transactions_in_pieces_is_told_of_an_end_without_changes() {
    let line = Line::new().await;
    line.source(TABLES).await;
    let guest = Guest {
        imports: r#"(import "pelton:transform/host@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#,
        process: PASSES_ON_AND_SAYS,
        data: "the end has come",
        ..Guest::default()
    };
    let flow = Flow::new("t", "publicSchemaType: wasm, component: guest.wasm").into("t", "createTable: true");
    let sync = async || {
        let manifest = line.manifest_of(", tables: [public.t, public.u]", std::slice::from_ref(&flow));
        let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest);
        pelton = pelton.file("guest.wasm", guest.component());
        assert!(pelton.run().await.success(), "{}", pelton.stderr());
        pelton.stderr().matches("the end has come").count()
    };
    assert_eq!(sync().await, 0);
    // A full batch, and then so much that nobody takes that it is handed over before the commit comes: alone, and with
    // others behind.
    let others = "INSERT INTO u SELECT generate_series(1, 100000); DELETE FROM u";
    line.source(&format!("BEGIN; {}; {others}; COMMIT", insert(1, 16_384))).await;
    assert_eq!(sync().await, 1);
    line.source(&format!("BEGIN; {}; {others}; COMMIT", insert(100_001, 16_384))).await;
    line.source(&insert(200_001, 3)).await;
    assert_eq!(sync().await, 1);
    // One that is no more than a batch is told with its changes.
    line.source(&format!("BEGIN; {}; {others}; COMMIT", insert(300_001, 9))).await;
    assert_eq!(sync().await, 0);
    line.assert_equal(&["t"]).await;
}

#[tokio::test]
async fn one_beyond_the_guests_memory_stops_its_transform_alone() {
    let (source, sink) = (database().await, database().await);
    source.execute(TABLES).await;
    let mut first = pelton(&source, &sink, 8);
    assert!(first.run().await.success());

    source.execute(&format!("BEGIN; {}; INSERT INTO u VALUES (1); COMMIT", insert(1, 60_000))).await;
    source.execute(&insert(100_001, 3)).await;
    let mut second = pelton(&source, &sink, 8);
    assert_eq!(second.run().await.code(), Some(1));
    let said = second.stderr();
    let parts = [
        "transform `t@1` takes whole transactions, and its 60,000 changes of the one at ",
        " MiB; its limit is 8 MiB (limits.memoryMib)",
        "Hint: raise limits.memoryMib above ",
    ];
    for part in parts {
        assert!(said.contains(part), "`{part}` was not said\n{said}");
    }
    let here = sink.value("SELECT (SELECT count(*) FROM spans) || ' ' || (SELECT count(*) FROM u)").await;
    assert_eq!(here, "0 1", "the other flow goes on");

    let mut mended = pelton(&source, &sink, 64);
    assert!(mended.run().await.success());
    let spans = sink.value("SELECT string_agg(id || v, ' ' ORDER BY id) FROM spans").await;
    assert_eq!(spans, "3w 60000w");
}
