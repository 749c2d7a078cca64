/* A transform that runs: one instance, and the loop that hands it its changes. */

#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct pelton_runner {
    const pelton_transform *transform;
    void *settings;
    pelton_out out;
    pelton_rows rows;
    /* By the relation's id: where its columns go; NULL for one that no function takes. */
    pelton_plan **plans;
    size_t plans_count;
    pelton_rejection *rejected;
    size_t rejected_count, rejected_capacity;
};

/* Settings of the instance at work. There is one, but in a test. */
static const void *pelton_current_settings;

const void *pelton_settings(void) { return pelton_current_settings; }

bool pelton_is_stateful(const pelton_transform *transform) {
    return transform->stateful || transform->state_version > 0;
}

pelton_result pelton_check(const pelton_transform *transform) {
    if (transform->tables[0] == NULL || transform->publishes[0] == NULL)
        return pelton_fatal("the transform takes no table or publishes nothing; give it .tables and .publishes");
    if (transform->parallel && transform->whole_transactions)
        return pelton_fatal("`parallel` and `whole_transactions` exclude each other: parallel instances see parts of a "
                            "transaction");
    if (transform->end_of_transaction != NULL && !transform->whole_transactions)
        return pelton_fatal("`end_of_transaction` needs `whole_transactions`: a large transaction comes in pieces otherwise, "
                            "and the last of them may have no change that the transform takes");
    for (size_t i = 0; i < 64 && transform->tables[i] != NULL; i++) {
        const pelton_source *source = transform->tables[i]->source();
        pelton_text schema, name, other_schema, other_name;
        pelton_source_names(source, &schema, &name);
        for (size_t k = 0; k < i; k++) {
            pelton_source_names(transform->tables[k]->source(), &other_schema, &other_name);
            if (pelton_text_equal(schema, other_schema) && pelton_text_equal(name, other_name))
                return pelton_fatal("two functions take the changes of table %s; make it one", pelton_source_words(source));
        }
        for (size_t k = 0; k < source->fields_count; k++)
            if (pelton_types[source->fields[k].type].accepts == 0 || source->fields[k].role == PELTON__ROLE_list)
                return pelton_fatal("field `%s` of table %s is of a type of the state alone", source->fields[k].field,
                                    pelton_source_words(source));
    }
    for (size_t i = 0; i < 64 && transform->publishes[i] != NULL; i++) {
        const pelton_schema *schema = transform->publishes[i]();
        for (size_t k = 0; k < i; k++) {
            const pelton_schema *other = transform->publishes[k]();
            if (strcmp(schema->name, other->name) == 0 && schema->major == other->major)
                return pelton_fatal("public schema `%s` %u is declared twice", schema->name, schema->major);
        }
        for (size_t k = 0; k < schema->fields_count; k++)
            if (pelton_types[schema->fields[k].type].accepts == 0 || schema->fields[k].role == PELTON__ROLE_list)
                return pelton_fatal("field `%s` of public schema `%s` is of a type of the state alone",
                                    schema->fields[k].field, schema->name);
    }
    return PELTON_OK;
}

pelton_result pelton_runner_start(const pelton_transform *transform, const pelton_start *start, pelton_runner **started) {
    pelton_runner *runner = (pelton_runner *)pelton_must(calloc(1, sizeof(pelton_runner)));
    *started = runner;
    runner->transform = transform;
    runner->out.transform = transform;
    size_t largest = 1;
    for (size_t i = 0; i < 64 && transform->tables[i] != NULL; i++) {
        const size_t size = transform->tables[i]->source()->row_size;
        if (size > largest) largest = size;
    }
    runner->rows = (pelton_rows){pelton_must(calloc(1, largest)), pelton_must(calloc(1, largest))};
    while (runner->out.schemas_count < 64 && transform->publishes[runner->out.schemas_count] != NULL) {
        runner->out.schemas[runner->out.schemas_count] = transform->publishes[runner->out.schemas_count]();
        runner->out.schemas_count++;
    }
    if (transform->settings != NULL) PELTON_TRY(pelton_settings_read(transform->settings(), start, &runner->settings));
    pelton_current_settings = runner->settings;
    if (transform->init != NULL) {
        const pelton_context context = {start->instance, start->instances};
        PELTON_TRY(transform->init(&context));
    }
    for (size_t i = 0; i < start->relations_count; i++) PELTON_TRY(pelton_runner_relation(runner, &start->relations[i]));
    return PELTON_OK;
}

