/* MessagePack, as far as batches need it: read in place and written straight into the output. Whatever the host's bytes
 * are, reading them ends in a value or in false, never beyond their end. */

#include <string.h>

#include "internal.h"

static inline uint64_t pelton_big_endian(const uint8_t *at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value = value << 8 | at[i];
    return value;
}

static inline bool pelton_take(pelton_reader *reader, size_t size, const uint8_t **taken) {
    if (PELTON_UNLIKELY(!PELTON_FITS(reader->end - reader->at, size))) return false;
    *taken = reader->at;
    reader->at += size;
    return true;
}

static inline bool pelton_number(pelton_reader *reader, size_t size, uint64_t *number) {
    const uint8_t *taken;
    if (!pelton_take(reader, size, &taken)) return false;
    *number = pelton_big_endian(taken, size);
    return true;
}

static inline bool pelton_slice(pelton_reader *reader, uint64_t length, pelton_bytes *slice) {
    slice->len = (size_t)length;
    return length <= SIZE_MAX && pelton_take(reader, (size_t)length, &slice->ptr);
}

bool pelton_read_array(pelton_reader *reader, uint32_t *length) {
    uint64_t marker, number;
    if (!pelton_number(reader, 1, &marker)) return false;
    if (marker >= 0x90 && marker <= 0x9f) number = marker & 0x0f;
    else if (marker == 0xdc || marker == 0xdd) {
        if (!pelton_number(reader, marker == 0xdc ? 2 : 4, &number)) return false;
    } else return false;
    *length = (uint32_t)number;
    return true;
}

bool pelton_read_array_or_nil(pelton_reader *reader, uint32_t *length, bool *nil) {
    *nil = reader->at < reader->end && *reader->at == 0xc0;
    if (*nil) {
        reader->at++;
        *length = 0;
        return true;
    }
    return pelton_read_array(reader, length);
}

bool pelton_read_index(pelton_reader *reader, uint32_t *index) {
    uint64_t number;
    if (!pelton_number(reader, 1, &number)) return false;
    if (number >= 0xcc && number <= 0xcf) {
        if (!pelton_number(reader, (size_t)1 << (number - 0xcc), &number)) return false;
    } else if (number > 0x7f) return false;
    *index = (uint32_t)number;
    return number <= UINT32_MAX;
}

bool pelton_read_value(pelton_reader *reader, pelton_raw *value) {
    if (PELTON_UNLIKELY(reader->at == reader->end)) return false;
    const uint8_t marker = *reader->at++;
    uint64_t number;
    if (marker <= 0x7f || marker >= 0xe0) {
        *value = (pelton_raw){.is = PELTON_RAW_INT, .integer = (int8_t)marker};
        return true;
    }
    if (marker >= 0xa0 && marker <= 0xbf) {
        value->is = PELTON_RAW_TEXT;
        return pelton_slice(reader, marker & 0x1f, &value->bytes);
    }
    switch (marker) {
    case 0xc0: value->is = PELTON_RAW_NULL; return true;
    case 0xc2:
    case 0xc3: *value = (pelton_raw){.is = PELTON_RAW_BOOL, .boolean = marker == 0xc3}; return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        value->is = PELTON_RAW_BYTES;
        return pelton_number(reader, (size_t)1 << (marker - 0xc4), &number) && pelton_slice(reader, number, &value->bytes);
    case 0xd9:
    case 0xda:
    case 0xdb:
        value->is = PELTON_RAW_TEXT;
        return pelton_number(reader, (size_t)1 << (marker - 0xd9), &number) && pelton_slice(reader, number, &value->bytes);
    case 0xca: {
        if (!pelton_number(reader, 4, &number)) return false;
        const uint32_t bits = (uint32_t)number;
        float narrow;
        memcpy(&narrow, &bits, sizeof(narrow));
        *value = (pelton_raw){.is = PELTON_RAW_FLOAT, .number = (double)narrow};
        return true;
    }
    case 0xcb:
        value->is = PELTON_RAW_FLOAT;
        if (!pelton_number(reader, 8, &number)) return false;
        memcpy(&value->number, &number, sizeof(number));
        return true;
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        if (!pelton_number(reader, (size_t)1 << (marker - 0xcc), &number) || number > INT64_MAX) return false;
        *value = (pelton_raw){.is = PELTON_RAW_INT, .integer = (int64_t)number};
        return true;
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3: {
        const size_t size = (size_t)1 << (marker - 0xd0);
        if (!pelton_number(reader, size, &number)) return false;
        const unsigned unused = 64 - 8 * (unsigned)size;
        *value = (pelton_raw){.is = PELTON_RAW_INT, .integer = (int64_t)(number << unused) >> unused};
        return true;
    }
    case 0xd4: /* the extension type 1 with one byte, which is zero */
        value->is = PELTON_RAW_UNCHANGED;
        return pelton_number(reader, 2, &number) && number == 0x0100;
    default: return false;
    }
}

