//! From the catalog to [`TablePlan`]s.

use std::sync::Arc;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::key::{KeyColumn, KeySpec};
use super::order::Order;
use super::read_error::ReadError;
use super::sql;
use super::table::TablePlan;
use crate::change::{Column, Relation, ReplicaIdentity};
use crate::postgres::QueryError;
use crate::postgres::catalog::{self, Table, TableKind, Which};
use crate::postgres::publication::{Publication, PublishedTable};

/// What has to be known of the database: how it orders texts, and what its version publishes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Database {
    utf8: bool,
    /// The default collation compares bytes.
    bytewise: bool,
    /// Generated columns are in the stream if the publication lists them: from PostgreSQL 18 on.
    publishes_generated: bool,
}

const DATABASE: &str = "\
    SELECT pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datcollate::text, \
           coalesce(pg_catalog.to_jsonb(d)->>'datlocprovider', 'c'), \
           pg_catalog.current_setting('server_version_num')::int >= 180000 \
    FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";

/// Plans the backfill of published tables, in their order.
///
/// # Errors
/// [`ReadError`].
pub async fn plan_tables(
    client: &Client,
    publication: &Publication,
    tables: &[PublishedTable],
) -> Result<Vec<TablePlan>, ReadError> {
    let failed = |error| QueryError::new("plan the backfill", error);
    let row = client.query_one(DATABASE, &[]).await.map_err(failed)?;
    let read = || -> Result<Database, tokio_postgres::Error> {
        let (encoding, collate, provider): (String, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(Database {
            utf8: encoding == "UTF8",
            bytewise: provider == "c" && matches!(collate.as_str(), "C" | "POSIX"),
            publishes_generated: row.try_get(3)?,
        })
    };
    let database = read().map_err(failed)?;
    let names: Vec<_> = tables.iter().map(|table| table.name.clone()).collect();
    let loaded = catalog::load(client, Which::Named(&names)).await?;
    let mut plans = Vec::with_capacity(tables.len());
    for published in tables {
        let Some(table) = loaded.iter().find(|table| table.name == published.name) else {
            return Err(ReadError::Gone { table: format!("{}.{}", published.name.schema, published.name.name) });
        };
        let mut plan = plan(table, &publication.name, published, database);
        plan.rows_estimate = estimate(client, &plan).await?;
        plans.push(plan);
    }
    Ok(plans)
}

fn plan(table: &Table, publication: &str, published: &PublishedTable, database: Database) -> TablePlan {
    let in_stream = |name: &&String| {
        database.publishes_generated
            || table.columns.iter().any(|c| c.name == **name && c.generated == catalog::Generated::No)
    };
    let columns: Vec<String> = published.columns.iter().filter(in_stream).cloned().collect();
    let relation = relation(table, &columns);
    TablePlan {
        publication: publication.into(),
        key: key(table, &relation, database),
        relation: Arc::new(relation),
        partitioned: table.kind == TableKind::Partitioned,
        row_filter: published.row_filter.as_deref().map(Into::into),
        rows_estimate: 0,
    }
}

/// Returns the relation as the stream sends it: the published columns, in catalog order.
pub(super) fn relation(table: &Table, published: &[String]) -> Relation {
    let in_key = |index: usize| {
        table.identity == ReplicaIdentity::Full
            || table.identity_key().is_some_and(|key| key.columns.iter().any(|column| column.column == index))
    };
    let published = table.columns.iter().enumerate().filter(|(_, column)| published.contains(&column.name));
    let columns = published.map(|(index, column)| Column {
        name: column.name.as_str().into(),
        kind: column.kind(),
        type_oid: column.type_oid,
        type_modifier: column.type_modifier,
        nullable: !column.not_null,
        key: in_key(index),
        attrs: column.attrs(),
    });
    Relation {
        oid: table.oid,
        schema: table.name.schema.as_str().into(),
        name: table.name.name.as_str().into(),
        identity: table.identity,
        columns: columns.collect(),
    }
}

/// Returns the key by which the table is copied: the replica identity's, or the primary key where the whole row is the
/// identity. All of its columns must be published, and ordered as `ORDER BY` orders.
fn key(table: &Table, relation: &Relation, database: Database) -> Option<KeySpec> {
    let key = table.row_key()?;
    let columns = key.columns.iter().map(|in_key| {
        let column = &table.columns[in_key.column];
        relation.column(&column.name)?;
        if !in_key.default_order {
            return None;
        }
        let bytewise = database.utf8
            && match in_key.collation.as_deref() {
                Some(r#""pg_catalog"."C""# | r#""pg_catalog"."POSIX""#) => true,
                Some(r#""pg_catalog"."default""#) => database.bytewise,
                _ => false,
            };
        Some(KeyColumn {
            name: column.name.as_str().into(),
            type_name: column.type_name.as_str().into(),
            collation: in_key.collation.as_deref().map(Into::into),
            order: Order::of_type(column.base_oid, bytewise),
        })
    });
    columns.collect::<Option<Vec<_>>>().map(|columns| KeySpec { columns })
}

/// Returns the planner's guess of the number of rows, which needs no statistics of ours and knows partitions and filters.
async fn estimate(client: &Client, plan: &TablePlan) -> Result<u64, ReadError> {
    let failed = |error| QueryError::new(format!("estimate the rows of {}", plan.name()), error);
    let messages = client.simple_query(&sql::explain(plan)).await.map_err(failed)?;
    let text = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let explained: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(text).ok());
    Ok(explained.and_then(|plan| plan[0]["Plan"]["Plan Rows"].as_f64()).unwrap_or(0.0) as u64)
}
