//! The shop's orders, as others may see them, and what every customer has spent.
//!
//! `public.orders` becomes two public schemas: `orders`, one row an order, and `customer_totals`, one row a customer,
//! kept up to date in the transform's state.

use pelton_sdk::prelude::*;

#[cfg(test)]
mod tests;
mod totals;

/// A row of `public.orders`.
#[derive(Source)]
#[source(table = "public.orders")]
struct Order<'a> {
    #[key]
    id: i64,
    customer_id: i64,
    customer_name: &'a str,
    email: &'a str,
    amount: Decimal<&'a str>,
    currency: &'a str,
    note: Toasted<Option<&'a str>>,
    is_test: bool,
    placed_at: Timestamptz<&'a str>,
}

/// What others see of an order; test orders they do not see.
#[derive(Public)]
#[public(name = "orders", version = "1.0")]
struct PublicOrder<'a> {
    #[key]
    id: i64,
    customer_id: i64,
    /// The e-mail address, masked: `a***@example.com`.
    contact: String,
    /// Amount and currency in one: `12.50 EUR`.
    price: String,
    note: Toasted<Option<&'a str>>,
    /// `placed_at`, renamed.
    ordered_at: Timestamptz<&'a str>,
    /// The customer's name and the order's number in one: `Ann #17`.
    label: String,
}

/// The shop's transform.
#[derive(Default)]
pub struct Orders;

#[transform(name = "orders", publishes(PublicOrder, totals::CustomerTotal), state_version = 1)]
impl Orders {
    /// The state that a batch needs is read at once.
    fn orders_ahead(&self, change: &Change<Order<'_>>, ahead: &mut Ahead) {
        totals::ahead(change, ahead);
    }

    fn orders(&self, change: Change<Order<'_>>, out: &mut Out) -> Result<()> {
        totals::count(&change, out)?;
        out.map(change, |order| {
            (!order.is_test).then(|| PublicOrder {
                id: order.id,
                customer_id: order.customer_id,
                contact: masked(order.email),
                price: format!("{} {}", order.amount, order.currency),
                note: order.note,
                ordered_at: order.placed_at,
                label: format!("{} #{}", order.customer_name, order.id),
            })
        })
    }
}

/// Hides an address behind its first letter: `ann@example.com` becomes `a***@example.com`.
fn masked(email: &str) -> String {
    match (email.chars().next(), email.rsplit_once('@')) {
        (Some(first), Some((_, domain))) if first != '@' => format!("{first}***@{domain}"),
        _ => "***".to_owned(),
    }
}
