// A transform's project: what its package.json says.

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

import { Trouble } from "./trouble.mjs";

const ENTRIES = ["src/index.ts", "src/index.js", "index.ts", "index.js"];

function readManifest(dir) {
  const path = join(dir, "package.json");
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Trouble(`${path} can't be read: ${error.message}`);
  }
}

/** Puts an SDK that package.json names by its folder (`file:`) where modules look for it, as `npm install` would. */
export function linkSdk(dir) {
  const link = join(dir, "node_modules", "@pelton", "sdk");
  if (existsSync(link) || !existsSync(join(dir, "package.json"))) return;
  const { dependencies, devDependencies } = readManifest(dir);
  const folder = /^file:(.*)/.exec({ ...devDependencies, ...dependencies }["@pelton/sdk"] ?? "")?.[1];
  if (folder === undefined || !existsSync(resolve(dir, folder, "package.json"))) return;
  mkdirSync(dirname(link), { recursive: true });
  // One that leads nowhere is left of a project that was moved.
  rmSync(link, { force: true });
  try {
    symlinkSync(relative(dirname(link), resolve(dir, folder)), link, "dir");
  } catch (error) {
    if (error.code !== "EEXIST") throw error; // two at once
  }
}

/** Reads the project in `dir`: its version, and the file that exports the transform. */
export function readProject(dir) {
  const path = join(dir, "package.json");
  const manifest = readManifest(dir);
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
