// A whole project: bundled as `pelton build` does it, and run as the engine inside of a component runs it. It needs what
// scripts/toolchain-js.sh fetches.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

const SDK = fileURLToPath(new URL("..", import.meta.url));
const SCRIPT = join(SDK, "build.mjs");

/** Makes a project of these files in a folder of its own, and calls `act` with the folder. */
async function project(files, act) {
  const folder = mkdtempSync(join(tmpdir(), "pelton-test-"));
  try {
    mkdirSync(join(folder, "node_modules/@pelton"), { recursive: true });
    symlinkSync(SDK, join(folder, "node_modules/@pelton/sdk"), "dir");
    const manifest = { name: "shop", version: "1.2.3", type: "module", main: "src/shop.ts" };
    for (const [name, text] of Object.entries({ "package.json": JSON.stringify(manifest), ...files })) {
      mkdirSync(join(folder, name, ".."), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    return await act(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const build = (folder) => {
  const out = join(folder, "bundle.js");
  const { status, stderr } = spawnSync(process.execPath, [SCRIPT, "bundle", folder, out], { encoding: "utf8" });
  return { status, stderr, out };
};

const SHOP = `
import { type Change, type Out, changes, pg, publicSchema, table, transform } from "@pelton/sdk";
import { shout } from "./words";

const orders = table("public.orders", { id: pg.bigint.key(), name: pg.text });
const published = publicSchema("orders", "1.0", { id: pg.bigint.key(), name: pg.text });

@transform({ publishes: [published] })
export default class Shop {
  @changes(orders)
  orders(change: Change<typeof orders>, out: Out) {
    out.map(change, published, ({ id, name }) => ({ id, name: shout(name) }));
  }
}
`;
const WORDS = `// Loud words.
export function shout(name: string): string {
  if (name === "crash") throw new Error("too loud");
  return name.toUpperCase();
}
`;

test("a bundle is the transform, and a crash in it is told by file and line", async () => {
  await project({ "src/shop.ts": SHOP, "src/words.ts": WORDS }, async (folder) => {
    const { status, stderr, out } = build(folder);
    assert.equal(status, 0, `${stderr}\n(scripts/toolchain-js.sh fetches what is needed)`);
    // The engine gives the script the host's functions and this name.
    writeFileSync(join(folder, "host.js"), "export const lines = []; export const enabled = () => true; export const log = (...line) => lines.push(line);");
    writeFileSync(join(folder, "state.js"), "export const get = () => []; export const put = () => {}; export const scan = () => [];");
    const script = readFileSync(out, "utf8");
    assert.ok(!script.includes(folder), "no path of this machine");
    writeFileSync(join(folder, "transform.js"), script.replace(/"pelton:transform\/(\w+)@0.1.0"/g, '"./$1.js"'));
    const { lifecycle, packed } = await import(pathToFileURL(join(folder, "transform.js")));
    const { lines } = await import(pathToFileURL(join(folder, "host.js")));

    const described = lifecycle.describe();
    assert.deepEqual([described.name, described.version, described.encoding], ["Shop", "1.2.3", "json"]);
    const column = (name, tag, key) => ({ name, kind: { tag }, key, nullable: false, attrs: [] });
    const columns = [column("id", "int64", true), column("name", "text", false)];
    const relation = { id: 0, version: 1, schema: "public", name: "orders", identity: "default", columns, attrs: [] };
    lifecycle.init({ settings: [], relations: [relation], instance: 0, instances: 1, attrs: [] });
    const process = (...rows) => {
      const changes = rows.map((row) => [0, 0, row, null]);
      const span = { xid: 1, epoch: 1, commitLsn: 1n, commitTime: 1n, phase: "live", first: 0, count: rows.length, complete: true };
      const payload = new TextEncoder().encode(JSON.stringify(changes));
      const output = packed.process({ id: 1n, spans: [span], count: rows.length, payload });
      return [output.count, new TextDecoder().decode(output.payload), output.rejected];
    };
    const written = '[[0,0,0,["1","ANN"],null]]';
    assert.deepEqual(process(["1", "ann"], ["2", null]), [
      1,
      written,
      [{ index: 1, code: "null", message: "column `name` of table public.orders is NULL; mark the column nullable() if that may be" }],
    ]);
    assert.throws(() => process(["1"]), { tag: "fatal" }, "a fatal error is the host's to read");
    assert.throws(() => process(["1", "crash"]), { message: "the transform threw" }, "and a crash is none");
    const [[level, message, fields]] = lines;
    assert.equal(`${level} ${message}`, "error the transform threw Error: too loud");
    assert.deepEqual(fields[0], ["at", "src/words.ts:3:31"]);
    assert.match(fields[1][1], /^shout src\/words.ts:3:31 < .*src\/shop.ts:12:\d+/);
    assert.ok(!fields[1][1].includes("runner"), fields[1][1]);
  });
});

test("what keeps a project from being built is said", async () => {
  const refused = (files) => project(files, (folder) => build(folder)).then(({ status, stderr }) => {
    assert.equal(status, 1, stderr);
    return stderr;
  });
  assert.match(await refused({}), /names "main": "src\/shop.ts", and there is no such file/);
  assert.match(await refused({ "package.json": "{" }), /package.json can't be read/);
  assert.match(await refused({ "package.json": "{}" }), /does not say where the transform is[^]*Hint: add "main"/);
  const mistyped = await refused({ "src/shop.ts": SHOP.replace("shout(name)", "shout(id)"), "src/words.ts": WORDS });
  assert.match(mistyped, /src\/shop.ts\(12,\d+\): error TS2345[^]*Error: the types are not right/);
  const foreign = { "src/shop.js": 'import "node:fs"; export default 1;', "package.json": '{"main": "src/shop.js"}' };
  assert.match(await refused(foreign), /node:fs[^]*Error: the project can't be bundled/);
  const nothing = { "src/shop.js": "export const a = 1;", "package.json": '{"main": "src/shop.js"}' };
  assert.match(await refused(nothing), /No matching export[^]*"default"/);
});
