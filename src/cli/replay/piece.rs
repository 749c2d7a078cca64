//! What is replayed, and where each change of it comes from.

use std::sync::Arc;

use crate::change::Position;
use crate::change::{Batch, Change, Old, Op, Relation, ReplicaIdentity, Value};
use crate::fixture::{Place, Transaction};
use crate::lsn::Lsn;
use crate::rehearse::Setup;

/// A transaction, or a part of a large one.
pub struct Piece {
    /// Of one span.
    pub batch: Batch,
    pub origin: Origin,
    /// What transforms are started with, or go on with from here on: one for each.
    pub setups: Option<Arc<[Setup]>>,
}

/// Where the changes of a piece come from.
pub enum Origin {
    Fixture {
        file: Arc<str>,
        number: usize,
        at: Place,
        places: Vec<Place>,
    },
    /// With the public schema of each.
    Events(Vec<(Position, Arc<str>)>),
    /// Recorded from a source, with the commit record.
    Recorded(Lsn),
}

impl Origin {
    /// Returns where a transaction of a fixture comes from.
    pub fn of_fixture(file: &Arc<str>, number: usize, transaction: &Transaction) -> Origin {
        let (at, places) = (transaction.at, transaction.places.clone());
        Origin::Fixture { file: file.clone(), number, at, places }
    }
}

impl Piece {
    /// Returns where a change comes from.
    pub fn place(&self, change: u32) -> String {
        match &self.origin {
            Origin::Fixture { file, number, at, places } => {
                let at = places.get(change as usize).unwrap_or(at);
                format!("{file}:{}:{}: transaction {number}, change {}", at.line, at.column, change + 1)
            }
            Origin::Events(positions) => match positions.get(change as usize) {
                Some((position, name)) => format!("{name} at {position}"),
                None => String::new(),
            },
            Origin::Recorded(lsn) => format!("transaction at {lsn}, change {}", change + 1),
        }
    }

    /// Returns where the transaction comes from.
    pub fn transaction(&self) -> String {
        match &self.origin {
            Origin::Fixture { file, number, at, .. } => {
                format!("{file}:{}:{}: transaction {number}", at.line, at.column)
            }
            Origin::Events(positions) => match (positions.first(), positions.last()) {
                (Some((first, _)), Some((last, _))) if first != last => format!("{first} to {last}"),
                (Some((first, _)), _) => first.to_string(),
                _ => String::new(),
            },
            Origin::Recorded(lsn) => format!("transaction at {lsn}"),
        }
    }

    /// Returns a change with its table.
    pub fn change(&self, change: u32) -> Option<(&Change, &Relation)> {
        let change = self.batch.changes.get(change as usize)?;
        Some((change, self.batch.relations.get(change.relation as usize)?))
    }

    /// Returns the key of the row that a change is of, as far as it is known: `(column, value)`.
    pub fn key(&self, change: u32) -> Vec<(String, Option<String>)> {
        let Some((change, relation)) = self.change(change) else { return Vec::new() };
        // There every column tells rows apart, which tells nobody anything.
        if relation.identity == ReplicaIdentity::Full {
            return Vec::new();
        }
        let text = |value: Value<'_>| match value {
            Value::Text(text) => Some(Some(String::from_utf8_lossy(text).into_owned())),
            Value::Null => Some(None),
            Value::Unchanged | Value::Binary(_) => None,
        };
        let values: Vec<Value<'_>> = match (&change.old, &change.new) {
            (Some(Old::Key(row) | Old::Full(row)), _) | (None, Some(row)) => row.columns().collect(),
            (None, None) => Vec::new(),
        };
        let columns = relation.columns.iter().zip(values).filter(|(column, _)| column.key);
        columns.filter_map(|(column, value)| Some((column.name.to_string(), text(value)?))).collect()
    }
}

/// Returns what happened to a table, in the words of a fixture.
pub fn operation(op: Op) -> &'static str {
    match op {
        Op::Insert => "insert",
        Op::Update => "update",
        Op::Delete => "delete",
        Op::Truncate => "truncate",
    }
}
