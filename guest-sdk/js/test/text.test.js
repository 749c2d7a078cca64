// Values over Postgres's text.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Bytea, Decimal, Interval, Json, Jsonb, PgArray, PgDate, Time, Timestamp, Timestamptz, Uuid, pg } from "../src/index.js";

const unreadable = (act, text) => assert.throws(act, { name: "Rejected", code: "unreadable" }, text);

test("numerics are counted exactly", () => {
  const cases = [["12.5", 1250n], ["-0.01", -1n], ["0", 0n], ["7", 700n], [".5", 50n], ["1.500", 150n], ["-3.", -300n]];
  for (const [text, units] of cases) assert.equal(new Decimal(text).scaled(2), units, text);
  for (const [units, text] of [[1250n, "12.50"], [-1n, "-0.01"], [0n, "0.00"], [-12345n, "-123.45"]]) {
    assert.equal(Decimal.fromScaled(units, 2).text, text);
  }
  assert.equal(Decimal.fromScaled(-5n, 0).text, "-5");
  for (const text of ["", ".", "1e5", "--1", "1.2.3", "0x1", " 1"]) unreadable(() => new Decimal(text).scaled(2), text);
  const code = (text) => {
    try {
      return new Decimal(text).scaled(2);
    } catch (error) {
      return `${error.code}: ${error.message}`;
    }
  };
  assert.equal(code("NaN"), "not-finite: a numeric is NaN or infinite");
  assert.equal(code("-Infinity"), "not-finite: a numeric is NaN or infinite");
  assert.equal(code("1.005"), "scale: a numeric has more than 2 digits behind the point");
  assert.equal(code("9".repeat(40)), "too-large: a numeric has more than 38 digits");
  assert.equal(new Decimal("-1.25").toNumber(), -1.25);
  assert.equal(new Decimal("Infinity").toNumber(), Infinity);
  unreadable(() => new Decimal("").toNumber());
});

test("dates are days since 1970", () => {
  const cases = [
    ["1970-01-01", 0],
    ["1969-12-31", -1],
    ["2000-02-29", 11_016],
    ["0001-01-01", -719_162],
    ["0001-12-31 BC", -719_163],
    ["4714-11-24 BC", -2_440_588],
    ["5874897-12-31", 2_145_042_905],
    ["-infinity", -Infinity],
  ];
  for (const [text, days] of cases) assert.equal(new PgDate(text).unixDays(), days, text);
  for (const text of ["", "2000", "2000-13-01", "x-01-01", "2000-01-", "2000-01-01 12:00:00"]) {
    unreadable(() => new PgDate(text).unixDays(), text);
  }
});

test("times are microseconds", () => {
  for (const [text, micros] of [["00:00:00", 0n], ["23:59:59.999999", 86_399_999_999n], ["24:00:00", 86_400_000_000n]]) {
    assert.equal(new Time(text).micros(), micros, text);
  }
  for (const text of ["", "12", "12:00", "-12:00:00", "12:00:00.", "12:00:00+01", "infinity"]) {
    unreadable(() => new Time(text).micros(), text);
  }
  assert.equal(new Timestamp("1970-01-01 00:00:01.5").micros(), 1_500_000n);
  assert.equal(new Timestamp("1970-01-01 24:00:00").micros(), 86_400_000_000n);
  assert.equal(new Timestamp("infinity").micros(), Infinity);
  const cases = [
    ["1970-01-01 00:00:00+00", 0n],
    ["1970-01-01 01:00:00+01", 0n],
    ["1969-12-31 18:30:00.000001-05:30", 1n],
    ["2024-07-01 12:34:56.789012+00", 1_719_837_296_789_012n],
    ["0001-12-31 23:59:59+00 BC", -62_135_596_801_000_000n],
    ["294247-01-10 04:00:54.775807+00", (1n << 63n) - 1n],
  ];
  for (const [text, micros] of cases) assert.equal(new Timestamptz(text).unixMicros(), micros, text);
  for (const text of ["", "1970-01-01", "1970-01-01 00:00:00", "1970-01-01 0:0+00", "1970-01-01 00:00:00.1234567+00", "ä +"]) {
    unreadable(() => new Timestamptz(text).unixMicros(), text);
  }
  // Of more microseconds than 64 bits hold.
  unreadable(() => new Timestamp("294247-01-10 04:00:54.775808").micros());
  for (const text of ["294247-01-10 04:00:54.775808+00", "294247-01-10 04:00:54-01"]) {
    unreadable(() => new Timestamptz(text).unixMicros(), text);
  }
});

