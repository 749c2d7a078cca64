/* Messages, formatted as printf does: %d %i %u %x %c %s %p %% with lengths, width, precision and the flags - and 0. The C
 * library's own printf would bring 20 KB of floating point and the wish to write to files into every component; floats are
 * therefore not formatted here. */

#include <stddef.h>
#include <string.h>

#include "internal.h"

/* Where letters go: beyond its end they are counted only. */
typedef struct pelton_sink {
    char *at;
    size_t room, length;
} pelton_sink;

static void pelton_put(pelton_sink *to, const char *letters, size_t count) {
    if (to->length < to->room) {
        const size_t left = to->room - to->length;
        if (count > 0) memcpy(to->at + to->length, letters, count < left ? count : left);
    }
    to->length += count;
}

static void pelton_pad(pelton_sink *to, char with, int count) {
    while (count-- > 0) pelton_put(to, &with, 1);
}

typedef struct pelton_conversion {
    bool left, zero;
    int width, precision; /* -1: none */
    char length, letter;  /* length: 0, h, l, L for ll, z, j or t */
} pelton_conversion;

static const char *pelton_conversion_of(const char *at, va_list *arguments, pelton_conversion *to) {
    *to = (pelton_conversion){.precision = -1};
    for (;; at++) {
        if (*at == '-') to->left = true;
        else if (*at == '0') to->zero = true;
        else break;
    }
    for (int *number = &to->width;; number = &to->precision) {
        if (*at == '*') {
            *number = va_arg(*arguments, int);
            at++;
        } else {
            if (number == &to->precision) *number = 0;
            for (; *at >= '0' && *at <= '9'; at++) *number = *number * 10 + (*at - '0');
        }
        if (*at != '.' || number == &to->precision) break;
        at++;
    }
    for (; strchr("hlzjt", *at) != NULL && *at != 0; at++) to->length = to->length == 'l' && *at == 'l' ? 'L' : *at;
    to->letter = *at;
    return at;
}

static uint64_t pelton_argument(pelton_conversion conversion, bool is_signed, va_list *arguments) {
    switch (conversion.length) {
    case 'l': return is_signed ? (uint64_t)va_arg(*arguments, long) : va_arg(*arguments, unsigned long);
    case 'L': return is_signed ? (uint64_t)va_arg(*arguments, long long) : va_arg(*arguments, unsigned long long);
    case 'j': return is_signed ? (uint64_t)va_arg(*arguments, intmax_t) : va_arg(*arguments, uintmax_t);
    case 't': return (uint64_t)va_arg(*arguments, ptrdiff_t);
    case 'z': return va_arg(*arguments, size_t);
    default: return is_signed ? (uint64_t)va_arg(*arguments, int) : va_arg(*arguments, unsigned);
    }
}

static void pelton_put_number(pelton_sink *to, pelton_conversion conversion, uint64_t bits) {
    char digits[24], *end = digits + sizeof(digits), *at = end;
    const bool is_signed = conversion.letter == 'd' || conversion.letter == 'i';
    const bool negative = is_signed && (int64_t)bits < 0;
    uint64_t size = negative ? -bits : bits;
    const unsigned base = is_signed || conversion.letter == 'u' ? 10 : 16;
    const char *letters = conversion.letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    for (; size > 0; size /= base) *--at = letters[size % base];
    const int written = (int)(end - at);
    int zeros = (conversion.precision < 0 ? 1 : conversion.precision) - written;
    if (zeros < 0) zeros = 0;
    int spaces = conversion.width - written - zeros - negative;
    if (conversion.zero && !conversion.left && conversion.precision < 0 && spaces > 0) {
        zeros += spaces;
        spaces = 0;
    }
    if (!conversion.left) pelton_pad(to, ' ', spaces);
    if (negative) pelton_put(to, "-", 1);
    pelton_pad(to, '0', zeros);
    pelton_put(to, at, (size_t)written);
    if (conversion.left) pelton_pad(to, ' ', spaces);
}

static void pelton_put_letters(pelton_sink *to, pelton_conversion conversion, const char *letters, size_t count) {
    const int spaces = count > INT32_MAX ? 0 : conversion.width - (int)count;
    if (!conversion.left) pelton_pad(to, ' ', spaces);
    pelton_put(to, letters, count);
    if (conversion.left) pelton_pad(to, ' ', spaces);
}

/* Formats what fits into `room`, and returns the whole length. */
static size_t pelton_format_into(char *room, size_t size, const char *format, va_list given) {
    pelton_sink to = {room, size, 0};
    va_list arguments;
    va_copy(arguments, given);
    for (const char *at = format; *at != 0; at++) {
        const char *plain = at;
        while (*at != 0 && *at != '%') at++;
        pelton_put(&to, plain, (size_t)(at - plain));
        if (*at == 0) break;
        pelton_conversion conversion;
        at = pelton_conversion_of(at + 1, &arguments, &conversion);
        switch (conversion.letter) {
        case 'd':
        case 'i': pelton_put_number(&to, conversion, pelton_argument(conversion, true, &arguments)); break;
        case 'u':
        case 'x':
        case 'X': pelton_put_number(&to, conversion, pelton_argument(conversion, false, &arguments)); break;
        case 'p': pelton_put_number(&to, conversion, (uintptr_t)va_arg(arguments, void *)); break;
        case 'c': {
            const char letter = (char)va_arg(arguments, int);
            pelton_put_letters(&to, conversion, &letter, 1);
            break;
        }
        case 's': {
            const char *string = va_arg(arguments, const char *);
            size_t length = 0;
            if (string == NULL && conversion.precision != 0) string = "(null)";
            while ((conversion.precision < 0 || length < (size_t)conversion.precision) && string[length] != 0) length++;
            pelton_put_letters(&to, conversion, string, length);
            break;
        }
        case '%': pelton_put(&to, "%", 1); break;
        default: pelton_put(&to, "(a conversion that Pelton does not format)", 42); va_end(arguments); return to.length;
        }
    }
    va_end(arguments);
    return to.length;
}

pelton_text pelton_vformat(const char *format, va_list arguments) {
    const size_t length = pelton_format_into(NULL, 0, format, arguments);
    char *text = (char *)pelton_arena_alloc(&pelton_batch_arena, length);
    pelton_format_into(text, length, format, arguments);
    return (pelton_text){text, length};
}

pelton_text pelton_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const pelton_text text = pelton_vformat(format, arguments);
    va_end(arguments);
    return text;
}
