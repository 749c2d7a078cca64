// What a transform's author may rely on, shown through the native host.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Bytea,
  Decimal,
  StateMap,
  ahead,
  changes,
  codec,
  defineTransform,
  log,
  message,
  on,
  pg,
  publicSchema,
  reject,
  retry,
  setting,
  table,
  transform,
  unchanged,
} from "../src/index.js";
import { Retry } from "../src/error.js";
import { setHost } from "../src/host.js";
import { Runner } from "../src/runner.js";
import { flush, withState } from "../src/state/overlay.js";
import { Harness } from "../src/testing/index.js";
import { definitionOf, describe } from "../src/transform.js";

const items = table("shop.items", {
  id: pg.bigint.key(),
  name: pg.text.named("title"),
  size: pg.integer.nullable(),
  body: pg.text.toasted(),
  hidden: pg.boolean,
});

const publicItems = publicSchema("items", "2.1", {
  id: pg.bigint.key(),
  name: pg.text,
  size: pg.integer.nullable(),
  body: pg.text.toasted(),
});

const publish = ({ hidden, ...row }) => (hidden ? null : row);
const mapping = defineTransform({
  name: "items",
  publishes: [publicItems],
  tables: [on(items, (change, out) => out.map(change, publicItems, publish))],
});

const item = (id, name, more = {}) => ({ id, name, size: null, body: "b", hidden: false, ...more });
const hidden = (id, name) => item(id, name, { hidden: true });
const untouched = (id, name) => item(id, name, { body: unchanged });

/** Runs changes and compares what is published. */
function check(identity, act, ...expected) {
  const host = new Harness(mapping).identity(items, identity);
  act(host);
  assert.deepEqual(String(host.run()).split("\n").slice(0, -1), expected);
}

test("map publishes one row for one row under the primary key", () => {
  const checked = (act, ...expected) => check("default", act, ...expected);
  const a = 'insert items id=1 name="a" size=NULL body="b"';
  checked((h) => h.insert(items, item(1n, "a")).insert(items, hidden(2n, "a")), a);
  checked(
    (h) => h.update(items, item(1n, "a"), untouched(1n, "c")),
    'update items id=1 name="c" size=NULL body=unchanged',
  );
  checked(
    (h) => h.update(items, item(1n, "a"), item(2n, "a")),
    'update items from (1) id=2 name="a" size=NULL body="b"',
  );
  checked((h) => h.update(items, item(1n, "a"), hidden(1n, "a")), "delete items id=1");
  checked((h) => h.update(items, item(1n, "a"), hidden(2n, "a")), "delete items id=1");
  // The old row is not known, so it can't be told whether it was published: a delete too many does no harm.
  checked((h) => h.delete(items, hidden(1n, "a")), "delete items id=1");
  checked((h) => h.truncate(items), "truncate items");
});

test("map deletes the row that was there, whatever its function does to the new one", () => {
  const moves = (row) => {
    row.id = 9n;
    return null;
  };
  const moving = defineTransform({
    name: "items",
    publishes: [publicItems],
    tables: [on(items, (change, out) => out.map(change, publicItems, moves))],
  });
  const host = new Harness(moving).identity(items, "default");
  host.update(items, item(1n, "a"), item(1n, "b"));
  assert.equal(String(host.run()), "delete items id=1\n");
});

test("map knows the old row under full", () => {
  const checked = (act, ...expected) => check("full", act, ...expected);
  checked(
    (h) => h.update(items, hidden(1n, "a"), item(1n, "a")),
    'insert items id=1 name="a" size=NULL body="b"',
  );
  checked((h) => h.update(items, hidden(1n, "a"), hidden(1n, "c")));
  checked((h) => h.delete(items, hidden(1n, "a")));
  checked((h) => h.delete(items, item(1n, "a")), "delete items id=1");
  // An unchanged value is filled from the old row.
  checked(
    (h) => h.update(items, item(1n, "a"), untouched(1n, "c")),
    'update items id=1 name="c" size=NULL body="b"',
  );
});

