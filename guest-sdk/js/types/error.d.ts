/**
 * An error that the host is told of. Whatever else is thrown is a crash: it is logged with its place, and the host finds
 * the change that causes it.
 *
 * Messages reach the operator's logs: keep the values of rows out of them.
 */
export declare class TransformError extends Error {}

/** This change can never be transformed. The others of its batch go on. */
export declare class Rejected extends TransformError {
  constructor(code: string, message: string);
  /** A short word that dead letters can be grouped by, such as `amount-negative`. */
  readonly code: string;
}

/** Nothing happened; the same batch comes again later. */
export declare class Retry extends TransformError {
  constructor(message: string, afterMs?: number);
  readonly afterMs: number;
}

/** The transform can't go on: the flow stops. */
export declare class Fatal extends TransformError {}

/** Refuses the change at hand for good; the manifest's `onError` decides between stopping and a dead letter. */
export declare function reject(code: string, message: string): never;

/** Asks for the same batch again after `afterMs` milliseconds; 0: as the host thinks best. */
export declare function retry(message: string, afterMs?: number): never;

/** Stops the flow. */
export declare function fatal(message: string): never;
