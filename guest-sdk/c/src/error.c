/* What can go wrong in a transform, in the three ways that the host tells apart; the log; and crashes. */

#include <string.h>

#include "internal.h"

pelton_failure pelton_failed;

pelton_result pelton_fail(pelton_result how, const char *code, uint32_t after_ms, pelton_text message) {
    pelton_failed = (pelton_failure){pelton_text_of(code), message, after_ms};
    return how;
}

pelton_result pelton_reject(const char *code, const char *message, ...) {
    va_list arguments;
    va_start(arguments, message);
    const pelton_text text = pelton_vformat(message, arguments);
    va_end(arguments);
    const pelton_text copy = pelton_concat(pelton_text_of(code)); /* the author's may be a buffer of the moment */
    pelton_failed = (pelton_failure){copy, text, 0};
    return PELTON_REJECTED;
}

pelton_result pelton_retry(uint32_t after_ms, const char *message, ...) {
    va_list arguments;
    va_start(arguments, message);
    const pelton_text text = pelton_vformat(message, arguments);
    va_end(arguments);
    return pelton_fail(PELTON_RETRY, "", after_ms, text);
}

pelton_result pelton_fatal(const char *message, ...) {
    va_list arguments;
    va_start(arguments, message);
    const pelton_text text = pelton_vformat(message, arguments);
    va_end(arguments);
    return pelton_fail(PELTON_FATAL, "", 0, text);
}

static pelton_result pelton_malformed(void) {
    return pelton_fatal(
        "the host's batch ends too early or is not what the contract says: host and SDK do not fit together");
}

bool pelton_enabled(pelton_level level) { return pelton_host_enabled(level); }

void pelton__log(pelton_level level, const pelton_log_field *fields, size_t count, const char *message, ...) {
    va_list arguments;
    va_start(arguments, message);
    const pelton_text text = pelton_vformat(message, arguments);
    va_end(arguments);
    pelton_host_log(level, text, fields, count);
}

PELTON__PRINTF(3, 4) static pelton_text pelton_place(char *room, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const size_t length = pelton_format_into(room, size, format, arguments);
    va_end(arguments);
    return (pelton_text){room, length < size ? length : size};
}

/* What is logged takes no memory that could be lacking: that may be why. */
_Noreturn void pelton__crash(const char *file, int line, const char *message, ...) {
    char text[1024] = "the transform crashed: ", at[512];
    const size_t head = strlen(text);
    va_list arguments;
    va_start(arguments, message);
    size_t length = head + pelton_format_into(text + head, sizeof(text) - head, message, arguments);
    va_end(arguments);
    if (length > sizeof(text)) length = sizeof(text);
    const pelton_log_field field = {"at", pelton_place(at, sizeof(at), "%s:%d", file, line)};
    pelton_host_log(PELTON_ERROR, (pelton_text){text, length}, &field, 1);
    __builtin_trap();
}

#ifdef __wasm__
/* What a failed assert() calls; the C library's own would write to stderr, which a sandbox does not have. */
_Noreturn void __assert_fail(const char *expression, const char *file, int line, const char *function);
_Noreturn void __assert_fail(const char *expression, const char *file, int line, const char *function) {
    pelton__crash(file, line, "assertion failed in %s: %s", function, expression);
}
#endif