test("a change tells its rows and keys", () => {
  const seen = [];
  const watching = defineTransform({
    name: "watching",
    publishes: [publicItems],
    tables: [on(items, ({ op, newRow, oldKey, old }) => seen.push([op, newRow?.id, oldKey?.id, old?.row?.name]))],
  });
  for (const identity of ["default", "full"]) {
    const host = new Harness(watching).identity(items, identity);
    host.insert(items, item(1n, "a")).update(items, item(1n, "a"), item(1n, "b"));
    host.update(items, item(1n, "b"), item(2n, "b")).delete(items, item(2n, "b")).truncate(items).run();
  }
  const expected = (...old) => [
    ["insert", 1n, undefined, undefined],
    ["update", 1n, 1n, old[0]],
    ["update", 2n, 1n, old[1]],
    ["delete", undefined, 2n, old[2]],
    ["truncate", undefined, undefined, undefined],
  ];
  assert.deepEqual(seen, [...expected(), ...expected("a", "b", "b")]);
});

// --- What the harness would not send ------------------------------------------------------------------------------

/** The table's columns in another order, and one more than is subscribed: part of the replica identity. */
function relation(alter = () => {}) {
  const column = (name, kind, key = false) => ({ name, kind, nullable: true, key, attrs: [] });
  const columns = [
    column("hidden", { tag: "bool" }),
    column("region", { tag: "text" }, true),
    column("body", { tag: "text" }),
    column("id", { tag: "int32" }, true),
    column("title", { tag: "other", val: "citext" }),
    column("size", { tag: "int16" }),
  ];
  const made = { id: 3, version: 1, schema: "shop", name: "items", identity: "default", columns, attrs: [] };
  alter(made);
  return made;
}

const runner = (made) => new Runner(definitionOf(mapping), { settings: [], relations: [made], attrs: [] });
const spans = (count) => [{ xid: 7, epoch: 1, commitLsn: 9n, commitTime: 0n, phase: "live", first: 0, count, complete: true }];
const process = (made, ...batch) => runner(made).process(spans(batch.length), batch.length, JSON.stringify(batch));
const fatal = (act) => {
  try {
    act();
  } catch (error) {
    assert.equal(error.name, "Fatal", error.stack);
    return error.message;
  }
  return assert.fail("no error");
};

test("columns are found by name whatever their order", () => {
  const output = process(relation(), [0, 3, [false, "eu", "B", 5, "T", 7], null]);
  assert.deepEqual(JSON.parse(output.json), [[0, 0, 0, ["5", "T", 7, "B"], null]]);
});

test("an altered table is held against its description", () => {
  const altered = (alter) => fatal(() => runner(relation(alter)));
  assert.equal(
    altered((r) => r.columns.splice(4, 1)),
    "table shop.items has no column `title`, which the transform reads; was it renamed or dropped?",
  );
  assert.equal(
    altered((r) => (r.columns[3].kind = { tag: "numeric" })),
    "column `id` of table shop.items is numeric; the transform expects bigint, integer or smallint",
  );
  assert.equal(
    altered((r) => (r.columns[5].kind = { tag: "int64" })),
    "column `size` of table shop.items is bigint; the transform expects integer or smallint",
  );
  assert.match(altered((r) => (r.columns[3].key = false)), /`id`.*ALTER TABLE shop.items REPLICA IDENTITY FULL/);
  const running = runner(relation());
  const later = relation((r) => r.columns.shift());
  assert.match(fatal(() => running.relationChanged(later)), /no column `hidden`/);
});

test("a value that does not fit is rejected with its column's name", () => {
  const rejected = (...change) => {
    const output = process(relation(), change);
    assert.equal(output.count, 0, "a rejected change leaves no rows");
    return output.rejected[0];
  };
  assert.deepEqual(rejected(0, 3, [false, "eu", "B", 5, null, 7], null), {
    index: 0,
    code: "null",
    message: "column `title` of table shop.items is NULL; mark the column nullable() if that may be",
  });
  const left = rejected(1, 3, [false, "eu", "B", 5, [0], 7], null);
  assert.equal(left.code, "unchanged");
  assert.match(left.message, /`title`.*toasted\(\).*FULL/);
  // A kind that was not announced is the host's mistake, and nobody's row.
  assert.match(
    fatal(() => process(relation(), [0, 3, [false, "eu", "B", "x", "T", 7], null])),
    /`id` of table shop.items arrived as text/,
  );
});