void pelton_runner_end(pelton_runner *runner) {
    if (runner == NULL) return;
    for (size_t i = 0; i < runner->plans_count; i++) free(runner->plans[i]);
    free(runner->plans);
    free(runner->settings);
    free(runner->rows.new_row);
    free(runner->rows.old_row);
    free(runner->out.rows.bytes);
    free(runner->rejected);
    free(runner);
}

pelton_result pelton_runner_relation(pelton_runner *runner, const pelton_relation *relation) {
    /* Ids are dense; one beyond this is a mistake that would only fill the memory. */
    if (relation->id >= 1u << 20)
        return pelton_fatal("the host numbers a relation %u; ids must be dense", relation->id);
    if (relation->columns_count >= PELTON_UNUSED) return pelton_malformed();
    if (relation->id >= runner->plans_count) {
        const size_t count = (size_t)relation->id + 1;
        runner->plans = (pelton_plan **)pelton_must(realloc(runner->plans, count * sizeof(pelton_plan *)));
        for (size_t i = runner->plans_count; i < count; i++) runner->plans[i] = NULL;
        runner->plans_count = count;
    }
    pelton_plan *plan = NULL;
    pelton_result result = PELTON_OK;
    for (size_t i = 0; i < 64 && runner->transform->tables[i] != NULL; i++) {
        pelton_text schema, name;
        pelton_source_names(runner->transform->tables[i]->source(), &schema, &name);
        if (!pelton_text_equal(schema, relation->schema) || !pelton_text_equal(name, relation->name)) continue;
        result = pelton_plan_of(runner->transform->tables[i], relation, &plan);
        break;
    }
    if (result != PELTON_OK) {
        free(plan);
        return result;
    }
    free(runner->plans[relation->id]);
    runner->plans[relation->id] = plan;
    return PELTON_OK;
}

/* Reads what stands before a change's rows. */
static inline pelton_result pelton_read_head(const pelton_runner *runner, pelton_reader *reader, pelton_op *op,
                                             const pelton_plan **plan) {
    uint32_t parts, index, id;
    if (!pelton_read_array(reader, &parts)) return pelton_malformed();
    if (parts != 4) return pelton_fatal("a change of the host's batch does not have its four parts");
    if (!pelton_read_index(reader, &index)) return pelton_malformed();
    if (index > PELTON_TRUNCATE) return pelton_fatal("the host sent the unknown operation %u", index);
    if (!pelton_read_index(reader, &id)) return pelton_malformed();
    *op = (pelton_op)index;
    *plan = id < runner->plans_count ? runner->plans[id] : NULL;
    if (*plan == NULL)
        return pelton_fatal("the host sent a change of relation %u, which it has not announced or which is not subscribed", id);
    return PELTON_OK;
}

/* Reads the state that the batch's changes will need. What can't be read of a change is reported when it is transformed. */
static pelton_result pelton_read_ahead(pelton_runner *runner, pelton_reader reader, uint32_t count) {
    pelton_ahead ahead = {0};
    for (uint32_t i = 0; i < count; i++) {
        pelton_op op;
        const pelton_plan *plan;
        PELTON_TRY(pelton_read_head(runner, &reader, &op, &plan));
        if (plan->table->ahead != NULL) {
            pelton_reader peek = reader;
            pelton_change change;
            if (pelton_read_change(plan, op, &peek, runner->rows, &change) == PELTON_OK) plan->table->ahead(&change, &ahead);
        }
        if (!pelton_skip_row(&reader) || !pelton_skip_row(&reader)) return pelton_malformed();
    }
    return pelton_fetch(ahead.entries, ahead.count);
}

static void pelton_note_rejection(pelton_runner *runner, uint32_t index) {
    /* The end of a transaction speaks for its last change, which may have been rejected already. */
    if (runner->rejected_count > 0 && runner->rejected[runner->rejected_count - 1].index == index) return;
    if (runner->rejected_count == runner->rejected_capacity) {
        runner->rejected_capacity = runner->rejected_capacity == 0 ? 16 : runner->rejected_capacity * 2;
        const size_t size = runner->rejected_capacity * sizeof(pelton_rejection);
        runner->rejected = (pelton_rejection *)pelton_must(realloc(runner->rejected, size));
    }
    runner->rejected[runner->rejected_count++] = (pelton_rejection){index, pelton_failed.code, pelton_failed.message};
}

