// Labels for orders, in C++ and without an SDK: all that it uses is what wit-bindgen makes of wit/transform.wit.
//
// `public.orders (id bigint, customer text, is_test boolean)` becomes `labels (id bigint, label text)`; test orders do not.
// What the host hands over is freed here, what is handed back is freed by the bindings: so all of it is malloc'd.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/typed_transformer.h"

using String = typed_transformer_string_t;
using Column = pelton_transform_types_column_t;
using Relation = pelton_transform_types_relation_t;
using Value = pelton_transform_types_value_t;
using Values = pelton_transform_types_list_value_t;
using Change = pelton_transform_types_change_t;
using Row = pelton_transform_types_row_t;
using Error = pelton_transform_types_error_t;

template <typename T> static T *many(size_t count) {
    T *items = static_cast<T *>(calloc(count == 0 ? 1 : count, sizeof(T)));
    if (items == nullptr) abort();
    return items;
}

static String text(const char *letters, size_t length) {
    uint8_t *copy = many<uint8_t>(length);
    memcpy(copy, letters, length);
    return {copy, length};
}
static String text(const char *letters) { return text(letters, strlen(letters)); }
static bool is(const String &a, const char *b) { return a.len == strlen(b) && memcmp(a.ptr, b, a.len) == 0; }

static bool fatal(Error *error, const char *message) {
    error->tag = PELTON_TRANSFORM_TYPES_ERROR_FATAL;
    error->val.fatal = text(message);
    return false;
}

// --- What the transform is ---

static Column column(const char *name, uint8_t kind, bool key) {
    Column made = {};
    made.name = text(name);
    made.kind.tag = kind;
    made.type_modifier = -1;
    made.key = key;
    return made;
}

bool exports_pelton_transform_lifecycle_describe(exports_pelton_transform_lifecycle_descriptor_t *self, Error *) {
    *self = {};
    self->name = text("labels");
    self->version = text("1.0.0");
    self->encoding = PELTON_TRANSFORM_TYPES_ENCODING_TYPED;
    self->state_version = 1;
    self->subscriptions = {many<pelton_transform_types_subscription_t>(1), 1};
    auto &orders = self->subscriptions.ptr[0];
    orders.schema = text("public");
    orders.table = text("orders");
    orders.columns = {many<String>(3), 3};
    const char *const names[] = {"id", "customer", "is_test"};
    for (size_t i = 0; i < 3; i++) orders.columns.ptr[i] = text(names[i]);
    self->public_schemas = {many<pelton_transform_types_public_schema_t>(1), 1};
    auto &labels = self->public_schemas.ptr[0];
    labels.name = text("labels");
    labels.major = 1;
    labels.columns = {many<Column>(2), 2};
    labels.columns.ptr[0] = column("id", PELTON_TRANSFORM_TYPES_KIND_INT64, true);
    labels.columns.ptr[1] = column("label", PELTON_TRANSFORM_TYPES_KIND_TEXT, false);
    return true;
}

// --- Where its columns are: they come in catalog order, and that changes with the table ---

static struct { size_t id, customer, is_test; } at;

static bool find(const Relation &relation, const char *name, uint8_t kind, size_t *place) {
    for (*place = 0; *place < relation.columns.len; ++*place) {
        const Column &found = relation.columns.ptr[*place];
        if (is(found.name, name)) return found.kind.tag == kind;
    }
    return false;
}

static bool take(const Relation &relation, Error *error) {
    if (find(relation, "id", PELTON_TRANSFORM_TYPES_KIND_INT64, &at.id) &&
        find(relation, "customer", PELTON_TRANSFORM_TYPES_KIND_TEXT, &at.customer) &&
        find(relation, "is_test", PELTON_TRANSFORM_TYPES_KIND_BOOL, &at.is_test))
        return true;
    return fatal(error, "table public.orders has no columns id bigint, customer text and is_test boolean any more");
}

bool exports_pelton_transform_lifecycle_init(exports_pelton_transform_lifecycle_context_t *context, Error *error) {
    bool taken = true;
    for (size_t i = 0; taken && i < context->relations.len; i++) taken = take(context->relations.ptr[i], error);
    pelton_transform_types_context_free(context);
    return taken;
}

