// Types of keys and values of the state: `codec.int64`, `codec.struct({ customer: codec.int64, cents: codec.int128 })`.
//
// Their bytes are those of every SDK, so a transform goes on with its state when it is rewritten in another language.
// Keys sort as their bytes do: a scan is in key order. Values are MessagePack, a struct an array of its fields.
//
//   key(value), readKey(reader)     a key as a string of one letter a byte, and back
//   write(to, value), read(reader)  a value

import { Decimal } from "../text/decimal.js";
import { PgArray } from "../text/array.js";
import { Interval } from "../text/interval.js";
import { Json, Jsonb } from "../text/json.js";
import { PgDate, Time, Timestamp, Timestamptz, Timetz } from "../text/time.js";
import { Uuid } from "../text/uuid.js";
import { Malformed, textOf, utf8 } from "./bytes.js";
import * as msgpack from "./msgpack.js";

/** A type of keys, values or both. */
class Codec {
  constructor(name, operations) {
    this.name = name;
    Object.assign(this, operations);
    Object.freeze(this);
  }
}

function refuse(name, value) {
  const found = value === null ? "null" : typeof value === "object" ? `a ${value.constructor?.name}` : typeof value;
  throw new TypeError(`the state takes ${name} here, not ${found}`);
}

/** The letters of the low `bits` bits of an integer. */
function letters(value, bits) {
  if (bits > 32) return letters(value >> 32n, bits - 32) + letters(BigInt.asUintN(32, value), 32);
  const low = Number(BigInt.asUintN(32, BigInt(value)));
  return bits === 32
    ? String.fromCharCode(low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255)
    : String.fromCharCode((low >>> 8) & 255, low & 255);
}

/** Integers: numbers up to 32 bits, bigints beyond. */
function integer(bits, signed) {
  const name = `${signed ? "int" : "uint"}${bits}`;
  const size = bits / 8;
  const half = signed ? 1n << BigInt(bits - 1) : 0n;
  const [min, max] = [-half, (1n << BigInt(bits)) - half - 1n];
  const big = bits > 32;
  const check = (value) => {
    const fits = big ? typeof value === "bigint" : Number.isInteger(value);
    if (!fits) refuse(`an ${name} as a ${big ? "bigint" : "number"}`, value);
    if (value < min || value > max) throw new TypeError(`the state takes an ${name} here, and the integer has more bits`);
    return value;
  };
  const native = (value) => (big ? value : Number(value));
  const keys = {
    // With the sign bit flipped, negative numbers sort first.
    key: (value) => letters(BigInt(check(value)) + half, bits),
    readKey: (from) => native(from.unsignedBig(size) - half),
  };
  if (name === "uint128") return new Codec(name, keys);
  if (name === "uint64" || name === "int128") {
    // What an int64 can't hold travels as bytes.
    const write = (to, value) => {
      check(value);
      to.push(0xc4);
      to.push(size);
      to.integer(value, size);
    };
    const read = (from) => {
      if (from.byte() !== 0xc4 || from.byte() !== size) throw new Malformed();
      const value = from.unsignedBig(size);
      return signed ? BigInt.asIntN(bits, value) : value;
    };
    return new Codec(name, { ...keys, write, read });
  }
  const write = (to, value) => msgpack.writeInt(to, check(value));
  const read = (from) => {
    const value = msgpack.readInt(from);
    if (value < min || value > max) throw new Malformed();
    return native(value);
  };
  return new Codec(name, { ...keys, write, read });
}

/** The letters of bytes: a zero byte becomes 0 255, and the end is 0 0, so that it sorts before whatever may follow. */
function bytesKey(bytes) {
  let key = "";
  for (const byte of bytes) key += byte === 0 ? "\0\xff" : String.fromCharCode(byte);
  return key + "\0\0";
}

function readBytesKey(from) {
  const bytes = [];
  for (;;) {
    const byte = from.byte();
    if (byte !== 0) {
      bytes.push(byte);
      continue;
    }
    const next = from.byte();
    if (next === 0) return Uint8Array.from(bytes);
    if (next !== 0xff) throw new Malformed();
    bytes.push(0);
  }
}

const string = (name, toText, fromText) => ({
  key: (value) => bytesKey(utf8(toText(value))),
  readKey: (from) => fromText(textOf(readBytesKey(from))),
  write: (to, value) => msgpack.writeText(to, utf8(toText(value))),
  read: (from) => fromText(textOf(msgpack.readText(from))),
});