test("an interval is months, days and microseconds", () => {
  const cases = [
    ["00:00:00", 0, 0, 0n],
    ["1 year 2 mons 3 days 04:05:06.7", 14, 3, 14_706_700_000n],
    ["1 mon", 1, 0, 0n],
    ["-1 years -2 mons +3 days -04:05:06", -14, 3, -14_706_000_000n],
    ["-1 days +00:00:00.000001", 0, -1, 1n],
    ["178000000 years", 2_136_000_000, 0, 0n],
    ["2562047788:00:54.775807", 0, 0, 9_223_372_036_854_775_807n],
    ["-infinity", -Infinity, -Infinity, -Infinity],
  ];
  for (const [text, months, days, micros] of cases) assert.deepEqual(new Interval(text).parts(), { months, days, micros }, text);
  assert.equal(new Interval("1 mon 2 days").days, 2);
  for (const text of ["", "1", "1 week", "1 day ", "1 day  2 mons", "1:2", "P1Y", "00:00:00 1 day", "1 day 1:0:0.1234567"]) {
    unreadable(() => new Interval(text).parts(), text);
  }
});

test("arrays are read as Postgres prints them", () => {
  const check = (text, expected) => assert.deepEqual(new PgArray(text).elements(), expected, text);
  check("{}", []);
  check("{1,2}", ["1", "2"]);
  check('{a,NULL,"NULL","","a,b","c\\"d","e\\\\f"}', ["a", null, "NULL", "", "a,b", 'c"d', "e\\f"]);
  check("[0:1]={x,y}", ["x", "y"]);
  check('{"a\nb"}', ["a\nb"]);
  for (const text of ["", "{", "}", "{a", "{{1,2},{3,4}}", "{a,}", "{,a}", '{"a"b}', '{"a}', "[0:1]{a}"]) {
    unreadable(() => new PgArray(text).elements(), text);
  }
  const elements = ["a", null, "NULL", "", 'q"\\,{}'];
  assert.deepEqual(PgArray.of(elements).elements(), elements);
  assert.equal(PgArray.of(["b", null, "a"]).text, '{"b",NULL,"a"}');
  assert.equal(PgArray.of([true, 1n, 0.5]).text, '{"t","1","0.5"}');
  assert.equal(pg.array(pg.integer).type.element("7"), 7);
  assert.equal(pg.array(pg.bigint).type.element("7"), 7n);
  assert.equal(pg.array(pg.boolean).type.element("t"), true);
  assert.deepEqual(pg.array(pg.numeric).type.element("1.0"), new Decimal("1.0"));
  assert.deepEqual(pg.array(pg.timestamptz).type.kind, { tag: "array", val: "timestamp with time zone" });
});

test("json loses no digit", () => {
  const check = (text, expected) => {
    assert.deepEqual(new Json(text).parse(), expected, text);
    assert.deepEqual(new Json(Json.from(expected).text).parse(), expected, text);
  };
  check('{"a":[1,-2.5,"x",null,true]}', { a: [1, -2.5, "x", null, true] });
  check("9007199254740993", 9007199254740993n);
  check("[-123456789012345678901234567890, 1]", [-123456789012345678901234567890n, 1]);
  check("0.12345678901234567890", new Decimal("0.12345678901234567890"));
  check('{"n": 9007199254740993, "s": "9007199254740993", "t": "\\u0000n1", "u": "a\\"9007199254740993"}', {
    n: 9007199254740993n,
    s: "9007199254740993",
    t: "\0n1",
    u: 'a"9007199254740993',
  });
  assert.deepEqual(new Json("9007199254740992").parse(), 9007199254740992, "a float holds it");
  for (const text of ["", "{", "nul", "01", "1 2", '{"a":9007199254740993', "90071992547409931234x"]) {
    unreadable(() => new Json(text).parse(), text);
  }
  assert.equal(Jsonb.from({ a: 1n, b: undefined, c: new Date(0), d: new Decimal("1.50"), e: new Decimal("NaN") }).text,
    '{"a":1,"c":"1970-01-01T00:00:00.000Z","d":1.50,"e":"NaN"}');
  assert.ok(Jsonb.from(1) instanceof Jsonb);
});

test("a uuid is its bits, and bytes are bytes", () => {
  const uuid = new Uuid("00000000-0000-0001-0000-0000000000ff");
  assert.equal(uuid.toBigInt(), (1n << 64n) | 255n);
  assert.ok(Uuid.fromBigInt(uuid.toBigInt()).equals(uuid));
  for (const text of ["", "xyz", "+0000000000000010000000000000000", "00000000-0000-0001-0000-0000000000ff0"]) {
    unreadable(() => new Uuid(text).toBigInt(), text);
  }
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(Bytea.of(bytes).bytes(), bytes);
  assert.equal(Bytea.of(new Uint8Array([0, 255])).text, "\\x00ff");
  assert.equal(Bytea.of("\\xc3a4").utf8(), "ä");
  for (const text of ["", "\\x0", "\\xzz", "00"]) unreadable(() => new Bytea(text).bytes(), text);
  unreadable(() => new Bytea("\\xff").utf8());
});
