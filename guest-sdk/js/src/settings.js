// Settings: what the manifest tells a transform.

import { fatal } from "./error.js";

/** One declared setting: how its text is read, and whether it may be left out. */
class Setting {
  constructor(read, { default: standard, optional = false, doc = "" } = {}) {
    this.read = read;
    this.default = standard === undefined ? undefined : String(standard);
    this.required = standard === undefined && !optional;
    this.doc = doc;
    Object.freeze(this);
  }
}

class Unreadable extends Error {}

function unreadable(why) {
  throw new Unreadable(why);
}

function integer(text, min, max) {
  if (text === "") unreadable("cannot parse integer from empty string");
  if (!/^[+-]?\d+$/.test(text)) unreadable("invalid digit found in string");
  const value = BigInt(text.replace(/^\+/, ""));
  if (value > max) unreadable("number too large to fit in target type");
  if (value < min) unreadable("number too small to fit in target type");
  return value;
}

const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

function float(text) {
  if (text === "") unreadable("cannot parse float from empty string");
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) unreadable("invalid float literal");
  return Number(text);
}

function boolean(text) {
  if (text !== "true" && text !== "false") unreadable("provided string was not `true` or `false`");
  return text === "true";
}

/** What a setting can be: `setting.integer({ default: 10, doc: "How many." })`. */
export const setting = Object.freeze({
  text: (options) => new Setting((text) => text, options),
  integer: (options) => new Setting((text) => Number(integer(text, -SAFE, SAFE)), options),
  bigint: (options) => new Setting((text) => integer(text, -(1n << 63n), (1n << 63n) - 1n), options),
  number: (options) => new Setting(float, options),
  boolean: (options) => new Setting(boolean, options),
});

/** Holds what an author declared to be settings. */
export function checkSettings(settings) {
  for (const [name, declared] of Object.entries(settings)) {
    if (!(declared instanceof Setting)) throw new TypeError(`setting \`${name}\` is none; they are made by \`setting\``);
    if (declared.default === undefined) continue;
    try {
      declared.read(declared.default);
    } catch (error) {
      throw new TypeError(`the default of setting \`${name}\` can't be read: ${error.message}`);
    }
  }
  return settings;
}

/** Reads what the manifest gives, names and texts. */
export function readSettings(declared, given) {
  const texts = new Map(given);
  const settings = {};
  for (const [name, setting] of Object.entries(declared)) {
    const text = texts.get(name) ?? setting.default;
    if (text === undefined && setting.required) {
      fatal(`setting \`${name}\` is missing: ${setting.doc}`);
    }
    try {
      settings[name] = text === undefined ? undefined : setting.read(text);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      // Not the text itself: a setting may be a secret.
      fatal(`setting \`${name}\` can't be read: ${error.message}`);
    }
  }
  return settings;
}
