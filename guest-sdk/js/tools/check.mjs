// Checks the types of a project, with its tsconfig.json where there is one.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

import { filesBelow, linkSdk } from "./project.mjs";
import { TYPESCRIPT, find, need } from "./toolchain.mjs";

/** What a project without a tsconfig.json is checked with. */
const OPTIONS = { strict: true, target: "es2022", module: "esnext", moduleResolution: "bundler" };

/** Returns 0 when the types are right, of `entry` and what it imports, or of the whole project; the compiler's words go to stderr. */
export function check(dir, entry) {
  linkSdk(dir);
  const tsc = join(need(TYPESCRIPT, dir), "bin", "tsc");
  const folder = mkdtempSync(join(tmpdir(), "pelton-"));
  try {
    const options = ["--project", configuration(dir, entry, folder)];
    // Node's types, for tests, where the project has none of its own.
    const types = find("@types/node", dir);
    if (types && !existsSync(join(dir, "node_modules", "@types"))) {
      options.push("--typeRoots", dirname(types), "--types", "node");
    }
    const run = spawnSync(process.execPath, [tsc, "--noEmit", "--pretty", "false", ...options], {
      cwd: dir,
      stdio: ["ignore", process.stderr, process.stderr],
    });
    return run.status ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes a configuration that goes by the project's, and returns its path. */
function configuration(dir, entry, folder) {
  const own = resolve(dir, "tsconfig.json");
  if (existsSync(own) && entry === undefined) return own;
  const files = entry === undefined ? filesBelow(dir, /(?<!\.d)\.ts$/) : [entry];
  const path = join(folder, "tsconfig.json");
  const options = existsSync(own) ? { extends: own, include: [] } : { compilerOptions: OPTIONS };
  writeFileSync(path, JSON.stringify({ ...options, files: files.map((file) => resolve(dir, file)) }));
  return path;
}
