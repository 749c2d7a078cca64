//! The transform that the repository's README shows: that it compiles, and that it does what is said there.

// README: begin
use pelton_sdk::prelude::*;

#[derive(Source)]
#[source(table = "public.orders")]
struct Order {
    #[key]
    id: i64,
    customer: String,
    amount: Decimal,
    is_test: bool,
}

#[derive(Public)]
#[public(name = "orders", version = "1.0")]
struct PublicOrder {
    #[key]
    id: i64,
    label: String,
    amount: Decimal,
}

#[transform(name = "orders", publishes(PublicOrder))]
fn orders(change: Change<Order>, out: &mut Out) -> Result<()> {
    out.map(change, |order| {
        (!order.is_test).then(|| PublicOrder {
            id: order.id,
            label: format!("{} #{}", order.customer, order.id),
            amount: order.amount,
        })
    })
}
// README: end

use pelton_sdk::testing::Harness;

#[test]
fn the_transform_of_the_readme_labels_orders_and_hides_tests() {
    let order = |id, is_test| Order { id, customer: "Ann".to_owned(), amount: Decimal::from("12.50"), is_test };
    let mut host = Harness::<orders>::new();
    host.insert(&order(17, false)).insert(&order(18, true)).update(&order(17, false), &order(19, false));
    assert_eq!(
        host.run().unwrap().to_string(),
        "insert orders id=17 label=\"Ann #17\" amount=\"12.50\"\n\
         update orders from (17) id=19 label=\"Ann #19\" amount=\"12.50\"\n"
    );
    assert_eq!(host.table::<PublicOrder>(), ["id=19 label=\"Ann #19\" amount=\"12.50\""]);
}

#[test]
fn the_readme_and_the_page_show_this_transform() {
    let here = include_str!("readme.rs");
    let (_, rest) = here.split_once("// README: begin\n").unwrap();
    let (shown, _) = rest.split_once("// README: end").unwrap();
    for (name, page) in [
        ("README.md", include_str!("../../../README.md")),
        ("docs/transforms.md", include_str!("../../../docs/transforms.md")),
    ] {
        assert!(page.contains(&format!("```rust\n{shown}```")), "{name} shows another transform than this file has");
    }
}
