/* Dates, times and intervals as numbers. */

#include "internal.h"

/* Takes what stands before the first `separator`, or all; false when nothing is left. */
static bool pelton_part(pelton_text *rest, char separator, pelton_text *part) {
    if (rest->ptr == NULL) return false;
    const ptrdiff_t at = pelton_text_find(*rest, separator);
    *part = at < 0 ? *rest : pelton_text_until(*rest, (size_t)at);
    if (at < 0) *rest = (pelton_text){NULL, 0};
    else *rest = (pelton_text){rest->ptr + at + 1, rest->len - (size_t)at - 1};
    return true;
}

static bool pelton_plain_number(pelton_text digits, size_t most, int64_t *number) {
    return digits.len > 0 && digits.len <= most && pelton_all_digits(digits) && pelton_text_to_bigint(digits, number);
}

/* Reads 04:05:06.7 as microseconds; of hours there may be any number. */
static bool pelton_clock(pelton_text text, int64_t *micros) {
    pelton_text hours, minutes, fraction = PELTON_TEXT("0");
    int64_t h, m, s, f;
    if (!pelton_part(&text, ':', &hours) || !pelton_part(&text, ':', &minutes) || text.ptr == NULL) return false;
    const ptrdiff_t point = pelton_text_find(text, '.');
    if (point >= 0) {
        fraction = (pelton_text){text.ptr + point + 1, text.len - (size_t)point - 1};
        text = pelton_text_until(text, (size_t)point);
    }
    if (!pelton_plain_number(hours, 10, &h) || !pelton_plain_number(minutes, 10, &m) ||
        !pelton_plain_number(text, 10, &s) || !pelton_plain_number(fraction, 6, &f))
        return false;
    for (size_t i = fraction.len; i < 6; i++) f *= 10;
    int64_t sum;
    return !__builtin_mul_overflow(h * 3600 + m * 60 + s, 1000000, &sum) && !__builtin_add_overflow(sum, f, micros);
}

static bool pelton_date_of(pelton_text text, bool bc, int64_t *days) {
    pelton_text part;
    int64_t year, month, day;
    if (!pelton_part(&text, '-', &part) || !pelton_plain_number(part, 9, &year)) return false;
    if (!pelton_part(&text, '-', &part) || !pelton_plain_number(part, 9, &month)) return false;
    if (text.ptr == NULL || !pelton_plain_number(text, 9, &day)) return false;
    if (month < 1 || month > 12 || day < 1 || day > 31) return false;
    if (bc) year = 1 - year; /* 1 BC is the year 0 */
    /* Days since 0000-03-01 in the proleptic Gregorian calendar: years begin in March, so leap days end them. */
    if (month <= 2) {
        year -= 1;
        month += 12;
    }
    const int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    const int64_t of_year = (153 * (month - 3) + 2) / 5 + day - 1;
    *days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    return true;
}

static bool pelton_timestamp_of(pelton_text text, bool bc, int64_t *micros) {
    int64_t days, clock;
    const ptrdiff_t space = pelton_text_find(text, ' ');
    if (space < 0 || !pelton_date_of(pelton_text_until(text, (size_t)space), bc, &days)) return false;
    if (!pelton_clock(pelton_text_from(text, (size_t)space + 1), &clock)) return false;
    int64_t sum;
    return !__builtin_mul_overflow(days, (int64_t)86400000000, &sum) && !__builtin_add_overflow(sum, clock, micros);
}

