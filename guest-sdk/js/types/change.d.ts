import type { Span } from "./model.js";
import type { Key, PublicKey, PublicRow, PublicSchema, Row, Table } from "./row.js";

/** What Postgres sent of the row that was updated or deleted. */
export interface Old<T extends Table> {
  /** The columns marked `key()`. */
  readonly key: Key<T>;
  /** The whole row, of a table with `REPLICA IDENTITY FULL`. */
  readonly row: Row<T> | undefined;
}

interface Any<T extends Table> {
  readonly table: T;
  /** The new row of an insert or an update. */
  readonly newRow: Row<T> | undefined;
  /** The key that the row had before the change: of an update that did not send its old row, the new one's. */
  readonly oldKey: Key<T> | undefined;
}

export interface Insert<T extends Table> extends Any<T> {
  readonly op: "insert";
  readonly new: Row<T>;
  readonly newRow: Row<T>;
  readonly old: undefined;
  readonly oldKey: undefined;
}

export interface Update<T extends Table> extends Any<T> {
  readonly op: "update";
  readonly new: Row<T>;
  readonly newRow: Row<T>;
  /** Always there under `REPLICA IDENTITY FULL`, otherwise only when the key changed. */
  readonly old: Old<T> | undefined;
  readonly oldKey: Key<T>;
}

export interface Delete<T extends Table> extends Any<T> {
  readonly op: "delete";
  readonly new: undefined;
  readonly newRow: undefined;
  readonly old: Old<T>;
  readonly oldKey: Key<T>;
}

/** The table was emptied. */
export interface Truncate<T extends Table> extends Any<T> {
  readonly op: "truncate";
  readonly new: undefined;
  readonly newRow: undefined;
  readonly old: undefined;
  readonly oldKey: undefined;
}

/** One change of a source table; `op` says which. */
export type Change<T extends Table> = Insert<T> | Update<T> | Delete<T> | Truncate<T>;

/** Takes the public rows that a change becomes, and knows the transaction that it belongs to. */
export interface Out {
  /** The source transaction of the change at hand: its xid, commit time and phase. */
  readonly span: Span;

  /** Publishes a row that is new (or replaces the one with its key). */
  insert<P extends PublicSchema>(schema: P, row: PublicRow<P>): void;

  /** Publishes the new version of a row whose key stays. */
  update<P extends PublicSchema>(schema: P, row: PublicRow<P>): void;

  /** Publishes the new version of the row that had the key `oldKey`. */
  updateFrom<P extends PublicSchema>(schema: P, oldKey: PublicKey<P>, row: PublicRow<P>): void;

  /** Takes a row back. */
  delete<P extends PublicSchema>(schema: P, key: PublicKey<P>): void;

  /** Takes all rows of a public schema back. */
  truncate(schema: PublicSchema): void;

  /**
   * Publishes one row for each source row that `map` makes one of: the ordinary case.
   *
   * | change | what is published |
   * |---|---|
   * | insert | the row, if there is one |
   * | update | the new row, from the old key if it changed; if there is none any more, a delete by the old key |
   * | delete | a delete by key |
   * | truncate | a truncate: let one table alone feed a public schema, or look at the change instead |
   *
   * The source's `key()` must be the public row's, in type, order and value, for a delete brings the old key alone; where
   * it is not, use {@link mapWithKey}.
   */
  map<T extends Table, P extends PublicSchema>(
    change: Change<T>,
    schema: P,
    map: (row: Row<T>) => PublicRow<P> | null | undefined,
  ): void;

  /** As {@link map}, with a function that makes the public key of the source key. */
  mapWithKey<T extends Table, P extends PublicSchema>(
    change: Change<T>,
    schema: P,
    key: (key: Key<T>) => PublicKey<P>,
    map: (row: Row<T>) => PublicRow<P> | null | undefined,
  ): void;
}
