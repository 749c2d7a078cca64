// @pelton/sdk: write Pelton transforms in TypeScript or JavaScript. Types and docs: ../types/index.d.ts.

export { pg } from "./column.js";
export { Fatal, Rejected, Retry, TransformError, fatal, reject, retry } from "./error.js";
export { log } from "./log.js";
export { publicSchema } from "./public.js";
export { setting } from "./settings.js";
export { codec } from "./state/codec.js";
export { StateMap } from "./state/map.js";
export { message, table } from "./table.js";
export { PgArray } from "./text/array.js";
export { Bytea } from "./text/bytea.js";
export { Decimal } from "./text/decimal.js";
export { Interval } from "./text/interval.js";
export { Json, Jsonb } from "./text/json.js";
export { PgDate, Time, Timestamp, Timestamptz, Timetz } from "./text/time.js";
export { Uuid } from "./text/uuid.js";
export { ahead, changes, defineTransform, on, transform } from "./transform.js";
export { isUnchanged, unchanged } from "./unchanged.js";
