/* pelton.h: Pelton transforms in C. Version 0.1.0.
 *
 * A macro describes the source row, a macro the public row, and there is one function a table:
 *
 *     #define ORDER(X)                     \
 *         X(key, bigint, id)               \
 *         X(plain, text, customer)         \
 *         X(toasted_nullable, text, note)  \
 *         X(plain, boolean, is_test)
 *     PELTON_SOURCE(order, "public.orders", ORDER)
 *
 *     #define PUBLIC_ORDER(X) X(key, bigint, id) X(plain, text, label) X(toasted_nullable, text, note)
 *     PELTON_PUBLIC(public_order, "orders", 1, 0, PUBLIC_ORDER)
 *
 *     static pelton_result published(const order *order, public_order *to) {
 *         if (order->is_test) return PELTON_NONE;
 *         *to = (public_order){.id = order->id, .label = order->customer, .note = order->note};
 *         return PELTON_OK;
 *     }
 *     PELTON_MAP(orders, order, public_order, published)
 *     PELTON_TABLE(order, orders)
 *
 *     PELTON_TRANSFORM(.name = "orders", .tables = {&orders_table}, .publishes = {public_order_schema})
 *
 * Compile pelton.c beside it; `pelton build DIR` does. What begins with `pelton__` is for the macros. */
#ifndef PELTON_H
#define PELTON_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PELTON_SDK_VERSION "0.1.0"

/* --- Values ------------------------------------------------------------------------------------------------------ */

/* A slice of UTF-8. It ends with no zero byte and lives as long as the batch, whoever made it. */
typedef struct pelton_text {
    const char *ptr;
    size_t len;
} pelton_text;

typedef struct pelton_bytes {
    const uint8_t *ptr;
    size_t len;
} pelton_bytes;

typedef __int128 pelton_int128;
typedef unsigned __int128 pelton_uint128;

typedef bool pelton_boolean;
typedef int16_t pelton_smallint;
typedef int32_t pelton_integer;
typedef int64_t pelton_bigint;
typedef float pelton_real;
typedef double pelton_double_precision;
typedef pelton_bytes pelton_bytea;

/* Kinds that travel as Postgres's own text: they lose nothing, and are read on demand (see "Reading texts"). */
typedef struct { pelton_text text; } pelton_numeric, pelton_uuid, pelton_json, pelton_jsonb, pelton_date, pelton_time,
    pelton_timetz, pelton_timestamp, pelton_timestamptz, pelton_interval, pelton_array, pelton_enumeration;

/* For the state alone. */
typedef uint16_t pelton_uint16;
typedef uint32_t pelton_uint32;
typedef uint64_t pelton_uint64;
typedef char pelton_unit;

/* Whether there is a value. An update does not send a large (TOASTed) value that it left alone: that is UNCHANGED, which
 * is neither NULL nor known. Published, it leaves the destination's column as it is. */
typedef enum pelton_presence { PELTON_NULL, PELTON_VALUE, PELTON_UNCHANGED } pelton_presence;

/* A field of the roles nullable, toasted and toasted_nullable: `row->note.is == PELTON_VALUE`, then `row->note.value`.
 * A field of the role list, in the state alone: `items` and `count`. */
#define PELTON__WRAPPED(type)                                                                                        \
    typedef pelton_##type pelton_key_##type, pelton_plain_##type;                                                    \
    typedef struct pelton_maybe_##type { pelton_##type value; pelton_presence is; } pelton_maybe_##type;             \
    typedef pelton_maybe_##type pelton_nullable_##type, pelton_toasted_##type, pelton_toasted_nullable_##type;       \
    typedef struct pelton_list_##type { const pelton_##type *items; size_t count; } pelton_list_##type;
#define PELTON__TYPES(X)                                                                                             \
    X(boolean) X(smallint) X(integer) X(bigint) X(real) X(double_precision) X(numeric) X(text) X(bytea) X(uuid)      \
    X(json) X(jsonb) X(date) X(time) X(timetz) X(timestamp) X(timestamptz) X(interval) X(enumeration) X(array)       \
    X(uint16) X(uint32) X(uint64) X(int128) X(uint128) X(unit)
PELTON__TYPES(PELTON__WRAPPED)

#define PELTON__TYPE_CASE(type) PELTON__TYPE_##type,
typedef enum pelton_type { PELTON__TYPES(PELTON__TYPE_CASE) } pelton_type;

