//! What the destination's catalog says of a table.

use tokio_postgres::Client;
use tokio_postgres::types::Oid;

/// A relation by its name.
pub(super) struct Found {
    pub oid: Oid,
    pub relkind: String,
    pub row_security: bool,
    pub truncate: bool,
    /// The first privilege that the role lacks.
    pub lacks: Option<&'static str>,
}

/// A column of the table.
pub(super) struct FoundColumn {
    pub name: String,
    /// As `format_type` prints it, with its modifier.
    pub type_name: String,
    pub modifier: i32,
    /// The same of a domain's own type.
    pub base_modifier: i32,
    pub not_null: bool,
    pub has_default: bool,
    pub generated: bool,
    pub identity_always: bool,
    /// Qualified and quoted, without modifier.
    pub cast: String,
    pub is_domain: bool,
    /// The type itself, or what the domain is made of.
    pub base: Oid,
    /// `format_type` of `base`, and its bare name.
    pub base_name: String,
    pub base_bare_name: String,
    pub is_enum: bool,
    /// `pg_type.typcategory` of `base`.
    pub category: String,
    pub deterministic: bool,
    /// Qualified and quoted, where it is not that of the column's type.
    pub collation: Option<String>,
    /// The equality operator of the type's default btree operator class.
    pub equals: Option<String>,
    /// A cast from text that is not what the type's input function does.
    pub odd_cast: bool,
}

/// A unique or exclusion index.
pub(super) struct FoundIndex {
    /// Fit for ON CONFLICT: unique, checked at once, valid, over plain columns, without a condition.
    pub fit: bool,
    pub columns: Vec<String>,
    pub equals: Vec<String>,
}

/// A foreign key from or to the table.
pub(super) struct FoundReference {
    pub from: Oid,
    pub to: Oid,
    /// Deleting a row that is referred to changes others.
    pub reaches: bool,
}

/// Finds a relation by name, whatever it is.
pub(super) async fn relation(
    client: &Client,
    schema: &str,
    table: &str,
) -> Result<Option<Found>, tokio_postgres::Error> {
    let sql = "
        SELECT c.oid, c.relkind::text, row_security_active(c.oid), has_table_privilege(c.oid, 'TRUNCATE'),
               CASE WHEN NOT has_schema_privilege(n.oid, 'USAGE') THEN 'USAGE'
                    WHEN NOT has_any_column_privilege(c.oid, 'SELECT') THEN 'SELECT'
                    WHEN NOT has_any_column_privilege(c.oid, 'INSERT') THEN 'INSERT'
                    WHEN NOT has_any_column_privilege(c.oid, 'UPDATE') THEN 'UPDATE'
                    WHEN NOT has_table_privilege(c.oid, 'DELETE') THEN 'DELETE' END
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1::text AND c.relname = $2::text";
    let Some(row) = client.query_opt(sql, &[&schema, &table]).await? else {
        return Ok(None);
    };
    let lacks = row.get::<_, Option<&str>>(4).map(|lacks| {
        ["USAGE", "SELECT", "INSERT", "UPDATE"].into_iter().find(|name| *name == lacks).unwrap_or("DELETE")
    });
    Ok(Some(Found { oid: row.get(0), relkind: row.get(1), row_security: row.get(2), truncate: row.get(3), lacks }))
}

pub(super) async fn columns(client: &Client, table: Oid) -> Result<Vec<FoundColumn>, tokio_postgres::Error> {
    // varchar has no operator class of its own, it uses that of text. Casts from text that are functions: those to
    // "char" (18), name (19) and xml (142) do what the input function does; that to regclass knows names only, where the
    // input function takes '-' and numbers too; what a user's does nobody knows.
    let sql = "
        SELECT a.attname::text, format_type(t.oid, a.atttypmod), a.atttypmod, a.attnotnull,
               a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', a.attidentity = 'a',
               quote_ident(n.nspname) || '.' || quote_ident(t.typname), t.typtype = 'd',
               b.oid, format_type(b.oid, NULL), b.typname::text, b.typtype = 'e', b.typcategory::text,
               coalesce(l.collisdeterministic, true),
               (SELECT 'OPERATOR(' || quote_ident(opn.nspname) || '.' || o.oprname || ')'
                FROM pg_catalog.pg_opclass oc
                JOIN pg_catalog.pg_am am ON am.oid = oc.opcmethod AND am.amname = 'btree'
                JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
                                          AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
                JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr
                JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace
                WHERE oc.opcdefault AND oc.opcintype = CASE WHEN b.oid = 1043 THEN 25 ELSE b.oid END LIMIT 1),
               EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castsource = 25 AND c.casttarget IN (t.oid, b.oid)
                       AND c.castfunc <> 0 AND c.casttarget NOT IN (18, 19, 142)),
               CASE WHEN a.attcollation <> t.typcollation
                    THEN quote_ident(ln.nspname) || '.' || quote_ident(l.collname) END,
               base.modifier
        FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
        JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
        CROSS JOIN LATERAL (
            WITH RECURSIVE base(oid, typtype, typbasetype, typtypmod, modifier) AS (
                SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, a.atttypmod
                UNION ALL
                SELECT p.oid, p.typtype, p.typbasetype, p.typtypmod, base.typtypmod
                FROM base JOIN pg_catalog.pg_type p ON p.oid = base.typbasetype WHERE base.typtype = 'd')
            SELECT base.oid, base.modifier FROM base WHERE base.typtype <> 'd') AS base
        JOIN pg_catalog.pg_type b ON b.oid = base.oid
        LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
        LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum";
    let read = |row: &tokio_postgres::Row| FoundColumn {
        name: row.get(0),
        type_name: row.get(1),
        modifier: row.get(2),
        not_null: row.get(3),
        has_default: row.get(4),
        generated: row.get(5),
        identity_always: row.get(6),
        cast: row.get(7),
        is_domain: row.get(8),
        base: row.get(9),
        base_name: row.get(10),
        base_bare_name: row.get(11),
        is_enum: row.get(12),
        category: row.get(13),
        deterministic: row.get(14),
        equals: row.get(15),
        odd_cast: row.get(16),
        collation: row.get(17),
        base_modifier: row.get(18),
    };
    Ok(client.query(sql, &[&table]).await?.iter().map(read).collect())
}

