//! Making a destination table from its public schema.

use tokio_postgres::Client;

use super::catalog;
use super::shape::quoted;
use super::{SinkError, TableTarget};
use crate::change::{Column, Kind};

/// The attribute of a public column that tells what rows from before the column have, as text; without it, NULL.
pub const MISSING_VALUE: &str = "missing-value";

/// Adds to the table the columns that it lacks. Rows that are there get the column's [`MISSING_VALUE`].
///
/// An added column is never NOT NULL: rows from before it was added at the source may come yet.
pub(super) async fn add_columns(client: &Client, target: &TableTarget, lacking: &[&Column]) -> Result<(), SinkError> {
    let name = target.readable();
    let failed = |error| SinkError::server("add a column to the destination table", None, Some(&name), error);
    let table = format!("{}.{}", quoted(&target.schema), quoted(&target.table));
    let mut added = Vec::new();
    let mut without_default = Vec::new();
    for column in lacking {
        let declared = type_of(client, target, column).await?;
        let column_name = quoted(&column.name);
        let missing = column.attrs.iter().find(|(attribute, _)| attribute == MISSING_VALUE);
        let default = missing.map(|(_, value)| format!(" DEFAULT {}", literal(value))).unwrap_or_default();
        added.push(format!("ADD COLUMN IF NOT EXISTS {column_name} {declared}{default}"));
        without_default.extend(missing.map(|_| format!("ALTER COLUMN {column_name} DROP DEFAULT")));
        tracing::info!(table = name, column = %column.name, "adding a column that the destination lacks");
    }
    // One transaction: a default that stays would fill in what an INSERT leaves out.
    let mut sql = format!("ALTER TABLE {table} {}", added.join(", "));
    if !without_default.is_empty() {
        sql.push_str(&format!("; ALTER TABLE {table} {}", without_default.join(", ")));
    }
    client.batch_execute(&sql).await.map_err(failed)
}

/// Makes sure that the destination has the types of columns that it lacks.
pub(super) async fn could_add(client: &Client, target: &TableTarget, lacking: &[&Column]) -> Result<(), SinkError> {
    for column in lacking {
        type_of(client, target, column).await?;
    }
    Ok(())
}

async fn type_of(client: &Client, target: &TableTarget, column: &Column) -> Result<String, SinkError> {
    let name = target.readable();
    let failed = |error| SinkError::server("look up a type at the destination", None, Some(&name), error);
    let declared = declared_type(client, column).await.map_err(failed)?;
    declared.ok_or_else(|| SinkError::TypeMissing {
        table: name.clone(),
        column: column.name.to_string(),
        type_name: column.kind.to_string(),
    })
}

/// Makes the table, and its schema where that is missing.
pub(super) async fn create(client: &Client, target: &TableTarget) -> Result<(), SinkError> {
    let name = target.readable();
    let failed = |error| SinkError::server("create the destination table", None, Some(&name), error);
    let mut lines = Vec::new();
    for column in &target.public.columns {
        let declared = type_of(client, target, column).await?;
        let not_null = if column.nullable && !column.key { "" } else { " NOT NULL" };
        lines.push(format!("{} {declared}{not_null}", quoted(&column.name)));
    }
    let key = target.public.key();
    if !key.is_empty() {
        let columns: Vec<_> = key.iter().map(|&i| quoted(&target.public.columns[i].name)).collect();
        lines.push(format!("PRIMARY KEY ({})", columns.join(", ")));
    }
    // Asked first: IF NOT EXISTS needs the privilege to create even where there is nothing to do.
    let exists = client
        .query_opt("SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text", &[&target.schema])
        .await
        .map_err(failed)?;
    if exists.is_none() {
        let schema = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(&target.schema));
        client.batch_execute(&schema).await.map_err(failed)?;
    }
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {}.{} ({})",
        quoted(&target.schema),
        quoted(&target.table),
        lines.join(", ")
    );
    client.batch_execute(&sql).await.map_err(failed)
}

/// Quotes a text whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Returns the type as it stands in `CREATE TABLE`, modifier included, `None` if the destination lacks it.
async fn declared_type(client: &Client, column: &Column) -> Result<Option<String>, tokio_postgres::Error> {
    let name = match (&column.kind, column.type_modifier >= 0) {
        // The kind covers text, varchar and char. Only the last two have modifiers, and varchar(n) holds a padded
        // char(n) byte for byte.
        (Kind::Text, true) => "character varying".to_owned(),
        (kind, _) => kind.type_name(),
    };
    // The modifier of an array is its element's.
    let modifier = match column.kind {
        Kind::Text | Kind::Numeric | Kind::Time | Kind::Timetz | Kind::Timestamp | Kind::Timestamptz => {
            column.type_modifier
        }
        Kind::Interval | Kind::Array(_) | Kind::Other(_) => column.type_modifier,
        _ => -1,
    };
    // Without a modifier the names in the standard mean a length of 1, Postgres's own any length.
    let any_length = |declared: String| match declared.as_str() {
        "character[]" => "pg_catalog.bpchar[]".to_owned(),
        "bit" => "pg_catalog.\"bit\"".to_owned(),
        "bit[]" => "pg_catalog.\"bit\"[]".to_owned(),
        _ => declared,
    };
    Ok(catalog::resolve_type(client, &name, modifier).await?.map(|(declared, _)| any_length(declared)))
}
