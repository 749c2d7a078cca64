/* A row of `public.kinds`: a column of every kind. */
#ifndef KINDS_H
#define KINDS_H

#include <pelton.h>

#define KINDS(X)                                            \
    X(key, bigint, id)                                      \
    X(nullable, boolean, c_bool)                            \
    X(nullable, smallint, c_int2)                           \
    X(nullable, integer, c_int4)                            \
    X(nullable, bigint, c_int8)                             \
    X(nullable, real, c_float4)                             \
    X(nullable, double_precision, c_float8)                 \
    X(nullable, numeric, c_numeric)                         \
    X(nullable, text, c_text)                               \
    X(nullable, bytea, c_bytea)                             \
    X(nullable, uuid, c_uuid)                               \
    X(nullable, json, c_json)                               \
    X(nullable, jsonb, c_jsonb)                             \
    X(nullable, date, c_date)                               \
    X(nullable, time, c_time)                               \
    X(nullable, timetz, c_timetz)                           \
    X(nullable, timestamp, c_timestamp)                     \
    X(nullable, timestamptz, c_timestamptz)                 \
    X(nullable, interval, c_interval)                       \
    X(nullable, text, c_enum, .kind = "enum")               \
    X(nullable, array, c_int4s, .kind = "integer[]")        \
    X(nullable, array, c_texts, .kind = "text[]")           \
    X(nullable, text, c_range, .kind = "int4range")         \
    X(toasted_nullable, text, c_large)
PELTON_SOURCE(kinds, "public.kinds", KINDS)

#define PARSED(X)                                           \
    X(key, bigint, id)                                      \
    X(nullable, numeric, numeric_doubled)                   \
    X(nullable, bigint, timestamp_micros)                   \
    X(nullable, bigint, timestamptz_micros)                 \
    X(nullable, bigint, date_days)                          \
    X(nullable, bigint, time_micros)                        \
    X(nullable, bigint, interval_months)                    \
    X(nullable, bigint, interval_days)                      \
    X(nullable, bigint, interval_micros)                    \
    X(plain, text, infinite)                                \
    X(nullable, integer, int4s_count)                       \
    X(nullable, bigint, int4s_sum)                          \
    X(nullable, array, texts_reversed, .kind = "text[]")    \
    X(nullable, numeric, uuid_number)                       \
    X(nullable, text, json_name)                            \
    X(toasted_nullable, integer, large_bytes)
PELTON_PUBLIC(parsed, "parsed", 1, 0, PARSED)

#define COUNTED(X) X(key, text, name) X(plain, bigint, n)
PELTON_PUBLIC(counted, "counts", 1, 0, COUNTED)

#define OPTIONS(X)                                                                                       \
    X(plain, text, greeting, .doc = "Stands before what is logged.")                                     \
    X(plain, bigint, limit, .preset = "10", .doc = "How often a name may be counted.")                   \
    X(nullable, text, label, .doc = "Is logged beside the greeting.")
PELTON_SETTINGS(options, OPTIONS)

/* What the accessors make of a row. */
pelton_result parse(const kinds *row, parsed *to);

/* What a logical message tells the transform to do. */
pelton_result obey(pelton_text command, bool transactional, pelton_out *out);

#endif
