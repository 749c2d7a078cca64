/* Settings: what the manifest tells a transform. */

#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Reads a text into a setting; the words are those of every SDK. */
static const char *pelton_read_setting(const pelton_field *field, pelton_text text, void *to) {
    const pelton_type type = field->type;
    int64_t number;
    switch (type) {
    case PELTON__TYPE_boolean: {
        const bool is_true = pelton_text_is(text, "true");
        memcpy(to, &is_true, sizeof(is_true));
        return is_true || pelton_text_is(text, "false") ? NULL : "true or false";
    }
    case PELTON__TYPE_smallint:
    case PELTON__TYPE_integer:
    case PELTON__TYPE_bigint: {
        const size_t size = pelton_types[type].size;
        const unsigned unused = 64 - 8 * (unsigned)size;
        if (!pelton_text_to_bigint(text, &number)) return "an integer";
        if ((int64_t)((uint64_t)number << unused) >> unused != number) return "an integer";
        const pelton_raw raw = {.is = PELTON_RAW_INT, .integer = number};
        pelton_store(type, raw, to);
        return NULL;
    }
    case PELTON__TYPE_real:
    case PELTON__TYPE_double_precision: {
        double value;
        if (field->number((pelton_numeric){text}, &value) != PELTON_OK) return "a number";
        pelton_store(type, (pelton_raw){.is = PELTON_RAW_FLOAT, .number = value}, to);
        return NULL;
    }
    default:
        memcpy(to, &text, sizeof(text));
        return NULL;
    }
}

/* Returns a setting's text as it was given, or its preset, or no text. */
static pelton_text pelton_setting_text(const pelton_field *field, const pelton_start *start) {
    for (size_t i = 0; i < start->settings_count; i++)
        if (pelton_text_is(start->settings[i].name, pelton_field_name(field))) return start->settings[i].value;
    return pelton_text_of(field->preset);
}

/* Makes the author's struct, with the texts behind it, for they outlive the call that brings them. */
static pelton_result pelton_settings_read(pelton_settings_fields settings, const pelton_start *start, void **made) {
    size_t size = settings.size;
    for (size_t i = 0; i < settings.fields_count; i++) size += pelton_setting_text(&settings.fields[i], start).len;
    uint8_t *to = (uint8_t *)pelton_must(calloc(1, size));
    char *texts = (char *)to + settings.size;
    *made = to;
    for (size_t i = 0; i < settings.fields_count; i++) {
        const pelton_field *field = &settings.fields[i];
        const char *name = pelton_field_name(field);
        pelton_text text = pelton_setting_text(field, start);
        if (text.ptr == NULL) {
            if (!pelton_field_nullable(field))
                return pelton_fatal("setting `%s` is missing: %s", name, field->doc == NULL ? "" : field->doc);
            continue;
        }
        if (text.len > 0) memcpy(texts, text.ptr, text.len);
        text.ptr = texts;
        texts += text.len;
        const char *expected = pelton_read_setting(field, text, to + field->offset);
        /* Not the text itself: a setting may be a secret. */
        if (expected != NULL) return pelton_fatal("setting `%s` must be %s", name, expected);
        if (pelton_field_nullable(field)) *pelton_is_of(field, to) = PELTON_VALUE;
    }
    return PELTON_OK;
}
