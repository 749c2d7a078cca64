// Where public rows go, and the helper for the ordinary case: one public row for one source row.

import { fatal } from "./error.js";

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
    this.rows.push([this.#index(schema), INSERT, this.source, schema.write(row), null]);
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
    this.rows.push([this.#index(schema), TRUNCATE, this.source, [], null]);
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
    const { table } = change;
    if (table.keys.length !== schema.keys.length) otherKeys(schema, table);
    const sameKey = (row) => {
      const mapped = map(row);
      if (mapped !== null && mapped !== undefined && !same(schema.writeKey(mapped), table.writeKey(row))) {
        otherKeys(schema, table);
      }
      return mapped;
    };
    const key = (sourceKey) => {
      const publicKey = {};
      table.keys.forEach(({ name }, i) => (publicKey[schema.keys[i].name] = sourceKey[name]));
      return publicKey;
    };
    this.mapWithKey(change, schema, key, sameKey);
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
    return this.#index(schema);
  }

  #index(schema) {
    const index = this.indexes.get(schema);
    if (index === undefined) {
      const name = schema?.name ?? "?";
      fatal(`the transform does not declare public schema \`${name}\`: add it to \`publishes\``);
    }
    return index;
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
