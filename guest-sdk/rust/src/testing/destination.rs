//! The tables that public rows are kept in: what a reader of the destination sees.

use crate::model::Op;
use crate::public::PublicSchema;

use super::output::{PublicRow, Value};

pub struct Destination {
    schemas: Vec<&'static PublicSchema>,
    tables: Vec<Vec<Vec<Value>>>,
}

impl Destination {
    pub fn new(schemas: Vec<&'static PublicSchema>) -> Destination {
        Destination { tables: vec![Vec::new(); schemas.len()], schemas }
    }

    /// Applies public rows in their order.
    pub fn apply(&mut self, rows: &[PublicRow]) {
        rows.iter().for_each(|row| self.apply_one(row));
    }

    fn apply_one(&mut self, row: &PublicRow) {
        let (schema, table) = (self.schemas[row.index], &mut self.tables[row.index]);
        let keys: Vec<usize> = (0..schema.columns.len()).filter(|&i| schema.columns[i].key).collect();
        let key = |values: &[Value]| -> Vec<Value> { keys.iter().map(|&i| values[i].clone()).collect() };
        let mut values: Vec<Value> = row.columns.iter().map(|(_, value)| value.clone()).collect();
        if row.op == Op::Truncate {
            table.clear();
            return;
        }
        if keys.is_empty() {
            table.push(values);
            return;
        }
        let old = row.old_key.clone().unwrap_or_else(|| key(&values));
        let at = table.iter().position(|existing| key(existing) == old);
        let existing = at.map(|at| table.remove(at));
        if row.op == Op::Delete {
            return;
        }
        for (i, value) in values.iter_mut().enumerate().filter(|(_, value)| **value == Value::Unchanged) {
            match &existing {
                Some(existing) => *value = existing[i].clone(),
                // There is nothing to leave as it is: an UPDATE that finds no row.
                None => return,
            }
        }
        let new = key(&values);
        table.retain(|other| key(other) != new);
        table.push(values);
    }

    /// Returns the rows of a schema as text, sorted by their keys.
    pub fn table(&self, schema: &'static PublicSchema) -> Vec<String> {
        let index = self.schemas.iter().position(|s| s.name == schema.name && s.major == schema.major);
        let table = &self.tables[index.unwrap_or_else(|| panic!("`{}` is not published", schema.name))];
        let mut rows: Vec<(Vec<SortKey>, String)> = Vec::new();
        for values in table {
            let keyed = schema.columns.iter().zip(values).filter(|(column, _)| column.key);
            let text = schema.columns.iter().zip(values).map(|(column, value)| format!("{}={value}", column.name));
            rows.push((keyed.map(|(_, value)| SortKey::of(value)).collect(), text.collect::<Vec<_>>().join(" ")));
        }
        rows.sort();
        rows.into_iter().map(|(_, text)| text).collect()
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Int(i64),
    Text(String),
}

impl SortKey {
    fn of(value: &Value) -> SortKey {
        match value {
            Value::Int(value) => SortKey::Int(*value),
            other => SortKey::Text(other.to_string()),
        }
    }
}
