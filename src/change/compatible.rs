//! Whether those who read a public schema can go on reading another version of it.
//!
//! A minor version may add columns; whatever else changes a column breaks somebody who counted on it, and takes a new
//! major version, which lives beside the old one.

use std::fmt;

use super::{Column, PublicSchema};

/// What those who read a public schema would miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    Removed {
        column: String,
        was: String,
    },
    Retyped {
        column: String,
        was: String,
        is: String,
    },
    /// It may be NULL, which it never was.
    Nullable {
        column: String,
    },
    /// Rows are told apart in another way.
    Key {
        was: Vec<String>,
        is: Vec<String>,
    },
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        match self {
            Break::Removed { column, was } => write!(f, "column `{column}` ({was}) is gone"),
            Break::Retyped { column, was, is } => write!(f, "column `{column}` was {was} and is {is}"),
            Break::Nullable { column } => write!(f, "column `{column}` may be NULL, which it never was"),
            Break::Key { was, is } => write!(f, "the key was {} and is {}", list(was), list(is)),
        }
    }
}

/// Returns what breaks for readers of `deployed` once they get `new`; nothing: they can go on.
pub fn breaks(deployed: &PublicSchema, new: &PublicSchema) -> Vec<Break> {
    let one = |was: &Column| {
        let column = was.name.to_string();
        let Some(is) = new.columns.iter().find(|column| column.name == was.name) else {
            return Some(Break::Removed { column, was: was.kind.to_string() });
        };
        if was.kind != is.kind {
            return Some(Break::Retyped { column, was: was.kind.to_string(), is: is.kind.to_string() });
        }
        (is.nullable && !was.nullable).then_some(Break::Nullable { column })
    };
    let key = |schema: &PublicSchema| -> Vec<String> {
        schema.key().into_iter().map(|index| schema.columns[index].name.to_string()).collect()
    };
    let (was, is) = (key(deployed), key(new));
    let mut sorted = (was.clone(), is.clone());
    sorted.0.sort();
    sorted.1.sort();
    let key = (sorted.0 != sorted.1).then_some(Break::Key { was, is });
    deployed.columns.iter().filter_map(one).chain(key).collect()
}

/// Returns the columns that `new` has and `deployed` has not.
pub fn added<'a>(deployed: &PublicSchema, new: &'a PublicSchema) -> Vec<&'a str> {
    let is_new = |column: &&Column| deployed.columns.iter().all(|was| was.name != column.name);
    new.columns.iter().filter(is_new).map(|column| &*column.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Kind;

    /// `id bigint! key, v text`: `!` is NOT NULL.
    fn schema(text: &str) -> PublicSchema {
        let column = |text: &str| {
            let mut words = text.split_whitespace();
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            Column {
                name: name.into(),
                kind: Kind::of_name(kind.trim_end_matches('!')).unwrap(),
                type_oid: 0,
                type_modifier: -1,
                nullable: !kind.ends_with('!'),
                key: words.next() == Some("key"),
                attrs: Vec::new(),
            }
        };
        let columns = text.split(", ").map(column).collect();
        PublicSchema { name: "p".into(), major: 1, minor: 0, columns, attrs: Vec::new() }
    }

    fn check(deployed: &str, new: &str, expected: &str) {
        let found: Vec<String> = breaks(&schema(deployed), &schema(new)).iter().map(Break::to_string).collect();
        assert_eq!(found.join("; "), expected);
    }

    #[test]
    fn readers_miss_what_is_removed_retyped_nullable_or_told_apart_otherwise() {
        let deployed = "id bigint! key, v text!, w numeric";
        check(deployed, deployed, "");
        check(deployed, "w numeric!, v text!, id bigint! key, more text!", "");
        check(deployed, "id bigint! key, w numeric", "column `v` (text) is gone");
        check(deployed, "id bigint! key, v integer!, w numeric", "column `v` was text and is integer");
        check(deployed, "id bigint! key, v text, w numeric", "column `v` may be NULL, which it never was");
        check(deployed, "id bigint!, v text! key, w numeric", "the key was id and is v");
        check(deployed, "id bigint!, v text!, w numeric", "the key was id and is none");
        check(
            deployed,
            "id integer! key, w text",
            "column `id` was bigint and is integer; column `v` (text) is gone; column `w` was numeric and is text",
        );
        check("a int4! key, b int4! key", "b int4! key, a int4! key", "");
        assert_eq!(added(&schema(deployed), &schema("id bigint! key, x text, y text")), ["x", "y"]);
    }
}