test("a batch that is not what the contract says is fatal, and never misread", () => {
  const good = [0, 3, [false, "eu", "B", 5, "T", 7], null];
  const batch = (json, of = spans(1), count = 1) => fatal(() => runner(relation()).process(of, count, json));
  for (const json of ["", "[", "{}", "null", "7", '[{"a":1}]', "[[]]", "[[0,3,[],null]]", "[[9,3,null,null]]"]) {
    assert.ok(batch(json), json);
  }
  assert.match(batch(JSON.stringify([[0, 4, null, null]])), /relation 4/);
  assert.match(batch(JSON.stringify([good, good])), /another number of changes/);
  assert.match(batch(JSON.stringify([good]), spans(5)), /spans/);
  assert.match(batch(JSON.stringify([good]), []), /beyond its end/);
});

// --- Several tables, settings, logs, messages, errors, transactions -----------------------------------------------

const things = table(
  "things",
  { place: pg.integer.key(), number: pg.integer.key(), colour: pg.enumeration("red", "very dark") },
  { ops: ["insert", "delete"] },
);
const notes = message("notes", { transactional: pg.boolean, content: pg.bytea });
const publicThings = publicSchema("things", "1.0", {
  label: pg.text,
  place: pg.integer.key(),
  number: pg.integer.key(),
  colour: pg.enumeration("red", "very dark"),
});
const journal = publicSchema("journal", "1.0", { text: pg.other("varchar"), at: pg.bigint });

class House {
  constructor(settings, context) {
    log.debug("starting", { instances: context.instances });
    this.settings = settings;
  }

  things(change, out) {
    const thing = change.newRow;
    if (thing?.number < 0) {
      out.insert(journal, { text: "never seen", at: out.span.commitTime });
      reject("negative", `thing ${thing.place} has a negative number`);
    }
    if (thing?.number === 13) retry("not today", 50);
    const { prefix, suffix = "" } = this.settings;
    out.map(change, publicThings, (row) => ({ label: `${prefix}${row.number}${suffix}`, ...row }));
  }

  notes(change, out) {
    if (change.op !== "insert") return;
    const { content, transactional } = change.new;
    out.insert(journal, { text: `${content.utf8()} ${transactional}`, at: out.span.commitTime });
  }

  endOfTransaction(out) {
    if (out.span.count > this.settings.most) log.warn("a large transaction", { changes: out.span.count });
    out.insert(journal, { text: `end of ${out.span.xid}`, at: 0 });
  }
}

// Decorators are functions; Node.js 20 does not know how they are written.
changes(things)(House.prototype.things);
changes(notes)(House.prototype.notes);
transform({
  name: "house",
  version: "3",
  publishes: [publicThings, journal],
  wholeTransactions: true,
  settings: {
    prefix: setting.text({ doc: "Put before every label." }),
    most: setting.integer({ default: 100, doc: "How many changes a transaction may have." }),
    suffix: setting.text({ optional: true }),
  },
})(House, { name: "House" });

const thing = (place, number, colour = "red") => ({ place, number, colour });

test("several tables and messages become several public schemas", () => {
  const host = new Harness(House).setting("prefix", "no. ").setting("most", 2);
  host.commitTime(44).insert(things, thing(1, 2, "very dark"));
  host.insert(notes, { transactional: true, content: Bytea.of(new TextEncoder().encode("hello")) });
  host.delete(things, thing(1, 2)).commit();
  host.insert(things, thing(-1, 3));
  const output = host.run();
  assert.equal(
    String(output),
    'insert things label="no. 2" place=1 number=2 colour="very dark"\n' +
      'insert journal text="hello true" at=44\n' +
      "delete things place=1 number=2\n" +
      'insert journal text="end of 1" at=0\n' +
      'insert things label="no. 3" place=-1 number=3 colour="red"\n' +
      'insert journal text="end of 2" at=0\n',
  );
  assert.deepEqual(output.logs.map(String), ["debug: starting instances=1", "warn: a large transaction changes=3"]);
  assert.deepEqual(host.table(publicThings), ['label="no. 3" place=-1 number=3 colour="red"']);
});

