//! Quoting: the one place where names and texts become SQL.
//!
//! Names are always quoted, needed or not: the result does not depend on the server's list of keywords. Statements
//! that are shown to people may use [`ident_for_people`], which leaves plain names alone.

/// Returns `name` as a quoted identifier: `"it""s"`.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns `"schema"."name"`.
pub fn quote_table(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_ident(schema), quote_ident(name))
}

/// Returns `text` as a literal, right under either setting of `standard_conforming_strings`.
///
/// A NUL can't be part of a text in Postgres; it is left to the server to refuse it.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    // As libpq's PQescapeLiteral does it; the space keeps the E from sticking to what stands before.
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// Returns a name as one would type it: quoted only where it must be.
///
/// For hints. Keywords that would need quotes are quoted too, as long as they are Postgres's reserved ones.
pub(crate) fn ident_for_people(name: &str) -> String {
    let plain = |(i, b): (usize, u8)| b.is_ascii_lowercase() || b == b'_' || (i > 0 && b.is_ascii_digit());
    if !name.is_empty() && name.bytes().enumerate().all(plain) && RESERVED.binary_search(&name).is_err() {
        name.to_owned()
    } else {
        quote_ident(name)
    }
}

/// Returns `schema.name` as one would type it.
pub(crate) fn table_for_people(schema: &str, name: &str) -> String {
    format!("{}.{}", ident_for_people(schema), ident_for_people(name))
}

/// The manual's appendix C, "reserved", in order.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization", "binary", "both",
    "case", "cast", "check", "collate", "collation", "column", "concurrently", "constraint", "create", "cross",
    "current_catalog", "current_date", "current_role", "current_schema", "current_time", "current_timestamp",
    "current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except", "false", "fetch", "for",
    "foreign", "freeze", "from", "full", "grant", "group", "having", "ilike", "in", "initially", "inner", "intersect",
    "into", "is", "isnull", "join", "lateral", "leading", "left", "like", "limit", "localtime", "localtimestamp",
    "natural", "not", "notnull", "null", "offset", "on", "only", "or", "order", "outer", "overlaps", "placing",
    "primary", "references", "returning", "right", "select", "session_user", "similar", "some", "symmetric",
    "system_user", "table", "tablesample", "then", "to", "trailing", "true", "union", "unique", "user", "using",
    "variadic", "verbose", "when", "where", "window", "with",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_odd_characters_stay_one_name() {
        assert_eq!(quote_ident("orders"), r#""orders""#);
        assert_eq!(quote_ident(r#"a"; drop table b; --"#), r#""a""; drop table b; --""#);
        assert_eq!(quote_table("S", "t.u"), r#""S"."t.u""#);
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\'b"), r" E'a\\''b'");
    }

    #[test]
    fn people_see_quotes_only_where_they_are_needed() {
        let shown = |name| ident_for_people(name);
        assert_eq!(shown("orders_2"), "orders_2");
        assert_eq!(shown("user"), "\"user\"");
        assert_eq!(shown("Orders"), "\"Orders\"");
        assert_eq!(shown("2orders"), "\"2orders\"");
        assert!(RESERVED.is_sorted());
    }
}
