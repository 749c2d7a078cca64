/* Source rows: how the columns of a table become the fields of a struct.
 *
 * The host sends the subscribed columns, and always the replica identity, in catalog order, and that order changes with
 * the table. So columns are matched by name, once per relation; a row is then read front to back, each column going to
 * the field that the plan says, or being stepped over. */

#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Where the columns of a relation go. */
typedef struct pelton_plan {
    const pelton_table *table;
    const pelton_source *source;
    bool full;
    size_t columns_count;
    uint16_t fields[]; /* for each column the field that takes it */
} pelton_plan;

enum { PELTON_UNUSED = UINT16_MAX };

/* Returns schema and name; what has no schema is public. */
void pelton_source_names(const pelton_source *source, pelton_text *schema, pelton_text *name) {
    const pelton_text table = pelton_text_of(source->table);
    const ptrdiff_t dot = source->message ? -1 : pelton_text_find(table, '.');
    if (source->message) *schema = PELTON_TEXT("pg_logical_message");
    else *schema = dot < 0 ? PELTON_TEXT("public") : pelton_text_until(table, (size_t)dot);
    *name = pelton_text_from(table, (size_t)(dot + 1));
}

/* Returns schema.name, for messages. */
static const char *pelton_source_words(const pelton_source *source) {
    pelton_text schema, name;
    pelton_source_names(source, &schema, &name);
    return pelton_text_string(pelton_concat(schema, PELTON_TEXT("."), name));
}

static const pelton_column *pelton_column_of(const pelton_relation *relation, const char *name, size_t *index) {
    for (*index = 0; *index < relation->columns_count; ++*index)
        if (pelton_text_is(relation->columns[*index].name, name)) return &relation->columns[*index];
    return NULL;
}

/* Holds a relation against the struct that its rows become; the plan is malloc'd. */
static pelton_result pelton_plan_of(const pelton_table *table, const pelton_relation *relation, pelton_plan **plan) {
    const pelton_source *source = table->source();
    const bool full = relation->identity == PELTON_FULL;
    const bool sees_old = source->ops == 0 || (source->ops & (PELTON_UPDATES | PELTON_DELETES)) != 0;
    const size_t size = sizeof(pelton_plan) + relation->columns_count * sizeof(uint16_t);
    pelton_plan *made = (pelton_plan *)pelton_must(malloc(size));
    *made = (pelton_plan){.table = table, .source = source, .full = full, .columns_count = relation->columns_count};
    for (size_t i = 0; i < relation->columns_count; i++) made->fields[i] = PELTON_UNUSED;
    *plan = made;
    for (size_t i = 0; i < source->fields_count; i++) {
        const pelton_field *field = &source->fields[i];
        const char *name = pelton_field_name(field);
        size_t index;
        const pelton_column *column = pelton_column_of(relation, name, &index);
        if (column == NULL)
            return pelton_fatal("table %s has no column `%s`, which the transform reads; was it renamed or dropped?",
                                pelton_source_words(source), name);
        if ((pelton_types[field->type].accepts & (1u << column->type.kind)) == 0)
            return pelton_fatal("column `%s` of table %s is %.*s; the transform expects %s", name,
                                pelton_source_words(source), PELTON_ARG(pelton_kind_words(column->type)),
                                pelton_types[field->type].expected);
        if (field->role == PELTON__ROLE_key && sees_old && !column->key && !full) {
            const char *words = pelton_source_words(source);
            return pelton_fatal("column `%s` of table %s is marked key and not part of the replica identity, so updates "
                                "and deletes come without it; mark the columns of the replica identity, or ALTER TABLE "
                                "%s REPLICA IDENTITY FULL",
                                name, words, words);
        }
        made->fields[index] = (uint16_t)i;
    }
    return PELTON_OK;
}

/* The error for a value that its field can't take. */
static pelton_result pelton_does_not_fit(const pelton_plan *plan, const pelton_field *field, pelton_raw value,
                                         pelton_unfit unfit) {
    static const char *const found[] = {"NULL", "an unchanged value", "a boolean", "an integer", "a float", "text", "bytes"};
    const char *name = pelton_field_name(field), *table = pelton_source_words(plan->source);
    const char *expected = pelton_types[field->type].expected;
    switch (unfit) {
    case PELTON_UNFIT_NULL:
        return pelton_reject("null", "column `%s` of table %s is NULL; make the field nullable if that may be", name, table);
    case PELTON_UNFIT_UNCHANGED:
        return pelton_reject("unchanged",
                             "column `%s` of table %s is a TOASTed value that the update left alone, so it was not sent; "
                             "make the field toasted, or ALTER TABLE %s REPLICA IDENTITY FULL",
                             name, table, table);
    case PELTON_UNFIT_RANGE:
        return pelton_fatal("column `%s` of table %s arrived as an integer that is too large; the transform expects %s",
                            name, table, expected);
    default:
        return pelton_fatal("column `%s` of table %s arrived as %s; the transform expects %s", name, table,
                            found[value.is], expected);
    }
}

