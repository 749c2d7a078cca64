// A crash: whatever is thrown and is none of the three errors. It is logged with its place in the author's files, and
// thrown on, which ends the instance, so that the host finds the change that causes it.

import { host } from "./host.js";
import { originalPlace } from "./sourcemap.js";

/** Logs a crash. `map` is the source map of the code that runs, if there is one. */
export function logCrash(error, map) {
  const frames = authorsFrames(error, map);
  const fields = [];
  if (frames.length > 0) fields.push(["at", place(frames[0])]);
  if (frames.length > 1) {
    fields.push(["stack", frames.map((frame) => `${frame.name || "(anonymous)"} ${place(frame)}`).join(" < ")]);
  }
  host().log("error", `the transform threw ${describe(error)}`, fields);
}

const place = ({ source, line, column }) => `${source}:${line}:${column}`;

/** The classes of errors that engines throw themselves, and whose messages may quote what they were about. */
const ENGINES = [TypeError, RangeError, SyntaxError, ReferenceError, URIError];

/** Returns an error's class and message. Values are left out of messages that an engine wrote. */
function describe(error) {
  if (!(error instanceof Error)) return `a ${error === null ? "null" : typeof error}, which is no Error`;
  const isEngines = ENGINES.some((type) => Object.getPrototypeOf(error) === type.prototype);
  // Backticks are our own, around names.
  const quoted = /`[^`]*`|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?<![\w.])-?\d[\d.]*(?:e[+-]?\d+)?n?(?!\w)/g;
  const message = isEngines ? error.message.replace(quoted, (q) => (q[0] === "`" ? q : "…")) : error.message;
  return message ? `${error.name}: ${message}` : error.name;
}

/** Returns the frames of a stack that lie in the author's own files, the innermost first. */
function authorsFrames(error, map) {
  const frames = [];
  for (const text of String(error?.stack ?? "").split("\n")) {
    // `name@file:line:column` in SpiderMonkey and JavaScriptCore, `at name (file:line:column)` in V8.
    const found = /^(?:\s*at (?:(.*) \()?|(.*)@)(.+):(\d+):(\d+)\)?$/.exec(text);
    if (!found) continue;
    const [, v8, spidermonkey, file, line, column] = found;
    const at = originalPlace(map, file, Number(line), Number(column));
    if (at) frames.push({ name: (v8 ?? spidermonkey ?? "").replace(/^.*[/<]|\*/g, ""), ...at });
  }
  return frames;
}
