//! A batch's changes as the payload of a packed guest: straight from the rows' bytes, column by column.

mod json;
mod msgpack;
mod scalar;
mod typed;

pub(super) use json::Json;
pub(super) use msgpack::MessagePack;
pub(super) use scalar::{Scalar, Travel, int};
pub(super) use typed::typed_change;

use super::relation::Plan;
use crate::change::{Change, Value};

/// A packed encoding.
pub(super) trait Write {
    /// Begins an array of that many items.
    fn open(&mut self, items: usize);
    fn close(&mut self);
    fn nil(&mut self);
    /// An operation, or an index.
    fn number(&mut self, value: u32);
    fn scalar(&mut self, value: Scalar<'_>);
}

/// A value that is none of its column's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadColumn {
    /// Index into the source relation's columns.
    pub column: usize,
}

/// Writes `[op, relation, new | nil, old | nil]`.
#[inline]
pub(super) fn write_change<W: Write>(w: &mut W, id: u32, plan: &Plan, change: &Change) -> Result<(), BadColumn> {
    w.open(4);
    w.number(change.op as u32);
    w.number(id);
    match &change.new {
        Some(new) => write_row(w, plan, new.columns())?,
        None => w.nil(),
    }
    match &change.old {
        Some(old) => write_row(w, plan, old.columns(&plan.source))?,
        None => w.nil(),
    }
    w.close();
    Ok(())
}

#[inline]
fn write_row<'a, W: Write>(w: &mut W, plan: &Plan, row: impl Iterator<Item = Value<'a>>) -> Result<(), BadColumn> {
    w.open(plan.columns.len());
    project(plan, row, |scalar| w.scalar(scalar))?;
    w.close();
    Ok(())
}

/// Hands over the subscribed columns of a row, in order.
#[inline]
fn project<'a>(
    plan: &Plan,
    mut row: impl Iterator<Item = Value<'a>>,
    mut take: impl FnMut(Scalar<'a>),
) -> Result<(), BadColumn> {
    let mut at = 0;
    for &(column, travel) in &plan.columns {
        let bad = BadColumn { column };
        let value = row.nth(column - at).ok_or(bad)?;
        take(Scalar::read(travel, value).map_err(|_| bad)?);
        at = column + 1;
    }
    Ok(())
}
