/* Where public rows go, and the ordinary case: one public row for one source row. */

#include <string.h>

#include "internal.h"

struct pelton_out {
    const pelton_transform *transform;
    const pelton_schema *schemas[64];
    size_t schemas_count;
    pelton_buffer rows;
    uint32_t count, source;
    const pelton_span *span;
    /* A mistake of the author that a call without a result has found: fatal once the function returns. */
    bool mistaken;
    pelton_failure mistake;
};

/* Room for the head of the output's array, whose length is known at the end. */
enum { PELTON_HEAD = 5 };

const pelton_span *pelton_out_span(const pelton_out *out) { return out->span; }

static void pelton_mistake(pelton_out *out, pelton_result fatal) {
    (void)fatal;
    if (!out->mistaken) out->mistake = pelton_failed;
    out->mistaken = true;
}

static bool pelton_schema_index(pelton_out *out, const pelton_schema *schema, size_t *index) {
    for (*index = 0; *index < out->schemas_count; ++*index) {
        const pelton_schema *other = out->schemas[*index];
        if (other == schema || (other->major == schema->major && strcmp(other->name, schema->name) == 0)) return true;
    }
    pelton_mistake(out, pelton_fatal("the transform does not declare public schema `%s`: add its row's schema to .publishes",
                                     schema->name));
    return false;
}

static void pelton_write_key(pelton_buffer *to, const pelton_schema *schema, const void *row) {
    size_t count = 0;
    for (size_t i = 0; i < schema->fields_count; i++) count += schema->fields[i].role == PELTON__ROLE_key;
    pelton_write_array(to, count);
    for (size_t i = 0; i < schema->fields_count; i++)
        if (schema->fields[i].role == PELTON__ROLE_key) pelton_write_field(to, &schema->fields[i], row);
}

/* Returns true when two fields hold the same. */
static bool pelton_same_value(const pelton_field *a, const void *row_a, const pelton_field *b, const void *row_b) {
    const uint8_t *at_a = (const uint8_t *)row_a + a->offset, *at_b = (const uint8_t *)row_b + b->offset;
    if (a->type != b->type) return false;
    if (pelton_types[a->type].size == sizeof(pelton_text) && a->type != PELTON__TYPE_bigint &&
        a->type != PELTON__TYPE_double_precision && a->type != PELTON__TYPE_int128 && a->type != PELTON__TYPE_uint128)
        return pelton_text_equal(*(const pelton_text *)(const void *)at_a, *(const pelton_text *)(const void *)at_b);
    return memcmp(at_a, at_b, pelton_types[a->type].size) == 0;
}

/* Returns true when the key fields of two rows are of the same types, in their order, and hold the same. */
static bool pelton_same_key(const pelton_field *a, size_t a_count, const void *row_a, const pelton_field *b,
                            size_t b_count, const void *row_b) {
    size_t i = 0, k = 0;
    for (;;) {
        while (i < a_count && a[i].role != PELTON__ROLE_key) i++;
        while (k < b_count && b[k].role != PELTON__ROLE_key) k++;
        if (i == a_count || k == b_count) return i == a_count && k == b_count;
        if (!pelton_same_value(&a[i++], row_a, &b[k++], row_b)) return false;
    }
}

static bool pelton_same_public_key(const pelton_schema *schema, const void *a, const void *b) {
    return pelton_same_key(schema->fields, schema->fields_count, a, schema->fields, schema->fields_count, b);
}

void pelton__publish(pelton_out *out, const pelton_schema *schema, pelton_op op, const void *row, const void *old) {
    static const char *const words[] = {"inserts", "updates", "deletes", "truncates"};
    size_t index;
    if ((op == PELTON_UPDATE || op == PELTON_DELETE) && !pelton_schema_has_key(schema)) {
        pelton_mistake(out, pelton_fatal("public schema `%s` has no key, so it is append-only: %s can't be published",
                                         schema->name, words[op]));
        return;
    }
    if (!pelton_schema_index(out, schema, &index)) return;
    pelton_buffer *rows = &out->rows;
    out->count++;
    pelton_write_array(rows, 5);
    pelton_write_int(rows, (int64_t)index);
    pelton_write_int(rows, op);
    pelton_write_int(rows, out->source);
    pelton_write_array(rows, op == PELTON_TRUNCATE ? 0 : schema->fields_count);
    for (size_t i = 0; op != PELTON_TRUNCATE && i < schema->fields_count; i++) {
        const pelton_field *field = &schema->fields[i];
        if (op == PELTON_DELETE && field->role != PELTON__ROLE_key) pelton_write_unchanged(rows);
        else pelton_write_field(rows, field, row);
    }
    if (old != NULL && !pelton_same_public_key(schema, old, row)) pelton_write_key(rows, schema, old);
    else pelton_write_null(rows);
}

