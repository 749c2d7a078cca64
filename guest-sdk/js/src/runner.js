// The loop that hands a transform its changes: one running instance.

import { readChange } from "./change.js";
import { Rejected, fatal } from "./error.js";
import { Out } from "./out.js";
import { encode } from "./public.js";
import { readSettings } from "./settings.js";
import { Ahead } from "./state/ahead.js";
import { flush, withState } from "./state/overlay.js";
import { Plan, malformed } from "./table.js";
import { checkDefinition } from "./transform.js";

/** Ids are dense; one beyond this is a mistake that would only fill the memory. */
const RELATIONS_MAX = 1 << 20;

export class Runner {
  /** By the relation's id: its function and where its columns go. */
  #plans = [];

  constructor(definition, context) {
    checkDefinition(definition);
    this.definition = definition;
    this.instance = definition.init(readSettings(definition.settings, context.settings), context);
    refusePromise(this.instance, "init");
    for (const relation of context.relations) this.relationChanged(relation);
  }

  /** Takes a relation that is new or was altered. */
  relationChanged(relation) {
    if (relation.id >= RELATIONS_MAX) fatal(`the host numbers a relation ${relation.id}; ids must be dense`);
    const isIts = ({ table }) => table.schema === relation.schema && table.name === relation.name;
    const handler = this.definition.handlers.find(isIts);
    this.#plans[relation.id] = handler && { handler, plan: new Plan(handler.table, relation) };
  }

  /** Transforms a batch; `json` is its payload as text. Returns `{ count, json, rejected }`. */
  process(spans, count, json) {
    const changes = parse(json);
    if (changes.length !== count) fatal("the host's batch holds another number of changes than it says");
    return withState(() => this.#process(spans, changes));
  }

  #process(spans, changes) {
    const known = this.definition.handlers.some((handler) => handler.ahead) ? this.#readAhead(changes) : [];
    const { publishes, endOfTransaction } = this.definition;
    const out = new Out(publishes);
    const rejected = [];
    let index = 0;
    for (const span of spans) {
      if (span.first !== index || changes.length - index < span.count) {
        fatal("the spans of the host's batch do not cover its changes");
      }
      const end = index + span.count;
      out.span = span;
      for (; index < end; index++) this.#change(index, changes[index], known[index], out, rejected);
      if (span.complete && span.count > 0 && endOfTransaction) {
        const before = out.rows.length;
        try {
          refusePromise(endOfTransaction(this.instance, out), "endOfTransaction");
        } catch (error) {
          reject(error, before, out, rejected);
        }
      }
    }
    if (index !== changes.length) fatal("the host's batch has bytes or changes beyond its end");
    flush();
    return { count: out.rows.length, json: encode(out.rows), rejected };
  }

  /**
   * Reads the state that the batch's changes will need, and returns the changes that it has read for that. What can't be
   * read of a change is reported when it is transformed.
   */
  #readAhead(changes) {
    const ahead = new Ahead();
    const known = [];
    for (let i = 0; i < changes.length; i++) {
      const change = changes[i];
      const { handler, plan } = this.#head(change);
      let read;
      if (handler.ahead !== undefined) {
        try {
          read = readChange(plan, change[0], change[2], change[3]);
          handler.ahead(this.instance, read, ahead);
        } catch (error) {
          if (!(error instanceof Rejected)) throw error;
          read = undefined;
        }
      }
      known.push(read);
    }
    ahead.fetch();
    return known;
  }

  /** Returns the function that takes a change, and the plan of its rows. */
  #head(change) {
    if (!Array.isArray(change)) malformed();
    if (change.length !== 4) fatal("a change of the host's batch does not have its four parts");
    const known = this.#plans[change[1]];
    if (known !== undefined) return known;
    return fatal(
      `the host sent a change of relation ${change[1]}, which it has not announced or which is not subscribed`,
    );
  }

  /** Hands one change to its function. */
  #change(index, change, known, out, rejected) {
    const { handler, plan } = this.#head(change);
    const before = out.rows.length;
    out.source = index;
    try {
      const read = known ?? readChange(plan, change[0], change[2], change[3]);
      const result = handler.run(this.instance, read, out);
      if (result !== undefined) refusePromise(result, handler.name);
    } catch (error) {
      reject(error, before, out, rejected);
    }
  }
}

/** Takes note of a change that was rejected: it leaves no rows behind those that were there `before`. */
function reject(error, before, out, rejected) {
  if (!(error instanceof Rejected)) throw error;
  out.rows.length = before;
  // The end of a transaction speaks for its last change, which may have been rejected already.
  if (rejected.at(-1)?.index !== out.source) {
    rejected.push({ index: out.source, code: error.code, message: error.message });
  }
}

function refusePromise(value, name) {
  if (typeof value?.then === "function") {
    fatal(`\`${name}\` is async, and in a transform there is nothing to wait for: take \`async\` away`);
  }
}

function parse(json) {
  try {
    const changes = JSON.parse(json);
    return Array.isArray(changes) ? changes : malformed();
  } catch (error) {
    if (error instanceof SyntaxError) malformed();
    throw error;
  }
}
