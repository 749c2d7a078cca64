// What was read and written in a batch: reads are remembered and writes collected until the batch ends, so the host is
// called once a batch to write, and once a key to read it first.
//
// A value is kept as bytes, or as it is in the language where its type allows that (codec.js): a total that changes with
// every change of a batch is then encoded once.

import { fatal } from "../error.js";
import { host } from "../host.js";
import { written } from "./bytes.js";

/** What is kept of this batch before it goes to the host, and is read again after that. */
const KEPT_BYTES_MAX = 4 << 20;

/** What an entry takes beyond its key and its value. */
const ENTRY_BYTES = 100;

/** How many arguments a call may have, with much to spare. */
const LETTERS_MAX = 4096;

/**
 * What this batch has of a key, by its letters: the bytes of the key, a letter each, which sort as the bytes do. Its `value`
 * is one of `codec`, or bytes if there is no codec, or undefined if there is neither. It is of use in one round alone.
 */
let entries = new Map();
/** Those that the host is to be told of. */
let dirty = [];
let kept = 0;
let isOpen = false;

/** Counts how often all was forgotten. */
export let round = 0;

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
function checkOpen() {
  if (!isOpen) {
    fatal(
      "the transform uses its state outside of a batch, as in `init`: read and write it in the functions that take changes",
    );
  }
}

function forget() {
  entries = new Map();
  dirty = [];
  kept = 0;
  round += 1;
}

/** Returns the entry of a key, which may not be known yet. */
export function entryOf(key) {
  checkOpen();
  const letters = lettersOf(key);
  let entry = entries.get(letters);
  if (entry === undefined) {
    entry = { key, letters, round, isKnown: false, isWritten: false, codec: undefined, value: undefined };
    entries.set(letters, entry);
    kept += ENTRY_BYTES + key.length;
  }
  return entry;
}

function lettersOf(bytes) {
  if (bytes.length <= LETTERS_MAX) return String.fromCharCode.apply(null, bytes);
  let letters = "";
  for (let at = 0; at < bytes.length; at += LETTERS_MAX) {
    letters += String.fromCharCode.apply(null, bytes.subarray(at, at + LETTERS_MAX));
  }
  return letters;
}

/** Reads what is not known yet of these entries, with one call to the host. */
export function fetch(wanted) {
  const unknown = [];
  const keys = [];
  for (let i = 0; i < wanted.length; i++) {
    const entry = wanted[i];
    if (entry.isKnown) continue;
    entry.isKnown = true; // for what is wanted twice
    unknown.push(entry);
    keys.push(entry.key);
  }
  if (keys.length === 0) return;
  const values = ask(keys, unknown);
  if (values.length !== keys.length) fatal("the host returned another number of state values than was asked for");
  for (let i = 0; i < unknown.length; i++) {
    const bytes = values[i];
    if (bytes === undefined) continue;
    unknown[i].value = bytes;
    kept += bytes.length;
  }
  keepLittle();
}

function ask(keys, unknown) {
  try {
    return host().get(keys);
  } catch (error) {
    // An author may catch this, and ask again.
    for (let i = 0; i < unknown.length; i++) unknown[i].isKnown = false;
    throw error;
  }
}

/** Returns the value of a known entry as bytes, `undefined` if there is none. */
export function bytesOf(entry) {
  return entry.codec === undefined ? entry.value : written(entry.codec.write, entry.value);
}

/** Sets a value, as bytes; `undefined` removes it. */
export function put(entry, bytes) {
  entry.codec = undefined;
  entry.value = bytes;
  if (bytes !== undefined) kept += bytes.length;
  touch(entry);
}

/** Sets a value, which is of `codec`, and nobody else's to change. */
export function putValue(entry, codec, value) {
  entry.codec = codec;
  entry.value = value;
  kept += codec.size;
  touch(entry);
}

function touch(entry) {
  entry.isKnown = true;
  if (!entry.isWritten) {
    entry.isWritten = true;
    dirty.push(entry);
  }
  if (kept > KEPT_BYTES_MAX) keepLittle();
}

function keepLittle() {
  if (kept <= KEPT_BYTES_MAX) return;
  flush();
  forget();
}

/** Hands what was written to the host, in the order of the keys. */
export function flush() {
  if (dirty.length === 0) return;
  const letters = [];
  for (let i = 0; i < dirty.length; i++) letters.push(dirty[i].letters);
  letters.sort();
  const puts = [];
  for (let i = 0; i < letters.length; i++) {
    const entry = entries.get(letters[i]);
    puts.push([entry.key, bytesOf(entry)]);
  }
  host().put(puts);
  for (let i = 0; i < dirty.length; i++) dirty[i].isWritten = false;
  dirty = [];
}

/** Returns up to `limit` entries whose keys begin with `prefix`, in key order, beginning behind `after`. */
export function scan(prefix, after, limit) {
  checkOpen();
  flush();
  return host().scan(prefix, after, limit);
}
