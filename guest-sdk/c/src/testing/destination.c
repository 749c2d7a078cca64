/* Public rows, and the tables that they are kept in: what a reader of the destination sees. */

/* A value as words, and what sorting and replacing need to know of it. */
typedef struct test_value {
    pelton_raw_is is;
    int64_t integer;
    char *words;
} test_value;

typedef struct test_row {
    test_value *values;
} test_row;

typedef struct test_table {
    const pelton_schema *schema;
    test_row *rows;
    size_t count;
} test_table;

static void *test_alloc(size_t size) {
    void *memory = calloc(1, size == 0 ? 1 : size);
    if (memory == NULL) abort();
    return memory;
}

static test_value test_value_of(pelton_raw raw) {
    test_words words = {0};
    test_say_value(&words, raw);
    return (test_value){raw.is, raw.is == PELTON_RAW_INT ? raw.integer : 0, words.text};
}

static void test_free_row(test_row row, size_t count) {
    for (size_t i = 0; row.values != NULL && i < count; i++) free(row.values[i].words);
    free(row.values);
}

static test_value test_copy(test_value value) {
    test_words words = {0};
    test_say(&words, value.words, strlen(value.words));
    value.words = words.text;
    return value;
}

static bool test_is_key(const test_table *table, size_t column) {
    return table->schema->fields[column].role == PELTON__ROLE_key;
}

/* Returns true when the row's key is the given one, whose values stand in key order. */
static bool test_has_key(const test_table *table, test_row row, const test_value *key) {
    for (size_t i = 0; i < table->schema->fields_count; i++)
        if (test_is_key(table, i) && strcmp(row.values[i].words, (key++)->words) != 0) return false;
    return true;
}

static size_t test_key_of(const test_table *table, test_row row, test_value *key) {
    size_t count = 0;
    for (size_t i = 0; i < table->schema->fields_count; i++)
        if (test_is_key(table, i)) key[count++] = row.values[i];
    return count;
}

static void test_remove(test_table *table, size_t at) {
    memmove(&table->rows[at], &table->rows[at + 1], (table->count - at - 1) * sizeof(test_row));
    table->count--;
}

static void test_add(test_table *table, test_row row) {
    table->rows = (test_row *)realloc(table->rows, (table->count + 1) * sizeof(test_row));
    if (table->rows == NULL) abort();
    table->rows[table->count++] = row;
}

/* Applies one public row, whose values become the table's. */
static void test_apply(test_table *table, pelton_op op, test_row row, const test_value *old_key) {
    const size_t columns = table->schema->fields_count;
    if (op == PELTON_TRUNCATE) {
        while (table->count > 0) test_free_row(table->rows[--table->count], columns);
        test_free_row(row, 0);
        return;
    }
    if (!pelton_schema_has_key(table->schema)) {
        test_add(table, row);
        return;
    }
    test_value key[64];
    test_key_of(table, row, key);
    test_row existing = {NULL};
    for (size_t i = 0; i < table->count; i++) {
        if (!test_has_key(table, table->rows[i], old_key != NULL ? old_key : key)) continue;
        existing = table->rows[i];
        test_remove(table, i);
        break;
    }
    bool keep = op != PELTON_DELETE;
    for (size_t i = 0; keep && i < columns; i++) {
        if (row.values[i].is != PELTON_RAW_UNCHANGED) continue;
        keep = existing.values != NULL; /* else there is nothing to leave as it is: an UPDATE that finds no row */
        if (!keep) break;
        free(row.values[i].words);
        row.values[i] = test_copy(existing.values[i]);
    }
    test_free_row(existing, columns);
    if (!keep) {
        test_free_row(row, columns);
        return;
    }
    for (size_t i = 0; i < table->count; i++) {
        if (!test_has_key(table, table->rows[i], key)) continue;
        test_free_row(table->rows[i], columns);
        test_remove(table, i);
        break;
    }
    test_add(table, row);
}

static const test_table *test_sorted;

static int test_by_key(const void *a, const void *b) {
    const test_row *x = (const test_row *)a, *y = (const test_row *)b;
    for (size_t i = 0; i < test_sorted->schema->fields_count; i++) {
        if (!test_is_key(test_sorted, i)) continue;
        const test_value *v = &x->values[i], *w = &y->values[i];
        const int order = v->is == PELTON_RAW_INT && w->is == PELTON_RAW_INT
                              ? (v->integer > w->integer) - (v->integer < w->integer)
                              : strcmp(v->words, w->words);
        if (order != 0) return order;
    }
    return 0;
}

static void test_say_table(test_words *to, test_table *table) {
    test_sorted = table;
    if (pelton_schema_has_key(table->schema)) qsort(table->rows, table->count, sizeof(test_row), test_by_key);
    for (size_t i = 0; i < table->count; i++) {
        for (size_t k = 0; k < table->schema->fields_count; k++) {
            const test_value *value = &table->rows[i].values[k];
            if (k > 0) test_say(to, " ", 1);
            test_format(to, "%s=", pelton_field_name(&table->schema->fields[k]));
            test_say(to, value->words, strlen(value->words));
        }
        test_say(to, "\n", 1);
    }
}

/* Reads one row of an output, says it, and applies it; false for an unchanged value in an insert. */
static bool test_take_row(pelton_reader *reader, test_table *tables, const uint32_t *sources, test_words *said,
                          bool apply, const char **mistake) {
    static const char *const words[] = {"insert", "update", "delete", "truncate"};
    uint32_t parts, index, op, source, count;
    bool nil;
    if (!pelton_read_array(reader, &parts) || parts != 5 || !pelton_read_index(reader, &index) ||
        !pelton_read_index(reader, &op) || !pelton_read_index(reader, &source) || !pelton_read_array(reader, &count))
        abort();
    (void)sources;
    test_table *table = &tables[index];
    const pelton_schema *schema = table->schema;
    test_row row = {(test_value *)test_alloc(schema->fields_count * sizeof(test_value))};
    if (op != PELTON_TRUNCATE && count != schema->fields_count) abort();
    for (uint32_t i = 0; i < count; i++) {
        pelton_raw raw;
        if (!pelton_read_value(reader, &raw)) abort();
        row.values[i] = test_value_of(raw);
        if (op == PELTON_INSERT && raw.is == PELTON_RAW_UNCHANGED) *mistake = pelton_field_name(&schema->fields[i]);
    }
    test_value old_key[64];
    if (!pelton_read_array_or_nil(reader, &count, &nil) || count > 64) abort();
    for (uint32_t i = 0; i < count; i++) {
        pelton_raw raw;
        if (!pelton_read_value(reader, &raw)) abort();
        old_key[i] = test_value_of(raw);
    }
    test_format(said, "%s %s", words[op], schema->name);
    for (uint32_t i = 0; i < count; i++) test_format(said, "%s%s", i == 0 ? " from (" : ", ", old_key[i].words);
    if (count > 0) test_say(said, ")", 1);
    for (size_t i = 0; op != PELTON_TRUNCATE && i < schema->fields_count; i++) {
        if (op == PELTON_DELETE && row.values[i].is == PELTON_RAW_UNCHANGED) continue;
        test_format(said, " %s=", pelton_field_name(&schema->fields[i]));
        test_say(said, row.values[i].words, strlen(row.values[i].words));
    }
    test_say(said, "\n", 1);
    if (apply && *mistake == NULL) test_apply(table, (pelton_op)op, row, nil ? NULL : old_key);
    else test_free_row(row, op == PELTON_TRUNCATE ? 0 : schema->fields_count);
    for (uint32_t i = 0; i < count; i++) free(old_key[i].words);
    return *mistake == NULL;
}
