// `interval` in Postgres's own style: `1 year 2 mons -3 days +04:05:06.789`.

import { isText, unreadable } from "./text.js";

const PARTS = /^(?:([+-]?\d+) years? ?)?(?:([+-]?\d+) mons? ?)?(?:([+-]?\d+) days? ?)?(?:([+-]?)(\d+):(\d{2}):(\d{2})(?:\.(\d{1,6}))?)?$/;

export class Interval {
  constructor(text) {
    this.text = text;
  }

  /** Returns its months, days and microseconds, which are three different things: a month has no fixed length. */
  parts() {
    if (this.text === "infinity") return { months: Infinity, days: Infinity, micros: Infinity };
    if (this.text === "-infinity") return { months: -Infinity, days: -Infinity, micros: -Infinity };
    const found = PARTS.exec(this.text);
    if (!found || this.text === "" || this.text.endsWith(" ")) throw unreadable("interval");
    const [, years, months, days, sign, hours, minutes, seconds, fraction] = found;
    const whole = BigInt(hours ?? 0) * 3600n + BigInt(minutes ?? 0) * 60n + BigInt(seconds ?? 0);
    const micros = whole * 1_000_000n + BigInt((fraction ?? "").padEnd(6, "0"));
    return {
      months: Number(years ?? 0) * 12 + Number(months ?? 0),
      days: Number(days ?? 0),
      micros: sign === "-" ? -micros : micros,
    };
  }

  get months() {
    return this.parts().months;
  }

  get days() {
    return this.parts().days;
  }

  get micros() {
    return this.parts().micros;
  }
}

isText(Interval);
