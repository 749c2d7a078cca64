//! One table: its columns, its keys, its place in a hierarchy.

use std::fmt;

use crate::change::{Kind, Relation, ReplicaIdentity};
use crate::postgres::quote::{quote_table, table_for_people};

/// A table's qualified name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

impl TableName {
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }

    /// Returns the name as it goes into SQL.
    pub fn quoted(&self) -> String {
        quote_table(&self.schema, &self.name)
    }
}

impl fmt::Display for TableName {
    /// Prints the name as one would type it, quoted where it must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&table_for_people(&self.schema, &self.name))
    }
}

/// `pg_class.relkind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableKind {
    Ordinary,
    Partitioned,
    View,
    MaterializedView,
    Foreign,
    /// A sequence, an index, a composite type, a TOAST table.
    Other,
}

/// `pg_class.relpersistence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    Permanent,
    /// Not written to the write-ahead log, so never in a stream.
    Unlogged,
    Temporary,
}

/// `pg_type.typtype`, and whether the type is an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    Base,
    /// An array of the named type.
    Array(String),
    /// With its labels in their order.
    Enum(Vec<String>),
    /// With the type that it constrains, domains in between skipped.
    Domain(String),
    Composite,
    Range,
    Pseudo,
}

/// `pg_attribute.attgenerated`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generated {
    No,
    Stored,
    /// From PostgreSQL 18 on.
    Virtual,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    pub name: String,
    /// `pg_attribute.attnum`: dropped columns leave gaps.
    pub number: i16,
    pub type_oid: u32,
    /// Of the type under all domains; `type_oid` for any other type.
    pub base_oid: u32,
    pub type_modifier: i32,
    /// As `format_type` prints it, modifier included and qualified unless it is built in.
    pub type_name: String,
    pub type_kind: TypeKind,
    /// By the column or by its domain.
    pub not_null: bool,
    pub generated: Generated,
    /// `GENERATED … AS IDENTITY`.
    pub identity: bool,
    /// What rows read as that were written before the column was added, as text (`pg_attribute.attmissingval`).
    pub missing: Option<String>,
    pub comment: Option<String>,
}

impl TableColumn {
    /// Returns what a transform is told of the column's type.
    pub fn kind(&self) -> Kind {
        if let Some(kind) = Kind::of_oid(self.type_oid) {
            return kind;
        }
        match &self.type_kind {
            TypeKind::Array(element) => Kind::Array(element.as_str().into()),
            TypeKind::Enum(_) => Kind::Enumeration,
            // The modifier has its own place: `bit(8)` is no name of a type. A quoted name ends with its quote.
            _ => match self.type_name.strip_suffix(')').and_then(|name| name.rsplit_once('(')) {
                Some((name, _)) => Kind::Other(name.into()),
                None => Kind::Other(self.type_name.as_str().into()),
            },
        }
    }

    /// Returns what the stream does not tell: `labels` of an enum as a JSON array, `domain-base`, `comment`.
    pub fn attrs(&self) -> crate::change::Attrs {
        let mut attrs = Vec::new();
        match &self.type_kind {
            TypeKind::Enum(labels) => {
                attrs.push(("labels".to_owned(), serde_json::Value::from(labels.clone()).to_string()));
            }
            TypeKind::Domain(base) => attrs.push(("domain-base".to_owned(), base.clone())),
            _ => {}
        }
        if let Some(comment) = &self.comment {
            attrs.push(("comment".to_owned(), comment.clone()));
        }
        attrs
    }
}

/// Who can tell which of two values of a key column comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparable {
    /// Integers, uuid, bytea, dates and timestamps: their order follows from their text.
    ByHost,
    /// Collations, enums, composites and everything else whose order is Postgres's own.
    ByPostgres,
}

/// One column of a [`Key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Index into [`Table::columns`].
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
    /// Quoted and qualified, for `COLLATE`; `None` for types without collation.
    pub collation: Option<String>,
    /// The index orders as `ORDER BY` on the column does, apart from its direction.
    pub default_order: bool,
    pub comparable: Comparable,
}

/// A unique index over plain columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub index: String,
    pub primary: bool,
    /// Chosen by `REPLICA IDENTITY USING INDEX`.
    pub replica_identity: bool,
    /// Valid, not partial, not deferrable, over NOT NULL columns: what a replica identity must be.
    pub usable: bool,
    /// In the order of the index.
    pub columns: Vec<KeyColumn>,
}

