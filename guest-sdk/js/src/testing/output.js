// What a transform published, to be looked at.

import { fatal } from "../error.js";
import { unchanged } from "../unchanged.js";
import { OPS } from "./encode.js";

/** What came of a batch. Printed, it is one line a row. */
export class Output {
  constructor(rows, rejected, host) {
    this.rows = rows;
    this.rejected = rejected;
    this.logs = host.logs;
    this.stateReads = host.reads;
  }

  toString() {
    return this.rows.map((row) => `${row}\n`).join("");
  }
}

/** A public row. */
class PublicRow {
  constructor(schema, op, source, columns, oldKey) {
    Object.assign(this, { schema, op, source, columns, oldKey });
  }

  /** `update people from (1) id=3 name="ANN"`; of a delete the key alone. */
  toString() {
    const from = this.oldKey === null ? "" : ` from (${this.oldKey.map((cell) => cell.toString()).join(", ")})`;
    const shown = this.columns.filter(([, cell]) => this.op !== "delete" || cell.value !== unchanged);
    return `${this.op} ${this.schema.name}${from}${shown.map(([name, cell]) => ` ${name}=${cell}`).join("")}`;
  }
}

/** A column's value, and how it is printed. */
class Cell {
  constructor(column, wire) {
    const { tag } = column.type.kind;
    const isNumber = tag === "float32" || tag === "float64";
    if (Array.isArray(wire)) this.value = unchanged;
    else if (wire !== null && tag === "int64") this.value = BigInt(wire);
    else this.value = wire !== null && isNumber ? Number(wire) : wire;
    this.isText = typeof this.value === "string" && tag !== "bytea";
  }

  toString() {
    if (this.value === null) return "NULL";
    if (this.value === unchanged) return "unchanged";
    if (Object.is(this.value, -0)) return "-0";
    return this.isText ? JSON.stringify(this.value) : String(this.value);
  }
}

/** Reads a transform's output as the host does, `sources` being the changes of its batch. */
export function readOutput(schemas, output, sources) {
  return JSON.parse(output.json).map(([index, op, source, values, oldKey]) => {
    const schema = schemas[index];
    const columns = schema.columns.map(({ columnName, column }, i) => [columnName, new Cell(column, values[i] ?? null)]);
    const key = oldKey === null ? null : oldKey.map((wire, i) => new Cell(schema.keys[i].column, wire));
    const row = new PublicRow(schema, OPS[op], sources[source], op === 3 ? [] : columns, key);
    const missing = op === 0 && columns.find(([, cell]) => cell.value === unchanged);
    if (missing) {
      fatal(
        `column \`${missing[0]}\` of public schema \`${schema.name}\` is unchanged in an insert: there is nothing to ` +
          "leave as it is",
      );
    }
    return row;
  });
}
