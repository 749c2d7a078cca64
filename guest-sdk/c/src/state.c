/* State: a transform's own keys and values, committed together with the rows that it made.
 *
 * Reads are remembered and writes collected until the batch ends, so the host is called once a batch to write, and once a
 * key to read it first, or once for all that is read ahead. When a batch fails, all of it is forgotten, here and at the
 * host. */

#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* What is kept of this batch before it goes to the host, and is read again after that. */
enum { PELTON_KEPT_BYTES_MAX = 4 << 20 };
/* How many bytes of keys are asked for at once. */
enum { PELTON_AHEAD_BYTES_MAX = 1 << 20 };

typedef struct pelton_kept {
    pelton_bytes key, value;
    bool exists, written;
} pelton_kept;

/* What is kept: entries in the order in which they came, found by hash. */
static struct {
    pelton_kept *entries;
    size_t count, capacity;
    uint32_t *slots; /* 0: free, else an entry's index and one */
    size_t slots_count, bytes;
    pelton_arena arena;
    pelton_buffer scratch;
    bool open;
} pelton_overlay;

struct pelton_ahead {
    pelton_state_entry *entries;
    size_t count, capacity, bytes;
};

static void pelton_forget(void) {
    pelton_overlay.count = 0;
    pelton_overlay.bytes = 0;
    if (pelton_overlay.slots_count > 0) memset(pelton_overlay.slots, 0, pelton_overlay.slots_count * sizeof(uint32_t));
    pelton_arena_reset(&pelton_overlay.arena);
}

void pelton_state_open(void) {
    pelton_forget(); /* the last batch may have failed */
    pelton_overlay.open = true;
}

void pelton_state_close(void) {
    pelton_forget();
    pelton_overlay.open = false;
}

/* Refuses what belongs to no batch: it would be committed with none, and seen in some runs only. */
static pelton_result pelton_check_open(void) {
    if (pelton_overlay.open) return PELTON_OK;
    return pelton_fatal("the transform uses its state outside of a batch, as in `init`: read and write it in the functions "
                        "that take changes");
}

static bool pelton_same_bytes(pelton_bytes a, pelton_bytes b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static uint32_t *pelton_slot_of(pelton_bytes key) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++) hash = (hash ^ key.ptr[i]) * 0x100000001b3u;
    size_t at = (size_t)(hash ^ hash >> 32);
    for (;; at++) {
        uint32_t *slot = &pelton_overlay.slots[at & (pelton_overlay.slots_count - 1)];
        if (*slot == 0 || pelton_same_bytes(pelton_overlay.entries[*slot - 1].key, key)) return slot;
    }
}

static pelton_kept *pelton_kept_of(pelton_bytes key) {
    if (pelton_overlay.count == 0) return NULL;
    const uint32_t found = *pelton_slot_of(key);
    return found == 0 ? NULL : &pelton_overlay.entries[found - 1];
}

/* Makes room for one entry more: at most half of the slots are taken. */
static void pelton_overlay_grow(void) {
    if (pelton_overlay.count == pelton_overlay.capacity) {
        pelton_overlay.capacity = pelton_overlay.capacity == 0 ? 64 : pelton_overlay.capacity * 2;
        const size_t size = pelton_overlay.capacity * sizeof(pelton_kept);
        pelton_overlay.entries = (pelton_kept *)pelton_must(realloc(pelton_overlay.entries, size));
    }
    if (2 * (pelton_overlay.count + 1) <= pelton_overlay.slots_count) return;
    free(pelton_overlay.slots);
    pelton_overlay.slots_count = pelton_overlay.slots_count == 0 ? 128 : pelton_overlay.slots_count * 2;
    pelton_overlay.slots = (uint32_t *)pelton_must(calloc(pelton_overlay.slots_count, sizeof(uint32_t)));
    for (size_t i = 0; i < pelton_overlay.count; i++)
        *pelton_slot_of(pelton_overlay.entries[i].key) = (uint32_t)i + 1;
}

static pelton_bytes pelton_copy_bytes(pelton_arena *arena, pelton_bytes bytes) {
    uint8_t *copy = (uint8_t *)pelton_arena_alloc(arena, bytes.len);
    if (bytes.len > 0) memcpy(copy, bytes.ptr, bytes.len);
    return (pelton_bytes){copy, bytes.len};
}

