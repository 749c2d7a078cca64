export type Level = "trace" | "debug" | "info" | "warn" | "error";

type Write = (message: string | (() => string), fields?: Record<string, unknown>) => void;

/**
 * Logs: `log.info("one line", { orders: 3 })`. A message that is a function is called only if the host wants the level.
 * Keep the values of rows out: logs are read by people who may not read the data.
 */
export declare const log: {
  /** Returns true when the host wants lines of this level. */
  enabled(level: Level): boolean;
  trace: Write;
  debug: Write;
  info: Write;
  warn: Write;
  error: Write;
};
