// Types of keys and values of the state: `codec.int64`, `codec.struct({ customer: codec.int64, cents: codec.int128 })`.
//
// Their bytes are those of every SDK, so a transform goes on with its state when it is rewritten in another language.
// Keys sort as their bytes do: a scan is in key order. Values are MessagePack, a struct an array of its fields.
//
//   key(value), readKey(reader)  a key
//   write(value), read(reader)   a value
//
// Values without texts, bytes and lists are kept as they are until the batch ends. Of these there is more:
//
//   copy(value)   checks a value, and makes one that is not the author's to change
//   is, copied    the same as code: an expression that is true for the usual value `x`, and what its copy is
//   size          how many bytes it has at most

import { Decimal } from "../text/decimal.js";
import { PgArray } from "../text/array.js";
import { Interval } from "../text/interval.js";
import { Json, Jsonb } from "../text/json.js";
import { PgDate, Time, Timestamp, Timestamptz, Timetz } from "../text/time.js";
import { Uuid } from "../text/uuid.js";
import { Names, quote } from "../row.js";
import { Malformed, textOf, to, utf8 } from "./bytes.js";
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

// With the sign bit flipped, negative numbers sort first.
const KEYS = {
  16: [to.u16, (from) => from.u16()],
  32: [to.u32, (from) => from.u32()],
  64: [to.u64, (from) => from.u64()],
  128: [
    (value) => {
      to.u64(value >> 64n);
      to.u64(value);
    },
    (from) => {
      const high = from.u64();
      return high === 0n ? from.u64() : (high << 64n) | from.u64();
    },
  ],
};

/** Integers: numbers up to 32 bits, bigints beyond. */
function integer(bits, signed) {
  const name = `${signed ? "int" : "uint"}${bits}`;
  const big = bits > 32;
  const native = (value) => (big ? value : Number(value));
  const half = native(signed ? 1n << BigInt(bits - 1) : 0n);
  const [min, max] = [-half, native((1n << BigInt(bits)) - 1n) - half];
  const typeName = big ? "bigint" : "number";
  const check = (value) => {
    if (typeof value === typeName && value >= min && value <= max && (big || value % 1 === 0)) return value;
    if (typeof value !== typeName || (!big && !Number.isInteger(value))) refuse(`an ${name} as a ${typeName}`, value);
    throw new TypeError(`the state takes an ${name} here, and the integer has more bits`);
  };
  const [writeKey, readKey] = KEYS[bits];
  const keys = {
    key: (value) => writeKey(check(value) + half),
    readKey: (from) => readKey(from) - half,
  };
  if (name === "uint128") return new Codec(name, keys);
  const copied = big ? "x" : "x + 0"; // a negative zero is no integer of the state
  const kept = {
    is: `typeof x === '${typeName}' && x >= ${min}${big ? "n" : ""} && x <= ${max}${big ? "n" : " && x % 1 === 0"}`,
    copied,
    copy: big ? check : (value) => check(value) + 0,
    size: bits / 8 + 2,
  };
  if (name === "uint64" || name === "int128") {
    // What an int64 can't hold travels as bytes.
    const size = bits / 8;
    const write = (value) => {
      check(value);
      to.u16(0xc400 | size);
      writeKey(value);
    };
    const read = (from) => {
      if (from.u8() !== 0xc4 || from.u8() !== size) throw new Malformed();
      const value = readKey(from);
      return value > max ? BigInt.asIntN(bits, value) : value;
    };
    return new Codec(name, { ...keys, ...kept, write, read });
  }
  const write = (value) => msgpack.writeInt(check(value));
  const read = (from) => {
    const value = msgpack.readInt(from);
    if (value < min || value > max) throw new Malformed();
    return big ? BigInt(value) : value;
  };
  return new Codec(name, { ...keys, ...kept, write, read });
}

/** Writes bytes as a key: a zero byte becomes 0 255, and the end is 0 0, so that it sorts before whatever may follow. */
function bytesKey(bytes) {
  if (!bytes.includes(0)) to.append(bytes);
  else for (let i = 0; i < bytes.length; i++) bytes[i] === 0 ? to.u16(0x00ff) : to.u8(bytes[i]);
  to.u16(0);
}

function readBytesKey(from) {
  const bytes = [];
  for (;;) {
    const byte = from.u8();
    if (byte !== 0) {
      bytes.push(byte);
      continue;
    }
    const next = from.u8();
    if (next === 0) return Uint8Array.from(bytes);
    if (next !== 0xff) throw new Malformed();
    bytes.push(0);
  }
}

const string = (name, toText, fromText) => ({
  key: (value) => bytesKey(utf8(toText(value))),
  readKey: (from) => fromText(textOf(readBytesKey(from))),
  write: (value) => msgpack.writeText(utf8(toText(value))),
  read: (from) => fromText(textOf(msgpack.readText(from))),
});

