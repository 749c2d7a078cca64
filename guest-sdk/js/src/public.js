// Public schemas: what a transform publishes.

import { NEGATIVE_ZERO } from "./column.js";
import { writer } from "./row.js";
import { fieldsOf } from "./table.js";
import { UNCHANGED_WIRE, unchanged } from "./unchanged.js";

/** What an owner exposes: a name, a version, columns and a key. */
class PublicSchema {
  constructor(name, version, columns) {
    const parts = /^(\d+)\.(\d+)$/.exec(version);
    if (!parts) throw new TypeError(`the version of public schema \`${name}\` is to be "major.minor", such as "1.0"`);
    this.name = name;
    this.major = Number(parts[1]);
    this.minor = Number(parts[2]);
    this.columns = fieldsOf(columns, `public schema \`${name}\``);
    this.keys = this.columns.filter((column) => column.column.isKey);
    const odd = (column, x) => this.#odd(column, x);
    const isKey = (column) => column.column.isKey;
    this.write = writer(this.columns, odd);
    this.writeKey = writer(this.keys, odd);
    this.writeDeleted = writer(this.columns, odd, isKey, UNCHANGED_WIRE);
  }

  get hasKey() {
    return this.keys.length > 0;
  }

  #odd({ name, column }, x) {
    const where = `column \`${name}\` of public schema \`${this.name}\``;
    if (x === null) {
      if (column.isNullable) return null;
      throw new TypeError(`${where} is null; mark the column nullable() if that may be`);
    }
    if (x === unchanged) {
      if (column.isToasted) return UNCHANGED_WIRE;
      throw new TypeError(`${where} is unchanged; mark the column toasted() if that may be`);
    }
    const written = column.type.writeOdd?.(x);
    if (written !== undefined) return written;
    throw new TypeError(`${where} takes ${column.type.takes}, not ${describe(x)}`);
  }
}

/** Says what a value is, and not which. */
function describe(x) {
  if (x === undefined) return "undefined";
  if (typeof x === "object") return `a ${x.constructor?.name ?? "object"}`;
  return typeof x === "number" && !Number.isInteger(x) ? "a number with a fraction" : `a ${typeof x}`;
}

/** Describes a public schema: `publicSchema("orders", "1.0", { id: pg.bigint.key(), label: pg.text })`. */
export function publicSchema(name, version, columns) {
  return new PublicSchema(name, version, columns);
}

export const isPublicSchema = (value) => value instanceof PublicSchema;

// As JSON writes it. No text can hold NUL, so it is no text's.
const NEGATIVE_ZERO_JSON = JSON.stringify(NEGATIVE_ZERO);

/** Writes rows, `[public schema, op, source, [values], [old key] | null]`, as JSON. */
export function encode(rows) {
  const json = JSON.stringify(rows);
  return json.includes(NEGATIVE_ZERO_JSON) ? json.replaceAll(NEGATIVE_ZERO_JSON, "-0") : json;
}
