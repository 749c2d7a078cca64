//! Changes as the host encodes them: the columns in the relation's order, of the old row what its identity sends.

use crate::model::{Column, Identity, Op, Relation};
use crate::msgpack::{Raw, Reader, Writer};
use crate::source::{SourceRow, Table};

/// Makes the relation that a struct describes.
pub fn relation(id: u32, table: &Table) -> Relation {
    let column = |column: &crate::source::SourceColumn| Column {
        name: column.name.to_owned(),
        kind: column.kind.clone(),
        nullable: column.nullable,
        key: column.key,
        attrs: Vec::new(),
    };
    Relation {
        id,
        version: 1,
        schema: table.schema.to_owned(),
        name: table.name.to_owned(),
        identity: Identity::Default,
        columns: table.columns.iter().map(column).collect(),
        attrs: Vec::new(),
    }
}

/// Encodes one change.
pub fn change<S: SourceRow>(relation: &Relation, op: Op, new: Option<&S>, old: Option<&S>) -> Vec<u8> {
    let mut to = Writer::default();
    to.array(4);
    to.int(op as i64);
    to.int(i64::from(relation.id));
    row(relation, new, true, &mut to);
    row(relation, old, relation.identity == Identity::Full, &mut to);
    to.bytes
}

fn row<S: SourceRow>(relation: &Relation, row: Option<&S>, whole: bool, to: &mut Writer) {
    let Some(row) = row else { return to.null() };
    let mut fields = Writer::default();
    row.write(&mut fields);
    let mut fields = Reader::new(&fields.bytes);
    to.array(relation.columns.len());
    for column in &relation.columns {
        let value = fields.value().expect("written just now");
        to.raw(if whole || column.key { value } else { Raw::Unchanged });
    }
}