/// A table, view or the like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub oid: u32,
    pub name: TableName,
    pub kind: TableKind,
    pub persistence: Persistence,
    pub identity: ReplicaIdentity,
    /// Of a partition: the table at the top.
    pub partition_root: Option<(u32, TableName)>,
    pub row_security: bool,
    pub comment: Option<String>,
    /// In catalog order, generated ones included.
    pub columns: Vec<TableColumn>,
    /// Unique indexes, the primary key first.
    pub keys: Vec<Key>,
}

impl Table {
    pub fn primary_key(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.primary)
    }

    /// Returns the index whose columns Postgres logs as the old key, as far as that is an index and usable.
    pub fn identity_key(&self) -> Option<&Key> {
        let chosen = self.keys.iter().find(|key| match self.identity {
            ReplicaIdentity::Default => key.primary,
            ReplicaIdentity::Index => key.replica_identity,
            ReplicaIdentity::Full | ReplicaIdentity::Nothing => false,
        });
        chosen.filter(|key| key.usable)
    }

    /// Returns the key by which rows are told apart: the replica identity's, else the primary key. `None` is a table
    /// without a usable key.
    pub fn row_key(&self) -> Option<&Key> {
        self.identity_key().or_else(|| self.primary_key().filter(|key| key.usable))
    }

    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Tells whether the stream describes the table as it is here: its name, and the columns that can be published.
    pub fn is_described_by(&self, relation: &Relation) -> bool {
        let columns = self.columns.iter().filter(|column| column.generated == Generated::No);
        let columns = columns.map(|column| (&*column.name, column.type_oid, column.type_modifier));
        let streamed = relation.columns.iter().map(|column| (&*column.name, column.type_oid, column.type_modifier));
        self.name.schema == *relation.schema && self.name.name == *relation.name && columns.eq(streamed)
    }

    /// Adds to a relation of the stream what only the catalog knows: kinds of types that are not built in, nullability,
    /// labels, comments. Columns that the catalog no longer has, or has with another type, are left alone.
    pub fn enrich(&self, relation: &mut Relation) {
        for column in &mut relation.columns {
            let today = self.columns.iter().find(|c| c.name == *column.name && c.type_oid == column.type_oid);
            if let Some(today) = today {
                column.kind = today.kind();
                column.nullable = !today.not_null;
                column.attrs = today.attrs();
            }
        }
    }
}

/// Sorts the types whose order the host knows; `base_oid` is that of the type under all domains.
pub(super) fn comparable(base_oid: u32) -> Comparable {
    match Kind::of_oid(base_oid) {
        Some(
            Kind::Int16
            | Kind::Int32
            | Kind::Int64
            | Kind::Uuid
            | Kind::Bytea
            | Kind::Date
            | Kind::Timestamp
            | Kind::Timestamptz,
        ) => Comparable::ByHost,
        _ => Comparable::ByPostgres,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Column;

    #[test]
    fn enriching_leaves_alone_what_the_catalog_has_otherwise() {
        let today = |name: &str, type_oid, type_kind| TableColumn {
            name: name.to_owned(),
            number: 1,
            type_oid,
            base_oid: type_oid,
            type_modifier: -1,
            type_name: "public.mood".to_owned(),
            type_kind,
            not_null: true,
            generated: Generated::No,
            identity: false,
            missing: None,
            comment: Some("how".to_owned()),
        };
        let table = Table {
            oid: 1,
            name: TableName::new("public", "t"),
            kind: TableKind::Ordinary,
            persistence: Persistence::Permanent,
            identity: ReplicaIdentity::Default,
            partition_root: None,
            row_security: false,
            comment: None,
            columns: vec![
                today("mood", 9999, TypeKind::Enum(vec!["a".to_owned(), "b\"".to_owned()])),
                today("retyped", 23, TypeKind::Base),
            ],
            keys: Vec::new(),
        };
        let streamed = |name: &str, type_oid| Column {
            name: name.into(),
            kind: Kind::Other("?".into()),
            type_oid,
            type_modifier: -1,
            nullable: true,
            key: false,
            attrs: Vec::new(),
        };
        let mut relation = Relation {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
            identity: ReplicaIdentity::Default,
            columns: vec![streamed("mood", 9999), streamed("retyped", 25), streamed("dropped", 23)],
        };
        let before = relation.clone();
        table.enrich(&mut relation);
        assert_eq!(relation.columns[1..], before.columns[1..]);
        let mood = &relation.columns[0];
        assert_eq!((&mood.kind, mood.nullable), (&Kind::Enumeration, false));
        let attrs = [("labels", r#"["a","b\""]"#), ("comment", "how")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(mood.attrs, attrs);
    }
}