static bool pelton_timestamptz_of(pelton_text text, bool bc, int64_t *micros) {
    /* The zone's sign stands behind the date's hyphens. */
    const ptrdiff_t space = pelton_text_find(text, ' ');
    if (space < 0) return false;
    size_t sign = (size_t)space;
    while (sign < text.len && text.ptr[sign] != '+' && text.ptr[sign] != '-') sign++;
    if (sign == text.len) return false;
    const bool negative = text.ptr[sign] == '-';
    pelton_text zone = {text.ptr + sign + 1, text.len - sign - 1}, part;
    int64_t seconds = 0, number;
    for (int64_t unit = 3600; unit > 0 && pelton_part(&zone, ':', &part); unit /= 60) {
        if (!pelton_plain_number(part, 9, &number)) return false;
        seconds += number * unit;
    }
    int64_t local;
    if (zone.ptr != NULL || !pelton_timestamp_of(pelton_text_until(text, sign), bc, &local)) return false;
    return !__builtin_sub_overflow(local, (negative ? -seconds : seconds) * 1000000, micros);
}

static bool pelton_moment_of(pelton_text text, bool (*read)(pelton_text, bool, int64_t *), pelton_moment *moment) {
    *moment = (pelton_moment){PELTON_AT, 0};
    if (pelton_text_is(text, "infinity")) moment->when = PELTON_INFINITY;
    else if (pelton_text_is(text, "-infinity")) moment->when = PELTON_MINUS_INFINITY;
    else {
        const bool bc = text.len > 3 && pelton_text_is(pelton_text_from(text, text.len - 3), " BC");
        return read(bc ? pelton_text_until(text, text.len - 3) : text, bc, &moment->at);
    }
    return true;
}

pelton_result pelton_date_unix_days(pelton_date date, pelton_moment *days) {
    return pelton_moment_of(date.text, pelton_date_of, days) ? PELTON_OK : pelton_unreadable("date");
}

pelton_result pelton_timestamp_micros(pelton_timestamp timestamp, pelton_moment *micros) {
    return pelton_moment_of(timestamp.text, pelton_timestamp_of, micros) ? PELTON_OK : pelton_unreadable("timestamp");
}

pelton_result pelton_timestamptz_unix_micros(pelton_timestamptz timestamp, pelton_moment *micros) {
    const bool read = pelton_moment_of(timestamp.text, pelton_timestamptz_of, micros);
    return read ? PELTON_OK : pelton_unreadable("timestamp with time zone");
}

pelton_result pelton_time_micros(pelton_time time, int64_t *micros) {
    return pelton_clock(time.text, micros) ? PELTON_OK : pelton_unreadable("time");
}

/* Reads `1 year -2 mons +3 days -04:05:06.7`. */
static bool pelton_interval_of(pelton_text text, pelton_parts *parts) {
    pelton_text word, unit;
    while (pelton_part(&text, ' ', &word)) {
        const bool negative = word.len > 0 && word.ptr[0] == '-';
        if (negative || (word.len > 0 && word.ptr[0] == '+')) word = pelton_text_from(word, 1);
        if (pelton_text_find(word, ':') >= 0) {
            if (!pelton_clock(word, &parts->micros)) return false;
            if (negative) parts->micros = -parts->micros;
            return text.ptr == NULL;
        }
        int64_t number;
        if (!pelton_plain_number(word, 10, &number) || !pelton_part(&text, ' ', &unit)) return false;
        if (negative) number = -number;
        if (pelton_text_is(unit, "year") || pelton_text_is(unit, "years")) parts->months += number * 12;
        else if (pelton_text_is(unit, "mon") || pelton_text_is(unit, "mons")) parts->months += number;
        else if (pelton_text_is(unit, "day") || pelton_text_is(unit, "days")) parts->days += number;
        else return false;
        if (text.ptr == NULL) return true;
    }
    return false;
}

pelton_result pelton_interval_parts(pelton_interval interval, pelton_parts *parts) {
    *parts = (pelton_parts){PELTON_AT, 0, 0, 0};
    if (pelton_text_is(interval.text, "infinity")) parts->when = PELTON_INFINITY;
    else if (pelton_text_is(interval.text, "-infinity")) parts->when = PELTON_MINUS_INFINITY;
    else if (!pelton_interval_of(interval.text, parts)) return pelton_unreadable("interval");
    return PELTON_OK;
}
