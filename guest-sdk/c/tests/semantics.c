/* What a transform's author may rely on, shown through the native host: the rules are those of the Rust SDK. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"

#include "../src/internal.h"

#define ROWS(host, expected) pelton_expect(pelton_run(host), expected)
#define FAILS(host, expected) (pelton_expect_true(pelton_run(host) == NULL), pelton_expect(pelton_error_of(host), expected))

static item an_item(int64_t id, const char *name) {
    return (item){.id = id, .name = pelton_text_of(name), .body = PELTON_SOME(PELTON_TEXT("b"))};
}
static item hidden_item(int64_t id, const char *name) {
    item item = an_item(id, name);
    item.hidden = true;
    return item;
}
static item untouched_item(int64_t id, const char *name) {
    item item = an_item(id, name);
    item.body = (pelton_toasted_text)PELTON_LEFT_ALONE;
    return item;
}
#define AN(...) ((item[]){an_item(__VA_ARGS__)})
#define HIDDEN(...) ((item[]){hidden_item(__VA_ARGS__)})
#define UNTOUCHED(...) ((item[]){untouched_item(__VA_ARGS__)})

static void map_publishes_one_row_for_one_row_under_the_primary_key(void) {
    pelton_host *host = pelton_host_new(&items_transform);
    pelton_insert(host, item, AN(1, "a"));
    pelton_insert(host, item, HIDDEN(2, "a"));
    ROWS(host, "insert items id=1 name=\"a\" size=NULL body=\"b\"\n");
    pelton_update(host, item, AN(1, "a"), UNTOUCHED(1, "c"));
    ROWS(host, "update items id=1 name=\"c\" size=NULL body=unchanged\n");
    pelton_expect(pelton_table(host, public_item), "id=1 name=\"c\" size=NULL body=\"b\"\n");
    pelton_update(host, item, AN(1, "a"), AN(2, "a"));
    ROWS(host, "update items from (1) id=2 name=\"a\" size=NULL body=\"b\"\n");
    pelton_update(host, item, AN(1, "a"), HIDDEN(1, "a"));
    pelton_update(host, item, AN(1, "a"), HIDDEN(2, "a"));
    /* The old row is not known, so it can't be told whether it was published: a delete too many does no harm. */
    pelton_delete(host, item, HIDDEN(1, "a"));
    ROWS(host, "delete items id=1\ndelete items id=1\ndelete items id=1\n");
    pelton_truncate(host, item);
    ROWS(host, "truncate items\n");
    pelton_host_free(host);
}

static void map_knows_the_old_row_under_full(void) {
    pelton_host *host = pelton_host_new(&items_transform);
    pelton_set_identity(host, item, PELTON_IDENTITY_FULL);
    pelton_update(host, item, HIDDEN(1, "a"), AN(1, "a"));
    ROWS(host, "insert items id=1 name=\"a\" size=NULL body=\"b\"\n");
    pelton_update(host, item, HIDDEN(1, "a"), HIDDEN(1, "c"));
    pelton_delete(host, item, HIDDEN(1, "a"));
    ROWS(host, "");
    pelton_delete(host, item, AN(1, "a"));
    ROWS(host, "delete items id=1\n");
    /* An unchanged value is filled from the old row. */
    pelton_update(host, item, AN(1, "a"), UNTOUCHED(1, "c"));
    ROWS(host, "update items id=1 name=\"c\" size=NULL body=\"b\"\n");
    pelton_host_free(host);
}

/* --- Batches as the host writes them, for what the harness would not send --- */

static pelton_column columns[6];

/* The table's columns in another order, and one more than is subscribed: part of the replica identity. */
static pelton_relation a_relation(pelton_identity identity) {
    const pelton_column fresh[] = {
        {PELTON_TEXT("hidden"), {PELTON_KIND_BOOL, PELTON_TEXT("")}, true, false},
        {PELTON_TEXT("region"), {PELTON_KIND_TEXT, PELTON_TEXT("")}, true, true},
        {PELTON_TEXT("body"), {PELTON_KIND_TEXT, PELTON_TEXT("")}, true, false},
        {PELTON_TEXT("id"), {PELTON_KIND_INT32, PELTON_TEXT("")}, true, true},
        {PELTON_TEXT("title"), {PELTON_KIND_OTHER, PELTON_TEXT("citext")}, true, false},
        {PELTON_TEXT("size"), {PELTON_KIND_INT16, PELTON_TEXT("")}, true, false},
    };
    memcpy(columns, fresh, sizeof(fresh));
    return (pelton_relation){3, PELTON_TEXT("shop"), PELTON_TEXT("items"), identity, columns, 6};
}

