//! Making a destination table from its public schema.

use tokio_postgres::Client;

use super::catalog;
use super::shape::quoted;
use super::{SinkError, TableTarget};
use crate::change::{Column, Kind};

/// Makes the table, and its schema where that is missing.
pub(super) async fn create(client: &Client, target: &TableTarget) -> Result<(), SinkError> {
    let name = target.readable();
    let failed = |error| SinkError::server("create the destination table", None, Some(&name), error);
    let mut lines = Vec::new();
    for column in &target.public.columns {
        let declared = declared_type(client, column).await.map_err(failed)?;
        let Some(declared) = declared else {
            return Err(SinkError::TypeMissing {
                table: name,
                column: column.name.to_string(),
                type_name: column.kind.to_string(),
            });
        };
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
    Ok(catalog::resolve_type(client, &name, modifier).await?.map(|(declared, _)| declared))
}