/* Initialises a field that may be absent: `.note = PELTON_SOME(text)`; `{0}` is NULL. */
#define PELTON_SOME(...) {__VA_ARGS__, PELTON_VALUE}
#define PELTON_LEFT_ALONE {.is = PELTON_UNCHANGED}

/* --- Errors ------------------------------------------------------------------------------------------------------ */

/* What every function that can fail returns. Anything but OK and NONE has a message, so return it at once. */
typedef enum pelton_result {
    PELTON_OK,
    PELTON_NONE,     /* of a function of PELTON_MAP: nothing is published for this row */
    PELTON_REJECTED, /* this change can never be transformed; the others of its batch go on */
    PELTON_RETRY,    /* nothing happened; the same batch comes again later */
    PELTON_FATAL,    /* the transform can't go on: the flow stops */
} pelton_result;

#define PELTON__PRINTF(message, first) __attribute__((format(printf, message, first)))

/* Messages reach the operator's logs: keep the values of rows out of them. `code` is a short word that dead letters can
 * be grouped by; `after_ms` 0 is as the host thinks best. */
pelton_result pelton_reject(const char *code, const char *message, ...) PELTON__PRINTF(2, 3);
pelton_result pelton_retry(uint32_t after_ms, const char *message, ...) PELTON__PRINTF(2, 3);
pelton_result pelton_fatal(const char *message, ...) PELTON__PRINTF(1, 2);

/* Returns from the function at hand when `act` fails. */
#define PELTON_TRY(act)                                                                                              \
    do {                                                                                                             \
        pelton_result pelton__tried = (act);                                                                         \
        if (pelton__tried != PELTON_OK) return pelton__tried;                                                        \
    } while (0)

/* For what can't be: logs message, file and line, and ends the instance; the host then finds the change that causes it.
 * A failed assert() does the same. */
#define pelton_crash(...) pelton__crash(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void pelton__crash(const char *file, int line, const char *message, ...) PELTON__PRINTF(3, 4);

/* --- Memory and texts -------------------------------------------------------------------------------------------- */

/* Returns memory, zeroed, that lives until the batch is done. It is never NULL. */
void *pelton_alloc(size_t size);

#define PELTON_TEXT(literal) ((pelton_text){"" literal, sizeof(literal) - 1})
#define PELTON_BYTES(literal) ((pelton_bytes){(const uint8_t *)"" literal, sizeof(literal) - 1})

/* For "%.*s" in a format. */
#define PELTON_ARG(text) (int)(text).len, (text).ptr

pelton_text pelton_text_of(const char *string); /* up to its zero byte; not copied */
bool pelton_text_equal(pelton_text a, pelton_text b);
bool pelton_text_is(pelton_text a, const char *string);
bool pelton_text_starts_with(pelton_text text, pelton_text with);
/* Returns the place of the last (the first) such byte, or -1. */
ptrdiff_t pelton_text_rfind(pelton_text text, char byte);
ptrdiff_t pelton_text_find(pelton_text text, char byte);
/* Returns what stands from a byte on, or before it; a place beyond the end is the end. */
pelton_text pelton_text_from(pelton_text text, size_t start);
pelton_text pelton_text_until(pelton_text text, size_t end);
/* Returns the bytes that the first `count` letters take. */
size_t pelton_text_letters(pelton_text text, size_t count);
bool pelton_text_is_utf8(pelton_text text);
/* Reads a whole decimal number; false for anything else. */
bool pelton_text_to_bigint(pelton_text text, int64_t *number);
/* Returns a copy that ends with a zero byte, for C's own functions. */
const char *pelton_text_string(pelton_text text);

/* Makes a text of texts: pelton_concat(order->currency, PELTON_TEXT(" "), pelton_text_of_bigint(order->id)). */
#define pelton_concat(...)                                                                                           \
    pelton__concat((const pelton_text[]){__VA_ARGS__}, sizeof((const pelton_text[]){__VA_ARGS__}) / sizeof(pelton_text))
pelton_text pelton__concat(const pelton_text *parts, size_t count);
pelton_text pelton_text_of_bigint(int64_t number);
/* As printf does, without floats. */
pelton_text pelton_format(const char *format, ...) PELTON__PRINTF(1, 2);

/* --- Reading texts ----------------------------------------------------------------------------------------------- */

/* Each of them rejects the change when the text is not what its type says. */

