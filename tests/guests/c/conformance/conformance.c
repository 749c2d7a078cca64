/* The conformance suite's transform: every kind of value, what accessors make of it, and every way to end.
 * `tests/conformance/README.md` says what it does; the other languages' do the same. */

#include "kinds.h"

/* The same row, handed on as it is. */
PELTON_PUBLIC(public_kinds, "kinds", 1, 0, KINDS)

_Static_assert(sizeof(kinds) == sizeof(public_kinds), "both are made of the same list");

static pelton_result handed_on(const kinds *row, public_kinds *to) {
#define HAND_ON(role, type, field, ...) to->field = row->field;
    KINDS(HAND_ON)
    return PELTON_OK;
}
PELTON_MAP(hand_on, kinds, public_kinds, handed_on)
PELTON_MAP(parse_all, kinds, parsed, parse)

static pelton_result all_kinds(const kinds_change *change, pelton_out *out) {
    PELTON_TRY(hand_on(change, out));
    return parse_all(change, out);
}
PELTON_TABLE(kinds, all_kinds)

/* A logical message with the prefix `command`. */
#define COMMAND(X) X(plain, boolean, transactional) X(plain, bytea, content)
PELTON_MESSAGE(command, "command", COMMAND)

static pelton_result commands(const command_change *change, pelton_out *out) {
    if (change->op != PELTON_INSERT) return PELTON_OK;
    const command *command = change->new_row;
    const pelton_text text = {(const char *)command->content.ptr, command->content.len};
    if (!pelton_text_is_utf8(text)) return pelton_reject("not-text", "a command is not UTF-8");
    return obey(text, command->transactional, out);
}
PELTON_TABLE(command, commands)

PELTON_TRANSFORM(.name = "conformance", .version = "1.0.0", .tables = {&all_kinds_table, &commands_table},
                 .publishes = {public_kinds_schema, parsed_schema, counted_schema}, .settings = options_settings,
                 .state_version = 1)
