import type { Column } from "./column.js";
import type { Unchanged } from "./unchanged.js";

/** Columns by the names of their fields. */
export type Columns = Record<string, Column<any, any, any>>;

type Value<C> = C extends Column<infer T, any, infer M>
  ? T | ("nullable" extends M ? null : never) | ("toasted" extends M ? Unchanged : never)
  : never;
type Input<C> = C extends Column<any, infer In, infer M>
  ? In | ("nullable" extends M ? null : never) | ("toasted" extends M ? Unchanged : never)
  : never;
type KeyNames<C extends Columns> = {
  [N in keyof C]: C[N] extends Column<any, any, infer M> ? ("key" extends M ? N : never) : never;
}[keyof C];
type Simplify<T> = { [N in keyof T]: T[N] } & {};

/** A source table. `Row<typeof orders>` is the type of its rows. */
export interface Table<C extends Columns = any> {
  readonly schema: string;
  readonly name: string;
  readonly __columns?: C;
}

/** A public schema. `PublicRow<typeof publicOrders>` is what a row of it is made of. */
export interface PublicSchema<C extends Columns = any> {
  readonly name: string;
  readonly major: number;
  readonly minor: number;
  readonly __public?: C;
}

type Of<T> = T extends Table<infer C> ? C : T extends PublicSchema<infer C> ? C : never;

/** A row of a source table. */
export type Row<T extends Table> = Simplify<{ [N in keyof Of<T>]: Value<Of<T>[N]> }>;

/** The columns of a source table that are marked `key()`. */
export type Key<T extends Table> = Simplify<{ [N in KeyNames<Of<T>>]: Value<Of<T>[N]> }>;

/** What a row of a public schema is given as. */
export type PublicRow<P extends PublicSchema> = Simplify<{ [N in keyof Of<P>]: Input<Of<P>[N]> }>;

/** The columns of a public schema that are marked `key()`. */
export type PublicKey<P extends PublicSchema> = Simplify<{ [N in KeyNames<Of<P>>]: Input<Of<P>[N]> }>;

/**
 * Describes a source table: `table("public.orders", { id: pg.bigint.key(), customer: pg.text })`.
 *
 * Only these columns are subscribed, and they are found by name, whatever their order in the table. `ops` subscribes to
 * some operations only.
 */
export declare function table<const C extends Columns>(
  name: string,
  columns: C,
  options?: { ops?: ("insert" | "update" | "delete" | "truncate")[] },
): Table<C>;

/**
 * Describes logical messages (`pg_logical_emit_message`) with this prefix: each is an insert. The columns that there are:
 * `transactional: pg.boolean` and `content: pg.bytea`.
 */
export declare function message<const C extends Columns>(prefix: string, columns: C): Table<C>;

/**
 * Describes a public schema: `publicSchema("orders", "1.0", { id: pg.bigint.key(), label: pg.text })`.
 *
 * One without a `key()` is append-only: it takes inserts and truncates.
 */
export declare function publicSchema<const C extends Columns>(name: string, version: string, columns: C): PublicSchema<C>;
