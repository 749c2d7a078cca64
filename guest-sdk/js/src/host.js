// What a transform can ask of the host: to log, and its own state. There is nothing else.
//
// In a component `guest.js` puts the imports of `wit/transform.wit` here; in a test the harness puts its own host here.

import { fatal } from "./error.js";

const nobody = {
  enabled: () => false,
  log() {},
  get: unreachable,
  put: unreachable,
  scan: unreachable,
};

function unreachable() {
  fatal("there is no host: run the transform by `pelton`, or in a test by the Harness of @pelton/sdk/testing");
}

let current = nobody;

/** Returns the host of this moment. */
export const host = () => current;

/** Puts another host in its place, and returns the one before. */
export function setHost(next) {
  const before = current;
  current = next ?? nobody;
  return before;
}
