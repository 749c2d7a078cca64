// What a column holds, in the contract's shape: `{ tag: "int64" }`, `{ tag: "array", val: "integer" }`.

const NAMES = {
  bool: "boolean",
  int16: "smallint",
  int32: "integer",
  int64: "bigint",
  float32: "real",
  float64: "double precision",
  enumeration: "enum",
};

/** Returns Postgres's name of a kind. */
export function kindName(kind) {
  if (kind.tag === "array") return `${kind.val}[]`;
  return kind.tag === "other" ? kind.val : (NAMES[kind.tag] ?? kind.tag);
}

const NATIVE = new Set(["bool", "int16", "int32", "int64", "float32", "float64", "bytea"]);

/** Returns true for the kinds that travel as Postgres's text. */
export const isText = (kind) => !NATIVE.has(kind.tag);

/** Returns what `typeof` says of a value of this kind in a batch. */
export function travelsAs(kind) {
  if (kind.tag === "bool") return "boolean";
  return kind.tag === "int16" || kind.tag === "int32" || kind.tag === "float32" || kind.tag === "float64"
    ? "number"
    : "string";
}
