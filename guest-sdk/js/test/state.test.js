// The bytes of keys and values, which are those of every SDK.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Decimal, StateMap, codec } from "../src/index.js";
import { Malformed, Reader, written } from "../src/state/bytes.js";

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const key = (type, value) => hex(written(type.key, value));
const value = (type, of) => hex(written(type.write, of));

/** Holds a value to its bytes, both ways. */
function check(type, of, expected) {
  assert.equal(value(type, of), expected);
  const from = new Reader(Uint8Array.from(Buffer.from(expected, "hex")));
  assert.deepEqual(type.read(from), of);
  assert.ok(from.isEmpty);
}

test("values are MessagePack in the shortest form", () => {
  const integers = [
    [0n, "00"],
    [127n, "7f"],
    [128n, "cc80"],
    [255n, "ccff"],
    [256n, "cd0100"],
    [65535n, "cdffff"],
    [65536n, "ce00010000"],
    [0x80000000n, "ce80000000"],
    [0xffffffffn, "ceffffffff"],
    [0x100000000n, "cf0000000100000000"],
    [0x7fffffffffffffffn, "cf7fffffffffffffff"],
    [-1n, "ff"],
    [-32n, "e0"],
    [-33n, "d0df"],
    [-128n, "d080"],
    [-129n, "d1ff7f"],
    [-32768n, "d18000"],
    [-32769n, "d2ffff7fff"],
    [-0x80000000n, "d280000000"],
    [-0x80000001n, "d3ffffffff7fffffff"],
    [-0x8000000000000000n, "d38000000000000000"],
  ];
  for (const [of, expected] of integers) check(codec.int64, of, expected);
  check(codec.uint32, 0xffffffff, "ceffffffff");
  check(codec.int32, -0x80000000, "d280000000");
  check(codec.int16, -129, "d1ff7f");
  // What an int64 can't hold travels as bytes.
  check(codec.uint64, 1n, "c4080000000000000001");
  check(codec.uint64, 0xffffffffffffffffn, "c408ffffffffffffffff");
  check(codec.int128, -2n, "c410fffffffffffffffffffffffffffffffe");
  check(codec.int128, 1250n, "c410000000000000000000000000000004e2");
  check(codec.int128, 1n << 64n, "c41000000000000000010000000000000000");
  check(codec.boolean, true, "c3");
  check(codec.float64, -0.5, "cbbfe0000000000000");
  check(codec.text, "", "a0");
  check(codec.text, "ä", "a2c3a4");
  check(codec.text, "x".repeat(32), `d920${"78".repeat(32)}`);
  check(codec.text, "x".repeat(256), `da0100${"78".repeat(256)}`);
  check(codec.text, "x".repeat(65536), `db00010000${"78".repeat(65536)}`);
  check(codec.bytes, new Uint8Array([0, 255]), "c40200ff");
  check(codec.unit, true, "c0");
  check(codec.decimal, new Decimal("12.50"), "a531322e3530");
  check(codec.optional(codec.int64), undefined, "90");
  check(codec.optional(codec.int64), 7n, "9107");
  check(codec.list(codec.int32), [1, 2], "920102");
  check(codec.list(codec.int32), Array(16).fill(1), `dc0010${"01".repeat(16)}`);
  check(codec.tuple(codec.boolean, codec.text), [false, "a"], "92c2a161");
  const share = codec.struct({ customer: codec.int64, cents: codec.int128 });
  check(share, { customer: 3n, cents: 1250n }, "9203c410000000000000000000000000000004e2");
});

test("keys are those of every SDK", () => {
  assert.equal(key(codec.int64, -1n), "7fffffffffffffff");
  assert.equal(key(codec.int64, 3n), "8000000000000003");
  assert.equal(key(codec.int16, -1), "7fff");
  assert.equal(key(codec.int32, 1), "80000001");
  assert.equal(key(codec.uint32, 1), "00000001");
  assert.equal(key(codec.int128, -1n), `7f${"ff".repeat(15)}`);
  assert.equal(key(codec.uint128, (1n << 128n) - 1n), "ff".repeat(16));
  assert.equal(key(codec.boolean, true), "01");
  assert.equal(key(codec.text, "a\0b"), "6100ff620000");
  assert.equal(key(codec.unit, true), "");
  assert.equal(key(codec.tuple(codec.text, codec.int64), ["a", 2n]), "6100008000000000000002");
  const map = new StateMap("shares", codec.int64, codec.unit);
  assert.equal(hex(map.keyOf(17n)), "736861726573008000000000000011");
});

test("keys sort as their bytes do and come back", () => {
  const check = (type, keys) => {
    const encoded = keys.map((of) => key(type, of));
    assert.deepEqual(encoded, [...encoded].sort(), type.name);
    keys.forEach((of, i) => {
      const from = new Reader(Uint8Array.from(Buffer.from(encoded[i], "hex")));
      assert.deepEqual(type.readKey(from), of);
      assert.ok(from.isEmpty);
    });
  };
  const [min, max] = [-(1n << 63n), (1n << 63n) - 1n];
  check(codec.int64, [min, -256n, -1n, 0n, 1n, 256n, max]);
  check(codec.int128, [-(1n << 127n), min - 1n, -1n, 0n, 1n, max + 1n, (1n << 127n) - 1n]);
  check(codec.uint64, [0n, 1n, 255n, 256n, (1n << 64n) - 1n]);
  check(codec.int32, [-0x80000000, -1, 0, 1, 0x7fffffff]);
  check(codec.text, ["", "a", "a\0", "a\0b", "aa", "b", "ä"]);
  check(codec.bytes, [[], [0], [0, 0], [0, 255], [255]].map((of) => new Uint8Array(of)));
  check(codec.tuple(codec.text, codec.int64), [["", 5n], ["a", -1n], ["a", 2n], ["a\0", 0n], ["b", 1n]]);
  check(codec.struct({ a: codec.boolean, b: codec.int16 }), [{ a: false, b: 2 }, { a: true, b: -3 }, { a: true, b: 1 }]);
});

test("what is no such key or value is refused", () => {
  const { int64, int32, uint64, int128, text, bytes, list, unit } = codec;
  for (const [type, of] of [[int64, 1], [int32, 1n], [int32, 0.5], [int32, 2 ** 31], [int64, 1n << 63n], [text, 1], [bytes, "a"]]) {
    assert.throws(() => written(type.write, of), TypeError, `${type.name} ${of}`);
    assert.throws(() => written(type.key, of), TypeError, `${type.name} ${of}`);
  }
  for (const [type, of] of [[int64, "a161"], [int64, "cfffffffffffffffff"], [int32, "cf0000000100000000"], [text, "a3"], [text, "a1ff"], [list(int64), "9201"], [uint64, "01"], [int128, "c40100"], [unit, "00"], [int64, ""], [int64, "cd01"]]) {
    assert.throws(() => type.read(new Reader(Uint8Array.from(Buffer.from(of, "hex")))), Malformed, `${type.name} ${of}`);
  }
  assert.throws(() => new StateMap("a\0", int64, int64), /zero byte/);
  assert.throws(() => new StateMap("a", codec.float64, int64), /can't be the key/);
  assert.throws(() => new StateMap("a", int64, codec.uint128), /can't be the value/);
});
