// `json` and `jsonb`. JSON.parse rounds numbers; here a number that a float can't hold exactly comes as a bigint or a
// Decimal, and goes back with all of its digits.

import { Decimal } from "./decimal.js";
import { isText, unreadable } from "./text.js";

export class Json {
  constructor(text) {
    this.text = text;
  }

  /** Makes a value of whatever JSON can say, bigints and Decimals included. */
  static from(value) {
    return new this(write(value));
  }

  /** Returns the value: an integer beyond 2^53 as a bigint, a number of more than 15 digits as a Decimal. */
  parse() {
    return parse(this.text);
  }
}

export class Jsonb {
  constructor(text) {
    this.text = text;
  }
}

isText(Json);
isText(Jsonb, Json);

/** Fewer digits than this survive a float and come back as they were, unless the exponent is large. */
const SUSPECT = /[\d.]{16}|[eE][+-]?\d{3}/;
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d[\d.]*(?:[eE][+-]?\d+)?/g;

function parse(text) {
  try {
    if (!SUSPECT.test(text)) return JSON.parse(text);
    // Marks begin with NUL. A json text may hold such strings of its own, so these are marked too.
    const marked = text.replace(TOKENS, (token) => {
      if (token[0] === '"') return /^"\\u0000/.test(token) ? `"\\u0000s${token.slice(1)}` : token;
      return SUSPECT.test(token) && String(Number(token)) !== token ? `"\\u0000n${token}"` : token;
    });
    JSON.parse(text); // what is no JSON is not made one by the marks
    return JSON.parse(marked, unmark);
  } catch (error) {
    if (error instanceof SyntaxError) throw unreadable("json");
    throw error;
  }
}

function unmark(_, value) {
  if (typeof value !== "string" || value[0] !== "\0") return value;
  const rest = value.slice(2);
  if (value[1] === "s") return rest;
  return /^-?\d+$/.test(rest) ? BigInt(rest) : new Decimal(rest);
}

function write(value) {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Decimal) {
    // NaN and the infinities are no JSON.
    return /^-?\d/.test(value.text) ? value.text : JSON.stringify(value.text);
  }
  if (value instanceof Json) return value.text;
  if (Array.isArray(value)) return `[${value.map((item) => write(item)).join(",")}]`;
  if (value !== null && typeof value === "object" && typeof value.toJSON !== "function") {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${write(member)}`).join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