pelton_result pelton_state_flush(void) {
    pelton_state_entry *entries = (pelton_state_entry *)pelton_alloc(pelton_overlay.count * sizeof(pelton_state_entry));
    size_t count = 0;
    for (size_t i = 0; i < pelton_overlay.count; i++) {
        pelton_kept *kept = &pelton_overlay.entries[i];
        if (!kept->written) continue;
        kept->written = false;
        entries[count++] = (pelton_state_entry){kept->key, kept->value, kept->exists};
    }
    return count == 0 ? PELTON_OK : pelton_host_put(entries, count);
}

static pelton_result pelton_keep(pelton_bytes key, pelton_bytes value, bool exists, bool written) {
    pelton_kept *kept = pelton_kept_of(key);
    if (kept == NULL) {
        pelton_overlay_grow();
        key = pelton_copy_bytes(&pelton_overlay.arena, key);
        *pelton_slot_of(key) = (uint32_t)pelton_overlay.count + 1;
        kept = &pelton_overlay.entries[pelton_overlay.count++];
        *kept = (pelton_kept){.key = key};
    }
    kept->value = pelton_copy_bytes(&pelton_overlay.arena, value);
    kept->exists = exists;
    kept->written = written;
    pelton_overlay.bytes += key.len + value.len;
    if (pelton_overlay.bytes <= PELTON_KEPT_BYTES_MAX) return PELTON_OK;
    PELTON_TRY(pelton_state_flush());
    pelton_forget();
    return PELTON_OK;
}

/* Writes a map's prefix, its name and a zero byte, and then the key, if there is one. */
static pelton_bytes pelton_key_bytes(const pelton_state_map *map, const void *key) {
    pelton_buffer *to = &pelton_overlay.scratch;
    to->length = 0;
    pelton_buffer_append(to, map->name, strlen(map->name) + 1);
    for (size_t i = 0; key != NULL && i < map->key_count; i++) pelton_write_key_part(to, &map->key[i], key);
    return (pelton_bytes){to->bytes, to->length};
}

static pelton_result pelton_unreadable_state(const pelton_state_map *map) {
    return pelton_fatal("the state `%s` holds what this version of the transform can't read: its types were changed, so "
                        "raise state_version and rebuild",
                        map->name);
}

static pelton_result pelton_decode(const pelton_state_map *map, pelton_bytes bytes, bool exists, const void **value) {
    *value = NULL;
    if (!exists) return PELTON_OK;
    /* Copied, for what is kept may be forgotten before the batch is done. */
    const pelton_bytes copy = pelton_copy_bytes(&pelton_batch_arena, bytes);
    void *decoded = pelton_alloc(map->value_size);
    if (!pelton_read_state_value(copy, map, decoded)) return pelton_unreadable_state(map);
    *value = decoded;
    return PELTON_OK;
}

static int pelton_by_key(const void *a, const void *b) {
    const pelton_bytes x = ((const pelton_state_entry *)a)->key, y = ((const pelton_state_entry *)b)->key;
    const size_t shorter = x.len < y.len ? x.len : y.len;
    const int order = shorter == 0 ? 0 : memcmp(x.ptr, y.ptr, shorter);
    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

/* Asks the host for what is not kept, each key once, and keeps it. */
static pelton_result pelton_fetch(pelton_state_entry *entries, size_t count) {
    qsort(entries, count, sizeof(*entries), pelton_by_key);
    size_t unknown = 0;
    for (size_t i = 0; i < count; i++) {
        if (unknown > 0 && pelton_same_bytes(entries[unknown - 1].key, entries[i].key)) continue;
        if (pelton_kept_of(entries[i].key) == NULL) entries[unknown++] = entries[i];
    }
    if (unknown == 0) return PELTON_OK;
    PELTON_TRY(pelton_host_get(entries, unknown));
    for (size_t i = 0; i < unknown; i++)
        PELTON_TRY(pelton_keep(entries[i].key, entries[i].value, entries[i].exists, false));
    return PELTON_OK;
}

pelton_result pelton__state_get(const pelton_state_map *map, const void *keys, size_t count, const void **values) {
    PELTON_TRY(pelton_check_open());
    pelton_state_entry *wanted = (pelton_state_entry *)pelton_alloc(count * sizeof(pelton_state_entry));
    pelton_state_entry *unknown = (pelton_state_entry *)pelton_alloc(count * sizeof(pelton_state_entry));
    size_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        const pelton_bytes key = pelton_key_bytes(map, (const uint8_t *)keys + i * map->key_size);
        const pelton_kept *kept = pelton_kept_of(key);
        if (kept != NULL) {
            /* Decoded at once: what is fetched below may push it out. */
            PELTON_TRY(pelton_decode(map, kept->value, kept->exists, &values[i]));
            continue;
        }
        wanted[i].key = pelton_copy_bytes(&pelton_batch_arena, key);
        unknown[missing++] = wanted[i];
    }
    if (missing == 0) return PELTON_OK;
    qsort(unknown, missing, sizeof(*unknown), pelton_by_key);
    size_t distinct = 0;
    for (size_t i = 0; i < missing; i++)
        if (distinct == 0 || !pelton_same_bytes(unknown[distinct - 1].key, unknown[i].key)) unknown[distinct++] = unknown[i];
    PELTON_TRY(pelton_host_get(unknown, distinct));
    for (size_t i = 0; i < count; i++) {
        if (wanted[i].key.ptr == NULL) continue;
        const pelton_state_entry *found =
            (const pelton_state_entry *)bsearch(&wanted[i], unknown, distinct, sizeof(*unknown), pelton_by_key);
        PELTON_TRY(pelton_decode(map, found->value, found->exists, &values[i]));
    }
    for (size_t i = 0; i < distinct; i++)
        PELTON_TRY(pelton_keep(unknown[i].key, unknown[i].value, unknown[i].exists, false));
    return PELTON_OK;
}

