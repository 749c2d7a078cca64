import type { Change, Out } from "./change.js";
import type { Context } from "./model.js";
import type { PublicSchema, Table } from "./row.js";
import type { Setting, SettingsOf } from "./settings.js";
import type { Ahead } from "./state.js";

type Settings = Record<string, Setting<any>>;

interface Options<S extends Settings> {
  /** The version of the transform; by default that of its package. */
  version?: string;
  /** The public schemas that it publishes. */
  publishes: PublicSchema[];
  /** What the manifest may tell it. */
  settings?: S;
  /** It uses its state. */
  stateful?: boolean;
  /** The version of what is stored; components with the same one read each other's state. It implies `stateful`. */
  stateVersion?: number;
  /** The host may run several instances, each with the changes of its share of the keys. */
  parallel?: boolean;
  /** A batch never ends inside a source transaction. */
  wholeTransactions?: boolean;
}

/** What a class may have beside the methods that are decorated. */
export interface EndOfTransaction {
  /** Called behind the last change of a source transaction that the transform takes. */
  endOfTransaction(out: Out): void;
}

/** A class whose constructor gets the settings and the context. */
type TransformClass<S extends Settings> = new (settings: SettingsOf<S>, context: Context) => object;

/**
 * Decorates the class that is the transform; its methods are decorated with {@link changes}. It is the default export.
 *
 * An instance may be replaced between any two batches: what must survive goes into state, never into fields.
 */
export declare function transform<const S extends Settings = {}>(
  options: Options<S> & {
    /** By default the name of the class. */
    name?: string;
  },
): <C extends TransformClass<S>>(constructor: C, context: ClassDecoratorContext<C>) => void;

/** Decorates the method that takes the changes of a table: `@changes(orders) orders(change, out) { … }`. */
export declare function changes<T extends Table>(
  table: T,
): <This>(
  method: (this: This, change: Change<T>, out: Out) => void,
  context: ClassMethodDecoratorContext<This>,
) => void;

/** Decorates the method that names the state which a change of a table will need, so that a batch reads it at once. */
export declare function ahead<T extends Table>(
  table: T,
): <This>(
  method: (this: This, change: Change<T>, ahead: Ahead) => void,
  context: ClassMethodDecoratorContext<This>,
) => void;

/** A table's function. */
export interface Handler<I = unknown> {
  readonly table: Table;
  readonly __instance?: (instance: I) => void;
}

/**
 * Names the function that takes the changes of a table, for {@link defineTransform}; `options.ahead` names the state that
 * a change will need. `instance` is what `init` has returned.
 */
export declare function on<T extends Table, I = unknown>(
  table: T,
  run: (change: Change<T>, out: Out, instance: I) => void,
  options?: { ahead?: (change: Change<T>, ahead: Ahead, instance: I) => void },
): Handler<I>;

/** What {@link defineTransform} returns: the default export of the transform's module. */
export interface Transform {
  readonly transform: string;
}

/** Makes a transform of functions: the way without decorators, for plain JavaScript. */
export declare function defineTransform<const S extends Settings = {}, I = undefined>(
  options: Options<S> & {
    name: string;
    /** The functions, one a table. */
    tables: Handler<any>[];
    /** Called when an instance starts; what it returns is the last argument of all functions. */
    init?: (settings: SettingsOf<S>, context: Context) => I;
    /** Called behind the last change of a source transaction that the transform takes. */
    endOfTransaction?: (out: Out, instance: I) => void;
  },
): Transform;
