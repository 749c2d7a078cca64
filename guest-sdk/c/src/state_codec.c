/* Keys and values of the state as bytes, the same as in every other SDK: a key's bytes sort as the keys do, a value is
 * MessagePack. */

#include <string.h>

#include "internal.h"

static void pelton_write_wide(pelton_buffer *to, pelton_uint128 bits, size_t size) {
    uint8_t *at = pelton_buffer_room(to, size);
    for (size_t i = size; i > 0; i--, bits >>= 8) at[i - 1] = (uint8_t)bits;
}

static pelton_uint128 pelton_read_wide(const uint8_t *at, size_t size) {
    pelton_uint128 bits = 0;
    for (size_t i = 0; i < size; i++) bits = bits << 8 | at[i];
    return bits;
}

static bool pelton_is_number(pelton_type type) {
    switch (type) {
    case PELTON__TYPE_smallint:
    case PELTON__TYPE_integer:
    case PELTON__TYPE_bigint:
    case PELTON__TYPE_uint16:
    case PELTON__TYPE_uint32:
    case PELTON__TYPE_uint64:
    case PELTON__TYPE_int128:
    case PELTON__TYPE_uint128: return true;
    default: return false;
    }
}

static bool pelton_is_signed(pelton_type type) {
    return type != PELTON__TYPE_uint16 && type != PELTON__TYPE_uint32 && type != PELTON__TYPE_uint64 &&
           type != PELTON__TYPE_uint128;
}

static pelton_int128 pelton_load_number(pelton_type type, const void *from) {
    switch (type) {
    case PELTON__TYPE_smallint: return *(const int16_t *)from;
    case PELTON__TYPE_integer: return *(const int32_t *)from;
    case PELTON__TYPE_bigint: return *(const int64_t *)from;
    case PELTON__TYPE_uint16: return *(const uint16_t *)from;
    case PELTON__TYPE_uint32: return *(const uint32_t *)from;
    case PELTON__TYPE_uint64: return *(const uint64_t *)from;
    default: {
        pelton_int128 wide;
        memcpy(&wide, from, sizeof(wide));
        return wide;
    }
    }
}

