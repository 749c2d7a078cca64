//! Tables and columns by name, held against the catalog.

use tokio_postgres::Client;

use crate::change::Kind;
use crate::cli::databases::Database;
use crate::cli::report::Failure;
use crate::document::nearest::nearest;
use crate::manifest;
use crate::postgres::catalog::{self, Table, TableColumn, TableName, Which};

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct ColumnName {
    pub table: TableName,
    column: String,
}

impl From<ColumnName> for (String, String, String) {
    fn from(name: ColumnName) -> Self {
        (name.table.schema, name.table.name, name.column)
    }
}

/// Reads `orders` or `public.orders`.
pub(super) fn table(text: &str) -> Result<TableName, Failure> {
    match text.parse::<manifest::TableName>() {
        Ok(name) => Ok(TableName::new(name.schema, name.name)),
        Err(error) => Err(Failure::new(format!("`{text}` is no name of a table: {error}"), error.hint())),
    }
}

/// Reads `orders.email` or `public.orders.email`, each.
pub(super) fn columns(texts: &[String]) -> Result<Vec<ColumnName>, Failure> {
    let column = |text: &String| match text.rsplit_once('.') {
        Some((of, column)) if !column.is_empty() => Ok(ColumnName { table: table(of)?, column: column.to_owned() }),
        _ => {
            let hint = "write schema.table.column, such as public.orders.email".to_owned();
            Err(Failure::new(format!("`{text}` is no name of a column"), Some(hint)))
        }
    };
    texts.iter().map(column).collect()
}

/// Demands that all of them are there, and that what is to be masked can be.
///
/// # Errors
/// One is not, with the nearest name; a column to be masked has nothing to mask, or its table is recorded under another name.
pub(super) async fn check(
    database: &Database,
    client: &Client,
    tables: &[TableName],
    keep: &[ColumnName],
    mask: &[ColumnName],
) -> Result<(), Failure> {
    let mut names: Vec<TableName> = tables.to_vec();
    names.extend(keep.iter().chain(mask).map(|column| column.table.clone()));
    if names.is_empty() {
        return Ok(());
    }
    let load = async |which: Which<'_>| -> Result<Vec<Table>, Failure> {
        catalog::load(client, which).await.map_err(|error| database.failed(&error, error.hint()))
    };
    let found = load(Which::Named(&names)).await?;
    for name in &names {
        if !found.iter().any(|table| table.name == *name) {
            let all: Vec<String> = load(Which::All).await?.iter().map(|table| table.name.to_string()).collect();
            let hint = match nearest(&name.to_string(), all.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => "write schema.table; names are taken as they stand".to_owned(),
            };
            return Err(database.refused(format_args!("there is no table {name}"), hint));
        }
    }
    for (ColumnName { table, column }, masked) in
        keep.iter().map(|name| (name, false)).chain(mask.iter().map(|name| (name, true)))
    {
        let of = found.iter().find(|found| found.name == *table).expect("it was found just now");
        if of.column(column).is_none() {
            let hint = match nearest(column, of.columns.iter().map(|column| &*column.name)) {
                Some(near) => format!("did you mean {table}.{near}?"),
                None => {
                    let names: Vec<&str> = of.columns.iter().map(|column| &*column.name).collect();
                    format!("it has {}", names.join(", "))
                }
            };
            return Err(database.refused(format_args!("table {table} has no column {column}"), hint));
        }
        let kind = of.columns.iter().find(|one| one.name == *column).map(TableColumn::kind);
        if let (true, Some(kind @ (Kind::Bool | Kind::Enumeration))) = (masked, kind) {
            let what = format_args!("column {table}.{column} is {kind}, of which there are too few values to mask it")
                .to_string();
            return Err(database.refused(what, "leave its table out with --tables"));
        }
    }
    Ok(())
}
