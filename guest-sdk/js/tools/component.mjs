// The component of a script: the engine with the script inside, as it stands once the script has run.

import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { SCRIPT } from "./bundle.mjs";
import { COMPONENTIZE, load } from "./toolchain.mjs";
import { Trouble } from "./trouble.mjs";

const WIT = join(dirname(dirname(fileURLToPath(import.meta.url))), "wit", "transform.wit");

/** All that the engine would import beyond the contract. */
const NOTHING_ELSE = ["random", "clocks", "http", "fetch-event", "stdio"];

export async function component(script, out) {
  const { componentize } = await load(COMPONENTIZE, ".");
  const folder = mkdtempSync(join(tmpdir(), "pelton-"));
  try {
    const sourcePath = join(folder, SCRIPT);
    copyFileSync(script, sourcePath);
    const made = await componentize({ sourcePath, witPath: WIT, worldName: "transformer", disableFeatures: NOTHING_ELSE });
    writeFileSync(out, made.component);
  } catch (error) {
    throw new Trouble(`the script does not run: ${words(error)}`, "what stands outside of functions runs when it is built");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function words(error) {
  return String(error?.message ?? error).trim();
}
