// The shop's orders, as others may see them, and what every customer has spent.
//
// `public.orders` becomes two public schemas: `orders`, one row an order, and `customer_totals`, one row a customer, kept
// up to date in the transform's state.

import { type Ahead, type Change, type Out, ahead, changes, pg, publicSchema, table, transform } from "@pelton/sdk";

import { count, customerTotals, readAhead } from "./totals";

/** `public.orders`. */
export const orders = table("public.orders", {
  id: pg.bigint.key(),
  customer_id: pg.bigint,
  customer_name: pg.text,
  email: pg.text,
  amount: pg.numeric,
  currency: pg.text,
  note: pg.text.nullable().toasted(),
  is_test: pg.boolean,
  placed_at: pg.timestamptz,
});

/** What others see of an order; test orders they do not see. */
export const publicOrders = publicSchema("orders", "1.0", {
  id: pg.bigint.key(),
  customer_id: pg.bigint,
  /** The e-mail address, masked: `a***@example.com`. */
  contact: pg.text,
  /** Amount and currency in one: `12.50 EUR`. */
  price: pg.text,
  note: pg.text.nullable().toasted(),
  /** `placed_at`, renamed. */
  ordered_at: pg.timestamptz,
  /** The customer's name and the order's number in one: `Ann #17`. */
  label: pg.text,
});

/** The shop's transform. */
@transform({ name: "orders", publishes: [publicOrders, customerTotals], stateVersion: 1 })
export default class Orders {
  /** The state that a batch needs is read at once. */
  @ahead(orders)
  ordersAhead(change: Change<typeof orders>, ahead: Ahead) {
    readAhead(change, ahead);
  }

  @changes(orders)
  orders(change: Change<typeof orders>, out: Out) {
    count(change, out);
    out.map(change, publicOrders, (order) => {
      if (order.is_test) return null;
      return {
        id: order.id,
        customer_id: order.customer_id,
        contact: masked(order.email),
        price: `${order.amount} ${order.currency}`,
        note: order.note,
        ordered_at: order.placed_at,
        label: `${order.customer_name} #${order.id}`,
      };
    });
  }
}

/** Hides an address behind its first letter: `ann@example.com` becomes `a***@example.com`. */
export function masked(email: string): string {
  const at = email.lastIndexOf("@");
  if (at < 1 || email[0] === "@") return "***";
  return `${String.fromCodePoint(email.codePointAt(0)!)}***@${email.slice(at + 1)}`;
}
