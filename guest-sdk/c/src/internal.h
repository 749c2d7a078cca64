/* What the parts of the SDK know of each other. pelton.c compiles them as one unit, so functions are static but for what
 * the author, the host and the test harness call. */
#ifndef PELTON_INTERNAL_H
#define PELTON_INTERNAL_H

#include "../pelton.h"

#define PELTON_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define PELTON_FITS(left, size) ((size_t)(size) <= (size_t)(left))

/* --- Memory (memory.c) --- */

/* Blocks of memory that are given back all at once; they are kept for the next time. */
typedef struct pelton_arena {
    struct pelton_block *first, *current;
    size_t used;
} pelton_arena;

void *pelton_arena_alloc(pelton_arena *arena, size_t size);
void pelton_arena_reset(pelton_arena *arena);

/* Bytes that grow. */
typedef struct pelton_buffer {
    uint8_t *bytes;
    size_t length, capacity;
} pelton_buffer;

void pelton_buffer_grow(pelton_buffer *buffer, size_t more);

/* Memory that the host asks for, and what pelton_alloc gives: until the batch is done. */
extern pelton_arena pelton_batch_arena;

/* --- Tables as the host announces them --- */

typedef enum pelton_kind {
    PELTON_KIND_BOOL, PELTON_KIND_INT16, PELTON_KIND_INT32, PELTON_KIND_INT64, PELTON_KIND_FLOAT32, PELTON_KIND_FLOAT64,
    PELTON_KIND_NUMERIC, PELTON_KIND_TEXT, PELTON_KIND_BYTEA, PELTON_KIND_UUID, PELTON_KIND_JSON, PELTON_KIND_JSONB,
    PELTON_KIND_DATE, PELTON_KIND_TIME, PELTON_KIND_TIMETZ, PELTON_KIND_TIMESTAMP, PELTON_KIND_TIMESTAMPTZ,
    PELTON_KIND_INTERVAL, PELTON_KIND_ENUMERATION,
    /* with the element's name, with the type's own */
    PELTON_KIND_ARRAY, PELTON_KIND_OTHER,
} pelton_kind;

typedef struct pelton_column_type {
    pelton_kind kind;
    pelton_text name; /* of arrays and others */
} pelton_column_type;

typedef struct pelton_column {
    pelton_text name;
    pelton_column_type type;
    bool nullable, key;
} pelton_column;

typedef enum pelton_identity { PELTON_BY_KEY, PELTON_BY_INDEX, PELTON_FULL, PELTON_NOTHING } pelton_identity;

typedef struct pelton_relation {
    uint32_t id;
    pelton_text schema, name;
    pelton_identity identity;
    const pelton_column *columns;
    size_t columns_count;
} pelton_relation;

typedef struct pelton_pair {
    pelton_text name, value;
} pelton_pair;

typedef struct pelton_start {
    const pelton_pair *settings;
    size_t settings_count;
    const pelton_relation *relations;
    size_t relations_count;
    uint32_t instance, instances;
} pelton_start;

/* --- The error at hand (error.c) --- */

typedef struct pelton_failure {
    pelton_text code, message;
    uint32_t after_ms;
} pelton_failure;

extern pelton_failure pelton_failed;

pelton_result pelton_fail(pelton_result how, const char *code, uint32_t after_ms, pelton_text message);
pelton_text pelton_vformat(const char *format, va_list arguments);

/* --- The running transform (runner.c) --- */

typedef struct pelton_rejection {
    uint32_t index;
    pelton_text code, message;
} pelton_rejection;

typedef struct pelton_output {
    uint32_t count;
    pelton_bytes payload;
    const pelton_rejection *rejected;
    size_t rejected_count;
} pelton_output;

typedef struct pelton_runner pelton_runner;

/* Checks what only the whole transform can be wrong in. */
pelton_result pelton_check(const pelton_transform *transform);
pelton_result pelton_runner_start(const pelton_transform *transform, const pelton_start *start, pelton_runner **runner);
pelton_result pelton_runner_relation(pelton_runner *runner, const pelton_relation *relation);
pelton_result pelton_runner_process(pelton_runner *runner, const pelton_span *spans, size_t spans_count, uint32_t count,
                                    pelton_bytes payload, pelton_output *output);
void pelton_runner_end(pelton_runner *runner);

/* --- The host: wit/transform.wit's imports in a component (guest.c), a fake in native tests (pelton_test.c) --- */

typedef struct pelton_state_entry {
    pelton_bytes key, value;
    bool exists; /* false: there is no value, or the key is removed */
} pelton_state_entry;

bool pelton_host_enabled(pelton_level level);
void pelton_host_log(pelton_level level, pelton_text message, const pelton_log_field *fields, size_t count);
/* Fills value and exists of each entry. */
pelton_result pelton_host_get(pelton_state_entry *entries, size_t count);
pelton_result pelton_host_put(const pelton_state_entry *entries, size_t count);
pelton_result pelton_host_scan(pelton_bytes prefix, const pelton_bytes *after, uint32_t limit,
                               pelton_state_entry **entries, size_t *count);

/* Opens the state for a batch, and closes it; the harness looks into it with these too. */
void pelton_state_open(void);
void pelton_state_close(void);
pelton_result pelton_state_flush(void);

/* --- Fields (field.c) --- */

const char *pelton_field_name(const pelton_field *field);
pelton_column_type pelton_field_kind(const pelton_field *field);
bool pelton_field_nullable(const pelton_field *field);
bool pelton_schema_has_key(const pelton_schema *schema);
bool pelton_is_stateful(const pelton_transform *transform);
void pelton_source_names(const pelton_source *source, pelton_text *schema, pelton_text *name);
pelton_text pelton_kind_words(pelton_column_type type);

/* --- MessagePack (msgpack.c) --- */

typedef enum pelton_raw_is {
    PELTON_RAW_NULL, PELTON_RAW_UNCHANGED, PELTON_RAW_BOOL, PELTON_RAW_INT, PELTON_RAW_FLOAT, PELTON_RAW_TEXT,
    PELTON_RAW_BYTES,
} pelton_raw_is;

/* One column as it came. */
typedef struct pelton_raw {
    pelton_raw_is is;
    union {
        bool boolean;
        int64_t integer;
        double number;
        pelton_bytes bytes; /* and texts */
    };
} pelton_raw;

typedef struct pelton_reader {
    const uint8_t *at, *end;
} pelton_reader;

bool pelton_read_array(pelton_reader *reader, uint32_t *length);
bool pelton_read_array_or_nil(pelton_reader *reader, uint32_t *length, bool *nil);
bool pelton_read_index(pelton_reader *reader, uint32_t *index);
bool pelton_read_value(pelton_reader *reader, pelton_raw *value);
bool pelton_skip_value(pelton_reader *reader);
bool pelton_skip_row(pelton_reader *reader);

void pelton_write_array(pelton_buffer *to, size_t length);
void pelton_write_null(pelton_buffer *to);
void pelton_write_unchanged(pelton_buffer *to);
void pelton_write_bool(pelton_buffer *to, bool value);
void pelton_write_int(pelton_buffer *to, int64_t value);
void pelton_write_float32(pelton_buffer *to, float value);
void pelton_write_float64(pelton_buffer *to, double value);
void pelton_write_text(pelton_buffer *to, pelton_text value);
void pelton_write_bytes(pelton_buffer *to, pelton_bytes value);
void pelton_write_raw(pelton_buffer *to, pelton_raw value);

/* Writes all fields of a row, or those of its key alone (for the harness and for out.c). */
void pelton_write_field(pelton_buffer *to, const pelton_field *field, const void *row);

#endif
