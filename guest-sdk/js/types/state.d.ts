import type {
  Decimal,
  Interval,
  Json,
  Jsonb,
  PgArray,
  PgDate,
  Time,
  Timestamp,
  Timestamptz,
  Timetz,
  Uuid,
} from "./text.js";

/** A type of the state; `K` says whether it can be that of keys, of values or of both. */
export interface Codec<T, K extends "key" | "value" = "key" | "value"> {
  readonly name: string;
  readonly __type?: { value: T; use: (as: K) => void };
}

type TypeOf<C> = C extends Codec<infer T, any> ? T : never;

/**
 * The types of keys and values of the state. Their bytes are the same in every SDK of Pelton, so a transform goes on with
 * its state when it is rewritten in another language.
 */
export declare const codec: {
  readonly boolean: Codec<boolean>;
  readonly int16: Codec<number>;
  readonly int32: Codec<number>;
  readonly int64: Codec<bigint>;
  readonly int128: Codec<bigint>;
  readonly uint16: Codec<number>;
  readonly uint32: Codec<number>;
  readonly uint64: Codec<bigint>;
  readonly uint128: Codec<bigint, "key">;
  readonly float64: Codec<number, "value">;
  readonly text: Codec<string>;
  readonly bytes: Codec<Uint8Array>;
  readonly decimal: Codec<Decimal>;
  readonly date: Codec<PgDate>;
  readonly time: Codec<Time>;
  readonly timetz: Codec<Timetz>;
  readonly timestamp: Codec<Timestamp>;
  readonly timestamptz: Codec<Timestamptz>;
  readonly interval: Codec<Interval>;
  readonly uuid: Codec<Uuid>;
  readonly json: Codec<Json>;
  readonly jsonb: Codec<Jsonb>;
  readonly array: Codec<PgArray>;
  /** `true` alone: the value of a map that is a set, or the one key of the state of a whole transform. */
  readonly unit: Codec<true>;
  /** A value, or `undefined`. */
  optional<T>(inner: Codec<T, "value">): Codec<T | undefined, "value">;
  list<T>(inner: Codec<T, "value">): Codec<T[], "value">;
  tuple<const C extends Codec<any, any>[]>(...parts: C): Codec<{ [I in keyof C]: TypeOf<C[I]> }>;
  /** An object with these members, in this order: stored as an array of them, as a struct of the other SDKs is. */
  struct<const C extends Record<string, Codec<any, any>>>(members: C): Codec<{ [N in keyof C]: TypeOf<C[N]> }>;
};

/**
 * A part of the state: a transform's own keys and values, committed together with the rows that it made.
 *
 * A transform that uses it says `stateful` (or `stateVersion`). An instance may be replaced between any two batches, so
 * whatever must survive goes here, never into fields; and it is used in the functions that take changes, never where the
 * transform is made. When what is stored changes its shape, raise `stateVersion`.
 *
 * Reads are remembered and writes collected until the batch ends. When a batch fails, all of it is forgotten.
 */
export declare class StateMap<K, V> {
  /** Names a part of the state; two maps of one transform have different names. */
  constructor(name: string, key: Codec<K, "key">, value: Codec<V, "value">);
  readonly name: string;
  /** Returns the value of a key, `undefined` if there is none. */
  get(key: K): V | undefined;
  /** Returns true when the key has a value. */
  has(key: K): boolean;
  /** Returns the values of many keys, in their order, with one call to the host. */
  getMany(keys: K[]): (V | undefined)[];
  /** Sets the value of a key. */
  put(key: K, value: V): void;
  /** Removes a key. */
  remove(key: K): void;
  /** Returns up to `limit` entries in key order, beginning behind `after`. */
  scan(after: K | undefined, limit: number): [K, V][];
  /** Yields all entries in key order, reading them in batches. */
  entries(): Generator<[K, V], void, void>;
  /** Removes every key, in batches. */
  clear(): void;
}

/** Takes the keys that a batch will read. */
export interface Ahead {
  /** Names a key that will be read. */
  read<K, V>(map: StateMap<K, V>, key: K): void;
}
