//! What the source's catalog says of tables today, beside the stream, which shows them as they were.
//!
//! A column that a version of a table in the stream lacks was either dropped or is not added yet, and one that it has
//! beyond those that are known was added or is dropped by now. The stream does not say which; the catalog does.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::change::{Relation, fraction_digits};
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
    pub type_oid: u32,
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
                    type_oid: column.type_oid,
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

/// Tells whether the table got a column after that version of it: whatever is added takes a number behind all that are
/// or were there, where a column that was renamed keeps its own.
pub fn added_later(name: &str, relation: &Relation, today: &[TodaysColumn]) -> bool {
    let number = |name: &str| {
        today.iter().find(|column| column.name == name).map(|column| usize::from(column.number.unsigned_abs()))
    };
    let Some(added) = number(name) else { return false };
    let known = relation.columns.iter().filter_map(|column| number(&column.name)).max().unwrap_or(0);
    added > known && added > relation.columns.len()
}

/// Returns the former name of a column that a version of the table lacks, if that version has it under another one.
///
/// A version has its columns in the order of their numbers. One that the catalog does not know by name stands between
/// two that it knows, and was either dropped, which leaves a gap in today's numbers, or is one of those between them
/// today. Where it could be either, a column of another type is not the same one; one of the same type may be, and
/// taking that for a new column would lose its values.
pub fn renamed_from(name: &str, relation: &Relation, today: &[TodaysColumn]) -> Option<String> {
    let wanted = today.iter().find(|column| column.name == name)?;
    let known = |at: usize| today.iter().find(|column| column.name == *relation.columns[at].name);
    let gap = |number: i16| today.iter().all(|column| column.number != number);
    let unknown = (0..relation.columns.len()).filter(|&at| known(at).is_none());
    let fits = |&at: &usize| {
        let before = (0..at).rev().find_map(known).map_or(0, |column| column.number);
        let behind = (at + 1..relation.columns.len()).find_map(known).map_or(i16::MAX, |column| column.number);
        let between = before < wanted.number && wanted.number < behind;
        let dropped = (before + 1..wanted.number).any(gap);
        between && (!dropped || relation.columns[at].type_oid == wanted.type_oid)
    };
    let mut fitting = unknown.filter(fits);
    fitting.next().map(|at| relation.columns[at].name.to_string())
}

/// Returns the name that a column has in a version of the table which lacks it, if it was renamed since `before`.
pub fn renamed_to(name: &str, before: &[TodaysColumn], relation: &Relation, today: &[TodaysColumn]) -> Option<String> {
    let number = before.iter().find(|column| column.name == name)?.number;
    let now = today.iter().find(|column| column.number == number && column.name != name)?;
    relation.column(&now.name)?;
    Some(now.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Column, Kind, ReplicaIdentity};

    const INT: u32 = 23;
    const TEXT: u32 = 25;

    fn relation(columns: &str) -> Relation {
        let column = |name: &str| Column {
            name: name.into(),
            kind: Kind::Text,
            type_oid: if name.starts_with("n_") { INT } else { TEXT },
            type_modifier: -1,
            nullable: true,
            key: false,
            attrs: Vec::new(),
        };
        Relation {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
            identity: ReplicaIdentity::Default,
            columns: columns.split(' ').map(column).collect(),
        }
    }

    /// `id - c`: the second column was dropped.
    fn today(columns: &str) -> Vec<TodaysColumn> {
        let column = |(at, name): (usize, &str)| TodaysColumn {
            name: name.to_owned(),
            number: at as i16 + 1,
            type_oid: TEXT,
            missing: None,
            digits: None,
        };
        columns.split(' ').enumerate().filter(|(_, name)| *name != "-").map(column).collect()
    }

    #[test]
    fn a_former_name_is_found_by_its_place() {
        let check = |name: &str, streamed: &str, catalog: &str, expected: Option<&str>| {
            let found = renamed_from(name, &relation(streamed), &today(catalog));
            assert_eq!(found.as_deref(), expected, "{name} of {streamed} in {catalog}");
        };
        check("c", "id a b", "id a c", Some("b"));
        check("c", "id b a", "id c a", Some("b"));
        // Added later, with nothing that it could have been; or behind what was dropped.
        check("c", "id a", "id a c", None);
        check("c", "id b a", "id - a c", None);
        check("c", "id a n_b", "id a - c", None);
        // It may have been dropped and the other one added, or the third been dropped before.
        check("c", "id a b", "id a - c", Some("b"));
        check("gone", "id a b", "id a c", None);
    }

    #[test]
    fn a_later_name_is_found_by_its_number() {
        let check = |name: &str, before: &str, streamed: &str, catalog: &str, expected: Option<&str>| {
            let found = renamed_to(name, &today(before), &relation(streamed), &today(catalog));
            assert_eq!(found.as_deref(), expected, "{name} of {before} in {streamed}, {catalog}");
        };
        check("b", "id a b", "id a c", "id a c", Some("c"));
        check("b", "id a b", "id a", "id a", None);
        check("b", "id a b", "id a c", "id a - c", None);
        // Renamed once more since.
        check("b", "id a b", "id a c", "id a d", None);
    }
}
