//! The statements of a backfill.

use std::fmt::Write;

use super::key::{Key, KeySpec};
use super::read::What;
use super::table::TablePlan;
use crate::change::Relation;
use crate::postgres::{quote_ident, quote_literal, quote_table};

/// Opens a chunk's transaction.
///
/// The lock comes before the snapshot, which the first query takes. TRUNCATE and the forms of ALTER TABLE that rewrite a
/// table are not MVCC-safe: to a snapshot from before them the table looks empty. They take a lock that waits for ours,
/// so that none can come between the snapshot and the read; one that came before the lock is seen by the snapshot.
pub(super) fn begin(plan: &TablePlan) -> String {
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SETTINGS}; LOCK TABLE {} IN ACCESS SHARE MODE",
        source(plan)
    )
}

/// Opens the transaction in which a table is copied whole.
pub(super) fn begin_whole(plan: &TablePlan, snapshot: &str) -> String {
    format!("{}; {}", begin_under(snapshot), lock(plan))
}

/// Opens a transaction under an exported snapshot.
pub(in crate::engine) fn begin_under(snapshot: &str) -> String {
    let snapshot = quote_literal(snapshot);
    format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {snapshot}; {SETTINGS}")
}

/// Keeps a table from being rewritten until the transaction ends.
pub(in crate::engine) fn lock(plan: &TablePlan) -> String {
    format!("LOCK TABLE {} IN ACCESS SHARE MODE", source(plan))
}

/// Says whether the table with the OID `$1`, or a partition of it, has other files than at the time of the snapshot.
///
/// An exported snapshot is older than our lock. What rewrote the table in between (ALTER TABLE, TRUNCATE, and harmlessly
/// VACUUM FULL) would make it look empty. The query sees `relfilenode` under the snapshot, the function as it is today.
pub(in crate::engine) const WAS_REWRITTEN: &str = "\
    SELECT coalesce(pg_catalog.bool_or(c.relfilenode <> 0 AND \
           c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)), false) \
    FROM pg_catalog.pg_class c WHERE c.oid = $1::oid \
         OR c.oid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree($1::oid) t)";

/// Row-level security would hide rows that the stream brings; with it off, the server refuses the query instead.
const SETTINGS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
                        SET LOCAL row_security = off; SET LOCAL jit = off";

/// Takes the snapshot, and says what the table is like under it.
///
/// Columns: snapshot, position, the received position of a standby, the table's OID, its published columns' names, type
/// OIDs and modifiers, the row filter, whether it is published at all.
const OPEN: &str = "\
    SELECT pg_catalog.pg_current_snapshot()::text, \
           CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()::text \
                ELSE pg_catalog.pg_current_wal_insert_lsn()::text END, \
           CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()::text END, \
           c.oid, \
           ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
                 AND NOT a.attisdropped AND PUBLISHED ORDER BY a.attnum), \
           ARRAY(SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
                 AND NOT a.attisdropped AND PUBLISHED ORDER BY a.attnum), \
           ARRAY(SELECT a.atttypmod FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
                 AND NOT a.attisdropped AND PUBLISHED ORDER BY a.attnum), \
           p.j->>'rowfilter', p.j IS NOT NULL \
    FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid \
    LEFT JOIN LATERAL (SELECT pg_catalog.to_jsonb(t) FROM pg_catalog.pg_publication_tables t WHERE t.pubname = $1::text \
         AND t.schemaname = n.nspname AND t.tablename = c.relname) AS p(j) ON true \
    WHERE n.nspname = $2::text AND c.relname = $3::text";

/// Returns [`OPEN`] as it is sent.
///
/// PostgreSQL 14 names no columns: then all are published. Before 18 generated columns are never in the stream, although
/// `pg_publication_tables` of some versions lists them.
pub(super) fn open() -> String {
    OPEN.replace(
        "PUBLISHED",
        "(p.j->'attnames' IS NULL OR p.j->'attnames' ? a.attname::text) AND (a.attgenerated = '' OR \
         pg_catalog.current_setting('server_version_num')::int >= 180000 AND p.j->'attnames' ? a.attname::text)",
    )
}

