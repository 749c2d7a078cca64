/** Where the changes of a transaction come from. */
export type Phase = "backfill" | "live" | "replay" | "test";

type Attrs = [string, string][];

/** A run of a batch's changes that belong to one source transaction. */
export interface Span {
  /** 0 for backfill. */
  readonly xid: number;
  readonly epoch: number;
  readonly commitLsn: bigint;
  /** Microseconds since 1970-01-01 UTC: the only clock that a transform gets. */
  readonly commitTime: bigint;
  readonly phase: Phase;
  readonly first: number;
  readonly count: number;
  /** False while a large transaction goes on in the next batch. */
  readonly complete: boolean;
  readonly attrs: Attrs;
}

/** A source table at one version of its columns. */
export interface Relation {
  readonly id: number;
  readonly version: number;
  readonly schema: string;
  readonly name: string;
  readonly identity: "default" | "index" | "full" | "nothing";
  readonly columns: { name: string; kind: { tag: string; val?: string }; nullable: boolean; key: boolean; attrs: Attrs }[];
  readonly attrs: Attrs;
}

/** What the host says when an instance starts. */
export interface Context {
  readonly settings: Attrs;
  readonly relations: Relation[];
  readonly instance: number;
  readonly instances: number;
  readonly attrs: Attrs;
}
