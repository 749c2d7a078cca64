//! What a checked destination table looks like to the statements that write it.

use super::binary::Send;
use super::key::Form;
use crate::change::Kind;

/// One column that a flow writes.
#[derive(Clone, Debug)]
pub(super) struct ShapeColumn {
    /// Unquoted, for messages.
    pub name: String,
    /// As it stands in a statement.
    pub quoted: String,
    /// What the public schema says: how binary values are read.
    pub kind: Kind,
    /// The column's type without modifier, qualified and quoted, so that `bit` is not `bit(1)`.
    pub cast: String,
    /// As it stands behind `COLLATE`, where it is not that of the type.
    pub collation: Option<String>,
    /// True for bytea itself, which takes bytes as they are.
    pub bytea: bool,
    /// How COPY takes values in binary form; `None` for types that are always written as text.
    pub send: Option<Send>,
    pub form: Form,
    /// The operator of the unique index for key columns, `=` for others that have one, `None` otherwise.
    pub equals: Option<String>,
}

/// How a deleted and reinserted key may be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replacement {
    /// As one upsert: the row has no columns but ours.
    InPlace,
    /// As a delete and an insert: the table has columns of its own, whose values go with the old row.
    DeleteFirst,
    /// Not at all: other tables' rows would have gone with the old row (ON DELETE CASCADE and its like).
    Never,
}

/// A destination table as far as writing depends on it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub oid: u32,
    /// `"schema"."table"`, as it stands in a statement.
    pub table: String,
    /// The same for messages.
    pub readable: String,
    /// In the order of the public schema.
    pub columns: Vec<ShapeColumn>,
    /// Indexes into `columns`, in column order; empty: append-only.
    pub key: Vec<usize>,
    /// Rows without a key that are found by all their columns (REPLICA IDENTITY FULL at the source).
    pub whole_rows: bool,
    pub partitioned: bool,
    /// An identity column GENERATED ALWAYS is among the key.
    pub overriding: bool,
    /// False under row-level security, which COPY refuses.
    pub copy: bool,
    /// False where the cast from text is a function that differs, or may differ, from the type's input function.
    pub bulk: bool,
    /// False without the privilege.
    pub truncate: bool,
    /// Constraints or triggers that may fail when rows are applied in another order than at the source.
    pub order_matters: bool,
    /// Some of these constraints can be put off until the commit.
    pub deferrable: bool,
    /// The tables that this one refers to by foreign keys, and those that refer to it.
    pub refers_to: Vec<u32>,
    pub referred_by: Vec<u32>,
    pub replacement: Replacement,
}

impl Shape {
    /// Returns the position in the key of a column.
    pub(super) fn key_position(&self, column: usize) -> Option<usize> {
        self.key.iter().position(|&k| k == column)
    }

    /// True where deletes and truncates reach into other tables.
    pub(super) fn cascades(&self) -> bool {
        self.replacement == Replacement::Never
    }

    /// True where a change of key may be written as a delete and an insert: nobody refers to the row, and it has no
    /// columns of its own.
    pub(super) fn moves_by_replacement(&self) -> bool {
        self.replacement == Replacement::InPlace && self.referred_by.is_empty()
    }
}

/// Quotes a name for a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Writes `schema.table` for messages and the statements in hints, with quotes only around names that need them.
pub(super) fn readable(schema: &str, table: &str) -> String {
    let one = |name: &str| {
        let plain = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if plain { name.to_owned() } else { quoted(name) }
    };
    format!("{}.{}", one(schema), one(table))
}
