// What an author wrote, and how it is said: a class with decorators, or `defineTransform` with functions.

import { fatal } from "./error.js";
import { isPublicSchema } from "./public.js";
import { checkSettings } from "./settings.js";
import { isTable } from "./table.js";

/** The definitions of decorated classes, and what their methods are marked as. */
const definitions = new WeakMap();
const marks = new WeakMap();

const OPTIONS = new Set([
  ..."name version publishes settings stateful stateVersion parallel wholeTransactions".split(" "),
]);
const FUNCTIONS = new Set(["tables", "init", "endOfTransaction"]);

/** Decorates the class that is the transform. */
export function transform(options = {}) {
  return (constructor, context) => {
    const methods = methodsOf(constructor.prototype);
    const handlers = [];
    for (const [name, method] of methods) {
      const mark = marks.get(method);
      if (mark?.as === "changes") {
        handlers.push({ table: mark.table, name, run: (instance, change, out) => instance[name](change, out) });
      }
    }
    for (const [name, method] of methods) {
      const mark = marks.get(method);
      if (mark?.as !== "ahead") continue;
      const handler = handlers.find((handler) => handler.table === mark.table);
      if (!handler) throw new TypeError(`\`${name}\` reads ahead for table ${mark.table}, whose changes no method takes`);
      handler.ahead = (instance, change, ahead) => instance[name](change, ahead);
    }
    const definition = define(
      { name: context?.name ?? constructor.name, ...options },
      {
        handlers,
        init: (settings, initContext) => new constructor(settings, initContext),
        endOfTransaction: methods.has("endOfTransaction") ? (instance, out) => instance.endOfTransaction(out) : undefined,
      },
      OPTIONS,
    );
    definitions.set(constructor, definition);
    return constructor;
  };
}

/** Returns the methods of a class, those of the classes that it extends included. */
function methodsOf(prototype) {
  const methods = new Map();
  for (let at = prototype; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) {
      const { value } = Object.getOwnPropertyDescriptor(at, name);
      if (typeof value === "function" && !methods.has(name)) methods.set(name, value);
    }
  }
  return methods;
}

/** Decorates the method that takes the changes of a table. */
export function changes(table) {
  return mark("changes", table);
}

/** Decorates the method that names the state which a change of a table will need. */
export function ahead(table) {
  return mark("ahead", table);
}

function mark(as, table) {
  if (!isTable(table)) throw new TypeError(`@${as}(…) takes a table; tables are made by \`table\` and \`message\``);
  return (method) => {
    marks.set(method, { as, table });
    return method;
  };
}

/** Names the function that takes the changes of a table; `options.ahead` names the state that a change will need. */
export function on(table, run, options = {}) {
  if (!isTable(table)) throw new TypeError("on(…) takes a table; tables are made by `table` and `message`");
  if (typeof run !== "function") throw new TypeError(`on(${table}, …) takes a function`);
  return Object.freeze({ table, run, ahead: options.ahead });
}

/** Makes a transform of functions. What `init` returns is the last argument of each of them. */
export function defineTransform(options) {
  const { tables = [], init = () => undefined, endOfTransaction } = options;
  const handlers = tables.map(({ table, run, ahead }) => ({
    table,
    name: String(table),
    run: (instance, change, out) => run(change, out, instance),
    ahead: ahead && ((instance, change, to) => ahead(change, to, instance)),
  }));
  const end = endOfTransaction && ((instance, out) => endOfTransaction(out, instance));
  const made = Object.freeze({ transform: options.name });
  const definition = define(options, { handlers, init, endOfTransaction: end }, new Set([...OPTIONS, ...FUNCTIONS]));
  definitions.set(made, definition);
  return made;
}

function define(options, functions, known) {
  for (const name of Object.keys(options)) {
    if (!known.has(name)) throw new TypeError(`\`${name}\` is no option of a transform; they are ${[...known].join(", ")}`);
  }
  const { name, version, publishes = [], settings = {}, stateVersion = 0 } = options;
  if (typeof name !== "string" || name === "") throw new TypeError("a transform has a name");
  if (publishes.length === 0 || !publishes.every(isPublicSchema)) {
    throw new TypeError("say what the transform publishes: publishes: [publicSchema(…)]");
  }
  return {
    name,
    version,
    publishes,
    settings: checkSettings(settings),
    stateful: options.stateful ?? options.stateVersion !== undefined,
    stateVersion,
    parallel: options.parallel ?? false,
    wholeTransactions: options.wholeTransactions ?? false,
    ...functions,
  };
}

/** Returns what a decorated class or `defineTransform` has defined. */
export function definitionOf(transform) {
  const definition = definitions.get(transform);
  if (!definition) {
    fatal(
      "the module's default export is no transform: export a class that is decorated with @transform, or what " +
        "defineTransform returns, by `export default`",
    );
  }
  return definition;
}

/** Checks what only the whole transform can be wrong in. */
export function checkDefinition({ handlers, publishes }) {
  if (handlers.length === 0) {
    fatal("the transform takes no changes: mark a method with @changes(table), or give `tables: [on(table, …)]`");
  }
  handlers.forEach(({ table }, i) => {
    if (handlers.slice(0, i).some(({ table: other }) => String(other) === String(table))) {
      fatal(`two functions take the changes of table ${table}; make it one`);
    }
  });
  publishes.forEach(({ name, major }, i) => {
    if (publishes.slice(0, i).some((other) => other.name === name && other.major === major)) {
      fatal(`public schema \`${name}\` ${major} is declared twice`);
    }
  });
}

/** Returns what the host is told of a transform, in the contract's shape. */
export function describe(definition, { version, sdk }) {
  checkDefinition(definition);
  const column = ({ columnName, column }) => ({
    name: columnName,
    kind: column.type.kind,
    typeOid: 0,
    typeModifier: -1,
    nullable: column.isNullable,
    key: column.isKey,
    attrs: [],
  });
  return {
    name: definition.name,
    version: definition.version ?? version,
    encoding: "json",
    subscriptions: definition.handlers.map(({ table }) => ({
      schema: table.schema,
      table: table.name,
      columns: table.fields.map((field) => field.columnName),
      ops: table.ops,
      attrs: [],
    })),
    publicSchemas: definition.publishes.map((schema) => ({
      name: schema.name,
      major: schema.major,
      minor: schema.minor,
      columns: schema.columns.map(column),
      attrs: [],
    })),
    settings: Object.entries(definition.settings).map(([name, { required, default: standard, doc }]) => ({
      name,
      required,
      default: standard,
      doc,
    })),
    parallel: definition.parallel,
    wholeTransactions: definition.wholeTransactions,
    stateful: definition.stateful,
    stateVersion: definition.stateVersion,
    attrs: [["sdk", `pelton-sdk-js ${sdk}`]],
  };
}
