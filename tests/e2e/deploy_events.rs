//! Another component takes over where the destination is an event store.

use crate::deploy::{deploy, deploys, writes};
use crate::events_line::Store;
use crate::guest::{Guest, INT64, TEXT};
use crate::support::Pelton;

const TABLE: &str = "CREATE TABLE t (id bigint PRIMARY KEY, v text NOT NULL)";
const SHAPES: &str = "SELECT count(*) FROM rejot_events.shape";

/// `t` through a component into the event store, and from there into the warehouse; `more` of its config, and of the public
/// schema.
fn manifest(store: &Store, more: &str) -> String {
    let manifest = store.manifest(&["t"], &[("there", "t", "t", "")]);
    manifest.replace(
        "{ publicSchemaType: table, table: public.t }",
        &format!("{{ publicSchemaType: wasm, component: t.wasm }}{more}"),
    )
}

async fn running(store: &Store, manifest: &str) -> Pelton {
    let mut sync = store.sync(manifest).file("t.wasm", writes('a').component());
    sync.start();
    insert(store, 1).await;
    sync
}

async fn insert(store: &Store, id: u32) {
    store.source.execute(&format!("INSERT INTO t VALUES ({id}, 'a')")).await;
    store.destination.wait_until("to_regclass('public.t') IS NOT NULL").await;
    store.destination.wait_until(&format!("EXISTS (SELECT FROM t WHERE id = {id})")).await;
}

#[tokio::test]
async fn what_publishes_into_an_event_store_is_replaced_and_its_shape_with_it() {
    let store = Store::new(TABLE).await;
    let manifest = manifest(&store, "");
    let mut sync = running(&store, &manifest).await;
    assert_eq!(store.events.value(SHAPES).await, "1");
    deploys(&manifest, &writes('b')).await;
    insert(&store, 2).await;
    let (code, stdout, stderr) = deploy(&manifest, &[], &["t", "--rollback"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    insert(&store, 3).await;
    let seen = store.destination.value("SELECT string_agg(v, '' ORDER BY id) FROM t").await;
    assert_eq!(seen, "aba");
    // Each event names what it was made by.
    let digests = "SELECT string_agg(left(component_digest, 4), ' ' ORDER BY id) FROM rejot_events.shape";
    let short =
        |letter| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(writes(letter).component()))[..4].to_owned();
    assert_eq!(store.events.value(digests).await, [short('a'), short('b'), short('a')].join(" "));
    let of_events = "SELECT string_agg(s.number::text, '' ORDER BY e.commit_lsn, e.ordinal) FROM rejot_events.event AS e \
                     JOIN rejot_events.shape AS s ON s.id = e.shape_id";
    assert_eq!(store.events.value(of_events).await, "123");
    sync.kill().await;
}

#[tokio::test]
async fn what_an_event_store_refuses_is_refused_before_anything_ends_and_leaves_no_shape() {
    const WIDER: &[(&str, u8, bool, bool)] =
        &[("id", INT64, false, true), ("v", TEXT, false, false), ("w", TEXT, true, false)];
    let store = Store::new(&TABLE.replace("v text NOT NULL", "v text NOT NULL, w text")).await;
    let strict = "
    strict: true
    outputSchema: { type: object, properties: { id: { type: integer }, v: { type: string } }, additionalProperties: false }";
    let manifest = manifest(&store, strict);
    let mut sync = store.sync(&manifest).file("t.wasm", Guest { subscribed: &["id", "v"], ..writes('a') }.component());
    sync.start();
    insert(&store, 1).await;
    let wider = Guest { subscribed: &["id", "v", "w"], columns: WIDER, version: (1, 1), ..writes('b') };
    let (code, stdout, stderr) = deploy(&manifest, &[("x.wasm", wider.component())], &["t", "x.wasm"]).await;
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(stdout.contains("the outputSchema of public schema `t@1` holds for no row"), "{stdout}{stderr}");
    assert_eq!(store.events.value(SHAPES).await, "1");
    assert_eq!(sync.stderr().matches("streaming").count(), 1, "nothing began anew: {}", sync.stderr());
    // The stream was never read by what was there before: it breaks what the store remembers.
    store.events.execute("UPDATE rejot_events.shape SET columns = jsonb_set(columns, '{1,name}', '\"former\"')").await;
    let (code, stdout, stderr) = deploy(
        &manifest,
        &[("b.wasm", Guest { subscribed: &["id", "v"], ..writes('b') }.component())],
        &["t", "b.wasm"],
    )
    .await;
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(
        stdout.contains("cannot publish into event store") && stdout.contains("would break those who read 1.0"),
        "{stdout}{stderr}"
    );
    assert_eq!(sync.stderr().matches("streaming").count(), 1, "nothing began anew: {}", sync.stderr());
    insert(&store, 2).await;
    assert_eq!(store.destination.value("SELECT string_agg(v, '' ORDER BY id) FROM t").await, "aa");
    sync.kill().await;
}
