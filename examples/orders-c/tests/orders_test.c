/* The transform, run natively. */

#include <pelton_test.h>

#include "../orders.h"

static order an_order(int64_t id, int64_t customer, const char *amount) {
    return (order){
        .id = id,
        .customer_id = customer,
        .customer_name = PELTON_TEXT("Ann"),
        .email = PELTON_TEXT("ann@example.com"),
        .amount = {pelton_text_of(amount)},
        .currency = PELTON_TEXT("EUR"),
        .placed_at = {PELTON_TEXT("2024-07-01 12:00:00+00")},
    };
}

static order a_test(order order) {
    order.is_test = true;
    return order;
}

#define AN_ORDER(...) ((order[]){an_order(__VA_ARGS__)})
#define A_TEST(...) ((order[]){a_test(an_order(__VA_ARGS__))})

static void an_order_is_renamed_joined_and_masked(void) {
    pelton_host *host = pelton_host_new(&pelton_exported);
    order order_17 = an_order(17, 3, "12.50");
    order_17.note = (pelton_toasted_nullable_text)PELTON_SOME(PELTON_TEXT("leave at the door"));
    pelton_insert(host, order, &order_17);
    pelton_expect(pelton_run(host),
                  "insert customer_totals customer_id=3 orders=1 spent=\"12.50\"\n"
                  "insert orders id=17 customer_id=3 contact=\"a***@example.com\" price=\"12.50 EUR\" "
                  "note=\"leave at the door\" ordered_at=\"2024-07-01 12:00:00+00\" label=\"Ann #17\"\n");
    const char *const emails[][2] = {{"ann@example.com", "a***@example.com"}, {"a@b@c", "a***@c"}, {"@x", "***"}, {"", "***"},
                                     {"\xc3\xa4@x", "\xc3\xa4***@x"}};
    for (size_t i = 0; i < sizeof(emails) / sizeof(emails[0]); i++)
        pelton_expect(pelton_text_string(masked(pelton_text_of(emails[i][0]))), emails[i][1]);
    pelton_host_free(host);
}

static void test_orders_are_nobodys_business(void) {
    pelton_host *host = pelton_host_new(&pelton_exported);
    pelton_insert(host, order, A_TEST(1, 3, "5.00"));
    pelton_insert(host, order, AN_ORDER(2, 3, "7.00"));
    /* One becomes a test, the other stops being one. */
    pelton_update(host, order, AN_ORDER(2, 3, "7.00"), A_TEST(2, 3, "7.00"));
    pelton_update(host, order, A_TEST(1, 3, "5.00"), AN_ORDER(1, 3, "5.00"));
    pelton_expect_true(pelton_run(host) != NULL);
    pelton_expect(pelton_table(host, public_order),
                  "id=1 customer_id=3 contact=\"a***@example.com\" price=\"5.00 EUR\" note=NULL "
                  "ordered_at=\"2024-07-01 12:00:00+00\" label=\"Ann #1\"\n");
    pelton_expect(pelton_table(host, customer_total), "customer_id=3 orders=1 spent=\"5.00\"\n");
    pelton_host_free(host);
}

static void an_unchanged_note_stays(void) {
    pelton_host *host = pelton_host_new(&pelton_exported);
    order first = an_order(1, 3, "5.00"), second = an_order(1, 3, "6.00");
    first.note = (pelton_toasted_nullable_text)PELTON_SOME(PELTON_TEXT("a long note"));
    second.note = (pelton_toasted_nullable_text)PELTON_LEFT_ALONE;
    pelton_insert(host, order, &first);
    pelton_update(host, order, &first, &second);
    pelton_expect_true(pelton_run(host) != NULL);
    pelton_expect(pelton_table(host, public_order),
                  "id=1 customer_id=3 contact=\"a***@example.com\" price=\"6.00 EUR\" note=\"a long note\" "
                  "ordered_at=\"2024-07-01 12:00:00+00\" label=\"Ann #1\"\n");
    pelton_host_free(host);
}

