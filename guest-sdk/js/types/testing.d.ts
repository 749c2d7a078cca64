/**
 * Runs a transform in an ordinary unit test, without WebAssembly and without Pelton.
 *
 * ```ts
 * const host = new Harness(Shop);
 * host.insert(orders, { id: 1n, customer: "Ann" }).run();
 * assert.deepEqual(host.table(publicOrders), ['id=1 label="Ann #1"']);
 * ```
 *
 * Changes are encoded as the host would, so what is tested is all but the sandbox: what the replica identity sends,
 * rejections, and state that is committed with the rows or dropped with them.
 *
 * @packageDocumentation
 */

import type { PublicSchema, Row, Table, Unchanged } from "./index.js";
import type { Level } from "./log.js";
import type { Phase } from "./model.js";
import type { Transform } from "./transform.js";

/** A column of a public row. `value` is a bigint for `bigint`, Postgres's text for what travels as text. */
export interface Cell {
  readonly value: null | boolean | number | bigint | string | Unchanged;
  toString(): string;
}

/** A public row. Printed, it is `update people from (1) id=3 name="ANN"`; of a delete the key alone. */
export interface PublishedRow {
  readonly schema: PublicSchema;
  readonly op: "insert" | "update" | "delete" | "truncate";
  /** The index of the change that it came from, since the last run. */
  readonly source: number;
  readonly columns: [string, Cell][];
  readonly oldKey: Cell[] | null;
  toString(): string;
}

/** What came of a batch. Printed, it is one line a row. */
export interface Output {
  readonly rows: PublishedRow[];
  /** By the index of the change since the last run. */
  readonly rejected: { index: number; code: string; message: string }[];
  /** What was logged; a line prints as `info: message name=value`. */
  readonly logs: { level: Level; message: string; fields: [string, string][]; toString(): string }[];
  /** How often the host was asked for values of the state: once, where all was read ahead. */
  readonly stateReads: number;
  toString(): string;
}

/** A host for one transform. */
export declare class Harness {
  /** Makes a host whose tables have their `key()` columns as primary keys. */
  constructor(transform: Transform | (abstract new (...of: any[]) => object));
  /** Gives a setting, as the manifest would. */
  setting(name: string, value: string | number | bigint | boolean): this;
  /** Sets a table's replica identity; until then it is the primary key. */
  identity(table: Table, identity: "default" | "index" | "full" | "nothing"): this;
  /** Says where the changes come from from now on. */
  phase(phase: Phase): this;
  /** Sets the commit time of the transactions from now on, in microseconds since 1970-01-01 UTC. */
  commitTime(micros: bigint | number): this;
  insert<T extends Table>(table: T, row: Row<T>): this;
  /** Updates a row. What is `unchanged` in `row` arrives as such; `old` is sent as far as the replica identity says. */
  update<T extends Table>(table: T, old: Row<T>, row: Row<T>): this;
  delete<T extends Table>(table: T, row: Row<T>): this;
  truncate(table: Table): this;
  /** Ends the source transaction: what comes next belongs to another one. */
  commit(): this;
  /**
   * Hands all changes since the last run to the transform, as one batch.
   *
   * As at the host, a batch with rejected changes runs again without them, and what the state had before comes back when
   * it fails. Throws `Retry`, whose batch comes again with the next run, `Fatal`, and whatever the transform throws.
   */
  run(): Output;
  /** Replaces the instance, as the host may between any two batches: only the state survives. */
  restart(): this;
  /** Returns the rows of a public schema as they are at the destination now, in key order. */
  table(schema: PublicSchema): string[];
  /** The number of entries in the state. */
  readonly stateSize: number;
  /** Runs `act` with the state at hand, to be read: `host.withState(() => totals.get(7n))`. */
  withState<R>(act: () => R): R;
}
