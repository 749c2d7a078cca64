/* What is read from texts on demand: the cases are those of the Rust SDK. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../pelton_test.h"
#include "../src/internal.h"

static const char *said(pelton_text text) { return pelton_text_string(text); }

static void numerics_are_counted_exactly(void) {
    const struct { const char *text; int64_t units; } cases[] = {
        {"12.5", 1250}, {"-0.01", -1}, {"0", 0}, {"7", 700}, {".5", 50}, {"1.500", 150}, {"-3.", -300}};
    pelton_int128 units;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pelton_expect_true(pelton_numeric_scaled((pelton_numeric){pelton_text_of(cases[i].text)}, 2, &units) == PELTON_OK);
        pelton_expect_true(units == cases[i].units);
    }
    const struct { int64_t units; const char *text; } back[] = {{1250, "12.50"}, {-1, "-0.01"}, {0, "0.00"}, {-12345, "-123.45"}};
    for (size_t i = 0; i < 4; i++) pelton_expect(said(pelton_numeric_from_scaled(back[i].units, 2).text), back[i].text);
    pelton_expect(said(pelton_numeric_from_scaled(-5, 0).text), "-5");
    pelton_expect(said(pelton_numeric_from_scaled(5, 50).text), "0.00000000000000000000000000000000000000000000000005");
    const char *const large = "170141183460469231731687303715884105727";
    pelton_expect_true(pelton_numeric_scaled((pelton_numeric){pelton_text_of(large)}, 0, &units) == PELTON_OK);
    pelton_expect(said(pelton_numeric_from_scaled(units, 0).text), large);
    pelton_expect(said(pelton_numeric_from_scaled(-units - 1, 0).text), "-170141183460469231731687303715884105728");
    const char *const wrong[] = {"", ".", "1.005", "NaN", "-Infinity", "1e5", "--1", "1.2.3",
                                 "9999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        pelton_expect_true(pelton_numeric_scaled((pelton_numeric){pelton_text_of(wrong[i])}, 2, &units) == PELTON_REJECTED);
    double nearest;
    pelton_expect_true(pelton_numeric_to_double((pelton_numeric){PELTON_TEXT("-12.5")}, &nearest) == PELTON_OK && nearest == -12.5);
    pelton_expect_true(pelton_numeric_to_double((pelton_numeric){PELTON_TEXT("0x10")}, &nearest) == PELTON_REJECTED);
    pelton_expect_true(pelton_numeric_to_double((pelton_numeric){PELTON_TEXT("")}, &nearest) == PELTON_REJECTED);
}

static void dates_and_times_are_numbers(void) {
    pelton_moment moment;
    const struct { const char *text; int64_t days; } dates[] = {
        {"1970-01-01", 0}, {"1969-12-31", -1}, {"2000-02-29", 11016}, {"0001-01-01", -719162}, {"0001-12-31 BC", -719163},
        {"4714-11-24 BC", -2440588}, {"5874897-12-31", 2145042905}};
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        pelton_expect_true(pelton_date_unix_days((pelton_date){pelton_text_of(dates[i].text)}, &moment) == PELTON_OK);
        pelton_expect_true(moment.when == PELTON_AT && moment.at == dates[i].days);
    }
    pelton_expect_true(pelton_date_unix_days((pelton_date){PELTON_TEXT("-infinity")}, &moment) == PELTON_OK &&
                       moment.when == PELTON_MINUS_INFINITY);
    const char *const no_dates[] = {"", "2000", "2000-13-01", "x-01-01", "2000-01-", "2000-01-01 12:00:00"};
    for (size_t i = 0; i < sizeof(no_dates) / sizeof(no_dates[0]); i++)
        pelton_expect_true(pelton_date_unix_days((pelton_date){pelton_text_of(no_dates[i])}, &moment) == PELTON_REJECTED);

    const struct { const char *text; int64_t micros; } plain[] = {{"1970-01-01 00:00:01.5", 1500000},
                                                                  {"1970-01-01 24:00:00", 86400000000}};
    for (size_t i = 0; i < 2; i++)
        pelton_expect_true(pelton_timestamp_micros((pelton_timestamp){pelton_text_of(plain[i].text)}, &moment) == PELTON_OK &&
                           moment.at == plain[i].micros);
    const struct { const char *text; int64_t micros; } zoned[] = {
        {"1970-01-01 00:00:00+00", 0}, {"1970-01-01 01:00:00+01", 0}, {"1969-12-31 18:30:00.000001-05:30", 1},
        {"2024-07-01 12:34:56.789012+00", 1719837296789012}, {"0001-12-31 23:59:59+00 BC", -62135596801000000}};
    for (size_t i = 0; i < 5; i++)
        pelton_expect_true(pelton_timestamptz_unix_micros((pelton_timestamptz){pelton_text_of(zoned[i].text)}, &moment) == PELTON_OK &&
                           moment.at == zoned[i].micros);
    const char *const none[] = {"", "1970-01-01", "1970-01-01 00:00:00", "1970-01-01 0:0+00",
                                "1970-01-01 00:00:00.1234567+00", "\xc3\xa4 +"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        pelton_expect_true(pelton_timestamptz_unix_micros((pelton_timestamptz){pelton_text_of(none[i])}, &moment) == PELTON_REJECTED);

    int64_t micros;
    const struct { const char *text; int64_t micros; } times[] = {{"00:00:00", 0}, {"23:59:59.999999", 86399999999}, {"24:00:00", 86400000000}};
    for (size_t i = 0; i < 3; i++)
        pelton_expect_true(pelton_time_micros((pelton_time){pelton_text_of(times[i].text)}, &micros) == PELTON_OK && micros == times[i].micros);
    const char *const no_times[] = {"", "12", "12:00", "-12:00:00", "12:00:00.", "12:00:00+01", "infinity"};
    for (size_t i = 0; i < sizeof(no_times) / sizeof(no_times[0]); i++)
        pelton_expect_true(pelton_time_micros((pelton_time){pelton_text_of(no_times[i])}, &micros) == PELTON_REJECTED);
}

static void an_interval_is_months_days_and_microseconds(void) {
    const struct { const char *text; int64_t months, days, micros; } cases[] = {
        {"00:00:00", 0, 0, 0},
        {"1 year 2 mons 3 days 04:05:06.7", 14, 3, 14706700000},
        {"1 mon", 1, 0, 0},
        {"-1 years -2 mons +3 days -04:05:06", -14, 3, -14706000000},
        {"-1 days +00:00:00.000001", 0, -1, 1},
        {"178000000 years", 2136000000, 0, 0},
        {"2562047788:00:54.775807", 0, 0, INT64_MAX},
    };
    pelton_parts parts;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pelton_expect_true(pelton_interval_parts((pelton_interval){pelton_text_of(cases[i].text)}, &parts) == PELTON_OK);
        pelton_expect_true(parts.months == cases[i].months && parts.days == cases[i].days && parts.micros == cases[i].micros);
    }
    pelton_expect_true(pelton_interval_parts((pelton_interval){PELTON_TEXT("-infinity")}, &parts) == PELTON_OK &&
                       parts.when == PELTON_MINUS_INFINITY);
    const char *const wrong[] = {"", "1", "1 week", "1 day ", "1 day  2 mons", "1:2", "P1Y", "00:00:00 1 day", "1 day 1:0:0.1234567"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        pelton_expect_true(pelton_interval_parts((pelton_interval){pelton_text_of(wrong[i])}, &parts) == PELTON_REJECTED);
}

static const char *elements_of(const char *text) {
    pelton_list_text elements;
    const bool *nulls;
    if (pelton_array_elements((pelton_array){pelton_text_of(text)}, &elements, &nulls) != PELTON_OK) return "none";
    pelton_text shown = PELTON_TEXT("");
    for (size_t i = 0; i < elements.count; i++)
        shown = nulls[i] ? pelton_concat(shown, PELTON_TEXT("NULL;")) : pelton_concat(shown, PELTON_TEXT("<"), elements.items[i], PELTON_TEXT(">;"));
    return said(shown);
}

static void arrays_are_read_as_postgres_prints_them(void) {
    pelton_expect(elements_of("{}"), "");
    pelton_expect(elements_of("{1,2}"), "<1>;<2>;");
    pelton_expect(elements_of("{a,NULL,\"NULL\",\"\",\"a,b\",\"c\\\"d\",\"e\\\\f\"}"), "<a>;NULL;<NULL>;<>;<a,b>;<c\"d>;<e\\f>;");
    pelton_expect(elements_of("[0:1]={x,y}"), "<x>;<y>;");
    const char *const wrong[] = {"", "{", "}", "{a", "{{1,2},{3,4}}", "{a,}", "{\"a\"b}", "{\"a}", "[0:1]{a}", "{\"a\\}", "{,}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) pelton_expect(elements_of(wrong[i]), "none");
    const pelton_text elements[] = {PELTON_TEXT("a"), PELTON_TEXT(""), PELTON_TEXT("NULL"), PELTON_TEXT(""), PELTON_TEXT("q\"\\,{}")};
    const bool nulls[] = {false, true, false, false, false};
    const pelton_array made = pelton_array_of(elements, nulls, 5);
    pelton_expect(said(made.text), "{\"a\",NULL,\"NULL\",\"\",\"q\\\"\\\\,{}\"}");
    pelton_expect(elements_of(said(made.text)), "<a>;NULL;<NULL>;<>;<q\"\\,{}>;");
}

static void a_uuid_is_its_bits(void) {
    pelton_uint128 bits;
    pelton_expect_true(pelton_uuid_bits((pelton_uuid){PELTON_TEXT("00000000-0000-0001-0000-0000000000ff")}, &bits) == PELTON_OK &&
                       bits == (((pelton_uint128)1 << 64) | 255));
    const char *const wrong[] = {"", "xyz", "+0000000000000010000000000000000", "00000000-0000-0001-0000-0000000000ff0"};
    for (size_t i = 0; i < 4; i++) pelton_expect_true(pelton_uuid_bits((pelton_uuid){pelton_text_of(wrong[i])}, &bits) == PELTON_REJECTED);
}

static const char *name_in(const char *json) {
    pelton_text member, name;
    if (!pelton_json_member(pelton_text_of(json), "name", &member)) return "no member";
    return pelton_json_string(member, &name) ? said(name) : "no string";
}

static void json_is_walked_in_place(void) {
    pelton_expect(name_in("{\"name\": \"Ann\"}"), "Ann");
    pelton_expect(name_in(" {\"a\":[1,{\"name\":\"no\"}],\"b\":\"}\\\"\",\"name\":\"first\",\"name\" : \"l\\u00e4st \\ud83d\\ude00\\n\"} "),
                  "l\xc3\xa4st \xf0\x9f\x98\x80\n");
    pelton_expect(name_in("{\"n\\u0061me\":\"escaped\"}"), "escaped");
    pelton_expect(name_in("{\"name\":1}"), "no string");
    pelton_expect(name_in("{\"name\":null}"), "no string");
    const char *const none[] = {"", "[]", "{}", "\"name\"", "[\"name\",1]", "{\"other\":{\"name\":1}}", "{\"name\"", "{\"name\":", "{"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) pelton_expect(name_in(none[i]), "no member");
    pelton_text item;
    size_t at = 0, count = 0;
    while (pelton_json_next(PELTON_TEXT("[1, \"a,]\", {\"b\":[2,3]}, [], true ]"), &at, NULL, &item)) count++;
    pelton_expect_true(count == 5);
    pelton_expect_true(!pelton_json_string(PELTON_TEXT("\"\\ud800\""), &item));
}

static void messages_are_formatted_as_printf_does(void) {
    char expected[200];
#define SAME(...)                                                                                                    \
    do {                                                                                                             \
        snprintf(expected, sizeof(expected), __VA_ARGS__);                                                           \
        pelton_expect(said(pelton_format(__VA_ARGS__)), expected);                                                   \
    } while (0)
    SAME("plain 100%% %s|%10s|%-10s|%.2s|%.*s", "text", "right", "left", "cut", 3, "slice of");
    SAME("%d %i %u %ld %lld %zu %x %X %c", -5, 0, 7u, -123456789L, INT64_MIN + 0LL, (size_t)99, 255u, 0xabcu, 'c');
    SAME("%5d|%-5d|%05d|%.3d|%8.3d|%08lld|%2d", 42, 42, -42, 7, -7, -123LL, 12345);
    SAME("%.0s%s", "nothing", "");
#undef SAME
}

static void utf8_is_told_from_other_bytes(void) {
    const char *const right[] = {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf"};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) pelton_expect_true(pelton_text_is_utf8(pelton_text_of(right[i])));
    const char *const wrong[] = {"\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "a\xc3(", "\xf0\x9f\x98"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) pelton_expect_true(!pelton_text_is_utf8(pelton_text_of(wrong[i])));
    pelton_expect_true(pelton_text_letters(PELTON_TEXT("\xc3\xa4\xe2\x82\xac" "b"), 2) == 5);
    int64_t number;
    pelton_expect_true(pelton_text_to_bigint(PELTON_TEXT("-9223372036854775808"), &number) && number == INT64_MIN);
    pelton_expect_true(!pelton_text_to_bigint(PELTON_TEXT("9223372036854775808"), &number));
    pelton_expect_true(!pelton_text_to_bigint(PELTON_TEXT("-"), &number) && !pelton_text_to_bigint(PELTON_TEXT("1 "), &number));
}

int main(void) {
    numerics_are_counted_exactly();
    dates_and_times_are_numbers();
    an_interval_is_months_days_and_microseconds();
    arrays_are_read_as_postgres_prints_them();
    a_uuid_is_its_bits();
    json_is_walked_in_place();
    messages_are_formatted_as_printf_does();
    utf8_is_told_from_other_bytes();
    pelton_arena_reset(&pelton_batch_arena);
    return 0;
}
