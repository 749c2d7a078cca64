/**
 * Values that travel as Postgres's own text, read on demand.
 *
 * A numeric, a date or a uuid arrives as Postgres prints it, and usually it leaves as it came: so these classes hold the
 * text and lose nothing. What can't be read rejects the change, with the code `unreadable`.
 */
declare class Text {
  /** Takes a text that Postgres will read. */
  constructor(text: string);
  /** Postgres's text. */
  readonly text: string;
  /** Returns true when both are of one type and have the same text. */
  equals(other: unknown): boolean;
  toString(): string;
  toJSON(): string;
}

/** A point in time as Postgres knows them: there are two infinite ones, which compare with both numbers and bigints. */
export type Moment = bigint | typeof Infinity;

/** `numeric`: exact, of any size, or `NaN`, `Infinity`, `-Infinity`. */
export declare class Decimal extends Text {
  private readonly kind: "numeric";
  static of(text: string | bigint): Decimal;
  /** Returns `units` times 10^-`scale`: 1250n with scale 2 is `12.50`. */
  static fromScaled(units: bigint, scale: number): Decimal;
  /**
   * Returns the number in units of 10^-`scale`: `12.5` with scale 2 is 1250n.
   *
   * Rejects the change when the number has more digits behind the point than that, is not finite, or has more than 38.
   */
  scaled(scale: number): bigint;
  /** Returns the nearest float. */
  toNumber(): number;
}

/** `date`, such as `2024-02-29`, `0044-03-15 BC` or `infinity`. */
export declare class PgDate extends Text {
  private readonly kind: "date";
  static of(text: string): PgDate;
  /** Returns the days since 1970-01-01, or an infinity. */
  unixDays(): number;
}

/** `time`, such as `13:45:00.5`; `24:00:00` is one. */
export declare class Time extends Text {
  private readonly kind: "time";
  static of(text: string): Time;
  /** Returns the microseconds since midnight. */
  micros(): bigint;
}

/** `time with time zone`. */
export declare class Timetz extends Text {
  private readonly kind: "timetz";
  static of(text: string): Timetz;
}

/** `timestamp`: of no known place. */
export declare class Timestamp extends Text {
  private readonly kind: "timestamp";
  static of(text: string): Timestamp;
  /** Returns the microseconds since 1970-01-01 of the same clock, or an infinity. */
  micros(): Moment;
}

/** `timestamp with time zone`: a moment, printed in UTC. */
export declare class Timestamptz extends Text {
  private readonly kind: "timestamptz";
  static of(text: string): Timestamptz;
  /** Returns the microseconds since 1970-01-01 UTC, or an infinity. */
  unixMicros(): Moment;
}

/** `interval`, in Postgres's own style: `1 year 2 mons 3 days 04:05:06`. */
export declare class Interval extends Text {
  private readonly kind: "interval";
  static of(text: string): Interval;
  /** Returns its three parts, which are different things: a month has no fixed length, nor has a day. */
  parts(): { months: number; days: number; micros: Moment };
  /** Its years and months, in months. */
  readonly months: number;
  readonly days: number;
  /** Its hours, minutes and seconds, in microseconds. */
  readonly micros: Moment;
}

/** `uuid`. */
export declare class Uuid extends Text {
  private readonly kind: "uuid";
  static of(text: string): Uuid;
  /** Makes a uuid of its 128 bits. */
  static fromBigInt(bits: bigint): Uuid;
  /** Returns the 128 bits. */
  toBigInt(): bigint;
}

/** `bytea`. */
export declare class Bytea extends Text {
  private readonly kind: "bytea";
  /** Makes a value of bytes, or of Postgres's hex text. */
  static of(bytes: Uint8Array | string): Bytea;
  /** Returns the bytes. */
  bytes(): Uint8Array;
  /** Returns the bytes read as UTF-8; rejects the change where they are none. */
  utf8(): string;
}

/** What JSON can say, its numbers not rounded. */
export type JsonValue = null | boolean | number | bigint | string | Decimal | JsonValue[] | { [name: string]: JsonValue };

/** `json`: text as it was written, with its spaces and the order of its keys. */
export declare class Json extends Text {
  static of(text: string): Json;
  /** Makes a value of whatever JSON can say, bigints and Decimals included. */
  static from(value: unknown): Json;
  /** Returns the value: an integer beyond 2^53 as a bigint, a number that a float can't hold as a {@link Decimal}. */
  parse(): JsonValue;
}

/** `jsonb`. */
export declare class Jsonb extends Json {
  static of(text: string): Jsonb;
  static from(value: unknown): Jsonb;
}

/** An array, its elements of the type that the column says. */
export declare class PgArray<T = string> extends Text {
  private readonly kind: "array";
  constructor(text: string, read?: (text: string) => T);
  /** Makes an array of one dimension; `null` is NULL. */
  static of<T extends { toString(): string }>(elements: Iterable<T | null>): PgArray<T>;
  /** Returns the elements of an array of one dimension, NULL as `null`; rejects the change for more dimensions. */
  elements(): (T | null)[];
}
