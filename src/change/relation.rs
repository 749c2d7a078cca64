//! A source table at one version of its columns.

use super::Kind;

/// Open-ended names and values.
pub type Attrs = Vec<(String, String)>;

/// One column of a [`Relation`] or of a [`super::PublicSchema`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: Box<str>,
    pub kind: Kind,
    /// 0 in public schemas.
    pub type_oid: u32,
    pub type_modifier: i32,
    pub nullable: bool,
    /// Part of the replica identity (source) or of the key (public schema).
    pub key: bool,
    pub attrs: Attrs,
}

/// What Postgres writes of the old row on UPDATE and DELETE (`pg_class.relreplident`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaIdentity {
    /// The primary key.
    Default,
    /// A chosen unique index.
    Index,
    /// The whole row.
    Full,
    Nothing,
}

/// A source table at one version of its columns, in catalog order. A table that was altered is another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid`; 0 for the pseudo-tables of logical messages.
    pub oid: u32,
    pub schema: Box<str>,
    pub name: Box<str>,
    pub identity: ReplicaIdentity,
    pub columns: Vec<Column>,
}

impl Relation {
    /// The schema under which logical messages are delivered as changes; the table is the message's prefix.
    pub const MESSAGE_SCHEMA: &'static str = "pg_logical_message";

    /// Returns `schema.name`, unquoted, for messages to people.
    pub fn display_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Returns the index of the column of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| &*c.name == name)
    }

    /// Returns the columns that logical messages have: `transactional` and `content`.
    pub fn of_message(prefix: &str) -> Relation {
        let column = |name: &str, kind, type_oid| Column {
            name: name.into(),
            kind,
            type_oid,
            type_modifier: -1,
            nullable: false,
            key: false,
            attrs: Vec::new(),
        };
        Relation {
            oid: 0,
            schema: Relation::MESSAGE_SCHEMA.into(),
            name: prefix.into(),
            identity: ReplicaIdentity::Nothing,
            columns: vec![column("transactional", Kind::Bool, 16), column("content", Kind::Bytea, 17)],
        }
    }
}
