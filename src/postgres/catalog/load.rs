//! Reading tables from the catalog: three queries for any number of them.

use std::collections::HashMap;

use tokio_postgres::{Client, Row};

use super::table::{
    Generated, Key, KeyColumn, Persistence, Table, TableColumn, TableKind, TableName, TypeKind, comparable,
};
use crate::change::ReplicaIdentity;
use crate::postgres::QueryError;
use crate::postgres::quote::quote_table;

/// Which tables to read.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// All ordinary and partitioned tables, partitions included, but those of Postgres itself.
    All,
    /// Those of these names, whatever they are; names that do not exist are left out.
    Named(&'a [TableName]),
    /// Those of these names and, of partitioned tables, all partitions.
    WithPartitions(&'a [TableName]),
    Oids(&'a [u32]),
}

const TABLES: &str = "\
    SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relreplident::text, \
           r.oid, rn.nspname::text, r.relname::text, c.relrowsecurity, \
           pg_catalog.obj_description(c.oid, 'pg_class') \
    FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_catalog.pg_class r ON c.relispartition AND r.oid = pg_catalog.pg_partition_root(c.oid) \
    LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace";

// The array type of an element names it back (`typarray`): so int2vector and the like are no arrays here, whose text
// is another.
const COLUMNS: &str = "\
    SELECT a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod, \
           pg_catalog.format_type(a.atttypid, a.atttypmod), t.typtype::text, \
           pg_catalog.format_type(e.oid, NULL), d.oid, pg_catalog.format_type(d.oid, NULL), \
           a.attnotnull OR t.typnotnull, a.attgenerated::text, a.attidentity <> '', \
           CASE WHEN t.typtype = 'e' THEN ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l \
                WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder) END, \
           pg_catalog.col_description(a.attrelid, a.attnum), \
           CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END \
    FROM pg_catalog.pg_attribute a \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid \
    LEFT JOIN LATERAL ( \
        WITH RECURSIVE under AS ( \
            SELECT t.oid, t.typtype, t.typbasetype WHERE t.typtype = 'd' \
            UNION ALL \
            SELECT b.oid, b.typtype, b.typbasetype FROM under u JOIN pg_catalog.pg_type b ON b.oid = u.typbasetype \
            WHERE u.typtype = 'd') \
        SELECT under.oid FROM under WHERE under.typtype <> 'd') d ON t.typtype = 'd' \
    WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped \
    ORDER BY a.attrelid, a.attnum";

// Indexes over expressions are no keys; `indkey` is 0 for an expression.
const KEYS: &str = "\
    SELECT i.indrelid, ic.relname::text, i.indisprimary, i.indisreplident, \
           i.indisvalid AND i.indimmediate AND i.indpred IS NULL, \
           i.indkey[k.n], i.indoption[k.n], cn.nspname::text, co.collname::text, \
           o.opcdefault AND i.indcollation[k.n] = a.attcollation \
    FROM pg_catalog.pg_index i \
    JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid \
    CROSS JOIN LATERAL pg_catalog.generate_series(0, i.indnkeyatts - 1) AS k(n) \
    JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[k.n] \
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n] \
    LEFT JOIN pg_catalog.pg_collation co ON co.oid = i.indcollation[k.n] \
    LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
    WHERE i.indrelid = ANY ($1::oid[]) AND i.indisunique AND i.indislive AND i.indexprs IS NULL \
    ORDER BY i.indrelid, NOT i.indisprimary, ic.relname, i.indexrelid, k.n";

/// Reads tables, ordered by schema and name.
///
/// # Errors
/// [`QueryError`].
pub async fn load(client: &Client, which: Which<'_>) -> Result<Vec<Table>, QueryError> {
    let failed = |error| QueryError::new("read the tables from the catalog", error);
    let rows = table_rows(client, which).await.map_err(failed)?;
    let mut tables = rows.iter().map(table).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let at: HashMap<u32, usize> = tables.iter().enumerate().map(|(at, table)| (table.oid, at)).collect();
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    // Both are sent before the first is answered.
    let (columns, keys) = futures_util::future::try_join(client.query(COLUMNS, &[&oids]), client.query(KEYS, &[&oids]))
        .await
        .map_err(failed)?;
    for row in &columns {
        let owner: u32 = row.try_get(0).map_err(failed)?;
        tables[at[&owner]].columns.push(column(row).map_err(failed)?);
    }
    for row in &keys {
        let owner: u32 = row.try_get(0).map_err(failed)?;
        add_key_column(&mut tables[at[&owner]], row).map_err(failed)?;
    }
    for table in &mut tables {
        let not_null = |column: &KeyColumn| table.columns[column.column].not_null;
        for key in &mut table.keys {
            key.usable &= key.columns.iter().all(not_null);
        }
    }
    Ok(tables)
}

async fn table_rows(client: &Client, which: Which<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
    let order = "ORDER BY n.nspname, c.relname";
    let split = |names: &[TableName]| -> (Vec<String>, Vec<String>) {
        names.iter().map(|table| (table.schema.clone(), table.name.clone())).unzip()
    };
    const NAMED: &str = "SELECT w.oid FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS v(schema_name, table_name) \
                         JOIN pg_catalog.pg_namespace wn ON wn.nspname = v.schema_name \
                         JOIN pg_catalog.pg_class w ON w.relnamespace = wn.oid AND w.relname = v.table_name";
    match which {
        Which::All => {
            let sql = format!(
                "{TABLES} WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
                 {order}"
            );
            client.query(&sql, &[]).await
        }
        Which::Oids(oids) => client.query(&format!("{TABLES} WHERE c.oid = ANY ($1::oid[]) {order}"), &[&oids]).await,
        Which::Named(names) => {
            let (schemas, tables) = split(names);
            client.query(&format!("{TABLES} WHERE c.oid IN ({NAMED}) {order}"), &[&schemas, &tables]).await
        }
        Which::WithPartitions(names) => {
            let (schemas, tables) = split(names);
            let sql = format!(
                "{TABLES} WHERE c.oid IN ({NAMED} UNION SELECT p.relid FROM ({NAMED}) AS top(oid) \
                 CROSS JOIN LATERAL pg_catalog.pg_partition_tree(top.oid) p) {order}"
            );
            client.query(&sql, &[&schemas, &tables]).await
        }
    }
}

fn table(row: &Row) -> Result<Table, tokio_postgres::Error> {
    let root: Option<u32> = row.try_get(6)?;
    let partition_root = match root {
        Some(oid) => Some((oid, TableName::new(row.try_get::<_, String>(7)?, row.try_get::<_, String>(8)?))),
        None => None,
    };
    Ok(Table {
        oid: row.try_get(0)?,
        name: TableName { schema: row.try_get(1)?, name: row.try_get(2)? },
        kind: match row.try_get(3)? {
            "r" => TableKind::Ordinary,
            "p" => TableKind::Partitioned,
            "v" => TableKind::View,
            "m" => TableKind::MaterializedView,
            "f" => TableKind::Foreign,
            _ => TableKind::Other,
        },
        persistence: match row.try_get(4)? {
            "u" => Persistence::Unlogged,
            "t" => Persistence::Temporary,
            _ => Persistence::Permanent,
        },
        identity: match row.try_get(5)? {
            "f" => ReplicaIdentity::Full,
            "i" => ReplicaIdentity::Index,
            "n" => ReplicaIdentity::Nothing,
            _ => ReplicaIdentity::Default,
        },
        partition_root,
        row_security: row.try_get(9)?,
        comment: row.try_get(10)?,
        columns: Vec::new(),
        keys: Vec::new(),
    })
}

fn column(row: &Row) -> Result<TableColumn, tokio_postgres::Error> {
    let element: Option<String> = row.try_get(7)?;
    let type_oid: u32 = row.try_get(3)?;
    let type_kind = match (row.try_get(6)?, element) {
        ("e", _) => TypeKind::Enum(row.try_get::<_, Option<Vec<String>>>(13)?.unwrap_or_default()),
        ("d", _) => TypeKind::Domain(row.try_get::<_, Option<String>>(9)?.unwrap_or_default()),
        ("c", _) => TypeKind::Composite,
        ("r" | "m", _) => TypeKind::Range,
        ("p", _) => TypeKind::Pseudo,
        (_, Some(element)) => TypeKind::Array(element),
        _ => TypeKind::Base,
    };
    Ok(TableColumn {
        name: row.try_get(2)?,
        number: row.try_get(1)?,
        type_oid,
        base_oid: row.try_get::<_, Option<u32>>(8)?.unwrap_or(type_oid),
        type_modifier: row.try_get(4)?,
        type_name: row.try_get(5)?,
        type_kind,
        not_null: row.try_get(10)?,
        generated: match row.try_get(11)? {
            "s" => Generated::Stored,
            "v" => Generated::Virtual,
            _ => Generated::No,
        },
        identity: row.try_get(12)?,
        comment: row.try_get(14)?,
        missing: row.try_get(15)?,
    })
}

/// Adds one column to the last key of the table, or to a new one.
fn add_key_column(table: &mut Table, row: &Row) -> Result<(), tokio_postgres::Error> {
    let index: String = row.try_get(1)?;
    if table.keys.last().is_none_or(|key| key.index != index) {
        table.keys.push(Key {
            index,
            primary: row.try_get(2)?,
            replica_identity: row.try_get(3)?,
            usable: row.try_get(4)?,
            columns: Vec::new(),
        });
    }
    let key = table.keys.last_mut().expect("there is one, or it was just added");
    let number: i16 = row.try_get(5)?;
    let Some(column) = table.columns.iter().position(|column| column.number == number) else {
        // A system column, or the table was altered between the queries.
        key.usable = false;
        return Ok(());
    };
    let option: i16 = row.try_get(6)?;
    let collation = match row.try_get::<_, Option<String>>(8)? {
        Some(name) => Some(quote_table(row.try_get(7)?, &name)),
        None => None,
    };
    key.columns.push(KeyColumn {
        column,
        descending: option & 1 != 0,
        nulls_first: option & 2 != 0,
        collation,
        default_order: row.try_get(9)?,
        comparable: comparable(table.columns[column].base_oid),
    });
    Ok(())
}
