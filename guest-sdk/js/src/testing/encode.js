// Changes as the host encodes them: the columns in the relation's order, of the old row what its identity sends.

import { isTable } from "../table.js";
import { UNCHANGED_WIRE, unchanged } from "../unchanged.js";
import { writer } from "../row.js";

export const OPS = ["insert", "update", "delete", "truncate"];

/** Makes the relation that a table describes. */
export function relationOf(id, table) {
  const columns = table.fields.map(({ columnName, column }) => ({
    name: columnName,
    kind: column.type.kind,
    typeOid: 0,
    typeModifier: -1,
    nullable: column.isNullable,
    key: column.isKey,
    attrs: [],
  }));
  return { id, version: 1, schema: table.schema, name: table.name, identity: "default", columns, attrs: [] };
}

/** Makes a function that encodes the rows of a table. */
export function rowWriter(table) {
  if (!isTable(table)) throw new TypeError("this is no table; tables are made by `table` and `message`");
  return writer(table.fields, (field, value) => {
    const { name, column } = field;
    const where = `\`${name}\` of a row of table ${table}`;
    if (value === undefined) throw new TypeError(`${where} is missing`);
    // What its mark does not allow is sent as well: a table may be other than its transform thinks.
    if (value === null) return null;
    if (value === unchanged) return UNCHANGED_WIRE;
    const written = column.type.writeOdd?.(value);
    if (written === undefined && column.type.labels && typeof value === "string") return value;
    if (written === undefined) throw new TypeError(`${where} takes ${column.type.takes}`);
    return written;
  });
}

/** Keeps of an old row what the replica identity sends. */
export function oldRow(relation, values) {
  if (relation.identity === "full") return values;
  return values.map((value, i) => (relation.columns[i].key ? value : UNCHANGED_WIRE));
}