const text = (type, name) => {
  const toText = (value) => (value instanceof type ? value.text : refuse(`a ${type.name}`, value));
  return new Codec(name, string(name, toText, (text) => new type(text)));
};

const plain = (type) => (value) => (typeof value === type ? value : refuse(`a ${type}`, value));
const [asString, asBoolean, asNumber] = [plain("string"), plain("boolean"), plain("number")];
const asBytes = (value) => (value instanceof Uint8Array ? value : refuse("a Uint8Array", value));

/** Several types one behind the other; `parts` are [name, codec], a struct's by name and a tuple's by index. */
function sequence(name, parts, empty) {
  const operations = {};
  if (parts.every(([, part]) => part.write)) {
    operations.write = (to, value) => {
      msgpack.writeArray(to, parts.length);
      for (const [field, part] of parts) part.write(to, value[field]);
    };
    operations.read = (from) => {
      if (msgpack.readArray(from) !== parts.length) throw new Malformed();
      const value = empty();
      for (const [field, part] of parts) value[field] = part.read(from);
      return value;
    };
  }
  if (parts.every(([, part]) => part.key)) {
    operations.key = (value) => parts.map(([field, part]) => part.key(value[field])).join("");
    operations.readKey = (from) => {
      const value = empty();
      for (const [field, part] of parts) value[field] = part.readKey(from);
      return value;
    };
  }
  return new Codec(name, operations);
}

/** The types of keys and values of the state. */
export const codec = Object.freeze({
  boolean: new Codec("boolean", {
    key: (value) => (asBoolean(value) ? "\x01" : "\0"),
    readKey: (from) => {
      const byte = from.byte();
      if (byte > 1) throw new Malformed();
      return byte === 1;
    },
    write: (to, value) => msgpack.writeBool(to, asBoolean(value)),
    read: msgpack.readBool,
  }),
  int16: integer(16, true),
  int32: integer(32, true),
  int64: integer(64, true),
  int128: integer(128, true),
  uint16: integer(16, false),
  uint32: integer(32, false),
  uint64: integer(64, false),
  uint128: integer(128, false),
  float64: new Codec("float64", {
    write: (to, value) => msgpack.writeFloat(to, asNumber(value)),
    read: msgpack.readFloat,
  }),
  text: new Codec("text", string("text", asString, String)),
  bytes: new Codec("bytes", {
    key: (value) => bytesKey(asBytes(value)),
    readKey: readBytesKey,
    write: (to, value) => msgpack.writeBin(to, asBytes(value)),
    read: (from) => msgpack.readBin(from).slice(),
  }),
  decimal: text(Decimal, "decimal"),
  date: text(PgDate, "date"),
  time: text(Time, "time"),
  timetz: text(Timetz, "timetz"),
  timestamp: text(Timestamp, "timestamp"),
  timestamptz: text(Timestamptz, "timestamptz"),
  interval: text(Interval, "interval"),
  uuid: text(Uuid, "uuid"),
  json: text(Json, "json"),
  jsonb: text(Jsonb, "jsonb"),
  array: text(PgArray, "array"),

  /** `true` alone: the value of a map that is a set, or the one key of the state of a whole transform. */
  unit: new Codec("unit", {
    key: () => "",
    readKey: () => true,
    write: (to) => msgpack.writeNil(to),
    read: (from) => {
      msgpack.readNil(from);
      return true;
    },
  }),

  /** A value or `undefined`. */
  optional: (inner) =>
    new Codec("optional", {
      // An array of none or one.
      write: (to, value) => {
        msgpack.writeArray(to, value === undefined ? 0 : 1);
        if (value !== undefined) inner.write(to, value);
      },
      read: (from) => {
        const count = msgpack.readArray(from);
        if (count > 1) throw new Malformed();
        return count === 0 ? undefined : inner.read(from);
      },
    }),

  list: (inner) =>
    new Codec("list", {
      write: (to, value) => {
        msgpack.writeArray(to, value.length);
        for (const item of value) inner.write(to, item);
      },
      read: (from) => Array.from({ length: msgpack.readArray(from) }, () => inner.read(from)),
    }),

  tuple: (...parts) => sequence("tuple", [...parts.entries()], () => []),

  /** An object with these members: as a value an array of them in this order, as a key one behind the other. */
  struct: (members) => sequence("struct", Object.entries(members), () => ({})),
});
