//! What a trigger at the source tells of an ALTER TABLE (`migrations/pelton/0003_tell_ddl.sql`): a logical message that
//! stands in the stream where the table was altered, before the next change of its rows. It is optional.
//!
//! A Relation message carries a table's columns, their types and its replica identity as they were at that point of the
//! stream. Whether a column may be NULL it does not say: that comes from today's catalog, which may be ahead of the
//! stream, and an alteration like SET NOT NULL, which leaves the description as it was, would not be noticed before the
//! next run. So an alteration that was told does two things when the table is described again:
//!
//! - The catalog is looked at anew, once what altered the table is visible there.
//! - A column counts as NOT NULL only where the catalog and the message agree: where the constraint was dropped at that
//!   point, or is not there yet, rows may hold NULL, whatever the catalog says today.
//!
//! **Nothing of a message is trusted.** Whoever may write messages can forge one, so columns, types and keys come from
//! Relation messages alone, and all that a forged message can do is have the catalog read once more, and have a column
//! called nullable that is not: what a transform must be ready for anyway. No row depends on it.

use hashbrown::HashMap;
use serde_json::{Map, Value};

use crate::change::Relation;
use crate::pgoutput::LogicalMessage;
use crate::postgres::catalog::Table;

/// The prefix of the trigger's messages.
pub const PREFIX: &str = "pelton.ddl";

/// More than a table of 1,600 columns with the longest of names takes.
const BYTES_MAX: usize = 2 << 20;
/// What Postgres allows a table.
const COLUMNS_MAX: usize = 1600;

/// What was told of tables that the stream has not described since.
#[derive(Debug, Default)]
pub struct Told {
    tables: HashMap<u32, Altered>,
    /// A message was not what the trigger writes, and that was said.
    pub complained: bool,
}

/// A table as the trigger saw it.
#[derive(Debug, PartialEq, Eq)]
pub struct Altered {
    /// (name, NOT NULL), in catalog order.
    columns: Vec<(Box<str>, bool)>,
}

impl Told {
    /// Takes a message, if it is of a table that is known.
    ///
    /// # Errors
    /// It is not what the trigger writes: how so, without quoting it.
    pub fn hear(&mut self, message: &LogicalMessage, knows: impl Fn(u32) -> bool) -> Result<(), &'static str> {
        if !message.transactional {
            return Err("it stands outside of a transaction");
        }
        let (oid, altered) = parse(&message.content)?;
        if knows(oid) {
            self.tables.insert(oid, altered);
        }
        Ok(())
    }

    /// Returns what was told of a table since it was described last.
    pub fn take(&mut self, oid: u32) -> Option<Altered> {
        self.tables.remove(&oid)
    }
}

impl Altered {
    /// Tells whether a column was told to be NOT NULL that the catalog shows as nullable: the stream brings a commit
    /// before it is visible, so the catalog may be behind.
    pub fn is_ahead_of(&self, table: &Table) -> bool {
        let nullable = |name: &str| table.columns.iter().any(|column| column.name == name && !column.not_null);
        self.columns.iter().any(|(name, not_null)| *not_null && nullable(name))
    }

    /// Makes nullable what is so by what was told.
    ///
    /// # Errors
    /// The relation has other columns than were told of, so nothing is known of it.
    pub fn apply(&self, relation: &mut Relation) -> Result<(), &'static str> {
        // Those that are not published are told of too.
        let mut told = self.columns.iter();
        let not_null = relation.columns.iter().map(|column| told.find(|(name, _)| *name == column.name));
        let not_null: Vec<bool> = not_null
            .map(|found| found.map(|(_, not_null)| *not_null))
            .collect::<Option<_>>()
            .ok_or("it tells of other columns than the stream has")?;
        for (column, not_null) in relation.columns.iter_mut().zip(not_null) {
            column.nullable |= !not_null;
        }
        Ok(())
    }
}