static void totals_are_right_under_updates_key_changes_deletes_and_truncates(void) {
    const pelton_replica_identity identities[] = {PELTON_IDENTITY_DEFAULT, PELTON_IDENTITY_FULL};
    for (size_t i = 0; i < 2; i++) {
        pelton_host *host = pelton_host_new(&pelton_exported);
        pelton_set_identity(host, order, identities[i]);
        pelton_insert(host, order, AN_ORDER(1, 3, "5.00"));
        pelton_insert(host, order, AN_ORDER(2, 3, "0.01"));
        pelton_insert(host, order, AN_ORDER(3, 4, "1.10"));
        pelton_expect_true(pelton_run(host) != NULL);
        pelton_expect(pelton_table(host, customer_total),
                      "customer_id=3 orders=2 spent=\"5.01\"\ncustomer_id=4 orders=1 spent=\"1.10\"\n");

        /* Another amount, another customer, another key; and a new instance in between. */
        pelton_update(host, order, AN_ORDER(1, 3, "5.00"), AN_ORDER(1, 3, "4.00"));
        pelton_restart(host);
        pelton_expect_true(pelton_run(host) != NULL);
        pelton_update(host, order, AN_ORDER(2, 3, "0.01"), AN_ORDER(2, 4, "0.01"));
        pelton_update(host, order, AN_ORDER(3, 4, "1.10"), AN_ORDER(9, 4, "1.10"));
        pelton_expect_true(pelton_run(host) != NULL);
        pelton_expect(pelton_table(host, customer_total),
                      "customer_id=3 orders=1 spent=\"4.00\"\ncustomer_id=4 orders=2 spent=\"1.11\"\n");

        pelton_delete(host, order, AN_ORDER(9, 4, "1.10"));
        pelton_delete(host, order, AN_ORDER(1, 3, "4.00"));
        pelton_expect_true(pelton_run(host) != NULL);
        pelton_expect(pelton_table(host, customer_total), "customer_id=4 orders=1 spent=\"0.01\"\n");

        pelton_truncate(host, order);
        pelton_insert(host, order, AN_ORDER(1, 3, "2.00"));
        pelton_expect_true(pelton_run(host) != NULL);
        pelton_expect(pelton_table(host, customer_total), "customer_id=3 orders=1 spent=\"2.00\"\n");
        pelton_expect_true(pelton_state_len(host) == 2); /* one share, one total */
        pelton_host_free(host);
    }
}

static void a_row_that_comes_again_is_counted_once(void) {
    pelton_host *host = pelton_host_new(&pelton_exported);
    pelton_insert(host, order, AN_ORDER(1, 3, "5.00"));
    pelton_insert(host, order, AN_ORDER(1, 3, "6.00"));
    pelton_expect_true(pelton_run(host) != NULL);
    pelton_expect(pelton_table(host, customer_total), "customer_id=3 orders=1 spent=\"6.00\"\n");
    pelton_host_free(host);
}

static void an_amount_that_is_no_number_is_rejected_alone(void) {
    pelton_host *host = pelton_host_new(&pelton_exported);
    pelton_insert(host, order, AN_ORDER(1, 3, "NaN"));
    pelton_insert(host, order, AN_ORDER(2, 3, "5.00"));
    pelton_expect_true(pelton_run(host) != NULL);
    pelton_expect(pelton_rejected(host), "0 not-finite: a numeric is NaN or infinite\n");
    pelton_expect(pelton_table(host, customer_total), "customer_id=3 orders=1 spent=\"5.00\"\n");
    pelton_host_free(host);
}

static void the_state_of_a_batch_is_read_at_once(void) {
    pelton_host *host = pelton_host_new(&pelton_exported);
    for (int64_t id = 0; id < 100; id++) pelton_insert(host, order, AN_ORDER(id, id % 7, "1.00"));
    pelton_expect_true(pelton_run(host) != NULL);
    pelton_expect_true(pelton_state_reads(host) == 1);
    pelton_restart(host);
    pelton_update(host, order, AN_ORDER(8, 1, "1.00"), AN_ORDER(800, 2, "1.00"));
    pelton_delete(host, order, AN_ORDER(9, 2, "1.00"));
    /* And once more for the customer who lost an order: only the order's share tells who that is. */
    pelton_expect_true(pelton_run(host) != NULL);
    pelton_expect_true(pelton_state_reads(host) == 2);
    pelton_host_free(host);
}

int main(void) {
    an_order_is_renamed_joined_and_masked();
    test_orders_are_nobodys_business();
    an_unchanged_note_stays();
    totals_are_right_under_updates_key_changes_deletes_and_truncates();
    a_row_that_comes_again_is_counted_once();
    an_amount_that_is_no_number_is_rejected_alone();
    the_state_of_a_batch_is_read_at_once();
    return 0;
}