/* Looks up the old row's value of a column, where the old row is known. */
static bool pelton_old_value(const pelton_reader *full_old, size_t column, size_t columns, pelton_raw *value) {
    pelton_reader old = *full_old;
    uint32_t count;
    bool nil;
    if (!pelton_read_array_or_nil(&old, &count, &nil)) return false;
    if (nil || count != columns) return true;
    for (size_t i = 0; i < column; i++)
        if (!pelton_skip_value(&old)) return false;
    return pelton_read_value(&old, value);
}

/* Reads a row. `full_old` is where unchanged values are looked up, or NULL; of an old row that is a key the fields
 * marked key alone are read. */
static pelton_result pelton_read_row(const pelton_plan *plan, pelton_reader *reader, const pelton_reader *full_old,
                                     bool key_alone, void *row) {
    uint32_t columns;
    if (!pelton_read_array(reader, &columns)) return pelton_malformed();
    if (columns != plan->columns_count)
        return pelton_fatal("the host sent %u columns for table %s, whose relation has %zu", columns,
                            pelton_source_words(plan->source), plan->columns_count);
    if (key_alone) memset(row, 0, plan->source->row_size);
    for (size_t i = 0; i < columns; i++) {
        const uint16_t index = plan->fields[i];
        const pelton_field *field = index == PELTON_UNUSED ? NULL : &plan->source->fields[index];
        if (field == NULL || (key_alone && field->role != PELTON__ROLE_key)) {
            if (!pelton_skip_value(reader)) return pelton_malformed();
            continue;
        }
        pelton_raw value;
        if (!pelton_read_value(reader, &value)) return pelton_malformed();
        if (PELTON_UNLIKELY(value.is == PELTON_RAW_UNCHANGED) && full_old != NULL &&
            !pelton_old_value(full_old, i, columns, &value))
            return pelton_malformed();
        const pelton_unfit unfit = pelton_read_field(field, value, row);
        if (PELTON_UNLIKELY(unfit != PELTON_FITTING)) return pelton_does_not_fit(plan, field, value, unfit);
    }
    return PELTON_OK;
}

/* Room for the rows of one change. */
typedef struct pelton_rows {
    void *new_row, *old_row;
} pelton_rows;

/* Reads what was sent of the old row. */
static pelton_result pelton_read_old(const pelton_plan *plan, pelton_reader *reader, pelton_rows rows,
                                     pelton_change *change) {
    pelton_reader peek = *reader;
    uint32_t columns;
    bool nil;
    if (!pelton_read_array_or_nil(&peek, &columns, &nil)) return pelton_malformed();
    if (nil) {
        *reader = peek;
        return PELTON_OK;
    }
    PELTON_TRY(pelton_read_row(plan, reader, NULL, !plan->full, rows.old_row));
    change->old_key = rows.old_row;
    if (plan->full) change->old_row = rows.old_row;
    return PELTON_OK;
}

/* Reads a change; the reader stands behind it afterwards, unless there was an error. */
static pelton_result pelton_read_change(const pelton_plan *plan, pelton_op op, pelton_reader *reader, pelton_rows rows,
                                        pelton_change *change) {
    *change = (pelton_change){.op = op};
    if (op == PELTON_TRUNCATE) return pelton_skip_row(reader) && pelton_skip_row(reader) ? PELTON_OK : pelton_malformed();
    if (op == PELTON_DELETE) {
        if (!pelton_skip_row(reader)) return pelton_malformed();
        PELTON_TRY(pelton_read_old(plan, reader, rows, change));
        if (change->old_key == NULL)
            return pelton_reject("no-old-row", "a delete of table %s came without its old row",
                                 pelton_source_words(plan->source));
        return PELTON_OK;
    }
    /* The old row stands behind the new one, whose unchanged values it fills. */
    pelton_reader behind = *reader;
    const bool fills = op == PELTON_UPDATE && plan->full;
    if (fills && !pelton_skip_row(&behind)) return pelton_malformed();
    PELTON_TRY(pelton_read_row(plan, reader, fills ? &behind : NULL, false, rows.new_row));
    change->new_row = rows.new_row;
    if (op == PELTON_INSERT) return pelton_skip_row(reader) ? PELTON_OK : pelton_malformed();
    PELTON_TRY(pelton_read_old(plan, reader, rows, change));
    if (change->old_key == NULL) change->old_key = rows.new_row;
    return PELTON_OK;
}