/* The number in units of 10^-scale: 12.5 with scale 2 is 1250. Rejects NaN, infinities, and digits beyond the scale. */
pelton_result pelton_numeric_scaled(pelton_numeric number, unsigned scale, pelton_int128 *units);
/* Units times 10^-scale: 1250 with scale 2 is 12.50. */
pelton_numeric pelton_numeric_from_scaled(pelton_int128 units, unsigned scale);
pelton_result pelton_numeric_to_double(pelton_numeric number, double *nearest);

/* A point in time as Postgres knows them: there are two infinite ones. They compare as (when, at). */
typedef enum pelton_when { PELTON_MINUS_INFINITY = -1, PELTON_AT = 0, PELTON_INFINITY = 1 } pelton_when;
typedef struct pelton_moment {
    pelton_when when;
    int64_t at;
} pelton_moment;
pelton_result pelton_date_unix_days(pelton_date date, pelton_moment *days);
pelton_result pelton_timestamp_micros(pelton_timestamp timestamp, pelton_moment *micros);
pelton_result pelton_timestamptz_unix_micros(pelton_timestamptz timestamp, pelton_moment *micros);
/* Microseconds since midnight; 24:00:00 is 86,400,000,000. */
pelton_result pelton_time_micros(pelton_time time, int64_t *micros);

/* An interval's parts are not to be mixed: how long a month or a day is depends on where it begins. PostgreSQL 17 and
 * newer know infinite intervals, whose parts are 0. */
typedef struct pelton_parts {
    pelton_when when;
    int64_t months, days, micros;
} pelton_parts;
pelton_result pelton_interval_parts(pelton_interval interval, pelton_parts *parts);

pelton_result pelton_uuid_bits(pelton_uuid uuid, pelton_uint128 *bits);

/* The elements of an array of one dimension, as texts. */
pelton_result pelton_array_elements(pelton_array array, pelton_list_text *elements, const bool **nulls);
/* Makes the text of an array; `nulls` may be NULL. */
pelton_array pelton_array_of(const pelton_text *elements, const bool *nulls, size_t count);

/* JSON is walked in place: a value is the slice of text that it takes. */
/* Finds an object's member (the last of that name, as jsonb would); false when there is none or it is no object. */
bool pelton_json_member(pelton_text value, const char *name, pelton_text *member);
/* Steps through an array or an object: `at` begins with 0; `name`, which may be NULL, is set in objects. */
bool pelton_json_next(pelton_text value, size_t *at, pelton_text *name, pelton_text *item);
/* Reads a string, its escapes resolved; false for any other value. */
bool pelton_json_string(pelton_text value, pelton_text *string);

/* --- Log --------------------------------------------------------------------------------------------------------- */

typedef enum pelton_level { PELTON_TRACE, PELTON_DEBUG, PELTON_INFO, PELTON_WARN, PELTON_ERROR } pelton_level;

typedef struct pelton_log_field {
    const char *name;
    pelton_text value;
} pelton_log_field;

/* pelton_log(PELTON_WARN, PELTON_FIELDS({"changes", text}), "a large transaction"). Nothing is formatted unless the host
 * wants the level. Keep the values of rows out: logs are read by people who may not read the data. */
#define pelton_log(level, fields, ...)                                                                               \
    do {                                                                                                             \
        if (pelton_enabled(level)) pelton__log(level, fields, __VA_ARGS__);                                          \
    } while (0)
#define PELTON_FIELDS(...)                                                                                           \
    (const pelton_log_field[]){__VA_ARGS__}, sizeof((const pelton_log_field[]){__VA_ARGS__}) / sizeof(pelton_log_field)
#define PELTON_NO_FIELDS NULL, 0
#define pelton_trace(...) pelton_log(PELTON_TRACE, PELTON_NO_FIELDS, __VA_ARGS__)
#define pelton_debug(...) pelton_log(PELTON_DEBUG, PELTON_NO_FIELDS, __VA_ARGS__)
#define pelton_info(...) pelton_log(PELTON_INFO, PELTON_NO_FIELDS, __VA_ARGS__)
#define pelton_warn(...) pelton_log(PELTON_WARN, PELTON_NO_FIELDS, __VA_ARGS__)
#define pelton_error(...) pelton_log(PELTON_ERROR, PELTON_NO_FIELDS, __VA_ARGS__)
bool pelton_enabled(pelton_level level);
void pelton__log(pelton_level level, const pelton_log_field *fields, size_t count, const char *message, ...)
    PELTON__PRINTF(4, 5);

/* --- Fields ------------------------------------------------------------------------------------------------------ */

typedef enum pelton_role {
    PELTON__ROLE_key,
    PELTON__ROLE_plain,
    PELTON__ROLE_nullable,
    PELTON__ROLE_toasted,
    PELTON__ROLE_toasted_nullable,
    PELTON__ROLE_list,
} pelton_role;

