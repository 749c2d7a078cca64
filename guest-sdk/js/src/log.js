// Logs: `log.info("one line", { orders: 3 })`. Keep the values of rows out: logs are read by people who may not read
// the data.

import { host } from "./host.js";

function write(level, message, fields) {
  if (host().enabled(level)) {
    const text = typeof message === "function" ? message() : message;
    host().log(level, String(text), Object.entries(fields ?? {}).map(([name, value]) => [name, String(value)]));
  }
}

export const log = Object.freeze({
  enabled: (level) => host().enabled(level),
  trace: (message, fields) => write("trace", message, fields),
  debug: (message, fields) => write("debug", message, fields),
  info: (message, fields) => write("info", message, fields),
  warn: (message, fields) => write("warn", message, fields),
  error: (message, fields) => write("error", message, fields),
});
