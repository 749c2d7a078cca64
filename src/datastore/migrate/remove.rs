//! Takes a set's schema away: what its migrations made, and nothing else that somebody put there.

use std::fmt::Write;

use super::{Object, Set};

/// Returns the statements that drop what a set made, and its schema. Run in one transaction, they fail, and change
/// nothing, where something else stands in the schema or depends on what is in it.
pub fn removal(set: &Set) -> String {
    let schema = set.schema;
    let mut text = String::new();
    for object in set.migrations.iter().rev().flat_map(|migration| migration.makes) {
        let dropped = match object {
            Object::Table(name) => format!("TABLE IF EXISTS {schema}.{name}"),
            Object::View(name) => format!("VIEW IF EXISTS {schema}.{name}"),
            Object::Routine(name, arguments) => format!("ROUTINE IF EXISTS {schema}.{name}({arguments})"),
            // It goes with its table.
            Object::Column(..) | Object::Typed(..) => continue,
        };
        write!(text, "DROP {dropped}; ").expect("writing to a String");
    }
    text + &format!("DROP TABLE IF EXISTS {schema}.schema_migrations; DROP SCHEMA {schema}")
}