/* One X(role, type, field, …) of a list. Behind the field may stand:
 *   .name = "…"           the column's name, where it is not the field's
 *   .kind = "integer[]"   of a public column: the Postgres type, where it is not the one that the field's stands for
 *   .preset = "…"         of a setting: what it is when it is not given
 *   .doc = "…"            of a setting: what it is for */
typedef struct pelton_field {
    const char *field;
    pelton_role role;
    pelton_type type;
    size_t offset, is_offset;
    const char *name, *kind, *preset, *doc;
    pelton_result (*number)(pelton_numeric text, double *number); /* of a setting that is a float */
} pelton_field;

#define PELTON__MEMBER(role, type, field_, ...) pelton_##role##_##type field_;
#define PELTON__FIELD(role_, type_, field_, ...)                                                                     \
    {.field = #field_,                                                                                               \
     .role = PELTON__ROLE_##role_,                                                                                   \
     .type = PELTON__TYPE_##type_,                                                                                   \
     .offset = offsetof(pelton__row, field_),                                                                        \
     .is_offset = offsetof(pelton__row, field_) + offsetof(pelton_maybe_##type_, is),                                \
     __VA_ARGS__},
#define PELTON__FIELDS(fields) fields, sizeof(fields) / sizeof((fields)[0])
#define PELTON__FUNCTION __attribute__((unused)) static inline

/* --- Source rows ------------------------------------------------------------------------------------------------- */

typedef enum pelton_op { PELTON_INSERT, PELTON_UPDATE, PELTON_DELETE, PELTON_TRUNCATE } pelton_op;

/* For `.ops` of a source. */
enum { PELTON_INSERTS = 1, PELTON_UPDATES = 2, PELTON_DELETES = 4, PELTON_TRUNCATES = 8 };

typedef struct pelton_source {
    const char *table; /* schema.table, or a logical message's prefix */
    bool message;
    const pelton_field *fields;
    size_t fields_count, row_size;
    unsigned ops; /* 0: all */
} pelton_source;

typedef struct pelton_change {
    pelton_op op;
    const void *new_row, *old_row, *old_key;
} pelton_change;

/* Describes the rows of a table. Mark as `key` what its primary key (or other replica identity) is. Only the columns that
 * are listed are subscribed, and they are found by name. Behind the list may stand `.ops = PELTON_INSERTS | …`.
 *
 * It makes the struct `row`, and `row_change`: what a table's function gets. */
#define PELTON_SOURCE(row, table_, FIELDS, ...) PELTON__SOURCE(row, table_, false, FIELDS, __VA_ARGS__)

/* Describes logical messages (pg_logical_emit_message) of a prefix, which are inserts. Their columns are
 * X(plain, boolean, transactional) and X(plain, bytea, content). */
#define PELTON_MESSAGE(row, prefix, FIELDS, ...) PELTON__SOURCE(row, prefix, true, FIELDS, __VA_ARGS__)

#define PELTON__SOURCE(row, table_, message_, FIELDS, ...)                                                           \
    typedef struct row { FIELDS(PELTON__MEMBER) } row;                                                               \
    typedef struct row##_change {                                                                                    \
        pelton_op op;                                                                                                \
        const row *new_row; /* of an insert or an update, else NULL */                                               \
        const row *old_row; /* the whole old row, where the table has REPLICA IDENTITY FULL, else NULL */            \
        const row *old_key; /* of an update or a delete: its key fields are those that the row had before */         \
    } row##_change;                                                                                                  \
    PELTON__FUNCTION const pelton_source *row##_source(void) {                                                       \
        typedef row pelton__row;                                                                                     \
        static const pelton_field fields_[] = {FIELDS(PELTON__FIELD)};                                               \
        static const pelton_source source_ = {.table = table_,                                                       \
                                             .message = message_,                                                    \
                                             .fields = fields_,                                                      \
                                             .fields_count = sizeof(fields_) / sizeof(fields_[0]),                   \
                                             .row_size = sizeof(row),                                                \
                                             __VA_ARGS__};                                                           \
        return &source_;                                                                                             \
    }

/* --- Public rows ------------------------------------------------------------------------------------------------- */

/* Takes the public rows that a change becomes, and knows the transaction that it belongs to. */
typedef struct pelton_out pelton_out;

typedef struct pelton_schema {
    const char *name;
    uint32_t major, minor;
    const pelton_field *fields;
    size_t fields_count, row_size;
} pelton_schema;

