// Imports modules that define schemas with ReJot's packages, and writes what they export as JSON.
// Arguments: the file to write, then the modules. What a module prints itself goes its own way.
import { writeFile, mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [out, ...files] = process.argv.slice(2);
const stripsTypes = Boolean(process.features.typescript) || process.execArgv.includes("--experimental-strip-types");

async function load(file) {
  if (stripsTypes || !/\.[cm]?tsx?$/.test(file)) return import(pathToFileURL(file).href);
  let esbuild;
  try {
    esbuild = createRequire(file)("esbuild");
  } catch {
    throw Object.assign(new Error(`Node ${process.versions.node} does not read TypeScript`), { needsTypes: true });
  }
  const folder = await mkdtemp(join(tmpdir(), "pelton-collect-"));
  try {
    const outfile = join(folder, "module.mjs");
    const banner = { js: `import { createRequire } from "node:module"; const require = createRequire(${JSON.stringify(file)});` };
    await esbuild.build({ entryPoints: [file], outfile, bundle: true, platform: "node", format: "esm", banner, logLevel: "silent" });
    return await import(pathToFileURL(outfile).href);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Functions, connections and whatever else has no JSON is no schema. */
function plain(value) {
  try {
    return JSON.parse(JSON.stringify(value));
  } catch {
    return null;
  }
}

const results = [];
for (const file of files) {
  try {
    const module = await load(file);
    const values = [...new Set(Object.values(module))].filter((value) => value && typeof value === "object");
    results.push({ file, values: values.map(plain) });
  } catch (error) {
    results.push({ file, error: String(error?.message ?? error), needsTypes: Boolean(error?.needsTypes) });
  }
}
await writeFile(out, JSON.stringify(results));
// A module may have left a timer or a connection open.
process.exit(0);