test("a rejected change leaves nothing behind and stops nobody", () => {
  const host = new Harness(House).setting("prefix", "").setting("suffix", "!");
  host.insert(things, thing(1, 1)).insert(things, thing(2, -1)).insert(things, thing(3, 3));
  const output = host.run();
  assert.deepEqual(output.rejected, [{ index: 1, code: "negative", message: "thing 2 has a negative number" }]);
  assert.equal(host.table(publicThings).length, 2);
  assert.ok(!String(output).includes("never seen"));
  assert.deepEqual(output.rows.map((row) => row.source), [0, 2, 2]);
});

test("what a rejected change had published is not sent", () => {
  const columns = [
    { name: "place", kind: { tag: "int32" }, key: true },
    { name: "number", kind: { tag: "int32" }, key: true },
    { name: "colour", kind: { tag: "enumeration" }, key: false },
  ];
  const made = { id: 0, version: 1, schema: "public", name: "things", identity: "default", columns, attrs: [] };
  const running = new Runner(definitionOf(House), { settings: [["prefix", ""]], relations: [made], instances: 1 });
  const batch = [
    [0, 0, [2, -1, "red"], null],
    [0, 0, [3, 3, "red"], null],
    [0, 0, [4, 4, "blue"], null],
  ];
  const output = running.process(spans(3), 3, JSON.stringify(batch));
  assert.deepEqual(output.rejected, [
    { index: 0, code: "negative", message: "thing 2 has a negative number" },
    {
      index: 2,
      code: "label",
      message: "column `colour` of table public.things holds a label that the enum does not have; add it",
    },
  ]);
  assert.deepEqual(JSON.parse(output.json), [
    [0, 0, 1, ["3", 3, 3, "red"], null],
    [1, 0, 2, ["end of 7", "0"], null],
  ]);
});

test("the end of a transaction speaks for its last change once", () => {
  const refusing = defineTransform({
    name: "refusing",
    publishes: [publicItems],
    tables: [on(items, ({ newRow }) => newRow.hidden && reject("change", "the change"))],
    endOfTransaction: () => reject("end", "the end"),
  });
  const made = new Runner(definitionOf(refusing), { settings: [], relations: [relation()] });
  const rejected = (hidden) => made.process(spans(1), 1, JSON.stringify([[0, 3, [hidden, "eu", "B", 5, "T", 7], null]])).rejected;
  assert.deepEqual(rejected(true).map(({ code }) => code), ["change"]);
  assert.deepEqual(rejected(false).map(({ code }) => code), ["end"]);
});

test("a batch to be retried comes again", () => {
  const host = new Harness(House).setting("prefix", "");
  host.insert(things, thing(1, 13));
  for (let i = 0; i < 2; i++) assert.throws(() => host.run(), { name: "Retry", message: "not today", afterMs: 50 });
});

test("settings that do not fit are named", () => {
  const error = (host) => fatal(() => host.insert(things, thing(1, 1)).run());
  assert.equal(error(new Harness(House)), "setting `prefix` is missing: Put before every label.");
  const most = new Harness(House).setting("prefix", "").setting("most", "secret");
  assert.equal(error(most), "setting `most` must be an integer");
  const reads = (declared, text) => declared.read(text);
  for (const text of ["", "+", "1.5", "9007199254740993", "constructor"]) {
    assert.equal(reads(setting.integer(), text), undefined, text);
  }
  assert.equal(reads(setting.bigint(), "+9007199254740993"), 9007199254740993n);
  assert.equal(reads(setting.bigint(), "9223372036854775808"), undefined);
  assert.equal(reads(setting.number(), "-1.5e3"), -1500);
  assert.equal(reads(setting.number(), "x"), undefined);
  assert.equal(reads(setting.boolean(), "false"), false);
  assert.equal(reads(setting.boolean(), "constructor"), undefined);
  const settings = { most: setting.integer({ default: 1.5 }) };
  assert.throws(() => transform({ publishes: [journal], settings })(class A {}, {}), /default of setting `most`/);
});

