/* What can go wrong in a transform, in the three ways that the host tells apart; the log; and crashes. */

#include <stdio.h>
#include <string.h>

#include "internal.h"

pelton_failure pelton_failed;

pelton_text pelton_vformat(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    if (length < 0) pelton_crash("a message can't be formatted; is an argument of the type that the format says?");
    char *text = (char *)pelton_arena_alloc(&pelton_batch_arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return (pelton_text){text, (size_t)length};
}

pelton_text pelton_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const pelton_text text = pelton_vformat(format, arguments);
    va_end(arguments);
    return text;
}

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

/* Logs where a crash is. What is short goes without the arena: it may be what is full. */
static void pelton_log_crash(const char *file, int line, const char *message) {
    char at[512], text[1024];
    snprintf(at, sizeof(at), "%s:%d", file, line);
    snprintf(text, sizeof(text), "the transform panicked: %s", message);
    const pelton_log_field field = {"at", pelton_text_of(at)};
    pelton_host_log(PELTON_ERROR, pelton_text_of(text), &field, 1);
}

_Noreturn void pelton__crash(const char *file, int line, const char *message, ...) {
    char text[900];
    va_list arguments;
    va_start(arguments, message);
    vsnprintf(text, sizeof(text), message, arguments);
    va_end(arguments);
    pelton_log_crash(file, line, text);
    __builtin_trap();
}

#ifdef __wasm__
/* What a failed assert() calls; the C library's own would write to stderr, which a sandbox does not have. */
_Noreturn void __assert_fail(const char *expression, const char *file, int line, const char *function);
_Noreturn void __assert_fail(const char *expression, const char *file, int line, const char *function) {
    pelton__crash(file, line, "assertion failed in %s: %s", function, expression);
}
#endif
