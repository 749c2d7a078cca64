/* The transforms that the tests run. */
#ifndef ROWS_H
#define ROWS_H

#include "../pelton_test.h"

#define ITEM(X)                            \
    X(key, bigint, id)                     \
    X(plain, text, name, .name = "title")  \
    X(nullable, integer, size)             \
    X(toasted, text, body)                 \
    X(plain, boolean, hidden)
PELTON_SOURCE(item, "shop.items", ITEM)

#define PUBLIC_ITEM(X) X(key, bigint, id) X(plain, text, name) X(nullable, integer, size) X(toasted, text, body)
PELTON_PUBLIC(public_item, "items", 2, 1, PUBLIC_ITEM)

static pelton_result public_item_of(const item *item, public_item *to) {
    if (item->hidden) return PELTON_NONE;
    *to = (public_item){item->id, item->name, item->size, item->body};
    return PELTON_OK;
}
PELTON_MAP(items, item, public_item, public_item_of)
PELTON_TABLE(item, items)

static const pelton_transform items_transform = {.name = "items", .tables = {&items_table}, .publishes = {public_item_schema}};

#endif
