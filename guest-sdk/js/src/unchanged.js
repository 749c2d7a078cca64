// The value of a column that an update left alone: not NULL, and not known.

/** Its one value. To print it, to add it or to compare its size is a mistake, and says so. */
class Unchanged {
  [Symbol.toPrimitive]() {
    throw new TypeError("an unchanged value is not known, so it can't be printed or counted; use isUnchanged() first");
  }

  toJSON() {
    return this[Symbol.toPrimitive]();
  }
}

export const unchanged = Object.freeze(new Unchanged());

/** How it travels. */
export const UNCHANGED_WIRE = Object.freeze([0]);

export const isUnchanged = (value) => value === unchanged;
