// MessagePack, in the shortest forms, as every SDK writes the values of the state.

import { Malformed, to } from "./bytes.js";

const I64_MAX = (1n << 63n) - 1n;

/** Writes an integer of at most 64 bits, a number or a bigint. */
export function writeInt(value) {
  if (typeof value === "bigint") {
    if (value > 0xffffffffn || value < -0x80000000n) {
      to.u8(value < 0n ? 0xd3 : 0xcf);
      return to.u64(value);
    }
    value = Number(value);
  }
  if (value >= -0x20 && value < 0x80) return to.u8(value);
  if (value >= 0) {
    if (value < 0x100) return to.u8(0xcc), to.u8(value);
    if (value < 0x10000) return to.u8(0xcd), to.u16(value);
    return to.u8(0xce), to.u32(value);
  }
  if (value >= -0x80) return to.u8(0xd0), to.u8(value);
  if (value >= -0x8000) return to.u8(0xd1), to.u16(value);
  return to.u8(0xd2), to.u32(value);
}

/** Takes an integer of at most 64 bits, as a number where it has 32 at most, else as a bigint. */
export function readInt(from) {
  const head = from.u8();
  if (head < 0x80) return head;
  if (head >= 0xe0) return head - 0x100;
  switch (head) {
    case 0xcc:
      return from.u8();
    case 0xcd:
      return from.u16();
    case 0xce:
      return from.u32();
    case 0xcf: {
      const value = from.u64();
      if (value > I64_MAX) throw new Malformed();
      return value;
    }
    case 0xd0:
      return (from.u8() << 24) >> 24;
    case 0xd1:
      return (from.u16() << 16) >> 16;
    case 0xd2:
      return from.u32() | 0;
    case 0xd3:
      return from.i64();
    default:
      throw new Malformed();
  }
}

/** Writes a length; `first` is the head with one byte of it, 0 if there is none, and those with more follow it. */
function writeLength(length, first, second) {
  if (first !== 0 && length < 0x100) return to.u8(first), to.u8(length);
  if (length < 0x10000) return to.u8(second), to.u16(length);
  return to.u8(second + 1), to.u32(length);
}

function readLength(from, size) {
  return size === 0 ? from.u8() : size === 1 ? from.u16() : from.u32();
}

export function writeText(bytes) {
  if (bytes.length < 32) to.u8(0xa0 | bytes.length);
  else writeLength(bytes.length, 0xd9, 0xda);
  to.append(bytes);
}

export function readText(from) {
  const head = from.u8();
  if (head >= 0xa0 && head < 0xc0) return from.take(head & 31);
  if (head >= 0xd9 && head <= 0xdb) return from.take(readLength(from, head - 0xd9));
  throw new Malformed();
}

export function writeBin(bytes) {
  writeLength(bytes.length, 0xc4, 0xc5);
  to.append(bytes);
}

export function readBin(from) {
  const head = from.u8();
  if (head < 0xc4 || head > 0xc6) throw new Malformed();
  return from.take(readLength(from, head - 0xc4));
}

export function writeArray(count) {
  if (count < 16) to.u8(0x90 | count);
  else writeLength(count, 0, 0xdc);
}

export function readArray(from) {
  const head = from.u8();
  if (head >= 0x90 && head < 0xa0) return head & 15;
  if (head === 0xdc || head === 0xdd) return readLength(from, head - 0xdb);
  throw new Malformed();
}

export function writeFloat(value) {
  to.u8(0xcb);
  to.f64(value);
}

export function readFloat(from) {
  const head = from.u8();
  if (head === 0xca) return from.view.getFloat32(from.step(4));
  if (head === 0xcb) return from.view.getFloat64(from.step(8));
  throw new Malformed();
}

export function writeNil() {
  to.u8(0xc0);
}

export function readNil(from) {
  if (from.u8() !== 0xc0) throw new Malformed();
}

export function writeBool(value) {
  to.u8(value ? 0xc3 : 0xc2);
}

export function readBool(from) {
  const head = from.u8();
  if (head !== 0xc2 && head !== 0xc3) throw new Malformed();
  return head === 0xc3;
}
