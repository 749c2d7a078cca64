// MessagePack, in the shortest forms, as every SDK writes the values of the state.

import { Malformed } from "./bytes.js";

const I64_MIN = -(1n << 63n);
const I64_MAX = (1n << 63n) - 1n;

/** Writes an integer of at most 64 bits. */
export function writeInt(to, value) {
  if (typeof value === "number" && (value > 0x7fffffff || value < -0x80000000)) value = BigInt(value);
  if (typeof value === "bigint") {
    if (value < -0x80000000n || value > 0xffffffffn) {
      to.push(value < 0n ? 0xd3 : 0xcf);
      return to.integer(value, 8);
    }
    value = Number(value);
    if (value > 0x7fffffff) {
      to.push(0xce);
      return to.integer(value, 4);
    }
  }
  if (value >= 0) {
    if (value < 0x80) return to.push(value);
    const size = value < 0x100 ? 1 : value < 0x10000 ? 2 : 4;
    to.push({ 1: 0xcc, 2: 0xcd, 4: 0xce }[size]);
    return to.integer(value, size);
  }
  if (value >= -0x20) return to.push(value + 0x100);
  const size = value >= -0x80 ? 1 : value >= -0x8000 ? 2 : 4;
  to.push({ 1: 0xd0, 2: 0xd1, 4: 0xd2 }[size]);
  return to.integer(value, size);
}

/** Takes an integer of at most 64 bits, as a bigint. */
export function readInt(from) {
  const head = from.byte();
  if (head < 0x80) return BigInt(head);
  if (head >= 0xe0) return BigInt(head - 0x100);
  if (head >= 0xcc && head <= 0xcf) {
    const value = from.unsignedBig(1 << (head - 0xcc));
    if (value > I64_MAX) throw new Malformed();
    return value;
  }
  if (head >= 0xd0 && head <= 0xd3) {
    const size = 1 << (head - 0xd0);
    return BigInt.asIntN(size * 8, from.unsignedBig(size));
  }
  throw new Malformed();
}

function writeHead(to, length, short, shortMax, heads) {
  if (length <= shortMax) return to.push(short | length);
  const size = length < 0x100 && heads[1] ? 1 : length < 0x10000 ? 2 : 4;
  to.push(heads[size]);
  return to.integer(length, size);
}

export function writeText(to, bytes) {
  writeHead(to, bytes.length, 0xa0, 31, { 1: 0xd9, 2: 0xda, 4: 0xdb });
  to.append(bytes);
}

export function readText(from) {
  const head = from.byte();
  if (head >= 0xa0 && head < 0xc0) return from.take(head & 31);
  if (head >= 0xd9 && head <= 0xdb) return from.take(from.unsigned(1 << (head - 0xd9)));
  throw new Malformed();
}

export function writeBin(to, bytes) {
  writeHead(to, bytes.length, 0, -1, { 1: 0xc4, 2: 0xc5, 4: 0xc6 });
  to.append(bytes);
}

export function readBin(from) {
  const head = from.byte();
  if (head < 0xc4 || head > 0xc6) throw new Malformed();
  return from.take(from.unsigned(1 << (head - 0xc4)));
}

export function writeArray(to, count) {
  writeHead(to, count, 0x90, 15, { 2: 0xdc, 4: 0xdd });
}

export function readArray(from) {
  const head = from.byte();
  if (head >= 0x90 && head < 0xa0) return head & 15;
  if (head === 0xdc || head === 0xdd) return from.unsigned(head === 0xdc ? 2 : 4);
  throw new Malformed();
}

export function writeFloat(to, value) {
  to.push(0xcb);
  to.float64(value);
}

export function readFloat(from) {
  const head = from.byte();
  if (head !== 0xca && head !== 0xcb) throw new Malformed();
  const bytes = from.take(head === 0xca ? 4 : 8);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return head === 0xca ? view.getFloat32(0) : view.getFloat64(0);
}

export function writeNil(to) {
  to.push(0xc0);
}

export function readNil(from) {
  if (from.byte() !== 0xc0) throw new Malformed();
}

export function writeBool(to, value) {
  to.push(value ? 0xc3 : 0xc2);
}

export function readBool(from) {
  const head = from.byte();
  if (head !== 0xc2 && head !== 0xc3) throw new Malformed();
  return head === 0xc3;
}

export { I64_MAX, I64_MIN };
