// What is logged of a crash: the place in the author's files, and no values of rows.

import assert from "node:assert/strict";
import { test } from "node:test";

import { logCrash } from "../src/crash.js";
import { setHost } from "../src/host.js";

function logged(error, map) {
  const lines = [];
  const before = setHost({ enabled: () => true, log: (...line) => lines.push(line) });
  try {
    logCrash(error, map);
  } finally {
    setHost(before);
  }
  return lines;
}

// Line 1 of the bundle is the SDK's; line 3, from column 5 on, is line 12 of src/a.ts, from column 3 on.
const map = { file: "transform.js", sources: ["", "src/a.ts"], mappings: "AAAA;;IC", ignored: [0] };
map.mappings = "AAAA;;ICWE,MAAA"; // [0,0,0,0]; then [4,1,11,2] and [10,1,11,2]

function withStack(error, stack) {
  error.stack = stack;
  return error;
}

test("a crash is logged with the place in the author's file", () => {
  const stack = "boom@transform.js:3:7\ninner/call@transform.js:1:1\nprocess@transform.js:3:20\nx@/elsewhere/initializer.js:9:9\n";
  assert.deepEqual(logged(withStack(new Error("told to crash"), stack), map), [
    [
      "error",
      "the transform threw Error: told to crash",
      [
        ["at", "src/a.ts:12:3"],
        ["stack", "boom src/a.ts:12:3 < process src/a.ts:12:3"],
      ],
    ],
  ]);
  const [[, , fields]] = logged(withStack(new Error("x"), "    at f (/tmp/x/transform.js:3:7)"), map);
  assert.deepEqual(fields, [["at", "src/a.ts:12:3"]], "another engine's stack");
  assert.deepEqual(logged(new Error("x"), undefined)[0][2], [], "without a map");
});

test("messages of engines show no values", () => {
  const message = (act) => {
    try {
      act();
    } catch (error) {
      return logged(error)[0][1];
    }
    return "no error";
  };
  const secret = "secret 4711";
  for (const act of [() => "x" in secret, () => BigInt(4711.5), () => BigInt(secret), () => JSON.parse(secret), () => null[secret]]) {
    const text = message(act);
    assert.match(text, /^the transform threw \w+Error: ./);
    assert.doesNotMatch(text, /4711/, text);
  }
  const ours = message(() => {
    throw new TypeError("column `c2` of public schema `s` takes a string, not a number");
  });
  assert.equal(ours, "the transform threw TypeError: column `c2` of public schema `s` takes a string, not a number");
  assert.equal(message(() => { throw new Error("an order of 5 lines"); }), "the transform threw Error: an order of 5 lines");
  assert.equal(message(() => { throw "secret"; }), "the transform threw a string, which is no Error");
});
