// Where public rows go, and the helper for the ordinary case: one public row for one source row.

import { fatal } from "./error.js";
import { unchanged } from "./unchanged.js";

const INSERT = 0;
const UPDATE = 1;
const DELETE = 2;
const TRUNCATE = 3;
const OPS = ["insert", "update", "delete", "truncate"];

/** Takes the public rows that a change becomes, and knows the transaction that it belongs to. */
export class Out {
  constructor(schemas) {
    this.schemas = schemas;
    this.indexes = new Map(schemas.map((schema, index) => [schema, index]));
    /** `[public schema, op, source, [values], [old key] | null]` */
    this.rows = [];
    this.source = 0;
    this.span = undefined;
  }

  insert(schema, row) {
    const index = this.indexes.get(schema) ?? undeclared(schema);
    this.rows.push([index, INSERT, this.source, schema.write(row), null]);
  }

  update(schema, row) {
    this.rows.push([this.#keyed(schema, UPDATE), UPDATE, this.source, schema.write(row), null]);
  }

  updateFrom(schema, oldKey, row) {
    const index = this.#keyed(schema, UPDATE);
    this.#move(index, schema, schema.writeKey(oldKey), row);
  }

  delete(schema, key) {
    this.rows.push([this.#keyed(schema, DELETE), DELETE, this.source, schema.writeDeleted(key), null]);
  }

  truncate(schema) {
    const index = this.indexes.get(schema) ?? undeclared(schema);
    this.rows.push([index, TRUNCATE, this.source, [], null]);
  }

  /**
   * Publishes one row for each source row that `map` makes one of.
   *
   * | change | what is published |
   * |---|---|
   * | insert | the row, if there is one |
   * | update | the new row, from the old key if it changed; if there is none any more, a delete by the old key |
   * | delete | a delete by key |
   * | truncate | a truncate |
   */
  map(change, schema, map) {
    const { op, table, old } = change;
    if (table.keys.length !== schema.keys.length) otherKeys(schema, table);
    if (op === "insert" || (op === "update" && old === undefined)) {
      // Short, for most changes are of these two: no key has changed.
      // The key first: `map` may change the row that it is read from.
      const oldKey = op === "update" ? keyOf(schema, table, change.oldKey) : undefined;
      const row = map(change.new);
      if (row === null || row === undefined) {
        if (op === "update") this.delete(schema, oldKey);
        return;
      }
      checkKey(schema, table, row, change.new);
      if (op === "insert") this.insert(schema, row);
      else this.update(schema, row);
      return;
    }
    const sameKey = (row) => {
      const mapped = map(row);
      if (mapped !== null && mapped !== undefined) checkKey(schema, table, mapped, row);
      return mapped;
    };
    this.mapWithKey(change, schema, (key) => keyOf(schema, table, key), sameKey);
  }

  /** As `map`, with a function that makes the public key of the source key. */
  mapWithKey(change, schema, key, map) {
    const { op, old } = change;
    if (op === "truncate") {
      this.truncate(schema);
    } else if (op === "insert") {
      const row = map(change.new);
      if (row !== null && row !== undefined) this.insert(schema, row);
    } else if (op === "delete") {
      // The whole old row tells whether it was published at all.
      const was = old.row === undefined ? key(old.key) : map(old.row);
      if (was !== null && was !== undefined) this.delete(schema, was);
    } else {
      const was = old?.row === undefined ? key(change.oldKey) : map(old.row);
      const row = map(change.new);
      if (was === null || was === undefined) {
        if (row !== null && row !== undefined) this.insert(schema, row);
      } else if (row === null || row === undefined) {
        this.delete(schema, was);
      } else {
        this.updateFrom(schema, was, row);
      }
    }
  }

  #move(index, schema, oldKey, row) {
    const key = same(schema.writeKey(row), oldKey) ? null : oldKey;
    this.rows.push([index, UPDATE, this.source, schema.write(row), key]);
  }

  #keyed(schema, op) {
    if (!schema.hasKey) {
      fatal(`public schema \`${schema.name}\` has no key(), so it is append-only: ${OPS[op]}s can't be published`);
    }
    return this.indexes.get(schema) ?? undeclared(schema);
  }
}

function undeclared(schema) {
  const name = schema?.name ?? "?";
  return fatal(`the transform does not declare public schema \`${name}\`: add it to \`publishes\``);
}

/** Makes the public key of a source key, by their order. */
function keyOf(schema, table, key) {
  const publicKey = {};
  for (let i = 0; i < table.keys.length; i++) publicKey[schema.keys[i].name] = key[table.keys[i].name];
  return publicKey;
}

/** Checks that a row has the key of the row that it was made of. */
function checkKey(schema, table, mapped, row) {
  for (let i = 0; i < schema.keys.length; i++) {
    const value = mapped[schema.keys[i].name];
    // Zero has a sign, which this does not see; and what is unchanged is no key.
    if (value === row[table.keys[i].name] && value !== 0 && value !== unchanged) continue;
    if (!same(schema.writeKey(mapped), table.writeKey(row))) otherKeys(schema, table);
    return;
  }
}

function otherKeys(schema, table) {
  fatal(`public schema \`${schema.name}\` has other keys than table ${table}; use mapWithKey`);
}

/** Compares two keys as they travel. */
function same(a, b) {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}