static pelton_result start(const pelton_transform *transform, const pelton_relation *relation, pelton_runner **runner) {
    const pelton_start start = {NULL, 0, relation, 1, 0, 1};
    return pelton_runner_start(transform, &start, runner);
}

/* Runs a batch of one change, in one span. */
static pelton_result process(pelton_runner *runner, const char *change, size_t length, pelton_output *output) {
    const pelton_span span = {.xid = 7, .epoch = 1, .commit_lsn = 9, .phase = PELTON_LIVE, .count = 1, .complete = true};
    uint8_t *payload = (uint8_t *)malloc(length + 1);
    payload[0] = 0x91;
    memcpy(payload + 1, change, length);
    const pelton_result result = pelton_runner_process(runner, &span, 1, 1, (pelton_bytes){payload, length + 1}, output);
    free(payload);
    return result;
}

static void expect_bytes(pelton_bytes found, const char *expected, size_t length) {
    pelton_expect_true(found.len == length && memcmp(found.ptr, expected, length) == 0);
}

#define CHANGE(bytes) bytes, sizeof(bytes) - 1
#define UNCHANGED_BYTES "\xd4\x01\x00"

static const char *failed(void) { return pelton_text_string(pelton_failed.message); }

static void columns_are_found_by_name_whatever_their_order(void) {
    pelton_runner *runner;
    pelton_output output;
    const pelton_relation relation = a_relation(PELTON_BY_KEY);
    pelton_expect_true(start(&items_transform, &relation, &runner) == PELTON_OK);
    /* hidden=false region="eu" body="B" id=5 title="T" size=7 */
    pelton_expect_true(process(runner, CHANGE("\x94\x00\x03\x96\xc2\xa2" "eu\xa1" "B\x05\xa1" "T\x07\xc0"), &output) == PELTON_OK);
    expect_bytes(output.payload, CHANGE("\xdd\0\0\0\x01\x95\0\0\0\x94\x05\xa1" "T\x07\xa1" "B\xc0"));
    pelton_runner_end(runner);
}

static void an_unchanged_value_of_a_plain_field_is_filled_from_a_full_old_row(void) {
    pelton_runner *runner;
    pelton_output output;
    const pelton_relation relation = a_relation(PELTON_FULL);
    pelton_expect_true(start(&items_transform, &relation, &runner) == PELTON_OK);
    pelton_expect_true(process(runner,
                               CHANGE("\x94\x01\x03\x96\xc2\xa2" "eu" UNCHANGED_BYTES "\x05" UNCHANGED_BYTES "\x08"
                                      "\x96\xc2\xa2" "eu\xa1" "B\x05\xa1" "T\x07"),
                               &output) == PELTON_OK);
    expect_bytes(output.payload, CHANGE("\xdd\0\0\0\x01\x95\0\x01\0\x94\x05\xa1" "T\x08\xa1" "B\xc0"));
    pelton_runner_end(runner);
}

static void altered(pelton_relation relation, const char *expected) {
    pelton_runner *runner;
    pelton_expect_true(start(&items_transform, &relation, &runner) == PELTON_FATAL);
    pelton_expect(failed(), expected);
    pelton_runner_end(runner);
}

static void an_altered_table_is_held_against_the_struct(void) {
    pelton_relation relation = a_relation(PELTON_BY_KEY);
    columns[4].name = PELTON_TEXT("headline");
    altered(relation, "table shop.items has no column `title`, which the transform reads; was it renamed or dropped?");
    relation = a_relation(PELTON_BY_KEY);
    columns[3].type.kind = PELTON_KIND_NUMERIC;
    altered(relation, "column `id` of table shop.items is numeric; the transform expects bigint, integer or smallint");
    relation = a_relation(PELTON_BY_KEY);
    columns[5].type.kind = PELTON_KIND_INT64;
    altered(relation, "column `size` of table shop.items is bigint; the transform expects integer or smallint");
    relation = a_relation(PELTON_BY_KEY);
    columns[3].key = false;
    altered(relation, "column `id` of table shop.items is marked key and not part of the replica identity, so updates and "
                      "deletes come without it; mark the columns of the replica identity, or ALTER TABLE shop.items "
                      "REPLICA IDENTITY FULL");

    pelton_runner *runner;
    relation = a_relation(PELTON_BY_KEY);
    pelton_expect_true(start(&items_transform, &relation, &runner) == PELTON_OK);
    columns[0].name = PELTON_TEXT("shown");
    pelton_expect_true(pelton_runner_relation(runner, &relation) == PELTON_FATAL);
    pelton_expect_true(strstr(failed(), "no column `hidden`") != NULL);
    pelton_runner_end(runner);
}

