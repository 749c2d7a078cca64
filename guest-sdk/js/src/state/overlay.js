// What was read and written in a batch: reads are remembered and writes collected until the batch ends, so the host is
// called once a batch to write, and once a key to read it first.

import { fatal } from "../error.js";
import { host } from "../host.js";

/** What is kept of this batch before it goes to the host, and is read again after that. */
const KEPT_BYTES_MAX = 4 << 20;

/** By the key's letters, one a byte: `{ key, value: Uint8Array | undefined, written }`. */
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

/** A key's letters, which sort as its bytes do. The host's own bound keeps keys short enough for one call. */
const letters = (key) => String.fromCharCode.apply(null, key);

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
    puts.push([entry.key, entry.value]);
  }
  host().put(puts);
}

/** Returns the value of a key, `undefined` if there is none. */
export function get(key) {
  const text = letters(key);
  const entry = entries.get(text);
  if (entry !== undefined) return entry.value;
  const value = ask([key])[0];
  keep(text, key, value, false);
  return value;
}

/** Returns the values of many keys, with one call to the host. */
export function getMany(keys) {
  const texts = keys.map(letters);
  // What is fetched is kept, and what is kept may be handed to the host and forgotten: so what is known is taken first.
  const known = new Map(texts.map((text) => [text, entries.get(text)?.value]));
  for (const [text, value] of fetch(keys, texts)) known.set(text, value);
  return texts.map((text) => known.get(text));
}

/** Reads what is not known yet, and keeps it; returns the values by their keys' letters. */
export function fetch(keys, texts = keys.map(letters)) {
  const unknown = new Map();
  texts.forEach((text, i) => {
    if (!entries.has(text)) unknown.set(text, keys[i]);
  });
  const fetched = new Map();
  if (unknown.size === 0) return fetched;
  const wanted = [...unknown.keys()].sort();
  const values = ask(wanted.map((text) => unknown.get(text)));
  wanted.forEach((text, i) => {
    fetched.set(text, values[i]);
    keep(text, unknown.get(text), values[i], false);
  });
  return fetched;
}

/** Sets a value; `undefined` removes it. */
export function put(key, value) {
  keep(letters(key), key, value, true);
}

/** Returns up to `limit` entries whose keys begin with `prefix`, in key order, beginning behind `after`. */
export function scan(prefix, after, limit) {
  flush();
  return host().scan(prefix, after, limit);
}

function ask(keys) {
  const values = host().get(keys);
  if (values.length !== keys.length) fatal("the host returned another number of state values than was asked for");
  return values;
}

function keep(text, key, value, written) {
  bytes += key.length + (value === undefined ? 0 : value.length);
  entries.set(text, { key, value, written });
  if (bytes > KEPT_BYTES_MAX) {
    flush();
    forget();
  }
}
