// What a column can be: `pg.bigint.key()`, `pg.text.nullable().toasted()`. One list for source tables and public schemas.
//
// A type says how its values are read from a batch and written into one, as small pieces of code: rows are read and
// written by functions made of them (row.js), which in an engine that only interprets is a third faster than a loop.
//
//   travels   what `typeof` says of it in the batch; only what is that takes the short way
//   read      an expression of `x`, its value in the batch
//   is, write an expression that is true for the usual value `x` of an author, and what it becomes
//   readOdd, writeOdd   the same for what is unusual; `undefined` refuses it

import { isText, travelsAs } from "./kind.js";
import { PgArray } from "./text/array.js";
import { Bytea, hex } from "./text/bytea.js";
import { Decimal } from "./text/decimal.js";
import { Interval } from "./text/interval.js";
import { Json, Jsonb } from "./text/json.js";
import { PgDate, Time, Timestamp, Timestamptz, Timetz } from "./text/time.js";
import { Text } from "./text/text.js";
import { Uuid } from "./text/uuid.js";

/** A column of a source table or of a public schema. Its methods return another one. */
class Column {
  constructor(type, traits = {}) {
    this.type = type;
    this.isKey = traits.isKey ?? false;
    this.isNullable = traits.isNullable ?? false;
    this.isToasted = traits.isToasted ?? false;
    this.columnName = traits.columnName;
    Object.freeze(this);
  }

  key() {
    return new Column(this.type, { ...this, isKey: true });
  }

  nullable() {
    return new Column(this.type, { ...this, isNullable: true });
  }

  toasted() {
    return new Column(this.type, { ...this, isToasted: true });
  }

  named(columnName) {
    return new Column(this.type, { ...this, columnName });
  }
}

export const isColumn = (value) => value instanceof Column;

const of = (...tags) => (kind) => tags.includes(kind.tag);
const asIs = { read: "x", write: "x" };
const native = (tag, type) => new Column({ kind: { tag }, ...asIs, ...type });

const FLOATS = { NaN, Infinity, "-Infinity": -Infinity };
/** JSON.stringify drops the sign of -0; what no text can hold stands for it until all is written. */
export const NEGATIVE_ZERO = "\0-0";

const float = (tag, expected, ...accepted) =>
  native(tag, {
    takes: "a number",
    expected,
    accepts: of(...accepted),
    readOdd: (x) => FLOATS[x],
    is: "typeof x === 'number' && x - x === 0 && x !== 0",
    writeOdd: (x) => (typeof x !== "number" ? undefined : x !== 0 ? String(x) : Object.is(x, -0) ? NEGATIVE_ZERO : 0),
  });

const string = (kind, more = {}) => ({
  ...asIs,
  kind,
  takes: "a string",
  expected: "a column that travels as text (not a boolean, integer, float or bytea)",
  accepts: isText,
  is: "typeof x === 'string'",
  ...more,
});

/** A type whose values are objects over Postgres's text. */
const text = (tag, values, expected, tags = [tag]) =>
  new Column({
    kind: { tag },
    values,
    takes: `a ${values.name}`,
    expected,
    // A domain has a name of its own, whatever it is over.
    accepts: of(...tags, "other"),
    read: "new V(x)",
    is: "x instanceof V",
    write: "x.text",
  });

/** How an array's elements are read, by the type of the element. */
function element(type) {
  if (type.kind.tag === "bool") return (x) => x === "t";
  if (type.kind.tag === "int64") return BigInt;
  if (travelsAs(type.kind) === "number") return Number;
  return type.values ? (x) => new type.values(x) : String;
}

const ARRAY_ELEMENTS = {
  bool: "boolean",
  int16: "smallint",
  int32: "integer",
  int64: "bigint",
  float32: "real",
  float64: "double precision",
  time: "time without time zone",
  timetz: "time with time zone",
  timestamp: "timestamp without time zone",
  timestamptz: "timestamp with time zone",
};

const elementName = (kind) => kind.val ?? ARRAY_ELEMENTS[kind.tag] ?? kind.tag;

/** The types of columns, by Postgres's names. */
export const pg = Object.freeze({
  boolean: native("bool", {
    takes: "a boolean",
    expected: "boolean",
    accepts: of("bool"),
    is: "typeof x === 'boolean'",
  }),
  smallint: native("int16", {
    takes: "an integer of 16 bits as a number",
    expected: "smallint",
    accepts: of("int16"),
    is: "typeof x === 'number' && (x << 16) >> 16 === x",
  }),
  integer: native("int32", {
    takes: "an integer of 32 bits as a number",
    expected: "integer or smallint",
    accepts: of("int16", "int32"),
    is: "typeof x === 'number' && (x | 0) === x",
  }),
  bigint: native("int64", {
    takes: "a bigint of 64 bits",
    expected: "bigint, integer or smallint",
    accepts: of("int16", "int32", "int64"),
    read: "BigInt(x)",
    is: "typeof x === 'bigint'",
    write: "x.toString()",
    writeOdd: (x) => (Number.isSafeInteger(x) ? String(x) : undefined),
  }),
  real: float("float32", "real", "float32"),
  double: float("float64", "double precision or real", "float32", "float64"),
  bytea: native("bytea", {
    values: Bytea,
    takes: "a Bytea or Uint8Array",
    expected: "bytea",
    accepts: of("bytea"),
    read: "new V(x)",
    is: "x instanceof V",
    write: "x.text",
    writeOdd: (x) => (x instanceof Uint8Array ? hex(x) : undefined),
  }),
  text: new Column(string({ tag: "text" })),
  numeric: text("numeric", Decimal, "numeric"),
  uuid: text("uuid", Uuid, "uuid"),
  json: text("json", Json, "json or jsonb", ["json", "jsonb"]),
  jsonb: text("jsonb", Jsonb, "jsonb or json", ["json", "jsonb"]),
  date: text("date", PgDate, "date"),
  time: text("time", Time, "time"),
  timetz: text("timetz", Timetz, "timetz"),
  timestamp: text("timestamp", Timestamp, "timestamp"),
  timestamptz: text("timestamptz", Timestamptz, "timestamptz"),
  interval: text("interval", Interval, "interval"),

  /** An enum: its values are these strings, or any where none are named. */
  enumeration: (...labels) => {
    if (labels.length === 0) return new Column(string({ tag: "enumeration" }));
    const known = new Set(labels);
    return new Column(
      string(
        { tag: "enumeration" },
        {
          labels: known,
          takes: `one of ${labels.join(", ")}`,
          expected: `an enum of ${labels.join(", ")}`,
          is: "typeof x === 'string' && V.has(x)",
          values: known,
        },
      ),
    );
  },

  /** An array: `pg.array(pg.integer)`. */
  array: ({ type }) =>
    new Column({
      kind: { tag: "array", val: elementName(type.kind) },
      values: PgArray,
      element: element(type),
      takes: "a PgArray",
      expected: "an array",
      accepts: of("array", "other"),
      read: "new V(x, E)",
      is: "x instanceof V",
      write: "x.text",
    }),

  /** Any other type, by Postgres's name: its values are Postgres's text. */
  other: (name) => new Column(string({ tag: "other", val: name })),
});

/** Returns true for a value that is read by an object over its text. */
export const isTextValue = (value) => value instanceof Text;
