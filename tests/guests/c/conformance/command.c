/* What a logical message tells the transform to do. */

#include "kinds.h"

#define NAME(X) X(plain, text, name)
#define TIMES(X) X(plain, bigint, n)
PELTON_STATE(count, "counts", NAME, TIMES)

static pelton_result unknown(void) { return pelton_reject("unknown-command", "there is no such command"); }

static pelton_result count_name(pelton_text name, pelton_out *out) {
    const options *options = pelton_settings();
    const count_key key = {name};
    const count *before;
    PELTON_TRY(count_get(&key, &before));
    const count now = {before == NULL ? 1 : before->n + 1};
    PELTON_TRY(count_put(&key, &now));
    if (now.n > options->limit)
        return pelton_reject("too-many", "a name was counted %lld times already", (long long)options->limit);
    const counted row = {name, now.n};
    if (before == NULL) counted_insert(out, &row);
    else counted_update(out, &row);
    return PELTON_OK;
}

/* What `list` hands to each entry. */
typedef struct listing {
    pelton_text prefix;
    pelton_out *out;
} listing;

static pelton_result list_one(const count_key *key, const count *value, void *context) {
    const listing *listing = context;
    if (pelton_text_starts_with(key->name, listing->prefix)) counted_update(listing->out, &(counted){key->name, value->n});
    return PELTON_OK;
}

static pelton_result retry(pelton_text after) {
    int64_t after_ms;
    if (!pelton_text_to_bigint(after, &after_ms) || after_ms < 0 || after_ms > UINT32_MAX) return unknown();
    return pelton_retry((uint32_t)after_ms, "told to wait");
}

static pelton_result log_it(bool transactional) {
    const options *options = pelton_settings();
    const pelton_text label = options->label.is == PELTON_VALUE ? options->label.value : PELTON_TEXT("none");
    pelton_log(PELTON_INFO,
               PELTON_FIELDS({"label", label}, {"transactional", transactional ? PELTON_TEXT("true") : PELTON_TEXT("false")}),
               "%.*s, told to log", PELTON_ARG(options->greeting));
    return PELTON_OK;
}

pelton_result obey(pelton_text command, bool transactional, pelton_out *out) {
    const ptrdiff_t space = pelton_text_find(command, ' ');
    const pelton_text word = space < 0 ? command : pelton_text_until(command, (size_t)space);
    const pelton_text rest = space < 0 ? PELTON_TEXT("") : pelton_text_from(command, (size_t)space + 1);
    if (pelton_text_is(word, "count")) return count_name(rest, out);
    if (pelton_text_is(word, "clear")) {
        PELTON_TRY(count_clear());
        counted_truncate(out);
        return PELTON_OK;
    }
    if (pelton_text_is(word, "list")) return count_for_each(list_one, &(listing){rest, out});
    if (pelton_text_is(word, "reject")) return pelton_reject(pelton_text_string(rest), "told to reject");
    if (pelton_text_is(word, "retry")) return retry(rest);
    if (pelton_text_is(word, "fatal")) return pelton_fatal("told to stop");
    if (pelton_text_is(word, "crash")) pelton_crash("told to crash");
    if (pelton_text_is(word, "log")) return log_it(transactional);
    return unknown();
}
