import { isText, unreadable } from "./text.js";

export class Uuid {
  constructor(text) {
    this.text = text;
  }

  /** Makes a uuid of its 128 bits. */
  static fromBigInt(bits) {
    const digits = BigInt.asUintN(128, bits).toString(16).padStart(32, "0");
    return new Uuid(digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"));
  }

  /** Returns the 128 bits. */
  toBigInt() {
    const digits = this.text.replaceAll("-", "");
    if (!/^[0-9a-fA-F]{32}$/.test(digits)) throw unreadable("uuid");
    return BigInt("0x" + digits);
  }
}

isText(Uuid);
