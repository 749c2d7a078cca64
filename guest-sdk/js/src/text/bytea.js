// `bytea` in Postgres's hex form, so that handing it on costs nothing.

import { isText, unreadable } from "./text.js";

const BYTE = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export class Bytea {
  constructor(text) {
    this.text = text;
  }

  /** Makes a value of bytes, or of Postgres's hex text. */
  static of(bytes) {
    return typeof bytes === "string" ? new Bytea(bytes) : new Bytea(hex(bytes));
  }

  /** Returns the bytes. */
  bytes() {
    if (!/^\\x(?:[0-9a-fA-F]{2})*$/.test(this.text)) throw unreadable("bytea");
    const bytes = new Uint8Array(this.text.length / 2 - 1);
    for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(this.text.slice(2 * i + 2, 2 * i + 4), 16);
    return bytes;
  }

  /** Returns the bytes read as UTF-8; rejects the change where they are none. */
  utf8() {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.bytes());
    } catch (error) {
      if (error instanceof TypeError) throw unreadable("text in UTF-8");
      throw error;
    }
  }
}

isText(Bytea);

/** Returns Postgres's hex text of bytes. */
export function hex(bytes) {
  let text = "\\x";
  for (const byte of bytes) text += BYTE[byte];
  return text;
}
