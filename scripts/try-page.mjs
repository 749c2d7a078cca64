#!/usr/bin/env node
// Does what a page of docs/ tells a new user to do, in a folder beside the checkout: writes each file that is named in front
// of its block, and runs each block of shell, from top to bottom, in one shell.
//
//   scripts/try-page.mjs docs/typescript.md
//
// PATH must have `pelton`; variables that the page's commands want (SOURCE_URL, …) come from the environment.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [page] = process.argv.slice(2);
if (page === undefined) {
  console.error("usage: try-page.mjs PAGE");
  process.exit(2);
}

/** The blocks of a page, and the file that is named right in front of each. */
function blocks(text) {
  const found = [];
  for (const [, before, language, body] of text.matchAll(/([^\n]*)\n+```(\w*)\n([^]*?)\n```/g)) {
    found.push({ file: /^`([^`]+)`:$/.exec(before.trim())?.[1], language, body });
  }
  return found;
}

const script = ["set -euo pipefail"];
for (const { file, language, body } of blocks(readFileSync(page, "utf8"))) {
  if (file) script.push(`mkdir -p "$(dirname '${file}')"`, `cat > '${file}' <<'END_OF_FILE'\n${body}\nEND_OF_FILE`);
  else if (language === "sh") script.push(...body.split("\n").map((line) => `echo '$ ${line.replaceAll("'", "'\\''")}' >&2\n${line}`));
}

const folder = mkdtempSync(join(tmpdir(), "pelton-page-"));
symlinkSync(resolve(dirname(fileURLToPath(import.meta.url)), ".."), join(folder, "pelton"));
const { status } = spawnSync("bash", ["-c", script.join("\n")], { cwd: folder, stdio: ["ignore", "inherit", "inherit"] });
rmSync(folder, { recursive: true, force: true });
process.exitCode = status ?? 1;