static void rejected(const char *change, size_t length, const char *code, const char *message) {
    pelton_runner *runner;
    pelton_output output;
    const pelton_relation relation = a_relation(PELTON_BY_KEY);
    pelton_expect_true(start(&items_transform, &relation, &runner) == PELTON_OK);
    pelton_expect_true(process(runner, change, length, &output) == PELTON_OK);
    expect_bytes(output.payload, CHANGE("\xdd\0\0\0\0"));
    pelton_expect_true(output.rejected_count == 1 && output.rejected[0].index == 0);
    pelton_expect(pelton_text_string(output.rejected[0].code), code);
    pelton_expect(pelton_text_string(output.rejected[0].message), message);
    pelton_runner_end(runner);
}

static void a_value_that_does_not_fit_is_rejected_with_its_columns_name(void) {
    rejected(CHANGE("\x94\x00\x03\x96\xc2\xa2" "eu\xa1" "B\x05\xc0\x07\xc0"), "null",
             "column `title` of table shop.items is NULL; make the field nullable if that may be");
    rejected(CHANGE("\x94\x01\x03\x96\xc2\xa2" "eu\xa1" "B\x05" UNCHANGED_BYTES "\x07\xc0"), "unchanged",
             "column `title` of table shop.items is a TOASTed value that the update left alone, so it was not sent; make the "
             "field toasted, or ALTER TABLE shop.items REPLICA IDENTITY FULL");
    rejected(CHANGE("\x94\x02\x03\xc0\xc0"), "no-old-row", "a delete of table shop.items came without its old row");

    /* A kind that was not announced is the host's mistake, and nobody's row. */
    pelton_runner *runner;
    pelton_output output;
    const pelton_relation relation = a_relation(PELTON_BY_KEY);
    pelton_expect_true(start(&items_transform, &relation, &runner) == PELTON_OK);
    pelton_expect_true(process(runner, CHANGE("\x94\x00\x03\x96\xc2\xa2" "eu\xa1" "B\xa1x\xa1T\x07\xc0"), &output) == PELTON_FATAL);
    pelton_expect(failed(), "column `id` of table shop.items arrived as text; the transform expects bigint, integer or smallint");
    pelton_expect_true(process(runner, CHANGE("\x94\x00\x04\xc0\xc0"), &output) == PELTON_FATAL);
    pelton_expect_true(strstr(failed(), "relation 4") != NULL);
    pelton_runner_end(runner);
}

/* --- Several tables, settings, logs, messages, errors, transactions --- */

#define COLOUR(of, X) X(of, red, "red") X(of, dark, "very dark")
PELTON_ENUM(colour, COLOUR)

#define THING(X) X(key, integer, place) X(key, integer, number) X(plain, enumeration, colour)
PELTON_SOURCE(thing, "things", THING, .ops = PELTON_INSERTS | PELTON_DELETES)

#define NOTE(X) X(plain, boolean, transactional) X(plain, bytea, content)
PELTON_MESSAGE(note, "notes", NOTE)

#define PUBLIC_THING(X) X(plain, text, label) X(key, integer, place) X(key, integer, number) X(plain, enumeration, colour)
PELTON_PUBLIC(public_thing, "things", 1, 0, PUBLIC_THING)

#define LINE(X) X(plain, text, text, .kind = "varchar") X(plain, bigint, at)
PELTON_PUBLIC(line, "journal", 1, 0, LINE)

#define OPTIONS(X)                                                                               \
    X(plain, text, prefix, .doc = "Put before every label.")                                     \
    X(plain, integer, most, .preset = "100", .doc = "How many changes a transaction may have.")  \
    X(plain, double_precision, factor, .preset = "1.5")                                          \
    X(nullable, text, suffix)
PELTON_SETTINGS(options, OPTIONS)

static pelton_result house_init(const pelton_context *context) {
    pelton_log(PELTON_DEBUG, PELTON_FIELDS({"instances", pelton_text_of_bigint(context->instances)}), "starting");
    return PELTON_OK;
}

static pelton_result public_thing_of(const thing *thing, public_thing *to) {
    const options *options = pelton_settings();
    colour read;
    PELTON_TRY(colour_read(thing->colour, &read));
    *to = (public_thing){pelton_concat(options->prefix, pelton_text_of_bigint(thing->number), options->suffix.value),
                         thing->place, thing->number, colour_label(read)};
    return PELTON_OK;
}
PELTON_MAP(map_thing, thing, public_thing, public_thing_of)