test("the descriptions are the descriptor", () => {
  const described = describe(definitionOf(House), { version: "1.0.0", sdk: "0.1.0" });
  assert.equal(`${described.name} ${described.version} ${described.encoding}`, "house 3 json");
  assert.deepEqual(
    described.subscriptions.map((s) => [s.schema, s.table, s.columns, s.ops]),
    [
      ["public", "things", ["place", "number", "colour"], ["insert", "delete"]],
      ["pg_logical_message", "notes", ["transactional", "content"], []],
    ],
  );
  assert.deepEqual(described.settings.map((s) => [s.name, s.required, s.default, s.doc]), [
    ["prefix", true, undefined, "Put before every label."],
    ["most", false, "100", "How many changes a transaction may have."],
    ["suffix", false, undefined, ""],
  ]);
  assert.deepEqual([described.wholeTransactions, described.stateful, described.stateVersion], [true, false, 0]);
  assert.deepEqual(described.attrs, [["sdk", "pelton-sdk-js 0.1.0"]]);
  const plain = describe(definitionOf(mapping), { version: "1.2.3", sdk: "0.1.0" });
  assert.equal(plain.version, "1.2.3", "its package's");
  assert.deepEqual(plain.subscriptions[0].columns, ["id", "title", "size", "body", "hidden"]);
  const [schema] = plain.publicSchemas;
  assert.deepEqual([schema.major, schema.minor], [2, 1]);
  assert.deepEqual(schema.columns.map((c) => [c.name, c.kind.tag, c.nullable, c.key]), [
    ["id", "int64", false, true],
    ["name", "text", false, false],
    ["size", "int32", true, false],
    ["body", "text", false, false],
  ]);
});

// --- Mistakes -----------------------------------------------------------------------------------------------------

const keyless = publicSchema("log", "1.0", { text: pg.text });
const undeclared = publicSchema("undeclared", "1.0", { id: pg.bigint.key() });
const sizes = new StateMap("sizes", codec.int64, codec.int64);

const doing = (run, more = {}) =>
  defineTransform({ name: "clumsy", publishes: [keyless], tables: [on(items, run)], ...more });
const running = (made) => new Harness(made).insert(items, item(1n, "a")).run();

test("an author's mistakes are fatal and say what to do", () => {
  const error = (run, more) => fatal(() => running(doing(run, more)));
  assert.equal(
    error((change, out) => out.insert(undeclared, { id: 1n })),
    "the transform does not declare public schema `undeclared`: add it to `publishes`",
  );
  assert.equal(
    error((change, out) => out.update(keyless, { text: "a" })),
    "public schema `log` has no key(), so it is append-only: updates can't be published",
  );
  const points = publicSchema("points", "1.0", { at: pg.double.key() });
  const origin = table("shop.points", { at: pg.double.key() });
  const turned = defineTransform({ name: "points", publishes: [points], tables: [on(origin, (change, out) => out.map(change, points, () => ({ at: 0 })))] });
  assert.match(fatal(() => new Harness(turned).insert(origin, { at: -0 }).run()), /has other keys/, "zero has a sign");
  assert.match(error(() => sizes.put(1n, 1n)), /add `stateful: true`/);
  const publishes = [undeclared];
  assert.equal(
    error((change, out) => out.map(change, undeclared, ({ id }) => ({ id: id + 1n })), { publishes }),
    "public schema `undeclared` has other keys than table shop.items; use mapWithKey",
  );
  assert.match(error(async () => {}), /is async/);
  assert.match(
    error(() => {}, { tables: [on(items, () => {}), on(items, () => {})] }),
    /two functions take the changes of table shop.items/,
  );
  assert.match(error(() => {}, { publishes: [keyless, keyless] }), /public schema `log` 1 is declared twice/);
  assert.match(fatal(() => new Harness(class {})), /no transform/);
  assert.throws(() => doing(() => {}, { statefull: true }), /`statefull` is no option/);
});

