// Bytes on their way in and out of the state.

/** Bytes that grow. */
export class Bytes {
  length = 0;
  #array = new Uint8Array(256);

  /** Makes room for `count` more bytes, and returns where they begin. */
  #grow(count) {
    const at = this.length;
    this.length += count;
    if (this.length > this.#array.length) {
      const larger = new Uint8Array(this.length * 2);
      larger.set(this.#array);
      this.#array = larger;
    }
    return at;
  }

  push(byte) {
    this.#array[this.#grow(1)] = byte;
  }

  append(bytes) {
    const at = this.#grow(bytes.length);
    this.#array.set(bytes, at);
  }

  /** Appends the low `size` bytes of `value`, the greatest first. */
  integer(value, size) {
    const end = this.#grow(size) + size;
    if (typeof value === "bigint") {
      for (let at = end - 1; at >= end - size; at--, value >>= 8n) this.#array[at] = Number(value & 0xffn);
    } else {
      for (let at = end - 1; at >= end - size; at--, value >>= 8) this.#array[at] = value;
    }
  }

  float64(value) {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value);
    this.append(new Uint8Array(view.buffer));
  }

  take() {
    return this.#array.slice(0, this.length);
  }
}

/** Thrown for bytes that are not what is read of them. */
export class Malformed extends Error {}

/** Bytes that are read front to back. */
export class Reader {
  #at = 0;

  constructor(bytes) {
    this.bytes = bytes;
  }

  get isEmpty() {
    return this.#at === this.bytes.length;
  }

  byte() {
    if (this.#at >= this.bytes.length) throw new Malformed();
    return this.bytes[this.#at++];
  }

  take(count) {
    const end = this.#at + count;
    if (end > this.bytes.length) throw new Malformed();
    const taken = this.bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  /** Takes an unsigned integer of up to 4 bytes. */
  unsigned(size) {
    let value = 0;
    for (const byte of this.take(size)) value = value * 256 + byte;
    return value;
  }

  /** Takes an unsigned integer of any size. */
  unsignedBig(size) {
    let value = 0n;
    for (const byte of this.take(size)) value = (value << 8n) | BigInt(byte);
    return value;
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