static pelton_result things(const thing_change *change, pelton_out *out) {
    const thing *thing = change->new_row;
    if (change->op == PELTON_INSERT && thing->number < 0) {
        line_insert(out, &(line){PELTON_TEXT("never seen"), 0});
        return pelton_reject("negative", "thing %d has a negative number", thing->place);
    }
    if (change->op == PELTON_INSERT && thing->number == 13) return pelton_retry(50, "not today");
    return map_thing(change, out);
}
PELTON_TABLE(thing, things)

static pelton_result notes(const note_change *change, pelton_out *out) {
    const note *note = change->new_row;
    const pelton_text text = {(const char *)note->content.ptr, note->content.len};
    if (!pelton_text_is_utf8(text)) return pelton_reject("utf8", "a note is not UTF-8");
    line_insert(out, &(line){pelton_concat(text, note->transactional ? PELTON_TEXT(" true") : PELTON_TEXT(" false")),
                             pelton_out_span(out)->commit_time});
    return PELTON_OK;
}
PELTON_TABLE(note, notes)

static pelton_result house_end(pelton_out *out) {
    const options *options = pelton_settings();
    const pelton_span *span = pelton_out_span(out);
    if (span->count > (uint32_t)options->most)
        pelton_log(PELTON_WARN, PELTON_FIELDS({"changes", pelton_text_of_bigint(span->count)}), "a large transaction");
    line_insert(out, &(line){pelton_format("end of %u", span->xid), 0});
    return PELTON_OK;
}

static const pelton_transform house = {.name = "house",
                                       .version = "3",
                                       .tables = {&things_table, &notes_table},
                                       .publishes = {public_thing_schema, line_schema},
                                       .settings = options_settings,
                                       .init = house_init,
                                       .end_of_transaction = house_end,
                                       .whole_transactions = true};

static thing a_thing(int32_t place, int32_t number, const char *colour) {
    return (thing){place, number, {pelton_text_of(colour)}};
}
#define A_THING(...) ((thing[]){a_thing(__VA_ARGS__)})

static void several_tables_and_messages_become_several_public_schemas(void) {
    pelton_host *host = pelton_host_new(&house);
    pelton_setting(host, "prefix", "no. ");
    pelton_setting(host, "most", "2");
    pelton_commit_time(host, 44);
    pelton_insert(host, thing, A_THING(1, 2, "very dark"));
    pelton_insert(host, note, (&(note){true, PELTON_BYTES("hello")}));
    pelton_delete(host, thing, A_THING(1, 2, "red"));
    pelton_commit(host);
    pelton_insert(host, thing, A_THING(-1, 3, "red"));
    ROWS(host, "insert things label=\"no. 2\" place=1 number=2 colour=\"very dark\"\n"
               "insert journal text=\"hello true\" at=44\n"
               "delete things place=1 number=2\n"
               "insert journal text=\"end of 1\" at=0\n"
               "insert things label=\"no. 3\" place=-1 number=3 colour=\"red\"\n"
               "insert journal text=\"end of 2\" at=0\n");
    pelton_expect(pelton_logs(host), "debug: starting instances=1\nwarn: a large transaction changes=3\n");
    pelton_expect(pelton_table(host, public_thing), "label=\"no. 3\" place=-1 number=3 colour=\"red\"\n");
    pelton_host_free(host);
}

static void a_rejected_change_leaves_nothing_behind_and_stops_nobody(void) {
    pelton_host *host = pelton_host_new(&house);
    pelton_setting(host, "prefix", "");
    pelton_setting(host, "suffix", "!");
    pelton_insert(host, thing, A_THING(1, 1, "red"));
    pelton_insert(host, thing, A_THING(2, -1, "red"));
    pelton_insert(host, thing, A_THING(3, 3, "green"));
    pelton_insert(host, note, (&(note){false, PELTON_BYTES("\xff")}));
    ROWS(host, "insert things label=\"1!\" place=1 number=1 colour=\"red\"\ninsert journal text=\"end of 1\" at=0\n");
    pelton_expect(pelton_rejected(host), "1 negative: thing 2 has a negative number\n"
                                         "2 label: a value is none of the labels of the enum colour; add it\n"
                                         "3 utf8: a note is not UTF-8\n");
    pelton_host_free(host);
}

