/* Memory: an arena for what lives until the batch is done, and a buffer for what is written. */

#include <stdlib.h>
#include <string.h>

#include "internal.h"

typedef struct pelton_block {
    struct pelton_block *next;
    size_t capacity;
    _Alignas(16) uint8_t bytes[];
} pelton_block;

enum { PELTON_BLOCK_BYTES = 64 << 10 };

pelton_arena pelton_batch_arena;

static void *pelton_must(void *memory) {
    if (PELTON_UNLIKELY(memory == NULL)) pelton_crash("the transform is out of memory");
    return memory;
}

void *pelton_arena_alloc(pelton_arena *arena, size_t size) {
    if (PELTON_UNLIKELY(size > SIZE_MAX / 4)) pelton_must(NULL);
    size = (size + 15) & ~(size_t)15;
    pelton_block *block = arena->current;
    if (block == NULL || !PELTON_FITS(block->capacity - arena->used, size)) {
        pelton_block *next = block == NULL ? arena->first : block->next;
        if (next == NULL || next->capacity < size) {
            const size_t capacity = size > PELTON_BLOCK_BYTES ? size : PELTON_BLOCK_BYTES;
            pelton_block *made = (pelton_block *)pelton_must(malloc(sizeof(pelton_block) + capacity));
            made->capacity = capacity;
            made->next = next;
            if (block == NULL) arena->first = made;
            else block->next = made;
            next = made;
        }
        arena->current = block = next;
        arena->used = 0;
    }
    void *memory = block->bytes + arena->used;
    arena->used += size;
    return memory;
}

/* Keeps blocks of the usual size for the next batch; larger ones held one large thing, and the next is of another size. */
void pelton_arena_reset(pelton_arena *arena) {
    for (pelton_block **at = &arena->first; *at != NULL;) {
        pelton_block *block = *at;
        if (block->capacity > PELTON_BLOCK_BYTES) {
            *at = block->next;
            free(block);
        } else {
            at = &block->next;
        }
    }
    arena->current = NULL;
    arena->used = 0;
}

void *pelton_alloc(size_t size) {
    return memset(pelton_arena_alloc(&pelton_batch_arena, size), 0, size);
}

void pelton_buffer_grow(pelton_buffer *buffer, size_t more) {
    if (PELTON_UNLIKELY(more > SIZE_MAX / 4 - buffer->length)) pelton_must(NULL);
    size_t capacity = buffer->capacity + buffer->capacity / 2;
    if (capacity < buffer->length + more) capacity = buffer->length + more;
    if (capacity < 256) capacity = 256;
    buffer->bytes = (uint8_t *)pelton_must(realloc(buffer->bytes, capacity));
    buffer->capacity = capacity;
}

static inline uint8_t *pelton_buffer_room(pelton_buffer *buffer, size_t size) {
    if (PELTON_UNLIKELY(!PELTON_FITS(buffer->capacity - buffer->length, size))) pelton_buffer_grow(buffer, size);
    uint8_t *room = buffer->bytes + buffer->length;
    buffer->length += size;
    return room;
}

static void pelton_buffer_append(pelton_buffer *buffer, const void *bytes, size_t size) {
    if (size > 0) memcpy(pelton_buffer_room(buffer, size), bytes, size);
}

static void pelton_buffer_byte(pelton_buffer *buffer, uint8_t byte) { *pelton_buffer_room(buffer, 1) = byte; }
