// Runs a transform in an ordinary unit test, without WebAssembly and without Pelton. Changes are encoded as the host
// would, so what is tested is all but the sandbox: what the replica identity sends, rejections, and state that is
// committed with the rows or dropped with them.

import { Retry } from "../error.js";
import { setHost } from "../host.js";
import { encode } from "../public.js";
import { Runner } from "../runner.js";
import { withState } from "../state/overlay.js";
import { checkDefinition, definitionOf } from "../transform.js";
import { Destination } from "./destination.js";
import { OPS, oldRow, relationOf, rowWriter } from "./encode.js";
import { FakeHost } from "./host.js";
import { Output, readOutput } from "./output.js";

/** A host for one transform. */
export class Harness {
  #definition;
  #relations;
  #settings = [];
  #phase = "test";
  #commitTime = 0n;
  #xid = 1;
  /** The changes since the last run, each with the number of its transaction. */
  #waiting = [];
  #runner;
  #state = new Map();
  #destination = new Destination();

  /** Makes a host whose tables have their `key()` columns as primary keys. */
  constructor(transform) {
    this.#definition = definitionOf(transform);
    this.#relations = this.#definition.handlers.map(({ table }, id) => relationOf(id, table));
  }

  /** Gives a setting, as the manifest would. */
  setting(name, value) {
    this.#settings.push([name, String(value)]);
    return this;
  }

  /** Sets a table's replica identity: "default" (the primary key, until then), "index", "full" or "nothing". */
  identity(table, identity) {
    this.#relation(table).identity = identity;
    return this;
  }

  /** Says where the changes come from from now on: "backfill", "live", "replay" or "test". */
  phase(phase) {
    this.#phase = phase;
    return this;
  }

  /** Sets the commit time of the transactions from now on, in microseconds since 1970-01-01 UTC. */
  commitTime(micros) {
    this.#commitTime = BigInt(micros);
    return this;
  }

  insert(table, row) {
    return this.#change(table, "insert", row);
  }

  /** Updates a row. What is `unchanged` in `row` arrives as such; the old row is sent as far as the identity says. */
  update(table, old, row) {
    const full = this.#relation(table).identity === "full";
    const moved = encode(table.writeKey(old)) !== encode(table.writeKey(row));
    return this.#change(table, "update", row, full || moved ? old : undefined);
  }

  delete(table, row) {
    if (this.#relation(table).identity === "nothing") {
      throw new Error("Postgres refuses deletes on a table with REPLICA IDENTITY NOTHING");
    }
    return this.#change(table, "delete", undefined, row);
  }

  truncate(table) {
    return this.#change(table, "truncate");
  }

  /** Ends the source transaction: what comes next belongs to another one. */
  commit() {
    this.#xid += 1;
    return this;
  }

  /**
   * Hands all changes since the last run to the transform, as one batch.
   *
   * As at the host, a batch with rejected changes runs again without them, and what the state had before comes back when
   * it fails. A batch to be retried comes again with the next run.
   */
  run() {
    const batch = this.#waiting;
    this.#waiting = [];
    this.commit();
    let host;
    try {
      const left = batch.map((_, index) => index);
      const rejected = [];
      for (;;) {
        host = this.#host(host);
        const output = within(host, () => this.#process(batch, left));
        if (output.rejected.length === 0) {
          const rows = within(host, () => readOutput(this.#definition.publishes, output, left));
          this.#state = host.state;
          this.#destination.apply(rows);
          rejected.sort((a, b) => a.index - b.index);
          return new Output(rows, rejected, host);
        }
        for (const { index, ...rest } of [...output.rejected].reverse()) {
          rejected.push({ index: left[index], ...rest });
          left.splice(index, 1);
        }
      }
    } catch (error) {
      if (error instanceof Retry) this.#waiting = batch;
      throw error;
    }
  }

  /** Replaces the instance, as the host may between any two batches: only the state survives. */
  restart() {
    this.#runner = undefined;
    return this;
  }

  /** Returns the rows of a public schema as they are at the destination now, in key order. */
  table(schema) {
    return this.#destination.table(schema);
  }

  /** Returns the number of entries in the state. */
  get stateSize() {
    return this.#state.size;
  }

  /** Runs `act` with the state at hand: `host.withState(() => totals.get(7n))`. */
  withState(act) {
    return within(this.#host(), () => withState(act));
  }

  #host(before) {
    const host = new FakeHost(this.#state, { stateful: this.#definition.stateful, level: "debug" });
    if (before) Object.assign(host, { logs: before.logs, reads: before.reads });
    return host;
  }

  #relation(table) {
    const found = this.#relations.find((relation) => `${relation.schema}.${relation.name}` === String(table));
    if (!found) throw new Error(`the transform has no function for table ${table}`);
    return found;
  }

  #change(table, op, row, old) {
    const relation = this.#relation(table);
    const write = rowWriter(table);
    const values = row === undefined ? null : write(row);
    const oldValues = old === undefined ? null : oldRow(relation, write(old));
    this.#waiting.push([this.#xid, [OPS.indexOf(op), relation.id, values, oldValues]]);
    return this;
  }

  #process(batch, left) {
    const spans = [];
    left.forEach((index, first) => {
      const [xid] = batch[index];
      if (spans.at(-1)?.xid === xid) {
        spans.at(-1).count += 1;
        return;
      }
      const [commitTime, phase] = [this.#commitTime, this.#phase];
      const commitLsn = BigInt(xid) << 8n;
      spans.push({ xid, epoch: 1, commitLsn, commitTime, phase, first, count: 1, complete: true, attrs: [] });
    });
    this.#runner ??= this.#start();
    return this.#runner.process(spans, left.length, encode(left.map((index) => batch[index][1])));
  }

  #start() {
    checkDefinition(this.#definition);
    const [settings, relations] = [this.#settings, structuredClone(this.#relations)];
    return new Runner(this.#definition, { settings, relations, instance: 0, instances: 1, attrs: [] });
  }
}

/** Runs `act` with `host` as the host. */
function within(host, act) {
  const before = setHost(host);
  try {
    return act();
  } finally {
    setHost(before);
  }
}

