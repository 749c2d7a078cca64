//! What a backfill knows of a table before it reads it.

use std::sync::Arc;

use super::key::KeySpec;
use crate::change::Relation;

/// A table to copy, as its publication publishes it.
#[derive(Clone, Debug)]
pub struct TablePlan {
    /// The publication whose column list and row filter hold.
    pub publication: Box<str>,
    /// The published columns. For a partitioned table that is published via its root, the root.
    pub relation: Arc<Relation>,
    /// A partitioned table is read with its partitions; any other without the tables that inherit from it.
    pub partitioned: bool,
    /// The publication's row filter, as SQL.
    pub row_filter: Option<Box<str>>,
    /// `None`: no usable key; the table is copied whole.
    pub key: Option<KeySpec>,
    /// The planner's guess of the number of rows.
    pub rows_estimate: u64,
}

impl TablePlan {
    /// Returns the name under which progress is saved: `schema.name`.
    pub fn name(&self) -> String {
        self.relation.display_name()
    }
}

/// Returns true when rows of both relations have the same columns.
///
/// What the stream does not say (nullability, comments) may differ.
pub(super) fn same_columns(a: &Relation, b: &Relation) -> bool {
    a.oid == b.oid
        && a.columns.len() == b.columns.len()
        && a.columns
            .iter()
            .zip(&b.columns)
            .all(|(a, b)| a.name == b.name && a.type_oid == b.type_oid && a.type_modifier == b.type_modifier)
}
