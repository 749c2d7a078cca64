/* Holds reading and writing to wit/vectors/, as the host is. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../pelton_test.h"
#include "../src/internal.h"

static pelton_text a_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    char *text = (char *)pelton_alloc(1 << 20);
    const size_t length = fread(text, 1, 1 << 20, file);
    fclose(file);
    return (pelton_text){text, length};
}

static pelton_text member(pelton_text value, const char *name) {
    pelton_text found = {NULL, 0};
    pelton_json_member(value, name, &found);
    return found;
}

static pelton_text string(pelton_text value) {
    pelton_text text = {"", 0};
    pelton_json_string(value, &text);
    return text;
}

static bool is_null(pelton_text value) { return value.ptr == NULL || pelton_text_is(value, "null"); }

static uint32_t op_of(pelton_text change) {
    static const char *const ops[] = {"insert", "update", "delete", "truncate"};
    for (uint32_t op = 0; op < 4; op++)
        if (pelton_text_is(string(member(change, "op")), ops[op])) return op;
    abort();
}

static pelton_bytes unhex(pelton_text hex) {
    uint8_t *bytes = (uint8_t *)pelton_alloc(hex.len / 2 + 1);
    for (size_t i = 0; i < hex.len / 2; i++) bytes[i] = (uint8_t)strtoul((char[]){hex.ptr[2 * i], hex.ptr[2 * i + 1], 0}, NULL, 16);
    return (pelton_bytes){bytes, hex.len / 2};
}

/* A value of the vectors. */
static pelton_raw raw_of(pelton_text value, bool float32) {
    pelton_text inner, name;
    size_t at = 0;
    if (!pelton_json_next(value, &at, &name, &inner)) return (pelton_raw){.is = PELTON_RAW_NULL};
    const pelton_text text = string(inner);
    pelton_raw raw = {.is = PELTON_RAW_TEXT, .bytes = {(const uint8_t *)text.ptr, text.len}};
    if (pelton_text_is(name, "unchanged")) raw.is = PELTON_RAW_UNCHANGED;
    else if (pelton_text_is(name, "bool")) raw = (pelton_raw){.is = PELTON_RAW_BOOL, .boolean = pelton_text_is(inner, "true")};
    else if (pelton_text_is(name, "int")) {
        raw.is = PELTON_RAW_INT;
        if (!pelton_text_to_bigint(text, &raw.integer)) abort();
    } else if (pelton_text_is(name, "float")) {
        raw.is = PELTON_RAW_FLOAT;
        const char *number = pelton_text_string(text);
        raw.number = float32 ? (double)strtof(number, NULL) : strtod(number, NULL);
    } else if (pelton_text_is(name, "bytes")) raw = (pelton_raw){.is = PELTON_RAW_BYTES, .bytes = unhex(text)};
    else if (!pelton_text_is(name, "text")) abort();
    return raw;
}

static bool same(pelton_raw a, pelton_raw b) {
    if (a.is != b.is) return false;
    switch (a.is) {
    case PELTON_RAW_BOOL: return a.boolean == b.boolean;
    case PELTON_RAW_INT: return a.integer == b.integer;
    case PELTON_RAW_FLOAT: return memcmp(&a.number, &b.number, sizeof(double)) == 0 || (a.number != a.number && b.number != b.number);
    case PELTON_RAW_TEXT:
    case PELTON_RAW_BYTES: return a.bytes.len == b.bytes.len && (a.bytes.len == 0 || memcmp(a.bytes.ptr, b.bytes.ptr, a.bytes.len) == 0);
    default: return true;
    }
}

static void check_row(pelton_reader *reader, pelton_text expected) {
    uint32_t count;
    bool nil;
    pelton_expect_true(pelton_read_array_or_nil(reader, &count, &nil));
    pelton_expect_true(nil == is_null(expected));
    pelton_text value;
    for (size_t at = 0; !nil && pelton_json_next(expected, &at, NULL, &value); count--) {
        pelton_reader skipped = *reader;
        pelton_raw read;
        pelton_expect_true(pelton_read_value(reader, &read));
        pelton_expect_true(same(read, raw_of(value, false)) || same(read, raw_of(value, true)));
        pelton_expect_true(pelton_skip_value(&skipped) && skipped.at == reader->at);
    }
    pelton_expect_true(count == 0);
}

