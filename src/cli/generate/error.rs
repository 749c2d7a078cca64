//! What keeps rows from being generated, and what to do about it.

use std::path::PathBuf;

use crate::manifest::nearest;
use crate::postgres::catalog::{Persistence, Table, TableKind, TableName};

/// Why no types were made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    #[error("{} holds no transform: there is no Cargo.toml, package.json, pyproject.toml, go.mod, nor a C source", dir.display())]
    NotAProject { dir: PathBuf },
    #[error("{} is not there yet, and no table is named to make it of", path.display())]
    NoTables { path: PathBuf },
    #[error("{} was not made by `pelton generate`", path.display())]
    NotGenerated { path: PathBuf },
    #[error("`{text}` is no name of a table")]
    BadTable { text: String, hint: Option<String> },
    #[error("{database} has no table {table}")]
    NoSuchTable { table: String, nearest: Option<String>, database: String },
    #[error("{table} is {what}, whose changes Postgres does not stream")]
    NotATable { table: String, what: &'static str },
    #[error("{what} has a name that no source file can hold")]
    OddName { what: String },
    #[error("there is no column {column}")]
    NoSuchColumn { column: String, nearest: Option<String> },
    #[error("{} is not what the tables are", path.display())]
    Drifted { path: PathBuf },
    #[error("{} could not be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} could not be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl GenerateError {
    /// A table that is not there, with the nearest that is.
    pub fn no_such_table(table: &TableName, all: &[Table], database: &str) -> GenerateError {
        let names: Vec<String> = all.iter().map(|table| table.name.to_string()).collect();
        let nearest = nearest(&table.to_string(), names.iter().map(String::as_str)).map(str::to_owned);
        GenerateError::NoSuchTable { table: table.to_string(), nearest, database: database.to_owned() }
    }

    /// A column that is not there, with the nearest that is.
    pub fn no_such_column(column: &str, all: &[String]) -> GenerateError {
        let nearest = nearest(column, all.iter().map(String::as_str)).map(str::to_owned);
        GenerateError::NoSuchColumn { column: column.to_owned(), nearest }
    }

    /// What is no table that can be streamed.
    pub fn unreadable(table: &Table) -> Option<GenerateError> {
        let what = match (table.kind, table.persistence) {
            (TableKind::Ordinary | TableKind::Partitioned, Persistence::Permanent) => return None,
            (TableKind::Ordinary | TableKind::Partitioned, Persistence::Unlogged) => "an unlogged table",
            (TableKind::Ordinary | TableKind::Partitioned, Persistence::Temporary) => "a temporary table",
            (TableKind::View, _) => "a view",
            (TableKind::MaterializedView, _) => "a materialized view",
            (TableKind::Foreign, _) => "a foreign table",
            (TableKind::Other, _) => "no table",
        };
        Some(GenerateError::NotATable { table: table.name.to_string(), what })
    }

    /// A table, or one of its columns, whose name would break out of where it is written.
    pub fn oddly_named(table: &Table) -> Option<GenerateError> {
        let odd = |name: &str| {
            name.chars().any(|c| c.is_control() || "\\\"`,\u{85}\u{2028}\u{2029}".contains(c))
                || name.contains("*/")
                || name.contains("/*")
        };
        if odd(&table.name.schema) || odd(&table.name.name) {
            return Some(GenerateError::OddName { what: format!("table {}", table.name) });
        }
        let column = table.columns.iter().find(|column| odd(&column.name))?;
        Some(GenerateError::OddName { what: format!("column {:?} of {}", column.name, table.name) })
    }

    /// Returns what the author should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            GenerateError::NotAProject { .. } => {
                Some("name a transform's folder, or begin one with `pelton new NAME --lang … --table …`".to_owned())
            }
            GenerateError::NoTables { .. } => Some("name one: `pelton generate --table public.orders`".to_owned()),
            GenerateError::NotGenerated { .. } => {
                Some("rename yours: the generated types go there, and nothing of what is in it is kept".to_owned())
            }
            GenerateError::BadTable { hint, .. } => hint.clone(),
            GenerateError::NoSuchTable { nearest, .. } | GenerateError::NoSuchColumn { nearest, .. } => match nearest {
                Some(nearest) => Some(format!("did you mean {nearest}?")),
                None => Some("names stand as in SQL: schema.table, quoted where they have capital letters".to_owned()),
            },
            GenerateError::OddName { .. } => {
                Some("rename it, or write the transform by hand: control characters, backslashes, quotes, backticks, commas \
                      and signs of comments stay out of generated files".to_owned())
            }
            GenerateError::NotATable { .. } => Some("name the tables that it is made of".to_owned()),
            GenerateError::Drifted { .. } => {
                Some("run `pelton generate` without --check, and look at what the transform makes of it".to_owned())
            }
            GenerateError::Read { .. } | GenerateError::Write { .. } => None,
        }
    }
}