bool exports_pelton_transform_lifecycle_relation_changed(Relation *relation, Error *error) {
    const bool taken = take(*relation, error);
    pelton_transform_types_relation_free(relation);
    return taken;
}

// --- What it does ---

static Values key_of(const Value &id) {
    Value *key = many<Value>(1);
    *key = id;
    return {key, 1};
}

static Value label_of(const String &customer, int64_t id) {
    char number[24], *digits = number + sizeof(number);
    uint64_t size = id < 0 ? -static_cast<uint64_t>(id) : static_cast<uint64_t>(id);
    do *--digits = static_cast<char>('0' + size % 10);
    while ((size /= 10) > 0);
    if (id < 0) *--digits = '-';
    const size_t length = static_cast<size_t>(number + sizeof(number) - digits);
    char *letters = many<char>(customer.len + 2 + length);
    memcpy(letters, customer.ptr, customer.len);
    memcpy(letters + customer.len, " #", 2);
    memcpy(letters + customer.len + 2, digits, length);
    Value label = {};
    label.tag = PELTON_TRANSFORM_TYPES_VALUE_TEXT;
    label.val.text = {reinterpret_cast<uint8_t *>(letters), customer.len + 2 + length};
    return label;
}

// Makes the row of a change; false for none, or for a change that it can't be made of.
static bool transform(const Change &change, Row *row, const char **rejected) {
    row->op = change.op;
    if (change.op == PELTON_TRANSFORM_TYPES_OP_TRUNCATE) return true;
    const bool is_new = change.new_.len > 0, is_old = change.old.len > 0;
    if (!is_new && !is_old) {
        *rejected = "a delete came without its old row";
        return false;
    }
    const Value &id = is_new ? change.new_.ptr[at.id] : change.old.ptr[at.id];
    const Value &before = is_old ? change.old.ptr[at.id] : id;
    if (is_new && change.new_.ptr[at.is_test].val.bool_) {
        // It may have been published before it became a test: a delete too many does no harm.
        if (change.op == PELTON_TRANSFORM_TYPES_OP_INSERT) return false;
        row->op = PELTON_TRANSFORM_TYPES_OP_DELETE;
    }
    row->values = {many<Value>(2), 2};
    row->values.ptr[0] = row->op == PELTON_TRANSFORM_TYPES_OP_DELETE ? before : id;
    row->values.ptr[1].tag = PELTON_TRANSFORM_TYPES_VALUE_UNCHANGED;
    if (row->op == PELTON_TRANSFORM_TYPES_OP_DELETE) return true;
    const Value &customer = change.new_.ptr[at.customer];
    if (customer.tag == PELTON_TRANSFORM_TYPES_VALUE_TEXT) row->values.ptr[1] = label_of(customer.val.text, id.val.int_);
    else if (customer.tag == PELTON_TRANSFORM_TYPES_VALUE_NULL) *rejected = "column `customer` is NULL";
    if (before.val.int_ != id.val.int_) {
        row->old_key = key_of(before);
        if (customer.tag == PELTON_TRANSFORM_TYPES_VALUE_UNCHANGED) *rejected = "column `customer` was not sent";
    }
    return *rejected == nullptr;
}

bool exports_pelton_transform_typed_process(exports_pelton_transform_typed_batch_t *batch,
                                            exports_pelton_transform_typed_output_t *output, Error *) {
    const size_t count = batch->changes.len;
    *output = {{many<Row>(count), 0}, {many<pelton_transform_types_rejection_t>(count), 0}};
    for (size_t i = 0; i < count; i++) {
        Row row = {};
        const char *rejected = nullptr;
        row.source = static_cast<uint32_t>(i);
        if (transform(batch->changes.ptr[i], &row, &rejected)) {
            output->rows.ptr[output->rows.len++] = row;
        } else {
            pelton_transform_types_row_free(&row);
            if (rejected != nullptr)
                output->rejected.ptr[output->rejected.len++] = {static_cast<uint32_t>(i), text("orders"), text(rejected)};
        }
    }
    exports_pelton_transform_typed_batch_free(batch);
    return true;
}
