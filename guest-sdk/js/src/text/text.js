// Values that travel as Postgres's own text, read on demand.
//
// A numeric, a date or a uuid arrives as Postgres prints it, and usually it leaves as it came: so these classes hold the
// text, lose nothing, and are read only where an author asks.

import { Rejected } from "../error.js";

/** What all of them are. */
export class Text {
  constructor(text) {
    this.text = text;
  }

  /** Makes a value of a text that Postgres will read. */
  static of(text) {
    return new this(String(text));
  }

  /** Returns true when both are of one type and have the same text. */
  equals(other) {
    return other instanceof Text && other.constructor === this.constructor && other.text === this.text;
  }

  toString() {
    return this.text;
  }

  toJSON() {
    return this.text;
  }
}

/**
 * Makes a class one of these. It is what `extends` says but for the constructor, which is the class's own: one that calls
 * another takes twice the time in an engine that interprets, and a batch has one value of these for every second column.
 */
export function isText(type, base = Text) {
  Object.setPrototypeOf(type, base);
  Object.setPrototypeOf(type.prototype, base.prototype);
}

/** The error for a text that is not what its type says. It does not show the text: values stay out of logs. */
export function unreadable(what) {
  return new Rejected("unreadable", `a text that should be a ${what} is none`);
}
