//! What the source's catalog says of tables today, beside the stream, which shows them as they were.
//!
//! A column that a version of a table in the stream lacks was either dropped or is not added yet, and one that it has
//! beyond those that are known was added or is dropped by now. The stream does not say which; the catalog does.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::change::fraction_digits;
use crate::postgres::catalog::Table;

/// The columns of tables as the catalog had them when it was last asked.
#[derive(Debug, Default)]
pub struct Today(Mutex<HashMap<(String, String), Vec<TodaysColumn>>>);

/// A column as it is today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TodaysColumn {
    pub name: String,
    /// `pg_attribute.attnum`: what is added later has a greater one.
    pub number: i16,
    /// What rows read as that were written before the column was added, where that is not NULL.
    pub missing: Option<String>,
    /// How many digits behind the point it keeps, where values of its type have such.
    pub digits: Option<i32>,
}

impl Today {
    /// Takes down what the catalog says of a table, `None` when it has none of that name any more.
    pub fn note(&self, schema: &str, name: &str, table: Option<&Table>) {
        let key = (schema.to_owned(), name.to_owned());
        let mut tables = self.0.lock().expect("nobody panics while holding it");
        match table {
            Some(table) => {
                let columns = table.columns.iter().map(|column| TodaysColumn {
                    name: column.name.clone(),
                    number: column.number,
                    missing: column.missing.clone(),
                    digits: fraction_digits(&column.kind(), column.type_modifier),
                });
                tables.insert(key, columns.collect());
            }
            None => {
                tables.remove(&key);
            }
        }
    }

    /// Returns a table's columns, none when the catalog has no such table.
    pub fn columns(&self, schema: &str, name: &str) -> Vec<TodaysColumn> {
        let tables = self.0.lock().expect("nobody panics while holding it");
        tables.get(&(schema.to_owned(), name.to_owned())).cloned().unwrap_or_default()
    }
}