static void what_a_rejected_change_had_published_is_not_sent(void) {
    const pelton_column things_columns[] = {
        {PELTON_TEXT("place"), {PELTON_KIND_INT32, PELTON_TEXT("")}, false, true},
        {PELTON_TEXT("number"), {PELTON_KIND_INT32, PELTON_TEXT("")}, false, true},
        {PELTON_TEXT("colour"), {PELTON_KIND_ENUMERATION, PELTON_TEXT("")}, false, false},
    };
    const pelton_relation relation = {0, PELTON_TEXT("public"), PELTON_TEXT("things"), PELTON_BY_KEY, things_columns, 3};
    const pelton_pair setting = {PELTON_TEXT("prefix"), PELTON_TEXT("")};
    const pelton_start start = {&setting, 1, &relation, 1, 0, 1};
    const pelton_span span = {.xid = 7, .count = 2, .complete = true};
    static const char payload[] = "\x92\x94\x00\x00\x93\x02\xff\xa3red\xc0\x94\x00\x00\x93\x03\x03\xa3red\xc0";
    pelton_runner *runner;
    pelton_output output;
    pelton_expect_true(pelton_runner_start(&house, &start, &runner) == PELTON_OK);
    const pelton_bytes bytes = {(const uint8_t *)payload, sizeof(payload) - 1};
    pelton_expect_true(pelton_runner_process(runner, &span, 1, 2, bytes, &output) == PELTON_OK);
    pelton_expect_true(output.count == 2 && output.rejected_count == 1 && output.rejected[0].index == 0);
    /* The row of the second change, and the end of the transaction. */
    expect_bytes(output.payload, CHANGE("\xdd\0\0\0\x02\x95\x00\x00\x01\x94\xa1" "3\x03\x03\xa3red\xc0"
                                        "\x95\x01\x00\x01\x92\xa8" "end of 7\x00\xc0"));
    pelton_runner_end(runner);
}

static void a_batch_to_be_retried_comes_again(void) {
    pelton_host *host = pelton_host_new(&house);
    pelton_setting(host, "prefix", "");
    pelton_insert(host, thing, A_THING(1, 13, "red"));
    for (int i = 0; i < 2; i++) FAILS(host, "retry after 50 ms: not today");
    pelton_host_free(host);
}

static void settings_that_do_not_fit_are_named(void) {
    const char *const wrong[][3] = {
        {"most", "secret", "fatal: setting `most` must be an integer"},
        {"most", "2147483648", "fatal: setting `most` must be an integer"},
        {"factor", "1.5x", "fatal: setting `factor` must be a number"},
    };
    pelton_host *host = pelton_host_new(&house);
    pelton_insert(host, thing, A_THING(1, 1, "red"));
    FAILS(host, "fatal: setting `prefix` is missing: Put before every label.");
    pelton_host_free(host);
    for (size_t i = 0; i < 3; i++) {
        host = pelton_host_new(&house);
        pelton_setting(host, "prefix", "");
        pelton_setting(host, wrong[i][0], wrong[i][1]);
        pelton_insert(host, thing, A_THING(1, 1, "red"));
        FAILS(host, wrong[i][2]);
        pelton_host_free(host);
    }
}

/* --- Mistakes that only show when it runs --- */

#define KEYLESS(X) X(plain, text, text)
PELTON_PUBLIC(keyless, "log", 1, 0, KEYLESS)
#define UNDECLARED(X) X(key, bigint, id)
PELTON_PUBLIC(undeclared, "undeclared", 1, 0, UNDECLARED)

#define ID(X) X(plain, bigint, id)
#define SIZE(X) X(plain, bigint, size)
PELTON_STATE(size, "sizes", ID, SIZE)

static pelton_result clumsy(const item_change *change, pelton_out *out) {
    if (change->op == PELTON_UPDATE) keyless_update(out, &(keyless){change->new_row->name});
    else if (change->new_row->hidden) undeclared_insert(out, &(undeclared){change->new_row->id});
    else return size_put(&(size_key){change->new_row->id}, &(size){1});
    return PELTON_OK;
}
PELTON_TABLE(item, clumsy)
static const pelton_transform clumsy_transform = {.name = "clumsy", .tables = {&clumsy_table}, .publishes = {keyless_schema}};

static pelton_result next_id(const item *item, undeclared *to) {
    to->id = item->id + 1;
    return PELTON_OK;
}
PELTON_MAP(other_keys, item, undeclared, next_id)
PELTON_TABLE(item, other_keys)
static const pelton_transform other_keys_transform = {.name = "other", .tables = {&other_keys_table}, .publishes = {undeclared_schema}};

static void next_key(const item *item, undeclared *to) { to->id = item->id + 1; }
PELTON_MAP_WITH_KEY(moved_keys, item, undeclared, next_key, next_id)
PELTON_TABLE(item, moved_keys)
static const pelton_transform moved_keys_transform = {.name = "moved", .tables = {&moved_keys_table}, .publishes = {undeclared_schema}};

static const pelton_transform twice_taken = {.name = "twice", .tables = {&clumsy_table, &other_keys_table}, .publishes = {keyless_schema}};
static const pelton_transform twice_declared = {.name = "twice", .tables = {&clumsy_table}, .publishes = {keyless_schema, keyless_schema}};
static const pelton_transform ends_alone = {.name = "ends", .tables = {&clumsy_table}, .publishes = {keyless_schema}, .end_of_transaction = house_end};

