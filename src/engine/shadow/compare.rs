//! Which changes a candidate makes other rows of than the component that runs.
//!
//! What differs is named by public schema, columns and position. Values are compared, and never told.

use crate::change::{Batch, Op, PublicSchema, Rejection, Row};
use crate::lsn::Lsn;

/// How the rows of one change differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The candidate makes fewer rows of it.
    Missing,
    /// The candidate makes more rows of it.
    Extra,
    /// Another operation on the row.
    Operation,
    /// These columns of a row.
    Columns(Vec<String>),
    /// The key that an update moves its row from.
    FormerKey,
    /// The candidate rejects the change, with this code.
    Rejected(String),
}

/// A change whose rows differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// `orders@1`; none where no row was made.
    pub public_schema: Option<String>,
    pub difference: Difference,
    pub op: &'static str,
    /// `schema.table`
    pub table: String,
    /// Names of the replica identity's columns.
    pub key: Vec<String>,
    pub commit_lsn: Lsn,
    /// Index of the change in its transaction.
    pub change: u64,
}

/// A public schema of both.
#[derive(Clone, Debug)]
struct Pair {
    name: String,
    /// Index in the candidate's; none: it does not publish it.
    candidate: Option<u32>,
    /// Name, index of what runs, index of the candidate.
    columns: Vec<(String, usize, Option<usize>)>,
}

/// What is held against what: the public schemas of the component that runs, with those of the candidate.
#[derive(Clone, Debug)]
pub struct Pairs(Vec<Pair>);

impl Pairs {
    pub fn new(running: &[PublicSchema], candidate: &[PublicSchema]) -> Pairs {
        let pair = |public: &PublicSchema| {
            let found = candidate.iter().position(|one| one.name == public.name && one.major == public.major);
            let column = |name: &str| candidate[found?].columns.iter().position(|column| *column.name == *name);
            let columns = public.columns.iter().enumerate();
            Pair {
                name: format!("{}@{}", public.name, public.major),
                candidate: found.map(|index| index as u32),
                columns: columns.map(|(at, one)| (one.name.to_string(), at, column(&one.name))).collect(),
            }
        };
        Pairs(running.iter().map(pair).collect())
    }

    /// Returns the changes of a batch whose rows differ, each with the first difference.
    pub fn differing(&self, batch: &Batch, running: &[Row], candidate: &[Row], rejected: &[Rejection]) -> Vec<Sample> {
        let mut found = Vec::new();
        let (mut running, mut candidate, mut rejected) = (running, candidate, rejected);
        loop {
            let next = [running.first().map(|row| row.source), candidate.first().map(|row| row.source)];
            let next = next.into_iter().flatten().chain(rejected.first().map(|one| one.index)).min();
            let Some(source) = next else { return found };
            let ours = take(&mut running, |row| row.source == source);
            let theirs = take(&mut candidate, |row| row.source == source);
            let difference = match take(&mut rejected, |one| one.index == source).first() {
                Some(rejection) => Some((None, Difference::Rejected(rejection.code.clone()))),
                None => self.first_difference(ours, theirs),
            };
            found.extend(difference.and_then(|(public, difference)| sample(batch, source, public, difference)));
        }
    }

    fn first_difference(&self, running: &[Row], candidate: &[Row]) -> Option<(Option<String>, Difference)> {
        self.0.iter().enumerate().find_map(|(index, pair)| {
            let mut ours = running.iter().filter(|row| row.public_schema == index as u32);
            let mut theirs = candidate.iter().filter(|row| Some(row.public_schema) == pair.candidate);
            loop {
                let difference = match (ours.next(), theirs.next()) {
                    (None, None) => return None,
                    (Some(_), None) => Difference::Missing,
                    (None, Some(_)) => Difference::Extra,
                    (Some(ours), Some(theirs)) => match pair.difference(ours, theirs) {
                        Some(difference) => difference,
                        None => continue,
                    },
                };
                return Some((Some(pair.name.clone()), difference));
            }
        })
    }
}

impl Pair {
    fn difference(&self, running: &Row, candidate: &Row) -> Option<Difference> {
        if running.op != candidate.op {
            return Some(Difference::Operation);
        }
        if running.old_key != candidate.old_key {
            return Some(Difference::FormerKey);
        }
        let differs = |(_, ours, theirs): &&(String, usize, Option<usize>)| match theirs {
            Some(theirs) => running.values.get(*ours) != candidate.values.get(*theirs),
            None => true,
        };
        // A truncate has no columns.
        if running.op == Op::Truncate {
            return None;
        }
        let columns: Vec<String> = self.columns.iter().filter(differs).map(|(name, ..)| name.clone()).collect();
        (!columns.is_empty()).then_some(Difference::Columns(columns))
    }
}

/// Takes the items at the front for which that holds.
fn take<'a, T>(items: &mut &'a [T], holds: impl Fn(&T) -> bool) -> &'a [T] {
    let count = items.iter().take_while(|item| holds(item)).count();
    let (front, rest) = items.split_at(count);
    *items = rest;
    front
}

