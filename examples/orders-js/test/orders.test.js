// The transform, run natively.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Decimal, Timestamptz, unchanged } from "@pelton/sdk";
import { Harness } from "@pelton/sdk/testing";

import transform, { masked, orders, publicOrders } from "../src/orders.js";
import { customerTotals } from "../src/totals.js";

const order = (id, customer_id, amount, more = {}) => ({
  id,
  customer_id,
  customer_name: "Ann",
  email: "ann@example.com",
  amount: new Decimal(amount),
  currency: "EUR",
  note: null,
  is_test: false,
  placed_at: new Timestamptz("2024-07-01 12:00:00+00"),
  ...more,
});
const testOrder = (...of) => order(...of, { is_test: true });

test("an order is renamed, joined and masked", () => {
  const host = new Harness(transform);
  host.insert(orders, order(17n, 3n, "12.50", { note: "leave at the door" }));
  assert.equal(
    String(host.run()),
    'insert customer_totals customer_id=3 orders=1 spent="12.50"\n' +
      'insert orders id=17 customer_id=3 contact="a***@example.com" price="12.50 EUR" note="leave at the door" ' +
      'ordered_at="2024-07-01 12:00:00+00" label="Ann #17"\n',
  );
  for (const [email, expected] of [
    ["ann@example.com", "a***@example.com"],
    ["a@b@c", "a***@c"],
    ["😀@x", "😀***@x"],
    ["@x", "***"],
    ["@@x", "***"],
    ["x", "***"],
    ["", "***"],
  ]) {
    assert.equal(masked(email), expected);
  }
});

test("test orders are nobody's business", () => {
  const host = new Harness(transform);
  host.insert(orders, testOrder(1n, 3n, "5.00")).insert(orders, order(2n, 3n, "7.00"));
  // One becomes a test, the other stops being one.
  host.update(orders, order(2n, 3n, "7.00"), testOrder(2n, 3n, "7.00"));
  host.update(orders, testOrder(1n, 3n, "5.00"), order(1n, 3n, "5.00"));
  host.run();
  assert.equal(host.table(publicOrders).length, 1);
  assert.deepEqual(host.table(customerTotals), ['customer_id=3 orders=1 spent="5.00"']);
});

test("an unchanged note stays", () => {
  const host = new Harness(transform);
  const first = order(1n, 3n, "5.00", { note: "a long note" });
  host.insert(orders, first).update(orders, first, order(1n, 3n, "6.00", { note: unchanged }));
  host.run();
  assert.match(host.table(publicOrders)[0], /price="6.00 EUR" note="a long note"/);
});

for (const identity of ["default", "full"]) {
  test(`totals are right under updates, key changes, deletes and truncates, identity ${identity}`, () => {
    const host = new Harness(transform).identity(orders, identity);
    const totals = () => host.table(customerTotals);
    host.insert(orders, order(1n, 3n, "5.00")).insert(orders, order(2n, 3n, "0.01"));
    host.insert(orders, order(3n, 4n, "1.10")).commit();
    host.run();
    assert.deepEqual(totals(), ['customer_id=3 orders=2 spent="5.01"', 'customer_id=4 orders=1 spent="1.10"']);

    // Another amount, another customer, another key; and a new instance in between.
    host.update(orders, order(1n, 3n, "5.00"), order(1n, 3n, "4.00")).restart();
    host.run();
    host.update(orders, order(2n, 3n, "0.01"), order(2n, 4n, "0.01"));
    host.update(orders, order(3n, 4n, "1.10"), order(9n, 4n, "1.10"));
    host.run();
    assert.deepEqual(totals(), ['customer_id=3 orders=1 spent="4.00"', 'customer_id=4 orders=2 spent="1.11"']);

    host.delete(orders, order(9n, 4n, "1.10")).delete(orders, order(1n, 3n, "4.00"));
    host.run();
    assert.deepEqual(totals(), ['customer_id=4 orders=1 spent="0.01"']);

    host.truncate(orders).insert(orders, order(1n, 3n, "2.00"));
    host.run();
    assert.deepEqual(totals(), ['customer_id=3 orders=1 spent="2.00"']);
    assert.equal(host.table(publicOrders).length, 1);
    assert.equal(host.stateSize, 2, "one share, one total");
  });
}

test("a row that comes again is counted once", () => {
  const host = new Harness(transform);
  host.insert(orders, order(1n, 3n, "5.00")).insert(orders, order(1n, 3n, "6.00"));
  host.run();
  assert.deepEqual(host.table(customerTotals), ['customer_id=3 orders=1 spent="6.00"']);
});

test("an amount that is no number is rejected alone", () => {
  const host = new Harness(transform);
  host.insert(orders, order(1n, 3n, "NaN")).insert(orders, order(2n, 3n, "5.00"));
  const output = host.run();
  assert.deepEqual(output.rejected, [{ index: 0, code: "not-finite", message: "a numeric is NaN or infinite" }]);
  assert.deepEqual(host.table(customerTotals), ['customer_id=3 orders=1 spent="5.00"']);
});

test("the state of a batch is read at once", () => {
  const host = new Harness(transform);
  for (let id = 0n; id < 100n; id++) host.insert(orders, order(id, id % 7n, "1.00"));
  assert.equal(host.run().stateReads, 1);
  host.restart().update(orders, order(8n, 1n, "1.00"), order(800n, 2n, "1.00")).delete(orders, order(9n, 2n, "1.00"));
  // And once more for the customer who lost an order: only the order's share tells who that is.
  assert.equal(host.run().stateReads, 2);
});
