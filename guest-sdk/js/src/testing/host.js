// A host without WebAssembly: what unit tests of transforms run against.

import { fatal } from "../error.js";

const LEVELS = ["trace", "debug", "info", "warn", "error"];

const letters = (bytes) => String.fromCharCode(...bytes);
const bytes = (key) => Uint8Array.from(key, (letter) => letter.charCodeAt(0));

export class FakeHost {
  logs = [];
  /** How often it was asked for values. */
  reads = 0;

  /** `state` is a Map by key, a letter a byte; a transform that does not declare itself `stateful` is refused it. */
  constructor(state, { stateful, level }) {
    this.state = new Map(state);
    this.stateful = stateful;
    this.level = level;
  }

  enabled(level) {
    return LEVELS.indexOf(level) >= LEVELS.indexOf(this.level);
  }

  log(level, message, fields) {
    const text = `${level}: ${message}${fields.map(([name, value]) => ` ${name}=${value}`).join("")}`;
    this.logs.push({ level, message, fields, toString: () => text });
  }

  get(keys) {
    this.reads += 1;
    this.#check();
    return keys.map((key) => this.state.get(letters(key)));
  }

  put(entries) {
    this.#check();
    for (const [key, value] of entries) {
      if (value === undefined) this.state.delete(letters(key));
      else this.state.set(letters(key), value.slice()); // it is a part of a larger buffer
    }
  }

  scan(prefix, after, limit) {
    this.#check();
    const [start, behind] = [letters(prefix), after === undefined ? "" : letters(after)];
    const keys = [...this.state.keys()].filter((key) => key.startsWith(start) && key > behind).sort();
    return keys.slice(0, limit).map((key) => [bytes(key), this.state.get(key)]);
  }

  #check() {
    if (!this.stateful) {
      fatal("the transform uses state and does not declare it: add `stateful: true` to the transform's options");
    }
  }
}
