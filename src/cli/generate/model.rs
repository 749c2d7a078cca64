//! What a project's row types are made of: tables as the catalog has them, with names that fit into any language.

use super::words::{fresh, singular, words};
use crate::change::{Kind, ReplicaIdentity};
use crate::postgres::catalog::{Generated, Table, TableColumn, TypeKind};

/// The type of a table's rows.
#[derive(Clone, Debug)]
pub struct RowType {
    pub schema: String,
    pub table: String,
    /// What a row is called: `order`, of the table `orders`.
    pub one: Vec<String>,
    /// What its function, and its public schema, are called: `orders`.
    pub many: Vec<String>,
    pub comment: Option<String>,
    pub columns: Vec<Column>,
}

/// A column, and the field that it becomes.
#[derive(Clone, Debug)]
pub struct Column {
    /// Postgres's name.
    pub name: String,
    pub field: Vec<String>,
    pub kind: Kind,
    pub nullable: bool,
    /// Of the replica identity, or of the primary key under `REPLICA IDENTITY FULL`.
    pub key: bool,
    /// An update that leaves the value alone may not send it.
    pub toasted: bool,
    pub labels: Option<Labels>,
    pub comment: Option<String>,
}

/// The labels of an enum, and the type that they become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    pub name: Vec<String>,
    /// Each label with its words.
    pub labels: Vec<(String, Vec<String>)>,
}

impl RowType {
    /// `schema.table`
    pub fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    /// Returns true if rows can be told apart. Of a table without a key only inserts can be published.
    pub fn has_key(&self) -> bool {
        self.columns.iter().any(|column| column.key)
    }

    /// Returns the enums of the columns, each once.
    pub fn enums(rows: &[RowType]) -> Vec<&Labels> {
        let mut enums: Vec<&Labels> = Vec::new();
        for labels in rows.iter().flat_map(|row| &row.columns).filter_map(|column| column.labels.as_ref()) {
            if !enums.contains(&labels) {
                enums.push(labels);
            }
        }
        enums
    }
}

impl Column {
    /// Returns the Postgres type that a public column is declared as, where its field's own type does not say it: that of
    /// an array, and of what only Postgres itself knows. A type of the database's own may not exist at the destination,
    /// where its text does.
    pub fn public_type(&self) -> Option<String> {
        match &self.kind {
            Kind::Array(element) if !element.contains('.') => Some(format!("{element}[]")),
            Kind::Array(_) => Some("text[]".to_owned()),
            Kind::Other(name) if !name.contains('.') => Some(name.to_string()),
            _ => None,
        }
    }
}

/// Makes the row types of tables. `large` names the columns, as `schema.table.column`, that may be large in spite of their
/// type.
pub fn row_types(tables: &[Table], large: &[String]) -> Vec<RowType> {
    let (mut rows, mut enums): (Vec<RowType>, Vec<(String, Labels)>) = (Vec::new(), Vec::new());
    // Names of rows first: an enum that is called alike gets another one.
    let (mut ones, mut manys): (Vec<Vec<String>>, Vec<Vec<String>>) = (Vec::new(), Vec::new());
    for table in tables {
        let many = words(&table.name.name);
        let mut one = singular(many.clone());
        if is_reserved(&one) {
            one.push("row".to_owned());
        }
        ones.push(fresh(one, "row", &ones));
        manys.push(fresh(many, "rows", &manys));
    }
    for (at, table) in tables.iter().enumerate() {
        let (one, many) = (ones[at].clone(), manys[at].clone());
        let keys: Vec<usize> =
            table.row_key().map(|key| key.columns.iter().map(|column| column.column).collect()).unwrap_or_default();
        let mut columns: Vec<Column> = Vec::new();
        for (index, column) in table.columns.iter().enumerate() {
            // A generated column is not in the stream before PostgreSQL 18, and there only if it is asked for.
            if column.generated != Generated::No {
                continue;
            }
            let taken: Vec<_> = columns.iter().map(|column| column.field.clone()).collect();
            let key = keys.contains(&index);
            let path = format!("{}.{}.{}", table.name.schema, table.name.name, column.name);
            columns.push(Column {
                name: column.name.clone(),
                field: fresh(words(&column.name), &format!("column_{}", index + 1), &taken),
                kind: column.kind(),
                nullable: !column.not_null,
                key,
                toasted: !key
                    && table.identity != ReplicaIdentity::Full
                    && (may_be_large(column) || large.contains(&path)),
                labels: labels(column, &mut enums, &ones),
                comment: column.comment.clone(),
            });
        }
        rows.push(RowType {
            schema: table.name.schema.clone(),
            table: table.name.name.clone(),
            one,
            many,
            comment: table.comment.clone(),
            columns,
        });
    }
    rows
}

/// What the SDKs and the languages themselves call types: a row of that name would hide one of them.
const RESERVED: &[&str] = &[
    "ahead",
    "annotated",
    "array",
    "bool",
    "box",
    "bytea",
    "change",
    "changes",
    "column",
    "context",
    "date",
    "debug",
    "decimal",
    "delete",
    "double",
    "enum",
    "enumeration",
    "error",
    "fatal",
    "float",
    "host",
    "i64",
    "identity",
    "info",
    "insert",
    "int",
    "integer",
    "interval",
    "json",
    "jsonb",
    "key",
    "kind",
    "log",
    "map",
    "message",
    "none",
    "ok",
    "op",
    "option",
    "order_by",
    "out",
    "pelton",
    "pg",
    "phase",
    "public",
    "publicschema",
    "real",
    "record",
    "reject",
    "relation",
    "result",
    "retry",
    "row",
    "self",
    "set",
    "settings",
    "smallint",
    "some",
    "source",
    "span",
    "state",
    "str",
    "string",
    "struct",
    "table",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "toasted",
    "trace",
    "transform",
    "truncate",
    "type",
    "unchanged",
    "update",
    "uuid",
    "value",
    "vec",
    "warn",
];

/// Returns whether an SDK or a language has a type of that name.
pub fn is_reserved(words: &[String]) -> bool {
    RESERVED.contains(&words.concat().as_str())
}

/// Documents, bytes and arrays are what is usually moved out of line. Texts are so rarely that who has long ones says so.
fn may_be_large(column: &TableColumn) -> bool {
    match column.kind() {
        Kind::Json | Kind::Jsonb | Kind::Bytea | Kind::Array(_) => true,
        Kind::Other(_) => column.type_kind == TypeKind::Composite,
        _ => false,
    }
}

fn labels(column: &TableColumn, known: &mut Vec<(String, Labels)>, rows: &[Vec<String>]) -> Option<Labels> {
    let TypeKind::Enum(all) = &column.type_kind else { return None };
    if let Some((_, labels)) = known.iter().find(|(name, _)| *name == column.type_name) {
        return Some(labels.clone());
    }
    let last = column.type_name.rsplit('.').next().unwrap_or_default();
    let taken: Vec<_> = known.iter().map(|(_, labels)| labels.name.clone()).chain(rows.iter().cloned()).collect();
    let mut name = words(last);
    if is_reserved(&name) {
        name.push("label".to_owned());
    }
    let mut labels: Vec<(String, Vec<String>)> = Vec::new();
    for (index, label) in all.iter().enumerate() {
        let taken: Vec<_> = labels.iter().map(|(_, words)| words.clone()).collect();
        labels.push((label.clone(), fresh(words(label), &format!("label_{}", index + 1), &taken)));
    }
    let labels = Labels { name: fresh(name, "label", &taken), labels };
    known.push((column.type_name.clone(), labels.clone()));
    Some(labels)
}
