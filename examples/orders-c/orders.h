/* The rows of `public.orders`, and what becomes of them. */
#ifndef ORDERS_H
#define ORDERS_H

#include <pelton.h>

#define ORDER(X)                     \
    X(key, bigint, id)               \
    X(plain, bigint, customer_id)    \
    X(plain, text, customer_name)    \
    X(plain, text, email)            \
    X(plain, numeric, amount)        \
    X(plain, text, currency)         \
    X(toasted_nullable, text, note)  \
    X(plain, boolean, is_test)       \
    X(plain, timestamptz, placed_at)
PELTON_SOURCE(order, "public.orders", ORDER)

#define PUBLIC_ORDER(X)                                                         \
    X(key, bigint, id)                                                          \
    X(plain, bigint, customer_id)                                               \
    X(plain, text, contact)           /* the address, masked: a***@example.com */ \
    X(plain, text, price)             /* amount and currency: 12.50 EUR */      \
    X(toasted_nullable, text, note)                                             \
    X(plain, timestamptz, ordered_at) /* placed_at, renamed */                  \
    X(plain, text, label)             /* the name and the number: Ann #17 */
PELTON_PUBLIC(public_order, "orders", 1, 0, PUBLIC_ORDER)

/* One row a customer; spent is in the amounts' own currency, for the shop has one. */
#define CUSTOMER_TOTAL(X) X(key, bigint, customer_id) X(plain, bigint, orders) X(plain, numeric, spent)
PELTON_PUBLIC(customer_total, "customer_totals", 1, 0, CUSTOMER_TOTAL)

pelton_text masked(pelton_text email);

#endif
