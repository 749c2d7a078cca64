// What was read and written in a batch: reads are remembered and writes collected until the batch ends, so the host is
// called once a batch to write, and once a key to read it first.

import { fatal } from "../error.js";
import { host } from "../host.js";

/** What is kept of this batch before it goes to the host, and is read again after that. */
const KEPT_BYTES_MAX = 4 << 20;

/** A key, and its letters, one a byte: they sort as its bytes do. */
export class Key {
  constructor(bytes) {
    this.bytes = bytes;
    let letters = "";
    for (let i = 0; i < bytes.length; i++) letters += String.fromCharCode(bytes[i]);
    this.letters = letters;
  }
}

/** By the key's letters: `{ key, value: Uint8Array | undefined, written }`. */
let entries = new Map();
let bytes = 0;
let isOpen = false;

/** Runs `act`, in which the state may be used. It begins with nothing: the last batch may have failed. */
export function withState(act) {
  forget();
  isOpen = true;
  try {
    return act();
  } finally {
    isOpen = false;
    forget();
  }
}

/** Refuses what belongs to no batch: it would be committed with none, and seen in some runs only. */
export function checkOpen() {
  if (!isOpen) {
    fatal(
      "the transform uses its state outside of a batch, as in `init`: read and write it in the functions that take changes",
    );
  }
}

function forget() {
  entries = new Map();
  bytes = 0;
}

/** Hands what was written to the host, in the order of the keys. */
export function flush() {
  const dirty = [];
  for (const [text, entry] of entries) if (entry.written) dirty.push(text);
  if (dirty.length === 0) return;
  dirty.sort();
  const puts = [];
  for (const text of dirty) {
    const entry = entries.get(text);
    entry.written = false;
    puts.push([entry.key.bytes, entry.value]);
  }
  host().put(puts);
}

/** Returns the value of a key, `undefined` if there is none. */
export function get(key) {
  const entry = entries.get(key.letters);
  if (entry !== undefined) return entry.value;
  const value = ask([key])[0];
  keep(key, value, false);
  return value;
}

/** Returns the values of many keys, with one call to the host. */
export function getMany(keys) {
  // What is fetched is kept, and what is kept may be handed to the host and forgotten: so what is known is taken first.
  const known = new Map(keys.map(({ letters }) => [letters, entries.get(letters)?.value]));
  for (const [letters, value] of fetch(keys)) known.set(letters, value);
  return keys.map(({ letters }) => known.get(letters));
}

/** Reads what is not known yet, and keeps it; returns the values by their keys' letters. */
export function fetch(keys) {
  const unknown = new Map();
  for (const key of keys) if (!entries.has(key.letters)) unknown.set(key.letters, key);
  const fetched = new Map();
  if (unknown.size === 0) return fetched;
  const wanted = [...unknown.keys()].sort().map((letters) => unknown.get(letters));
  const values = ask(wanted);
  wanted.forEach((key, i) => {
    fetched.set(key.letters, values[i]);
    keep(key, values[i], false);
  });
  return fetched;
}

/** Sets a value; `undefined` removes it. */
export function put(key, value) {
  keep(key, value, true);
}

/** Returns up to `limit` entries whose keys begin with `prefix`, in key order, beginning behind `after`. */
export function scan(prefix, after, limit) {
  flush();
  return host().scan(prefix, after?.bytes, limit);
}

function ask(keys) {
  const values = host().get(keys.map((key) => key.bytes));
  if (values.length !== keys.length) fatal("the host returned another number of state values than was asked for");
  return values;
}

function keep(key, value, written) {
  bytes += key.bytes.length + (value === undefined ? 0 : value.length);
  entries.set(key.letters, { key, value, written });
  if (bytes > KEPT_BYTES_MAX) {
    flush();
    forget();
  }
}
