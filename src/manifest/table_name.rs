//! The name of a table: `orders`, `public.orders`, `"My Schema"."T"`.
//!
//! Names are taken as they stand: `Orders` is the table `"Orders"`, where SQL would fold it to `orders`. ReJot compares
//! names so, and a manifest is no SQL; a name that SQL would read otherwise is worth a warning, never a guess.

use std::fmt;
use std::str::FromStr;

/// Postgres cuts longer names in silence (`NAMEDATALEN`).
pub(crate) const NAME_BYTES_MAX: usize = 63;

/// A schema and a table in it, unquoted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

/// What was wrong with a text that should have been the name of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTableName {
    #[error("the name is empty, or empty on one side of the dot")]
    Empty,
    #[error("the name has more than two parts")]
    TooManyParts,
    #[error("a double quote is not closed, or stands inside a name")]
    Quote,
    #[error("a name with spaces or control characters is not in double quotes")]
    Space,
    #[error("a part of the name is longer than Postgres's {NAME_BYTES_MAX} bytes")]
    TooLong,
    #[error("the name holds a NUL")]
    Nul,
}

impl BadTableName {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            BadTableName::Empty | BadTableName::TooManyParts => "write `schema.table`, such as `public.orders`",
            BadTableName::Quote | BadTableName::Space => {
                r#"write `"My Schema"."My ""T"""`; in YAML put single quotes around it all"#
            }
            BadTableName::TooLong | BadTableName::Nul => return None,
        };
        Some(text.to_owned())
    }
}

impl TableName {
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    /// Prints what parses back to the same name, with quotes where SQL needs them: fit for SQL and for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, dot) in [(&self.schema, "."), (&self.name, "")] {
            match is_plain(part) {
                true => write!(f, "{part}{dot}")?,
                false => write!(f, "\"{}\"{dot}", part.replace('"', "\"\""))?,
            }
        }
        Ok(())
    }
}

/// Returns true for what SQL reads unquoted as it stands, key words aside.
fn is_plain(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Returns true when SQL would read `text` as another table than we do: it is unquoted where quotes are needed.
pub(crate) fn reads_otherwise_in_sql(text: &str, table: &TableName) -> bool {
    let plain = is_plain(&table.schema) && is_plain(&table.name);
    !plain && !text.contains('"')
}

impl FromStr for TableName {
    type Err = BadTableName;

    fn from_str(text: &str) -> Result<TableName, BadTableName> {
        let (first, rest) = part(text)?;
        let Some(rest) = rest else { return Ok(TableName::new("public", first)) };
        match part(rest)? {
            (name, None) => Ok(TableName::new(first, name)),
            (_, Some(_)) => Err(BadTableName::TooManyParts),
        }
    }
}

/// Reads one part of a name; returns it and what is behind its dot.
fn part(text: &str) -> Result<(String, Option<&str>), BadTableName> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted_part(quoted)?,
        None => {
            let (name, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
            if name.contains('"') {
                return Err(BadTableName::Quote);
            }
            if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(BadTableName::Space);
            }
            (name.to_owned(), rest)
        }
    };
    if name.is_empty() {
        return Err(BadTableName::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(BadTableName::TooLong);
    }
    if name.contains('\0') {
        return Err(BadTableName::Nul);
    }
    match rest.strip_prefix('.') {
        Some(rest) => Ok((name, Some(rest))),
        None if rest.is_empty() => Ok((name, None)),
        None => Err(BadTableName::Quote),
    }
}

/// Reads up to the closing quote; two quotes in a row are one.
fn quoted_part(text: &str) -> Result<(String, &str), BadTableName> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"').ok_or(BadTableName::Quote)?;
        name.push_str(before);
        match behind.strip_prefix('"') {
            Some(behind) => {
                name.push('"');
                rest = behind;
            }
            None => return Ok((name, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, schema: &str, name: &str) {
        let table: TableName = text.parse().unwrap();
        assert_eq!(table, TableName::new(schema, name), "{text}");
        assert_eq!(table.to_string().parse(), Ok(table), "{text} printed and read again");
    }

    #[test]
    fn names_are_read_with_and_without_schema_and_quotes() {
        check("orders", "public", "orders");
        check("shop.orders", "shop", "orders");
        check(r#""My Schema"."T""#, "My Schema", "T");
        check(r#"shop."a.b ""c""""#, "shop", r#"a.b "c""#);
        check("Orders", "public", "Orders");
        check("straße", "public", "straße");
    }

    #[test]
    fn wrong_names_say_what_is_wrong() {
        for (text, expected) in [
            ("", BadTableName::Empty),
            (".a", BadTableName::Empty),
            ("a.", BadTableName::Empty),
            (r#""""#, BadTableName::Empty),
            ("a.b.c", BadTableName::TooManyParts),
            (r#""a"#, BadTableName::Quote),
            (r#""a"b"#, BadTableName::Quote),
            (r#"a"b"#, BadTableName::Quote),
            ("a b", BadTableName::Space),
            (&"a".repeat(64), BadTableName::TooLong),
            ("\"a\0\"", BadTableName::Nul),
        ] {
            assert_eq!(text.parse::<TableName>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn only_names_that_sql_would_fold_read_otherwise() {
        let otherwise = |text: &str| reads_otherwise_in_sql(text, &text.parse().unwrap());
        assert!(otherwise("Orders") && otherwise("public.my-table"));
        assert!(!otherwise("orders") && !otherwise(r#""Orders""#));
    }
}
