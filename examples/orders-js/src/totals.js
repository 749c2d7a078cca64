// What every customer has spent, in the transform's state.
//
// A delete brings the order's key alone, and an update does not say what the order was before. So the state keeps what
// each order counts for, and a change takes the old share from one customer and gives the new one to another. A TRUNCATE
// empties both maps.

import { Decimal, StateMap, codec, pg, publicSchema } from "@pelton/sdk";

/** One row a customer. */
export const customerTotals = publicSchema("customer_totals", "1.0", {
  customer_id: pg.bigint.key(),
  orders: pg.bigint,
  spent: pg.numeric, // in the amounts' own currency; the shop has one
});

/** What an order counts for. */
const shares = new StateMap("shares", codec.int64, codec.struct({ customer: codec.int64, cents: codec.int128 }));
const totals = new StateMap("totals", codec.int64, codec.struct({ orders: codec.int64, cents: codec.int128 }));

/** Names the state that counting a change will read: the order's share, and the total of its customer. */
export function readAhead(change, ahead) {
  const id = idOf(change);
  if (id !== undefined) ahead.read(shares, id);
  if (change.newRow) ahead.read(totals, change.newRow.customer_id);
}

/** Returns the order's key before the change. An insert, too, may find its order counted: a repair brings rows again. */
function idOf(change) {
  return change.oldKey?.id ?? change.newRow?.id;
}

/** Counts a change. */
export function count(change, out) {
  const id = idOf(change);
  if (id === undefined) {
    shares.clear();
    totals.clear();
    out.truncate(customerTotals);
    return;
  }
  const before = shares.get(id);
  if (before) shares.remove(id);
  let after;
  if (change.newRow && !change.newRow.is_test) {
    after = { customer: change.newRow.customer_id, cents: change.newRow.amount.scaled(2) };
    shares.put(change.newRow.id, after);
  }
  if (before && after && before.customer === after.customer) {
    add(after.customer, 0n, after.cents - before.cents, out);
  } else {
    if (before) add(before.customer, -1n, -before.cents, out);
    if (after) add(after.customer, 1n, after.cents, out);
  }
}

function add(customer, orders, cents, out) {
  if (orders === 0n && cents === 0n) return;
  const known = totals.get(customer);
  const total = { orders: (known?.orders ?? 0n) + orders, cents: (known?.cents ?? 0n) + cents };
  if (total.orders === 0n) {
    totals.remove(customer);
    out.delete(customerTotals, { customer_id: customer });
    return;
  }
  totals.put(customer, total);
  const row = { customer_id: customer, orders: total.orders, spent: Decimal.fromScaled(total.cents, 2) };
  if (known) out.update(customerTotals, row);
  else out.insert(customerTotals, row);
}
