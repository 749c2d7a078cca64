/* pelton_test.h: runs a transform in an ordinary program, without WebAssembly and without Pelton.
 *
 *     pelton_host *host = pelton_host_new(&pelton_exported);
 *     pelton_insert(host, order, (&(order){.id = 17, .customer = PELTON_TEXT("Ann")}));
 *     pelton_expect(pelton_run(host), "insert orders id=17 label=\"Ann\"\n");
 *     pelton_expect(pelton_table(host, public_order), "id=17 label=\"Ann\"\n");
 *     pelton_host_free(host);
 *
 * Compile pelton.c, pelton_test.c and the transform's sources for the machine at hand. Changes are encoded as the host
 * would, so what is tested is all but the sandbox: the descriptions of rows, what the replica identity sends, rejections,
 * and state that is committed with the rows or dropped with them. Texts that are returned live as long as the host. */
#ifndef PELTON_TEST_H
#define PELTON_TEST_H

#include "pelton.h"

typedef struct pelton_host pelton_host;

/* Makes a host for one transform, whose tables have their `key` fields as primary keys. */
pelton_host *pelton_host_new(const pelton_transform *transform);
void pelton_host_free(pelton_host *host);

/* Gives a setting, as the manifest would. */
void pelton_setting(pelton_host *host, const char *name, const char *value);

typedef enum pelton_replica_identity {
    PELTON_IDENTITY_DEFAULT,
    PELTON_IDENTITY_INDEX,
    PELTON_IDENTITY_FULL,
    PELTON_IDENTITY_NOTHING,
} pelton_replica_identity;
/* Sets a table's replica identity; until then it is the primary key. */
#define pelton_set_identity(host, source, identity) pelton__set_identity(host, source##_source(), identity)

/* The changes of a table: (host, source, row), and (host, source, old, new) for an update. An update sends as much of the
 * old row as the replica identity says. */
#define pelton_insert(host, source, row) pelton__change(host, source##_source(), PELTON_INSERT, PELTON__A(source, row), NULL)
#define pelton_update(host, source, old, row)                                                                        \
    pelton__change(host, source##_source(), PELTON_UPDATE, PELTON__A(source, row), PELTON__A(source, old))
#define pelton_delete(host, source, row) pelton__change(host, source##_source(), PELTON_DELETE, NULL, PELTON__A(source, row))
#define pelton_truncate(host, source) pelton__change(host, source##_source(), PELTON_TRUNCATE, NULL, NULL)

/* Ends the source transaction: what comes next belongs to another one. */
void pelton_commit(pelton_host *host);
/* Sets the commit time (the phase) of the transactions from now on. */
void pelton_commit_time(pelton_host *host, int64_t micros);
void pelton_set_phase(pelton_host *host, pelton_phase phase);
/* Replaces the instance, as the host may between any two batches: only the state survives. */
void pelton_restart(pelton_host *host);

/* Hands all changes since the last run to the transform, as one batch, and returns the public rows, a line each; NULL when
 * it failed. As at the host, a batch with rejected changes runs again without them, and what the state had before comes
 * back when it fails. A batch to be retried comes again with the next run. */
const char *pelton_run(pelton_host *host);
/* Returns why the last run failed: "fatal: …" or "retry after 50 ms: …". */
const char *pelton_error_of(const pelton_host *host);
/* Returns what the last run rejected, a line each: "1 negative: a message"; the number is the change's, since the run. */
const char *pelton_rejected(const pelton_host *host);
/* Returns what the last run logged, a line each: "warn: a message name=value". */
const char *pelton_logs(const pelton_host *host);
/* Returns how often the last run asked the host for values of the state: once, where all was read ahead. */
size_t pelton_state_reads(const pelton_host *host);
/* Returns the number of entries in the state. */
size_t pelton_state_len(const pelton_host *host);
/* Returns the rows of a public schema as they are at the destination now, in key order, a line each. */
#define pelton_table(host, row) pelton__table(host, row##_schema())

/* Between these two the state can be read and written: `share_get(&key, &value)`. What was written is kept. */
void pelton_state_begin(pelton_host *host);
void pelton_state_end(pelton_host *host);

/* Ends the program when two texts differ, and shows both. */
#define pelton_expect(found, expected) pelton__expect(__FILE__, __LINE__, found, expected)
/* Ends the program when a condition does not hold. */
#define pelton_expect_true(condition) pelton__expect(__FILE__, __LINE__, (condition) ? "true" : #condition, "true")

#define PELTON__A(source, row) (1 ? (row) : (const source *)NULL)
void pelton__set_identity(pelton_host *host, const pelton_source *source, pelton_replica_identity identity);
void pelton__change(pelton_host *host, const pelton_source *source, pelton_op op, const void *row, const void *old);
const char *pelton__table(pelton_host *host, const pelton_schema *schema);
void pelton__expect(const char *file, int line, const char *found, const char *expected);

#endif
