// `numeric`, counted in units of its last digit: exact sums without a library for big numbers.

import { reject } from "../error.js";
import { isText, unreadable } from "./text.js";

// What every SDK can count: a signed integer of 128 bits.
const UNITS_MAX = (1n << 127n) - 1n;

// A float tells all numbers of 15 digits apart, so up to there it counts as exactly as a bigint, and the engine's own
// functions are several times as fast as ours.
const FLOAT_DIGITS = 15;
const FLOAT_MAX = 1e15;
const POWERS = Array.from({ length: FLOAT_DIGITS + 1 }, (_, digits) => Number(`1e${digits}`));

export class Decimal {
  constructor(text) {
    this.text = text;
  }

  /** Returns `units` times 10^-`scale`: 1250 with scale 2 is `12.50`. */
  static fromScaled(units, scale) {
    if (typeof units === "bigint" && units < FLOAT_MAX && units > -FLOAT_MAX && POWERS[scale] !== undefined) {
      return new Decimal((Number(units) / POWERS[scale]).toFixed(scale));
    }
    const negative = units < 0n;
    const digits = String(negative ? -units : units).padStart(scale + 1, "0");
    const whole = digits.slice(0, digits.length - scale);
    return new Decimal((negative ? "-" : "") + (scale === 0 ? whole : `${whole}.${digits.slice(-scale)}`));
  }

  /** Returns the number in units of 10^-`scale`: `12.5` with scale 2 is 1250. */
  scaled(scale) {
    const text = this.text;
    const short = text.length <= FLOAT_DIGITS ? shortUnits(text, scale) : undefined;
    if (short !== undefined) return short;
    if (text === "NaN" || text === "Infinity" || text === "-Infinity") {
      reject("not-finite", "a numeric is NaN or infinite");
    }
    const parts = /^(-?)(\d*)(?:\.(\d*))?$/.exec(text);
    if (!parts || (!parts[2] && !parts[3])) throw unreadable("numeric");
    const fraction = (parts[3] ?? "").replace(/0+$/, "");
    if (fraction.length > scale) reject("scale", `a numeric has more than ${scale} digits behind the point`);
    const units = BigInt(parts[2] + fraction.padEnd(scale, "0"));
    if (units > UNITS_MAX) reject("too-large", "a numeric has more than 38 digits");
    return parts[1] ? -units : units;
  }

  /** Returns the nearest float. */
  toNumber() {
    if (!/^(?:NaN|-?Infinity|-?(?:\d+\.?\d*|\.\d+))$/.test(this.text)) throw unreadable("numeric");
    return Number(this.text);
  }
}

isText(Decimal);

/** Returns the units of a number as Postgres prints it, where a float counts them; else `undefined`. */
function shortUnits(text, scale) {
  const point = text.indexOf(".");
  const digits = point < 0 ? 0 : text.length - point - 1;
  const power = POWERS[scale];
  if (digits > scale || power === undefined) return undefined;
  const number = +text;
  const units = Math.round(number * power);
  // What it prints is what was read: so nothing was lost, and it was a number.
  return number.toFixed(digits) === text && units < FLOAT_MAX && units > -FLOAT_MAX ? BigInt(units) : undefined;
}
