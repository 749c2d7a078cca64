//! Reading ahead: the state that a whole batch will need, with one call to the host.
//!
//! A transform that reads one key a change asks its host once a change, and the host may have to ask a database. When
//! it can tell from a change which keys it will read, a method beside the table's function says so, and the runner
//! calls it for every change of the batch before the first is transformed:
//!
//! ```
//! # use pelton_sdk::prelude::*;
//! # #[derive(Source)] #[source(table = "public.orders")] struct Order { #[key] id: i64 }
//! # #[derive(Public)] #[public(name = "counts", version = "1.0")] struct Count { #[key] id: i64, n: i64 }
//! const COUNTS: Map<i64, i64> = Map::new("counts");
//!
//! # #[derive(Default)]
//! struct Shop;
//!
//! #[transform(publishes(Count), stateful)]
//! impl Shop {
//!     fn orders_ahead(&self, change: &Change<Order>, ahead: &mut Ahead) {
//!         if let Some(order) = change.new_row() {
//!             ahead.read(&COUNTS, &order.id);
//!         }
//!     }
//!
//!     fn orders(&self, change: Change<Order>, out: &mut Out) -> Result<()> {
//!         let Some(order) = change.new_row() else { return Ok(()) };
//!         let n = COUNTS.get(&order.id)?.unwrap_or(0) + 1;
//!         COUNTS.put(&order.id, &n)?;
//!         out.update(&Count { id: order.id, n });
//!         Ok(())
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! It is a hint and no more: what it does not name is read when it is needed, and what it names in vain does no harm.

use super::table::Table;
use super::{Map, StateKey, StateValue, is_kept, keep};
use crate::error::{Error, Result};
use crate::host;

/// How many bytes of keys are asked for at once.
const KEY_BYTES_MAX: usize = 1 << 20;

/// Takes the keys that a batch will read.
#[derive(Default)]
pub struct Ahead {
    /// Each once.
    keys: Table<()>,
    bytes: usize,
}

impl Ahead {
    /// Names a key that will be read.
    pub fn read<K: StateKey, V: StateValue>(&mut self, map: &Map<K, V>, key: &K) {
        let key = map.key(key);
        if self.bytes < KEY_BYTES_MAX {
            self.bytes += key.len();
            self.keys.insert(key, ());
        }
    }

    /// Reads them all.
    pub(crate) fn fetch(self) -> Result<()> {
        let keys: Vec<Vec<u8>> = self.keys.into_keys().filter(|key| !is_kept(key)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let values = host::get(&keys)?;
        if values.len() != keys.len() {
            return Err(Error::fatal("the host returned another number of state values than was asked for"));
        }
        keys.into_iter().zip(values).try_for_each(|(key, value)| keep(key, value, false))
    }
}
