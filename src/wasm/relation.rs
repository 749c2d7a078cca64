//! What a transform sees of a source table: the subscribed columns, and always the replica identity, in catalog order.
//!
//! Under REPLICA IDENTITY FULL every column is part of the identity; there the subscribed ones alone are handed over,
//! or a subscription of two columns would decode a table of two hundred.
//!
//! A relation's `id` is dense and local to an instance. A table whose subscribed columns were altered becomes another
//! relation, with the next `version` and an `id` of its own, so that both may stand in one batch; an alteration that
//! the transform does not see changes nothing for it.

use std::sync::Arc;

use super::bindings::types as wit;
use super::input::Travel;
use super::{GuestError, Subscription};
use crate::change::{Column, Kind, Op, Relation, ReplicaIdentity};

/// How the rows of one source relation are handed over.
#[derive(Debug)]
pub(super) struct Plan {
    pub source: Arc<Relation>,
    /// (index of the source's column, how it travels), ascending.
    pub columns: Vec<(usize, Travel)>,
    ops: [bool; 4],
}

impl Plan {
    /// Returns how `source` is handed over, `None` when nothing subscribes to it.
    ///
    /// # Errors
    /// [`GuestError::MissingColumn`] when a subscribed column is gone: to go on would be to misread.
    pub(super) fn of(
        transform: &str,
        subscriptions: &[Subscription],
        source: &Arc<Relation>,
    ) -> Result<Option<Plan>, GuestError> {
        let mut wanted = vec![false; source.columns.len()];
        let mut ops = [false; 4];
        let mut subscribed = false;
        let of_table = |s: &&Subscription| *s.schema == *source.schema && *s.table == *source.name;
        for subscription in subscriptions.iter().filter(of_table) {
            subscribed = true;
            if subscription.columns.is_empty() {
                wanted.fill(true);
            }
            for name in &subscription.columns {
                let column = source.column(name).ok_or_else(|| GuestError::MissingColumn {
                    transform: transform.to_owned(),
                    table: source.display_name(),
                    column: name.clone(),
                })?;
                wanted[column] = true;
            }
            for op in [Op::Insert, Op::Update, Op::Delete, Op::Truncate] {
                ops[op as usize] |= subscription.ops.is_empty() || subscription.ops.contains(&op);
            }
        }
        if !subscribed {
            return Ok(None);
        }
        if source.identity != ReplicaIdentity::Full {
            for (wanted, column) in wanted.iter_mut().zip(&source.columns) {
                *wanted |= column.key;
            }
        }
        let columns = (0..wanted.len()).filter(|&i| wanted[i]).map(|i| (i, Travel::of(&source.columns[i].kind)));
        Ok(Some(Plan { source: source.clone(), columns: columns.collect(), ops }))
    }

    pub(super) fn takes(&self, op: Op) -> bool {
        self.ops[op as usize]
    }

    /// Returns whether a guest can't tell the two apart.
    pub(super) fn looks_like(&self, other: &Plan) -> bool {
        let (a, b) = (&self.source, &other.source);
        self.same_table(other)
            && a.identity == b.identity
            && self.columns.len() == other.columns.len()
            && self.seen().eq(other.seen())
    }

    /// Returns whether the two are the same table, at whatever version.
    pub(super) fn same_table(&self, other: &Plan) -> bool {
        let (a, b) = (&self.source, &other.source);
        a.oid == b.oid && a.schema == b.schema && a.name == b.name
    }

    fn seen(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().map(|&(i, _)| &self.source.columns[i])
    }

    pub(super) fn to_wit(&self, id: u32, version: u32) -> wit::Relation {
        wit::Relation {
            id,
            version,
            schema: self.source.schema.to_string(),
            name: self.source.name.to_string(),
            identity: match self.source.identity {
                ReplicaIdentity::Default => wit::ReplicaIdentity::Default,
                ReplicaIdentity::Index => wit::ReplicaIdentity::Index,
                ReplicaIdentity::Full => wit::ReplicaIdentity::Full,
                ReplicaIdentity::Nothing => wit::ReplicaIdentity::Nothing,
            },
            columns: self.seen().map(column_to_wit).collect(),
            attrs: Vec::new(),
        }
    }
}

fn column_to_wit(column: &Column) -> wit::Column {
    wit::Column {
        name: column.name.to_string(),
        kind: kind_to_wit(&column.kind),
        type_oid: column.type_oid,
        type_modifier: column.type_modifier,
        nullable: column.nullable,
        key: column.key,
        attrs: column.attrs.clone(),
    }
}

fn kind_to_wit(kind: &Kind) -> wit::Kind {
    match kind {
        Kind::Bool => wit::Kind::Bool,
        Kind::Int16 => wit::Kind::Int16,
        Kind::Int32 => wit::Kind::Int32,
        Kind::Int64 => wit::Kind::Int64,
        Kind::Float32 => wit::Kind::Float32,
        Kind::Float64 => wit::Kind::Float64,
        Kind::Numeric => wit::Kind::Numeric,
        Kind::Text => wit::Kind::Text,
        Kind::Bytea => wit::Kind::Bytea,
        Kind::Uuid => wit::Kind::Uuid,
        Kind::Json => wit::Kind::Json,
        Kind::Jsonb => wit::Kind::Jsonb,
        Kind::Date => wit::Kind::Date,
        Kind::Time => wit::Kind::Time,
        Kind::Timetz => wit::Kind::Timetz,
        Kind::Timestamp => wit::Kind::Timestamp,
        Kind::Timestamptz => wit::Kind::Timestamptz,
        Kind::Interval => wit::Kind::Interval,
        Kind::Enumeration => wit::Kind::Enumeration,
        Kind::Array(element) => wit::Kind::Array(element.to_string()),
        Kind::Other(name) => wit::Kind::Other(name.to_string()),
    }
}

pub(super) fn kind_from_wit(kind: wit::Kind) -> Kind {
    match kind {
        wit::Kind::Bool => Kind::Bool,
        wit::Kind::Int16 => Kind::Int16,
        wit::Kind::Int32 => Kind::Int32,
        wit::Kind::Int64 => Kind::Int64,
        wit::Kind::Float32 => Kind::Float32,
        wit::Kind::Float64 => Kind::Float64,
        wit::Kind::Numeric => Kind::Numeric,
        wit::Kind::Text => Kind::Text,
        wit::Kind::Bytea => Kind::Bytea,
        wit::Kind::Uuid => Kind::Uuid,
        wit::Kind::Json => Kind::Json,
        wit::Kind::Jsonb => Kind::Jsonb,
        wit::Kind::Date => Kind::Date,
        wit::Kind::Time => Kind::Time,
        wit::Kind::Timetz => Kind::Timetz,
        wit::Kind::Timestamp => Kind::Timestamp,
        wit::Kind::Timestamptz => Kind::Timestamptz,
        wit::Kind::Interval => Kind::Interval,
        wit::Kind::Enumeration => Kind::Enumeration,
        wit::Kind::Array(element) => Kind::Array(element.into()),
        wit::Kind::Other(name) => Kind::Other(name.into()),
    }
}
