//! The transform, run natively.

use pelton_sdk::prelude::*;
use pelton_sdk::testing::Harness;

use crate::{Availability, Price, Product, PublicProduct, Shop, Stock};

fn product(id: i64, name: &str) -> Product<'_> {
    Product { id, name, price: Decimal::new("12.50"), currency: "EUR" }
}

fn stock(product_id: i64, warehouse: &str, pieces: i32) -> Stock<'_> {
    Stock { product_id, warehouse, pieces }
}

fn availability(host: &Harness<Shop>) -> Vec<String> {
    host.table::<Availability>()
}

#[test]
fn one_table_feeds_two_public_schemas() {
    let mut host = Harness::<Shop>::new();
    host.insert(&product(1, "bolt")).update(&product(1, "bolt"), &product(2, "bolt"));
    host.run().unwrap();
    assert_eq!(host.table::<PublicProduct>(), ["id=2 name=\"bolt\""]);
    assert_eq!(host.table::<Price>(), ["id=2 price=\"12.50\" currency=\"EUR\""]);
}

#[test]
fn two_tables_feed_one_in_whatever_order_they_come() {
    let mut host = Harness::<Shop>::new();
    host.insert(&stock(1, "north", 3)).insert(&product(1, "bolt")).insert(&stock(1, "south", 4)).insert(&product(2, "nut"));
    host.run().unwrap();
    assert_eq!(availability(&host), ["product_id=1 name=\"bolt\" pieces=7", "product_id=2 name=\"nut\" pieces=0"]);

    host.restart().update(&stock(1, "north", 3), &stock(2, "north", 3)).update(&product(1, "bolt"), &product(1, "screw"));
    host.run().unwrap();
    assert_eq!(availability(&host), ["product_id=1 name=\"screw\" pieces=4", "product_id=2 name=\"nut\" pieces=3"]);

    host.delete(&stock(1, "south", 4)).delete(&product(2, "nut")).update(&stock(2, "north", 3), &stock(2, "north", 5));
    host.run().unwrap();
    assert_eq!(availability(&host), ["product_id=1 name=\"screw\" pieces=0"]);

    host.insert(&product(2, "nut")).truncate::<Product>().insert(&product(2, "nut"));
    host.run().unwrap();
    assert_eq!(availability(&host), ["product_id=2 name=\"nut\" pieces=5"]);

    host.truncate::<Stock>();
    host.run().unwrap();
    assert_eq!(availability(&host), ["product_id=2 name=\"nut\" pieces=0"]);
}
