// Settings: what the manifest tells a transform.

import { fatal } from "./error.js";

/** One declared setting: what it must be, how its text is read (`undefined`: it can't be), and whether it may be left out. */
class Setting {
  constructor(expected, read, { default: standard, optional = false, doc = "" } = {}) {
    this.expected = expected;
    this.read = read;
    this.default = standard === undefined ? undefined : String(standard);
    this.required = standard === undefined && !optional;
    this.doc = doc;
    Object.freeze(this);
  }
}

const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** Reads an integer; `undefined` for a text that is none, or too large for its type. */
function integer(text, min, max) {
  const value = /^[+-]?\d+$/.test(text) ? BigInt(text.replace(/^\+/, "")) : undefined;
  return value !== undefined && value >= min && value <= max ? value : undefined;
}

function safeInteger(text) {
  const value = integer(text, -SAFE, SAFE);
  return value === undefined ? undefined : Number(value);
}

const NUMBER = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)$/;

/** What a setting can be: `setting.integer({ default: 10, doc: "How many." })`. */
export const setting = Object.freeze({
  text: (options) => new Setting("a text", (text) => text, options),
  integer: (options) => new Setting("an integer", safeInteger, options),
  bigint: (options) => new Setting("an integer", (text) => integer(text, -(1n << 63n), (1n << 63n) - 1n), options),
  number: (options) => new Setting("a number", (text) => (NUMBER.test(text) ? Number(text) : undefined), options),
  boolean: (options) => new Setting("true or false", (text) => (text === "true" ? true : text === "false" ? false : undefined), options),
});

/** Holds what an author declared to be settings. */
export function checkSettings(settings) {
  for (const [name, declared] of Object.entries(settings)) {
    if (!(declared instanceof Setting)) throw new TypeError(`setting \`${name}\` is none; they are made by \`setting\``);
    if (declared.default !== undefined && declared.read(declared.default) === undefined) {
      throw new TypeError(`the default of setting \`${name}\` must be ${declared.expected}`);
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
    settings[name] = text === undefined ? undefined : setting.read(text);
    // Without the text itself: a setting may be a secret.
    if (text !== undefined && settings[name] === undefined) fatal(`setting \`${name}\` must be ${setting.expected}`);
  }
  return settings;
}
