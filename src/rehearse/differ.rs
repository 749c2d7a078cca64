//! What two transforms made of the same changes, held against each other.
//!
//! Rows are told apart by the keys of their public schemas, and of one key they are compared in their order; between
//! keys the order says nothing to whoever holds the rows, but for a truncate, which parts what comes before it from
//! what comes behind. So it does not matter of which change of a transaction a row is made. Of a public schema without a
//! key a row is there or not.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::outcome::{Labels, Made};
use crate::change::{Op, PublicSchema};
use crate::fixture::{Cell, Field, Outcome, PublicRow};
use crate::wasm::Descriptor;

/// One thing that differs: a row, a rejection or a failure that is there once and not the other time, or is another.
#[derive(Clone, Debug, PartialEq)]
pub struct Differing {
    /// Index in the batch of the change that it came of: of the second transform, or else of the first.
    pub change: u32,
    pub before: Option<Outcome>,
    pub after: Option<Outcome>,
    /// What differs where both are rows of the same operation.
    pub columns: Vec<ColumnDiffers>,
}

/// A column that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDiffers {
    pub column: String,
    /// It is of the former key.
    pub is_old: bool,
    /// `None` where the row has no such column.
    pub before: Option<Cell>,
    pub after: Option<Cell>,
}

/// The keys of public schemas, by what they are called.
#[derive(Clone, Debug, Default)]
pub struct Keys(BTreeMap<String, Vec<String>>);

impl Keys {
    /// Returns the keys of what `before` publishes, and of what `after` alone does.
    pub fn of(before: &Descriptor, after: &Descriptor, labels: &Labels) -> Keys {
        let key = |schema: &PublicSchema| -> Vec<String> {
            schema.key().into_iter().map(|index| schema.columns[index].name.to_string()).collect()
        };
        let mut keys = BTreeMap::new();
        for schema in before.public_schemas.iter().chain(&after.public_schemas) {
            keys.entry(labels.label(schema)).or_insert_with(|| key(schema));
        }
        Keys(keys)
    }

    /// Returns the columns by which a row is told apart, with their values; none where its public schema has no key.
    pub fn key<'a>(&self, row: &'a PublicRow) -> Vec<&'a Field> {
        let names = self.0.get(&row.public_schema).map_or(&[][..], |names| names);
        let of = |name: &String| {
            row.old.iter().find(|field| field.column == *name).or(row.new.iter().find(|field| field.column == *name))
        };
        names.iter().map_while(of).collect()
    }

    fn has_key(&self, row: &PublicRow) -> bool {
        self.0.get(&row.public_schema).is_some_and(|names| !names.is_empty())
    }
}

