// Bytes on their way in and out of the state.
//
// An engine that interprets is slow at each step and fast inside of its own functions: so integers go through a DataView,
// and all that is written goes through one buffer.

let array = new Uint8Array(1024);
let view = new DataView(array.buffer);
let length = 0;

/** Makes room for `count` more bytes, and returns where they begin. */
function grow(count) {
  const at = length;
  length += count;
  if (length > array.length) {
    const larger = new Uint8Array(length * 2);
    larger.set(array);
    array = larger;
    view = new DataView(array.buffer);
  }
  return at;
}

/** Takes bytes, one value behind the other. There is one, and what it holds is taken before the next begins. */
export const to = {
  u8(byte) {
    const at = grow(1);
    array[at] = byte;
  },
  u16(value) {
    const at = grow(2);
    view.setUint16(at, value);
  },
  u32(value) {
    const at = grow(4);
    view.setUint32(at, value);
  },
  u64(value) {
    const at = grow(8);
    view.setBigUint64(at, value);
  },
  f64(value) {
    const at = grow(8);
    view.setFloat64(at, value);
  },
  append(bytes) {
    const at = grow(bytes.length);
    array.set(bytes, at);
  },
};

/** Returns what `write` has written into {@link to}. */
export function written(write, value, before) {
  length = 0;
  if (before !== undefined) to.append(before);
  write(value);
  return array.slice(0, length);
}

/** Thrown for bytes that are not what is read of them. */
export class Malformed extends Error {}

/** Bytes that are read front to back. */
export class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = 0;
  }

  get isEmpty() {
    return this.at === this.bytes.length;
  }

  /** Steps over `count` bytes, and returns where they begin. */
  step(count) {
    const at = this.at;
    this.at = at + count;
    if (this.at > this.bytes.length) throw new Malformed();
    return at;
  }

  u8() {
    return this.bytes[this.step(1)];
  }

  u16() {
    return this.view.getUint16(this.step(2));
  }

  u32() {
    return this.view.getUint32(this.step(4));
  }

  u64() {
    return this.view.getBigUint64(this.step(8));
  }

  i64() {
    return this.view.getBigInt64(this.step(8));
  }

  take(count) {
    const at = this.step(count);
    return this.bytes.subarray(at, at + count);
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const utf8 = (text) => encoder.encode(text);

export function textOf(bytes) {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Malformed();
  }
}