pub(super) async fn indexes(client: &Client, table: Oid) -> Result<Vec<FoundIndex>, tokio_postgres::Error> {
    // The index's own equality and collation must be those that ON CONFLICT and our WHERE clauses go by.
    let sql = "
        SELECT i.indisunique AND i.indimmediate AND i.indisvalid AND i.indislive
               AND i.indpred IS NULL AND i.indexprs IS NULL
               AND coalesce(bool_and(i.indcollation[k] = a.attcollation), false),
               coalesce(array_agg(a.attname::text ORDER BY k) FILTER (WHERE a.attname IS NOT NULL), '{}'),
               coalesce(array_agg('OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')' ORDER BY k)
                        FILTER (WHERE a.attname IS NOT NULL), '{}')
        FROM pg_catalog.pg_index i
        CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) k
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
        LEFT JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[k]
        LEFT JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
                                       AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
        LEFT JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr
        LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
        WHERE i.indrelid = $1 AND (i.indisunique OR i.indisexclusion)
        GROUP BY i.indexrelid, i.indisprimary, i.indisunique, i.indimmediate, i.indisvalid, i.indislive,
                 i.indpred IS NULL, i.indexprs IS NULL
        ORDER BY i.indisprimary DESC, i.indexrelid";
    let read = |row: &tokio_postgres::Row| {
        let equals: Vec<Option<String>> = row.get(2);
        let known = equals.iter().all(Option::is_some);
        FoundIndex {
            fit: row.get::<_, bool>(0) && known,
            columns: row.get(1),
            equals: equals.into_iter().flatten().collect(),
        }
    };
    Ok(client.query(sql, &[&table]).await?.iter().map(read).collect())
}

/// What else may refuse rows: foreign keys, triggers of users, and whether a constraint can be deferred.
pub(super) struct FoundConstraints {
    pub references: Vec<FoundReference>,
    pub triggers: bool,
    pub deferrable: bool,
}

pub(super) async fn constraints(client: &Client, table: Oid) -> Result<FoundConstraints, tokio_postgres::Error> {
    // A foreign key of a partitioned table has a copy for each partition, on either side. To a partition such a copy is
    // its own. What refers to the table is listed once, without the partitions of what refers to it, which go with it;
    // what the table refers to decides an order only, in which partitions may be listed too.
    let references = client
        .query(
            "SELECT c.conrelid, c.confrelid, c.confdeltype NOT IN ('a', 'r')
             FROM pg_catalog.pg_constraint c LEFT JOIN pg_catalog.pg_constraint p ON p.oid = c.conparentid
             WHERE c.contype = 'f'
               AND (c.conrelid = $1 OR c.confrelid = $1 AND p.confrelid IS DISTINCT FROM c.confrelid)",
            &[&table],
        )
        .await?;
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger
                            WHERE tgrelid = $1 AND NOT tgisinternal AND tgenabled <> 'D'),
                    EXISTS (SELECT FROM pg_catalog.pg_constraint
                            WHERE (conrelid = $1 OR confrelid = $1) AND condeferrable)",
            &[&table],
        )
        .await?;
    Ok(FoundConstraints {
        references: references
            .iter()
            .map(|row| FoundReference { from: row.get(0), to: row.get(1), reaches: row.get(2) })
            .collect(),
        triggers: row.get(0),
        deferrable: row.get(1),
    })
}

/// Finds a type by the name that a public schema gives it, and returns how a column of it is declared, modifier
/// included, and what it is made of: (declaration, oid of its base type).
///
/// A type of any length may be named as `format_type` prints it: `"bit"`, where `bit` alone is one of length 1.
///
/// The name comes from a transform. It is compared with the names of the types that there are; it is never parsed by
/// the server, nor put into a statement.
pub(super) async fn resolve_type(
    client: &Client,
    name: &str,
    modifier: i32,
) -> Result<Option<(String, Oid)>, tokio_postgres::Error> {
    let sql = "
        SELECT format_type(t.oid, CASE WHEN $2::int4 < 0 OR t.typtype = 'd' THEN NULL ELSE $2::int4 END),
               (WITH RECURSIVE base(oid, typtype, typbasetype) AS (
                    SELECT t.oid, t.typtype, t.typbasetype
                    UNION ALL
                    SELECT p.oid, p.typtype, p.typbasetype
                    FROM base JOIN pg_catalog.pg_type p ON p.oid = base.typbasetype WHERE base.typtype = 'd')
                SELECT base.oid FROM base WHERE base.typtype <> 'd')
        FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
        WHERE t.typisdefined AND t.typtype <> 'p'
          AND (format_type(t.oid, NULL) = $1::text OR format_type(t.oid, -1) = $1::text
               OR n.nspname = 'pg_catalog' AND t.typname = $1::text
               OR n.nspname = 'pg_catalog' AND '_' || left($1::text, -2) = t.typname AND right($1::text, 2) = '[]')
        ORDER BY format_type(t.oid, NULL) = $1::text DESC LIMIT 1";
    let row = client.query_opt(sql, &[&name, &modifier]).await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}
