/* The shop's orders, as others may see them, and what every customer has spent.
 *
 * `public.orders` becomes two public schemas: `orders`, one row an order, and `customer_totals`, one row a customer, kept
 * up to date in the transform's state (totals.h). */

#include "orders.h"
#include "totals.h"

/* Hides an address behind its first letter: ann@example.com becomes a***@example.com. */
pelton_text masked(pelton_text email) {
    const ptrdiff_t at = pelton_text_rfind(email, '@');
    if (at < 0 || email.ptr[0] == '@') return PELTON_TEXT("***");
    const pelton_text first = pelton_text_until(email, pelton_text_letters(email, 1));
    return pelton_concat(first, PELTON_TEXT("***"), pelton_text_from(email, (size_t)at));
}

/* What others see of an order; test orders they do not see. */
static pelton_result published(const order *order, public_order *to) {
    if (order->is_test) return PELTON_NONE;
    *to = (public_order){
        .id = order->id,
        .customer_id = order->customer_id,
        .contact = masked(order->email),
        .price = pelton_concat(order->amount.text, PELTON_TEXT(" "), order->currency),
        .note = order->note,
        .ordered_at = order->placed_at,
        .label = pelton_concat(order->customer_name, PELTON_TEXT(" #"), pelton_text_of_bigint(order->id)),
    };
    return PELTON_OK;
}
PELTON_MAP(publish, order, public_order, published)

static pelton_result orders(const order_change *change, pelton_out *out) {
    PELTON_TRY(totals_count(change, out));
    return publish(change, out);
}

/* The state that a batch needs is read at once. */
PELTON_TABLE_AHEAD(order, orders, totals_ahead)

PELTON_TRANSFORM(.name = "orders", .version = "1.0.0", .tables = {&orders_table},
                 .publishes = {public_order_schema, customer_total_schema}, .state_version = 1)
