/* The component's imports and exports: the contract's records on one side, the SDK's on the other. Compiled for
 * WebAssembly alone. */

#include <string.h>

#include "internal.h"

#include "contract.h"

#define CONTRACT_IMPORT(interface, name)                                                                             \
    __attribute__((import_module("pelton:transform/" interface "@0.1.0"), import_name(name)))
#define CONTRACT_EXPORT(name) __attribute__((export_name(name)))

/* --- What the host does for us --- */

CONTRACT_IMPORT("host", "enabled") int32_t contract_enabled(int32_t level);
CONTRACT_IMPORT("host", "log")
void contract_log(int32_t level, const char *message, size_t length, const pelton_log_field *fields, size_t count);
CONTRACT_IMPORT("state", "get") void contract_get(const pelton_bytes *keys, size_t count, contract_result *result);
CONTRACT_IMPORT("state", "put") void contract_put(const contract_entry *entries, size_t count, contract_result *result);
CONTRACT_IMPORT("state", "scan")
void contract_scan(const uint8_t *prefix, size_t prefix_length, int32_t is_after, const uint8_t *after,
                   size_t after_length, uint32_t limit, contract_result *result);

bool pelton_host_enabled(pelton_level level) { return contract_enabled((int32_t)level) != 0; }

void pelton_host_log(pelton_level level, pelton_text message, const pelton_log_field *fields, size_t count) {
    pelton_pair pairs[16];
    if (count > 16) count = 16;
    for (size_t i = 0; i < count; i++) pairs[i] = (pelton_pair){pelton_text_of(fields[i].name), fields[i].value};
    contract_log((int32_t)level, message.ptr, message.len, (const pelton_log_field *)(const void *)pairs, count);
}

static pelton_result contract_error_in(const contract_result *result) {
    const contract_error *error = &result->error;
    if (!result->is_error) return PELTON_OK;
    if (error->tag == 0) return pelton_fail(PELTON_RETRY, "", error->retryable.after_ms, error->retryable.message);
    return pelton_fail(PELTON_FATAL, "", 0, error->tag == 1 ? error->rejected.message : error->fatal);
}

pelton_result pelton_host_get(pelton_state_entry *entries, size_t count) {
    pelton_bytes *keys = (pelton_bytes *)pelton_alloc(count * sizeof(pelton_bytes));
    for (size_t i = 0; i < count; i++) keys[i] = entries[i].key;
    contract_result result;
    contract_get(keys, count, &result);
    PELTON_TRY(contract_error_in(&result));
    if (result.list.count != count)
        return pelton_fatal("the host returned another number of state values than was asked for");
    const contract_value *values = (const contract_value *)result.list.items;
    for (size_t i = 0; i < count; i++) {
        entries[i].exists = values[i].is_there;
        entries[i].value = values[i].is_there ? values[i].bytes : (pelton_bytes){NULL, 0};
    }
    return PELTON_OK;
}

pelton_result pelton_host_put(const pelton_state_entry *entries, size_t count) {
    contract_entry *put = (contract_entry *)pelton_alloc(count * sizeof(contract_entry));
    for (size_t i = 0; i < count; i++) put[i] = (contract_entry){entries[i].key, {entries[i].exists, entries[i].value}};
    contract_result result;
    contract_put(put, count, &result);
    return contract_error_in(&result);
}

pelton_result pelton_host_scan(pelton_bytes prefix, const pelton_bytes *after, uint32_t limit,
                               pelton_state_entry **entries, size_t *count) {
    const pelton_bytes from = after == NULL ? (pelton_bytes){NULL, 0} : *after;
    contract_result result;
    contract_scan(prefix.ptr, prefix.len, after != NULL, from.ptr, from.len, limit, &result);
    PELTON_TRY(contract_error_in(&result));
    const contract_found *found = (const contract_found *)result.list.items;
    *count = result.list.count;
    *entries = (pelton_state_entry *)pelton_alloc(*count * sizeof(pelton_state_entry));
    for (size_t i = 0; i < *count; i++) (*entries)[i] = (pelton_state_entry){found[i].key, found[i].value, true};
    return PELTON_OK;
}

/* --- What the host calls --- */

static pelton_runner *contract_running;
static contract_result contract_returned;

static contract_result *contract_return(pelton_result result) {
    contract_returned.is_error = result != PELTON_OK;
    contract_error *error = &contract_returned.error;
    if (result == PELTON_RETRY) {
        error->tag = 0;
        error->retryable = (contract_retry){pelton_failed.message, pelton_failed.after_ms};
    } else if (result == PELTON_REJECTED) {
        /* Rejected changes stand in the output; outside of a batch there is none that could be rejected. */
        error->tag = 2;
        error->fatal = pelton_concat(pelton_failed.code, PELTON_TEXT(": "), pelton_failed.message);
    } else if (result != PELTON_OK) {
        error->tag = 2;
        error->fatal = pelton_failed.message;
    }
    return &contract_returned;
}

