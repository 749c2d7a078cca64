// The transform, run natively.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Bytea, Decimal, Jsonb, unchanged } from "@pelton/sdk";
import { Harness } from "@pelton/sdk/testing";

import AuditTrail, { accounts, audit, cards, context } from "../src/audit";

const account = (id: bigint, balance: string) => ({
  id,
  owner: "Ann",
  balance: new Decimal(balance),
  details: Jsonb.of('{"vip": true}'),
});
const says = (text: string, transactional = true) => ({ transactional, content: Bytea.of(new TextEncoder().encode(text)) });

test("every change is in the trail, with what the application said of its transaction", () => {
  const host = new Harness(AuditTrail).identity(accounts, "full");
  host.insert(context, says('{"user": "ann"}'));
  host.insert(accounts, account(1n, "10.00"));
  host.update(accounts, account(1n, "10.00"), { ...account(1n, "7.50"), details: unchanged });
  host.commit();
  host.delete(accounts, account(1n, "7.50")).insert(cards, { number: "7", account_id: 1n, blocked: false });
  host.run();
  const rows = host.table(audit);
  assert.equal(rows.length, 4);
  assert.match(rows[1]!, /operation="update" row_key="\{\\"id\\":1\}" before="\{.*10\.00.*\}" after="\{.*7\.50.*\}" context="\{\\"user\\": \\"ann\\"\}"/);
  assert.match(rows[2]!, /operation="delete" .*after=NULL context=NULL/);
  assert.match(rows[3]!, /table_name="public\.cards" operation="insert" row_key="\{\\"number\\":\\"7\\"\}" before=NULL/);
});

test("a message that is no JSON is rejected, and one that is not transactional is nobody's", () => {
  const host = new Harness(AuditTrail);
  host.insert(context, says("no")).insert(context, says("{}", false)).insert(cards, { number: "7", account_id: 1n, blocked: true });
  const output = host.run();
  assert.equal(output.rejected[0]?.code, "context");
  assert.match(host.table(audit)[0]!, /context=NULL/);
});
