/* Texts: slices of UTF-8. */

#include <stdlib.h>
#include <string.h>

#include "internal.h"

pelton_text pelton_text_of(const char *string) { return (pelton_text){string, string == NULL ? 0 : strlen(string)}; }

bool pelton_text_equal(pelton_text a, pelton_text b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool pelton_text_is(pelton_text a, const char *string) { return pelton_text_equal(a, pelton_text_of(string)); }

bool pelton_text_starts_with(pelton_text text, pelton_text with) {
    return text.len >= with.len && pelton_text_equal(pelton_text_until(text, with.len), with);
}

ptrdiff_t pelton_text_rfind(pelton_text text, char byte) {
    for (size_t i = text.len; i > 0; i--)
        if (text.ptr[i - 1] == byte) return (ptrdiff_t)(i - 1);
    return -1;
}

ptrdiff_t pelton_text_find(pelton_text text, char byte) {
    const char *found = text.len == 0 ? NULL : (const char *)memchr(text.ptr, byte, text.len);
    return found == NULL ? -1 : found - text.ptr;
}

pelton_text pelton_text_from(pelton_text text, size_t start) {
    if (start > text.len) start = text.len;
    return start == 0 ? text : (pelton_text){text.ptr + start, text.len - start};
}

pelton_text pelton_text_until(pelton_text text, size_t end) {
    return (pelton_text){text.ptr, end < text.len ? end : text.len};
}

size_t pelton_text_letters(pelton_text text, size_t count) {
    size_t at = 0;
    for (; count > 0 && at < text.len; count--) {
        at++;
        while (at < text.len && ((uint8_t)text.ptr[at] & 0xc0) == 0x80) at++;
    }
    return at;
}

bool pelton_text_is_utf8(pelton_text text) {
    for (size_t i = 0; i < text.len;) {
        const uint8_t first = (uint8_t)text.ptr[i++];
        if (first < 0x80) continue;
        const size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || text.len - i < more) return false;
        uint32_t letter = first & (0x3fu >> more);
        for (size_t k = 0; k < more; k++, i++) {
            if (((uint8_t)text.ptr[i] & 0xc0) != 0x80) return false;
            letter = letter << 6 | ((uint8_t)text.ptr[i] & 0x3f);
        }
        /* What a shorter form would hold, halves of pairs, and what is beyond Unicode. */
        if (letter < (more == 3 ? 0x10000u : more == 2 ? 0x800u : 0x80u)) return false;
        if ((letter >= 0xd800 && letter <= 0xdfff) || letter > 0x10ffff) return false;
    }
    return true;
}

bool pelton_text_to_bigint(pelton_text text, int64_t *number) {
    const bool negative = text.len > 0 && text.ptr[0] == '-';
    size_t i = text.len > 0 && (negative || text.ptr[0] == '+') ? 1 : 0;
    if (i == text.len) return false;
    int64_t sum = 0;
    for (; i < text.len; i++) {
        const int digit = text.ptr[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(sum, 10, &sum)) return false;
        if (__builtin_add_overflow(sum, negative ? -digit : digit, &sum)) return false;
    }
    *number = sum;
    return true;
}

const char *pelton_text_string(pelton_text text) {
    char *string = (char *)pelton_arena_alloc(&pelton_batch_arena, text.len + 1);
    if (text.len > 0) memcpy(string, text.ptr, text.len);
    string[text.len] = 0;
    return string;
}

pelton_text pelton__concat(const pelton_text *parts, size_t count) {
    size_t length = 0;
    for (size_t i = 0; i < count; i++) length += parts[i].len;
    char *text = (char *)pelton_arena_alloc(&pelton_batch_arena, length), *at = text;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len == 0) continue;
        memcpy(at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    return (pelton_text){text, length};
}

/* Writes the digits of a number to the end of a buffer, at least `width` of them, and returns where they begin. */
static char *pelton_digits(pelton_uint128 number, size_t width, char *end) {
    char *at = end;
    /* Division of 128 bits is slow, and most numbers do not need it. */
    for (; number > UINT64_MAX; number /= 10) *--at = (char)('0' + (int)(number % 10));
    for (uint64_t low = (uint64_t)number; low > 0; low /= 10) *--at = (char)('0' + (int)(low % 10));
    while ((size_t)(end - at) < width) *--at = '0';
    return at;
}

pelton_text pelton_text_of_bigint(int64_t number) {
    char *buffer = (char *)pelton_arena_alloc(&pelton_batch_arena, 24), *end = buffer + 24;
    const uint64_t size = number < 0 ? -(uint64_t)number : (uint64_t)number;
    char *at = pelton_digits(size, 1, end);
    if (number < 0) *--at = '-';
    return (pelton_text){at, (size_t)(end - at)};
}

static bool pelton_all_digits(pelton_text text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
    return true;
}

/* The error for a text that is not what its type says. It does not show the text: values stay out of logs. */
static pelton_result pelton_unreadable(const char *what) {
    return pelton_reject("unreadable", "a text that should be a %s is none", what);
}