/* Memory for what the host hands over; it lives until the call's results have been read. */
CONTRACT_EXPORT("cabi_realloc") void *contract_realloc(void *old, size_t old_size, size_t align, size_t size);
void *contract_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)align; /* every allocation is aligned for everything */
    void *memory = pelton_arena_alloc(&pelton_batch_arena, size);
    if (old != NULL && old_size > 0) memcpy(memory, old, old_size < size ? old_size : size);
    return memory;
}

#define CONTRACT_CALL(interface, name) "pelton:transform/" interface "@0.1.0#" name

/* After each call, when its results have been read. */
#define CONTRACT_AFTER(interface, name, function)                                                                    \
    CONTRACT_EXPORT("cabi_post_" CONTRACT_CALL(interface, name)) void function(const contract_result *result);       \
    void function(const contract_result *result) {                                                                   \
        (void)result;                                                                                                \
        pelton_arena_reset(&pelton_batch_arena);                                                                     \
    }
CONTRACT_AFTER("lifecycle", "describe", contract_after_describe)
CONTRACT_AFTER("lifecycle", "init", contract_after_init)
CONTRACT_AFTER("lifecycle", "relation-changed", contract_after_relation_changed)
CONTRACT_AFTER("packed", "process", contract_after_process)

static contract_columns contract_public_columns(const pelton_schema *schema) {
    contract_column *columns = (contract_column *)pelton_alloc(schema->fields_count * sizeof(contract_column));
    for (size_t i = 0; i < schema->fields_count; i++) {
        const pelton_field *field = &schema->fields[i];
        const pelton_column_type type = pelton_field_kind(field);
        columns[i] = (contract_column){.name = pelton_text_of(pelton_field_name(field)),
                                       .kind = {(uint8_t)type.kind, type.name},
                                       .type_modifier = -1,
                                       .nullable = pelton_field_nullable(field),
                                       .key = field->role == PELTON__ROLE_key};
    }
    return (contract_columns){columns, schema->fields_count};
}

static contract_subscription contract_subscribed(const pelton_source *source) {
    contract_subscription subscription = {0};
    pelton_text *columns = (pelton_text *)pelton_alloc(source->fields_count * sizeof(pelton_text));
    uint8_t *ops = (uint8_t *)pelton_alloc(4);
    pelton_source_names(source, &subscription.schema, &subscription.table);
    for (size_t i = 0; i < source->fields_count; i++) columns[i] = pelton_text_of(pelton_field_name(&source->fields[i]));
    subscription.columns.items = columns;
    subscription.columns.count = source->fields_count;
    subscription.ops.items = ops;
    for (uint8_t op = PELTON_INSERT; op <= PELTON_TRUNCATE; op++)
        if (source->ops & 1u << op) ops[subscription.ops.count++] = op;
    return subscription;
}

static void contract_settings(contract_descriptor *descriptor, pelton_settings_fields settings) {
    contract_setting *all = (contract_setting *)pelton_alloc(settings.fields_count * sizeof(contract_setting));
    for (size_t i = 0; i < settings.fields_count; i++) {
        const pelton_field *field = &settings.fields[i];
        all[i].name = pelton_text_of(pelton_field_name(field));
        all[i].required = field->preset == NULL && !pelton_field_nullable(field);
        all[i].preset.is_there = field->preset != NULL;
        all[i].preset.value = pelton_text_of(field->preset);
        all[i].doc = pelton_text_of(field->doc);
    }
    descriptor->settings.items = all;
    descriptor->settings.count = settings.fields_count;
}

CONTRACT_EXPORT(CONTRACT_CALL("lifecycle", "describe")) contract_result *contract_describe(void);
contract_result *contract_describe(void) {
    static const pelton_pair sdk = {{"sdk", 3}, {"pelton-sdk-c " PELTON_SDK_VERSION, sizeof("pelton-sdk-c " PELTON_SDK_VERSION) - 1}};
    const pelton_transform *transform = &pelton_exported;
    const pelton_result checked = pelton_check(transform);
    if (checked != PELTON_OK) return contract_return(checked);
    size_t tables = 0, schemas = 0;
    contract_subscription *subscriptions = (contract_subscription *)pelton_alloc(64 * sizeof(contract_subscription));
    contract_public_schema *published = (contract_public_schema *)pelton_alloc(64 * sizeof(contract_public_schema));
    for (; tables < 64 && transform->tables[tables] != NULL; tables++)
        subscriptions[tables] = contract_subscribed(transform->tables[tables]->source());
    for (; schemas < 64 && transform->publishes[schemas] != NULL; schemas++) {
        const pelton_schema *schema = transform->publishes[schemas]();
        published[schemas] = (contract_public_schema){.name = pelton_text_of(schema->name),
                                                      .major = schema->major,
                                                      .minor = schema->minor,
                                                      .columns = contract_public_columns(schema)};
    }
    contract_returned = (contract_result){0};
    contract_descriptor *descriptor = &contract_returned.descriptor;
    descriptor->name = pelton_text_of(transform->name);
    descriptor->version = pelton_text_of(transform->version == NULL ? "0.0.0" : transform->version);
    descriptor->encoding = 0; /* MessagePack */
    descriptor->subscriptions.items = subscriptions;
    descriptor->subscriptions.count = tables;
    descriptor->public_schemas.items = published;
    descriptor->public_schemas.count = schemas;
    if (transform->settings != NULL) contract_settings(descriptor, transform->settings());
    descriptor->parallel = transform->parallel;
    descriptor->whole_transactions = transform->whole_transactions;
    descriptor->stateful = pelton_is_stateful(transform);
    descriptor->state_version = transform->state_version == 0 ? 1 : transform->state_version;
    descriptor->attrs = (contract_attrs){&sdk, 1};
    return &contract_returned;
}