static void mistake(const pelton_transform *transform, bool update, bool hidden, const char *expected) {
    pelton_host *host = pelton_host_new(transform);
    const item row = hidden ? hidden_item(1, "a") : an_item(1, "a");
    if (update) pelton_update(host, item, &row, &row);
    else pelton_insert(host, item, &row);
    FAILS(host, expected);
    pelton_host_free(host);
}

static void an_authors_mistakes_are_fatal_and_say_what_to_do(void) {
    mistake(&clumsy_transform, false, true,
            "fatal: the transform does not declare public schema `undeclared`: add its row's schema to .publishes");
    mistake(&clumsy_transform, true, false, "fatal: public schema `log` has no key, so it is append-only: updates can't be published");
    mistake(&clumsy_transform, false, false,
            "fatal: the transform uses state and does not declare it: add .stateful or .state_version to PELTON_TRANSFORM");
    mistake(&other_keys_transform, false, false,
            "fatal: public schema `undeclared` has other keys than table shop.items; use PELTON_MAP_WITH_KEY");
    mistake(&twice_taken, false, false, "fatal: two functions take the changes of table shop.items; make it one");
    mistake(&twice_declared, false, false, "fatal: public schema `log` 1 is declared twice");
    mistake(&ends_alone, false, false,
            "fatal: `end_of_transaction` needs `whole_transactions`: a large transaction comes in pieces otherwise, and the "
            "last of them may have no change that the transform takes");
    pelton_host *host = pelton_host_new(&moved_keys_transform);
    pelton_insert(host, item, AN(1, "a"));
    pelton_delete(host, item, AN(1, "a"));
    ROWS(host, "insert undeclared id=2\ndelete undeclared id=2\n");
    pelton_host_free(host);
}

/* --- State --- */

#define SEEN_KEY(X) X(plain, bigint, id) X(plain, text, name)
#define SEEN(X) X(plain, bigint, times) X(list, text, names) X(nullable, numeric, last)
PELTON_STATE(seen, "seen", SEEN_KEY, SEEN)
#define NOTHING(X) X(plain, unit, nothing)
PELTON_STATE(other, "see", ID, NOTHING)

static pelton_result remembering(const item_change *change, pelton_out *out) {
    (void)out;
    if (change->op != PELTON_INSERT) return PELTON_OK;
    const item *item = change->new_row;
    const seen_key key = {item->id, item->name};
    const seen *known;
    PELTON_TRY(seen_get(&key, &known));
    seen now = known == NULL ? (seen){0} : *known;
    pelton_text *names = (pelton_text *)pelton_alloc((now.names.count + 1) * sizeof(pelton_text));
    for (size_t i = 0; i < now.names.count; i++) names[i] = now.names.items[i];
    names[now.names.count] = item->name;
    now.names = (pelton_list_text){names, now.names.count + 1};
    now.times++;
    now.last = (pelton_nullable_numeric)PELTON_SOME(pelton_numeric_from_scaled(now.times, 1));
    PELTON_TRY(seen_put(&key, &now));
    PELTON_TRY(other_put(&(other_key){item->id}, &(other){0}));
    if (item->hidden) return pelton_reject("hidden", "not this one");
    return PELTON_OK;
}
PELTON_TABLE(item, remembering)
static const pelton_transform remembering_transform = {.name = "remembering", .tables = {&remembering_table}, .publishes = {public_item_schema}, .state_version = 4};

static pelton_result say_key(const seen_key *key, const seen *value, void *context) {
    pelton_text *said = (pelton_text *)context;
    *said = pelton_concat(*said, pelton_text_of_bigint(key->id), key->name, PELTON_TEXT(" "), pelton_text_of_bigint(value->times), PELTON_TEXT("; "));
    return PELTON_OK;
}