test("a value that its column can't take is named, and not shown", () => {
  const publicKinds = publicSchema("kinds", "1.0", { id: pg.bigint.key(), n: pg.integer, d: pg.numeric, t: pg.text });
  const error = (row) => {
    const made = doing((_, out) => out.insert(publicKinds, row), { publishes: [publicKinds] });
    try {
      running(made);
    } catch (error) {
      return `${error.name}: ${error.message}`;
    }
    return "no error";
  };
  const row = { id: 1n, n: 1, d: new Decimal("1"), t: "" };
  const where = (column) => `TypeError: column \`${column}\` of public schema \`kinds\``;
  assert.equal(error(row), "no error");
  assert.equal(error({ ...row, t: undefined }), `${where("t")} takes a string, not undefined`);
  assert.equal(error({ ...row, d: "4711" }), `${where("d")} takes a Decimal, not a string`);
  assert.equal(error({ ...row, n: 0.5 }), `${where("n")} takes an integer of 32 bits as a number, not a number with a fraction`);
  assert.equal(error({ ...row, n: 2 ** 31 }), `${where("n")} takes an integer of 32 bits as a number, not a number`);
  assert.equal(error({ ...row, n: 1n }), `${where("n")} takes an integer of 32 bits as a number, not a bigint`);
  assert.equal(error({ ...row, n: unchanged }), `${where("n")} is unchanged; mark the column toasted() if that may be`);
  assert.equal(error({ ...row, id: 2 ** 53 }), `${where("id")} takes a bigint of 64 bits, not a number`);
  assert.equal(error({ ...row, t: null }), `${where("t")} is null; mark the column nullable() if that may be`);
  assert.equal(error({ ...row, t: unchanged }), `${where("t")} is unchanged; mark the column toasted() if that may be`);
});

test("an unchanged value is nothing else by accident", () => {
  assert.throws(() => `${unchanged}`, /isUnchanged/);
  assert.throws(() => unchanged > 1, /isUnchanged/);
  assert.throws(() => JSON.stringify({ unchanged }), /isUnchanged/);
});

// --- State --------------------------------------------------------------------------------------------------------

const seen = new StateMap(
  "seen",
  codec.tuple(codec.int64, codec.text),
  codec.struct({ times: codec.int64, names: codec.list(codec.text), last: codec.optional(codec.decimal) }),
);
const other = new StateMap("see", codec.int64, codec.unit);

const remembering = defineTransform({
  name: "remembering",
  publishes: [publicItems],
  stateVersion: 4,
  tables: [
    on(items, (change) => {
      const { id, name, hidden } = change.newRow;
      const before = seen.get([id, name]) ?? { times: 0n, names: [], last: undefined };
      const times = before.times + 1n;
      seen.put([id, name], { times, names: [...before.names, name], last: Decimal.fromScaled(times, 1) });
      other.put(id, true);
      if (hidden) reject("hidden", "not this one");
    }),
  ],
});

test("state is committed with the batch and dropped with it", () => {
  const host = new Harness(remembering);
  host.insert(items, item(1n, "a")).insert(items, item(1n, "a")).insert(items, hidden(2n, "b")).run();
  host.restart().insert(items, item(1n, "a")).insert(items, item(-1n, "z")).run();
  const entry = host.withState(() => seen.get([1n, "a"]));
  assert.deepEqual(entry, { times: 3n, names: ["a", "a", "a"], last: new Decimal("0.3") });
  assert.equal(host.withState(() => seen.has([2n, "b"])), false, "its change was rejected");
  const keys = host.withState(() => [...seen.entries()].map(([key]) => key));
  assert.deepEqual(keys, [[-1n, "z"], [1n, "a"]], "in key order, and no other map's");
  const many = host.withState(() => seen.getMany([[1n, "a"], [9n, "x"], [1n, "a"]]));
  assert.deepEqual(many.map((entry) => entry?.times), [3n, undefined, 3n]);
});

test("a value of the state is what it was when it was put", () => {
  const totals = new StateMap("totals", codec.int64, codec.struct({ cents: codec.int128, of: codec.tuple(codec.int32, codec.optional(codec.boolean)) }));
  const host = new Harness(remembering);
  host.withState(() => {
    const total = { cents: 5n, of: [-0, undefined] };
    totals.put(1n, total);
    total.cents = 6n;
    total.of[0] = 7;
    totals.get(1n).cents = 8n;
    totals.get(1n).of.push(9);
    assert.deepEqual(totals.get(1n), { cents: 5n, of: [0, undefined] });
    totals.scan(undefined, 1)[0][1].cents = 9n;
    assert.deepEqual(totals.getMany([1n, 2n]), [{ cents: 5n, of: [0, undefined] }, undefined]);
    for (const wrong of [{ cents: 5, of: [1, true] }, { cents: 1n << 127n, of: [1, true] }, { cents: 5n, of: [0.5, true] }, { cents: 5n, of: [1, 1] }]) {
      assert.throws(() => totals.put(1n, wrong), TypeError);
    }
  });
});

