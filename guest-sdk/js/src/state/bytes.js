// Bytes on their way in and out of the state.
//
// An engine that interprets is slow at each step and fast inside of its own functions: so what is wide goes through a
// DataView, all that is written goes into one buffer until that is full, and there is one reader for all that is read.

const BUFFER_BYTES = 1 << 16;

let array = new Uint8Array(BUFFER_BYTES);
let view = new DataView(array.buffer);
/** Where the value that is being written begins, and how far it is. */
let start = 0;
let end = 0;

/** Goes on in another buffer, which has room for `count` more bytes. */
function enlarge(count) {
  const begun = array.subarray(start, end);
  array = new Uint8Array(Math.max(BUFFER_BYTES, (begun.length + count) * 2));
  array.set(begun);
  view = new DataView(array.buffer);
  start = 0;
  end = begun.length;
}

/** Takes bytes, one value behind the other. */
export const to = {
  u8(byte) {
    if (end + 1 > array.length) enlarge(1);
    array[end] = byte;
    end += 1;
  },
  u16(value) {
    if (end + 2 > array.length) enlarge(2);
    view.setUint16(end, value);
    end += 2;
  },
  u32(value) {
    if (end + 4 > array.length) enlarge(4);
    view.setUint32(end, value);
    end += 4;
  },
  u64(value) {
    if (end + 8 > array.length) enlarge(8);
    view.setBigUint64(end, value);
    end += 8;
  },
  f64(value) {
    if (end + 8 > array.length) enlarge(8);
    view.setFloat64(end, value);
    end += 8;
  },
  append(bytes) {
    if (end + bytes.length > array.length) enlarge(bytes.length);
    array.set(bytes, end);
    end += bytes.length;
  },
};

/** Returns what `write` writes into {@link to}. It is a part of the buffer, which lives as long as any of its parts. */
export function written(write, value, before) {
  start = end;
  if (before !== undefined) to.append(before);
  write(value);
  return array.subarray(start, end);
}

/** Thrown for bytes that are not what is read of them. */
export class Malformed extends Error {}

/** Bytes that are read front to back. */
export class Reader {
  constructor(bytes) {
    this.begin(bytes);
  }

  /** Reads other bytes from now on. */
  begin(bytes) {
    this.bytes = bytes;
    this.at = 0;
    this.wide = undefined;
    return this;
  }

  get isEmpty() {
    return this.at === this.bytes.length;
  }

  /** What the values of several bytes are read with. */
  get view() {
    const { bytes } = this;
    return (this.wide ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
  }

  /** Steps over `count` bytes, and returns where they begin. */
  step(count) {
    const at = this.at;
    this.at = at + count;
    if (this.at > this.bytes.length) throw new Malformed();
    return at;
  }

  u8() {
    const { at, bytes } = this;
    if (at === bytes.length) throw new Malformed();
    this.at = at + 1;
    return bytes[at];
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