static void state_is_committed_with_the_batch_and_dropped_with_it(void) {
    pelton_host *host = pelton_host_new(&remembering_transform);
    pelton_insert(host, item, AN(1, "a"));
    pelton_insert(host, item, AN(1, "a"));
    pelton_insert(host, item, HIDDEN(2, "b"));
    ROWS(host, "");
    pelton_restart(host);
    pelton_insert(host, item, AN(1, "a"));
    pelton_insert(host, item, AN(-1, "z"));
    ROWS(host, "");
    pelton_state_begin(host);
    const seen *value;
    pelton_expect_true(seen_get(&(seen_key){1, PELTON_TEXT("a")}, &value) == PELTON_OK && value != NULL);
    pelton_expect_true(value->times == 3 && value->names.count == 3 && pelton_text_is(value->names.items[2], "a"));
    pelton_expect(pelton_text_string(value->last.value.text), "0.3");
    pelton_expect_true(seen_get(&(seen_key){2, PELTON_TEXT("b")}, &value) == PELTON_OK && value == NULL);
    pelton_text said = PELTON_TEXT("");
    pelton_expect_true(seen_for_each(say_key, &said) == PELTON_OK);
    pelton_expect(pelton_text_string(said), "-1z 1; 1a 3; ");
    const seen_key many[] = {{1, PELTON_TEXT("a")}, {9, PELTON_TEXT("x")}, {1, PELTON_TEXT("a")}};
    const seen *values[3];
    pelton_expect_true(seen_get_many(many, 3, values) == PELTON_OK && values[0]->times == 3 && values[1] == NULL && values[2]->times == 3);
    pelton_state_end(host);
    /* The same without anything kept, and once with the host. */
    pelton_state_begin(host);
    pelton_expect_true(seen_get_many(many, 3, values) == PELTON_OK && values[0]->times == 3 && values[1] == NULL && values[2]->times == 3);
    pelton_expect_true(pelton_state_reads(host) == 1);
    pelton_state_end(host);
    pelton_host_free(host);
}

static void state_belongs_to_a_batch_and_is_refused_outside_of_one(void) {
    const size_key key = {1};
    const size *value;
    const char *const refusal = "the transform uses its state outside of a batch, as in `init`: read and write it in the "
                                "functions that take changes";
    pelton_expect_true(size_get(&key, &value) == PELTON_FATAL);
    pelton_expect(failed(), refusal);
    pelton_expect_true(size_remove(&key) == PELTON_FATAL);
    pelton_expect(failed(), refusal);
}

static pelton_result count_one(const other_key *key, const other *value, void *context) {
    (void)value;
    *(int64_t *)context += key->id;
    return PELTON_OK;
}

static void scans_go_in_batches_and_see_what_was_written(void) {
    pelton_host *host = pelton_host_new(&remembering_transform);
    pelton_state_begin(host);
    for (int64_t id = 0; id < 1000; id++) pelton_expect_true(other_put(&(other_key){id}, &(other){0}) == PELTON_OK);
    pelton_expect_true(other_remove(&(other_key){500}) == PELTON_OK);
    int64_t sum = 0;
    pelton_expect_true(other_for_each(count_one, &sum) == PELTON_OK && sum == 999 * 1000 / 2 - 500);
    const other_entry *entries;
    size_t count;
    pelton_expect_true(other_scan(&(other_key){997}, 10, &entries, &count) == PELTON_OK && count == 2 && entries[1].key.id == 999);
    pelton_expect_true(other_clear() == PELTON_OK);
    pelton_expect_true(other_scan(NULL, 1, &entries, &count) == PELTON_OK && count == 0);
    pelton_state_end(host);
    pelton_expect_true(pelton_state_len(host) == 0);
    pelton_host_free(host);
}

#define BLOB(X) X(plain, text, blob)
PELTON_STATE(blob, "blobs", ID, BLOB)

static void more_state_than_is_kept_is_handed_over_and_read_again(void) {
    pelton_host *host = pelton_host_new(&remembering_transform);
    pelton_state_begin(host);
    static char filler[100000];
    memset(filler, 'x', sizeof(filler));
    for (int64_t id = 0; id < 100; id++)
        pelton_expect_true(blob_put(&(blob_key){id}, &(blob){{filler, sizeof(filler) - (size_t)id}}) == PELTON_OK);
    for (int64_t id = 0; id < 100; id++) {
        const blob *value;
        pelton_expect_true(blob_get(&(blob_key){id}, &value) == PELTON_OK && value->blob.len == sizeof(filler) - (size_t)id);
    }
    pelton_expect_true(pelton_state_reads(host) > 0);
    pelton_state_end(host);
    pelton_expect_true(pelton_state_len(host) == 100);
    pelton_host_free(host);
}

#define TEXT_OF_M(X) X(plain, text, text)
PELTON_STATE(number_m, "m", ID, SIZE)
PELTON_STATE(text_m, "m", ID, TEXT_OF_M)
PELTON_STATE(one_m, "one", ID, SIZE, .as_array = true)

#define WIDE_KEY(X) X(plain, text, text) X(plain, smallint, small) X(plain, boolean, yes) X(plain, uint128, wide)
#define WIDE(X) X(plain, int128, int128) X(plain, uint64, uint64) X(plain, double_precision, real) X(nullable, bigint, none) X(list, integer, list) X(plain, bytea, bytes)
PELTON_STATE(wide, "wide", WIDE_KEY, WIDE)

