// The conformance suite's transform: every kind of value, what accessors make of it, and every way to end.
// `tests/conformance/README.md` says what it does; the other languages' do the same.

import {
  type Change,
  type Out,
  type SettingsOf,
  changes,
  message,
  pg,
  publicSchema,
  setting,
  table,
  transform,
} from "@pelton/sdk";

import { counts, obey } from "./command";
import { parse, parsed } from "./parsed";

const columns = {
  id: pg.bigint.key(),
  c_bool: pg.boolean.nullable(),
  c_int2: pg.smallint.nullable(),
  c_int4: pg.integer.nullable(),
  c_int8: pg.bigint.nullable(),
  c_float4: pg.real.nullable(),
  c_float8: pg.double.nullable(),
  c_numeric: pg.numeric.nullable(),
  c_text: pg.text.nullable(),
  c_bytea: pg.bytea.nullable(),
  c_uuid: pg.uuid.nullable(),
  c_json: pg.json.nullable(),
  c_jsonb: pg.jsonb.nullable(),
  c_date: pg.date.nullable(),
  c_time: pg.time.nullable(),
  c_timetz: pg.timetz.nullable(),
  c_timestamp: pg.timestamp.nullable(),
  c_timestamptz: pg.timestamptz.nullable(),
  c_interval: pg.interval.nullable(),
  c_enum: pg.enumeration().nullable(),
  c_int4s: pg.array(pg.integer).nullable(),
  c_texts: pg.array(pg.text).nullable(),
  c_range: pg.other("int4range").nullable(),
  c_large: pg.text.nullable().toasted(),
};

/** A row of `public.kinds`: a column of every kind. */
export const kinds = table("public.kinds", columns);

/** The same row, handed on as it is. */
const publicKinds = publicSchema("kinds", "1.0", columns);

/** A logical message with the prefix `command`. */
export const command = message("command", { transactional: pg.boolean, content: pg.bytea });

const settings = {
  greeting: setting.text({ doc: "Stands before what is logged." }),
  limit: setting.bigint({ default: 10n, doc: "How often a name may be counted." }),
  label: setting.text({ optional: true, doc: "Is logged beside the greeting." }),
};
export type Settings = SettingsOf<typeof settings>;

@transform({ name: "conformance", publishes: [publicKinds, parsed, counts], settings, stateVersion: 1 })
export default class Conformance {
  constructor(private settings: Settings) {}

  @changes(kinds)
  kinds(change: Change<typeof kinds>, out: Out) {
    out.map(change, publicKinds, (row) => row);
    out.map(change, parsed, parse);
  }

  @changes(command)
  commands(change: Change<typeof command>, out: Out) {
    if (change.op === "insert") obey(this.settings, change.new.content, change.new.transactional, out);
  }
}