pelton_result pelton__state_put(const pelton_state_map *map, const void *key, const void *value) {
    PELTON_TRY(pelton_check_open());
    pelton_bytes bytes = pelton_key_bytes(map, key), encoded = {NULL, 0};
    const size_t key_length = bytes.len;
    if (value != NULL) {
        pelton_write_state_value(&pelton_overlay.scratch, map, value);
        bytes.ptr = pelton_overlay.scratch.bytes; /* it may have moved */
        encoded = (pelton_bytes){bytes.ptr + key_length, pelton_overlay.scratch.length - key_length};
    }
    return pelton_keep(bytes, encoded, value != NULL, true);
}

pelton_result pelton__state_scan(const pelton_state_map *map, const void *after, uint32_t limit, size_t entry_size,
                                 size_t value_offset, void **entries, size_t *count) {
    PELTON_TRY(pelton_check_open());
    PELTON_TRY(pelton_state_flush());
    const pelton_bytes prefix = pelton_copy_bytes(&pelton_batch_arena, pelton_key_bytes(map, NULL));
    const pelton_bytes from = pelton_copy_bytes(&pelton_batch_arena, pelton_key_bytes(map, after));
    pelton_state_entry *found;
    size_t found_count;
    PELTON_TRY(pelton_host_scan(prefix, after == NULL ? NULL : &from, limit, &found, &found_count));
    uint8_t *decoded = (uint8_t *)pelton_alloc(found_count * entry_size);
    *entries = decoded;
    for (size_t i = 0; i < found_count; i++, decoded += entry_size) {
        const pelton_bytes key = found[i].key;
        if (key.len < prefix.len) return pelton_unreadable_state(map);
        pelton_reader reader = {key.ptr + prefix.len, key.ptr + key.len};
        for (size_t k = 0; k < map->key_count; k++)
            if (!pelton_read_key_part(&reader, &map->key[k], decoded)) return pelton_unreadable_state(map);
        if (reader.at != reader.end || !pelton_read_state_value(found[i].value, map, decoded + value_offset))
            return pelton_unreadable_state(map);
    }
    *count = found_count;
    return PELTON_OK;
}

void pelton__ahead_read(pelton_ahead *ahead, const pelton_state_map *map, const void *key) {
    if (ahead->bytes >= PELTON_AHEAD_BYTES_MAX) return;
    if (ahead->count == ahead->capacity) {
        const size_t capacity = ahead->capacity == 0 ? 64 : ahead->capacity * 2;
        pelton_state_entry *more = (pelton_state_entry *)pelton_alloc(capacity * sizeof(pelton_state_entry));
        if (ahead->count > 0) memcpy(more, ahead->entries, ahead->count * sizeof(pelton_state_entry));
        ahead->entries = more;
        ahead->capacity = capacity;
    }
    const pelton_bytes bytes = pelton_copy_bytes(&pelton_batch_arena, pelton_key_bytes(map, key));
    ahead->bytes += bytes.len;
    ahead->entries[ahead->count++] = (pelton_state_entry){.key = bytes};
}
