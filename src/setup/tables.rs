//! Tables as they are named on the command line: `public.orders(id, label) WHERE (id > 100), "Sales"."Order"`.
//!
//! Names are taken as in a manifest: as they stand, quoted where they have odd characters. A row filter is the user's own
//! SQL; it is made sure that it is one expression in its parentheses, so that it can't become a second statement.

use crate::manifest;
use crate::postgres::catalog::TableName;
use crate::postgres::quote_ident;

/// A table that is to be published, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub table: TableName,
    pub columns: Option<Vec<String>>,
    /// With its parentheses.
    pub filter: Option<String>,
}

/// What is wrong with a list of tables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTables {
    #[error("`{text}`: {source}")]
    Name { text: String, source: manifest::BadTableName },
    #[error("`{text}`: a quote or a parenthesis is not closed")]
    Open { text: String },
    #[error(
        "`{text}`: behind the table stand its columns in parentheses, and then WHERE with an expression in parentheses"
    )]
    Shape { text: String },
    #[error("`{text}`: comments, backslashes and dollar quotes can't stand in a row filter")]
    Filter { text: String },
}

impl BadTables {
    pub fn hint(&self) -> Option<String> {
        match self {
            BadTables::Name { source, .. } => source.hint(),
            BadTables::Open { .. } | BadTables::Shape { .. } => Some(
                r#"write `public.orders`, `public.orders(id, label)`, or `public.orders(id) WHERE (id > 100)`, with commas in between; odd names as `"Sales"."Order"`"#
                    .to_owned(),
            ),
            BadTables::Filter { .. } => Some("ALTER PUBLICATION by hand can have such a filter; setup leaves it".to_owned()),
        }
    }
}

impl Entry {
    /// A table of which nothing more is said.
    pub fn of(table: TableName) -> Entry {
        Entry { table, columns: None, filter: None }
    }

    /// Returns true for all of its columns and rows.
    pub fn is_whole(&self) -> bool {
        self.columns.is_none() && self.filter.is_none()
    }

    /// Returns what stands in `CREATE PUBLICATION … FOR TABLE`.
    pub fn sql(&self) -> String {
        let columns = self.columns.as_ref().map(|columns| {
            format!(" ({})", columns.iter().map(|column| quote_ident(column)).collect::<Vec<_>>().join(", "))
        });
        let filter = self.filter.as_ref().map(|filter| format!(" WHERE {filter}"));
        format!("ONLY {}{}{}", self.table.quoted(), columns.unwrap_or_default(), filter.unwrap_or_default())
    }
}

/// Reads a list of tables.
///
/// # Errors
/// [`BadTables`].
pub fn parse(text: &str) -> Result<Vec<Entry>, BadTables> {
    let open = || BadTables::Open { text: text.to_owned() };
    let mut entries = Vec::new();
    let mut rest = text;
    loop {
        let end = until(rest, |byte| byte == b',').ok_or_else(open)?;
        let one = rest[..end].trim();
        if !one.is_empty() {
            entries.push(entry(one)?);
        }
        match rest.get(end + 1..) {
            Some(behind) => rest = behind,
            None => return Ok(entries),
        }
    }
}

/// Finds the first byte outside quotes and parentheses that `is_it`, or the end; `None` where one is not closed.
fn until(text: &str, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0usize);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, _) if depth == 0 && is_it(byte) => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.checked_sub(1)?,
            (None, _) => {}
        }
    }
    (quote.is_none() && depth == 0).then_some(text.len())
}

fn entry(text: &str) -> Result<Entry, BadTables> {
    let shape = || BadTables::Shape { text: text.to_owned() };
    let end = until(text, |byte| byte == b'(' || byte.is_ascii_whitespace()).ok_or_else(shape)?;
    let (name, mut rest) = (&text[..end], text[end..].trim_start());
    let table: manifest::TableName =
        name.parse().map_err(|source| BadTables::Name { text: text.to_owned(), source })?;
    let mut entry = Entry::of(TableName::new(table.schema, table.name));
    if rest.starts_with('(') {
        let (inside, behind) = parenthesised(rest).ok_or_else(shape)?;
        entry.columns = Some(columns(inside).ok_or_else(shape)?);
        rest = behind.trim_start();
    }
    if let Some(word) = rest.get(..5).filter(|word| word.eq_ignore_ascii_case("where")) {
        let filter = rest[word.len()..].trim();
        let (_, behind) = parenthesised(filter).ok_or_else(shape)?;
        if !behind.trim().is_empty() {
            return Err(shape());
        }
        if ["--", "/*", "\\", "$"].iter().any(|mark| filter.contains(mark)) {
            return Err(BadTables::Filter { text: text.to_owned() });
        }
        entry.filter = Some(filter.to_owned());
        rest = "";
    }
    if rest.is_empty() { Ok(entry) } else { Err(shape()) }
}

/// Splits `(…) behind` into what is inside and what is behind.
fn parenthesised(text: &str) -> Option<(&str, &str)> {
    let (mut quote, mut depth) = (None, 0usize);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') if depth == 1 => return Some((&text[1..at], &text[at + 1..])),
            (None, b')') => depth -= 1,
            (None, _) if depth == 0 => return None,
            (None, _) => {}
        }
    }
    None
}

fn columns(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let end = until(rest, |byte| byte == b',')?;
        // A column is named as a table is, without a schema.
        let name: manifest::TableName = rest[..end].trim().parse().ok()?;
        let is_bare =
            name.schema == "public" && until(rest[..end].trim(), |byte| byte == b'.')? == rest[..end].trim().len();
        names.push(is_bare.then_some(name.name)?);
        match rest.get(end + 1..) {
            Some(behind) => rest = behind,
            None => return Some(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_with_columns_and_filters_are_read() {
        let read = |text| parse(text).unwrap().iter().map(Entry::sql).collect::<Vec<_>>();
        assert_eq!(read("orders, shop.t"), [r#"ONLY "public"."orders""#, r#"ONLY "shop"."t""#]);
        assert_eq!(
            read(r#"public.a(id, "Na,me") WHERE (x > 1 AND y <> ');'), "Sales ; drop"."Order""#),
            [r#"ONLY "public"."a" ("id", "Na,me") WHERE (x > 1 AND y <> ');')"#, r#"ONLY "Sales ; drop"."Order""#]
        );
        assert_eq!(read("a where (true)"), [r#"ONLY "public"."a" WHERE (true)"#]);
        assert!(read("").is_empty());
    }

    #[test]
    fn what_could_become_a_second_statement_is_refused() {
        for bad in [
            "a WHERE (x > 1); DROP TABLE b",
            "a WHERE (x > 1)) , (b",
            "a WHERE (x > 1",
            "a WHERE (x = '1)",
            "a WHERE (x /* ) */)",
            r"a WHERE (x = E'\')')",
            "a WHERE (x = $$)$$)",
            "a WHERE x > 1",
            "a(b.c)",
            "a()",
            "a b",
            "\"a",
            "a.b.c",
        ] {
            assert!(parse(bad).is_err(), "{bad}: {:?}", parse(bad));
        }
    }
}
