// Checks the types of a project, with its tsconfig.json where there is one.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { filesBelow } from "./project.mjs";
import { TYPESCRIPT, fetched, find, need } from "./toolchain.mjs";

/** What a project without a tsconfig.json is checked with. */
const OPTIONS = ["--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"];

/** Returns 0 when the types are right; the compiler's words go to stderr. */
export function check(dir) {
  const tsc = join(need(TYPESCRIPT, dir), "bin", "tsc");
  const options = existsSync(join(dir, "tsconfig.json"))
    ? ["--project", "."]
    : [...OPTIONS, ...filesBelow(dir, /(?<!\.d)\.ts$/)];
  // Node's types, for tests, where the project has none of its own.
  if (!existsSync(join(dir, "node_modules", "@types")) && find("@types/node", dir)) {
    options.push("--typeRoots", join(fetched(), "node_modules", "@types"), "--types", "node");
  }
  const run = spawnSync(process.execPath, [tsc, "--noEmit", "--pretty", "false", ...options], {
    cwd: dir,
    stdio: ["ignore", process.stderr, process.stderr],
  });
  return run.status ?? 1;
}
