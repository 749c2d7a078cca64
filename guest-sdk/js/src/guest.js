// The component's exports: the contract on one side, the runner on the other. `pelton build` bundles this with the
// author's transform; nothing else may import it, for its imports are the host's.

import { enabled, log } from "pelton:transform/host@0.1.0";
import { get, put, scan } from "pelton:transform/state@0.1.0";

import { logCrash } from "./crash.js";
import { Fatal, Rejected, Retry, TransformError } from "./error.js";
import { setHost } from "./host.js";
import { Runner } from "./runner.js";
import { definitionOf, describe } from "./transform.js";
import { SDK_VERSION } from "./version.js";

const asked = (ask) => (...of) => {
  try {
    return ask(...of);
  } catch (error) {
    throw fromHost(error);
  }
};

/** The state's errors are thrown as `{ tag, val }`, bare or as an error's payload. */
function fromHost(error) {
  const { tag, val } = error?.payload ?? error ?? {};
  if (tag === "retryable") return new Retry(val.message, val.afterMs);
  if (tag === "rejected") return new Fatal(val.message);
  return tag === "fatal" ? new Fatal(val) : error;
}

function toHost(error) {
  if (error instanceof Retry) return { tag: "retryable", val: { message: error.message, afterMs: error.afterMs } };
  // Rejected changes stand in the output; outside of a batch there is none that could be rejected.
  const message = error instanceof Rejected ? `${error.code}: ${error.message}` : error.message;
  return { tag: "fatal", val: message };
}

/** Returns the exports of a component. `project` is `{ version }` of its package, `map` the bundle's source map. */
export function exportTransform(transform, project) {
  setHost({ enabled, log, get: asked(get), put: asked(put), scan: asked(scan) });
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let runner;

  const guarded = (act) => (argument) => {
    try {
      return act(argument);
    } catch (error) {
      if (error instanceof TransformError) throw toHost(error);
      logCrash(error, globalThis.__peltonSourceMap);
      // Not what was thrown: the engine would print it, values included, and take what is no Error for a result.
      throw new Error("the transform threw");
    }
  };
  const running = () => runner ?? fromNowhere();
  const fromNowhere = () => {
    throw new Fatal("the host calls the transform before init");
  };

  return {
    lifecycle: {
      describe: guarded(() => describe(definitionOf(transform), { version: project.version, sdk: SDK_VERSION })),
      init: guarded((context) => {
        runner = new Runner(definitionOf(transform), context);
      }),
      relationChanged: guarded((relation) => running().relationChanged(relation)),
    },
    packed: {
      process: guarded(({ spans, count, payload }) => {
        const output = running().process(spans, count, decoder.decode(payload));
        return { count: output.count, payload: encoder.encode(output.json), rejected: output.rejected };
      }),
    },
  };
}
