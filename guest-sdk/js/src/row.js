// Functions that read and write whole rows, made once for each relation and public schema of the pieces in column.js.
//
// They are made as code: what takes 9 µs a row in a loop over columns takes 6 µs so, for the engine inside of a component
// interprets. Nothing but names of columns, which are quoted, and our own pieces goes into the code.

/** A function's parameters for one column's type: its class, its enum's labels, how an array's elements are read. */
export class Names {
  names = [];
  values = [];

  add(value) {
    const name = `p${this.names.length}`;
    this.names.push(name);
    this.values.push(value);
    return name;
  }

  make(body) {
    return new Function(...this.names, body)(...this.values);
  }
}

export const quote = (name) => JSON.stringify(name);

function piece(code, x, type, names) {
  return code
    .replace(/\bx\b/g, x)
    .replace(/\bV\b/g, () => names.add(type.values))
    .replace(/\bE\b/g, () => names.add(type.element));
}

/**
 * Makes a function (values, old) that makes an object of a row's values, which stand in the relation's order.
 *
 * `fields` are `{ name, column, at, travels }`, `at` being the place of the value; `odd(field, x, old)` returns what an
 * unusual value (NULL, unchanged) is for its field, or throws.
 */
export function reader(fields, odd) {
  const names = new Names();
  const oddly = names.add(odd);
  const inPlace = [...fields].sort((a, b) => a.at - b.at);
  const reads = inPlace.map((field) => {
    const { type } = field.column;
    const x = `v[${field.at}]`;
    const usual =
      type.labels === undefined
        ? `typeof (x = ${x}) === ${quote(field.travels)}`
        : `typeof (x = ${x}) === "string" && ${names.add(type.labels)}.has(x)`;
    const value = `${usual} ? ${piece(type.read, "x", type, names)} : ${oddly}(${names.add(field)}, x, old)`;
    return `const f${field.at} = ${value};`;
  });
  const members = fields.map((field) => `${quote(field.name)}: f${field.at}`);
  return names.make(`return (v, old) => { let x; ${reads.join("\n")} return { ${members.join(", ")} }; };`);
}

/**
 * Makes a function (row) that makes the values of a row, in the order of `columns`, which are `{ name, column }`;
 * `odd(column, x)` returns how an unusual value travels, or throws. Names that are not `wanted` get `otherwise`.
 */
export function writer(columns, odd, wanted = () => true, otherwise = undefined) {
  const names = new Names();
  const oddly = names.add(odd);
  const rest = names.add(otherwise);
  const values = columns.map((column) => {
    if (!wanted(column)) return rest;
    const { type } = column.column;
    const usual = piece(type.is, "x", type, names);
    return `(x = row[${quote(column.name)}], ${usual}) ? ${piece(type.write, "x", type, names)} : ${oddly}(${names.add(column)}, x)`;
  });
  return names.make(`return (row) => { let x; return [${values.join(",\n")}]; };`);
}
