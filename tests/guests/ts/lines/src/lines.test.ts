// The guest, run natively: what the suite's fixtures ask of it, in short.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Decimal } from "@pelton/sdk";
import { Harness } from "@pelton/sdk/testing";

import Lines, { orderLines, orders } from "./lines";

const order = (id: bigint, total: string) => ({ id, total: new Decimal(total) });
const line = (order_id: bigint, line: number, amount: string) => ({ order_id, line, amount: new Decimal(amount) });

test("an order is published once its lines add up", () => {
  const host = new Harness(Lines);
  const published = () => String(host.run()).split("\n").slice(0, -1);
  host.insert(orders, order(1n, "3.00")).insert(orderLines, line(1n, 1, "1.50")).insert(orderLines, line(1n, 2, "1.5"));
  host.commit().insert(orders, order(2n, "1"));
  const output = host.run();
  assert.equal(String(output), 'insert checked_orders id=1 total="3.00" lines=2\n');
  assert.deepEqual(output.logs.map(String), ["warn: an order is left out: its lines do not add up to its total"]);

  host.restart().insert(orderLines, line(2n, 1, "1"));
  assert.deepEqual(published(), ['insert checked_orders id=2 total="1" lines=1']);
  host.update(orderLines, line(2n, 1, "1"), line(2n, 1, "1.0"));
  assert.deepEqual(published(), ['update checked_orders id=2 total="1" lines=1']);
  host.update(orderLines, line(1n, 2, "1.5"), line(2n, 2, "1.5"));
  assert.deepEqual(published(), ["delete checked_orders id=1", "delete checked_orders id=2"]);
  host.truncate(orderLines).update(orders, order(2n, "1"), order(2n, "0"));
  assert.deepEqual(published(), ['insert checked_orders id=2 total="0" lines=0']);
  host.insert(orders, order(3n, "0.0000001")).truncate(orders);
  assert.deepEqual(host.run().rejected.map(({ code }) => code), ["scale"]);
  assert.deepEqual(published(), []);
});
