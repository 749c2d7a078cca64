// Imports modules that define schemas with ReJot's packages, and writes what they export as JSON.
// Arguments: the file to write, then the modules. What a module prints itself goes its own way.
import { existsSync, readFileSync } from "node:fs";
import { writeFile, mkdtemp, rm } from "node:fs/promises";
import nodeModule, { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [out, ...files] = process.argv.slice(2);
const isTypeScript = (path) => /\.[cm]?tsx?$/.test(path);

/** Lets Node itself read TypeScript as projects have it: with enums, imports without an ending, and whatever package.json
 * says of modules. Returns false where Node is too old for it. */
function readTypeScript() {
  if (!nodeModule.registerHooks || !nodeModule.stripTypeScriptTypes) return false;
  nodeModule.registerHooks({
    resolve(specifier, context, next) {
      try {
        return next(specifier, context);
      } catch (error) {
        if (!/^\.{1,2}\//.test(specifier) || !context.parentURL) throw error;
        const stem = specifier.replace(/\.([cm]?)jsx?$/, "");
        const found = [".ts", ".mts", ".cts", ".tsx", "/index.ts"]
          .map((ending) => new URL(stem + ending, context.parentURL))
          .find((url) => existsSync(url));
        if (!found) throw error;
        return { url: found.href, shortCircuit: true };
      }
    },
    load(url, context, next) {
      if (!url.startsWith("file:") || !isTypeScript(url) || url.includes("/node_modules/")) return next(url, context);
      const text = nodeModule.stripTypeScriptTypes(readFileSync(fileURLToPath(url), "utf8"), { mode: "transform", sourceUrl: url });
      const isModule = !url.endsWith(".cts") && /^\s*(import|export)\b/m.test(text);
      return { format: isModule ? "module" : "commonjs", source: text, shortCircuit: true };
    },
  });
  return true;
}

let reads;
async function load(file) {
  if (!isTypeScript(file)) return import(pathToFileURL(file).href);
  let esbuild;
  try {
    esbuild = createRequire(file)("esbuild");
  } catch {
    reads ??= readTypeScript();
    if (reads) return import(pathToFileURL(file).href);
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