bool pelton_skip_value(pelton_reader *reader) {
    if (PELTON_UNLIKELY(reader->at == reader->end)) return false;
    const uint8_t marker = *reader->at++, *skipped;
    uint64_t length = 0;
    if (marker <= 0x7f || marker >= 0xe0) return true;
    if (marker >= 0xa0 && marker <= 0xbf) return pelton_take(reader, marker & 0x1f, &skipped);
    switch (marker) {
    case 0xc0:
    case 0xc2:
    case 0xc3: return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        if (!pelton_number(reader, (size_t)1 << (marker - 0xc4), &length)) return false;
        break;
    case 0xd9:
    case 0xda:
    case 0xdb:
        if (!pelton_number(reader, (size_t)1 << (marker - 0xd9), &length)) return false;
        break;
    case 0xcc:
    case 0xd0: length = 1; break;
    case 0xcd:
    case 0xd1:
    case 0xd4: length = 2; break;
    case 0xca:
    case 0xce:
    case 0xd2: length = 4; break;
    case 0xcb:
    case 0xcf:
    case 0xd3: length = 8; break;
    default: return false;
    }
    return pelton_take(reader, (size_t)length, &skipped);
}

bool pelton_skip_row(pelton_reader *reader) {
    uint32_t columns;
    bool nil;
    if (!pelton_read_array_or_nil(reader, &columns, &nil)) return false;
    while (columns-- > 0)
        if (!pelton_skip_value(reader)) return false;
    return true;
}

/* Writes a marker and a number of `size` bytes behind it. */
static inline void pelton_write_sized(pelton_buffer *to, uint8_t marker, uint64_t number, size_t size) {
    uint8_t *at = pelton_buffer_room(to, 1 + size);
    at[0] = marker;
    for (size_t i = size; i > 0; i--, number >>= 8) at[i] = (uint8_t)number;
}

void pelton_write_array(pelton_buffer *to, size_t length) {
    if (length <= 15) pelton_buffer_byte(to, (uint8_t)(0x90 | length));
    else if (length <= 0xffff) pelton_write_sized(to, 0xdc, length, 2);
    else pelton_write_sized(to, 0xdd, length, 4);
}

void pelton_write_null(pelton_buffer *to) { pelton_buffer_byte(to, 0xc0); }

void pelton_write_unchanged(pelton_buffer *to) { pelton_write_sized(to, 0xd4, 0x0100, 2); }

void pelton_write_bool(pelton_buffer *to, bool value) { pelton_buffer_byte(to, value ? 0xc3 : 0xc2); }

/* Writes an integer in its shortest form. */
void pelton_write_int(pelton_buffer *to, int64_t value) {
    const uint64_t bits = (uint64_t)value;
    if (value >= -32 && value <= 0x7f) pelton_buffer_byte(to, (uint8_t)bits);
    else if (value >= 0) {
        if (value <= 0xff) pelton_write_sized(to, 0xcc, bits, 1);
        else if (value <= 0xffff) pelton_write_sized(to, 0xcd, bits, 2);
        else if (value <= 0xffffffff) pelton_write_sized(to, 0xce, bits, 4);
        else pelton_write_sized(to, 0xcf, bits, 8);
    } else if (value >= INT8_MIN) pelton_write_sized(to, 0xd0, bits, 1);
    else if (value >= INT16_MIN) pelton_write_sized(to, 0xd1, bits, 2);
    else if (value >= INT32_MIN) pelton_write_sized(to, 0xd2, bits, 4);
    else pelton_write_sized(to, 0xd3, bits, 8);
}

void pelton_write_float32(pelton_buffer *to, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    pelton_write_sized(to, 0xca, bits, 4);
}

void pelton_write_float64(pelton_buffer *to, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    pelton_write_sized(to, 0xcb, bits, 8);
}

void pelton_write_text(pelton_buffer *to, pelton_text value) {
    if (value.len <= 31) pelton_buffer_byte(to, (uint8_t)(0xa0 | value.len));
    else if (value.len <= 0xff) pelton_write_sized(to, 0xd9, value.len, 1);
    else if (value.len <= 0xffff) pelton_write_sized(to, 0xda, value.len, 2);
    else pelton_write_sized(to, 0xdb, value.len, 4);
    pelton_buffer_append(to, value.ptr, value.len);
}

void pelton_write_bytes(pelton_buffer *to, pelton_bytes value) {
    if (value.len <= 0xff) pelton_write_sized(to, 0xc4, value.len, 1);
    else if (value.len <= 0xffff) pelton_write_sized(to, 0xc5, value.len, 2);
    else pelton_write_sized(to, 0xc6, value.len, 4);
    pelton_buffer_append(to, value.ptr, value.len);
}

void pelton_write_raw(pelton_buffer *to, pelton_raw value) {
    switch (value.is) {
    case PELTON_RAW_NULL: pelton_write_null(to); break;
    case PELTON_RAW_UNCHANGED: pelton_write_unchanged(to); break;
    case PELTON_RAW_BOOL: pelton_write_bool(to, value.boolean); break;
    case PELTON_RAW_INT: pelton_write_int(to, value.integer); break;
    case PELTON_RAW_FLOAT: pelton_write_float64(to, value.number); break;
    case PELTON_RAW_TEXT:
        pelton_write_text(to, (pelton_text){(const char *)value.bytes.ptr, value.bytes.len});
        break;
    case PELTON_RAW_BYTES: pelton_write_bytes(to, value.bytes); break;
    }
}
