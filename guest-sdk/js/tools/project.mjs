// A transform's project: what its package.json says.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { Trouble } from "./trouble.mjs";

const ENTRIES = ["src/index.ts", "src/index.js", "index.ts", "index.js"];

/** Reads the project in `dir`: its version, and the file that exports the transform. */
export function readProject(dir) {
  const path = join(dir, "package.json");
  let manifest;
  try {
    manifest = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Trouble(`${path} can't be read: ${error.message}`);
  }
  const entry = manifest.main ?? ENTRIES.find((file) => existsSync(join(dir, file)));
  if (entry === undefined) {
    throw new Trouble(`${path} does not say where the transform is`, `add "main": "src/orders.ts", the file that exports it`);
  }
  if (!existsSync(join(dir, entry))) throw new Trouble(`${path} names "main": "${entry}", and there is no such file`);
  return { version: manifest.version ?? "0.0.0", entry };
}

/** Returns the files below `dir` whose names end so, those of node_modules left out. */
export function filesBelow(dir, ends) {
  return readdirSync(dir, { recursive: true })
    .map(String)
    .filter((file) => ends.test(file) && !file.split(/[/\\]/).includes("node_modules"))
    .sort();
}
