//! Which columns tell public rows apart.
//!
//! The catalog knows of a column that a statement gives which column of a table it is, but not of which of the rows that the
//! statement reads. Where the changed table is read twice, as in a join with itself, the columns of the row that changed are
//! found by asking once more, with that row in a shape that the catalog does not look into
//! ([`Template::render_apart`](crate::sql::Template::render_apart)).

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::change::Op;
use crate::postgres;
use crate::sql::{Placeholder, TableRef};

use super::super::plan::SqlStatementPlan;
use super::super::prepare::SourceTable;
use super::prepare::{Described, Given};
use super::text::{self, InputColumn};

/// Forgets of columns that a statement gives that they are the changed table's, unless they are the changed row's.
///
/// # Errors
/// What the server says, but for a statement that can't be asked that way: nothing is known of its columns then.
pub(super) async fn of_row(
    client: &Client,
    plan: &SqlStatementPlan,
    table: &SourceTable,
    reference: TableRef<'_>,
    columns: &[InputColumn],
    column_of: impl Fn(&Placeholder) -> Option<String>,
    gives: &mut [Given],
) -> Result<(), tokio_postgres::Error> {
    let template = &plan.sql;
    if template.references(reference) < 2 || gives.iter().all(|given| given.of.is_none()) {
        return Ok(());
    }
    let all = format!("SELECT * FROM {}", postgres::quote_table(&table.relation.schema, &table.relation.name));
    let rows = format!("{all} UNION ALL {all}");
    let placeholders = text::numbered(template, columns, &column_of);
    let apart = template.render_apart(reference, &rows, &table.key, &column_of, placeholders);
    let types = vec![Type::TEXT; template.placeholders().len()];
    let asked = match apart {
        Some(sql) => Some(client.prepare_typed(&sql, &types).await),
        None => None,
    };
    let others: Vec<bool> = match asked {
        Some(Ok(statement)) => statement.columns().iter().map(|column| column.table_oid().is_some()).collect(),
        Some(Err(error)) if error.as_db_error().is_none() => return Err(error),
        Some(Err(_)) | None => Vec::new(),
    };
    for (index, given) in gives.iter_mut().enumerate() {
        given.of.take_if(|_| others.get(index).copied().unwrap_or(true));
    }
    Ok(())
}

/// Returns the names of the key's columns, and of which columns of the main table they are, where that is known: the key of
/// the table, if its columns are taken over; else what the statements for deletes give.
pub(super) type Key = (Vec<String>, Option<Vec<(String, String)>>);

pub(super) fn key(described: &[Described<'_>], main: &Described<'_>) -> Key {
    let given = |column: &String| main.gives.iter().find(|given| given.of.as_ref() == Some(column));
    let taken: Option<Vec<(String, String)>> =
        main.table.key.iter().map(|column| Some((given(column)?.name.clone(), column.clone()))).collect();
    if let Some(taken) = taken.filter(|taken| !taken.is_empty()) {
        return (taken.iter().map(|(name, _)| name.clone()).collect(), Some(taken));
    }
    let mut deletes = described.iter().filter(|one| one.plan.op == Op::Delete);
    let names = |one: &Described<'_>| one.gives.iter().map(|given| given.name.clone()).collect::<Vec<String>>();
    let Some(first) = deletes.next().map(names) else { return (Vec::new(), None) };
    let others: Vec<Vec<String>> = deletes.map(names).collect();
    let public = names(main);
    let common = |name: &String| public.contains(name) && others.iter().all(|other| other.contains(name));
    (first.into_iter().filter(common).collect(), None)
}
