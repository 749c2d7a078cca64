//! A change as records of the component model, for the world `typed-transformer`.

use super::scalar::Scalar;
use super::{BadColumn, project};
use crate::change::{Change, Op, Value};
use crate::wasm::bindings::types as wit;
use crate::wasm::relation::Plan;

pub(in crate::wasm) fn typed_change(id: u32, plan: &Plan, change: &Change) -> Result<wit::Change, BadColumn> {
    Ok(wit::Change {
        op: match change.op {
            Op::Insert => wit::Op::Insert,
            Op::Update => wit::Op::Update,
            Op::Delete => wit::Op::Delete,
            Op::Truncate => wit::Op::Truncate,
        },
        relation: id,
        new: match &change.new {
            Some(new) => row(plan, new.columns())?,
            None => Vec::new(),
        },
        old: match &change.old {
            Some(old) => row(plan, old.columns(&plan.source))?,
            None => Vec::new(),
        },
    })
}

fn row<'a>(plan: &Plan, row: impl Iterator<Item = Value<'a>>) -> Result<Vec<wit::Value>, BadColumn> {
    let mut values = Vec::with_capacity(plan.columns.len());
    project(plan, row, |scalar| {
        values.push(match scalar {
            Scalar::Null => wit::Value::Null,
            Scalar::Unchanged => wit::Value::Unchanged,
            Scalar::Bool(value) => wit::Value::Bool(value),
            Scalar::Int(value) | Scalar::Int64(value) => wit::Value::Int(value),
            Scalar::Float32(value) => wit::Value::Float(value.into()),
            Scalar::Float64(value) => wit::Value::Float(value),
            Scalar::Hex(digits) => wit::Value::Bytes(hex::decode(digits).expect("pairs of hexadecimal digits")),
            Scalar::Bytes(bytes) => wit::Value::Bytes(bytes.to_vec()),
            Scalar::Text(text) => wit::Value::Text(text.to_owned()),
        });
    })?;
    Ok(values)
}
