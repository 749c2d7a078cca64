// The guest, run natively: what the suite's fixtures ask of it, in short.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Bytea, Decimal, Interval, Json, Jsonb, PgArray, PgDate, type Row, Time, Timestamp, Timestamptz, Timetz, Uuid, unchanged } from "@pelton/sdk";
import { Harness } from "@pelton/sdk/testing";

import Conformance, { command, kinds } from "./conformance";

const row = (more: Partial<Row<typeof kinds>> = {}): Row<typeof kinds> => ({
  id: 1n,
  c_bool: true,
  c_int2: -32768,
  c_int4: 2147483647,
  c_int8: -9223372036854775808n,
  c_float4: 1.5,
  c_float8: -0,
  c_numeric: new Decimal("1.5"),
  c_text: "ä\n\"",
  c_bytea: Bytea.of(new Uint8Array([0, 255])),
  c_uuid: new Uuid("00000000-0000-0000-0000-0000000000ff"),
  c_json: new Json('{"name": "x", "name" : "Ann", "n": 9007199254740993}'),
  c_jsonb: new Jsonb("{}"),
  c_date: new PgDate("infinity"),
  c_time: new Time("24:00:00"),
  c_timetz: new Timetz("12:00:00+02"),
  c_timestamp: new Timestamp("1970-01-02 00:00:00"),
  c_timestamptz: new Timestamptz("-infinity"),
  c_interval: new Interval("1 year 2 days -00:00:01"),
  c_enum: "happy",
  c_int4s: new PgArray("{1,NULL,3}", Number),
  c_texts: new PgArray('{a,NULL,"b,c"}'),
  c_range: "[1,5)",
  c_large: "ä",
  ...more,
});

const host = () => new Harness(Conformance).setting("greeting", "Hello");
const say = (to: Harness, text: string | Uint8Array) =>
  to.insert(command, {
    transactional: true,
    content: Bytea.of(typeof text === "string" ? new TextEncoder().encode(text) : text),
  });

test("every kind is handed on, and read", () => {
  const output = String(host().insert(kinds, row()).run()).split("\n");
  assert.equal(
    output[0],
    'insert kinds id=1 c_bool=true c_int2=-32768 c_int4=2147483647 c_int8=-9223372036854775808 c_float4=1.5 c_float8=-0 ' +
      'c_numeric="1.5" c_text="ä\\n\\"" c_bytea=\\x00ff c_uuid="00000000-0000-0000-0000-0000000000ff" ' +
      'c_json="{\\"name\\": \\"x\\", \\"name\\" : \\"Ann\\", \\"n\\": 9007199254740993}" c_jsonb="{}" c_date="infinity" ' +
      'c_time="24:00:00" c_timetz="12:00:00+02" c_timestamp="1970-01-02 00:00:00" c_timestamptz="-infinity" ' +
      'c_interval="1 year 2 days -00:00:01" c_enum="happy" c_int4s="{1,NULL,3}" c_texts="{a,NULL,\\"b,c\\"}" ' +
      'c_range="[1,5)" c_large="ä"',
  );
  assert.equal(
    output[1],
    'insert parsed id=1 numeric_doubled="3.000000" timestamp_micros=86400000000 timestamptz_micros=NULL date_days=NULL ' +
      'time_micros=86400000000 interval_months=12 interval_days=2 interval_micros=-1000000 ' +
      'infinite="timestamptz=-infinity date=infinity" int4s_count=3 int4s_sum=4 texts_reversed="{\\"b,c\\",NULL,\\"a\\"}" ' +
      'uuid_number="255" json_name="Ann" large_bytes=2',
  );
});

test("NULL is NULL, unchanged is unchanged, and what can't be read is rejected", () => {
  const nothing = Object.fromEntries(Object.keys(row()).map((name) => [name, null])) as unknown as Row<typeof kinds>;
  const output = host()
    .insert(kinds, { ...nothing, id: 2n })
    .update(kinds, row(), row({ c_large: unchanged }))
    .insert(kinds, row({ c_int4s: new PgArray("{{1}}", Number) }))
    .insert(kinds, row({ c_numeric: new Decimal("1.2345678") }))
    .insert(kinds, row({ c_numeric: new Decimal("99999999999999999999999999999999") }))
    .run();
  const lines = String(output).split("\n");
  assert.match(lines[1]!, /^insert parsed id=2 numeric_doubled=NULL .* infinite="" .* large_bytes=NULL$/);
  assert.match(lines[3]!, /large_bytes=unchanged$/);
  assert.deepEqual(
    output.rejected.map(({ index, code, message }) => `${index} ${code}: ${message}`),
    [
      "2 unreadable: a text that should be a array of one dimension is none",
      "3 scale: a numeric has more than 6 digits behind the point",
      "4 too-large: a doubled numeric has more than 38 digits",
    ],
  );
});

test("commands do what they say", () => {
  const h = host().setting("limit", 2);
  const done = (text: string | Uint8Array) => {
    const { rejected, rows } = say(h, text).run();
    return rejected.map(({ code, message }) => `${code}: ${message}`).concat(rows.map(String));
  };
  assert.deepEqual(done("count a b"), ['insert counts name="a b" n=1']);
  assert.deepEqual(done("count a b"), ['update counts name="a b" n=2']);
  assert.deepEqual(done("count a b"), ["too-many: a name was counted 2 times already"]);
  assert.deepEqual(done("count b"), ['insert counts name="b" n=1']);
  assert.deepEqual(done("list a"), ['update counts name="a b" n=2']);
  assert.deepEqual(done("clear"), ["truncate counts"]);
  assert.deepEqual(done("list"), []);
  assert.deepEqual(done("reject my-code"), ["my-code: told to reject"]);
  for (const unknown of ["", "retry", "retry -1", "retry 4294967296", "dance"]) {
    assert.deepEqual(done(unknown), ["unknown-command: there is no such command"], unknown);
  }
  assert.deepEqual(done(new Uint8Array([0xff])), ["not-text: a command is not UTF-8"]);
  assert.deepEqual(say(h, "log").run().logs.map(String), ["info: Hello, told to log label=none transactional=true"]);
  assert.throws(() => say(host(), "retry 50").run(), { name: "Retry", message: "told to wait", afterMs: 50 });
  assert.throws(() => say(host(), "fatal").run(), { name: "Fatal", message: "told to stop" });
  assert.throws(() => say(host(), "crash").run(), { name: "Error", message: "told to crash" });
  const secret = new Harness(Conformance).setting("greeting", "").setting("limit", "x");
  assert.throws(() => say(secret, "log").run(), { name: "Fatal", message: "setting `limit` must be an integer" });
});