/// Returns the COPY that reads `what`, with the columns of `relation`.
pub(super) fn copy(plan: &TablePlan, relation: &Relation, row_filter: Option<&str>, what: Option<&What>) -> String {
    let columns: Vec<String> = relation.columns.iter().map(|column| quote_ident(&column.name)).collect();
    let mut sql = format!("COPY (SELECT {} FROM {}", columns.join(", "), source(plan));
    let mut glue = " WHERE ";
    if let Some(filter) = row_filter {
        let _ = write!(sql, "{glue}({filter})");
        glue = " AND ";
    }
    if let (Some(what), Some(key)) = (what, &plan.key) {
        match what {
            What::Range { after, rows_max } => {
                if let Some(after) = after {
                    let _ = write!(sql, "{glue}{} > {}", key_columns(key), key_values(key, after));
                }
                let names: Vec<String> = key.columns.iter().map(|column| quote_ident(&column.name)).collect();
                let _ = write!(sql, " ORDER BY {} LIMIT {rows_max}", names.join(", "));
            }
            What::Keys(keys) => {
                let values: Vec<String> = keys.iter().map(|values| key_values(key, values)).collect();
                let _ = write!(sql, "{glue}{} IN ({})", key_columns(key), values.join(", "));
            }
        }
    }
    sql + ") TO STDOUT"
}

/// Returns the query that says of each key of `$1…` (one array of texts a column) whether it is greater than `bound`.
pub(super) fn is_greater(key: &KeySpec, bound: &Key) -> String {
    let numbers = 1..=key.columns.len();
    let arrays: Vec<String> = numbers.clone().map(|n| format!("pg_catalog.unnest(${n}::text[])")).collect();
    let names: Vec<String> = numbers.map(|n| format!("k{n}")).collect();
    let typed: Vec<String> = key
        .columns
        .iter()
        .zip(&names)
        .map(|(column, name)| {
            let collate = column.collation.as_ref().map(|c| format!(" COLLATE {c}")).unwrap_or_default();
            format!("q.{name}::{}{collate}", column.type_name)
        })
        .collect();
    format!(
        "SELECT ({}) > {} FROM ROWS FROM ({}) WITH ORDINALITY AS q({}, n) ORDER BY q.n",
        typed.join(", "),
        key_values(key, bound),
        arrays.join(", "),
        names.join(", ")
    )
}

/// Returns the statement whose plan guesses the number of rows.
pub(super) fn explain(plan: &TablePlan) -> String {
    format!("EXPLAIN (FORMAT JSON) SELECT FROM {}", from(plan))
}

/// Returns what stands behind FROM for all that is copied of a table: the table and its row filter.
pub(in crate::engine) fn from(plan: &TablePlan) -> String {
    let filter = plan.row_filter.as_ref().map(|filter| format!(" WHERE ({filter})")).unwrap_or_default();
    format!("{}{filter}", source(plan))
}

/// A plain table without the tables that inherit from it, whose changes come under their own names.
fn source(plan: &TablePlan) -> String {
    let table = quote_table(&plan.relation.schema, &plan.relation.name);
    if plan.partitioned { table } else { format!("ONLY {table}") }
}

fn key_columns(key: &KeySpec) -> String {
    let names: Vec<String> = key.columns.iter().map(|column| quote_ident(&column.name)).collect();
    format!("({})", names.join(", "))
}

fn key_values(key: &KeySpec, values: &Key) -> String {
    let typed = key.columns.iter().zip(values.texts());
    let typed: Vec<String> =
        typed.map(|(column, text)| format!("{}::{}", quote_literal(text), column.type_name)).collect();
    format!("({})", typed.join(", "))
}
