// Postgres's text of arrays.

import { isText, unreadable } from "./text.js";

export class PgArray {
  #read;

  /** `read` makes an element of its text: a number of an integer's, say. */
  constructor(text, read = String) {
    this.text = text;
    this.#read = read;
  }

  /** Makes an array of one dimension; `null` is NULL. */
  static of(elements) {
    const quoted = Array.from(elements, (element) => {
      if (element === null || element === undefined) return "NULL";
      const text = typeof element === "boolean" ? (element ? "t" : "f") : String(element);
      return `"${text.replace(/["\\]/g, "\\$&")}"`;
    });
    return new PgArray(`{${quoted.join(",")}}`);
  }

  /** Returns the elements of an array of one dimension, NULL as `null`. */
  elements() {
    const texts = parse(this.text);
    if (!texts) throw unreadable("array of one dimension");
    return texts.map((text) => (text === null ? null : this.#read(text)));
  }
}

isText(PgArray);

/** An element, and whether another one follows. Without quotes Postgres prints neither braces nor quotes, nor nothing. */
const ELEMENT = /(?:"((?:[^"\\]|\\[^])*)"|([^{}"\\,]+))(,|$)/y;

function parse(text) {
  // Bounds that do not begin at 1 stand before the elements: [0:1]={a,b}
  const braced = /^(?:\[[^=]*\]=)?\{([^]*)\}$/.exec(text);
  if (!braced) return undefined;
  const inner = braced[1];
  const elements = [];
  let at = 0;
  let more = inner !== "";
  while (more) {
    ELEMENT.lastIndex = at;
    const found = ELEMENT.exec(inner);
    if (!found) return undefined;
    const [whole, quoted, plain, comma] = found;
    if (quoted !== undefined) elements.push(quoted.replace(/\\([^])/g, "$1"));
    else elements.push(plain === "NULL" ? null : plain);
    at += whole.length;
    more = comma === ",";
  }
  return elements;
}
