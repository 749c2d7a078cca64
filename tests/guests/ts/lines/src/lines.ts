// Takes transactions whole: an order is published once its lines add up to its total.
// `tests/conformance/README.md` says what it does; the other languages' do the same.

import { type Change, type Out, StateMap, changes, codec, log, pg, publicSchema, table, transform } from "@pelton/sdk";

export const orders = table("public.orders", { id: pg.bigint.key(), total: pg.numeric });

export const orderLines = table("public.order_lines", {
  order_id: pg.bigint.key(),
  line: pg.integer.key(),
  amount: pg.numeric,
});

const checkedOrders = publicSchema("checked_orders", "1.0", {
  id: pg.bigint.key(),
  total: pg.numeric,
  lines: pg.integer,
});

/** The digits behind the point that are counted. */
const SCALE = 6;
const SUM_MAX = (1n << 127n) - 1n;

/** Each order's total. */
const totals = new StateMap("totals", codec.int64, codec.decimal);
/** Each line's amount, in units of its last digit. */
const lines = new StateMap("lines", codec.tuple(codec.int64, codec.int32), codec.int128);
/** The orders that this transaction has touched. */
const touched = new StateMap("touched", codec.int64, codec.unit);
/** The orders that are published. */
const published = new StateMap("published", codec.int64, codec.unit);

@transform({ name: "lines", publishes: [checkedOrders], wholeTransactions: true, stateVersion: 1 })
export default class Lines {
  @changes(orders)
  orders(change: Change<typeof orders>, out: Out) {
    if (change.op === "truncate") {
      totals.clear();
      published.clear();
      out.truncate(checkedOrders);
      return;
    }
    if (change.oldKey) {
      totals.remove(change.oldKey.id);
      touched.put(change.oldKey.id, true);
    }
    if (change.newRow) {
      const { id, total } = change.newRow;
      total.scaled(SCALE);
      totals.put(id, total);
      touched.put(id, true);
    }
  }

  @changes(orderLines)
  lines(change: Change<typeof orderLines>) {
    if (change.op === "truncate") {
      lines.clear();
      for (const [id] of totals.entries()) touched.put(id, true);
      return;
    }
    if (change.oldKey) {
      const { order_id, line } = change.oldKey;
      lines.remove([order_id, line]);
      touched.put(order_id, true);
    }
    if (change.newRow) {
      const { order_id, line, amount } = change.newRow;
      lines.put([order_id, line], amount.scaled(SCALE));
      touched.put(order_id, true);
    }
  }

  endOfTransaction(out: Out) {
    const ids = [...touched.entries()].map(([id]) => id);
    touched.clear();
    for (const id of ids) check(id, out);
  }
}

/** Publishes an order, or takes it back. */
function check(id: bigint, out: Out) {
  const total = totals.get(id);
  const isPublished = published.has(id);
  if (total) {
    const { count, sum } = addedUp(id);
    if (sum === total.scaled(SCALE)) {
      published.put(id, true);
      const row = { id, total, lines: count };
      if (isPublished) out.update(checkedOrders, row);
      else out.insert(checkedOrders, row);
      return;
    }
    log.warn("an order is left out: its lines do not add up to its total");
  }
  if (isPublished) {
    published.remove(id);
    out.delete(checkedOrders, { id });
  }
}

/** Returns how many lines an order has, and their sum, if it is not too large for one. */
function addedUp(id: bigint) {
  let count = 0;
  let sum: bigint | undefined = 0n;
  for (const [[order], amount] of lines.entries()) {
    if (order !== id) continue;
    count += 1;
    if (sum !== undefined) sum += amount;
    if (sum !== undefined && (sum > SUM_MAX || sum < -SUM_MAX - 1n)) sum = undefined;
  }
  return { count, sum };
}