/* Ends a function's call: a rejected change leaves no rows behind. */
static inline pelton_result pelton_settle(pelton_runner *runner, pelton_result done, size_t length, uint32_t rows) {
    pelton_out *out = &runner->out;
    if (PELTON_UNLIKELY(out->mistaken)) {
        out->mistaken = false;
        pelton_failed = out->mistake;
        return PELTON_FATAL;
    }
    if (done <= PELTON_NONE) return PELTON_OK;
    if (done != PELTON_REJECTED) return done;
    out->rows.length = length;
    out->count = rows;
    pelton_note_rejection(runner, out->source);
    return PELTON_OK;
}

/* Hands one change to its function. */
static inline pelton_result pelton_run_change(pelton_runner *runner, pelton_reader *reader) {
    pelton_op op;
    const pelton_plan *plan;
    PELTON_TRY(pelton_read_head(runner, reader, &op, &plan));
    pelton_out *out = &runner->out;
    const pelton_reader start = *reader;
    const size_t length = out->rows.length;
    const uint32_t rows = out->count;
    pelton_change change;
    pelton_result done = pelton_read_change(plan, op, reader, runner->rows, &change);
    if (done == PELTON_OK) done = plan->table->run(&change, out);
    else if (done == PELTON_REJECTED) {
        /* It may have ended anywhere inside of the change. */
        *reader = start;
        if (!pelton_skip_row(reader) || !pelton_skip_row(reader)) return pelton_malformed();
    }
    return pelton_settle(runner, done, length, rows);
}

static pelton_result pelton_run_spans(pelton_runner *runner, const pelton_span *spans, size_t spans_count, uint32_t count,
                                      pelton_reader *reader) {
    pelton_out *out = &runner->out;
    uint32_t index = 0;
    for (size_t i = 0; i < spans_count; i++) {
        const pelton_span *span = &spans[i];
        if (span->first != index || count - index < span->count)
            return pelton_fatal("the spans of the host's batch do not cover its changes");
        out->span = span;
        for (const uint32_t end = index + span->count; index < end; index++) {
            out->source = index;
            PELTON_TRY(pelton_run_change(runner, reader));
        }
        if (span->complete && span->count > 0 && runner->transform->end_of_transaction != NULL) {
            const size_t length = out->rows.length;
            const uint32_t rows = out->count;
            const pelton_result done = runner->transform->end_of_transaction(out);
            PELTON_TRY(pelton_settle(runner, done, length, rows));
        }
    }
    if (index != count || reader->at != reader->end)
        return pelton_fatal("the host's batch has bytes or changes beyond its end");
    return PELTON_OK;
}

static pelton_result pelton_run_batch(pelton_runner *runner, const pelton_span *spans, size_t spans_count, uint32_t count,
                                      pelton_bytes payload) {
    pelton_reader reader = {payload.ptr, payload.ptr + payload.len};
    uint32_t changes;
    if (!pelton_read_array(&reader, &changes)) return pelton_malformed();
    if (changes != count) return pelton_fatal("the host's batch holds another number of changes than it says");
    for (size_t i = 0; i < 64 && runner->transform->tables[i] != NULL; i++) {
        if (runner->transform->tables[i]->ahead == NULL) continue;
        PELTON_TRY(pelton_read_ahead(runner, reader, count));
        break;
    }
    PELTON_TRY(pelton_run_spans(runner, spans, spans_count, count, &reader));
    return pelton_state_flush();
}

pelton_result pelton_runner_process(pelton_runner *runner, const pelton_span *spans, size_t spans_count, uint32_t count,
                                    pelton_bytes payload, pelton_output *output) {
    pelton_out *out = &runner->out;
    const size_t usual = payload.len + payload.len / 4 + PELTON_HEAD;
    pelton_current_settings = runner->settings;
    out->rows.length = 0;
    if (out->rows.capacity < usual) pelton_buffer_grow(&out->rows, usual);
    pelton_buffer_room(&out->rows, PELTON_HEAD);
    out->count = 0;
    out->mistaken = false;
    runner->rejected_count = 0;
    pelton_state_open();
    const pelton_result result = pelton_run_batch(runner, spans, spans_count, count, payload);
    pelton_state_close();
    if (result != PELTON_OK) return result;
    out->rows.bytes[0] = 0xdd;
    for (size_t i = 0; i < 4; i++) out->rows.bytes[1 + i] = (uint8_t)(out->count >> (24 - 8 * i));
    *output = (pelton_output){out->count, {out->rows.bytes, out->rows.length}, runner->rejected, runner->rejected_count};
    return PELTON_OK;
}
