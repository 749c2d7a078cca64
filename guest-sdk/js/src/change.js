// A change of a source table, as its function gets it.

import { Rejected, fatal } from "./error.js";

/** What Postgres sent of the row that was updated or deleted. */
class Old {
  #table;
  #key;

  constructor(table, row, key) {
    this.#table = table;
    this.#key = key;
    this.row = row;
  }

  get key() {
    return (this.#key ??= this.#table.keyOf(this.row));
  }
}

/** One change: `op` says which of `new` and `old` there are. */
class Change {
  constructor(op, table, row, old) {
    this.op = op;
    this.table = table;
    this.new = row;
    this.old = old;
  }

  get newRow() {
    return this.new;
  }

  get oldKey() {
    if (this.old !== undefined) return this.old.key;
    return this.op === "update" ? this.table.keyOf(this.new) : undefined;
  }
}

/** Reads a change's rows into those of its table. */
export function readChange(plan, op, newValues, oldValues) {
  const { table } = plan;
  switch (op) {
    case 0:
      return new Change("insert", table, plan.row(plan.values(newValues)));
    case 1: {
      const fills = plan.full && oldValues !== null ? plan.values(oldValues) : undefined;
      return new Change("update", table, plan.row(plan.values(newValues), fills), readOld(plan, oldValues));
    }
    case 2: {
      const old = readOld(plan, oldValues);
      if (old === undefined) {
        throw new Rejected("no-old-row", `a delete of table ${table} came without its old row`);
      }
      return new Change("delete", table, undefined, old);
    }
    case 3:
      return new Change("truncate", table);
    default:
      return fatal(`the host sent the unknown operation ${op}`);
  }
}

function readOld(plan, values) {
  if (values === null) return undefined;
  plan.values(values);
  return plan.full ? new Old(plan.table, plan.row(values)) : new Old(plan.table, undefined, plan.key(values));
}
