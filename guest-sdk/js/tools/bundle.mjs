// One script of a project: the SDK's glue, the author's files and what they import, with the map back to those files.

import { realpathSync, writeFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { check } from "./check.mjs";
import { linkSdk, readProject } from "./project.mjs";
import { COMPONENTIZE, ESBUILD, TYPESCRIPT, find, load, need, packageOf } from "./toolchain.mjs";
import { Trouble } from "./trouble.mjs";

const SDK = dirname(dirname(fileURLToPath(import.meta.url)));

/** The name of the script inside of the component, as stacks have it. */
export const SCRIPT = "transform.js";

/** What the engine inside of a component understands; what is newer, decorators among it, is written in older words. */
export const TARGET = "es2022";

export async function bundle(dir, out) {
  linkSdk(dir);
  const project = readProject(dir);
  // What the component is made with is looked for here as well: it is part of what the script says, and known early.
  const componentize = packageOf(need(COMPONENTIZE, dir)).version;
  const esbuild = await load(ESBUILD, dir);
  if (project.entry.endsWith(".ts") && find(TYPESCRIPT, dir) && check(dir, project.entry) !== 0) {
    throw new Trouble("the types are not right; the messages of the TypeScript compiler are above");
  }
  const { code, map } = await run(esbuild, dir, project, out);
  writeFileSync(out, `${code}globalThis.__peltonSourceMap = ${JSON.stringify(ofAuthors(map, dir, dirname(resolve(out))))};\n// ${componentize}\n`);
}

async function run(esbuild, dir, { entry, version }, out) {
  const glue = `
    import { exportTransform } from "@pelton/sdk/guest";
    import transform from ${JSON.stringify("./" + entry)};
    export const { lifecycle, packed } = exportTransform(transform, ${JSON.stringify({ version })});
  `;
  try {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: resolve(dir),
      stdin: { contents: glue, resolveDir: resolve(dir), sourcefile: "glue.js" },
      bundle: true,
      write: false,
      outfile: resolve(out),
      format: "esm",
      platform: "neutral",
      mainFields: ["module", "main"],
      target: TARGET,
      charset: "utf8",
      sourcemap: "external",
      sourcesContent: false,
      external: ["pelton:*"],
      logLevel: "warning",
    });
    const [map, code] = ["map", "js"].map((end) => outputFiles.find((file) => file.path.endsWith(`.${end}`)).text);
    return { code, map: JSON.parse(map) };
  } catch (error) {
    if (Array.isArray(error.errors)) throw new Trouble("the project can't be bundled; the messages of esbuild are above");
    throw error;
  }
}

/** Keeps of a source map what places are found with; sources are named from the project's folder. */
function ofAuthors(map, dir, from) {
  const [sdk, project] = [realpathSync(SDK), realpathSync(dir)];
  const paths = map.sources.map((source) => resolve(from, source));
  const isOurs = (path) => path.startsWith(sdk) || path.endsWith("glue.js");
  return {
    file: SCRIPT,
    sources: paths.map((path) => (isOurs(path) ? "" : relative(project, path))),
    mappings: map.mappings,
    ignored: paths.flatMap((path, index) => (isOurs(path) ? [index] : [])),
  };
}
