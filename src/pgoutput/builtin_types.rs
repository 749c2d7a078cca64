//! The built-in types, by their OIDs, which are the same in every cluster and never given anew.
//!
//! Made with PostgreSQL 18 from its own catalog; earlier versions have some of them less, none otherwise:
//!
//! ```sql
//! SELECT oid, format_type(oid, -1) FROM pg_type WHERE oid < 10000 AND typtype <> 'p' ORDER BY oid;
//! ```
//!
//! Each was tried in `CREATE TABLE` on 14 and 18; `pg_attribute` and the array of `cstring`, which no column can have, are
//! left out.
//!
//! An array is a type that `typarray` of another one points to; `int2vector` and `oidvector` are subscripted like arrays,
//! but are written otherwise. The type modifier -1 matters: `"bit"` and `bpchar` are of any length, `bit` and `character`
//! of length 1.

/// (oid, name) of the types that have no [`Kind`](crate::change::Kind) of their own and are no arrays.
#[rustfmt::skip]
pub(super) const OTHERS: &[(u32, &str)] = &[
    (18, "\"char\""), (22, "int2vector"), (24, "regproc"), (26, "oid"), (27, "tid"), (28, "xid"), (29, "cid"),
    (30, "oidvector"), (71, "pg_type"), (81, "pg_proc"), (83, "pg_class"), (142, "xml"), (194, "pg_node_tree"), (600, "point"),
    (601, "lseg"), (602, "path"), (603, "box"), (604, "polygon"), (628, "line"), (650, "cidr"), (718, "circle"),
    (774, "macaddr8"), (790, "money"), (829, "macaddr"), (869, "inet"), (1033, "aclitem"), (1248, "pg_database"),
    (1560, "\"bit\""), (1562, "bit varying"), (1790, "refcursor"), (2202, "regprocedure"), (2203, "regoper"),
    (2204, "regoperator"), (2205, "regclass"), (2206, "regtype"), (2842, "pg_authid"), (2843, "pg_auth_members"),
    (2970, "txid_snapshot"), (3220, "pg_lsn"), (3361, "pg_ndistinct"), (3402, "pg_dependencies"), (3614, "tsvector"),
    (3615, "tsquery"), (3642, "gtsvector"), (3734, "regconfig"), (3769, "regdictionary"), (3904, "int4range"),
    (3906, "numrange"), (3908, "tsrange"), (3910, "tstzrange"), (3912, "daterange"), (3926, "int8range"),
    (4066, "pg_shseclabel"), (4072, "jsonpath"), (4089, "regnamespace"), (4096, "regrole"), (4191, "regcollation"),
    (4451, "int4multirange"), (4532, "nummultirange"), (4533, "tsmultirange"), (4534, "tstzmultirange"),
    (4535, "datemultirange"), (4536, "int8multirange"), (4600, "pg_brin_bloom_summary"),
    (4601, "pg_brin_minmax_multi_summary"), (5017, "pg_mcv_list"), (5038, "pg_snapshot"), (5069, "xid8"),
    (6101, "pg_subscription"),
];

/// (oid, name of the element) of the arrays.
#[rustfmt::skip]
pub(super) const ARRAYS: &[(u32, &str)] = &[
    (143, "xml"), (199, "json"), (210, "pg_type"),
    (271, "xid8"), (272, "pg_proc"), (273, "pg_class"), (629, "line"), (651, "cidr"), (719, "circle"),
    (775, "macaddr8"), (791, "money"), (1000, "boolean"), (1001, "bytea"), (1002, "\"char\""), (1003, "name"),
    (1005, "smallint"), (1006, "int2vector"), (1007, "integer"), (1008, "regproc"), (1009, "text"), (1010, "tid"),
    (1011, "xid"), (1012, "cid"), (1013, "oidvector"), (1014, "bpchar"), (1015, "character varying"),
    (1016, "bigint"), (1017, "point"), (1018, "lseg"), (1019, "path"), (1020, "box"), (1021, "real"),
    (1022, "double precision"), (1027, "polygon"), (1028, "oid"), (1034, "aclitem"), (1040, "macaddr"),
    (1041, "inet"), (1115, "timestamp without time zone"), (1182, "date"), (1183, "time without time zone"),
    (1185, "timestamp with time zone"), (1187, "interval"), (1231, "numeric"),
    (1270, "time with time zone"), (1561, "\"bit\""), (1563, "bit varying"), (2201, "refcursor"),
    (2207, "regprocedure"), (2208, "regoper"), (2209, "regoperator"), (2210, "regclass"), (2211, "regtype"),
    (2949, "txid_snapshot"), (2951, "uuid"), (3221, "pg_lsn"), (3643, "tsvector"), (3644, "gtsvector"),
    (3645, "tsquery"), (3735, "regconfig"), (3770, "regdictionary"), (3807, "jsonb"), (3905, "int4range"),
    (3907, "numrange"), (3909, "tsrange"), (3911, "tstzrange"), (3913, "daterange"), (3927, "int8range"),
    (4073, "jsonpath"), (4090, "regnamespace"), (4097, "regrole"), (4192, "regcollation"), (5039, "pg_snapshot"),
    (6150, "int4multirange"), (6151, "nummultirange"), (6152, "tsmultirange"), (6153, "tstzmultirange"),
    (6155, "datemultirange"), (6157, "int8multirange"),
];
