// What the accessors make of a row.

import { Decimal, type Json, PgArray, type PublicRow, type Row, isUnchanged, pg, publicSchema, reject } from "@pelton/sdk";

import type { kinds } from "./conformance";

export const parsed = publicSchema("parsed", "1.0", {
  id: pg.bigint.key(),
  /** Twice `c_numeric`, with six digits behind the point; NaN and the infinities are handed on. */
  numeric_doubled: pg.numeric.nullable(),
  timestamp_micros: pg.bigint.nullable(),
  timestamptz_micros: pg.bigint.nullable(),
  date_days: pg.bigint.nullable(),
  time_micros: pg.bigint.nullable(),
  interval_months: pg.bigint.nullable(),
  interval_days: pg.bigint.nullable(),
  interval_micros: pg.bigint.nullable(),
  /** Which of `timestamp`, `timestamptz`, `date` and `interval` are infinite: `date=infinity interval=-infinity`. */
  infinite: pg.text,
  int4s_count: pg.integer.nullable(),
  /** The sum of the elements that are not NULL. */
  int4s_sum: pg.bigint.nullable(),
  /** The elements from the last to the first. */
  texts_reversed: pg.array(pg.text).nullable(),
  /** The 128 bits as a number. */
  uuid_number: pg.numeric.nullable(),
  /** The member `name` of the object in `c_json`, if it is one, has it, and it is a string. */
  json_name: pg.text.nullable(),
  /** The length of `c_large` in bytes. */
  large_bytes: pg.integer.nullable().toasted(),
});

export function parse(row: Row<typeof kinds>): PublicRow<typeof parsed> {
  const infinite: string[] = [];
  /** Returns what is finite, and notes what isn't. */
  const finite = <T extends number | bigint>(column: string, moment: T | undefined): T | null => {
    if (moment === Infinity || moment === -Infinity) {
      infinite.push(`${column}=${moment > 0 ? "" : "-"}infinity`);
      return null;
    }
    return moment ?? null;
  };
  const timestamp_micros = finite("timestamp", row.c_timestamp?.micros());
  const timestamptz_micros = finite("timestamptz", row.c_timestamptz?.unixMicros());
  const date_days = finite("date", row.c_date?.unixDays());
  const interval = row.c_interval?.parts();
  const interval_micros = finite("interval", interval?.micros);
  const isFinite = interval_micros !== null;
  const int4s = row.c_int4s?.elements();
  const texts = row.c_texts?.elements();
  return {
    id: row.id,
    numeric_doubled: row.c_numeric && doubled(row.c_numeric),
    timestamp_micros,
    timestamptz_micros,
    date_days,
    time_micros: row.c_time?.micros() ?? null,
    interval_months: isFinite ? interval!.months : null,
    interval_days: isFinite ? interval!.days : null,
    interval_micros,
    infinite: infinite.join(" "),
    int4s_count: int4s?.length ?? null,
    int4s_sum: int4s?.reduce<number>((sum, element) => sum + (element ?? 0), 0) ?? null,
    texts_reversed: texts ? PgArray.of(texts.reverse()) : null,
    uuid_number: row.c_uuid && Decimal.of(row.c_uuid.toBigInt()),
    json_name: row.c_json && name(row.c_json),
    large_bytes: isUnchanged(row.c_large) ? row.c_large : row.c_large === null ? null : bytes(row.c_large),
  };
}

const UNITS_MAX = (1n << 127n) - 1n;

function doubled(number: Decimal): Decimal {
  if (["NaN", "Infinity", "-Infinity"].includes(number.text)) return number;
  const units = number.scaled(6) * 2n;
  if (units > UNITS_MAX || units < -UNITS_MAX - 1n) reject("too-large", "a doubled numeric has more than 38 digits");
  return Decimal.fromScaled(units, 6);
}

function name(json: Json): string | null {
  const value = json.parse();
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const member = Object.hasOwn(value, "name") ? (value as { name: unknown }).name : null;
  return typeof member === "string" ? member : null;
}

const bytes = (text: string) => new TextEncoder().encode(text).length;
