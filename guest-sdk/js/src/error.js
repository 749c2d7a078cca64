// What can go wrong in a transform, in the three ways that the host tells apart. Whatever else is thrown is a crash.

/** An error that the host is told of; not a crash. */
export class TransformError extends Error {}

export class Rejected extends TransformError {
  name = "Rejected";

  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Retry extends TransformError {
  name = "Retry";

  constructor(message, afterMs) {
    super(message);
    this.afterMs = afterMs;
  }
}

export class Fatal extends TransformError {
  name = "Fatal";
}

export function reject(code, message) {
  throw new Rejected(String(code), String(message));
}

export function retry(message, afterMs = 0) {
  throw new Retry(String(message), afterMs);
}

export function fatal(message) {
  throw new Fatal(String(message));
}
