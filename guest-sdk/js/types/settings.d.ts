/** One declared setting. */
export interface Setting<T> {
  readonly required: boolean;
  readonly doc: string;
  readonly __value?: () => T;
}

interface Options<T> {
  /** Shown by `pelton check`, and where the setting is missing. */
  doc?: string;
  /** What it is when the manifest does not give it. */
  default?: T;
  /** It may be left out, and is `undefined` then. */
  optional?: boolean;
}

interface Make<T> {
  (options: Options<T> & { optional: true; default?: undefined }): Setting<T | undefined>;
  (options?: Options<T>): Setting<T>;
}

/** What a setting can be: `setting.integer({ default: 10, doc: "How many." })`. One without a default is required. */
export declare const setting: {
  text: Make<string>;
  /** An integer that a number holds exactly. */
  integer: Make<number>;
  bigint: Make<bigint>;
  number: Make<number>;
  boolean: Make<boolean>;
};

/** The settings as the transform gets them: `SettingsOf<typeof settings>`. */
export type SettingsOf<S extends Record<string, Setting<any>>> = {
  readonly [N in keyof S]: S[N] extends Setting<infer T> ? T : never;
};
