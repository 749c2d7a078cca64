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

const reader = new Reader(new Uint8Array());

/** A part of the state, with keys and values of one type each. */
export class StateMap {
  #prefix;
  /** What was asked for in this round, by the plain values of the keys. */
  #known = new Map();
  #round = 0;

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
    const entry = this.entryOf(key);
    if (!entry.isKnown) overlay.fetch([entry]);
    return this.#valueOf(entry);
  }

  /** Returns true when there is a value. */
  has(key) {
    const entry = this.entryOf(key);
    if (!entry.isKnown) overlay.fetch([entry]);
    return entry.value !== undefined || entry.codec !== undefined;
  }

  /** Returns the values of many keys, in their order, with one call to the host. */
  getMany(keys) {
    const entries = keys.map((key) => this.entryOf(key));
    overlay.fetch(entries);
    return entries.map((entry) => this.#valueOf(entry));
  }

  /** Sets the value of a key. */
  put(key, value) {
    const codec = this.value;
    const entry = this.entryOf(key);
    if (codec.copy === undefined) overlay.put(entry, written(codec.write, value));
    else overlay.putValue(entry, codec, codec.copy(value));
  }

  /** Removes a key. */
  remove(key) {
    overlay.put(this.entryOf(key), undefined);
  }

  /** Returns up to `limit` entries, `[key, value]`, in key order, beginning behind `after`. */
  scan(after, limit) {
    const entries = overlay.scan(this.#prefix, after === undefined ? undefined : this.keyOf(after), limit);
    return entries.map(([key, value]) => [this.#readKey(key), this.#whole(value, this.value.read)]);
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

  /** Returns what this batch has of a key. */
  entryOf(key) {
    const known = this.#known.get(key);
    if (known !== undefined && known.round === overlay.round) return known;
    const entry = overlay.entryOf(this.keyOf(key));
    if (typeof key !== "object") {
      if (this.#round !== overlay.round || this.#known.size >= KEYS_MAX) this.#known.clear();
      this.#round = overlay.round;
      this.#known.set(key, entry);
    }
    return entry;
  }

  /** Returns the whole key: the map's name, a zero byte and the key. */
  keyOf(key) {
    return written(this.key.key, key, this.#prefix);
  }

  #readKey(bytes) {
    return this.#whole(bytes.subarray(this.#prefix.length), this.key.readKey);
  }

  /** Returns the value of an entry: a new one each time, for it is the author's to change. */
  #valueOf(entry) {
    const codec = this.value;
    if (entry.codec === codec) return codec.copy(entry.value);
    const bytes = overlay.bytesOf(entry);
    if (bytes === undefined) return undefined;
    const value = this.#whole(bytes, codec.read);
    if (codec.copy === undefined) return value;
    entry.codec = codec;
    entry.value = value;
    return codec.copy(value);
  }

  #whole(bytes, read) {
    try {
      const value = read(reader.begin(bytes));
      if (reader.isEmpty) return value;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
    }
    return fatal(
      `the state \`${this.name}\` holds what this version of the transform can't read: its types were changed, so raise ` +
        "stateVersion and rebuild",
    );
  }
}
