/* Bytes that are no batch, no state and no text end in an error, and never beyond their end: each case lies in memory of
 * its own size, where the sanitizers see one byte too far. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"

#include "../src/internal.h"

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint32_t number_below(uint32_t limit) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % limit;
}

static pelton_runner *runner;

static pelton_result process(const uint8_t *bytes, size_t length) {
    uint8_t *exact = (uint8_t *)malloc(length == 0 ? 1 : length);
    if (length > 0) memcpy(exact, bytes, length);
    const pelton_span span = {.xid = 7, .count = 2, .complete = true};
    pelton_output output;
    const pelton_result result = pelton_runner_process(runner, &span, 1, 2, (pelton_bytes){exact, length}, &output);
    free(exact);
    pelton_arena_reset(&pelton_batch_arena);
    return result;
}

static void batches(void) {
    const pelton_column columns[] = {
        {PELTON_TEXT("id"), {PELTON_KIND_INT64, PELTON_TEXT("")}, false, true},
        {PELTON_TEXT("title"), {PELTON_KIND_TEXT, PELTON_TEXT("")}, true, false},
        {PELTON_TEXT("size"), {PELTON_KIND_INT32, PELTON_TEXT("")}, true, false},
        {PELTON_TEXT("body"), {PELTON_KIND_TEXT, PELTON_TEXT("")}, true, false},
        {PELTON_TEXT("hidden"), {PELTON_KIND_BOOL, PELTON_TEXT("")}, true, false},
    };
    const pelton_relation relation = {0, PELTON_TEXT("shop"), PELTON_TEXT("items"), PELTON_FULL, columns, 5};
    const pelton_start start = {NULL, 0, &relation, 1, 0, 1};
    pelton_expect_true(pelton_runner_start(&items_transform, &start, &runner) == PELTON_OK);
    static const char valid[] = "\x92\x94\x00\x00\x95\x05\xa1T\x07\xa1" "B\xc2\xc0"
                                "\x94\x01\x00\x95\x05\xd9\x01T\xcd\x01\x00\xd4\x01\x00\xc2\x95\x05\xa1T\xc0\xa1" "B\xc3";
    const size_t length = sizeof(valid) - 1;
    pelton_expect_true(process((const uint8_t *)valid, length) == PELTON_OK);
    for (size_t cut = 0; cut < length; cut++) pelton_expect_true(process((const uint8_t *)valid, cut) == PELTON_FATAL);
    uint8_t broken[sizeof(valid)];
    for (int round = 0; round < 30000; round++) {
        memcpy(broken, valid, length);
        for (uint32_t times = 1 + number_below(4); times > 0; times--) broken[number_below((uint32_t)length)] = (uint8_t)number_below(256);
        process(broken, length - (number_below(4) == 0 ? number_below((uint32_t)length) : 0));
    }
    pelton_span span = {.count = UINT32_MAX};
    pelton_output output;
    pelton_expect_true(pelton_runner_process(runner, &span, 1, 2, (pelton_bytes){(const uint8_t *)valid, length}, &output) == PELTON_FATAL);
    pelton_expect_true(strstr(pelton_text_string(pelton_failed.message), "spans") != NULL);
    pelton_runner_end(runner);
}

/* Every marker with too little behind it: what is read is also stepped over, to the same place. */
static void markers(void) {
    for (unsigned marker = 0; marker < 256; marker++) {
        for (size_t behind = 0; behind < 12; behind++) {
            uint8_t *bytes = (uint8_t *)malloc(behind + 1);
            memset(bytes, 0xff, behind + 1);
            bytes[0] = (uint8_t)marker;
            pelton_reader value = {bytes, bytes + behind + 1}, skip = value, other = value;
            pelton_raw raw;
            uint32_t number;
            if (pelton_read_value(&value, &raw)) pelton_expect_true(pelton_skip_value(&skip) && skip.at == value.at);
            (void)pelton_read_array(&other, &number);
            other.at = bytes;
            (void)pelton_read_index(&other, &number);
            other.at = bytes;
            (void)pelton_skip_row(&other);
            free(bytes);
        }
    }
    const uint8_t other_extension[] = {0xd4, 2, 0};
    pelton_reader reader = {other_extension, other_extension + 3};
    pelton_raw raw;
    pelton_expect_true(!pelton_read_value(&reader, &raw));
}

static void texts(void) {
    static const char *const seeds[] = {"{\"a\\u00e4\":[1,{\"b\":null},\"x\\\"y\"],\"name\":\"n\"}", "{1,NULL,\"a\\\"b\",c}", "[0:1]={a,b}",
                                        "-12.50", "2024-07-01 12:34:56.789+05:30 BC", "1 year -2 mons 3 days -04:05:06.7",
                                        "00000000-0000-0001-0000-0000000000ff"};
    for (int round = 0; round < 20000; round++) {
        const char *from = seeds[number_below(7)];
        const size_t length = strlen(from) - number_below(3);
        char *exact = (char *)malloc(length);
        memcpy(exact, from, length);
        for (uint32_t times = number_below(3); times > 0; times--) exact[number_below((uint32_t)length)] = (char)number_below(256);
        const pelton_text text = {exact, length};
        pelton_moment moment;
        pelton_parts parts;
        pelton_int128 units;
        pelton_uint128 bits;
        pelton_list_text elements;
        int64_t number;
        double nearest;
        pelton_text item, name;
        pelton_date_unix_days((pelton_date){text}, &moment);
        pelton_timestamp_micros((pelton_timestamp){text}, &moment);
        pelton_timestamptz_unix_micros((pelton_timestamptz){text}, &moment);
        pelton_time_micros((pelton_time){text}, &number);
        pelton_interval_parts((pelton_interval){text}, &parts);
        pelton_numeric_scaled((pelton_numeric){text}, 6, &units);
        pelton_numeric_to_double((pelton_numeric){text}, &nearest);
        pelton_uuid_bits((pelton_uuid){text}, &bits);
        pelton_array_elements((pelton_array){text}, &elements, NULL);
        for (size_t at = 0; pelton_json_next(text, &at, &name, &item);) pelton_json_string(item, &name);
        pelton_json_member(text, "name", &item);
        pelton_text_is_utf8(text);
        free(exact);
        pelton_arena_reset(&pelton_batch_arena);
    }
}

int main(void) {
    markers();
    batches();
    texts();
    return 0;
}
