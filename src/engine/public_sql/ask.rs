//! What a statement is asked of a batch: the values of each change that it takes.

use std::borrow::Cow;

use crate::change::{Batch, Change, Op, Phase, Relation, Value};
use crate::sink::text_of;

use super::super::failure::EngineError;
use super::{Prepared, SqlError, SqlTransform};

/// The values that a statement takes of one change, as text.
pub(super) type Cells<'b> = Vec<Option<Cow<'b, str>>>;

/// A change as one statement takes it.
pub(super) struct Asked<'b> {
    pub source: u32,
    pub cells: Cells<'b>,
}

impl SqlTransform {
    /// Returns what a statement is asked: what it can answer from the changes, and what it has to read.
    pub(super) fn asked<'b>(
        &self,
        batch: &'b Batch,
        index: usize,
    ) -> Result<(Vec<Asked<'b>>, Vec<Asked<'b>>), EngineError> {
        let copied = batch.spans.first().is_some_and(|span| span.phase == Phase::Backfill);
        let statement = &self.statements[index];
        let (mut from_change, mut live) = (Vec::new(), Vec::new());
        let positions: Vec<Option<Vec<Option<usize>>>> = batch
            .relations
            .iter()
            .map(|relation| {
                let is_it = statement.is_of(&relation.schema, &relation.name);
                is_it.then(|| statement.inputs.iter().map(|input| relation.column(&input.name)).collect())
            })
            .collect();
        for (source, change) in batch.changes.iter().enumerate() {
            let Some(positions) = &positions[change.relation as usize] else { continue };
            if change.op != statement.op || (copied && !self.is_main(&statement.schema, &statement.table)) {
                continue;
            }
            let relation = &batch.relations[change.relation as usize];
            let (cells, is_whole) = self.cells(statement, change, relation, positions)?;
            let asked = Asked { source: source as u32, cells };
            match statement.from_change.is_some() && is_whole {
                true => from_change.push(asked),
                false => live.push(asked),
            }
        }
        Ok((from_change, live))
    }

    /// Returns the values of a change that a statement takes, and whether all are known that it may compute with.
    fn cells<'b>(
        &self,
        statement: &Prepared,
        change: &'b Change,
        relation: &'b Relation,
        positions: &[Option<usize>],
    ) -> Result<(Cells<'b>, bool), EngineError> {
        let row: Vec<Value<'b>> = match (&change.new, &change.old) {
            (Some(new), Some(old)) => {
                let filled = |(new, old): (Value<'b>, Value<'b>)| if new == Value::Unchanged { old } else { new };
                new.columns().zip(old.columns(relation)).map(filled).collect()
            }
            (Some(new), None) => new.columns().collect(),
            (None, Some(old)) => old.columns(relation).collect(),
            (None, None) => Vec::new(),
        };
        let mut is_whole = true;
        let mut cells = Vec::with_capacity(positions.len());
        for (input, position) in statement.inputs.iter().zip(positions) {
            let Some(at) = position else {
                // Added since: what Postgres gave to rows from before.
                let today = self.today.columns(&relation.schema, &relation.name);
                let missing = today.into_iter().find(|column| column.name == input.name);
                cells.push(missing.and_then(|column| column.missing).map(Cow::Owned));
                continue;
            };
            let value = row.get(*at).copied().unwrap_or(Value::Null);
            let is_unsaid = value == Value::Unchanged && change.op != Op::Delete;
            is_whole &= !is_unsaid || !input.is_mentioned;
            // A placeholder has no other place to come from, and NULL would be another value.
            if is_unsaid && input.is_placeholder {
                let (table, column) = (relation.display_name(), input.name.clone());
                return Err(self.failed(SqlError::Unsaid { table, column }));
            }
            let text = text_of(&relation.columns[*at].kind, value).ok().flatten();
            let text = text.map(|text| match text {
                Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(drop),
                Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(drop),
            });
            cells.push(text.transpose().map_err(|()| self.failed(SqlError::Answer("a text")))?);
        }
        Ok((cells, is_whole))
    }
}