/* One call of PELTON_MAP's functions. */
typedef struct pelton_mapping {
    const pelton_source *source;
    const pelton_schema *schema;
    void (*key)(const void *, void *);
    pelton_result (*map)(const void *, void *);
} pelton_mapping;

static pelton_result pelton_other_keys(const pelton_mapping *mapping) {
    return pelton_fatal("public schema `%s` has other keys than table %s; use PELTON_MAP_WITH_KEY", mapping->schema->name,
                        pelton_source_words(mapping->source));
}

/* Makes the public row of a source row: PELTON_OK, PELTON_NONE or an error. */
static pelton_result pelton_mapped(const pelton_mapping *mapping, const void *from, void *to) {
    const pelton_source *source = mapping->source;
    const pelton_schema *schema = mapping->schema;
    memset(to, 0, schema->row_size);
    const pelton_result result = mapping->map(from, to);
    if (result != PELTON_OK || mapping->key != NULL) return result;
    if (!pelton_same_key(source->fields, source->fields_count, from, schema->fields, schema->fields_count, to))
        return pelton_other_keys(mapping);
    return PELTON_OK;
}

/* Makes the public key of a source key. */
static pelton_result pelton_mapped_key(const pelton_mapping *mapping, const void *from, void *to) {
    memset(to, 0, mapping->schema->row_size);
    if (mapping->key != NULL) {
        mapping->key(from, to);
        return PELTON_OK;
    }
    const pelton_field *a = mapping->source->fields, *b = mapping->schema->fields;
    const pelton_field *a_end = a + mapping->source->fields_count, *b_end = b + mapping->schema->fields_count;
    for (;; a++, b++) {
        while (a < a_end && a->role != PELTON__ROLE_key) a++;
        while (b < b_end && b->role != PELTON__ROLE_key) b++;
        if (a == a_end || b == b_end) return a == a_end && b == b_end ? PELTON_OK : pelton_other_keys(mapping);
        if (a->type != b->type) return pelton_other_keys(mapping);
        memcpy((uint8_t *)to + b->offset, (const uint8_t *)from + a->offset, pelton_types[a->type].size);
    }
}

pelton_result pelton__map(const pelton_change *change, pelton_out *out, const pelton_source *source,
                          const pelton_schema *schema, void (*key)(const void *, void *),
                          pelton_result (*map)(const void *, void *), void *row, void *old) {
    const pelton_mapping mapping = {source, schema, key, map};
    pelton_result was = PELTON_OK, is = PELTON_NONE;
    if (change->op == PELTON_TRUNCATE) {
        pelton__publish(out, schema, PELTON_TRUNCATE, NULL, NULL);
        return PELTON_OK;
    }
    /* The whole old row tells whether it was published at all. */
    if (change->op == PELTON_INSERT) was = PELTON_NONE;
    else if (change->old_row != NULL) was = pelton_mapped(&mapping, change->old_row, old);
    else was = pelton_mapped_key(&mapping, change->old_key, old);
    if (was > PELTON_NONE) return was;
    if (change->new_row != NULL) is = pelton_mapped(&mapping, change->new_row, row);
    if (is > PELTON_NONE) return is;
    if (is == PELTON_OK) pelton__publish(out, schema, was == PELTON_OK ? PELTON_UPDATE : PELTON_INSERT, row,
                                         was == PELTON_OK ? old : NULL);
    else if (was == PELTON_OK) pelton__publish(out, schema, PELTON_DELETE, old, NULL);
    return PELTON_OK;
}
