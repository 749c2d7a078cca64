//! Large values that an update left alone are not sent: what then becomes of a row that the destination does not have.

use crate::flows_setup::{Flow, Line, table};
use crate::support::orders_component;

/// Too large to be stored in its row.
const NOTE: &str = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n)";

#[tokio::test]
async fn a_row_that_begins_to_be_public_without_its_large_values_stops_its_flow_and_is_whole_under_full() {
    let line = Line::new().await;
    line.source(&format!(
        "CREATE TABLE mark (id int PRIMARY KEY);
         CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, customer_name text NOT NULL,
             email text NOT NULL, amount numeric(12, 2) NOT NULL, currency text NOT NULL, note text,
             is_test boolean NOT NULL, placed_at timestamptz NOT NULL DEFAULT now());
         INSERT INTO orders SELECT n, n, 'Ann', 'a@b.c', 1, 'EUR', {NOTE}, n = 2, now() FROM generate_series(1, 2) AS n"
    ))
    .await;
    let component = orders_component().await.display();
    let orders = Flow::new("orders", &format!("publicSchemaType: wasm, component: {component}"))
        .into("orders", "createTable: true");
    let manifest = line.manifest(&[orders, table("mark")]);
    line.catch_up(&manifest).await;

    // One that is there keeps what was left alone; of one that is not, nothing is invented and nothing is dropped.
    line.source("UPDATE orders SET amount = 2 WHERE id = 1").await;
    line.catch_up(&manifest).await;
    line.assert_same("SELECT id, note FROM orders WHERE id = 1", "SELECT id, note FROM orders").await;
    line.source("UPDATE orders SET is_test = false WHERE id = 2; INSERT INTO mark VALUES (1)").await;
    for _ in 0..2 {
        let said = line.stop(&manifest).await;
        for part in ["destination table public.orders lacks 1 of the rows that were changed", "REPLICA IDENTITY FULL"] {
            assert!(said.contains(part), "`{part}` was not said: {said}");
        }
    }
    line.assert_equal(&["mark"]).await;
    assert_eq!(line.destination.value("SELECT count(*) FROM orders").await, "1");

    // As the hint says.
    line.source("ALTER TABLE orders REPLICA IDENTITY FULL").await;
    line.destination
        .execute(
            "DELETE FROM rejot_data_store.flow WHERE flow = 'to-orders'; DELETE FROM rejot_data_store.transform_state;
             DELETE FROM rejot_data_store.backfill WHERE name = 'to-orders'; TRUNCATE orders",
        )
        .await;
    line.catch_up(&manifest).await;
    line.source("UPDATE orders SET is_test = true WHERE id = 1").await;
    line.catch_up(&manifest).await;
    assert_eq!(line.destination.value("SELECT count(*) FROM orders").await, "1");
    line.source("UPDATE orders SET is_test = false WHERE id = 1").await;
    line.catch_up(&manifest).await;
    line.assert_same("SELECT id, note FROM orders", "SELECT id, note FROM orders").await;
}