/* Stores a number; false when it does not fit. */
static bool pelton_store_number(pelton_type type, pelton_int128 number, void *to) {
    const size_t size = pelton_types[type].size;
    memcpy(to, &number, size); /* little-endian, as WebAssembly and every machine that tests run on */
    return size == 16 || pelton_load_number(type, to) == number;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pelton_store_number takes the first bytes of a number");

/* --- Keys --- */

static void pelton_write_key_part(pelton_buffer *to, const pelton_field *field, const void *key) {
    const uint8_t *from = (const uint8_t *)key + field->offset;
    if (pelton_is_number(field->type)) {
        const size_t size = pelton_types[field->type].size;
        pelton_uint128 bits = (pelton_uint128)pelton_load_number(field->type, from);
        /* With the sign bit flipped, negative numbers sort first. */
        if (pelton_is_signed(field->type)) bits ^= (pelton_uint128)1 << (8 * size - 1);
        pelton_write_wide(to, bits, size);
    } else if (field->type == PELTON__TYPE_boolean) {
        pelton_buffer_byte(to, *from != 0);
    } else if (field->type == PELTON__TYPE_real || field->type == PELTON__TYPE_double_precision) {
        pelton_crash("a key of the state can't be a float");
    } else if (field->type != PELTON__TYPE_unit) {
        /* A zero byte becomes 0 255, the end is 0 0: so the end sorts before whatever else may follow. */
        const pelton_text text = *(const pelton_text *)(const void *)from;
        for (size_t i = 0; i < text.len; i++) {
            pelton_buffer_byte(to, (uint8_t)text.ptr[i]);
            if (text.ptr[i] == 0) pelton_buffer_byte(to, 0xff);
        }
        pelton_buffer_append(to, "\0", 2);
    }
}

static bool pelton_read_key_part(pelton_reader *from, const pelton_field *field, void *key) {
    uint8_t *to = (uint8_t *)key + field->offset;
    const uint8_t *taken;
    if (pelton_is_number(field->type)) {
        const size_t size = pelton_types[field->type].size;
        if (!pelton_take(from, size, &taken)) return false;
        pelton_uint128 bits = pelton_read_wide(taken, size);
        if (pelton_is_signed(field->type)) bits ^= (pelton_uint128)1 << (8 * size - 1);
        memcpy(to, &bits, size);
        return true;
    }
    if (field->type == PELTON__TYPE_boolean) {
        if (!pelton_take(from, 1, &taken) || *taken > 1) return false;
        *(bool *)to = *taken == 1;
        return true;
    }
    if (field->type == PELTON__TYPE_unit) return true;
    char *letters = (char *)pelton_arena_alloc(&pelton_batch_arena, (size_t)(from->end - from->at));
    size_t length = 0;
    for (;;) {
        if (!pelton_take(from, 1, &taken)) return false;
        if (*taken == 0) {
            if (!pelton_take(from, 1, &taken)) return false;
            if (*taken == 0) break;
            if (*taken != 0xff) return false;
            letters[length++] = 0;
        } else {
            letters[length++] = (char)*taken;
        }
    }
    *(pelton_text *)(void *)to = (pelton_text){letters, length};
    return true;
}

/* --- Values --- */

static void pelton_write_state_scalar(pelton_buffer *to, pelton_type type, const void *from) {
    if (type == PELTON__TYPE_uint64 || type == PELTON__TYPE_int128 || type == PELTON__TYPE_uint128) {
        /* What an int of MessagePack can't hold travels as bytes. */
        const size_t size = pelton_types[type].size;
        pelton_write_sized(to, 0xc4, size, 1);
        pelton_write_wide(to, (pelton_uint128)pelton_load_number(type, from), size);
    } else if (pelton_is_number(type)) {
        pelton_write_int(to, (int64_t)pelton_load_number(type, from));
    } else if (type == PELTON__TYPE_unit) {
        pelton_write_null(to);
    } else {
        pelton_write_stored(to, type, from);
    }
}

static bool pelton_read_state_scalar(pelton_reader *from, pelton_type type, void *to) {
    pelton_raw value;
    if (!pelton_read_value(from, &value)) return false;
    if (type == PELTON__TYPE_uint64 || type == PELTON__TYPE_int128 || type == PELTON__TYPE_uint128) {
        const size_t size = pelton_types[type].size;
        if (value.is != PELTON_RAW_BYTES || value.bytes.len != size) return false;
        const pelton_uint128 bits = pelton_read_wide(value.bytes.ptr, size);
        memcpy(to, &bits, size);
        return true;
    }
    if (pelton_is_number(type)) return value.is == PELTON_RAW_INT && pelton_store_number(type, value.integer, to);
    if (type == PELTON__TYPE_unit) return value.is == PELTON_RAW_NULL;
    return pelton_store(type, value, to) == PELTON_FITTING;
}

static void pelton_write_state_field(pelton_buffer *to, const pelton_field *field, const void *value) {
    const uint8_t *from = (const uint8_t *)value + field->offset;
    if (field->role == PELTON__ROLE_list) {
        pelton_list_text list; /* every list is a pointer and a count */
        memcpy(&list, from, sizeof(list));
        pelton_write_array(to, list.count);
        const uint8_t *item = (const uint8_t *)list.items;
        for (size_t i = 0; i < list.count; i++, item += pelton_types[field->type].size)
            pelton_write_state_scalar(to, field->type, item);
    } else if (pelton_field_is_optional(field)) {
        /* An array of none or one. */
        const bool is_there = *(const pelton_presence *)(const void *)((const uint8_t *)value + field->is_offset) == PELTON_VALUE;
        pelton_write_array(to, is_there);
        if (is_there) pelton_write_state_scalar(to, field->type, from);
    } else {
        pelton_write_state_scalar(to, field->type, from);
    }
}

static bool pelton_read_state_field(pelton_reader *from, const pelton_field *field, void *value) {
    uint8_t *to = (uint8_t *)value + field->offset;
    uint32_t count;
    if (field->role == PELTON__ROLE_list) {
        const size_t size = pelton_types[field->type].size;
        /* Each item takes a byte at least. */
        if (!pelton_read_array(from, &count) || count > (size_t)(from->end - from->at)) return false;
        uint8_t *items = (uint8_t *)pelton_alloc(count * size);
        for (uint32_t i = 0; i < count; i++)
            if (!pelton_read_state_scalar(from, field->type, items + i * size)) return false;
        const pelton_list_text list = {(const pelton_text *)(const void *)items, count};
        memcpy(to, &list, sizeof(list));
        return true;
    }
    if (!pelton_field_is_optional(field)) return pelton_read_state_scalar(from, field->type, to);
    if (!pelton_read_array(from, &count) || count > 1) return false;
    *pelton_is_of(field, value) = count == 1 ? PELTON_VALUE : PELTON_NULL;
    return count == 0 || pelton_read_state_scalar(from, field->type, to);
}

static void pelton_write_state_value(pelton_buffer *to, const pelton_state_map *map, const void *value) {
    if (map->value_count != 1 || map->as_array) pelton_write_array(to, map->value_count);
    for (size_t i = 0; i < map->value_count; i++) pelton_write_state_field(to, &map->value[i], value);
}

/* Reads a value whose texts are slices of `bytes`. */
static bool pelton_read_state_value(pelton_bytes bytes, const pelton_state_map *map, void *value) {
    pelton_reader from = {bytes.ptr, bytes.ptr + bytes.len};
    uint32_t count;
    if (map->value_count != 1 || map->as_array)
        if (!pelton_read_array(&from, &count) || count != map->value_count) return false;
    for (size_t i = 0; i < map->value_count; i++)
        if (!pelton_read_state_field(&from, &map->value[i], value)) return false;
    return from.at == from.end;
}
