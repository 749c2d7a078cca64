// The shop's orders, as others may see them, and what every customer has spent.
//
// `public.orders` becomes two public schemas: `orders`, one row an order, and `customer_totals`, one row a customer, kept
// up to date in the transform's state.

import { defineTransform, on, pg, publicSchema, table } from "@pelton/sdk";

import { count, customerTotals, readAhead } from "./totals.js";

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
  contact: pg.text, // the e-mail address, masked: `a***@example.com`
  price: pg.text, // amount and currency in one: `12.50 EUR`
  note: pg.text.nullable().toasted(),
  ordered_at: pg.timestamptz, // `placed_at`, renamed
  label: pg.text, // the customer's name and the order's number in one: `Ann #17`
});

function changed(change, out) {
  count(change, out);
  out.map(change, publicOrders, (order) =>
    order.is_test
      ? null
      : {
          id: order.id,
          customer_id: order.customer_id,
          contact: masked(order.email),
          price: `${order.amount} ${order.currency}`,
          note: order.note,
          ordered_at: order.placed_at,
          label: `${order.customer_name} #${order.id}`,
        },
  );
}

/** Hides an address behind its first letter: `ann@example.com` becomes `a***@example.com`. */
export function masked(email) {
  const at = email.lastIndexOf("@");
  return at > 0 && email[0] !== "@" ? `${String.fromCodePoint(email.codePointAt(0))}***@${email.slice(at + 1)}` : "***";
}

export default defineTransform({
  name: "orders",
  publishes: [publicOrders, customerTotals],
  stateVersion: 1,
  // The state that a batch needs is read at once.
  tables: [on(orders, changed, { ahead: readAhead })],
});
