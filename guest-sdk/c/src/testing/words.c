/* Texts that grow, and values as words. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text with a zero byte at its end. */
typedef struct test_words {
    char *text;
    size_t length;
} test_words;

static void test_say(test_words *to, const char *letters, size_t count) {
    char *more = (char *)realloc(to->text, to->length + count + 1);
    if (more == NULL) abort();
    to->text = more;
    if (count > 0) memcpy(more + to->length, letters, count);
    to->length += count;
    more[to->length] = 0;
}

static void test_clear(test_words *words) {
    words->length = 0;
    test_say(words, "", 0);
}

PELTON__PRINTF(2, 3) static void test_format(test_words *to, const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(text)) abort();
    test_say(to, text, (size_t)length);
}

/* Writes a text in quotes, as the other SDKs' harnesses do. */
static void test_say_quoted(test_words *to, pelton_bytes text) {
    test_say(to, "\"", 1);
    for (size_t i = 0; i < text.len; i++) {
        const char letter = (char)text.ptr[i];
        if (letter == '"' || letter == '\\') test_format(to, "\\%c", letter);
        else if (letter == '\n') test_say(to, "\\n", 2);
        else if (letter == '\t') test_say(to, "\\t", 2);
        else if (letter == '\r') test_say(to, "\\r", 2);
        else test_say(to, &letter, 1);
    }
    test_say(to, "\"", 1);
}

static void test_say_value(test_words *to, pelton_raw value) {
    switch (value.is) {
    case PELTON_RAW_NULL: test_say(to, "NULL", 4); break;
    case PELTON_RAW_UNCHANGED: test_say(to, "unchanged", 9); break;
    case PELTON_RAW_BOOL: test_format(to, "%s", value.boolean ? "true" : "false"); break;
    case PELTON_RAW_INT: test_format(to, "%lld", (long long)value.integer); break;
    case PELTON_RAW_FLOAT: {
        char text[40];
        for (int digits = 1; digits <= 17; digits++) { /* the fewest that come back */
            snprintf(text, sizeof(text), "%.*g", digits, value.number);
            if (strtod(text, NULL) == value.number) break;
        }
        test_format(to, "%s", text);
        break;
    }
    case PELTON_RAW_TEXT: test_say_quoted(to, value.bytes); break;
    case PELTON_RAW_BYTES:
        test_say(to, "\\x", 2);
        for (size_t i = 0; i < value.bytes.len; i++) test_format(to, "%02x", value.bytes.ptr[i]);
        break;
    }
}
