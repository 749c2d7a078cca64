//! Public rows: what a transform publishes.

use crate::model::Kind;
use crate::msgpack::Writer;

/// One column of a public schema.
pub struct PublicColumn {
    pub name: &'static str,
    pub kind: Kind,
    pub nullable: bool,
    pub key: bool,
}

/// What an owner exposes: a name, a version, columns and a key.
pub struct PublicSchema {
    pub name: &'static str,
    pub major: u32,
    pub minor: u32,
    /// No column is part of a key: the schema is append-only.
    pub columns: &'static [PublicColumn],
}

impl PublicSchema {
    pub(crate) fn has_key(&self) -> bool {
        self.columns.iter().any(|column| column.key)
    }
}

/// A row of a public schema. Derived by `#[derive(Public)]`.
pub trait Public {
    /// The fields marked `#[key]`: the field's type if it is one, a tuple if there are several.
    type Key: Clone + PartialEq;
    const SCHEMA: &'static PublicSchema;

    fn key(&self) -> Self::Key;

    /// Writes all columns.
    fn write(&self, to: &mut Writer);

    /// Writes the key's columns alone.
    fn write_key(key: &Self::Key, to: &mut Writer);

    /// Writes all columns, those outside of the key as unchanged.
    fn write_deleted(key: &Self::Key, to: &mut Writer);
}
