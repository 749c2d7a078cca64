/* What the accessors make of a row. */

#include "kinds.h"

/* Notes what is infinite, and returns what isn't. */
static pelton_nullable_bigint only_finite(const char *column, pelton_moment moment, pelton_text *infinite) {
    if (moment.when == PELTON_AT) return (pelton_nullable_bigint)PELTON_SOME(moment.at);
    const char *space = infinite->len == 0 ? "" : " ", *sign = moment.when == PELTON_MINUS_INFINITY ? "-" : "";
    *infinite = pelton_concat(*infinite, pelton_format("%s%s=%sinfinity", space, column, sign));
    return (pelton_nullable_bigint){0};
}

static pelton_result doubled(pelton_numeric number, pelton_nullable_numeric *to) {
    const pelton_text text = number.text;
    *to = (pelton_nullable_numeric)PELTON_SOME(number);
    if (pelton_text_is(text, "NaN") || pelton_text_is(text, "Infinity") || pelton_text_is(text, "-Infinity")) return PELTON_OK;
    pelton_int128 units;
    PELTON_TRY(pelton_numeric_scaled(number, 6, &units));
    if (__builtin_add_overflow(units, units, &units))
        return pelton_reject("too-large", "a doubled numeric has more than 38 digits");
    to->value = pelton_numeric_from_scaled(units, 6);
    return PELTON_OK;
}

static pelton_result moments(const kinds *row, parsed *to) {
    pelton_moment moment;
    pelton_parts parts;
    if (row->c_timestamp.is == PELTON_VALUE) {
        PELTON_TRY(pelton_timestamp_micros(row->c_timestamp.value, &moment));
        to->timestamp_micros = only_finite("timestamp", moment, &to->infinite);
    }
    if (row->c_timestamptz.is == PELTON_VALUE) {
        PELTON_TRY(pelton_timestamptz_unix_micros(row->c_timestamptz.value, &moment));
        to->timestamptz_micros = only_finite("timestamptz", moment, &to->infinite);
    }
    if (row->c_date.is == PELTON_VALUE) {
        PELTON_TRY(pelton_date_unix_days(row->c_date.value, &moment));
        to->date_days = only_finite("date", moment, &to->infinite);
    }
    if (row->c_interval.is == PELTON_VALUE) {
        PELTON_TRY(pelton_interval_parts(row->c_interval.value, &parts));
        to->interval_months = only_finite("interval", (pelton_moment){parts.when, parts.months}, &to->infinite);
        if (parts.when == PELTON_AT) {
            to->interval_days = (pelton_nullable_bigint)PELTON_SOME(parts.days);
            to->interval_micros = (pelton_nullable_bigint)PELTON_SOME(parts.micros);
        }
    }
    return PELTON_OK;
}

static pelton_result arrays(const kinds *row, parsed *to) {
    pelton_list_text elements;
    const bool *nulls;
    if (row->c_int4s.is == PELTON_VALUE) {
        PELTON_TRY(pelton_array_elements(row->c_int4s.value, &elements, &nulls));
        int64_t sum = 0, number;
        for (size_t i = 0; i < elements.count; i++)
            if (!nulls[i] && pelton_text_to_bigint(elements.items[i], &number)) sum += number;
        to->int4s_count = (pelton_nullable_integer)PELTON_SOME((int32_t)elements.count);
        to->int4s_sum = (pelton_nullable_bigint)PELTON_SOME(sum);
    }
    if (row->c_texts.is == PELTON_VALUE) {
        PELTON_TRY(pelton_array_elements(row->c_texts.value, &elements, &nulls));
        pelton_text *reversed = pelton_alloc(elements.count * sizeof(pelton_text));
        bool *reversed_nulls = pelton_alloc(elements.count);
        for (size_t i = 0; i < elements.count; i++) {
            reversed[i] = elements.items[elements.count - 1 - i];
            reversed_nulls[i] = nulls[elements.count - 1 - i];
        }
        to->texts_reversed = (pelton_nullable_array)PELTON_SOME(pelton_array_of(reversed, reversed_nulls, elements.count));
    }
    return PELTON_OK;
}

/* Returns a number of 128 bits in decimal digits. */
static pelton_numeric digits_of(pelton_uint128 bits) {
    char digits[40], *at = digits + sizeof(digits);
    do *--at = (char)('0' + (int)(bits % 10));
    while ((bits /= 10) > 0);
    return (pelton_numeric){pelton_concat((pelton_text){at, (size_t)(digits + sizeof(digits) - at)})};
}

pelton_result parse(const kinds *row, parsed *to) {
    to->id = row->id;
    to->infinite = PELTON_TEXT("");
    PELTON_TRY(moments(row, to));
    PELTON_TRY(arrays(row, to));
    if (row->c_numeric.is == PELTON_VALUE) PELTON_TRY(doubled(row->c_numeric.value, &to->numeric_doubled));
    if (row->c_time.is == PELTON_VALUE) {
        PELTON_TRY(pelton_time_micros(row->c_time.value, &to->time_micros.value));
        to->time_micros.is = PELTON_VALUE;
    }
    if (row->c_uuid.is == PELTON_VALUE) {
        pelton_uint128 bits;
        PELTON_TRY(pelton_uuid_bits(row->c_uuid.value, &bits));
        to->uuid_number = (pelton_nullable_numeric)PELTON_SOME(digits_of(bits));
    }
    pelton_text member;
    if (row->c_json.is == PELTON_VALUE && pelton_json_member(row->c_json.value.text, "name", &member) &&
        pelton_json_string(member, &to->json_name.value))
        to->json_name.is = PELTON_VALUE;
    to->large_bytes.is = row->c_large.is;
    to->large_bytes.value = (int32_t)row->c_large.value.len;
    return PELTON_OK;
}
