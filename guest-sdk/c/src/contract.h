/* The records of wit/transform.wit as the canonical ABI lays them out in memory, which is how C lays out the same structs
 * for wasm32. The contract is frozen and small, so they are written by hand; contract_layout.h, made of wit/transform.wit,
 * holds them to it whenever a transform is compiled. */

typedef struct contract_attrs {
    const pelton_pair *items;
    size_t count;
} contract_attrs;

typedef struct contract_kind {
    uint8_t tag;
    pelton_text name;
} contract_kind;

typedef struct contract_column {
    pelton_text name;
    contract_kind kind;
    uint32_t type_oid;
    int32_t type_modifier;
    bool nullable, key;
    contract_attrs attrs;
} contract_column;

typedef struct contract_columns {
    const contract_column *items;
    size_t count;
} contract_columns;

typedef struct contract_relation {
    uint32_t id, version;
    pelton_text schema, name;
    uint8_t identity;
    contract_columns columns;
    contract_attrs attrs;
} contract_relation;

typedef struct contract_relations {
    const contract_relation *items;
    size_t count;
} contract_relations;

typedef struct contract_subscription {
    pelton_text schema, table;
    struct { const pelton_text *items; size_t count; } columns;
    struct { const uint8_t *items; size_t count; } ops;
    contract_attrs attrs;
} contract_subscription;

typedef struct contract_public_schema {
    pelton_text name;
    uint32_t major, minor;
    contract_columns columns;
    contract_attrs attrs;
} contract_public_schema;

typedef struct contract_setting {
    pelton_text name;
    bool required;
    struct { bool is_there; pelton_text value; } preset; /* `default` in the contract */
    pelton_text doc;
} contract_setting;

typedef struct contract_descriptor {
    pelton_text name, version;
    uint8_t encoding;
    struct { const contract_subscription *items; size_t count; } subscriptions;
    struct { const contract_public_schema *items; size_t count; } public_schemas;
    struct { const contract_setting *items; size_t count; } settings;
    bool parallel, whole_transactions, stateful;
    uint32_t state_version;
    contract_attrs attrs;
} contract_descriptor;

typedef struct contract_span {
    uint32_t xid, epoch;
    uint64_t commit_lsn;
    int64_t commit_time;
    uint8_t phase;
    uint32_t first, count;
    bool complete;
    contract_attrs attrs;
} contract_span;

typedef struct contract_retry {
    pelton_text message;
    uint32_t after_ms;
} contract_retry;

typedef pelton_rejection contract_rejection;

typedef struct contract_error {
    uint8_t tag;
    union {
        contract_retry retryable;
        contract_rejection rejected;
        pelton_text fatal;
    };
} contract_error;

typedef struct contract_output {
    uint32_t count;
    pelton_bytes payload;
    struct { const contract_rejection *items; size_t count; } rejected;
} contract_output;

/* What the exports return, and the imports too. */
typedef struct contract_result {
    uint8_t is_error;
    union {
        contract_error error;
        contract_descriptor descriptor;
        contract_output output;
        struct { const void *items; size_t count; } list;
    };
} contract_result;

/* The state: option<bytes>, tuple<key, option<bytes>> and tuple<key, bytes>. */
typedef struct contract_value {
    uint8_t is_there;
    pelton_bytes bytes;
} contract_value;

typedef struct contract_entry {
    pelton_bytes key;
    contract_value value;
} contract_entry;

typedef struct contract_found {
    pelton_bytes key, value;
} contract_found;

#include "contract_layout.h"