/* Describes the rows of a public schema; without a `key` it is append-only.
 *
 * It makes the struct `row` and, each with (out, …):
 *   row_insert(row)             publishes a row that is new (or replaces the one with its key)
 *   row_update(row)             publishes the new version of a row whose key stays
 *   row_update_from(old, row)   publishes the new version of the row that had the key of `old`
 *   row_delete(key)             takes the row with the key of `key` back
 *   row_truncate()              takes all rows of the public schema back */
#define PELTON_PUBLIC(row, name_, major_, minor_, FIELDS)                                                            \
    typedef struct row { FIELDS(PELTON__MEMBER) } row;                                                               \
    PELTON__FUNCTION const pelton_schema *row##_schema(void) {                                                       \
        typedef row pelton__row;                                                                                     \
        static const pelton_field fields_[] = {FIELDS(PELTON__FIELD)};                                               \
        static const pelton_schema schema_ = {name_, major_, minor_, PELTON__FIELDS(fields_), sizeof(row)};          \
        return &schema_;                                                                                             \
    }                                                                                                                \
    PELTON__FUNCTION void row##_insert(pelton_out *out_, const row *it_) {                                           \
        pelton__publish(out_, row##_schema(), PELTON_INSERT, it_, NULL);                                             \
    }                                                                                                                \
    PELTON__FUNCTION void row##_update(pelton_out *out_, const row *it_) {                                           \
        pelton__publish(out_, row##_schema(), PELTON_UPDATE, it_, NULL);                                             \
    }                                                                                                                \
    PELTON__FUNCTION void row##_update_from(pelton_out *out_, const row *old_, const row *it_) {                     \
        pelton__publish(out_, row##_schema(), PELTON_UPDATE, it_, old_);                                             \
    }                                                                                                                \
    PELTON__FUNCTION void row##_delete(pelton_out *out_, const row *key_) {                                          \
        pelton__publish(out_, row##_schema(), PELTON_DELETE, key_, NULL);                                            \
    }                                                                                                                \
    PELTON__FUNCTION void row##_truncate(pelton_out *out_) {                                                         \
        pelton__publish(out_, row##_schema(), PELTON_TRUNCATE, NULL, NULL);                                          \
    }
void pelton__publish(pelton_out *out, const pelton_schema *schema, pelton_op op, const void *row, const void *old);

typedef enum pelton_phase { PELTON_BACKFILL, PELTON_LIVE, PELTON_REPLAY, PELTON_TEST } pelton_phase;

/* A run of a batch's changes that belong to one source transaction. */
typedef struct pelton_span {
    uint32_t xid; /* 0 for backfill */
    uint32_t epoch;
    uint64_t commit_lsn;
    int64_t commit_time; /* microseconds since 1970-01-01 UTC: the only clock that a transform gets */
    pelton_phase phase;
    uint32_t first, count;
    bool complete; /* false while a large transaction goes on in the next batch */
} pelton_span;

/* Returns the source transaction of the change at hand. */
const pelton_span *pelton_out_span(const pelton_out *out);

/* Makes the function `name(const source_change *, pelton_out *)` for the ordinary case, one public row for one source row:
 *
 *   insert     the row, if there is one
 *   update     the new row, from the old key if it changed; if there is none any more, a delete by the old key
 *   delete     a delete by key
 *   truncate   a truncate: let one table alone feed a public schema, or look at the change instead
 *
 * `map(const source *, row *)` fills the row and returns PELTON_OK, or PELTON_NONE if nothing is published. Both sides
 * have the same key, in type and value, for a delete brings the old key alone. PELTON_MAP_WITH_KEY also takes
 * `key(const source *, row *)`, which makes the public key of the source's key fields. */
