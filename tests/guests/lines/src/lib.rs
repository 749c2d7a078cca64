//! Takes transactions whole: an order is published once its lines add up to its total.
//! `tests/conformance/README.md` says what it does; the other languages' do the same.

use pelton_sdk::prelude::*;

/// `CREATE TABLE public.orders (id bigint PRIMARY KEY, total numeric NOT NULL)`
#[derive(Source)]
#[source(table = "public.orders")]
struct Order<'a> {
    #[key]
    id: i64,
    total: Decimal<&'a str>,
}

/// `CREATE TABLE public.order_lines (order_id bigint, line int, amount numeric NOT NULL, PRIMARY KEY (order_id, line))`
#[derive(Source)]
#[source(table = "public.order_lines")]
struct Line<'a> {
    #[key]
    order_id: i64,
    #[key]
    line: i32,
    amount: Decimal<&'a str>,
}

#[derive(Public)]
#[public(name = "checked_orders", version = "1.0")]
struct CheckedOrder {
    #[key]
    id: i64,
    total: Decimal,
    lines: i32,
}

/// The digits behind the point that are counted.
const SCALE: u32 = 6;

/// Each order's total.
const TOTALS: Map<i64, Decimal> = Map::new("totals");
/// Each line's amount, in units of its last digit.
const LINES: Map<(i64, i32), i128> = Map::new("lines");
/// The orders that this transaction has touched.
const TOUCHED: Map<i64, ()> = Map::new("touched");
/// The orders that are published.
const PUBLISHED: Map<i64, ()> = Map::new("published");

#[derive(Default)]
struct Lines;

#[transform(name = "lines", publishes(CheckedOrder), whole_transactions, state_version = 1)]
impl Lines {
    fn orders(&self, change: Change<Order<'_>>, out: &mut Out) -> Result<()> {
        let Change::Truncate = change else {
            if let Some(id) = change.old_key() {
                TOTALS.remove(&id)?;
                TOUCHED.put(&id, &())?;
            }
            if let Some(order) = change.new_row() {
                order.total.scaled(SCALE)?;
                TOTALS.put(&order.id, &order.total.to_owned())?;
                TOUCHED.put(&order.id, &())?;
            }
            return Ok(());
        };
        TOTALS.clear()?;
        PUBLISHED.clear()?;
        out.truncate::<CheckedOrder>();
        Ok(())
    }

    fn lines(&self, change: Change<Line<'_>>, _: &mut Out) -> Result<()> {
        if let Change::Truncate = change {
            LINES.clear()?;
            return TOTALS.for_each(|id, _| TOUCHED.put(id, &()));
        }
        if let Some(key) = change.old_key() {
            LINES.remove(&key)?;
            TOUCHED.put(&key.0, &())?;
        }
        if let Some(line) = change.new_row() {
            LINES.put(&(line.order_id, line.line), &line.amount.scaled(SCALE)?)?;
            TOUCHED.put(&line.order_id, &())?;
        }
        Ok(())
    }

    fn end_of_transaction(&self, out: &mut Out) -> Result<()> {
        let mut touched = Vec::new();
        TOUCHED.for_each(|id, ()| {
            touched.push(*id);
            Ok(())
        })?;
        TOUCHED.clear()?;
        touched.into_iter().try_for_each(|id| check(id, out))
    }
}

/// Publishes an order, or takes it back.
fn check(id: i64, out: &mut Out) -> Result<()> {
    let total = TOTALS.get(&id)?;
    let published = PUBLISHED.get(&id)?.is_some();
    match total {
        Some(total) => {
            let (lines, sum) = added_up(id)?;
            if sum == Some(total.scaled(SCALE)?) {
                let row = CheckedOrder { id, total, lines };
                PUBLISHED.put(&id, &())?;
                if published {
                    out.update(&row)
                } else {
                    out.insert(&row)
                }
                return Ok(());
            }
            warn!("an order is left out: its lines do not add up to its total");
        }
        None if !published => return Ok(()),
        None => {}
    }
    if published {
        PUBLISHED.remove(&id)?;
        out.delete::<CheckedOrder>(&id);
    }
    Ok(())
}

/// Returns how many lines an order has, and their sum, if it is not too large for one.
fn added_up(id: i64) -> Result<(i32, Option<i128>)> {
    let (mut count, mut sum) = (0, Some(0i128));
    LINES.for_each(|(order, _), amount| {
        if *order == id {
            count += 1;
            sum = sum.and_then(|sum| sum.checked_add(amount));
        }
        Ok(())
    })?;
    Ok((count, sum))
}