fn sample(batch: &Batch, source: u32, public_schema: Option<String>, difference: Difference) -> Option<Sample> {
    let change = batch.changes.get(source as usize)?;
    let relation = batch.relations.get(change.relation as usize)?;
    let span = batch.spans.iter().find(|span| source < span.first + span.count)?;
    Some(Sample {
        public_schema,
        difference,
        op: match change.op {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Truncate => "truncate",
        },
        table: relation.display_name(),
        key: relation.columns.iter().filter(|column| column.key).map(|column| column.name.to_string()).collect(),
        commit_lsn: span.commit_lsn,
        change: span.first_in_transaction + u64::from(source - span.first),
    })
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Sample { op, table, commit_lsn, change, .. } = self;
        write!(f, "{op} on {table}, change {change} of the transaction at {commit_lsn}")?;
        if !self.key.is_empty() {
            write!(f, " (key: {})", self.key.join(", "))?;
        }
        f.write_str(": ")?;
        match &self.difference {
            Difference::Missing => f.write_str("a row is missing")?,
            Difference::Extra => f.write_str("a row too many")?,
            Difference::Operation => f.write_str("another operation")?,
            Difference::Columns(columns) => write!(f, "column {}", columns.join(", "))?,
            Difference::FormerKey => f.write_str("another former key")?,
            Difference::Rejected(code) => write!(f, "rejected with code {code}")?,
        }
        self.public_schema.iter().try_for_each(|name| write!(f, " in {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Change, Column, Kind, Phase, Relation, ReplicaIdentity, Span, Tuple, TupleWriter};
    use std::sync::Arc;

    fn column(name: &str, key: bool) -> Column {
        let (name, kind) = (name.into(), Kind::Text);
        Column { name, kind, type_oid: 25, type_modifier: -1, nullable: false, key, attrs: vec![] }
    }

    fn public(name: &str, columns: &[&str]) -> PublicSchema {
        let columns = columns.iter().map(|name| column(name, *name == "id")).collect();
        PublicSchema { name: name.into(), major: 1, minor: 0, columns, attrs: vec![] }
    }

    fn tuple(values: &[&str]) -> Tuple {
        let mut writer = TupleWriter::default();
        writer.begin();
        values.iter().for_each(|value| writer.text(value.as_bytes()));
        writer.end();
        writer.finish().remove(0)
    }

    fn row(source: u32, values: &[&str]) -> Row {
        Row { public_schema: 0, op: Op::Insert, source, values: tuple(values), old_key: None }
    }

    fn batch(changes: u32) -> Batch {
        let columns = vec![column("id", true), column("v", false)];
        let (schema, name) = ("public".into(), "t".into());
        let relation = Relation { oid: 1, schema, name, identity: ReplicaIdentity::Default, columns };
        let change = Change { op: Op::Insert, relation: 0, new: None, old: None };
        let span = Span {
            xid: 1,
            epoch: 1,
            commit_lsn: Lsn(0x100),
            end_lsn: Lsn(0x130),
            commit_time: 0,
            phase: Phase::Live,
            first: 0,
            count: changes,
            first_in_transaction: 7,
            complete: true,
        };
        let changes = (0..changes).map(|_| change.clone()).collect();
        Batch { id: 1, relations: vec![Arc::new(relation)], spans: vec![span], changes }
    }

    fn check(running: &[Row], candidate: &[Row], rejected: &[Rejection], expected: &[&str]) {
        let pairs = Pairs::new(&[public("t", &["id", "v", "w"])], &[public("s", &[]), public("t", &["w", "id", "v"])]);
        let candidate: Vec<Row> = candidate.iter().map(|row| Row { public_schema: 1, ..row.clone() }).collect();
        let found = pairs.differing(&batch(4), running, &candidate, rejected);
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn rows_are_the_same_by_the_names_of_their_columns() {
        let rows = [row(0, &["1", "a", "x"]), row(2, &["3", "b", "y"])];
        check(&rows, &[row(0, &["x", "1", "a"]), row(2, &["y", "3", "b"])], &[], &[]);
        check(
            &rows,
            &[row(0, &["x", "1", "a"]), row(2, &["y", "3", "c"])],
            &[],
            &["insert on public.t, change 9 of the transaction at 0/100 (key: id): column v in t@1"],
        );
    }

    #[test]
    fn each_change_that_differs_is_found_once() {
        let rows = [row(0, &["1", "a", "x"]), row(1, &["2", "a", "x"]), row(1, &["3", "a", "x"])];
        let rejected = [Rejection { index: 3, code: "no".to_owned(), message: "secret".to_owned() }];
        let at = |change: u32| format!("insert on public.t, change {change} of the transaction at 0/100 (key: id): ");
        let expected = [
            at(7) + "a row is missing in t@1",
            at(8) + "a row is missing in t@1",
            at(9) + "a row too many in t@1",
            at(10) + "rejected with code no",
        ];
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&rows, &[row(1, &["x", "2", "a"]), row(2, &["x", "4", "a"])], &rejected, &expected);
    }

    #[test]
    fn operations_and_former_keys_count() {
        let moved = Row { op: Op::Update, old_key: Some(tuple(&["1"])), ..row(0, &["2", "a", "x"]) };
        let there = Row { old_key: None, ..moved.clone() };
        let same = |row: &Row| Row { values: tuple(&["x", "2", "a"]), ..row.clone() };
        check(std::slice::from_ref(&moved), &[same(&moved)], &[], &[]);
        let place = "insert on public.t, change 7 of the transaction at 0/100 (key: id): ";
        check(std::slice::from_ref(&moved), &[same(&there)], &[], &[&format!("{place}another former key in t@1")]);
        let inserted = Row { op: Op::Insert, ..there.clone() };
        check(std::slice::from_ref(&there), &[same(&inserted)], &[], &[&format!("{place}another operation in t@1")]);
    }
}
