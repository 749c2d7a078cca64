//! Public rows out of what the statements gave.

use crate::change::{Batch, Change, Old, Op, Relation, Row, TupleWriter, Value};

use super::answer::Answered;
use super::{Prepared, SqlTransform};

impl SqlTransform {
    /// Makes rows of what was answered.
    pub(super) fn rows(&mut self, batch: &Batch, answers: Vec<Answered>) -> Vec<Row> {
        let mut writer = TupleWriter::default();
        let mut rows: Vec<(Op, u32, bool)> = Vec::with_capacity(answers.len());
        let mut answers = answers.into_iter().peekable();
        for (source, change) in batch.changes.iter().enumerate() {
            if change.op == Op::Truncate {
                if self.truncates(&batch.relations[change.relation as usize]) {
                    writer.begin();
                    writer.end();
                    rows.push((Op::Truncate, source as u32, false));
                }
                continue;
            }
            while let Some(answer) = answers.next_if(|answer| answer.source as usize == source) {
                let (op, has_old) = self.row(&mut writer, change, &batch.relations[change.relation as usize], &answer);
                rows.push((op, source as u32, has_old));
            }
        }
        let mut tuples = writer.finish().into_iter();
        let mut next = || tuples.next().expect("a row was written for each");
        let row = |(op, source, has_old): (Op, u32, bool)| {
            let values = next();
            Row { public_schema: 0, op, source, values, old_key: has_old.then(&mut next) }
        };
        rows.into_iter().map(row).collect()
    }

    /// Writes a row, and its former key behind it where that is another one; returns which operation it is, and whether
    /// the key was written.
    fn row(&self, writer: &mut TupleWriter, change: &Change, relation: &Relation, answer: &Answered) -> (Op, bool) {
        let statement = &self.statements[answer.statement];
        let mut values: Vec<Option<&Option<Vec<u8>>>> = vec![None; self.public.columns.len()];
        for (&column, value) in statement.columns.iter().zip(&answer.values) {
            if let Some(place) = values.get_mut(column) {
                *place = Some(value);
            }
        }
        writer.begin();
        for (column, value) in self.public.columns.iter().zip(&values) {
            match value.filter(|_| change.op != Op::Delete || column.key) {
                None => writer.unchanged(),
                Some(None) => writer.null(),
                Some(Some(text)) => writer.text(text),
            }
        }
        writer.end();
        let is_main = self.is_main(&statement.schema, &statement.table);
        // A row of another table changes a row that is there, mostly.
        let op = if change.op == Op::Insert && !is_main { Op::Update } else { change.op };
        let (Some(key), Some(old), Op::Update, true) = (&self.key_columns, &change.old, change.op, is_main) else {
            return (op, false);
        };
        let old: Vec<Value<'_>> = old.columns(relation).collect();
        let old = key.iter().map(|name| relation.column(name).and_then(|at| old.get(at)).copied());
        let old: Option<Vec<Value<'_>>> = old.collect();
        let key = self.public.key();
        let now = |column: &usize| values[*column].and_then(|value| value.as_deref());
        let text = |value: &Value<'_>| match value {
            Value::Text(text) => Some(text.to_vec()),
            _ => None,
        };
        let differs = |old: &Vec<Value<'_>>| {
            old.iter().zip(&key).any(|(old, column)| *old != Value::Unchanged && text(old).as_deref() != now(column))
        };
        let Some(old) = old.filter(|old| matches!(change.old, Some(Old::Key(_))) || differs(old)) else {
            return (op, false);
        };
        writer.begin();
        old.into_iter().for_each(|value| writer.value(value));
        writer.end();
        (op, true)
    }

    /// Tells whether a truncated table takes all public rows with it.
    fn truncates(&mut self, relation: &Relation) -> bool {
        if !self.reads(&relation.schema, &relation.name) {
            return false;
        }
        let deletes = |statement: &Prepared| statement.op == Op::Delete;
        if self.is_main(&relation.schema, &relation.name) && self.statements.iter().any(deletes) {
            return true;
        }
        if !std::mem::replace(&mut self.told_truncate, true) {
            tracing::warn!(
                source = self.slug,
                transform = self.name,
                table = relation.display_name(),
                "a table was truncated, and its public schema has no statement for deletes of it: the public rows stay"
            );
        }
        false
    }
}
