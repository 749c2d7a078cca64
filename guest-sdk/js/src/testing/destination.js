// The tables that public rows are kept in: what a reader of the destination sees.

import { unchanged } from "../unchanged.js";

export class Destination {
  #tables = new Map();

  /** Applies public rows in their order. */
  apply(rows) {
    for (const row of rows) this.#apply(row);
  }

  #apply({ schema, op, columns, oldKey }) {
    const table = this.#tables.get(schema) ?? [];
    this.#tables.set(schema, op === "truncate" ? [] : table);
    if (op === "truncate") return;
    const values = columns.map(([, cell]) => cell);
    if (!schema.hasKey) {
      table.push(values);
      return;
    }
    const keyOf = (row) => JSON.stringify(schema.keys.map((key) => String(row[schema.columns.indexOf(key)])));
    const old = oldKey ? JSON.stringify(oldKey.map(String)) : keyOf(values);
    const at = table.findIndex((existing) => keyOf(existing) === old);
    const [existing] = at < 0 ? [] : table.splice(at, 1);
    if (op === "delete") return;
    const untouched = values.some((cell) => cell.value === unchanged);
    // There is nothing to leave as it is: an UPDATE that finds no row.
    if (untouched && !existing) return;
    const row = values.map((cell, i) => (cell.value === unchanged ? existing[i] : cell));
    const same = table.findIndex((other) => keyOf(other) === keyOf(row));
    if (same >= 0) table.splice(same, 1);
    table.push(row);
  }

  /** Returns the rows of a schema as text, sorted by their keys. */
  table(schema) {
    const keys = schema.keys.map((key) => schema.columns.indexOf(key));
    const compare = (a, b) => {
      for (const i of keys) {
        const order = before(a[i], b[i]) ? -1 : before(b[i], a[i]) ? 1 : 0;
        if (order !== 0) return order;
      }
      return 0;
    };
    const rows = [...(this.#tables.get(schema) ?? [])].sort(compare);
    return rows.map((row) => row.map((cell, i) => `${schema.columns[i].columnName}=${cell}`).join(" "));
  }
}

function before(a, b) {
  const numbers = typeof a.value !== "string" && typeof b.value !== "string";
  return numbers ? a.value < b.value : String(a) < String(b);
}
