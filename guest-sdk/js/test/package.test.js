// The package as it is published.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as sdk from "../src/index.js";
import * as testing from "../src/testing/index.js";
import { SDK_VERSION } from "../src/version.js";

const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
const manifest = JSON.parse(read("../package.json"));

test("the contract is the repository's", () => {
  assert.equal(read("../wit/transform.wit"), read("../../../wit/transform.wit"), "copy wit/transform.wit here");
});

test("the version is the package's", () => {
  assert.equal(SDK_VERSION, manifest.version);
});

test("the package holds what it exports, and no tests", () => {
  const listed = execFileSync("npm", ["pack", "--dry-run", "--json"], {
    cwd: new URL("..", import.meta.url),
    stdio: ["ignore", "pipe", "ignore"],
  });
  const files = JSON.parse(listed)[0].files.map((file) => file.path);
  const exported = Object.values(manifest.exports).flatMap((path) => (typeof path === "string" ? [path] : Object.values(path)));
  for (const path of [...exported, manifest.bin["pelton-js"], "wit/transform.wit", "README.md"]) {
    assert.ok(files.includes(path.replace("./", "")), path);
  }
  assert.ok(!files.some((path) => path.startsWith("test/")));
});

test("types and code export the same names", () => {
  const declared = (text) => {
    const values = new Set();
    for (const [, names] of text.matchAll(/export (?:type )?\{([^}]*)\}/g)) {
      for (const name of names.split(",")) if (name.trim()) values.add(name.trim().replace(/^type /, ""));
    }
    for (const [, name] of text.matchAll(/export declare (?:class|function|const) (\w+)/g)) values.add(name);
    return values;
  };
  const names = declared(read("../types/index.d.ts"));
  for (const name of Object.keys(sdk)) assert.ok(names.has(name), `types lack ${name}`);
  // A declared value that the code lacks would only show when it runs.
  const files = "column change error log row settings state text transform unchanged".split(" ");
  const valued = files.flatMap((file) => {
    const found = read(`../types/${file}.d.ts`).matchAll(/export declare (class|function|const) (\w+)/g);
    return [...found].map(([, , name]) => name);
  });
  const typesAlone = new Set(["Unchanged"]);
  for (const name of valued) assert.ok(name in sdk || typesAlone.has(name), `the code lacks ${name}`);
  assert.deepEqual(Object.keys(testing), ["Harness"]);
});
