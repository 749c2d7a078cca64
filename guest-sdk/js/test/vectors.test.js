// Holds reading and writing to `wit/vectors/`, as the host is.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Bytea, isUnchanged, pg, publicSchema, table, unchanged } from "../src/index.js";
import { readChange } from "../src/change.js";
import { Out } from "../src/out.js";
import { encode } from "../src/public.js";
import { Plan } from "../src/table.js";

function cases(file) {
  const all = JSON.parse(readFileSync(new URL(`../../../wit/vectors/${file}`, import.meta.url), "utf8"));
  assert.ok(all.length > 5, "the file holds cases");
  return all;
}

const COLUMNS = {
  bool: pg.boolean,
  int16: pg.smallint,
  int32: pg.integer,
  int64: pg.bigint,
  float32: pg.real,
  float64: pg.double,
  enumeration: pg.text,
};

/** A column of the vectors as an author would describe it. */
function column({ name, kind, key }) {
  const [tag, val] = typeof kind === "string" ? [kind] : Object.entries(kind)[0];
  const base = tag === "array" ? pg.array(pg.text) : tag === "other" ? pg.other(val) : (COLUMNS[tag] ?? pg[tag]);
  return [name, key ? base.key().nullable().toasted() : base.nullable().toasted()];
}

const kindOf = ({ kind }) => (typeof kind === "string" ? { tag: kind } : { tag: Object.keys(kind)[0], val: Object.values(kind)[0] });

/** What a value of the vectors is to an author; texts are compared as texts. */
function value(of) {
  if (of === null) return null;
  const [[name, inner]] = Object.entries(of);
  switch (name) {
    case "unchanged":
      return unchanged;
    case "int":
      return BigInt(inner);
    case "float":
      return Number(inner);
    case "bytes":
      return `\\x${inner}`;
    default:
      return inner;
  }
}

/** An author's value, made comparable with a vector's. */
function plain(x) {
  if (x === null || isUnchanged(x)) return x;
  return typeof x === "object" ? x.text : x;
}

function compare(row, expected, columns, name) {
  columns.forEach((column, i) => {
    if (!(column.name in row)) return;
    const isFloat = column.kind === "float32" || column.kind === "float64";
    let read = plain(row[column.name]);
    if (typeof read === "number" && !isFloat) read = BigInt(read);
    assert.ok(Object.is(read, value(expected[i])), `${name}: column ${column.name}`);
  });
}

test("batches are read as the host writes them", () => {
  for (const { name, relation, changes, json } of cases("input.json")) {
    const { schema, columns, identity } = relation;
    const described = table(`${schema}.${relation.name}`, Object.fromEntries(columns.map(column)));
    const sent = { ...relation, id: 0, columns: columns.map((c) => ({ ...c, kind: kindOf(c) })), identity };
    const plan = new Plan(described, sent);
    const batch = JSON.parse(json);
    assert.equal(batch.length, changes.length, name);
    changes.forEach(({ op, new: expected, old }, i) => {
      const change = readChange(plan, batch[i][0], batch[i][2], batch[i][3]);
      assert.equal(change.op, op, name);
      if (expected) {
        // Under FULL what was left alone is known from the old row.
        const filled = expected.map((of, at) => (of?.unchanged && old?.full ? old.full[at] : of));
        compare(change.new, filled, columns, name);
      }
      const known = old?.key ?? old?.full;
      if (known) compare(old.full ? change.old.row : change.old.key, known, columns, name);
      else assert.equal(change.old, undefined, name);
    });
  }
});

/** A vector's value as an author would publish it. */
function published(of, { kind }) {
  const plain = value(of);
  if (plain === null || isUnchanged(plain)) return plain;
  if (kind === "int16" || kind === "int32") return Number(plain);
  if (kind === "bytea") return new Bytea(plain);
  const { type } = column({ name: "c", kind, key: false })[1];
  return typeof plain === "string" && type.values ? new type.values(plain) : plain;
}

test("rows are written as the host reads them", () => {
  for (const { name, public_schemas, rows, json } of cases("output.json")) {
    const schemas = public_schemas.map((schema) =>
      publicSchema(schema.name, `${schema.major}.${schema.minor}`, Object.fromEntries(schema.columns.map(column))),
    );
    const out = new Out(schemas);
    for (const row of rows) {
      const schema = schemas[row.public_schema];
      const { columns } = public_schemas[row.public_schema];
      const of = (values, columns) =>
        Object.fromEntries(columns.map((column, i) => [column.name, published(values[i] ?? null, column)]));
      out.source = row.source;
      if (row.op === "truncate") out.truncate(schema);
      else if (row.op === "insert") out.insert(schema, of(row.values, columns));
      else if (row.op === "update" && row.old_key === null) out.update(schema, of(row.values, columns));
      else if (row.op === "delete") {
        const whole = row.values.some((of, i) => !columns[i].key && !of?.unchanged);
        if (whole) out.rows.push([row.public_schema, 2, row.source, schema.write(of(row.values, columns)), null]);
        else out.delete(schema, of(row.values, columns));
      } else {
        const keys = columns.filter((column) => column.key);
        out.updateFrom(schema, of(row.old_key, keys), of(row.values, columns));
      }
    }
    const written = encode(out.rows);
    assert.deepEqual(normal(written), normal(json), name);
    assert.equal(/-0\b(?!\.)/.test(written), /[[,]-0[\],]/.test(json), `${name}: the sign of -0`);
  }
});

/** What both mean: a float is written in more than one way, an int64 as number or string. */
function normal(json) {
  return JSON.parse(json, (_, x) => (typeof x === "number" ? String(x) : x));
}
