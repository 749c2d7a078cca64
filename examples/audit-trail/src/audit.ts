// An audit trail: before and after of every row, with the application's own word on why.
//
// The application emits a logical message in the transaction that changes rows:
//
//     SELECT pg_logical_emit_message(true, 'context', '{"user": "ann", "request": "r-17"}')
//
// and every change behind it in that transaction carries it. The trail is append-only: `audit` has no key, so nothing that
// is in it is ever changed.

import {
  type Change,
  Jsonb,
  type Out,
  StateMap,
  type Table,
  Timestamptz,
  changes,
  codec,
  isUnchanged,
  message,
  pg,
  publicSchema,
  reject,
  table,
  transform,
} from "@pelton/sdk";

/** `public.accounts`, with REPLICA IDENTITY FULL: what a row was before is in the log. */
export const accounts = table("public.accounts", {
  id: pg.bigint.key(),
  owner: pg.text,
  balance: pg.numeric,
  details: pg.jsonb.nullable().toasted(),
});

/** `public.cards`, another audited table. */
export const cards = table("public.cards", { number: pg.text.key(), account_id: pg.bigint, blocked: pg.boolean });

/** What the application says of its transaction. */
export const context = message("context", { transactional: pg.boolean, content: pg.bytea });

export const audit = publicSchema("audit", "1.0", {
  at: pg.timestamptz,
  transaction: pg.bigint,
  table_name: pg.text,
  operation: pg.text,
  row_key: pg.jsonb.nullable(),
  before: pg.jsonb.nullable(),
  after: pg.jsonb.nullable(),
  context: pg.jsonb.nullable(),
});

/** The newest message, and the transaction that it is of: a batch may end between it and the changes behind it. */
const said = new StateMap("said", codec.text, codec.text);

@transform({ name: "audit-trail", publishes: [audit], stateVersion: 1 })
export default class AuditTrail {
  @changes(context)
  context(change: Change<typeof context>, out: Out) {
    // One that is not transactional belongs to no transaction.
    if (change.op !== "insert" || !change.new.transactional) return;
    const text = change.new.content.utf8();
    try {
      JSON.parse(text);
    } catch {
      reject("context", "the context of a transaction is no JSON");
    }
    said.put("newest", `${out.span.commitLsn} ${text}`);
  }

  @changes(accounts)
  accounts(change: Change<typeof accounts>, out: Out) {
    record(change, out);
  }

  @changes(cards)
  cards(change: Change<typeof cards>, out: Out) {
    record(change, out);
  }
}

function record<T extends Table>(change: Change<T>, out: Out) {
  const { commitLsn, commitTime, xid } = out.span;
  const newest = said.get("newest") ?? "";
  const of = `${commitLsn} `;
  out.insert(audit, {
    at: instant(commitTime),
    transaction: xid,
    table_name: `${change.table.schema}.${change.table.name}`,
    operation: change.op,
    row_key: document(change.oldKey ?? (change.op === "insert" ? keyOf(change.table, change.new) : undefined)),
    before: document(change.old?.row),
    after: document(change.newRow),
    context: newest.startsWith(of) ? Jsonb.of(newest.slice(of.length)) : null,
  });
}

function keyOf(of: Table, row: object) {
  const key = of === accounts ? ["id"] : ["number"];
  return Object.fromEntries(Object.entries(row).filter(([name]) => key.includes(name)));
}

/** A row as JSON; a large value that an update left alone is not in it. */
function document(row: object | undefined): Jsonb | null {
  if (row === undefined) return null;
  return Jsonb.from(Object.fromEntries(Object.entries(row).filter(([, value]) => !isUnchanged(value))));
}

function instant(micros: bigint): Timestamptz {
  const seconds = new Date(Number(micros / 1000n)).toISOString().slice(0, 19).replace("T", " ");
  return new Timestamptz(`${seconds}.${String(micros % 1_000_000n).padStart(6, "0")}+00`);
}