/* Returns the state's only entry as it is stored. */
static const char *stored(pelton_host *host) {
    pelton_state_end(host);
    pelton_state_begin(host);
    pelton_state_entry *entries;
    size_t count;
    pelton_expect_true(pelton_host_scan((pelton_bytes){NULL, 0}, NULL, 10, &entries, &count) == PELTON_OK && count == 1);
    pelton_text said = PELTON_TEXT("");
    for (size_t i = 0; i < entries->key.len; i++) said = pelton_concat(said, pelton_format("%02x", entries->key.ptr[i]));
    said = pelton_concat(said, PELTON_TEXT(" "));
    for (size_t i = 0; i < entries->value.len; i++) said = pelton_concat(said, pelton_format("%02x", entries->value.ptr[i]));
    return pelton_text_string(said);
}

static void state_has_the_bytes_of_the_other_sdks(void) {
    pelton_host *host = pelton_host_new(&remembering_transform);
    pelton_state_begin(host);
    /* "m", 0, -2 with its sign bit flipped; the value alone */
    pelton_expect_true(number_m_put(&(number_m_key){-2}, &(number_m){300}) == PELTON_OK);
    pelton_expect(stored(host), "6d007ffffffffffffffe cd012c");
    pelton_expect_true(number_m_clear() == PELTON_OK);
    pelton_expect_true(one_m_put(&(one_m_key){1}, &(one_m){-1}) == PELTON_OK);
    pelton_expect(stored(host), "6f6e65008000000000000001 91ff");
    pelton_expect_true(one_m_clear() == PELTON_OK);
    const int32_t list[] = {1, -1};
    const wide value = {.int128 = -1, .uint64 = 5, .real = 0.5, .list = {list, 2}, .bytes = PELTON_BYTES("\xff")};
    const wide_key key = {PELTON_TEXT("a\0b"), -1, true, 255};
    pelton_expect_true(wide_put(&key, &value) == PELTON_OK);
    pelton_expect(stored(host), "77696465006100ff6200007fff01000000000000000000000000000000ff "
                                "96c410ffffffffffffffffffffffffffffffffc4080000000000000005cb3fe000000000000090920" "1ffc401ff");
    const wide_entry *entries;
    size_t count;
    pelton_expect_true(wide_scan(NULL, 10, &entries, &count) == PELTON_OK && count == 1);
    pelton_expect_true(pelton_text_equal(entries[0].key.text, key.text) && entries[0].key.small == -1 && entries[0].key.yes && entries[0].key.wide == 255);
    pelton_expect_true(entries[0].value.int128 == -1 && entries[0].value.uint64 == 5 && entries[0].value.real == 0.5 &&
                       entries[0].value.none.is == PELTON_NULL && entries[0].value.list.items[1] == -1 && entries[0].value.bytes.len == 1);
    pelton_state_end(host);
    pelton_host_free(host);
}

static void state_of_other_types_says_that_a_version_is_due(void) {
    pelton_host *host = pelton_host_new(&remembering_transform);
    pelton_state_begin(host);
    const text_m *value;
    pelton_expect_true(number_m_put(&(number_m_key){1}, &(number_m){1}) == PELTON_OK);
    pelton_expect_true(text_m_get(&(text_m_key){1}, &value) == PELTON_FATAL);
    pelton_expect(failed(), "the state `m` holds what this version of the transform can't read: its types were changed, so raise "
                            "state_version and rebuild");
    pelton_state_end(host);
    pelton_host_free(host);
}

int main(void) {
    map_publishes_one_row_for_one_row_under_the_primary_key();
    map_knows_the_old_row_under_full();
    columns_are_found_by_name_whatever_their_order();
    an_unchanged_value_of_a_plain_field_is_filled_from_a_full_old_row();
    an_altered_table_is_held_against_the_struct();
    a_value_that_does_not_fit_is_rejected_with_its_columns_name();
    several_tables_and_messages_become_several_public_schemas();
    a_rejected_change_leaves_nothing_behind_and_stops_nobody();
    what_a_rejected_change_had_published_is_not_sent();
    a_batch_to_be_retried_comes_again();
    settings_that_do_not_fit_are_named();
    an_authors_mistakes_are_fatal_and_say_what_to_do();
    state_is_committed_with_the_batch_and_dropped_with_it();
    state_belongs_to_a_batch_and_is_refused_outside_of_one();
    scans_go_in_batches_and_see_what_was_written();
    more_state_than_is_kept_is_handed_over_and_read_again();
    state_has_the_bytes_of_the_other_sdks();
    state_of_other_types_says_that_a_version_is_due();
    pelton_arena_reset(&pelton_batch_arena);
    return 0;
}
