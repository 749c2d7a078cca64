// What was read and written in a batch: reads are remembered and writes collected until the batch ends, so the host is
// called once a batch to write, and once a key to read it first.

import { fatal } from "../error.js";
import { host } from "../host.js";

/** What is kept of this batch before it goes to the host, and is read again after that. */
const KEPT_BYTES_MAX = 4 << 20;

/** By key, a letter a byte: `{ value: Uint8Array | undefined, written }`. */
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

/** Hands what was written to the host. */
export function flush() {
  const written = [];
  for (const [key, entry] of entries) {
    if (!entry.written) continue;
    entry.written = false;
    written.push([key, entry.value]);
  }
  if (written.length === 0) return;
  written.sort(([a], [b]) => (a < b ? -1 : 1));
  host().put(written.map(([key, value]) => [toBytes(key), value]));
}

/** Returns the value of a key, `undefined` if there is none. */
export function get(key) {
  const entry = entries.get(key);
  if (entry !== undefined) return entry.value;
  const value = ask([key])[0];
  keep(key, value, false);
  return value;
}

/** Returns the values of many keys, with one call to the host. */
export function getMany(keys) {
  const fetched = fetch(keys);
  return keys.map((key) => (fetched.has(key) ? fetched.get(key) : entries.get(key)?.value));
}

/** Reads what is not known yet, and keeps it; returns it too, for what is kept may be handed to the host and forgotten. */
export function fetch(keys) {
  const unknown = [...new Set(keys)].filter((key) => !entries.has(key)).sort();
  const known = new Map(keys.filter((key) => entries.has(key)).map((key) => [key, entries.get(key).value]));
  if (unknown.length === 0) return known;
  const values = ask(unknown);
  unknown.forEach((key, i) => {
    known.set(key, values[i]);
    keep(key, values[i], false);
  });
  return known;
}

/** Sets a value; `undefined` removes it. */
export function put(key, value) {
  keep(key, value, true);
}

/** Returns up to `limit` entries whose keys begin with `prefix`, in key order, beginning behind `after`. */
export function scan(prefix, after, limit) {
  flush();
  return host().scan(toBytes(prefix), after === undefined ? undefined : toBytes(after), limit);
}

function ask(keys) {
  const values = host().get(keys.map(toBytes));
  if (values.length !== keys.length) fatal("the host returned another number of state values than was asked for");
  return values;
}

function keep(key, value, written) {
  bytes += key.length + (value?.length ?? 0);
  entries.set(key, { value, written });
  if (bytes > KEPT_BYTES_MAX) {
    flush();
    forget();
  }
}

function toBytes(key) {
  const bytes = new Uint8Array(key.length);
  for (let i = 0; i < key.length; i++) bytes[i] = key.charCodeAt(i);
  return bytes;
}
