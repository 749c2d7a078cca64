import type {
  Bytea,
  Decimal,
  Interval,
  Json,
  Jsonb,
  PgArray,
  PgDate,
  Time,
  Timestamp,
  Timestamptz,
  Timetz,
  Uuid,
} from "./text.js";

type Mark = "key" | "nullable" | "toasted";

/**
 * A column of a source table or of a public schema: `T` is what a source row has, `In` what a public row may be given.
 * Columns are made by {@link pg}; the methods return another one.
 */
export interface Column<T, In = T, Marks extends Mark = never> {
  readonly __types?: { value: T; input: In; marks: Marks };
  /** Part of the key: mark the columns of the primary key (or of the replica identity). */
  key(): Column<T, In, Marks | "key">;
  /** May be NULL, which is `null`. */
  nullable(): Column<T, In, Marks | "nullable">;
  /** May be large, so that an update that leaves it alone does not send it: then it is {@link unchanged}. */
  toasted(): Column<T, In, Marks | "toasted">;
  /** Gives the column another name than the field. */
  named(columnName: string): Column<T, In, Marks>;
}

/** The types of columns, by Postgres's names. */
export declare const pg: {
  readonly boolean: Column<boolean>;
  readonly smallint: Column<number>;
  readonly integer: Column<number>;
  readonly bigint: Column<bigint, bigint | number>;
  readonly real: Column<number>;
  readonly double: Column<number>;
  readonly numeric: Column<Decimal>;
  /** Text, and whatever else travels as text. */
  readonly text: Column<string>;
  readonly bytea: Column<Bytea, Bytea | Uint8Array>;
  readonly uuid: Column<Uuid>;
  readonly json: Column<Json>;
  readonly jsonb: Column<Jsonb, Json>;
  readonly date: Column<PgDate>;
  readonly time: Column<Time>;
  readonly timetz: Column<Timetz>;
  readonly timestamp: Column<Timestamp>;
  readonly timestamptz: Column<Timestamptz>;
  readonly interval: Column<Interval>;
  /** An enum whose labels are not named: any string. */
  enumeration(): Column<string>;
  /** An enum: its values are these strings. A source row with another label is rejected. */
  enumeration<const Labels extends readonly string[]>(...labels: Labels): Column<Labels[number]>;
  /** An array: `pg.array(pg.integer)`. */
  array<T, In>(element: Column<T, In>): Column<PgArray<T>>;
  /** Any other type, by Postgres's name (`int4range`): its values are Postgres's text. */
  other(name: string): Column<string>;
};
