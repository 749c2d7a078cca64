//! What every customer has spent, in the transform's state.
//!
//! A delete brings the order's key alone, and an update does not say what the order was before. So the state keeps
//! what each order counts for, and a change takes the old share from one customer and gives the new one to another.
//! A TRUNCATE empties both maps.

use pelton_sdk::prelude::*;

use crate::Order;

/// One row a customer.
#[derive(Public)]
#[public(name = "customer_totals", version = "1.0")]
pub struct CustomerTotal {
    #[key]
    customer_id: i64,
    orders: i64,
    /// In the amounts' own currency; the shop has one.
    spent: Decimal,
}

/// What an order counts for.
#[derive(Clone, StateValue)]
struct Share {
    customer: i64,
    cents: i128,
}

#[derive(Default, StateValue)]
struct Total {
    orders: i64,
    cents: i128,
}

const SHARES: Map<i64, Share> = Map::new("shares");
const TOTALS: Map<i64, Total> = Map::new("totals");

/// Names the state that counting a change will read: the order's share, and the total of its customer.
pub fn ahead(change: &Change<Order<'_>>, ahead: &mut Ahead) {
    if let Some(id) = id(change) {
        ahead.read(&SHARES, &id);
    }
    if let Some(order) = change.new_row() {
        ahead.read(&TOTALS, &order.customer_id);
    }
}

/// Returns the order's key before the change. An insert, too, may find its order counted: a repair brings rows again.
fn id(change: &Change<Order<'_>>) -> Option<i64> {
    change.old_key().or_else(|| change.new_row().map(|order| order.id))
}

/// Counts a change.
pub fn count(change: &Change<Order<'_>>, out: &mut Out) -> Result<()> {
    let Some(id) = id(change) else {
        SHARES.clear()?;
        TOTALS.clear()?;
        out.truncate::<CustomerTotal>();
        return Ok(());
    };
    let old = SHARES.get(&id)?;
    if old.is_some() {
        SHARES.remove(&id)?;
    }
    let new = match change.new_row() {
        Some(order) if !order.is_test => {
            let share = Share { customer: order.customer_id, cents: order.amount.scaled(2)? };
            SHARES.put(&order.id, &share)?;
            Some(share)
        }
        _ => None,
    };
    match (&old, &new) {
        (Some(old), Some(new)) if old.customer == new.customer => add(new.customer, 0, new.cents - old.cents, out),
        _ => {
            if let Some(old) = old {
                add(old.customer, -1, -old.cents, out)?;
            }
            if let Some(new) = new {
                add(new.customer, 1, new.cents, out)?;
            }
            Ok(())
        }
    }
}

fn add(customer: i64, orders: i64, cents: i128, out: &mut Out) -> Result<()> {
    if orders == 0 && cents == 0 {
        return Ok(());
    }
    let total = TOTALS.get(&customer)?;
    let known = total.is_some();
    let mut total = total.unwrap_or_default();
    total.orders += orders;
    total.cents += cents;
    if total.orders == 0 {
        TOTALS.remove(&customer)?;
        out.delete::<CustomerTotal>(&customer);
    } else {
        TOTALS.put(&customer, &total)?;
        let (orders, spent) = (total.orders, Decimal::from_scaled(total.cents, 2));
        let row = CustomerTotal { customer_id: customer, orders, spent };
        if known { out.update(&row) } else { out.insert(&row) }
    }
    Ok(())
}
