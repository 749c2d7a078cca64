//! The order in which a batch is applied.
//!
//! Folded, each table is left with a truncate, deletes, patches and puts that touch different rows. Any order of them
//! gives the same rows; constraints between rows decide which order passes:
//!
//! 1. truncates, of all tables at once, since a foreign key between two of them refuses one alone;
//! 2. deletes of tables that nothing refers to, referring tables first: they make room in other unique constraints;
//! 3. patches and puts, tables that are referred to first;
//! 4. deletes of tables that others refer to, referring tables first: by now, no row refers to these.
//!
//! The last also keeps ON DELETE CASCADE away from rows that were moved to another parent in the same batch. Where this
//! order is refused all the same (swapped unique values, foreign keys in a circle), the batch is applied as at the
//! source, row after row ([`super::runs`]); where it could pass and do something else than at the source, since deletes
//! reach into other tables, it is not tried.

use super::SinkError;
use super::fold::{self, Outcome};
use super::rows::{Item, Rows, Side};
use super::runs::{self, Repeats};
use super::shape::Shape;
use super::sql::Unchanged;

/// What a step does to its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Do {
    Truncate,
    /// New rows of a table without a key.
    Append,
    /// New rows by all evidence.
    InsertFresh,
    /// `last_wins`: keys may repeat, of equal ones the last row counts.
    Upsert {
        last_wins: bool,
    },
    Patch {
        unchanged: Unchanged,
        last_wins: bool,
    },
    Delete,
    Move {
        whole: bool,
    },
    UpdateWhole,
    DeleteWhole,
    /// An author's own statements.
    Statement,
}

impl Do {
    /// True for rows that the same statement may carry.
    pub(super) fn like(&self, other: &Do) -> bool {
        match (self, other) {
            (Do::Upsert { .. }, Do::Upsert { .. }) => true,
            (Do::Patch { unchanged: a, .. }, Do::Patch { unchanged: b, .. }) => a == b,
            _ => self == other,
        }
    }

    /// True where rows without a key may share a step.
    pub(super) fn takes_many(&self) -> bool {
        !matches!(self, Do::Truncate)
    }

    /// True where an equal key later in the run makes the earlier row void. Deletes may repeat anyway.
    pub(super) fn may_repeat(&self) -> bool {
        matches!(self, Do::Upsert { .. } | Do::Patch { .. } | Do::Delete)
    }

    pub(super) fn let_last_win(&mut self) {
        if let Do::Upsert { last_wins } | Do::Patch { last_wins, .. } = self {
            *last_wins = true;
        }
    }
}

/// Rows of one table that are treated alike, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub table: usize,
    pub what: Do,
    pub items: Vec<Item>,
}

/// A way to apply a batch.
pub(super) struct Plan {
    pub steps: Vec<Step>,
    /// False if the steps are in source order already.
    pub folded: bool,
    /// Patches of rows that folding knows to be gone, by table.
    pub missing: Vec<(usize, u64)>,
}

/// Plans a batch in source order.
pub(super) fn in_order(shapes: &[&Shape], rows: &Rows<'_>) -> Result<Plan, SinkError> {
    let steps = runs::in_order(shapes, rows, 0..rows.len() as u32, Repeats::Alone)?;
    Ok(Plan { steps, folded: false, missing: Vec::new() })
}

/// Plans a batch of which authors' own statements take rows: in source order, for only they know what those read.
pub(super) fn beside_statements(shapes: &[&Shape], rows: &Rows<'_>) -> Result<Plan, SinkError> {
    let mut steps = Vec::new();
    let mut first = 0;
    let count = rows.len() as u32;
    let kind = |number: u32| Some(rows.get(number).table).filter(|&table| table >= shapes.len());
    while first < count {
        let of = kind(first);
        let last = (first..count).find(|&number| kind(number) != of).unwrap_or(count);
        match of {
            None => steps.extend(runs::in_order(shapes, rows, first..last, Repeats::Alone)?),
            Some(table) => {
                let items = (first..last).map(|row| Item { row, side: Side::New }).collect();
                steps.push(Step { table, what: Do::Statement, items });
            }
        }
        first = last;
    }
    Ok(Plan { steps, folded: false, missing: Vec::new() })
}

/// Plans a batch folded by key. `order` lists the tables so that each comes after those it refers to.
pub(super) fn folded(shapes: &[&Shape], order: &[usize], rows: &mut Rows<'_>) -> Result<Plan, SinkError> {
    let mut numbers: Vec<Vec<u32>> = vec![Vec::new(); shapes.len()];
    for number in 0..rows.len() as u32 {
        numbers[rows.get(number).table].push(number);
    }
    let mut plan = Plan { steps: Vec::new(), folded: true, missing: Vec::new() };
    let (mut truncates, mut first, mut puts, mut last) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for &table in order {
        let shape = shapes[table];
        if numbers[table].is_empty() {
            continue;
        }
        let table_in_order =
            |rows: &Rows<'_>| runs::in_order(shapes, rows, numbers[table].iter().copied(), Repeats::LastWins);
        if shape.key.is_empty() {
            puts.extend(table_in_order(rows)?);
            continue;
        }
        let folded = match fold::fold(table, shape, rows, &numbers[table])? {
            Outcome::Folded(folded) => folded,
            Outcome::InOrder => {
                rows.unmerge(&numbers[table]);
                puts.extend(table_in_order(rows)?);
                continue;
            }
            Outcome::AllInOrder => {
                rows.unmerge_all();
                return in_order(shapes, rows);
            }
        };
        let step = |what, items: Vec<Item>| (!items.is_empty()).then_some(Step { table, what, items });
        if folded.truncate {
            truncates.push(Step { table, what: Do::Truncate, items: Vec::new() });
        }
        let deletes = if shape.referred_by.is_empty() { &mut first } else { &mut last };
        deletes.extend(step(Do::Delete, folded.deletes));
        puts.extend(folded.patches);
        puts.extend(step(Do::Upsert { last_wins: false }, folded.upserts));
        puts.extend(step(Do::InsertFresh, folded.fresh));
        plan.missing.push((table, folded.missing));
    }
    // `order` has referred tables first; deletes go the other way.
    first.reverse();
    last.reverse();
    plan.steps = [truncates, first, puts, last].into_iter().flatten().collect();
    Ok(plan)
}

/// Lists the tables so that each comes after those it refers to; within a circle of references, as they come.
pub(super) fn parents_first(shapes: &[&Shape]) -> Vec<usize> {
    let mut order = Vec::with_capacity(shapes.len());
    let mut placed = vec![false; shapes.len()];
    while order.len() < shapes.len() {
        let waits = |i: usize| {
            let waits_for = |j: usize| j != i && !placed[j] && shapes[i].refers_to.contains(&shapes[j].oid);
            (0..shapes.len()).any(waits_for)
        };
        let left = || (0..shapes.len()).filter(|&i| !placed[i]);
        let next = left().find(|&i| !waits(i)).or_else(|| left().next()).expect("one is left");
        placed[next] = true;
        order.push(next);
    }
    order
}