fn parse(content: &[u8]) -> Result<(u32, Altered), &'static str> {
    if content.len() > BYTES_MAX {
        return Err("it is too long");
    }
    let value: Value = serde_json::from_slice(content).map_err(|_| "it is not JSON")?;
    let oid = value.get("oid").and_then(Value::as_u64).and_then(|oid| u32::try_from(oid).ok());
    let oid = oid.ok_or("it names no table by its OID")?;
    let columns = value.get("columns").and_then(Value::as_array).ok_or("it has no columns")?;
    if columns.len() > COLUMNS_MAX {
        return Err("it has more columns than a table can have");
    }
    let column = |column: &Map<String, Value>| {
        let name = column.get("name")?.as_str()?;
        Some((name.into(), column.get("not_null")?.as_bool()?))
    };
    let columns = columns.iter().map(|value| value.as_object().and_then(column));
    let columns = columns.collect::<Option<Vec<_>>>().ok_or("a column is without name or not_null")?;
    Ok((oid, Altered { columns }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::change::{Column, Kind, ReplicaIdentity};
    use crate::lsn::Lsn;

    fn message(transactional: bool, content: &[u8]) -> LogicalMessage {
        LogicalMessage { transactional, lsn: Lsn(1), prefix: PREFIX.into(), content: content.to_vec().into() }
    }

    /// `id! v`: the first column is NOT NULL.
    fn relation(columns: &str) -> Relation {
        let column = |text: &str| Column {
            name: text.trim_end_matches('!').into(),
            kind: Kind::Text,
            type_oid: 25,
            type_modifier: -1,
            nullable: !text.ends_with('!'),
            key: false,
            attrs: Vec::new(),
        };
        Relation {
            oid: 7,
            schema: "public".into(),
            name: "t".into(),
            identity: ReplicaIdentity::Default,
            columns: columns.split(' ').map(column).collect(),
        }
    }

    fn told(columns: &str) -> String {
        let column = |text: &str| {
            format!(r#"{{"name": "{}", "not_null": {}, "new": [1]}}"#, text.trim_end_matches('!'), text.ends_with('!'))
        };
        let columns: Vec<String> = columns.split(' ').filter(|text| !text.is_empty()).map(column).collect();
        format!(r#"{{"schema": "public", "table": "t", "oid": 7, "columns": [{}]}}"#, columns.join(", "))
    }

    #[test]
    fn a_column_is_not_null_where_catalog_and_message_agree() {
        let check = |catalog: &str, message_of: &str, expected: Result<&str, &'static str>| {
            let mut heard = Told::default();
            heard.hear(&message(true, told(message_of).as_bytes()), |oid| oid == 7).expect("a message");
            let altered = heard.take(7).expect("it was told");
            let mut found = relation(catalog);
            let applied = altered.apply(&mut found).map(|()| found);
            assert_eq!(applied, expected.map(relation), "{catalog} in the catalog, told {message_of}");
            assert_eq!(heard.take(7), None);
        };
        check("id! v!", "id! v!", Ok("id! v!"));
        check("id! v!", "id! v", Ok("id! v"));
        check("id! v", "id! v!", Ok("id! v"));
        // What is not published is told of too.
        check("id! v!", "a id! b v! c", Ok("id! v!"));
        for other in ["id!", "v! id!", "id! w!", ""] {
            check("id! v!", other, Err("it tells of other columns than the stream has"));
        }
    }

    #[test]
    fn what_the_trigger_does_not_write_is_refused_and_of_other_tables_nothing_is_kept() {
        let check = |content: &[u8], expected: &str| {
            let heard = Told::default().hear(&message(true, content), |_| true);
            assert_eq!(heard, Err(expected).map_err(|text| -> &'static str { text.to_owned().leak() }));
        };
        check(b"", "it is not JSON");
        check(&b"[".repeat(BYTES_MAX), "it is not JSON");
        check(&b"[".repeat(BYTES_MAX + 1), "it is too long");
        check(b"{\"oid\": \"\xff\"}", "it is not JSON");
        check(b"[]", "it names no table by its OID");
        check(br#"{"oid": -1, "columns": []}"#, "it names no table by its OID");
        check(br#"{"oid": 4294967296, "columns": []}"#, "it names no table by its OID");
        check(br#"{"oid": 7, "columns": {}}"#, "it has no columns");
        check(br#"{"oid": 7, "columns": [7]}"#, "a column is without name or not_null");
        check(br#"{"oid": 7, "columns": [{"name": "a", "not_null": "no"}]}"#, "a column is without name or not_null");
        check(told(&"x ".repeat(COLUMNS_MAX + 1)).as_bytes(), "it has more columns than a table can have");
        let outside = Told::default().hear(&message(false, told("id!").as_bytes()), |_| true);
        assert_eq!(outside, Err("it stands outside of a transaction"));

        let mut heard = Told::default();
        heard.hear(&message(true, told("id!").as_bytes()), |oid| oid != 7).expect("a message");
        assert!(heard.tables.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(content in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..200usize) {
            let _ = Told::default().hear(&message(true, &content), |_| true);
            let mut real = told("id! v").into_bytes();
            real.truncate(cut);
            real.extend(content);
            let _ = Told::default().hear(&message(true, &real), |_| true);
        }
    }
}
