/* numeric, counted in units of its last digit: exact sums without a library for big numbers. */

#include <stdlib.h>
#include <string.h>

#include "internal.h"

pelton_result pelton_numeric_scaled(pelton_numeric number, unsigned scale, pelton_int128 *units) {
    const pelton_text text = number.text;
    if (pelton_text_is(text, "NaN") || pelton_text_is(text, "Infinity") || pelton_text_is(text, "-Infinity"))
        return pelton_reject("not-finite", "a numeric is NaN or infinite");
    const bool negative = text.len > 0 && text.ptr[0] == '-';
    const pelton_text digits = pelton_text_from(text, negative);
    const ptrdiff_t point = pelton_text_find(digits, '.');
    pelton_text whole = digits, fraction = {NULL, 0};
    if (point >= 0) {
        whole = pelton_text_until(digits, (size_t)point);
        fraction = pelton_text_from(digits, (size_t)point + 1);
    }
    if (whole.len == 0 && fraction.len == 0) return pelton_unreadable("numeric");
    while (fraction.len > 0 && fraction.ptr[fraction.len - 1] == '0') fraction.len--;
    if (fraction.len > scale)
        return pelton_reject("scale", "a numeric has more than %u digits behind the point", scale);
    pelton_int128 sum = 0;
    for (size_t i = 0; i < whole.len + scale; i++) {
        char digit = '0';
        if (i < whole.len) digit = whole.ptr[i];
        else if (i - whole.len < fraction.len) digit = fraction.ptr[i - whole.len];
        if (digit < '0' || digit > '9') return pelton_unreadable("numeric");
        /* Most numbers fit into 64 bits, where counting is quick. */
        if (sum < INT64_MAX / 16) sum = (int64_t)sum * 10 + (digit - '0');
        else if (__builtin_mul_overflow(sum, (pelton_int128)10, &sum) ||
                 __builtin_add_overflow(sum, (pelton_int128)(digit - '0'), &sum))
            return pelton_reject("too-large", "a numeric has more than 38 digits");
    }
    *units = negative ? -sum : sum;
    return PELTON_OK;
}

pelton_numeric pelton_numeric_from_scaled(pelton_int128 units, unsigned scale) {
    const size_t room = (scale > 40 ? scale : 40) + 3;
    char *buffer = (char *)pelton_arena_alloc(&pelton_batch_arena, room), *end = buffer + room;
    const pelton_uint128 size = units < 0 ? -(pelton_uint128)units : (pelton_uint128)units;
    char *at = pelton_digits(size, (size_t)scale + 1, end);
    if (scale > 0) { /* the digits before the point make room for it */
        memmove(at - 1, at, (size_t)(end - at) - scale);
        at--;
        *(end - scale - 1) = '.';
    }
    if (units < 0) *--at = '-';
    return (pelton_numeric){{at, (size_t)(end - at)}};
}

pelton_result pelton_numeric_to_double(pelton_numeric number, double *nearest) {
    const char *string = pelton_text_string(number.text);
    const char first = string[0] == '-' || string[0] == '+' ? string[1] : string[0];
    char *end;
    *nearest = strtod(string, &end);
    const bool number_like = (first >= '0' && first <= '9') || first == '.' || first == 'N' || first == 'I';
    /* strtod reads hexadecimal too, which Postgres never prints. */
    if (!number_like || *end != 0 || strlen(string) != number.text.len || strpbrk(string, "xX") != NULL)
        return pelton_unreadable("numeric");
    return PELTON_OK;
}
