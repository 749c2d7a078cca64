/* The host: it hands changes over, keeps state, and runs batches again without what was rejected. */

/* An entry of the state, in memory of its own. */
typedef struct test_entry {
    pelton_bytes key, value;
} test_entry;

typedef struct test_state {
    test_entry *entries; /* in key order */
    size_t count;
} test_state;

typedef struct test_change {
    uint32_t xid;
    pelton_bytes bytes;
} test_change;

struct pelton_host {
    const pelton_transform *transform;
    pelton_runner *runner;
    pelton_pair settings[64];
    size_t settings_count;
    pelton_relation relations[64];
    size_t relations_count;
    test_table tables[64];
    size_t tables_count;
    test_change *waiting;
    size_t waiting_count;
    uint32_t xid;
    int64_t commit_time;
    pelton_phase phase;
    test_state state, working; /* as committed, and as this batch sees it */
    size_t state_reads;
    test_words rows, error, rejected, logs, table;
};

static pelton_host *test_current;

/* --- What the transform asks of it --- */

static test_entry test_entry_of(pelton_bytes key, pelton_bytes value) {
    uint8_t *bytes = (uint8_t *)test_alloc(key.len + value.len);
    if (key.len > 0) memcpy(bytes, key.ptr, key.len);
    if (value.len > 0) memcpy(bytes + key.len, value.ptr, value.len);
    return (test_entry){{bytes, key.len}, {bytes + key.len, value.len}};
}

