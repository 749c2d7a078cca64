// Dates, times and intervals as numbers: days and months are numbers, microseconds are bigints, and what is infinite is
// `Infinity` or `-Infinity`, which compare with both.

import { isText, unreadable } from "./text.js";

export class PgDate {
  constructor(text) {
    this.text = text;
  }

  /** Returns the days since 1970-01-01. */
  unixDays() {
    return moment(this.text, date) ?? fail("date");
  }
}

export class Time {
  constructor(text) {
    this.text = text;
  }

  /** Returns the microseconds since midnight. */
  micros() {
    return clock(this.text) ?? fail("time");
  }
}

export class Timetz {
  constructor(text) {
    this.text = text;
  }
}

export class Timestamp {
  constructor(text) {
    this.text = text;
  }

  /** Returns the microseconds since 1970-01-01 of the same clock. */
  micros() {
    return moment(this.text, timestamp) ?? fail("timestamp");
  }
}

export class Timestamptz {
  constructor(text) {
    this.text = text;
  }

  /** Returns the microseconds since 1970-01-01 UTC. */
  unixMicros() {
    return moment(this.text, zoned) ?? fail("timestamp with time zone");
  }
}

for (const type of [PgDate, Time, Timetz, Timestamp, Timestamptz]) isText(type);

function fail(what) {
  throw unreadable(what);
}

function moment(text, at) {
  if (text === "infinity") return Infinity;
  if (text === "-infinity") return -Infinity;
  return text.endsWith(" BC") ? at(text.slice(0, -3), true) : at(text, false);
}

function date(text, bc) {
  const parts = /^(\d{1,9})-(\d{1,2})-(\d{1,2})$/.exec(text);
  if (!parts) return undefined;
  const [month, day] = [Number(parts[2]), Number(parts[3])];
  if (month < 1 || month > 12 || day < 1 || day > 31) return undefined;
  // 1 BC is the year 0.
  const year = bc ? 1 - Number(parts[1]) : Number(parts[1]);
  // Days since 0000-03-01 in the proleptic Gregorian calendar: years begin in March, so leap days end them.
  const [y, m] = month <= 2 ? [year - 1, month + 9] : [year, month - 3];
  const era = Math.floor(y / 400);
  const ofEra = y - era * 400;
  const ofYear = Math.floor((153 * m + 2) / 5) + day - 1;
  return era * 146_097 + ofEra * 365 + Math.floor(ofEra / 4) - Math.floor(ofEra / 100) + ofYear - 719_468;
}

function clock(text) {
  const parts = /^(\d{1,9}):(\d{1,9}):(\d{1,9})(?:\.(\d{1,6}))?$/.exec(text);
  if (!parts) return undefined;
  const seconds = Number(parts[1]) * 3600 + Number(parts[2]) * 60 + Number(parts[3]);
  return BigInt(seconds) * 1_000_000n + BigInt((parts[4] ?? "").padEnd(6, "0"));
}

function timestamp(text, bc) {
  const space = text.indexOf(" ");
  const [days, micros] = space < 0 ? [] : [date(text.slice(0, space), bc), clock(text.slice(space + 1))];
  return days === undefined || micros === undefined ? undefined : micros64(BigInt(days) * 86_400_000_000n + micros);
}

/** Returns microseconds that 64 bits can hold, which is as far as every SDK counts: into the year 294247. */
function micros64(micros) {
  return BigInt.asIntN(64, micros) === micros ? micros : undefined;
}

function zoned(text, bc) {
  const parts = /^(.*)([+-])(\d{1,2})(?::(\d{1,2}))?(?::(\d{1,2}))?$/.exec(text);
  const micros = parts && timestamp(parts[1], bc);
  if (typeof micros !== "bigint") return undefined;
  const seconds = Number(parts[3]) * 3600 + Number(parts[4] ?? 0) * 60 + Number(parts[5] ?? 0);
  return micros64(micros - BigInt(parts[2] === "-" ? -seconds : seconds) * 1_000_000n);
}
