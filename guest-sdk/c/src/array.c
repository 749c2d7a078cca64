/* Postgres's text of arrays, and of uuids. */

#include <string.h>

#include "internal.h"

/* Takes one element; false when there is none that Postgres would print. */
static bool pelton_element(pelton_text *rest, pelton_text *element, bool *null) {
    *null = false;
    if (rest->len > 0 && rest->ptr[0] == '"') {
        /* What stands between quotes is never longer than its text. */
        char *letters = (char *)pelton_arena_alloc(&pelton_batch_arena, rest->len);
        size_t at = 1, length = 0;
        for (;; at++) {
            if (at < rest->len && rest->ptr[at] == '"') break;
            if (at < rest->len && rest->ptr[at] == '\\') at++;
            if (at >= rest->len) return false;
            letters[length++] = rest->ptr[at];
        }
        *element = (pelton_text){letters, length};
        *rest = pelton_text_from(*rest, at + 1);
        return true;
    }
    const ptrdiff_t comma = pelton_text_find(*rest, ',');
    *element = comma < 0 ? *rest : pelton_text_until(*rest, (size_t)comma);
    *rest = pelton_text_from(*rest, element->len);
    /* Without quotes Postgres prints neither braces nor quotes, nor nothing. */
    for (size_t i = 0; i < element->len; i++)
        if (strchr("{}\"\\", element->ptr[i]) != NULL) return false;
    *null = pelton_text_is(*element, "NULL");
    return element->len > 0;
}

pelton_result pelton_array_elements(pelton_array array, pelton_list_text *elements, const bool **nulls) {
    pelton_text rest = array.text;
    *elements = (pelton_list_text){NULL, 0};
    if (rest.len > 0 && rest.ptr[0] == '[') { /* bounds that do not begin at 1 stand before the elements: [0:1]={a,b} */
        const ptrdiff_t equals = pelton_text_find(rest, '=');
        if (equals < 0) return pelton_unreadable("array of one dimension");
        rest = pelton_text_from(rest, (size_t)equals + 1);
    }
    if (rest.len < 2 || rest.ptr[0] != '{' || rest.ptr[rest.len - 1] != '}')
        return pelton_unreadable("array of one dimension");
    rest = pelton_text_until(pelton_text_from(rest, 1), rest.len - 2);
    size_t most = 1;
    for (size_t i = 0; i < rest.len; i++) most += rest.ptr[i] == ',';
    pelton_text *items = (pelton_text *)pelton_alloc(most * sizeof(pelton_text));
    bool *null = (bool *)pelton_alloc(most);
    size_t count = 0;
    while (rest.len > 0) {
        if (!pelton_element(&rest, &items[count], &null[count])) return pelton_unreadable("array of one dimension");
        count++;
        if (rest.len == 0) break;
        if (rest.ptr[0] != ',' || rest.len == 1) return pelton_unreadable("array of one dimension");
        rest = pelton_text_from(rest, 1);
    }
    *elements = (pelton_list_text){items, count};
    if (nulls != NULL) *nulls = null;
    return PELTON_OK;
}

pelton_array pelton_array_of(const pelton_text *elements, const bool *nulls, size_t count) {
    size_t most = 2;
    for (size_t i = 0; i < count; i++) most += 5 + 2 * elements[i].len;
    char *text = (char *)pelton_arena_alloc(&pelton_batch_arena, most), *at = text;
    *at++ = '{';
    for (size_t i = 0; i < count; i++) {
        if (i > 0) *at++ = ',';
        if (nulls != NULL && nulls[i]) {
            memcpy(at, "NULL", 4);
            at += 4;
            continue;
        }
        *at++ = '"';
        for (size_t k = 0; k < elements[i].len; k++) {
            const char letter = elements[i].ptr[k];
            if (letter == '"' || letter == '\\') *at++ = '\\';
            *at++ = letter;
        }
        *at++ = '"';
    }
    *at++ = '}';
    return (pelton_array){{text, (size_t)(at - text)}};
}

static int pelton_hex_digit(char letter) {
    if (letter >= '0' && letter <= '9') return letter - '0';
    if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
    if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
    return -1;
}

pelton_result pelton_uuid_bits(pelton_uuid uuid, pelton_uint128 *bits) {
    size_t digits = 0;
    *bits = 0;
    for (size_t i = 0; i < uuid.text.len; i++) {
        if (uuid.text.ptr[i] == '-') continue;
        const int digit = pelton_hex_digit(uuid.text.ptr[i]);
        if (digit < 0 || digits++ == 32) return pelton_unreadable("uuid");
        *bits = *bits << 4 | (unsigned)digit;
    }
    return digits == 32 ? PELTON_OK : pelton_unreadable("uuid");
}

pelton_result pelton__enum_read(pelton_enumeration value, const char *name, const pelton_text *labels, unsigned count,
                                unsigned *found) {
    for (unsigned i = 0; i < count; i++) {
        if (!pelton_text_equal(value.text, labels[i])) continue;
        *found = i;
        return PELTON_OK;
    }
    return pelton_reject("label", "a value is none of the labels of the enum %s; add it", name);
}
