/** The type of {@link unchanged}. */
export declare class Unchanged {
  private constructor();
  private readonly unchanged: true;
}

/**
 * The value of a column that an update left alone.
 *
 * Postgres does not send a large (TOASTed) value that an update did not touch: it is not NULL, and it is not known. In a
 * source row it stands in columns marked `toasted()`; in a public row it leaves the destination's column as it is. To
 * print it or to add it throws.
 */
export declare const unchanged: Unchanged;

/** A value, or {@link unchanged}. */
export type Toasted<T> = T | Unchanged;

/** Returns true for {@link unchanged}. */
export declare function isUnchanged(value: unknown): value is Unchanged;
