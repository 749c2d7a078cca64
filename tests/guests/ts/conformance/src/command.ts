// What a logical message tells the transform to do.

import { type Bytea, type Out, StateMap, TransformError, codec, fatal, log, pg, publicSchema, reject, retry } from "@pelton/sdk";

import type { Settings } from "./conformance";

export const counts = publicSchema("counts", "1.0", { name: pg.text.key(), n: pg.bigint });

const counted = new StateMap("counts", codec.text, codec.int64);

export function obey(settings: Settings, content: Bytea, transactional: boolean, out: Out) {
  const command = text(content);
  const space = command.indexOf(" ");
  const [word, rest] = space < 0 ? [command, ""] : [command.slice(0, space), command.slice(space + 1)];
  switch (word) {
    case "count":
      return count(settings, rest, out);
    case "clear":
      counted.clear();
      return out.truncate(counts);
    case "list":
      for (const [name, n] of counted.entries()) if (name.startsWith(rest)) out.update(counts, { name, n });
      return;
    case "reject":
      return reject(rest, "told to reject");
    case "retry":
      if (/^\+?\d+$/.test(rest) && BigInt(rest.replace("+", "")) < 1n << 32n) return retry("told to wait", Number(rest));
      break;
    case "fatal":
      return fatal("told to stop");
    case "crash":
      throw new Error("told to crash");
    case "log":
      return log.info(`${settings.greeting}, told to log`, { label: settings.label ?? "none", transactional });
  }
  reject("unknown-command", "there is no such command");
}

function text(content: Bytea): string {
  try {
    return content.utf8();
  } catch (error) {
    if (error instanceof TransformError) reject("not-text", "a command is not UTF-8");
    throw error;
  }
}

function count({ limit }: Settings, name: string, out: Out) {
  const before = counted.get(name);
  const n = (before ?? 0n) + 1n;
  counted.put(name, n);
  if (n > limit) reject("too-many", `a name was counted ${limit} times already`);
  if (before === undefined) out.insert(counts, { name, n });
  else out.update(counts, { name, n });
}
