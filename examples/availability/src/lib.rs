//! One table into several public schemas, and several tables into one.
//!
//! `products` becomes `products` for everybody and `prices` for those who sell. `products` and `stock` together become
//! `availability`, one row a product with what all warehouses have of it. A change brings one row of one table, so what
//! the other rows said is kept in state.

use pelton_sdk::prelude::*;

#[cfg(test)]
mod tests;

#[derive(Clone, Source)]
#[source(table = "public.products")]
struct Product<'a> {
    #[key]
    id: i64,
    name: &'a str,
    price: Decimal<&'a str>,
    currency: &'a str,
}

#[derive(Source)]
#[source(table = "public.stock")]
struct Stock<'a> {
    #[key]
    product_id: i64,
    #[key]
    warehouse: &'a str,
    pieces: i32,
}

#[derive(Public)]
#[public(name = "products", version = "1.0")]
struct PublicProduct<'a> {
    #[key]
    id: i64,
    name: &'a str,
}

#[derive(Public)]
#[public(name = "prices", version = "1.0")]
struct Price<'a> {
    #[key]
    id: i64,
    price: Decimal<&'a str>,
    currency: &'a str,
}

#[derive(Public)]
#[public(name = "availability", version = "1.0")]
struct Availability {
    #[key]
    product_id: i64,
    name: String,
    pieces: i64,
}

const NAMES: Map<i64, String> = Map::new("names");
const PIECES: Map<(i64, String), i32> = Map::new("pieces");
const TOTALS: Map<i64, i64> = Map::new("totals");

#[derive(Default)]
pub struct Shop;

#[transform(name = "availability", publishes(PublicProduct, Price, Availability), state_version = 1)]
impl Shop {
    fn products(&self, change: Change<Product<'_>>, out: &mut Out) -> Result<()> {
        match (change.old_key(), change.new_row()) {
            // Nothing is known of either: the table was emptied.
            (None, None) => {
                NAMES.clear()?;
                out.truncate::<Availability>();
            }
            (old, new) => {
                if let Some(old) = old.filter(|old| new.is_none_or(|new| new.id != *old)) {
                    NAMES.remove(&old)?;
                    out.delete::<Availability>(&old);
                }
                if let Some(new) = new {
                    let known = NAMES.get(&new.id)?.is_some();
                    NAMES.put(&new.id, &new.name.to_owned())?;
                    show(new.id, known, out)?;
                }
            }
        }
        out.map(change.clone(), |product| Some(PublicProduct { id: product.id, name: product.name }))?;
        out.map(change, |product| Some(Price { id: product.id, price: product.price, currency: product.currency }))
    }

    fn stock(&self, change: Change<Stock<'_>>, out: &mut Out) -> Result<()> {
        let (old, new) = (change.old_key(), change.new_row());
        if old.is_none() && new.is_none() {
            PIECES.clear()?;
            TOTALS.clear()?;
            return NAMES.for_each(|product, _| show(*product, true, out));
        }
        let new_key = new.map(|new| (new.product_id, new.warehouse.to_owned()));
        if let Some((product, warehouse)) = old {
            let old = (product, warehouse.to_owned());
            if new_key.as_ref() != Some(&old) {
                count(&old, 0)?;
                PIECES.remove(&old)?;
                if new_key.as_ref().is_none_or(|new| new.0 != product) {
                    show_known(product, out)?;
                }
            }
        }
        if let (Some(key), Some(new)) = (new_key, new) {
            count(&key, new.pieces)?;
            show_known(key.0, out)?;
        }
        Ok(())
    }
}

/// Counts what a warehouse has now in place of what it had.
fn count(key: &(i64, String), pieces: i32) -> Result<()> {
    let had = PIECES.get(key)?.unwrap_or(0);
    PIECES.put(key, &pieces)?;
    let total = TOTALS.get(&key.0)?.unwrap_or(0) + i64::from(pieces) - i64::from(had);
    if total == 0 { TOTALS.remove(&key.0) } else { TOTALS.put(&key.0, &total) }
}

/// Stock of a product that is not there (yet) is counted, and shown once it is.
fn show_known(product: i64, out: &mut Out) -> Result<()> {
    if NAMES.get(&product)?.is_some() { show(product, true, out) } else { Ok(()) }
}

fn show(product_id: i64, known: bool, out: &mut Out) -> Result<()> {
    let Some(name) = NAMES.get(&product_id)? else { return Ok(()) };
    let row = Availability { product_id, name, pieces: TOTALS.get(&product_id)?.unwrap_or(0) };
    if known { out.update(&row) } else { out.insert(&row) }
    Ok(())
}
