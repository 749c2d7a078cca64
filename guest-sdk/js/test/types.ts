// What the type checker makes an author treat. It is never run: `npm test` checks it, and each `@ts-expect-error` is a
// mistake that has to be one.

import {
  type Change,
  Decimal,
  type Key,
  type Out,
  type PublicRow,
  type Row,
  type SettingsOf,
  StateMap,
  type Unchanged,
  changes,
  codec,
  defineTransform,
  isUnchanged,
  on,
  pg,
  publicSchema,
  setting,
  table,
  transform,
} from "@pelton/sdk";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>) => {};

const orders = table("public.orders", {
  id: pg.bigint.key(),
  name: pg.text,
  amount: pg.numeric.nullable(),
  note: pg.text.nullable().toasted(),
  colour: pg.enumeration("red", "blue"),
  sizes: pg.array(pg.integer),
});
type Order = Row<typeof orders>;
same<Key<typeof orders>, { id: bigint }>(true);
same<Order["amount"], Decimal | null>(true);
same<Order["note"], string | null | Unchanged>(true);
same<Order["colour"], "red" | "blue">(true);
const sizes = (order: Order): (number | null)[] => order.sizes.elements();

const published = publicSchema("orders", "1.0", { id: pg.bigint.key(), label: pg.text, note: pg.text.toasted() });
const row: PublicRow<typeof published> = { id: 1, label: "a", note: "b" };

const settings = { limit: setting.integer({ default: 1 }), label: setting.text({ optional: true }) };
type Settings = SettingsOf<typeof settings>;
same<Settings, { readonly limit: number; readonly label: string | undefined }>(true);

@transform({ publishes: [published], settings })
class Orders {
  constructor(private settings: Settings) {}

  @changes(orders)
  orders(change: Change<typeof orders>, out: Out) {
    if (change.op === "insert") out.insert(published, { ...row, id: change.new.id, label: `${this.settings.limit}` });
    // @ts-expect-error a delete has no new row
    if (change.op === "delete") change.new.id;
    // @ts-expect-error an update may come without its old row
    if (change.op === "update") change.old.key;
    if (change.op === "update") change.old?.key.id;
    // @ts-expect-error the public row lacks its columns
    out.insert(published, { id: 1n });
    // @ts-expect-error a label is a string
    out.insert(published, { ...row, label: 1 });
    // @ts-expect-error the column may be unchanged, and not null
    out.map(change, published, ({ id, name, note }) => ({ id, label: name, note }));
    out.map(change, published, ({ id, name, note }) => ({ id, label: name, note: note ?? "" }));
    out.delete(published, { id: 1n });
    // @ts-expect-error a key is an object of the key's columns
    out.delete(published, 1n);
  }

  // @ts-expect-error the changes are those of another table
  @changes(table("public.others", { id: pg.integer.key() }))
  others(change: Change<typeof orders>, out: Out) {}
}

// @ts-expect-error the constructor gets these settings
@transform({ publishes: [published], settings })
class Others {
  constructor(settings: { limit: string }) {}
}

export const functions = defineTransform({
  name: "functions",
  publishes: [published],
  settings,
  init: ({ limit }) => ({ limit }),
  tables: [on(orders, (change, out, { limit }: { limit: number }) => out.truncate(limit > 1 ? published : published))],
});

function toasted(order: Order) {
  // @ts-expect-error it may be unchanged
  order.note?.length;
  if (!isUnchanged(order.note)) return order.note?.length;
  return 0;
}

const map = new StateMap("m", codec.tuple(codec.int64, codec.text), codec.struct({ n: codec.int32 }));
// @ts-expect-error a tuple of two
map.get([1n]);
const n: number | undefined = map.get([1n, "a"])?.n;
// @ts-expect-error a float can't be a key
new StateMap("m", codec.float64, codec.int64);

// @ts-expect-error a Decimal is not a Timestamptz, nor any other text
const other: import("@pelton/sdk").Timestamptz = new Decimal("1");

export { Orders, Others, n, other, sizes, toasted };
