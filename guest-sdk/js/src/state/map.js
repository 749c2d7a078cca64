// State: a transform's own keys and values, committed together with the rows that it made.
//
// A transform that uses it says `stateful` (or `stateVersion`). An instance may be replaced between any two batches, so
// whatever must survive goes here, never into fields. It is used in the functions that take changes, never in `init`.

import { fatal } from "../error.js";
import { Malformed, Reader, utf8, written } from "./bytes.js";
import * as overlay from "./overlay.js";

/** How many entries are read at once. */
const BATCH = 256;

/** How many keys are remembered: a change asks for the same one several times. */
const KEYS_MAX = 4096;

/** A part of the state, with keys and values of one type each. */
export class StateMap {
  #prefix;
  /** Keys that were made before, by the plain values that they are of. */
  #keys = new Map();

  /** Names a part of the state; two maps of one transform have different names. */
  constructor(name, key, value) {
    if (name.includes("\0")) throw new TypeError("the name of a map of the state can't hold a zero byte");
    if (!key?.key) throw new TypeError(`${key?.name ?? "this"} can't be the key of a map of the state`);
    if (!value?.write) throw new TypeError(`${value?.name ?? "this"} can't be the value of a map of the state`);
    this.name = name;
    this.key = key;
    this.value = value;
    this.#prefix = utf8(`${name}\0`);
  }

  /** Returns the value of a key, `undefined` if there is none. */
  get(key) {
    overlay.checkOpen();
    return this.#read(overlay.get(this.keyOf(key)));
  }

  /** Returns true when there is a value. */
  has(key) {
    overlay.checkOpen();
    return overlay.get(this.keyOf(key)) !== undefined;
  }

  /** Returns the values of many keys, in their order, with one call to the host. */
  getMany(keys) {
    overlay.checkOpen();
    return overlay.getMany(keys.map((key) => this.keyOf(key))).map((value) => this.#read(value));
  }

  /** Sets the value of a key. */
  put(key, value) {
    overlay.checkOpen();
    overlay.put(this.keyOf(key), written(this.value.write, value));
  }

  /** Removes a key. */
  remove(key) {
    overlay.checkOpen();
    overlay.put(this.keyOf(key), undefined);
  }

  /** Returns up to `limit` entries, `[key, value]`, in key order, beginning behind `after`. */
  scan(after, limit) {
    overlay.checkOpen();
    const entries = overlay.scan(this.#prefix, after === undefined ? undefined : this.keyOf(after), limit);
    return entries.map(([key, value]) => [this.#readKey(key), this.#read(value)]);
  }

  /** Yields all entries in key order, reading them in batches. */
  *entries() {
    let after;
    for (;;) {
      const batch = this.scan(after, BATCH);
      yield* batch;
      if (batch.length < BATCH) return;
      after = batch[batch.length - 1][0];
    }
  }

  /** Removes every key, in batches. */
  clear() {
    for (const [key] of this.entries()) this.remove(key);
  }

  /** Returns the whole key: the map's name, a zero byte and the key. */
  keyOf(key) {
    const isPlain = typeof key !== "object";
    const known = isPlain ? this.#keys.get(key) : undefined;
    if (known !== undefined) return known;
    const made = new overlay.Key(written(this.key.key, key, this.#prefix));
    if (isPlain) {
      if (this.#keys.size >= KEYS_MAX) this.#keys.clear();
      this.#keys.set(key, made);
    }
    return made;
  }

  #readKey(bytes) {
    return this.#whole(bytes.subarray(this.#prefix.length), (from) => this.key.readKey(from));
  }

  #read(bytes) {
    return bytes === undefined ? undefined : this.#whole(bytes, (from) => this.value.read(from));
  }

  #whole(bytes, read) {
    try {
      const from = new Reader(bytes);
      const value = read(from);
      if (from.isEmpty) return value;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
    }
    return fatal(
      `the state \`${this.name}\` holds what this version of the transform can't read: its types were changed, so raise ` +
        "stateVersion and rebuild",
    );
  }
}
