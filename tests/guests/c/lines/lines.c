/* Takes transactions whole: an order is published once its lines add up to its total.
 * `tests/conformance/README.md` says what it does; the other languages' do the same. */

#include <pelton.h>

#define ORDER(X) X(key, bigint, id) X(plain, numeric, total)
PELTON_SOURCE(order, "public.orders", ORDER)

#define LINE(X) X(key, bigint, order_id) X(key, integer, line) X(plain, numeric, amount)
PELTON_SOURCE(line, "public.order_lines", LINE)

#define CHECKED_ORDER(X) X(key, bigint, id) X(plain, numeric, total) X(plain, integer, lines)
PELTON_PUBLIC(checked_order, "checked_orders", 1, 0, CHECKED_ORDER)

#define ID(X) X(plain, bigint, id)
#define NOTHING(X) X(plain, unit, nothing)

/* Each order's total. */
#define TOTAL(X) X(plain, numeric, total)
PELTON_STATE(total, "totals", ID, TOTAL)

/* Each line's amount, in units of its last digit. */
#define PLACE(X) X(plain, bigint, order) X(plain, integer, line)
#define AMOUNT(X) X(plain, int128, units)
PELTON_STATE(amount, "lines", PLACE, AMOUNT)

/* The orders that this transaction has touched, and those that are published. */
PELTON_STATE(touched, "touched", ID, NOTHING)
PELTON_STATE(published, "published", ID, NOTHING)

/* The digits behind the point that are counted. */
enum { SCALE = 6 };

static pelton_result touch(int64_t id) { return touched_put(&(touched_key){id}, &(touched){0}); }

static pelton_result orders(const order_change *change, pelton_out *out) {
    if (change->op == PELTON_TRUNCATE) {
        PELTON_TRY(total_clear());
        PELTON_TRY(published_clear());
        checked_order_truncate(out);
        return PELTON_OK;
    }
    if (change->old_key != NULL) {
        PELTON_TRY(total_remove(&(total_key){change->old_key->id}));
        PELTON_TRY(touch(change->old_key->id));
    }
    const order *order = change->new_row;
    if (order == NULL) return PELTON_OK;
    pelton_int128 units;
    PELTON_TRY(pelton_numeric_scaled(order->total, SCALE, &units));
    PELTON_TRY(total_put(&(total_key){order->id}, &(total){order->total}));
    return touch(order->id);
}
PELTON_TABLE(order, orders)

static pelton_result touch_order(const total_key *key, const total *value, void *context) {
    (void)value, (void)context;
    return touch(key->id);
}

static pelton_result lines(const line_change *change, pelton_out *out) {
    (void)out;
    if (change->op == PELTON_TRUNCATE) {
        PELTON_TRY(amount_clear());
        return total_for_each(touch_order, NULL);
    }
    if (change->old_key != NULL) {
        PELTON_TRY(amount_remove(&(amount_key){change->old_key->order_id, change->old_key->line}));
        PELTON_TRY(touch(change->old_key->order_id));
    }
    const line *line = change->new_row;
    if (line == NULL) return PELTON_OK;
    amount value;
    PELTON_TRY(pelton_numeric_scaled(line->amount, SCALE, &value.units));
    PELTON_TRY(amount_put(&(amount_key){line->order_id, line->line}, &value));
    return touch(line->order_id);
}
PELTON_TABLE(line, lines)

/* How many lines an order has, and their sum, if it is not too large for one. */
typedef struct sum {
    int64_t order;
    int32_t lines;
    bool fits;
    pelton_int128 units;
} sum;

static pelton_result add_line(const amount_key *key, const amount *value, void *context) {
    sum *sum = context;
    if (key->order != sum->order) return PELTON_OK;
    sum->lines++;
    if (__builtin_add_overflow(sum->units, value->units, &sum->units)) sum->fits = false;
    return PELTON_OK;
}

/* Publishes an order, or takes it back. */
static pelton_result check(const touched_key *touched, const struct touched *nothing, void *context) {
    (void)nothing;
    pelton_out *out = context;
    const published_key key = {touched->id};
    const total *total;
    const published *known;
    PELTON_TRY(total_get(&(total_key){touched->id}, &total));
    PELTON_TRY(published_get(&key, &known));
    if (total != NULL) {
        sum sum = {touched->id, 0, true, 0};
        pelton_int128 units;
        PELTON_TRY(amount_for_each(add_line, &sum));
        PELTON_TRY(pelton_numeric_scaled(total->total, SCALE, &units));
        if (sum.fits && sum.units == units) {
            const checked_order row = {touched->id, total->total, sum.lines};
            PELTON_TRY(published_put(&key, &(published){0}));
            if (known != NULL) checked_order_update(out, &row);
            else checked_order_insert(out, &row);
            return PELTON_OK;
        }
        pelton_warn("an order is left out: its lines do not add up to its total");
    }
    if (known == NULL) return PELTON_OK;
    PELTON_TRY(published_remove(&key));
    checked_order_delete(out, &(checked_order){.id = touched->id});
    return PELTON_OK;
}

static pelton_result end_of_transaction(pelton_out *out) {
    PELTON_TRY(touched_for_each(check, out));
    return touched_clear();
}

PELTON_TRANSFORM(.name = "lines", .version = "1.0.0", .tables = {&orders_table, &lines_table},
                 .publishes = {checked_order_schema}, .end_of_transaction = end_of_transaction, .whole_transactions = true,
                 .state_version = 1)
