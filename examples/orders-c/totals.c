/* What every customer has spent, in the transform's state.
 *
 * A delete brings the order's key alone, and an update does not say what the order was before. So the state keeps what
 * each order counts for, and a change takes the old share from one customer and gives the new one to another. A TRUNCATE
 * empties both maps. */

#include "totals.h"

#define ID(X) X(plain, bigint, id)

/* What an order counts for. */
#define SHARE(X) X(plain, bigint, customer) X(plain, int128, cents)
PELTON_STATE(share, "shares", ID, SHARE)

#define TOTAL(X) X(plain, bigint, orders) X(plain, int128, cents)
PELTON_STATE(total, "totals", ID, TOTAL)

/* Returns the order's key before the change. An insert, too, may find its order counted: a repair brings rows again. */
static const order *key_before(const order_change *change) {
    return change->old_key != NULL ? change->old_key : change->new_row;
}

void totals_ahead(const order_change *change, pelton_ahead *ahead) {
    const order *key = key_before(change);
    if (key != NULL) share_ahead(ahead, &(share_key){key->id});
    if (change->new_row != NULL) total_ahead(ahead, &(total_key){change->new_row->customer_id});
}

static pelton_result add(int64_t customer, int64_t orders, pelton_int128 cents, pelton_out *out) {
    if (orders == 0 && cents == 0) return PELTON_OK;
    const total_key key = {customer};
    const total *known;
    PELTON_TRY(total_get(&key, &known));
    total now = known == NULL ? (total){0, 0} : *known;
    now.orders += orders;
    now.cents += cents;
    if (now.orders == 0) {
        PELTON_TRY(total_remove(&key));
        customer_total_delete(out, &(customer_total){.customer_id = customer});
        return PELTON_OK;
    }
    PELTON_TRY(total_put(&key, &now));
    const customer_total row = {customer, now.orders, pelton_numeric_from_scaled(now.cents, 2)};
    if (known == NULL) customer_total_insert(out, &row);
    else customer_total_update(out, &row);
    return PELTON_OK;
}

pelton_result totals_count(const order_change *change, pelton_out *out) {
    const order *before = key_before(change), *order = change->new_row;
    if (before == NULL) {
        PELTON_TRY(share_clear());
        PELTON_TRY(total_clear());
        customer_total_truncate(out);
        return PELTON_OK;
    }
    const share_key key = {before->id};
    const share *was;
    PELTON_TRY(share_get(&key, &was));
    if (was != NULL) PELTON_TRY(share_remove(&key));
    share is = {0};
    const bool counts = order != NULL && !order->is_test;
    if (counts) {
        is.customer = order->customer_id;
        PELTON_TRY(pelton_numeric_scaled(order->amount, 2, &is.cents));
        PELTON_TRY(share_put(&(share_key){order->id}, &is));
    }
    if (was != NULL && counts && was->customer == is.customer) return add(is.customer, 0, is.cents - was->cents, out);
    if (was != NULL) PELTON_TRY(add(was->customer, -1, -was->cents, out));
    if (counts) PELTON_TRY(add(is.customer, 1, is.cents, out));
    return PELTON_OK;
}