#define PELTON_MAP(name, source, row, map) PELTON__MAP(name, source, row, map, NULL)
#define PELTON_MAP_WITH_KEY(name, source, row, key, map)                                                             \
    static void name##__key(const void *from_, void *to_) { key((const source *)from_, (row *)to_); }                \
    PELTON__MAP(name, source, row, map, name##__key)
#define PELTON__MAP(name, source, row, map, key)                                                                     \
    static pelton_result name##__map(const void *from_, void *to_) { return map((const source *)from_, (row *)to_); }\
    static pelton_result name(const source##_change *change_, pelton_out *out_) {                                    \
        row rows_[2] = {0};                                                                                          \
        const pelton_change any_ = {change_->op, change_->new_row, change_->old_row, change_->old_key};              \
        return pelton__map(&any_, out_, source##_source(), row##_schema(), key, name##__map, &rows_[0], &rows_[1]);  \
    }
pelton_result pelton__map(const pelton_change *change, pelton_out *out, const pelton_source *source,
                          const pelton_schema *schema, void (*key)(const void *, void *),
                          pelton_result (*map)(const void *, void *), void *row, void *old);

/* --- State ------------------------------------------------------------------------------------------------------- */

/* Takes the keys that a batch will read. */
typedef struct pelton_ahead pelton_ahead;

typedef struct pelton_state_map {
    const char *name;
    const pelton_field *key, *value;
    size_t key_count, value_count, key_size, value_size;
    bool as_array; /* a value of one field is an array of one, as a struct of one field is in Rust */
} pelton_state_map;

/* Describes a part of the state, which is committed together with the rows or dropped with them. Fields are `plain`;
 * those of a value may be `nullable` or a `list` too. Two maps of one transform have different names. A value of several
 * fields is an array of them.
 *
 * It makes the structs `row_key` and `row`, and
 *   row_get(key, &value)                        `const row *value`, NULL when there is none
 *   row_get_many(keys, count, values)           the same of many, with one call to the host
 *   row_put(key, value)
 *   row_remove(key)
 *   row_scan(after, limit, &entries, &count)    up to `limit` entries in key order, behind `after` unless it is NULL
 *   row_for_each(each, context)                 calls `each(key, value, context)` for every entry in key order
 *   row_clear()                                 removes every key
 *   row_ahead(ahead, key)                       names a key that will be read; see PELTON_TABLE_AHEAD
 * Their results live as long as the batch. Outside of a batch, as in `init`, they fail. */
#define PELTON_STATE(row, name_, KEY, VALUE, ...)                                                                    \
    typedef struct row##_key { KEY(PELTON__MEMBER) } row##_key;                                                      \
    typedef struct row { VALUE(PELTON__MEMBER) } row;                                                                \
    typedef struct row##_entry { row##_key key; row value; } row##_entry;                                            \
    PELTON__FUNCTION const pelton_field *row##__key_fields(size_t *count_) {                                         \
        typedef row##_key pelton__row;                                                                               \
        static const pelton_field fields_[] = {KEY(PELTON__FIELD)};                                                  \
        *count_ = sizeof(fields_) / sizeof(fields_[0]);                                                              \
        return fields_;                                                                                              \
    }                                                                                                                \
    PELTON__FUNCTION pelton_state_map row##__map(void) {                                                             \
        typedef row pelton__row;                                                                                     \
        static const pelton_field fields_[] = {VALUE(PELTON__FIELD)};                                                \
        pelton_state_map map_ = {.name = name_,                                                                      \
                                .value = fields_,                                                                    \
                                .value_count = sizeof(fields_) / sizeof(fields_[0]),                                 \
                                .key_size = sizeof(row##_key),                                                       \
                                .value_size = sizeof(row),                                                           \
                                __VA_ARGS__};                                                                        \
        map_.key = row##__key_fields(&map_.key_count);                                                               \
        return map_;                                                                                                 \
    }                                                                                                                \
    PELTON__FUNCTION pelton_result row##_get(const row##_key *key_, const row **value_) {                            \
        const pelton_state_map map_ = row##__map();                                                                  \
        const void *found_ = NULL;                                                                                   \
        const pelton_result got_ = pelton__state_get(&map_, key_, 1, &found_);                                       \
        *value_ = (const row *)found_;                                                                               \
        return got_;                                                                                                 \
    }                                                                                                                \
    PELTON__FUNCTION pelton_result row##_get_many(const row##_key *keys_, size_t count_, const row **values_) {      \
        const pelton_state_map map_ = row##__map();                                                                  \
        const void **found_ = (const void **)pelton_alloc(count_ * sizeof(void *));                                  \
        const pelton_result got_ = pelton__state_get(&map_, keys_, count_, found_);                                  \
        for (size_t i_ = 0; i_ < count_; i_++) values_[i_] = (const row *)found_[i_];                                \
        return got_;                                                                                                 \
    }                                                                                                                \
    PELTON__FUNCTION pelton_result row##_put(const row##_key *key_, const row *value_) {                             \
        const pelton_state_map map_ = row##__map();                                                                  \
        return pelton__state_put(&map_, key_, value_);                                                               \
    }                                                                                                                \
    PELTON__FUNCTION pelton_result row##_remove(const row##_key *key_) {                                             \
        const pelton_state_map map_ = row##__map();                                                                  \
        return pelton__state_put(&map_, key_, NULL);                                                                 \
    }                                                                                                                \
    PELTON__FUNCTION pelton_result row##_scan(const row##_key *after_, uint32_t limit_, const row##_entry **entries_,\
                                              size_t *count_) {                                                      \
        const pelton_state_map map_ = row##__map();                                                                  \
        void *found_ = NULL;                                                                                         \
        *count_ = 0;                                                                                                 \
        const pelton_result scanned_ =                                                                               \
            pelton__state_scan(&map_, after_, limit_, sizeof(row##_entry), offsetof(row##_entry, value), &found_, count_);\
        *entries_ = (const row##_entry *)found_;                                                                     \
        return scanned_;                                                                                             \
    }                                                                                                                \
    PELTON__FUNCTION pelton_result row##_for_each(                                                                   \
        pelton_result (*each_)(const row##_key *key_, const row *value_, void *context_), void *context_) {          \
        const row##_entry *entries_ = NULL;                                                                          \
        const row##_key *after_ = NULL;                                                                              \
        size_t count_;                                                                                               \
        do {                                                                                                         \
            PELTON_TRY(row##_scan(after_, PELTON__SCAN, &entries_, &count_));                                        \
            for (size_t i_ = 0; i_ < count_; i_++) PELTON_TRY(each_(&entries_[i_].key, &entries_[i_].value, context_));\
            after_ = count_ == 0 ? NULL : &entries_[count_ - 1].key;                                                 \
        } while (count_ == PELTON__SCAN);                                                                            \
        return PELTON_OK;                                                                                            \
    }                                                                                                                \
    PELTON__FUNCTION pelton_result row##_clear(void) {                                                               \
        const row##_entry *entries_ = NULL;                                                                          \
        const row##_key *after_ = NULL;                                                                              \
        size_t count_;                                                                                               \
        do {                                                                                                         \
            PELTON_TRY(row##_scan(after_, PELTON__SCAN, &entries_, &count_));                                        \
            for (size_t i_ = 0; i_ < count_; i_++) PELTON_TRY(row##_remove(&entries_[i_].key));                      \
            after_ = count_ == 0 ? NULL : &entries_[count_ - 1].key;                                                 \
        } while (count_ == PELTON__SCAN);                                                                            \
        return PELTON_OK;                                                                                            \
    }                                                                                                                \
    PELTON__FUNCTION void row##_ahead(pelton_ahead *ahead_, const row##_key *key_) {                                 \
        const pelton_state_map map_ = row##__map();                                                                  \
        pelton__ahead_read(ahead_, &map_, key_);                                                                     \
    }
#define PELTON__SCAN 256
pelton_result pelton__state_get(const pelton_state_map *map, const void *keys, size_t count, const void **values);
pelton_result pelton__state_put(const pelton_state_map *map, const void *key, const void *value);
pelton_result pelton__state_scan(const pelton_state_map *map, const void *after, uint32_t limit, size_t entry_size,
                                 size_t value_offset, void **entries, size_t *count);
void pelton__ahead_read(pelton_ahead *ahead, const pelton_state_map *map, const void *key);

/* --- Enums ------------------------------------------------------------------------------------------------------- */

/* Makes a C enum of an enum's labels, X(case, "label") each: `name_case`, `name_read(value, &case)`, which rejects a label
 * that is not listed, and `name_label(case)`. */
#define PELTON_ENUM(name, LABELS)                                                                                    \
    typedef enum name { LABELS(name, PELTON__ENUM_CASE) name##__count } name;                                        \
    PELTON__FUNCTION const pelton_text *name##__labels(void) {                                                       \
        static const pelton_text labels_[] = {LABELS(name, PELTON__ENUM_LABEL)};                                     \
        return labels_;                                                                                              \
    }                                                                                                                \
    PELTON__FUNCTION pelton_result name##_read(pelton_enumeration value_, name *to_) {                               \
        unsigned found_ = 0;                                                                                         \
        PELTON_TRY(pelton__enum_read(value_, #name, name##__labels(), name##__count, &found_));                      \
        *to_ = (name)found_;                                                                                         \
        return PELTON_OK;                                                                                            \
    }                                                                                                                \
    PELTON__FUNCTION pelton_enumeration name##_label(name value_) {                                                  \
        return (pelton_enumeration){name##__labels()[value_]};                                                       \
    }
#define PELTON__ENUM_CASE(name, case_, label) name##_##case_,
#define PELTON__ENUM_LABEL(name, case_, label) {label, sizeof(label) - 1},
pelton_result pelton__enum_read(pelton_enumeration value, const char *name, const pelton_text *labels, unsigned count,
                                unsigned *found);

/* --- The transform ----------------------------------------------------------------------------------------------- */

typedef struct pelton_settings_fields {
    const pelton_field *fields;
    size_t fields_count, size;
} pelton_settings_fields;

/* Describes what the manifest's `settings` fill: boolean, smallint, integer, bigint, real, double_precision, text. A `plain` one is required unless it has a `.preset`; a `nullable` one may
 * be left out. `.doc` says what it is for. They are read with `const name *settings = pelton_settings();`. */
#define PELTON_SETTINGS(name, FIELDS)                                                                                \
    typedef struct name { FIELDS(PELTON__MEMBER) } name;                                                             \
    PELTON__FUNCTION pelton_settings_fields name##_settings(void) {                                                  \
        typedef name pelton__row;                                                                                    \
        static const pelton_field fields_[] = {FIELDS(PELTON__SETTING)};                                             \
        return (pelton_settings_fields){PELTON__FIELDS(fields_), sizeof(name)};                                      \
    }
/* Only a transform with a float among its settings brings along what reads one. */
#define PELTON__SETTING(role, type, field, ...) PELTON__FIELD(role, type, field, .number = PELTON__NUMBER_##type, __VA_ARGS__)
#define PELTON__NUMBER_boolean NULL
#define PELTON__NUMBER_smallint NULL
#define PELTON__NUMBER_integer NULL
#define PELTON__NUMBER_bigint NULL
#define PELTON__NUMBER_text NULL
#define PELTON__NUMBER_real pelton_numeric_to_double
#define PELTON__NUMBER_double_precision pelton_numeric_to_double
const void *pelton_settings(void);

typedef struct pelton_table {
    const pelton_source *(*source)(void);
    pelton_result (*run)(const pelton_change *change, pelton_out *out);
    void (*ahead)(const pelton_change *change, pelton_ahead *ahead);
} pelton_table;

/* Makes `function_table`, for `.tables`: `function(const source_change *, pelton_out *)` takes the changes of a source. */
#define PELTON_TABLE(source_, function) PELTON__TABLE(source_, function, NULL)

/* Also names `names(const source_change *, pelton_ahead *)`: it is called for every change of a batch before the first is
 * transformed, and names the state that the change will need, so that the host is asked once. It is a hint and no more. */
#define PELTON_TABLE_AHEAD(source_, function, names)                                                                 \
    static void function##__ahead(const pelton_change *any_, pelton_ahead *ahead_) {                                 \
        const source_##_change change_ = {any_->op, (const source_ *)any_->new_row, (const source_ *)any_->old_row,  \
                                         (const source_ *)any_->old_key};                                            \
        names(&change_, ahead_);                                                                                     \
    }                                                                                                                \
    PELTON__TABLE(source_, function, function##__ahead)
#define PELTON__TABLE(source_, function, ahead_)                                                                     \
    static pelton_result function##__run(const pelton_change *any_, pelton_out *out_) {                              \
        const source_##_change change_ = {any_->op, (const source_ *)any_->new_row, (const source_ *)any_->old_row,  \
                                         (const source_ *)any_->old_key};                                            \
        return function(&change_, out_);                                                                             \
    }                                                                                                                \
    static const pelton_table function##_table = {source_##_source, function##__run, ahead_};

/* What the host says when an instance starts. */
typedef struct pelton_context {
    uint32_t instance, instances;
} pelton_context;

/* What an author wrote. */
typedef struct pelton_transform {
    const char *name, *version;
    const pelton_table *tables[64];
    const pelton_schema *(*publishes[64])(void);
    pelton_settings_fields (*settings)(void);
    /* Both may be left out. */
    pelton_result (*init)(const pelton_context *context);
    pelton_result (*end_of_transaction)(pelton_out *out);
    bool parallel;           /* the host may run several instances, each with its share of the keys */
    bool whole_transactions; /* a batch never ends inside a source transaction; end_of_transaction needs it */
    bool stateful;
    uint32_t state_version; /* raise it when what is stored changes its shape; also says stateful */
} pelton_transform;

/* The transform of the component; once in a program. */
#define PELTON_TRANSFORM(...) const pelton_transform pelton_exported = {__VA_ARGS__};
extern const pelton_transform pelton_exported;

#endif
