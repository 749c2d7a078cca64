/* The transform, run natively. */

#include <pelton_test.h>

/* As outbox.c describes it. */
#define MESSAGE(X) X(plain, boolean, transactional) X(plain, bytea, content)
PELTON_MESSAGE(outbox_message, "outbox", MESSAGE)
#define SAYS(text) (&(outbox_message){true, PELTON_BYTES(text)})

static void what_is_said_becomes_an_event(void) {
    pelton_host *host = pelton_host_new(&pelton_exported);
    pelton_insert(host, outbox_message,
                  SAYS("{\"aggregate\": \"order\", \"id\": \"17\", \"type\": \"placed\", \"payload\": {\"total\": 12.50}}"));
    pelton_insert(host, outbox_message, SAYS("{\"aggregate\": \"order\", \"id\": \"\\u0031\", \"type\": \"gone\"}"));
    pelton_expect(pelton_run(host),
                  "insert outbox_events aggregate=\"order\" aggregate_id=\"17\" type=\"placed\" payload=\"{\\\"total\\\": 12.50}\" "
                  "transaction=1\n"
                  "insert outbox_events aggregate=\"order\" aggregate_id=\"1\" type=\"gone\" payload=NULL transaction=1\n");
    pelton_host_free(host);
}

static void what_is_no_message_of_the_outbox_is_rejected(void) {
    pelton_host *host = pelton_host_new(&pelton_exported);
    pelton_insert(host, outbox_message, SAYS("no"));
    pelton_insert(host, outbox_message, SAYS("{\"aggregate\": \"order\", \"id\": 17, \"type\": \"placed\"}"));
    pelton_insert(host, outbox_message, SAYS("\xff"));
    pelton_insert(host, outbox_message, (&(outbox_message){false, PELTON_BYTES("{}")}));
    pelton_expect(pelton_run(host), "");
    pelton_expect(pelton_rejected(host), "0 outbox: a message of the outbox has no `aggregate`\n"
                                         "1 outbox: `id` of a message of the outbox is no string\n"
                                         "2 outbox: a message of the outbox is not UTF-8\n"
                                         "3 outbox: a message of the outbox is not transactional\n");
    pelton_host_free(host);
}

int main(void) {
    what_is_said_becomes_an_event();
    what_is_no_message_of_the_outbox_is_rejected();
    return 0;
}
