// Runs a project's tests in Node.js: each test file is bundled, so that it may be TypeScript, and places in it are right.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { TARGET } from "./bundle.mjs";
import { filesBelow, linkSdk } from "./project.mjs";
import { ESBUILD, load } from "./toolchain.mjs";
import { Trouble } from "./trouble.mjs";

export async function runTests(dir, args) {
  linkSdk(dir);
  const files = filesBelow(dir, /\.test\.[jt]s$/);
  if (files.length === 0) throw new Trouble(`there are no tests in ${resolve(dir)}`, "name a file like orders.test.ts");
  const esbuild = await load(ESBUILD, dir);
  const folder = mkdtempSync(join(tmpdir(), "pelton-"));
  try {
    await esbuild.build({
      absWorkingDir: resolve(dir),
      entryPoints: files,
      bundle: true,
      outdir: folder,
      outExtension: { ".js": ".mjs" },
      format: "esm",
      platform: "node",
      target: TARGET,
      charset: "utf8",
      sourcemap: "linked",
      logLevel: "warning",
    });
    const made = filesBelow(folder, /\.mjs$/).map((file) => join(folder, file));
    const options = ["--enable-source-maps", "--test", ...args, ...made];
    return spawnSync(process.execPath, options, { cwd: dir, stdio: "inherit" }).status ?? 1;
  } catch (error) {
    if (Array.isArray(error.errors)) throw new Trouble("the tests can't be bundled; the messages of esbuild are above");
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
