/* JSON, walked in place. Postgres has checked it; nothing here relies on that. */

#include <string.h>

#include "internal.h"

static bool pelton_is_space(char letter) { return letter == ' ' || letter == '\t' || letter == '\n' || letter == '\r'; }

static size_t pelton_past_space(pelton_text text, size_t at) {
    while (at < text.len && pelton_is_space(text.ptr[at])) at++;
    return at;
}

/* Returns the place behind a string that begins at `at`, or 0. */
static size_t pelton_past_string(pelton_text text, size_t at) {
    for (at++; at < text.len; at++) {
        if (text.ptr[at] == '\\') at++;
        else if (text.ptr[at] == '"') return at + 1;
    }
    return 0;
}

/* Returns the place behind the value that begins at `at`, or 0. Nesting costs no stack. */
static size_t pelton_past_value(pelton_text text, size_t at) {
    size_t depth = 0;
    const size_t start = at;
    while (at < text.len) {
        const char letter = text.ptr[at];
        if (letter == '"') {
            at = pelton_past_string(text, at);
            if (at == 0 || depth == 0) return at;
            continue;
        }
        if (letter == '{' || letter == '[') depth++;
        else if (letter == '}' || letter == ']') {
            if (depth == 0) return at > start ? at : 0;
            if (--depth == 0) return at + 1;
        } else if (depth == 0 && (letter == ',' || letter == ':' || pelton_is_space(letter))) return at > start ? at : 0;
        at++;
    }
    return depth == 0 && at > start ? at : 0;
}

bool pelton_json_next(pelton_text value, size_t *at, pelton_text *name, pelton_text *item) {
    size_t from = *at;
    if (from == 0) {
        from = pelton_past_space(value, 0);
        if (from >= value.len || (value.ptr[from] != '{' && value.ptr[from] != '[')) return false;
        from++;
    } else {
        from = pelton_past_space(value, from);
        if (from >= value.len || value.ptr[from] != ',') return false;
        from++;
    }
    const size_t open = pelton_past_space(value, 0);
    const bool object = value.ptr[open] == '{';
    from = pelton_past_space(value, from);
    if (from >= value.len || value.ptr[from] == '}' || value.ptr[from] == ']') return false;
    if (object) {
        const size_t end = value.ptr[from] == '"' ? pelton_past_string(value, from) : 0;
        if (end == 0) return false;
        if (name != NULL && !pelton_json_string((pelton_text){value.ptr + from, end - from}, name)) return false;
        from = pelton_past_space(value, end);
        if (from >= value.len || value.ptr[from] != ':') return false;
        from = pelton_past_space(value, from + 1);
    } else if (name != NULL) {
        *name = (pelton_text){NULL, 0};
    }
    const size_t end = pelton_past_value(value, from);
    if (end == 0) return false;
    *item = (pelton_text){value.ptr + from, end - from};
    *at = end;
    return true;
}

bool pelton_json_member(pelton_text value, const char *name, pelton_text *member) {
    pelton_text found, item;
    bool is_there = false;
    const size_t open = pelton_past_space(value, 0);
    if (open >= value.len || value.ptr[open] != '{') return false;
    for (size_t at = 0; pelton_json_next(value, &at, &found, &item);) {
        if (!pelton_text_is(found, name)) continue;
        *member = item;
        is_there = true;
    }
    return is_there;
}

/* Reads the four digits of \uXXXX. */
static bool pelton_json_unit(pelton_text text, size_t at, uint32_t *unit) {
    *unit = 0;
    if (text.len < at + 4) return false;
    for (size_t i = 0; i < 4; i++) {
        const int digit = pelton_hex_digit(text.ptr[at + i]);
        if (digit < 0) return false;
        *unit = *unit << 4 | (unsigned)digit;
    }
    return true;
}

static char *pelton_utf8(uint32_t letter, char *to) {
    if (letter < 0x80) {
        *to++ = (char)letter;
        return to;
    }
    const unsigned more = letter < 0x800 ? 1 : letter < 0x10000 ? 2 : 3;
    const unsigned heads[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = (char)(heads[more] | letter >> (6 * more));
    for (unsigned left = more; left-- > 0;) *to++ = (char)(0x80 | (letter >> (6 * left) & 0x3f));
    return to;
}

bool pelton_json_string(pelton_text value, pelton_text *string) {
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    size_t at = pelton_past_space(value, 0);
    if (at >= value.len || value.ptr[at] != '"') return false;
    const size_t end = pelton_past_string(value, at);
    if (end == 0 || pelton_past_space(value, end) != value.len) return false;
    const pelton_text inner = {value.ptr + at + 1, end - at - 2};
    if (pelton_text_find(inner, '\\') < 0) {
        *string = inner;
        return true;
    }
    char *text = (char *)pelton_arena_alloc(&pelton_batch_arena, inner.len), *to = text;
    for (at = 0; at < inner.len; at++) {
        if (inner.ptr[at] != '\\') {
            *to++ = inner.ptr[at];
            continue;
        }
        const char escape = ++at < inner.len ? inner.ptr[at] : 0;
        const char *known = escape == 0 ? NULL : strchr(escapes, escape);
        if (known != NULL) {
            *to++ = meant[known - escapes];
            continue;
        }
        uint32_t unit, low;
        if (escape != 'u' || !pelton_json_unit(inner, at + 1, &unit)) return false;
        at += 4;
        if (unit >= 0xd800 && unit <= 0xdbff) { /* the first half of a letter beyond 16 bits */
            if (at + 2 >= inner.len || inner.ptr[at + 1] != '\\' || inner.ptr[at + 2] != 'u') return false;
            if (!pelton_json_unit(inner, at + 3, &low) || low < 0xdc00 || low > 0xdfff) return false;
            unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            at += 6;
        } else if (unit >= 0xdc00 && unit <= 0xdfff) return false;
        to = pelton_utf8(unit, to);
    }
    *string = (pelton_text){text, (size_t)(to - text)};
    return true;
}