static size_t batches_are_read_as_the_host_writes_them(const char *folder) {
    pelton_text cases = a_file(pelton_text_string(pelton_format("%s/input.json", folder))), one, change;
    size_t count = 0;
    for (size_t at = 0; pelton_json_next(cases, &at, NULL, &one); count++) {
        const pelton_bytes bytes = unhex(string(member(one, "msgpack")));
        pelton_reader reader = {bytes.ptr, bytes.ptr + bytes.len};
        uint32_t left, number;
        pelton_expect_true(pelton_read_array(&reader, &left));
        for (size_t k = 0; pelton_json_next(member(one, "changes"), &k, NULL, &change); left--) {
            pelton_expect_true(pelton_read_array(&reader, &number) && number == 4);
            pelton_expect_true(pelton_read_index(&reader, &number) && number == op_of(change));
            pelton_expect_true(pelton_read_index(&reader, &number) && number == 0);
            check_row(&reader, member(change, "new"));
            const pelton_text old = member(change, "old"), key = member(old, "key");
            check_row(&reader, key.ptr != NULL ? key : member(old, "full"));
        }
        pelton_expect_true(left == 0 && reader.at == reader.end);
    }
    return count;
}

static void write_row(pelton_buffer *to, pelton_text row, pelton_text columns, bool keys_alone) {
    pelton_text value, column = {NULL, 0};
    size_t count = 0, place = 0;
    for (size_t at = 0; pelton_json_next(row, &at, NULL, &value);) count++;
    pelton_write_array(to, count);
    for (size_t at = 0; pelton_json_next(row, &at, NULL, &value);) {
        do {
            if (!pelton_json_next(columns, &place, NULL, &column)) abort();
        } while (keys_alone && !pelton_text_is(member(column, "key"), "true"));
        const bool float32 = pelton_text_is(string(member(column, "kind")), "float32");
        const pelton_raw raw = raw_of(value, float32);
        if (float32 && raw.is == PELTON_RAW_FLOAT) pelton_write_float32(to, (float)raw.number);
        else pelton_write_raw(to, raw);
    }
}

static int64_t number_of(pelton_text value) {
    int64_t number;
    if (!pelton_text_to_bigint(value, &number)) abort();
    return number;
}

static size_t rows_are_written_as_the_host_reads_them(const char *folder) {
    pelton_text cases = a_file(pelton_text_string(pelton_format("%s/output.json", folder))), one, row, schema;
    size_t count = 0;
    for (size_t at = 0; pelton_json_next(cases, &at, NULL, &one); count++) {
        pelton_buffer to = {0};
        size_t rows = 0;
        for (size_t k = 0; pelton_json_next(member(one, "rows"), &k, NULL, &row);) rows++;
        pelton_write_array(&to, rows);
        for (size_t k = 0; pelton_json_next(member(one, "rows"), &k, NULL, &row);) {
            const int64_t index = number_of(member(row, "public_schema"));
            size_t place = 0;
            for (int64_t i = 0; i <= index; i++)
                if (!pelton_json_next(member(one, "public_schemas"), &place, NULL, &schema)) abort();
            const pelton_text columns = member(schema, "columns");
            pelton_write_array(&to, 5);
            pelton_write_int(&to, index);
            pelton_write_int(&to, op_of(row));
            pelton_write_int(&to, number_of(member(row, "source")));
            write_row(&to, member(row, "values"), columns, false);
            if (is_null(member(row, "old_key"))) pelton_write_null(&to);
            else write_row(&to, member(row, "old_key"), columns, true);
        }
        const pelton_bytes expected = unhex(string(member(one, "msgpack")));
        if (to.length != expected.len || memcmp(to.bytes, expected.ptr, to.length) != 0) {
            fprintf(stderr, "%.*s: other bytes than the vector's\n", PELTON_ARG(string(member(one, "name"))));
            abort();
        }
        free(to.bytes);
    }
    return count;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    /* The files hold cases. */
    pelton_expect_true(batches_are_read_as_the_host_writes_them(arguments[1]) > 5);
    pelton_expect_true(rows_are_written_as_the_host_reads_them(arguments[1]) > 5);
    pelton_arena_reset(&pelton_batch_arena);
    return 0;
}
