/**
 * Write Pelton transforms in TypeScript or JavaScript.
 *
 * Describe the source with {@link table}, what is published with {@link publicSchema}, and say what becomes of a change:
 * in a class decorated with {@link transform}, or in functions given to {@link defineTransform}. The module's default
 * export is the transform; `pelton build DIR` makes a component of it.
 *
 * @packageDocumentation
 */

export { Column, pg } from "./column.js";
export { Change, Delete, Insert, Old, Out, Truncate, Update } from "./change.js";
export { Fatal, Rejected, Retry, TransformError, fatal, reject, retry } from "./error.js";
export { Level, log } from "./log.js";
export { Context, Phase, Relation, Span } from "./model.js";
export { Key, PublicKey, PublicRow, PublicSchema, Row, Table, message, publicSchema, table } from "./row.js";
export { Setting, SettingsOf, setting } from "./settings.js";
export { Ahead, Codec, StateMap, codec } from "./state.js";
export {
  Bytea,
  Decimal,
  Interval,
  Json,
  JsonValue,
  Jsonb,
  Moment,
  PgArray,
  PgDate,
  Time,
  Timestamp,
  Timestamptz,
  Timetz,
  Uuid,
} from "./text.js";
export { EndOfTransaction, Handler, Transform, ahead, changes, defineTransform, on, transform } from "./transform.js";
export { Toasted, type Unchanged, isUnchanged, unchanged } from "./unchanged.js";