/// What is compared with what.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Place<'a> {
    /// The rows of one key, behind so many truncates of its public schema.
    Key(&'a str, usize, Vec<&'a Cell>),
    Keyless(&'a str, usize),
    Truncate(&'a str),
    /// Rejections and failures, of one change.
    Refused(u32),
}

/// Returns what differs, in the order of the changes.
pub fn differing(keys: &Keys, before: &[Made], after: &[Made]) -> Vec<Differing> {
    // Nearly always.
    if before.iter().map(|made| &made.outcome).eq(after.iter().map(|made| &made.outcome)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut sorted: Vec<(Place<'_>, [VecDeque<&Made>; 2])> = Vec::new();
    let mut index: HashMap<Place<'_>, usize> = HashMap::new();
    for (side, made) in [before, after].into_iter().enumerate() {
        for (place, made) in places(keys, made) {
            let at = *index.entry(place.clone()).or_insert_with(|| {
                sorted.push((place, [VecDeque::new(), VecDeque::new()]));
                sorted.len() - 1
            });
            sorted[at].1[side].push_back(made);
        }
    }
    for (place, [mut before, mut after]) in sorted {
        let same = |one: Option<&&Made>, other: Option<&&Made>| {
            one.zip(other).is_some_and(|(one, other)| one.outcome == other.outcome)
        };
        if let Place::Keyless(..) = place {
            before.retain(|one| match after.iter().position(|other| other.outcome == one.outcome) {
                Some(at) => after.remove(at).is_none(),
                None => true,
            });
            found.extend(before.iter().map(|one| differ(Some(one), None)));
            found.extend(after.iter().map(|one| differ(None, Some(one))));
            continue;
        }
        while same(before.front(), after.front()) {
            before.pop_front();
            after.pop_front();
        }
        while same(before.back(), after.back()) {
            before.pop_back();
            after.pop_back();
        }
        while !(before.is_empty() && after.is_empty()) {
            let (one, other) = (before.pop_front(), after.pop_front());
            if one.map(|one| &one.outcome) != other.map(|other| &other.outcome) {
                found.push(differ(one, other));
            }
        }
    }
    found.sort_by_key(|differing| differing.change);
    found
}

fn places<'a>(keys: &Keys, made: &'a [Made]) -> Vec<(Place<'a>, &'a Made)> {
    let mut truncates: HashMap<&str, usize> = HashMap::new();
    let mut place = |made: &'a Made| match &made.outcome {
        Outcome::Row(row) => {
            let schema = row.public_schema.as_str();
            let count = truncates.entry(schema).or_default();
            if row.op == Op::Truncate {
                *count += 1;
                return Place::Truncate(schema);
            }
            match keys.has_key(row) {
                true => Place::Key(schema, *count, keys.key(row).iter().map(|field| &field.value).collect()),
                false => Place::Keyless(schema, *count),
            }
        }
        Outcome::Rejected { .. } | Outcome::Failed(_) => Place::Refused(made.change),
    };
    made.iter().map(|made| (place(made), made)).collect()
}

fn differ(before: Option<&Made>, after: Option<&Made>) -> Differing {
    let outcome = |made: Option<&Made>| made.map(|made| made.outcome.clone());
    let columns = match (before.map(|made| &made.outcome), after.map(|made| &made.outcome)) {
        (Some(Outcome::Row(one)), Some(Outcome::Row(other))) if one.op == other.op => {
            let mut columns = columns(true, &one.old, &other.old);
            columns.extend(self::columns(false, &one.new, &other.new));
            columns
        }
        _ => Vec::new(),
    };
    let change = after.or(before).map_or(0, |made| made.change);
    Differing { change, before: outcome(before), after: outcome(after), columns }
}

fn columns(is_old: bool, before: &[Field], after: &[Field]) -> Vec<ColumnDiffers> {
    let of = |fields: &[Field], name: &str| {
        fields.iter().find(|field| field.column == name).map(|field| field.value.clone())
    };
    let added = after.iter().filter(|field| before.iter().all(|other| other.column != field.column));
    let names = before.iter().chain(added).map(|field| &field.column);
    let one = |column: &String| ColumnDiffers {
        column: column.clone(),
        is_old,
        before: of(before, column),
        after: of(after, column),
    };
    names.map(one).filter(|column| column.before != column.after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Kind;
    use crate::fixture::Failure;

    /// Rows as `insert t id=1 v=a`, `delete t (id=1)`, `update t (id=1) id=2 v=a`; anything else is a crash.
    fn made(text: &str) -> Vec<Made> {
        let field = |text: &str| {
            let (column, value) = text.trim_matches(['(', ')']).split_once('=').unwrap();
            Field { column: column.to_owned(), kind: Kind::Text, value: Cell::Text(value.to_owned()) }
        };
        let one = |(change, text): (usize, &str)| {
            let words: Vec<&str> = text.split(' ').collect();
            let op =
                [("insert", Op::Insert), ("update", Op::Update), ("delete", Op::Delete), ("truncate", Op::Truncate)];
            let outcome = match op.iter().find(|(name, _)| *name == words[0]) {
                None => Outcome::Failed(Failure::Crash { change: None }),
                Some((_, op)) => {
                    let (old, new): (Vec<&str>, Vec<&str>) = words[2..].iter().partition(|word| word.starts_with('('));
                    let fields = |words: Vec<&str>| words.into_iter().map(field).collect();
                    let (old, new) = (fields(old), fields(new));
                    Outcome::Row(PublicRow { public_schema: words[1].to_owned(), op: *op, old, new })
                }
            };
            Made { change: change as u32, outcome }
        };
        text.split(", ").filter(|text| !text.is_empty()).enumerate().map(one).collect()
    }

    #[track_caller]
    fn check(before: &str, after: &str, expected: &[&str]) {
        let keys = [("t".to_owned(), vec!["id".to_owned()]), ("log".to_owned(), vec![])];
        let cell = |cell: &Option<Cell>| cell.as_ref().map_or("none".to_owned(), ToString::to_string);
        let shown = |differing: Differing| {
            let title = |outcome: &Option<Outcome>| outcome.as_ref().map_or("none".to_owned(), ToString::to_string);
            let columns: Vec<String> = differing
                .columns
                .iter()
                .map(|one| {
                    format!(
                        "{}{}: {} → {}",
                        if one.is_old { "old " } else { "" },
                        one.column,
                        cell(&one.before),
                        cell(&one.after)
                    )
                })
                .collect();
            match columns.is_empty() {
                true => format!("{}: {} → {}", differing.change, title(&differing.before), title(&differing.after)),
                false => format!("{}: {}", differing.change, columns.join(", ")),
            }
        };
        let found = differing(&Keys(keys.into()), &made(before), &made(after));
        let found: Vec<String> = found.into_iter().map(|one| shown(one).replace('"', "")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn columns_that_differ_are_named_with_both_values() {
        check("insert t id=1 v=a w=x", "insert t id=1 v=b w=x", &["0: v: a → b"]);
        check("insert t id=1 v=a", "insert t id=1 w=a", &["0: v: a → none, w: none → a"]);
        check("update t (id=1) id=2 v=a", "update t (id=1) id=3 v=a", &["0: id: 2 → 3"]);
        check("insert t id=1 v=a", "update t id=1 v=a", &["0: insert t id=1 v=a → update t id=1 v=a"]);
    }

    #[test]
    fn rows_of_one_key_are_compared_in_their_order_and_those_of_others_are_not_moved_by_them() {
        check("insert t id=1 v=a, insert t id=2 v=a", "insert t id=2 v=a, insert t id=1 v=a", &[]);
        check(
            "insert t id=1 v=a, update t id=1 v=b, delete t (id=1)",
            "update t id=1 v=b, insert t id=1 v=a, delete t (id=1)",
            &["0: insert t id=1 v=a → update t id=1 v=b", "1: update t id=1 v=b → insert t id=1 v=a"],
        );
        // One that is gone does not make those behind it differ.
        check(
            "insert t id=1 v=a, update t id=1 v=b, update t id=1 v=c",
            "update t id=1 v=b, update t id=1 v=c",
            &["0: insert t id=1 v=a → none"],
        );
        check("insert t id=1 v=a", "", &["0: insert t id=1 v=a → none"]);
        check("", "insert u id=1, insert t id=1 v=a", &["0: none → insert u id=1", "1: none → insert t id=1 v=a"]);
    }

    #[test]
    fn a_truncate_parts_what_comes_before_it_from_what_comes_behind() {
        check(
            "insert t id=1 v=a, truncate t",
            "truncate t, insert t id=1 v=a",
            &["0: insert t id=1 v=a → none", "1: none → insert t id=1 v=a"],
        );
        check("truncate t, truncate t", "truncate t", &["1: truncate t → none"]);
    }

    #[test]
    fn rows_without_a_key_are_there_or_not() {
        check("insert log v=a, insert log v=b", "insert log v=b, insert log v=a", &[]);
        check(
            "insert log v=a, insert log v=b, insert log v=b",
            "insert log v=b, insert log v=c",
            &["0: insert log v=a → none", "1: none → insert log v=c", "2: insert log v=b → none"],
        );
    }

    #[test]
    fn failures_are_compared_too() {
        check("boom", "boom", &[]);
        check("boom", "insert t id=1 v=a", &["0: crash → none", "0: none → insert t id=1 v=a"]);
    }
}
