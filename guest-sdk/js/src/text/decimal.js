// `numeric`, counted in units of its last digit: exact sums without a library for big numbers.

import { reject } from "../error.js";
import { Text, unreadable } from "./text.js";

// What every SDK can count: a signed integer of 128 bits.
const UNITS_MAX = (1n << 127n) - 1n;

export class Decimal extends Text {
  /** Returns `units` times 10^-`scale`: 1250 with scale 2 is `12.50`. */
  static fromScaled(units, scale) {
    const negative = units < 0n;
    const digits = String(negative ? -units : units).padStart(scale + 1, "0");
    const whole = digits.slice(0, digits.length - scale);
    return new Decimal((negative ? "-" : "") + (scale === 0 ? whole : `${whole}.${digits.slice(-scale)}`));
  }

  /** Returns the number in units of 10^-`scale`: `12.5` with scale 2 is 1250. */
  scaled(scale) {
    const text = this.text;
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
