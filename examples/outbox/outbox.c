/* An outbox without a table: what the application says in its transaction becomes an event.
 *
 *     SELECT pg_logical_emit_message(true, 'outbox',
 *         '{"aggregate": "order", "id": "17", "type": "placed", "payload": {"total": 12.50}}')
 *
 * is committed with the rows of that transaction or not at all, and is published exactly once. `payload` is handed on as it
 * was written. */

#include <pelton.h>

#define MESSAGE(X) X(plain, boolean, transactional) X(plain, bytea, content)
PELTON_MESSAGE(outbox_message, "outbox", MESSAGE)

/* Without a key: events are only ever added. */
#define EVENT(X)                     \
    X(plain, text, aggregate)        \
    X(plain, text, aggregate_id)     \
    X(plain, text, type)             \
    X(nullable, jsonb, payload)      \
    X(plain, bigint, transaction)
PELTON_PUBLIC(event, "outbox_events", 1, 0, EVENT)

/* Reads a member that must be a string. */
static pelton_result string(pelton_text document, const char *name, pelton_text *to) {
    pelton_text member;
    if (!pelton_json_member(document, name, &member)) return pelton_reject("outbox", "a message of the outbox has no `%s`", name);
    if (!pelton_json_string(member, to)) return pelton_reject("outbox", "`%s` of a message of the outbox is no string", name);
    return PELTON_OK;
}

static pelton_result publish(const outbox_message_change *change, pelton_out *out) {
    if (change->op != PELTON_INSERT) return PELTON_OK;
    const outbox_message *message = change->new_row;
    /* What is not transactional was said outside of any promise: the application's transaction may have failed. */
    if (!message->transactional) return pelton_reject("outbox", "a message of the outbox is not transactional");
    const pelton_text document = {(const char *)message->content.ptr, message->content.len};
    if (!pelton_text_is_utf8(document)) return pelton_reject("outbox", "a message of the outbox is not UTF-8");
    event row = {.transaction = (int64_t)pelton_out_span(out)->xid};
    PELTON_TRY(string(document, "aggregate", &row.aggregate));
    PELTON_TRY(string(document, "id", &row.aggregate_id));
    PELTON_TRY(string(document, "type", &row.type));
    if (pelton_json_member(document, "payload", &row.payload.value.text)) row.payload.is = PELTON_VALUE;
    event_insert(out, &row);
    return PELTON_OK;
}
PELTON_TABLE(outbox_message, publish)

PELTON_TRANSFORM(.name = "outbox", .version = "1.0.0", .tables = {&publish_table}, .publishes = {event_schema})