test("state that could not be read is asked for again", () => {
  let asked = 0;
  const get = (keys) => (asked++ === 0 ? retry("later") : keys.map(() => Uint8Array.of(0xc3)));
  const before = setHost({ get });
  try {
    withState(() => {
      assert.throws(() => other.get(1n), Retry);
      assert.equal(new StateMap("flags", codec.int64, codec.boolean).get(1n), true);
      assert.throws(() => other.get(1n), /raise stateVersion/);
    });
  } finally {
    setHost(before);
  }
  assert.equal(asked, 3);
});

test("state belongs to a batch and is refused outside of one", () => {
  const refusal =
    "the transform uses its state outside of a batch, as in `init`: read and write it in the functions that take changes";
  const hasty = doing(() => {}, { stateful: true, init: () => other.put(1n, true) });
  assert.equal(fatal(() => running(hasty)), refusal);
  running(remembering);
  assert.equal(fatal(() => other.remove(1n)), refusal, "neither behind one");
});

test("scans go in batches and see what was written", () => {
  new Harness(remembering).withState(() => {
    for (let id = 0n; id < 1000n; id++) other.put(id, true);
    other.remove(500n);
    const ids = [...other.entries()].map(([id]) => id);
    assert.equal(ids.length, 999);
    assert.ok(!ids.includes(500n) && ids.every((id, i) => i === 0 || id > ids[i - 1]));
    assert.equal(other.scan(997n, 10).length, 2);
    other.clear();
    assert.deepEqual(other.scan(undefined, 1), []);
  });
});

test("what was written goes to the host at the end, in the order of its keys, and earlier where it is too much", () => {
  const texts = new StateMap("t", codec.uint16, codec.text);
  const puts = [];
  const before = setHost({ put: (entries) => puts.push(entries.map(([key]) => key.at(-1))), get: (keys) => keys.map(() => undefined) });
  const large = "x".repeat(1 << 20);
  try {
    withState(() => {
      for (const id of [3, 1, 2]) texts.put(id, "");
      texts.get(7);
      flush();
      flush();
    });
    withState(() => {
      for (const id of [9, 8, 7, 6, 5]) texts.put(id, large);
    });
    const numbers = new StateMap("n", codec.uint16, codec.tuple(codec.int128, codec.int128));
    withState(() => {
      for (let i = 0; i < 150_000; i++) numbers.put(4, [1n, 2n]);
    });
  } finally {
    setHost(before);
  }
  assert.deepEqual(puts, [[1, 2, 3], [6, 7, 8, 9], [4]]);
  new Harness(remembering).withState(() => {
    for (let i = 0; i < 10; i++) texts.put(i, large);
    assert.ok(texts.getMany([0, 5, 9, 10]).every((text, i) => (i < 3 ? text === large : text === undefined)));
  });
});

test("state of other types says that a version is due", () => {
  const numbers = new StateMap("m", codec.int64, codec.int64);
  const texts = new StateMap("m", codec.int64, codec.text);
  new Harness(remembering).withState(() => {
    numbers.put(1n, 1n);
    assert.match(fatal(() => texts.get(1n)), /raise stateVersion/);
  });
});

test("what is read ahead is read at once", () => {
  class Counting {
    ahead(change, ahead) {
      if (change.newRow) ahead.read(sizes, change.newRow.id);
    }

    items({ newRow }) {
      sizes.put(newRow.id, (sizes.get(newRow.id) ?? 0n) + 1n);
    }
  }
  ahead(items)(Counting.prototype.ahead);
  changes(items)(Counting.prototype.items);
  transform({ publishes: [keyless], stateful: true })(Counting, { name: "Counting" });
  const host = new Harness(Counting);
  for (let id = 0n; id < 50n; id++) host.insert(items, item(id % 9n, "a"));
  assert.equal(host.run().stateReads, 1);
});
