#!/usr/bin/env node
// The tools of a transform's project. `pelton build` calls the first two; `pelton-js` is this script for authors.
//
//   build.mjs bundle DIR OUT         checks the types and makes one script of the project
//   build.mjs component BUNDLE OUT   makes the component of that script
//   pelton-js test [DIR] [ARG…]      runs the project's tests, `*.test.ts` and `*.test.js`; ARGs are node's
//   pelton-js check [DIR]            checks the types alone

import { bundle } from "./tools/bundle.mjs";
import { check } from "./tools/check.mjs";
import { component } from "./tools/component.mjs";
import { runTests } from "./tools/test.mjs";
import { Trouble } from "./tools/trouble.mjs";

const [command, ...rest] = process.argv.slice(2);
const commands = {
  bundle: () => bundle(rest[0], rest[1]),
  component: () => component(rest[0], rest[1]),
  test: () => (rest[0] === undefined || rest[0].startsWith("-") ? runTests(".", rest) : runTests(rest[0], rest.slice(1))),
  check: () => check(rest[0] ?? "."),
};

if (!Object.hasOwn(commands, command ?? "") || ((command === "bundle" || command === "component") && rest.length !== 2)) {
  console.error("usage: pelton-js test [DIR] [ARG…] | check [DIR] | bundle DIR OUT | component BUNDLE OUT");
  process.exit(2);
}
try {
  process.exitCode = (await commands[command]()) ?? 0;
} catch (error) {
  if (!(error instanceof Trouble)) throw error;
  console.error(`Error: ${error.message}`);
  if (error.hint) console.error(`Hint: ${error.hint}`);
  process.exitCode = 1;
}
