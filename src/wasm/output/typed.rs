//! Rows of the world `typed-transformer`.

use std::borrow::Cow;

use super::{Item, OutputFault, Rows, Schemas};
use crate::change::Row;
use crate::wasm::bindings::types as wit;

/// Checks typed rows as packed ones are. For `sources` see [`super::read_packed`].
///
/// # Errors
/// The first thing that is wrong.
pub(in crate::wasm) fn read_typed(
    given: &[wit::Row],
    schemas: &Schemas,
    sources: &[u32],
) -> Result<Vec<Row>, OutputFault> {
    let mut rows = Rows::new(schemas, sources, false, given.len() * 64);
    for row in given {
        if let Err(what) = read_row(row, &mut rows) {
            return Err(rows.fault(what));
        }
    }
    Ok(rows.finish())
}

fn read_row(row: &wit::Row, rows: &mut Rows<'_>) -> Result<(), String> {
    rows.begin(row.public_schema, row.op as u32, row.source)?;
    for value in &row.values {
        rows.value(item(value))?;
    }
    rows.end_values()?;
    if !row.old_key.is_empty() {
        rows.begin_old_key()?;
        for value in &row.old_key {
            rows.value(item(value))?;
        }
        rows.end_old_key()?;
    }
    rows.end();
    Ok(())
}

fn item(value: &wit::Value) -> Item<'_> {
    match value {
        wit::Value::Null => Item::Null,
        wit::Value::Unchanged => Item::Unchanged,
        wit::Value::Bool(value) => Item::Bool(*value),
        wit::Value::Int(value) => Item::Int(*value),
        wit::Value::Float(value) => Item::Float(*value),
        wit::Value::Text(text) => Item::Text(Cow::Borrowed(text)),
        wit::Value::Bytes(bytes) => Item::Bytes(bytes),
    }
}
