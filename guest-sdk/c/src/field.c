/* Fields: what a column's type is in C, and how it is read from and written to a row. */

#include <string.h>

#include "internal.h"

typedef struct pelton_type_info {
    size_t size;
    pelton_kind kind;
    const char *expected;
    uint32_t accepts; /* bits of kinds */
} pelton_type_info;

#define PELTON_BIT(kind) (1u << PELTON_KIND_##kind)
#define PELTON_NATIVE (PELTON_BIT(BOOL) | PELTON_BIT(INT16) | PELTON_BIT(INT32) | PELTON_BIT(INT64) | \
                       PELTON_BIT(FLOAT32) | PELTON_BIT(FLOAT64) | PELTON_BIT(BYTEA))
#define PELTON_ANY_TEXT (~PELTON_NATIVE)
/* A domain has a name of its own, whatever it is over. */
#define PELTON_TEXTUAL(type, kind, expected, more) \
    [PELTON__TYPE_##type] = {sizeof(pelton_text), PELTON_KIND_##kind, expected, PELTON_BIT(kind) | PELTON_BIT(OTHER) | (more)}

static const pelton_type_info pelton_types[] = {
    [PELTON__TYPE_boolean] = {sizeof(bool), PELTON_KIND_BOOL, "boolean", PELTON_BIT(BOOL)},
    [PELTON__TYPE_smallint] = {2, PELTON_KIND_INT16, "smallint", PELTON_BIT(INT16)},
    [PELTON__TYPE_integer] = {4, PELTON_KIND_INT32, "integer or smallint", PELTON_BIT(INT16) | PELTON_BIT(INT32)},
    [PELTON__TYPE_bigint] = {8, PELTON_KIND_INT64, "bigint, integer or smallint",
                             PELTON_BIT(INT16) | PELTON_BIT(INT32) | PELTON_BIT(INT64)},
    [PELTON__TYPE_real] = {4, PELTON_KIND_FLOAT32, "real", PELTON_BIT(FLOAT32)},
    [PELTON__TYPE_double_precision] = {8, PELTON_KIND_FLOAT64, "double precision or real",
                                       PELTON_BIT(FLOAT32) | PELTON_BIT(FLOAT64)},
    [PELTON__TYPE_bytea] = {sizeof(pelton_bytes), PELTON_KIND_BYTEA, "bytea", PELTON_BIT(BYTEA)},
    [PELTON__TYPE_text] = {sizeof(pelton_text), PELTON_KIND_TEXT,
                           "a column that travels as text (not a boolean, integer, float or bytea)", PELTON_ANY_TEXT},
    [PELTON__TYPE_enumeration] = {sizeof(pelton_text), PELTON_KIND_ENUMERATION,
                                  "a column that travels as text (not a boolean, integer, float or bytea)", PELTON_ANY_TEXT},
    PELTON_TEXTUAL(numeric, NUMERIC, "numeric", 0),
    PELTON_TEXTUAL(uuid, UUID, "uuid", 0),
    PELTON_TEXTUAL(json, JSON, "json or jsonb", PELTON_BIT(JSONB)),
    PELTON_TEXTUAL(jsonb, JSONB, "jsonb or json", PELTON_BIT(JSON)),
    PELTON_TEXTUAL(date, DATE, "date", 0),
    PELTON_TEXTUAL(time, TIME, "time", 0),
    PELTON_TEXTUAL(timetz, TIMETZ, "timetz", 0),
    PELTON_TEXTUAL(timestamp, TIMESTAMP, "timestamp", 0),
    PELTON_TEXTUAL(timestamptz, TIMESTAMPTZ, "timestamptz", 0),
    PELTON_TEXTUAL(interval, INTERVAL, "interval", 0),
    PELTON_TEXTUAL(array, ARRAY, "an array", 0),
    /* Of the state alone: no column is of these. */
    [PELTON__TYPE_uint16] = {2, PELTON_KIND_OTHER, NULL, 0},
    [PELTON__TYPE_uint32] = {4, PELTON_KIND_OTHER, NULL, 0},
    [PELTON__TYPE_uint64] = {8, PELTON_KIND_OTHER, NULL, 0},
    [PELTON__TYPE_int128] = {16, PELTON_KIND_OTHER, NULL, 0},
    [PELTON__TYPE_uint128] = {16, PELTON_KIND_OTHER, NULL, 0},
    [PELTON__TYPE_unit] = {1, PELTON_KIND_OTHER, NULL, 0},
};

/* Kinds by Postgres's names, in their order. */
static const char *const pelton_kind_names[] = {
    "boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric", "text", "bytea", "uuid", "json",
    "jsonb", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "enum",
};

const char *pelton_field_name(const pelton_field *field) { return field->name != NULL ? field->name : field->field; }

pelton_column_type pelton_field_kind(const pelton_field *field) {
    if (field->kind == NULL) {
        const pelton_kind kind = pelton_types[field->type].kind;
        return (pelton_column_type){kind, kind == PELTON_KIND_ARRAY ? PELTON_TEXT("text") : PELTON_TEXT("")};
    }
    const pelton_text name = pelton_text_of(field->kind);
    for (size_t i = 0; i < sizeof(pelton_kind_names) / sizeof(pelton_kind_names[0]); i++)
        if (pelton_text_is(name, pelton_kind_names[i])) return (pelton_column_type){(pelton_kind)i, {"", 0}};
    if (name.len > 2 && pelton_text_is(pelton_text_from(name, name.len - 2), "[]"))
        return (pelton_column_type){PELTON_KIND_ARRAY, pelton_text_until(name, name.len - 2)};
    return (pelton_column_type){PELTON_KIND_OTHER, name};
}

pelton_text pelton_kind_words(pelton_column_type type) {
    if (type.kind == PELTON_KIND_ARRAY) return pelton_concat(type.name, PELTON_TEXT("[]"));
    return type.kind == PELTON_KIND_OTHER ? type.name : pelton_text_of(pelton_kind_names[type.kind]);
}

bool pelton_field_nullable(const pelton_field *field) {
    return field->role == PELTON__ROLE_nullable || field->role == PELTON__ROLE_toasted_nullable;
}

static bool pelton_field_is_optional(const pelton_field *field) {
    return field->role != PELTON__ROLE_key && field->role != PELTON__ROLE_plain;
}

bool pelton_schema_has_key(const pelton_schema *schema) {
    for (size_t i = 0; i < schema->fields_count; i++)
        if (schema->fields[i].role == PELTON__ROLE_key) return true;
    return false;
}

static pelton_presence *pelton_is_of(const pelton_field *field, void *row) {
    return (pelton_presence *)(void *)((uint8_t *)row + field->is_offset);
}

/* Why a value does not fit its field. */
typedef enum pelton_unfit { PELTON_FITTING, PELTON_UNFIT_NULL, PELTON_UNFIT_UNCHANGED, PELTON_UNFIT_KIND, PELTON_UNFIT_RANGE } pelton_unfit;

/* Stores a value that is there. */
static inline pelton_unfit pelton_store(pelton_type type, pelton_raw value, void *to) {
    switch (type) {
    case PELTON__TYPE_boolean:
        if (value.is != PELTON_RAW_BOOL) return PELTON_UNFIT_KIND;
        memcpy(to, &value.boolean, sizeof(bool));
        return PELTON_FITTING;
    case PELTON__TYPE_smallint: {
        const int16_t narrow = (int16_t)value.integer;
        if (value.is != PELTON_RAW_INT) return PELTON_UNFIT_KIND;
        if (narrow != value.integer) return PELTON_UNFIT_RANGE;
        memcpy(to, &narrow, sizeof(narrow));
        return PELTON_FITTING;
    }
    case PELTON__TYPE_integer: {
        const int32_t narrow = (int32_t)value.integer;
        if (value.is != PELTON_RAW_INT) return PELTON_UNFIT_KIND;
        if (narrow != value.integer) return PELTON_UNFIT_RANGE;
        memcpy(to, &narrow, sizeof(narrow));
        return PELTON_FITTING;
    }
    case PELTON__TYPE_bigint:
        if (value.is != PELTON_RAW_INT) return PELTON_UNFIT_KIND;
        memcpy(to, &value.integer, sizeof(int64_t));
        return PELTON_FITTING;
    case PELTON__TYPE_real: {
        if (value.is != PELTON_RAW_FLOAT) return PELTON_UNFIT_KIND;
        const float narrow = (float)value.number; /* exact: a real column holds nothing else */
        memcpy(to, &narrow, sizeof(narrow));
        return PELTON_FITTING;
    }
    case PELTON__TYPE_double_precision:
        if (value.is != PELTON_RAW_FLOAT) return PELTON_UNFIT_KIND;
        memcpy(to, &value.number, sizeof(double));
        return PELTON_FITTING;
    case PELTON__TYPE_bytea:
        if (value.is != PELTON_RAW_BYTES) return PELTON_UNFIT_KIND;
        memcpy(to, &value.bytes, sizeof(pelton_bytes));
        return PELTON_FITTING;
    default:
        if (value.is != PELTON_RAW_TEXT) return PELTON_UNFIT_KIND;
        memcpy(to, &value.bytes, sizeof(pelton_bytes)); /* the same two words as pelton_text */
        return PELTON_FITTING;
    }
}

/* Reads a column into its field. */
static inline pelton_unfit pelton_read_field(const pelton_field *field, pelton_raw value, void *row) {
    uint8_t *to = (uint8_t *)row + field->offset;
    const bool optional = pelton_field_is_optional(field);
    if (PELTON_UNLIKELY(value.is <= PELTON_RAW_UNCHANGED)) {
        const bool null = value.is == PELTON_RAW_NULL;
        const bool may = null ? pelton_field_nullable(field)
                              : field->role == PELTON__ROLE_toasted || field->role == PELTON__ROLE_toasted_nullable;
        if (!may) return null ? PELTON_UNFIT_NULL : PELTON_UNFIT_UNCHANGED;
        memset(to, 0, pelton_types[field->type].size);
        *pelton_is_of(field, row) = null ? PELTON_NULL : PELTON_UNCHANGED;
        return PELTON_FITTING;
    }
    if (optional) *pelton_is_of(field, row) = PELTON_VALUE;
    return pelton_store(field->type, value, to);
}

/* Writes a value that is there. */
static inline void pelton_write_stored(pelton_buffer *to, pelton_type type, const void *from) {
    switch (type) {
    case PELTON__TYPE_boolean: pelton_write_bool(to, *(const bool *)from); break;
    case PELTON__TYPE_smallint: pelton_write_int(to, *(const int16_t *)from); break;
    case PELTON__TYPE_integer: pelton_write_int(to, *(const int32_t *)from); break;
    case PELTON__TYPE_bigint: pelton_write_int(to, *(const int64_t *)from); break;
    case PELTON__TYPE_real: pelton_write_float32(to, *(const float *)from); break;
    case PELTON__TYPE_double_precision: pelton_write_float64(to, *(const double *)from); break;
    case PELTON__TYPE_bytea: pelton_write_bytes(to, *(const pelton_bytes *)from); break;
    default: pelton_write_text(to, *(const pelton_text *)from); break;
    }
}

void pelton_write_field(pelton_buffer *to, const pelton_field *field, const void *row) {
    const uint8_t *from = (const uint8_t *)row + field->offset;
    if (pelton_field_is_optional(field)) {
        const pelton_presence is = *(const pelton_presence *)(const void *)((const uint8_t *)row + field->is_offset);
        if (is == PELTON_NULL) {
            pelton_write_null(to);
            return;
        }
        if (is == PELTON_UNCHANGED) {
            pelton_write_unchanged(to);
            return;
        }
    }
    pelton_write_stored(to, field->type, from);
}