static int test_compare(pelton_bytes a, pelton_bytes b) {
    const size_t shorter = a.len < b.len ? a.len : b.len;
    const int order = shorter == 0 ? 0 : memcmp(a.ptr, b.ptr, shorter);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Returns the place of the first entry that is not before the key. */
static size_t test_place(const test_state *state, pelton_bytes key) {
    size_t low = 0, high = state->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (test_compare(state->entries[middle].key, key) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool test_is_at(const test_state *state, size_t at, pelton_bytes key) {
    return at < state->count && test_compare(state->entries[at].key, key) == 0;
}

static void test_put(test_state *state, pelton_bytes key, const pelton_bytes *value) {
    const size_t at = test_place(state, key);
    if (test_is_at(state, at, key)) {
        free((void *)(uintptr_t)state->entries[at].key.ptr);
        memmove(&state->entries[at], &state->entries[at + 1], (state->count - at - 1) * sizeof(test_entry));
        state->count--;
    }
    if (value == NULL) return;
    state->entries = (test_entry *)realloc(state->entries, (state->count + 1) * sizeof(test_entry));
    if (state->entries == NULL) abort();
    memmove(&state->entries[at + 1], &state->entries[at], (state->count - at) * sizeof(test_entry));
    state->entries[at] = test_entry_of(key, *value);
    state->count++;
}

static void test_free_state(test_state *state) {
    for (size_t i = 0; i < state->count; i++) free((void *)(uintptr_t)state->entries[i].key.ptr);
    free(state->entries);
    *state = (test_state){0};
}

static void test_copy_state(test_state *to, const test_state *from) {
    test_free_state(to);
    for (size_t i = 0; i < from->count; i++) test_put(to, from->entries[i].key, &from->entries[i].value);
}

bool pelton_host_enabled(pelton_level level) { return level >= PELTON_DEBUG; }

void pelton_host_log(pelton_level level, pelton_text message, const pelton_log_field *fields, size_t count) {
    static const char *const words[] = {"trace", "debug", "info", "warn", "error"};
    test_words line = {0};
    test_format(&line, "%s: ", words[level]);
    test_say(&line, message.ptr, message.len);
    for (size_t i = 0; i < count; i++) {
        test_format(&line, " %s=", fields[i].name);
        test_say(&line, fields[i].value.ptr, fields[i].value.len);
    }
    test_say(&line, "\n", 1);
    /* What a crash says is the last that is heard of it. */
    if (level == PELTON_ERROR) fputs(line.text, stderr);
    if (test_current != NULL) test_say(&test_current->logs, line.text, line.length);
    free(line.text);
}

static pelton_result test_check_stateful(void) {
    if (test_current != NULL && pelton_is_stateful(test_current->transform)) return PELTON_OK;
    return pelton_fatal("the transform uses state and does not declare it: add .stateful or .state_version to "
                        "PELTON_TRANSFORM");
}

pelton_result pelton_host_get(pelton_state_entry *entries, size_t count) {
    PELTON_TRY(test_check_stateful());
    test_current->state_reads++;
    const test_state *state = &test_current->working;
    for (size_t i = 0; i < count; i++) {
        const size_t at = test_place(state, entries[i].key);
        entries[i].exists = test_is_at(state, at, entries[i].key);
        entries[i].value = entries[i].exists ? state->entries[at].value : (pelton_bytes){NULL, 0};
    }
    return PELTON_OK;
}

pelton_result pelton_host_put(const pelton_state_entry *entries, size_t count) {
    PELTON_TRY(test_check_stateful());
    for (size_t i = 0; i < count; i++)
        test_put(&test_current->working, entries[i].key, entries[i].exists ? &entries[i].value : NULL);
    return PELTON_OK;
}

pelton_result pelton_host_scan(pelton_bytes prefix, const pelton_bytes *after, uint32_t limit,
                               pelton_state_entry **entries, size_t *count) {
    PELTON_TRY(test_check_stateful());
    const test_state *state = &test_current->working;
    *entries = (pelton_state_entry *)pelton_alloc((state->count < limit ? state->count : limit) * sizeof(pelton_state_entry));
    *count = 0;
    size_t at = test_place(state, after == NULL ? prefix : *after);
    if (after != NULL && test_is_at(state, at, *after)) at++;
    for (; at < state->count && *count < limit; at++) {
        const test_entry *entry = &state->entries[at];
        if (entry->key.len < prefix.len || (prefix.len > 0 && memcmp(entry->key.ptr, prefix.ptr, prefix.len) != 0)) break;
        /* Copied, for the transform may put while it looks at what was found. */
        const test_entry copy = {entry->key, entry->value};
        uint8_t *bytes = (uint8_t *)pelton_alloc(copy.key.len + copy.value.len);
        memcpy(bytes, copy.key.ptr, copy.key.len);
        if (copy.value.len > 0) memcpy(bytes + copy.key.len, copy.value.ptr, copy.value.len);
        (*entries)[(*count)++] =
            (pelton_state_entry){{bytes, copy.key.len}, {bytes + copy.key.len, copy.value.len}, true};
    }
    return PELTON_OK;
}

/* --- What a test says --- */

pelton_host *pelton_host_new(const pelton_transform *transform) {
    pelton_host *host = (pelton_host *)test_alloc(sizeof(pelton_host));
    host->transform = transform;
    host->xid = 1;
    host->phase = PELTON_TEST;
    for (size_t i = 0; i < 64 && transform->tables[i] != NULL; i++) {
        const pelton_source *source = transform->tables[i]->source();
        pelton_column *columns = (pelton_column *)test_alloc(source->fields_count * sizeof(pelton_column));
        for (size_t k = 0; k < source->fields_count; k++) {
            const pelton_field *field = &source->fields[k];
            columns[k] = (pelton_column){pelton_text_of(pelton_field_name(field)), pelton_field_kind(field),
                                         pelton_field_nullable(field), field->role == PELTON__ROLE_key};
        }
        pelton_relation *relation = &host->relations[host->relations_count++];
        *relation = (pelton_relation){.id = (uint32_t)i, .columns = columns, .columns_count = source->fields_count};
        pelton_source_names(source, &relation->schema, &relation->name);
    }
    for (size_t i = 0; i < 64 && transform->publishes[i] != NULL; i++)
        host->tables[host->tables_count++].schema = transform->publishes[i]();
    test_clear(&host->error);
    test_clear(&host->rejected);
    test_clear(&host->logs);
    return host;
}

void pelton_host_free(pelton_host *host) {
    pelton_runner_end(host->runner);
    for (size_t i = 0; i < host->relations_count; i++) free((void *)(uintptr_t)host->relations[i].columns);
    for (size_t i = 0; i < host->tables_count; i++) {
        test_table *table = &host->tables[i];
        while (table->count > 0) test_free_row(table->rows[--table->count], table->schema->fields_count);
        free(table->rows);
    }
    for (size_t i = 0; i < host->waiting_count; i++) free((void *)(uintptr_t)host->waiting[i].bytes.ptr);
    free(host->waiting);
    test_free_state(&host->state);
    test_free_state(&host->working);
    test_words *words[] = {&host->rows, &host->error, &host->rejected, &host->logs, &host->table};
    for (size_t i = 0; i < 5; i++) free(words[i]->text);
    if (test_current == host) test_current = NULL;
    free(host);
}

void pelton_setting(pelton_host *host, const char *name, const char *value) {
    if (host->settings_count == 64) abort();
    host->settings[host->settings_count++] = (pelton_pair){pelton_text_of(name), pelton_text_of(value)};
}

static pelton_relation *test_relation(pelton_host *host, const pelton_source *source) {
    pelton_text schema, name;
    pelton_source_names(source, &schema, &name);
    for (size_t i = 0; i < host->relations_count; i++) {
        pelton_relation *relation = &host->relations[i];
        if (pelton_text_equal(relation->schema, schema) && pelton_text_equal(relation->name, name)) return relation;
    }
    fprintf(stderr, "the transform has no function for table %s\n", source->table);
    abort();
}

void pelton__set_identity(pelton_host *host, const pelton_source *source, pelton_replica_identity identity) {
    test_relation(host, source)->identity = (pelton_identity)identity;
    pelton_restart(host);
}

static void test_write_row(pelton_buffer *to, const pelton_source *source, const void *row, bool whole) {
    if (row == NULL) {
        pelton_write_null(to);
        return;
    }
    pelton_write_array(to, source->fields_count);
    for (size_t i = 0; i < source->fields_count; i++) {
        if (whole || source->fields[i].role == PELTON__ROLE_key) pelton_write_field(to, &source->fields[i], row);
        else pelton_write_unchanged(to);
    }
}

/* Returns true when an update leaves the key as it is. */
static bool test_same_key(const pelton_source *source, const void *a, const void *b) {
    pelton_buffer x = {0}, y = {0};
    for (size_t i = 0; i < source->fields_count; i++) {
        if (source->fields[i].role != PELTON__ROLE_key) continue;
        pelton_write_field(&x, &source->fields[i], a);
        pelton_write_field(&y, &source->fields[i], b);
    }
    const bool same = x.length == y.length && (x.length == 0 || memcmp(x.bytes, y.bytes, x.length) == 0);
    free(x.bytes);
    free(y.bytes);
    return same;
}

void pelton__change(pelton_host *host, const pelton_source *source, pelton_op op, const void *row, const void *old) {
    const pelton_relation *relation = test_relation(host, source);
    const bool full = relation->identity == PELTON_FULL;
    if (op == PELTON_UPDATE && !full && test_same_key(source, row, old)) old = NULL;
    pelton_buffer bytes = {0};
    pelton_write_array(&bytes, 4);
    pelton_write_int(&bytes, op);
    pelton_write_int(&bytes, relation->id);
    test_write_row(&bytes, source, row, true);
    test_write_row(&bytes, source, old, full);
    host->waiting = (test_change *)realloc(host->waiting, (host->waiting_count + 1) * sizeof(test_change));
    if (host->waiting == NULL) abort();
    host->waiting[host->waiting_count++] = (test_change){host->xid, {bytes.bytes, bytes.length}};
}

void pelton_commit(pelton_host *host) { host->xid++; }
void pelton_commit_time(pelton_host *host, int64_t micros) { host->commit_time = micros; }
void pelton_set_phase(pelton_host *host, pelton_phase phase) { host->phase = phase; }

void pelton_restart(pelton_host *host) {
    pelton_runner_end(host->runner);
    host->runner = NULL;
}

/* --- Running --- */

static pelton_result test_runner(pelton_host *host) {
    if (host->runner != NULL) return PELTON_OK;
    PELTON_TRY(pelton_check(host->transform));
    const pelton_start start = {host->settings, host->settings_count, host->relations, host->relations_count, 0, 1};
    const pelton_result started = pelton_runner_start(host->transform, &start, &host->runner);
    if (started != PELTON_OK) pelton_restart(host);
    return started;
}

/* Runs the changes that are left, as one batch. */
static pelton_result test_attempt(pelton_host *host, const uint32_t *left, uint32_t count, pelton_output *output) {
    pelton_buffer payload = {0};
    pelton_span *spans = (pelton_span *)test_alloc(count * sizeof(pelton_span));
    size_t spans_count = 0;
    pelton_write_array(&payload, count);
    for (uint32_t i = 0; i < count; i++) {
        const test_change *change = &host->waiting[left[i]];
        if (payload.capacity - payload.length < change->bytes.len) pelton_buffer_grow(&payload, change->bytes.len);
        memcpy(payload.bytes + payload.length, change->bytes.ptr, change->bytes.len);
        payload.length += change->bytes.len;
        if (spans_count > 0 && spans[spans_count - 1].xid == change->xid) spans[spans_count - 1].count++;
        else spans[spans_count++] = (pelton_span){.xid = change->xid, .epoch = 1, .commit_lsn = (uint64_t)change->xid << 8,
                                                  .commit_time = host->commit_time, .phase = host->phase, .first = i,
                                                  .count = 1, .complete = true};
    }
    pelton_result result = test_runner(host);
    if (result == PELTON_OK)
        result = pelton_runner_process(host->runner, spans, spans_count, count,
                                       (pelton_bytes){payload.bytes, payload.length}, output);
    free(payload.bytes);
    free(spans);
    return result;
}

/* Notes what was rejected, and takes it out of what is left. */
static uint32_t test_without_rejected(pelton_host *host, const pelton_output *output, uint32_t *left, uint32_t count) {
    uint32_t kept = 0;
    size_t next = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (next < output->rejected_count && output->rejected[next].index == i) {
            const pelton_rejection *rejection = &output->rejected[next++];
            test_format(&host->rejected, "%u %.*s: %.*s\n", left[i], PELTON_ARG(rejection->code), PELTON_ARG(rejection->message));
        } else {
            left[kept++] = left[i];
        }
    }
    return kept;
}

static pelton_result test_run(pelton_host *host) {
    uint32_t count = (uint32_t)host->waiting_count, *left = (uint32_t *)test_alloc(count * sizeof(uint32_t));
    for (uint32_t i = 0; i < count; i++) left[i] = i;
    pelton_output output = {0};
    pelton_result result;
    for (;;) {
        test_copy_state(&host->working, &host->state);
        result = test_attempt(host, left, count, &output);
        if (result != PELTON_OK || output.rejected_count == 0) break;
        count = test_without_rejected(host, &output, left, count);
    }
    const char *mistake = NULL;
    if (result == PELTON_OK) {
        pelton_reader reader = {output.payload.ptr, output.payload.ptr + output.payload.len};
        uint32_t rows;
        if (!pelton_read_array(&reader, &rows) || rows != output.count) abort();
        while (rows-- > 0 && test_take_row(&reader, host->tables, left, &host->rows, true, &mistake)) {}
    }
    free(left);
    if (mistake == NULL) return result;
    return pelton_fatal("column `%s` is unchanged in an insert: there is nothing to leave as it is", mistake);
}

static void test_enter(pelton_host *host) {
    test_current = host;
    test_clear(&host->rows);
    test_clear(&host->error);
    test_clear(&host->rejected);
    test_clear(&host->logs);
    host->state_reads = 0;
}

const char *pelton_run(pelton_host *host) {
    host->xid++;
    test_enter(host);
    const pelton_result result = test_run(host);
    if (result == PELTON_OK) test_copy_state(&host->state, &host->working);
    else if (result == PELTON_RETRY)
        test_format(&host->error, "retry after %u ms: %.*s", pelton_failed.after_ms, PELTON_ARG(pelton_failed.message));
    else test_format(&host->error, "fatal: %.*s", PELTON_ARG(pelton_failed.message));
    if (result != PELTON_RETRY) {
        while (host->waiting_count > 0) free((void *)(uintptr_t)host->waiting[--host->waiting_count].bytes.ptr);
    }
    pelton_arena_reset(&pelton_batch_arena);
    return result == PELTON_OK ? host->rows.text : NULL;
}

const char *pelton_error_of(const pelton_host *host) { return host->error.text; }
const char *pelton_rejected(const pelton_host *host) { return host->rejected.text; }
const char *pelton_logs(const pelton_host *host) { return host->logs.text; }
size_t pelton_state_reads(const pelton_host *host) { return host->state_reads; }
size_t pelton_state_len(const pelton_host *host) { return host->state.count; }

const char *pelton__table(pelton_host *host, const pelton_schema *schema) {
    test_clear(&host->table);
    for (size_t i = 0; i < host->tables_count; i++) {
        const pelton_schema *other = host->tables[i].schema;
        if (strcmp(other->name, schema->name) == 0 && other->major == schema->major) test_say_table(&host->table, &host->tables[i]);
    }
    return host->table.text;
}

void pelton_state_begin(pelton_host *host) {
    test_enter(host);
    test_copy_state(&host->working, &host->state);
    pelton_state_open();
}

void pelton_state_end(pelton_host *host) {
    if (pelton_state_flush() != PELTON_OK) abort();
    pelton_state_close();
    test_copy_state(&host->state, &host->working);
}

void pelton__expect(const char *file, int line, const char *found, const char *expected) {
    if (found != NULL && strcmp(found, expected) == 0) return;
    fprintf(stderr, "%s:%d: expected\n%s\nand found\n%s\n", file, line, expected,
            found != NULL ? found : test_current != NULL ? test_current->error.text : "nothing");
    abort();
}
