//! Logical messages, by which an application hands something over inside of its own transaction, through a guest.

use crate::flows_setup::{Flow, Line};
use crate::guest::Guest;
use crate::support::Pelton;

/// Of the kinds in `wit/transform.wit`, by index.
const BOOL: u8 = 0;
const BYTEA: u8 = 8;

fn pelton(line: &Line, arguments: &[&str]) -> Pelton {
    let guest = Guest {
        table: ("pg_logical_message", "outbox"),
        columns: &[("transactional", BOOL, false, false), ("content", BYTEA, false, false)],
        ..Guest::default()
    };
    let flow = Flow::new("t", "publicSchemaType: wasm, component: guest.wasm").into("outbox", "createTable: true");
    Pelton::new(arguments).file("pelton.yaml", line.manifest(&[flow])).file("guest.wasm", guest.component())
}

#[tokio::test]
async fn messages_arrive_with_their_transaction_or_on_their_own() {
    let line = Line::new().await;
    // Nobody has subscribed yet: a message is no row that could be copied.
    line.source("SELECT pg_logical_emit_message(true, 'outbox', 'too early')").await;
    let mut first = pelton(&line, &["sync", "--until-caught-up"]);
    assert!(first.run().await.success());
    assert_eq!(line.destination.value("SELECT count(*) FROM outbox").await, "0");

    line.source(
        "BEGIN;
         SELECT pg_logical_emit_message(true, 'outbox', 'one');
         SELECT pg_logical_emit_message(true, 'other', 'of somebody else');
         SELECT pg_logical_emit_message(true, 'outbox', 'two');
         COMMIT;
         BEGIN;
         SELECT pg_logical_emit_message(true, 'outbox', 'never');
         SELECT pg_logical_emit_message(false, 'outbox', 'in spite of a rollback');
         ROLLBACK;
         SELECT pg_logical_emit_message(false, 'outbox', '\\x00ff'::bytea);
         SELECT pg_logical_emit_message(true, 'outbox', '')",
    )
    .await;
    let mut following = pelton(&line, &["sync"]);
    following.start();
    line.destination.wait_until("(SELECT count(*) FROM outbox) = 5").await;
    let sorted =
        "SELECT string_agg(transactional || ' ' || encode(content, 'escape'), ', ' ORDER BY content) FROM outbox";
    assert_eq!(
        line.destination.value(sorted).await,
        "true , false \\000\\377, false in spite of a rollback, true one, true two"
    );
    // A crash neither loses one nor brings one twice.
    following.kill().await;
    line.source("SELECT pg_logical_emit_message(n % 2 = 0, 'outbox', n::text) FROM generate_series(1, 100) AS n").await;
    for point in ["after-copy:1", "after-commit:1"] {
        let mut killed = pelton(&line, &["sync"]).env("PELTON_FAULT", point);
        killed.start();
        assert!(!killed.ended().await.success());
    }
    assert!(pelton(&line, &["sync", "--until-caught-up"]).run().await.success());
    let counts = "SELECT count(*) || ' ' || count(DISTINCT content) FROM outbox";
    assert_eq!(line.destination.value(counts).await, "105 105");
}
