//! What a generated file says of itself: of which tables it was made.

use std::str::FromStr;

use super::error::GenerateError;
use crate::manifest::TableName;
use crate::postgres::catalog::Table;

/// How a generated file begins, behind the sign of a comment.
const BEGINNING: &str = "Rows of the source's tables, made by `pelton generate`";
const TABLE: &str = "table: ";
const LARGE: &str = "large: ";

/// What a file is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Made {
    tables: Vec<TableName>,
    /// `schema.table.column`
    large: Vec<String>,
}

impl Made {
    /// Reads a file's header; `None` is a file that was not generated.
    pub fn of(text: &str) -> Option<Made> {
        let plain = |line: &str| {
            line.trim_start_matches(['/', '!', '*', '#', ' ']).trim_end_matches([' ', '*', '/']).to_owned()
        };
        let lines: Vec<_> = text.lines().map_while(|line| is_comment(line).then(|| plain(line))).collect();
        if !lines.first()?.starts_with(BEGINNING) {
            return None;
        }
        let named = |prefix: &str| {
            lines.iter().filter_map(|line| Some(line.strip_prefix(prefix)?.to_owned())).collect::<Vec<_>>()
        };
        let tables = named(TABLE).iter().filter_map(|name| TableName::from_str(name).ok()).collect();
        Some(Made { tables, large: named(LARGE) })
    }

    /// Adds tables and columns.
    ///
    /// # Errors
    /// A name that is none.
    pub fn add(&mut self, tables: &[String], large: &[String]) -> Result<(), GenerateError> {
        for text in tables {
            let qualified = if text.contains('.') { text.clone() } else { format!("public.{text}") };
            let table = TableName::from_str(&qualified)
                .map_err(|error| GenerateError::BadTable { text: text.clone(), hint: error.hint() })?;
            if !self.tables.contains(&table) {
                self.tables.push(table);
            }
        }
        for column in large {
            let qualified = if column.matches('.').count() == 1 { format!("public.{column}") } else { column.clone() };
            if !self.large.contains(&qualified) {
                self.large.push(qualified);
            }
        }
        Ok(())
    }

    pub fn tables(&self) -> &[TableName] {
        &self.tables
    }

    pub fn large(&self) -> &[String] {
        &self.large
    }

    /// Returns an error for a column that none of the tables has.
    pub fn large_that_is_not_there(&self, tables: &[Table]) -> Option<GenerateError> {
        let path = |table: &Table, column: &str| format!("{}.{}.{column}", table.name.schema, table.name.name);
        let all: Vec<String> =
            tables.iter().flat_map(|table| table.columns.iter().map(|column| path(table, &column.name))).collect();
        let stranger = self.large.iter().find(|large| !all.contains(large))?;
        Some(GenerateError::no_such_column(stranger, &all))
    }

    /// Returns the lines of the header.
    pub fn header(&self) -> Vec<String> {
        let mut lines =
            vec![format!("{BEGINNING}. Change the transform instead: this file is made anew."), String::new()];
        lines.extend(self.tables.iter().map(|table| format!("{TABLE}{table}")));
        lines.extend(self.large.iter().map(|column| format!("{LARGE}{column}")));
        lines
    }
}

fn is_comment(line: &str) -> bool {
    ["//", "/*", " *", "#"].iter().any(|sign| line.starts_with(sign))
}
