// Source tables: how the columns of a relation become the fields of a row.
//
// The host sends the subscribed columns, and always the replica identity, in catalog order, and that order changes with
// the table. So columns are matched by name, once for each relation.

import { isColumn } from "./column.js";
import { Rejected, fatal } from "./error.js";
import { kindName, travelsAs } from "./kind.js";
import { reader, writer } from "./row.js";
import { unchanged } from "./unchanged.js";

const OPS = ["insert", "update", "delete", "truncate"];

/** The fields of a row type, with the columns that they stand for. */
export function fieldsOf(columns, where) {
  const fields = Object.entries(columns).map(([name, column]) => {
    if (!isColumn(column)) throw new TypeError(`\`${name}\` of ${where} is no column; columns are made by \`pg\``);
    if (name === "__proto__") throw new TypeError(`a column of ${where} can't be the field __proto__; use named()`);
    return { name, column, columnName: column.columnName ?? name };
  });
  if (fields.length === 0) throw new TypeError(`${where} has no columns`);
  return fields;
}

/** A source table as its columns describe it. */
class Table {
  constructor(schema, name, columns, options = {}) {
    this.schema = schema;
    this.name = name;
    this.ops = options.ops ?? [];
    const wrong = this.ops.find((op) => !OPS.includes(op));
    if (wrong !== undefined) throw new TypeError(`\`${wrong}\` is no operation; they are ${OPS.join(", ")}`);
    this.fields = fieldsOf(columns, `table ${this}`);
    this.keys = this.fields.filter((field) => field.column.isKey);
    const refuse = (field) => {
      throw new TypeError(`\`${field.name}\` of a row of table ${this} is not ${field.column.type.takes}`);
    };
    this.writeKey = writer(this.keys, (field, x) => oddKey(field, x, refuse));
  }

  toString() {
    return `${this.schema}.${this.name}`;
  }

  /** Returns the fields marked `key()` alone. */
  keyOf(row) {
    const key = {};
    for (const { name } of this.keys) key[name] = row[name];
    return key;
  }
}

function oddKey(field, x, refuse) {
  if (x === null && field.column.isNullable) return null;
  return field.column.type.writeOdd?.(x) ?? refuse(field);
}

export const isTable = (value) => value instanceof Table;

/** Describes a source table: `table("public.orders", { id: pg.bigint.key() })`. */
export function table(name, columns, options) {
  const dot = name.indexOf(".");
  return dot < 0
    ? new Table("public", name, columns, options)
    : new Table(name.slice(0, dot), name.slice(dot + 1), columns, options);
}

/** Describes logical messages with a prefix, as `pg_logical_emit_message` writes them: inserts of these columns. */
export function message(prefix, columns) {
  return new Table("pg_logical_message", prefix, columns);
}

/** How the rows of one relation become those of a table. */
export class Plan {
  /** Holds a relation against the table that its rows are to be. */
  constructor(table, relation) {
    this.table = table;
    this.full = relation.identity === "full";
    this.columns = relation.columns.length;
    const seesOld = table.ops.length === 0 || table.ops.includes("update") || table.ops.includes("delete");
    const placed = table.fields.map((field) => {
      const at = relation.columns.findIndex((column) => column.name === field.columnName);
      if (at < 0) {
        fatal(
          `table ${table} has no column \`${field.columnName}\`, which the transform reads; was it renamed or dropped?`,
        );
      }
      const { kind, key } = relation.columns[at];
      const { type, isKey } = field.column;
      if (!type.accepts(kind)) {
        fatal(
          `column \`${field.columnName}\` of table ${table} is ${kindName(kind)}; the transform expects ${type.expected}`,
        );
      }
      if (isKey && seesOld && !key && !this.full) {
        fatal(
          `column \`${field.columnName}\` of table ${table} is marked key() and not part of the replica identity, so ` +
            `updates and deletes come without it; mark the columns of the replica identity, or ALTER TABLE ${table} ` +
            "REPLICA IDENTITY FULL",
        );
      }
      return { ...field, at, travels: travelsAs(kind) };
    });
    const odd = (field, x, old) => this.odd(field, x, old);
    this.row = reader(placed, odd);
    this.key = reader(
      placed.filter((field) => field.column.isKey),
      odd,
    );
  }

  /** Checks that a row has as many values as its relation has columns. */
  values(row) {
    if (!Array.isArray(row)) malformed();
    if (row.length !== this.columns) {
      fatal(`the host sent ${row.length} columns for table ${this.table}, whose relation has ${this.columns}`);
    }
    return row;
  }

  odd(field, x, old) {
    const { column, columnName, at, travels } = field;
    const { type } = column;
    if (Array.isArray(x) && x.length === 1 && x[0] === 0) {
      // Under REPLICA IDENTITY FULL the old row has what was left alone.
      const known = old?.[at];
      if (known === undefined || Array.isArray(known)) {
        if (column.isToasted) return unchanged;
        throw new Rejected(
          "unchanged",
          `column \`${columnName}\` of table ${this.table} is a TOASTed value that the update left alone, so it was ` +
            `not sent; mark the column toasted(), or ALTER TABLE ${this.table} REPLICA IDENTITY FULL`,
        );
      }
      return one(field, (f, y) => this.odd(f, y, undefined))([known]);
    }
    if (x === null) {
      if (column.isNullable) return null;
      throw new Rejected(
        "null",
        `column \`${columnName}\` of table ${this.table} is NULL; mark the column nullable() if that may be`,
      );
    }
    if (type.labels !== undefined && typeof x === "string") {
      throw new Rejected(
        "label",
        `column \`${columnName}\` of table ${this.table} holds a label that the enum does not have; add it`,
      );
    }
    const value = type.readOdd?.(x);
    if (value !== undefined) return value;
    const found = { boolean: "a boolean", number: "a number", string: "text" }[typeof x] ?? malformed();
    fatal(
      `column \`${columnName}\` of table ${this.table} arrived as ${found} and not as a ${travels}; the transform ` +
        `expects ${type.expected}`,
    );
  }
}

/** Reads the value of one field. */
function one(field, odd) {
  const read = (field.readOne ??= reader([{ ...field, at: 0 }], odd));
  return (values) => read(values)[field.name];
}

export function malformed() {
  fatal("the host's batch ends too early or is not what the contract says: host and SDK do not fit together");
}