const text = (type, name) => {
  const toText = (value) => (value instanceof type ? value.text : refuse(`a ${type.name}`, value));
  return new Codec(name, string(name, toText, (text) => new type(text)));
};

const plain = (type) => (value) => (typeof value === type ? value : refuse(`a ${type}`, value));
const [asString, asBoolean, asNumber] = [plain("string"), plain("boolean"), plain("number")];
const asBytes = (value) => (value instanceof Uint8Array ? value : refuse("a Uint8Array", value));

/** Several types one behind the other; `names` are a struct's members or a tuple's indexes. */
function sequence(name, names, parts, empty) {
  const operations = {};
  if (parts.every((part) => part.write)) {
    operations.write = (value) => {
      msgpack.writeArray(parts.length);
      for (let i = 0; i < parts.length; i++) parts[i].write(value[names[i]]);
    };
    operations.read = (from) => {
      if (msgpack.readArray(from) !== parts.length) throw new Malformed();
      const value = empty();
      for (let i = 0; i < parts.length; i++) value[names[i]] = parts[i].read(from);
      return value;
    };
  }
  if (parts.every((part) => part.copy)) {
    operations.copy = copier(names, parts, empty);
    operations.size = parts.reduce((size, part) => size + part.size, 5);
  }
  if (parts.every((part) => part.key)) {
    operations.key = (value) => {
      for (let i = 0; i < parts.length; i++) parts[i].key(value[names[i]]);
    };
    operations.readKey = (from) => {
      const value = empty();
      for (let i = 0; i < parts.length; i++) value[names[i]] = parts[i].readKey(from);
      return value;
    };
  }
  return new Codec(name, operations);
}

/** Makes the function that copies a struct or a tuple, as code: see row.js. */
function copier(names, parts, empty) {
  const params = new Names();
  const copies = parts.map((part, i) => {
    const slow = `${params.add(part.copy)}(x)`;
    const copied = part.is === undefined ? slow : `${part.is} ? ${part.copied} : ${slow}`;
    return `(x = v[${quote(names[i])}], ${copied})`;
  });
  const literal = Array.isArray(empty())
    ? `[${copies.join(", ")}]`
    : `{ ${copies.map((copy, i) => `${quote(names[i])}: ${copy}`).join(", ")} }`;
  return params.make(`return (v) => { let x; return ${literal}; };`);
}

/** The types of keys and values of the state. */
export const codec = Object.freeze({
  boolean: new Codec("boolean", {
    key: (value) => to.u8(asBoolean(value) ? 1 : 0),
    readKey: (from) => {
      const byte = from.u8();
      if (byte > 1) throw new Malformed();
      return byte === 1;
    },
    write: (value) => msgpack.writeBool(asBoolean(value)),
    read: msgpack.readBool,
    copy: asBoolean,
    size: 1,
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
    write: (value) => msgpack.writeFloat(asNumber(value)),
    read: msgpack.readFloat,
    copy: asNumber,
    size: 9,
  }),
  text: new Codec("text", string("text", asString, String)),
  bytes: new Codec("bytes", {
    key: (value) => bytesKey(asBytes(value)),
    readKey: readBytesKey,
    write: (value) => msgpack.writeBin(asBytes(value)),
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
    key: () => {},
    readKey: () => true,
    write: () => msgpack.writeNil(),
    read: (from) => {
      msgpack.readNil(from);
      return true;
    },
    copy: () => true,
    size: 1,
  }),

  /** A value or `undefined`. */
  optional: (inner) =>
    new Codec("optional", {
      // An array of none or one.
      write: (value) => {
        msgpack.writeArray(value === undefined ? 0 : 1);
        if (value !== undefined) inner.write(value);
      },
      read: (from) => {
        const count = msgpack.readArray(from);
        if (count > 1) throw new Malformed();
        return count === 0 ? undefined : inner.read(from);
      },
      copy: inner.copy && ((value) => (value === undefined ? undefined : inner.copy(value))),
      size: inner.copy && inner.size + 1,
    }),

  list: (inner) =>
    new Codec("list", {
      write: (value) => {
        msgpack.writeArray(value.length);
        for (let i = 0; i < value.length; i++) inner.write(value[i]);
      },
      read: (from) => {
        const value = [];
        for (let left = msgpack.readArray(from); left > 0; left--) value.push(inner.read(from));
        return value;
      },
    }),

  tuple: (...parts) => sequence("tuple", [...parts.keys()], parts, () => []),

  /** An object with these members: as a value an array of them in this order, as a key one behind the other. */
  struct: (members) => {
    if (Object.hasOwn(members, "__proto__")) throw new TypeError("a struct of the state can't have the member __proto__");
    return sequence("struct", Object.keys(members), Object.values(members), () => ({}));
  },
});
