// Finds what components are made with: in the project's own node_modules, or where scripts/toolchain-js.sh has put it.

import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { Trouble } from "./trouble.mjs";

export const ESBUILD = "esbuild";
export const TYPESCRIPT = "typescript";
export const COMPONENTIZE = "@bytecodealliance/componentize-js";

/** Where scripts/toolchain-js.sh puts its packages. */
export function fetched() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  return join(cache, "pelton", "toolchains", "js");
}

/** Returns the folder of a package as `dir` sees it, or the fetched one. */
export function find(name, dir) {
  for (let at = resolve(dir); ; at = dirname(at)) {
    const folder = join(at, "node_modules", name);
    if (existsSync(join(folder, "package.json"))) return folder;
    if (at === dirname(at)) break;
  }
  const folder = join(fetched(), "node_modules", name);
  return existsSync(join(folder, "package.json")) ? folder : undefined;
}

/** Returns the folder of a package that has to be there. */
export function need(name, dir) {
  const folder = find(name, dir);
  if (folder) return folder;
  throw new Trouble(
    `there is no ${name} here, without which no component can be made of JavaScript`,
    `npm install --save-dev ${ESBUILD} ${TYPESCRIPT} ${COMPONENTIZE}   (or scripts/toolchain-js.sh of Pelton's repository)`,
  );
}

export const packageOf = (folder) => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

/** Imports a package from its folder. */
export async function load(name, dir) {
  const folder = need(name, dir);
  const { exports: paths, main } = packageOf(folder);
  const entry = paths?.import ?? paths?.["."]?.import ?? main;
  return import(pathToFileURL(join(folder, entry)));
}