static pelton_relation contract_relation_in(const contract_relation *relation) {
    pelton_column *columns = (pelton_column *)pelton_alloc(relation->columns.count * sizeof(pelton_column));
    for (size_t i = 0; i < relation->columns.count; i++) {
        const contract_column *column = &relation->columns.items[i];
        columns[i] = (pelton_column){column->name, {(pelton_kind)column->kind.tag, column->kind.name}, column->nullable, column->key};
    }
    return (pelton_relation){relation->id, relation->schema, relation->name, (pelton_identity)relation->identity,
                             columns, relation->columns.count};
}

CONTRACT_EXPORT(CONTRACT_CALL("lifecycle", "init"))
contract_result *contract_init(const pelton_pair *settings, size_t settings_count, const contract_relation *relations,
                               size_t relations_count, uint32_t instance, uint32_t instances, const pelton_pair *attrs,
                               size_t attrs_count);
contract_result *contract_init(const pelton_pair *settings, size_t settings_count, const contract_relation *relations,
                               size_t relations_count, uint32_t instance, uint32_t instances, const pelton_pair *attrs,
                               size_t attrs_count) {
    (void)attrs;
    (void)attrs_count;
    pelton_relation *taken = (pelton_relation *)pelton_alloc(relations_count * sizeof(pelton_relation));
    for (size_t i = 0; i < relations_count; i++) taken[i] = contract_relation_in(&relations[i]);
    const pelton_start start = {settings, settings_count, taken, relations_count, instance, instances};
    pelton_runner_end(contract_running);
    const pelton_result started = pelton_runner_start(&pelton_exported, &start, &contract_running);
    return contract_return(started);
}

static contract_result *contract_before_init(void) {
    return contract_return(pelton_fatal("the host calls the transform before init"));
}

CONTRACT_EXPORT(CONTRACT_CALL("lifecycle", "relation-changed"))
contract_result *contract_relation_changed(uint32_t id, uint32_t version, const char *schema, size_t schema_length,
                                           const char *name, size_t name_length, uint32_t identity,
                                           const contract_column *columns, size_t columns_count, const pelton_pair *attrs,
                                           size_t attrs_count);
contract_result *contract_relation_changed(uint32_t id, uint32_t version, const char *schema, size_t schema_length,
                                           const char *name, size_t name_length, uint32_t identity,
                                           const contract_column *columns, size_t columns_count, const pelton_pair *attrs,
                                           size_t attrs_count) {
    if (contract_running == NULL) return contract_before_init();
    const contract_relation flat = {.id = id,
                                    .version = version,
                                    .schema = {schema, schema_length},
                                    .name = {name, name_length},
                                    .identity = (uint8_t)identity,
                                    .columns = {columns, columns_count},
                                    .attrs = {attrs, attrs_count}};
    const pelton_relation relation = contract_relation_in(&flat);
    return contract_return(pelton_runner_relation(contract_running, &relation));
}

CONTRACT_EXPORT(CONTRACT_CALL("packed", "process"))
contract_result *contract_process(uint64_t id, const contract_span *spans, size_t spans_count, uint32_t count,
                                  const uint8_t *payload, size_t payload_length);
contract_result *contract_process(uint64_t id, const contract_span *spans, size_t spans_count, uint32_t count,
                                  const uint8_t *payload, size_t payload_length) {
    (void)id;
    if (contract_running == NULL) return contract_before_init();
    pelton_span *taken = (pelton_span *)pelton_alloc(spans_count * sizeof(pelton_span));
    for (size_t i = 0; i < spans_count; i++) {
        const contract_span *span = &spans[i];
        taken[i] = (pelton_span){span->xid, span->epoch, span->commit_lsn, span->commit_time,
                                 (pelton_phase)span->phase, span->first, span->count, span->complete};
    }
    pelton_output output;
    const pelton_bytes bytes = {payload, payload_length};
    const pelton_result result = pelton_runner_process(contract_running, taken, spans_count, count, bytes, &output);
    if (result != PELTON_OK) return contract_return(result);
    contract_returned.is_error = 0;
    contract_returned.output.count = output.count;
    contract_returned.output.payload = output.payload;
    contract_returned.output.rejected.items = output.rejected;
    contract_returned.output.rejected.count = output.rejected_count;
    return &contract_returned;
}
