//! What transforms make: public rows.

use super::{Attrs, Column, Tuple};

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    Insert = 0,
    Update = 1,
    Delete = 2,
    Truncate = 3,
}

/// What a transform publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicSchema {
    pub name: Box<str>,
    pub major: u32,
    pub minor: u32,
    pub columns: Vec<Column>,
    pub attrs: Attrs,
}

impl PublicSchema {
    /// Returns the indexes of the key columns, in column order; none: the schema is append-only.
    pub fn key(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|&i| self.columns[i].key).collect()
    }
}

/// One change of a public schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index into the transform's public schemas.
    pub public_schema: u32,
    pub op: Op,
    /// Index in the batch of the change that it came from. Rows are in the order of their sources.
    pub source: u32,
    /// In the order of the public schema's columns; `Unchanged` leaves a column alone. A delete needs its key columns
    /// only, the others are `Unchanged`. A truncate has no columns.
    pub values: Tuple,
    /// The former key of an update that changes it, the key columns alone, in column order.
    pub old_key: Option<Tuple>,
}

/// One change that its transform refuses for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Index in the batch of the change.
    pub index: u32,
    pub code: String,
    pub message: String,
}
