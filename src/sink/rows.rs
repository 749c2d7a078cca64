//! Rows as the planner and the statements look at them: checked, addressed by number, and with what folding merged.

use super::shape::Shape;
use super::{Addressed, SinkError};
use crate::change::{Op, Row, Tuple, Value};

/// Which key of a row is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The key among its values.
    New,
    /// The former key of an update that changes it.
    Old,
}

/// A row of the call, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub row: u32,
    pub side: Side,
}

/// No earlier row.
const NONE: u32 = u32::MAX;

/// The rows of one call.
pub(super) struct Rows<'a> {
    rows: &'a [Addressed<'a>],
    /// For each row the earlier one of its key from which columns that it leaves alone take their values.
    earlier: Vec<u32>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(rows: &'a [Addressed<'a>]) -> Rows<'a> {
        Rows { rows, earlier: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn get(&self, row: u32) -> Addressed<'a> {
        self.rows[row as usize]
    }

    /// Lets columns that `row` leaves alone take their values from `earlier`.
    pub(super) fn merge(&mut self, row: u32, earlier: u32) {
        if self.earlier.is_empty() {
            self.earlier.resize(self.rows.len(), NONE);
        }
        self.earlier[row as usize] = earlier;
    }

    /// Forgets the merges of some rows.
    pub(super) fn unmerge(&mut self, rows: &[u32]) {
        for &row in rows {
            if let Some(earlier) = self.earlier.get_mut(row as usize) {
                *earlier = NONE;
            }
        }
    }

    /// Forgets all merges.
    pub(super) fn unmerge_all(&mut self) {
        self.earlier.clear();
    }

    /// Returns a column as it is after the row: its own value, or that of the earlier rows it was merged with.
    pub(super) fn cell(&self, shape: &Shape, row: u32, column: usize) -> Value<'a> {
        let mut at = row;
        loop {
            let row = self.rows[at as usize].row;
            match own(shape, row, column) {
                Value::Unchanged => match self.earlier.get(at as usize) {
                    Some(&earlier) if earlier != NONE => at = earlier,
                    _ => return Value::Unchanged,
                },
                value => return value,
            }
        }
    }

    /// Calls `each` with every column as [`cell`](Rows::cell) returns it, in one walk over the row.
    pub(super) fn cells<E>(
        &self,
        shape: &Shape,
        row: u32,
        mut each: impl FnMut(usize, Value<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (column, value) in self.rows[row as usize].row.values.columns().enumerate() {
            let value = if value == Value::Unchanged { self.cell(shape, row, column) } else { value };
            each(column, value)?;
        }
        Ok(())
    }

    /// Returns the columns that stay as they are at the destination.
    pub(super) fn unchanged(&self, shape: &Shape, row: u32) -> Box<[u16]> {
        let mut unchanged = Vec::new();
        let note = |column, value| {
            if value == Value::Unchanged {
                unchanged.push(column as u16);
            }
            Ok::<_, std::convert::Infallible>(())
        };
        let Ok(()) = self.cells(shape, row, note);
        unchanged.into()
    }

    /// Returns a column of a key: `position` counts in the key.
    pub(super) fn key_cell(&self, shape: &Shape, item: Item, position: usize) -> Value<'a> {
        let row = self.rows[item.row as usize].row;
        match (item.side, &row.old_key) {
            (Side::Old, Some(old)) => old.get(position).unwrap_or(Value::Null),
            _ => own(shape, row, shape.key[position]),
        }
    }
}

/// Returns a row's own value. A key column that an update left alone, since it is TOASTed, is in the former key.
fn own<'a>(shape: &Shape, row: &'a Row, column: usize) -> Value<'a> {
    match (row.values.get(column).unwrap_or(Value::Null), &row.old_key) {
        (Value::Unchanged, Some(old)) if !shape.whole_rows => match shape.key_position(column) {
            Some(position) => old.get(position).unwrap_or(Value::Unchanged),
            None => Value::Unchanged,
        },
        (value, _) => value,
    }
}

/// What a row is to the planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// All columns are there; `fresh`: the row did not exist at the source.
    Put {
        fresh: bool,
    },
    /// Some columns are left alone, so the row must exist.
    Patch,
    Delete,
    Truncate,
    /// The key changes; `whole`: all columns are there.
    Move {
        whole: bool,
    },
    /// A row without a key goes to its end.
    Append,
    UpdateWhole,
    DeleteWhole,
}

/// Checks a row against its table and says what it is.
///
/// An insert that leaves columns alone is a patch: what it says is that the row is there with these columns.
pub(super) fn act(shape: &Shape, row: &Row) -> Result<Act, SinkError> {
    if row.op == Op::Truncate {
        return Ok(Act::Truncate);
    }
    let count = |tuple: &Tuple, expected: usize| match tuple.len() == expected {
        true => Ok(()),
        false => Err(SinkError::ColumnCount { table: shape.readable.clone(), expected, found: tuple.len() }),
    };
    count(&row.values, shape.columns.len())?;
    if shape.key.is_empty() {
        return match (row.op, &row.old_key) {
            (Op::Insert, _) => match row.values.columns().position(|value| value == Value::Unchanged) {
                None => Ok(Act::Append),
                Some(column) => Err(incomplete(shape, column)),
            },
            (Op::Update, Some(old)) if shape.whole_rows => {
                count(old, shape.columns.len())?;
                some_value(shape, old).map(|()| Act::UpdateWhole)
            }
            (Op::Delete, _) if shape.whole_rows => some_value(shape, &row.values).map(|()| Act::DeleteWhole),
            (op, _) => Err(SinkError::append_only(&shape.readable, op)),
        };
    }
    if let Some(old) = &row.old_key {
        count(old, shape.key.len())?;
        for (value, &column) in old.columns().zip(&shape.key) {
            known(shape, column, value)?;
        }
    }
    let mut whole = true;
    let mut moves = false;
    let mut position = 0;
    for (column, value) in row.values.columns().enumerate() {
        if shape.key.get(position) == Some(&column) {
            let old = row.old_key.as_ref().and_then(|old| old.get(position));
            position += 1;
            match (value, old) {
                (Value::Unchanged, Some(_)) => {}
                (value, old) => {
                    known(shape, column, value)?;
                    moves |= old.is_some_and(|old| old != value);
                }
            }
        } else if value == Value::Unchanged {
            whole = false;
        }
    }
    Ok(match row.op {
        Op::Delete => Act::Delete,
        Op::Update if moves => Act::Move { whole },
        op if whole => Act::Put { fresh: op == Op::Insert },
        _ => Act::Patch,
    })
}

fn known(shape: &Shape, column: usize, value: Value<'_>) -> Result<(), SinkError> {
    let facts = || (shape.readable.clone(), shape.columns[column].name.clone());
    match value {
        Value::Null => {
            let (table, column) = facts();
            Err(SinkError::NullKey { table, column })
        }
        Value::Unchanged => Err(incomplete(shape, column)),
        _ => Ok(()),
    }
}

fn incomplete(shape: &Shape, column: usize) -> SinkError {
    SinkError::ValueUnknown { table: shape.readable.clone(), column: shape.columns[column].name.clone() }
}

/// An old row of which nothing is known would match any row.
fn some_value(shape: &Shape, old: &Tuple) -> Result<(), SinkError> {
    match old.columns().any(|value| value != Value::Unchanged) {
        true => Ok(()),
        false => Err(incomplete(shape, 0)),
    }
}
