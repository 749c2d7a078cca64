//! The transform, run natively.

use pelton_sdk::prelude::*;
use pelton_sdk::testing::Harness;

use crate::totals::CustomerTotal;
use crate::{Order, Orders, PublicOrder, masked};

fn order(id: i64, customer_id: i64, amount: &'static str) -> Order<'static> {
    Order {
        id,
        customer_id,
        customer_name: "Ann",
        email: "ann@example.com",
        amount: Decimal::new(amount),
        currency: "EUR",
        note: Toasted::Value(None),
        is_test: false,
        placed_at: Timestamptz::new("2024-07-01 12:00:00+00"),
    }
}

fn test_order(id: i64, customer_id: i64, amount: &'static str) -> Order<'static> {
    Order { is_test: true, ..order(id, customer_id, amount) }
}

fn totals(host: &Harness<Orders>) -> Vec<String> {
    host.table::<CustomerTotal>()
}

#[test]
fn an_order_is_renamed_joined_and_masked() {
    let mut host = Harness::<Orders>::new();
    host.insert(&Order { note: Toasted::Value(Some("leave at the door")), ..order(17, 3, "12.50") });
    let output = host.run().unwrap().to_string();
    assert_eq!(
        output,
        "insert customer_totals customer_id=3 orders=1 spent=\"12.50\"\n\
         insert orders id=17 customer_id=3 contact=\"a***@example.com\" price=\"12.50 EUR\" note=\"leave at the door\" \
         ordered_at=\"2024-07-01 12:00:00+00\" label=\"Ann #17\"\n"
    );
    for (email, expected) in [("ann@example.com", "a***@example.com"), ("a@b@c", "a***@c"), ("@x", "***"), ("", "***")]
    {
        assert_eq!(masked(email), expected);
    }
}

#[test]
fn test_orders_are_nobodys_business() {
    let mut host = Harness::<Orders>::new();
    host.insert(&test_order(1, 3, "5.00")).insert(&order(2, 3, "7.00"));
    // One becomes a test, the other stops being one.
    host.update(&order(2, 3, "7.00"), &test_order(2, 3, "7.00"));
    host.update(&test_order(1, 3, "5.00"), &order(1, 3, "5.00"));
    host.run().unwrap();
    assert_eq!(host.table::<PublicOrder>().len(), 1);
    assert_eq!(totals(&host), ["customer_id=3 orders=1 spent=\"5.00\""]);
}

#[test]
fn an_unchanged_note_stays() {
    let mut host = Harness::<Orders>::new();
    let first = Order { note: Toasted::Value(Some("a long note")), ..order(1, 3, "5.00") };
    host.insert(&first).update(&first, &Order { note: Toasted::Unchanged, ..order(1, 3, "6.00") });
    host.run().unwrap();
    assert!(host.table::<PublicOrder>()[0].contains("price=\"6.00 EUR\" note=\"a long note\""));
}

#[test]
fn totals_are_right_under_updates_key_changes_deletes_and_truncates() {
    for identity in [pelton_sdk::Identity::Default, pelton_sdk::Identity::Full] {
        let mut host = Harness::<Orders>::new().identity::<Order>(identity);
        host.insert(&order(1, 3, "5.00")).insert(&order(2, 3, "0.01")).insert(&order(3, 4, "1.10")).commit();
        host.run().unwrap();
        assert_eq!(totals(&host), ["customer_id=3 orders=2 spent=\"5.01\"", "customer_id=4 orders=1 spent=\"1.10\""]);

        // Another amount, another customer, another key; and a new instance in between.
        host.update(&order(1, 3, "5.00"), &order(1, 3, "4.00")).restart();
        host.run().unwrap();
        host.update(&order(2, 3, "0.01"), &order(2, 4, "0.01")).update(&order(3, 4, "1.10"), &order(9, 4, "1.10"));
        host.run().unwrap();
        assert_eq!(totals(&host), ["customer_id=3 orders=1 spent=\"4.00\"", "customer_id=4 orders=2 spent=\"1.11\""]);

        host.delete(&order(9, 4, "1.10")).delete(&order(1, 3, "4.00"));
        host.run().unwrap();
        assert_eq!(totals(&host), ["customer_id=4 orders=1 spent=\"0.01\""]);

        host.truncate::<Order>().insert(&order(1, 3, "2.00"));
        host.run().unwrap();
        assert_eq!(totals(&host), ["customer_id=3 orders=1 spent=\"2.00\""]);
        assert_eq!(host.table::<PublicOrder>().len(), 1);
        assert_eq!(host.state_len(), 2, "one share, one total");
    }
}

#[test]
fn a_row_that_comes_again_is_counted_once() {
    let mut host = Harness::<Orders>::new();
    host.insert(&order(1, 3, "5.00")).insert(&order(1, 3, "6.00"));
    host.run().unwrap();
    assert_eq!(totals(&host), ["customer_id=3 orders=1 spent=\"6.00\""]);
}

#[test]
fn an_amount_that_is_no_number_is_rejected_alone() {
    let mut host = Harness::<Orders>::new();
    host.insert(&order(1, 3, "NaN")).insert(&order(2, 3, "5.00"));
    let output = host.run().unwrap();
    assert_eq!((output.rejected[0].index, output.rejected[0].code.as_str()), (0, "not-finite"));
    assert_eq!(totals(&host), ["customer_id=3 orders=1 spent=\"5.00\""]);
}

#[test]
fn the_state_of_a_batch_is_read_at_once() {
    let mut host = Harness::<Orders>::new();
    for id in 0..100 {
        host.insert(&order(id, id % 7, "1.00"));
    }
    assert_eq!(host.run().unwrap().state_reads, 1);
    host.restart().update(&order(8, 1, "1.00"), &order(800, 2, "1.00")).delete(&order(9, 2, "1.00"));
    // And once more for the customer who lost an order: only the order's share tells who that is.
    assert_eq!(host.run().unwrap().state_reads, 2);
}
