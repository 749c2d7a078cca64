//! `publicSchemaType: table`: a table as its own public schema, without code.
//!
//! A row that passes through whole and in order is handed on as the bytes that came from the socket; otherwise its
//! columns are copied, by position, into one buffer a batch.
//!
//! # A table that is altered
//!
//! The stream describes a table as it was when its rows were written, so a batch may hold several versions of it, and
//! after a restart older ones than the public schema was derived from. Columns are found by name in each version:
//!
//! - One that a version lacks, and that the catalog says was added later, is left alone by its updates, and its inserts
//!   have the value that Postgres gave to rows from before (that of a constant default, else NULL).
//! - One that was dropped or renamed ([`renamed_from`]) stops the flow, and so does one of another type.
//! - One that has more digits behind the point than before (`numeric(10,2)` became `numeric(12,4)`) ends the run too
//!   ([`ProjectionError::Widened`]). The next one takes it as it is now, and does not begin to write before the
//!   destination's column keeps as many, or Postgres would round there in silence.
//! - One that was added ends the run where all columns are taken ([`ProjectionError::Grown`]): the next one begins at
//!   the same checkpoint with a public schema that has it. Where columns are listed it is ignored.

use std::sync::Arc;

use super::today::{Today, TodaysColumn, added_later, renamed_from, renamed_to};
use crate::change::{
    Batch, Change, Column, Kind, Old, Op, Phase, PublicSchema, Relation, Row, Tuple, TupleWriter, Value,
    fraction_digits,
};
use crate::postgres::quote_ident;
use crate::sink::MISSING_VALUE;

/// The attribute of a public schema without a key whose rows are told apart by all their columns.
pub const IDENTITY_FULL: (&str, &str) = ("identity", "full");

/// A source table that is not what its projection needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    #[error("table {table} has no column \"{column}\", which public schema `{public_schema}` takes")]
    MissingColumn { table: String, column: String, public_schema: String },
    #[error(
        "column \"{column}\" of table {table} was renamed to \"{now}\", and public schema `{public_schema}` takes one of \
         the two"
    )]
    Renamed { table: String, column: String, now: String, public_schema: String },
    #[error("column \"{column}\" of table {table} is {found} now; public schema `{public_schema}` has {expected}")]
    Retyped { table: String, column: String, expected: String, found: String, public_schema: String },
    #[error("table {table} has a new column \"{column}\"")]
    Grown { table: String, column: String },
    #[error("column \"{column}\" of table {table} has more digits than before")]
    Widened { table: String, column: String },
    #[error("public schema `{public_schema}` has no column \"{column}\", which its key names")]
    KeyNotPublic { column: String, public_schema: String },
    #[error(
        "key column \"{column}\" of public schema `{public_schema}` is not part of table {table}'s replica identity, \
         so a DELETE does not say which row it was"
    )]
    KeyNotIdentity { table: String, column: String, public_schema: String },
    #[error("an INSERT into table {table} leaves out values, as one does that a row filter made of an UPDATE")]
    InsertUnchanged { table: String },
    #[error("a change of table {table} comes without the old row that its replica identity should send")]
    NoOldRow { table: String },
}

impl ProjectionError {
    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            ProjectionError::MissingColumn { column, .. } => format!(
                "to go on without \"{column}\", leave it out of `columns`, if they are listed, and restart `pelton sync`; if it \
                 was renamed, name the new one there as `{column}: new_name`, or rename it at the destination too"
            ),
            ProjectionError::Renamed { table, column, now, .. } => format!(
                "nothing is lost if it is renamed back before the table is written to: ALTER TABLE {table} RENAME COLUMN \
                 {} TO {}; else rename it at the destination too, or in `columns`, if they are listed, and restart `pelton \
                 sync`; where that finds changes from before the rename, or if the one was dropped and the other added, start the \
                 flow anew, which copies the table again",
                quote_ident(now),
                quote_ident(column)
            ),
            ProjectionError::Grown { .. } | ProjectionError::Widened { .. } => return None,
            ProjectionError::Retyped { .. } => {
                "publish the new type as a new major version of the public schema, or change the column back, or give the \
                 destination's column the new type too and restart `pelton sync`"
                    .to_owned()
            }
            ProjectionError::KeyNotPublic { column, .. } => format!("add \"{column}\" to `columns`, or change `key`"),
            ProjectionError::KeyNotIdentity { table, .. } => {
                format!("ALTER TABLE {table} REPLICA IDENTITY FULL, or take the table's primary key as `key`")
            }
            ProjectionError::InsertUnchanged { table } | ProjectionError::NoOldRow { table } => {
                format!("ALTER TABLE {table} REPLICA IDENTITY FULL")
            }
        })
    }
}

/// One table, its columns and their public names.
#[derive(Clone, Debug)]
pub struct Projection {
    schema: String,
    table: String,
    public: PublicSchema,
    /// Source columns, one a public column.
    sources: Vec<String>,
    keyless: bool,
    /// All columns are taken, those too that are added one day.
    all: bool,
    today: Arc<Today>,
    /// The table's columns when the public schema was derived, published or not.
    columns: Vec<TodaysColumn>,
    /// Of each public column: a version of the table with it has been in the stream.
    seen: Vec<bool>,
    /// How the relation versions of the last batch map; few, so a search is enough.
    mappings: Vec<(Arc<Relation>, Arc<Mapping>)>,
}

/// What a manifest says of a `table` public schema.
#[derive(Clone, Debug)]
pub struct Definition<'a> {
    pub name: &'a str,
    pub major: u32,
    pub minor: u32,
    /// (public name, source column); `None`: all columns.
    pub columns: Option<&'a [(String, String)]>,
    /// Public names; `None`: the primary key, or else the replica identity.
    pub key: Option<&'a [String]>,
    /// The columns of the table's primary key, or of its identity's index; none under FULL without a key.
    pub table_key: &'a [String],
    pub today: Arc<Today>,
}

struct Mapping {
    /// Indexes in the source's columns, one a public column; `None`: this version lacks it.
    sources: Vec<Option<usize>>,
    /// Public columns that make the key.
    key: Vec<usize>,
    /// A row is its own projection.
    identity: bool,
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.sources)
    }
}

impl Projection {
    /// Derives the public schema from the table as it is now.
    ///
    /// # Errors
    /// Columns that the table lacks, a key that is not public or not known of a deleted row.
    pub fn new(relation: &Relation, definition: &Definition<'_>) -> Result<Projection, ProjectionError> {
        let public_schema = definition.name.to_owned();
        let all: Vec<(String, String)>;
        let columns = match definition.columns {
            Some(columns) => columns,
            None => {
                all = relation.columns.iter().map(|c| (c.name.to_string(), c.name.to_string())).collect();
                &all
            }
        };
        let key_names: Vec<String> = match definition.key {
            Some(key) => key.to_vec(),
            None => {
                let public_name = |column: &String| match columns.iter().find(|(_, source)| source == column) {
                    Some((public, _)) => Ok(public.clone()),
                    None => Err(ProjectionError::KeyNotPublic {
                        column: column.clone(),
                        public_schema: public_schema.clone(),
                    }),
                };
                definition.table_key.iter().map(public_name).collect::<Result<_, _>>()?
            }
        };
        if let Some(column) = key_names.iter().find(|name| columns.iter().all(|(public, _)| public != *name)) {
            return Err(ProjectionError::KeyNotPublic { column: column.clone(), public_schema });
        }
        let today = definition.today.columns(&relation.schema, &relation.name);
        let mut public_columns = Vec::with_capacity(columns.len());
        for (public, source) in columns {
            let Some(index) = relation.column(source) else {
                return Err(ProjectionError::MissingColumn {
                    table: relation.display_name(),
                    column: source.clone(),
                    public_schema,
                });
            };
            let column = &relation.columns[index];
            let key = key_names.contains(public);
            if key && !column.key {
                return Err(ProjectionError::KeyNotIdentity {
                    table: relation.display_name(),
                    column: source.clone(),
                    public_schema,
                });
            }
            // An enum is text in public: its labels are the owner's to change.
            let kind = if column.kind == Kind::Enumeration { Kind::Text } else { column.kind.clone() };
            public_columns.push(Column {
                name: public.as_str().into(),
                kind,
                type_oid: 0,
                type_modifier: column.type_modifier,
                nullable: column.nullable && !key,
                key,
                attrs: today
                    .iter()
                    .find(|today| today.name == *source)
                    .and_then(|today| Some((MISSING_VALUE.to_owned(), today.missing.clone()?)))
                    .into_iter()
                    .collect(),
            });
        }
        let keyless = key_names.is_empty();
        let attrs = if keyless { vec![(IDENTITY_FULL.0.to_owned(), IDENTITY_FULL.1.to_owned())] } else { Vec::new() };
        Ok(Projection {
            schema: relation.schema.to_string(),
            table: relation.name.to_string(),
            public: PublicSchema {
                name: definition.name.into(),
                major: definition.major,
                minor: definition.minor,
                columns: public_columns,
                attrs,
            },
            seen: vec![false; columns.len()],
            all: definition.columns.is_none(),
            today: definition.today.clone(),
            columns: today,
            sources: columns.iter().map(|(_, source)| source.clone()).collect(),
            keyless,
            mappings: Vec::new(),
        })
    }

    pub fn public_schema(&self) -> &PublicSchema {
        &self.public
    }

    /// Returns the source's columns, one a public column.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// Returns true when changes of that table are projected.
    pub fn reads(&self, schema: &str, table: &str) -> bool {
        self.schema == schema && self.table == table
    }

    /// Projects the changes of a batch. A piece of work without I/O, a few dozen ns a row.
    ///
    /// # Errors
    /// A table that was altered in a way that the public schema can't follow.
    pub fn process(&mut self, batch: &Batch) -> Result<Vec<Row>, ProjectionError> {
        let copied = batch.spans.first().is_some_and(|span| span.phase == Phase::Backfill);
        let mappings = batch.relations.iter().map(|relation| self.mapping(relation, copied));
        let mappings = mappings.collect::<Result<Vec<_>, _>>()?;
        let mut rows = Rows { rows: Vec::with_capacity(batch.changes.len()), writer: TupleWriter::default() };
        for (source, change) in batch.changes.iter().enumerate() {
            let Some(mapping) = &mappings[change.relation as usize] else { continue };
            let relation = &batch.relations[change.relation as usize];
            self.change(&mut rows, source as u32, change, mapping, relation)?;
        }
        Ok(rows.finish())
    }

    fn change(
        &self,
        rows: &mut Rows,
        source: u32,
        change: &Change,
        mapping: &Mapping,
        relation: &Relation,
    ) -> Result<(), ProjectionError> {
        let no_old_row = || ProjectionError::NoOldRow { table: relation.display_name() };
        match (change.op, &change.new) {
            (Op::Truncate, _) => {
                rows.writer.begin();
                let values = Pending::Written(rows.writer.end());
                rows.push(Op::Truncate, source, values, None);
            }
            (Op::Insert, Some(new)) => {
                // A TOASTed value that the UPDATE left alone is not sent, and must not become NULL.
                if new.columns().any(|value| value == Value::Unchanged) {
                    return Err(ProjectionError::InsertUnchanged { table: relation.display_name() });
                }
                let values = rows.inserted(mapping, new, &self.public.columns);
                rows.push(Op::Insert, source, values, None);
            }
            (Op::Update, Some(new)) => {
                let full = match &change.old {
                    Some(Old::Full(old)) => Some(old),
                    _ => None,
                };
                let old_key = match &change.old {
                    None if self.keyless => return Err(no_old_row()),
                    None => None,
                    Some(Old::Full(old)) if self.keyless => Some(rows.project(mapping, old, None)),
                    Some(Old::Full(old)) if !mapping.key_differs(old, new) => None,
                    Some(Old::Full(old)) => Some(rows.key(mapping, old.columns())),
                    Some(old @ Old::Key(_)) => Some(rows.key(mapping, old.columns(relation))),
                };
                let values = rows.project(mapping, new, full);
                rows.push(Op::Update, source, values, old_key);
            }
            (Op::Delete, _) => {
                let values = match change.old.as_ref().ok_or_else(no_old_row)? {
                    Old::Full(old) if self.keyless => rows.project(mapping, old, None),
                    Old::Key(_) if self.keyless => return Err(no_old_row()),
                    old => rows.deleted(mapping, old.columns(relation)),
                };
                rows.push(Op::Delete, source, values, None);
            }
            // The decoder never makes an insert or an update without a new row.
            (Op::Insert | Op::Update, None) => {}
        }
        Ok(())
    }

    /// Returns how the relation maps, `None` when it is another table.
    fn mapping(&mut self, relation: &Arc<Relation>, copied: bool) -> Result<Option<Arc<Mapping>>, ProjectionError> {
        if !self.reads(&relation.schema, &relation.name) {
            return Ok(None);
        }
        if let Some((_, mapping)) = self.mappings.iter().find(|(known, _)| Arc::ptr_eq(known, relation)) {
            return Ok(Some(mapping.clone()));
        }
        let today = self.today.columns(&relation.schema, &relation.name);
        let renamed = self.sources.iter().filter(|name| relation.column(name).is_none()).find_map(|name| {
            let before = renamed_from(name, relation, &today).map(|column| (column, name.clone()));
            before.or_else(|| Some((name.clone(), renamed_to(name, &self.columns, relation, &today)?)))
        });
        if let Some((column, now)) = renamed {
            let (table, public_schema) = (relation.display_name(), self.public.name.to_string());
            return Err(ProjectionError::Renamed { table, column, now, public_schema });
        }
        if let Some(column) = self.grown(relation, &today, copied) {
            return Err(ProjectionError::Grown { table: relation.display_name(), column });
        }
        let mut sources = Vec::with_capacity(self.sources.len());
        for (at, (name, public)) in self.sources.iter().zip(&self.public.columns).enumerate() {
            let Some(index) = relation.column(name) else {
                if !self.seen[at] && !public.key && added_later(name, relation, &today) {
                    sources.push(None);
                    continue;
                }
                return Err(ProjectionError::MissingColumn {
                    table: relation.display_name(),
                    column: name.clone(),
                    public_schema: self.public.name.to_string(),
                });
            };
            let found = &relation.columns[index];
            // A copied row is only inserted.
            if public.key && !found.key && !copied {
                return Err(ProjectionError::KeyNotIdentity {
                    table: relation.display_name(),
                    column: name.clone(),
                    public_schema: self.public.name.to_string(),
                });
            }
            let same = found.kind == public.kind || (found.kind == Kind::Enumeration && public.kind == Kind::Text);
            if !same {
                return Err(ProjectionError::Retyped {
                    table: relation.display_name(),
                    column: name.clone(),
                    expected: public.kind.to_string(),
                    found: found.kind.to_string(),
                    public_schema: self.public.name.to_string(),
                });
            }
            if widened(found, public, &today, copied) {
                return Err(ProjectionError::Widened { table: relation.display_name(), column: name.clone() });
            }
            sources.push(Some(index));
        }
        if !copied {
            self.seen.iter_mut().zip(&sources).for_each(|(seen, source)| *seen |= source.is_some());
        }
        let identity =
            sources.len() == relation.columns.len() && sources.iter().enumerate().all(|(i, &s)| Some(i) == s);
        let mapping = Arc::new(Mapping { sources, key: self.public.key(), identity });
        // Two versions are alive at a time; older ones never come back.
        if self.mappings.len() >= 8 {
            self.mappings.remove(0);
        }
        self.mappings.push((relation.clone(), mapping.clone()));
        Ok(Some(mapping))
    }

    /// Returns a column that was added since the public schema was derived and is to be carried.
    ///
    /// The catalog must have it still, or the next run would find no more than this one; a chunk of copied rows has it
    /// from the catalog.
    fn grown(&self, relation: &Relation, today: &[TodaysColumn], copied: bool) -> Option<String> {
        let is_new = |name: &&str| {
            let is = |column: &TodaysColumn| column.name == **name;
            !self.columns.iter().any(is) && (copied || today.iter().any(is))
        };
        let names = relation.columns.iter().map(|column| &*column.name);
        if self.all { names.into_iter().find(is_new).map(str::to_owned) } else { None }
    }
}

/// Tells whether values of that version of a column may have more digits than the public one, and still have them today.
///
/// Where the catalog has no more of them than the public column, they were rounded at the source since: rounding them at
/// the destination gives what the source has now.
fn widened(found: &Column, public: &Column, today: &[TodaysColumn], copied: bool) -> bool {
    let kept = fraction_digits(&public.kind, public.type_modifier);
    let todays = today.iter().find(|column| column.name == *found.name).and_then(|column| column.digits);
    fraction_digits(&found.kind, found.type_modifier) > kept && (copied || todays > kept)
}

impl Mapping {
    fn key_differs(&self, old: &Tuple, new: &Tuple) -> bool {
        let differs = |&public: &usize| {
            let Some(source) = self.sources[public] else { return false };
            let new = new.get(source);
            // A key column that was TOASTed and left alone is the same.
            new != Some(Value::Unchanged) && old.get(source) != new
        };
        self.key.iter().any(differs)
    }
}

enum Pending {
    Ready(Tuple),
    /// Index in the writer.
    Written(usize),
}

struct PendingRow {
    op: Op,
    source: u32,
    values: Pending,
    old_key: Option<Pending>,
}

struct Rows {
    rows: Vec<PendingRow>,
    writer: TupleWriter,
}

impl Rows {
    fn push(&mut self, op: Op, source: u32, values: Pending, old_key: Option<Pending>) {
        self.rows.push(PendingRow { op, source, values, old_key });
    }

    /// Projects a whole row; `full` is the old row that unchanged columns are filled from.
    fn project(&mut self, mapping: &Mapping, row: &Tuple, full: Option<&Tuple>) -> Pending {
        let fill = full.filter(|_| row.columns().any(|value| value == Value::Unchanged));
        if mapping.identity && fill.is_none() {
            return Pending::Ready(row.clone());
        }
        let values: Vec<Value<'_>> = match fill {
            None => row.columns().collect(),
            Some(old) => row
                .columns()
                .zip(old.columns())
                .map(|(new, old)| if new == Value::Unchanged { old } else { new })
                .collect(),
        };
        self.writer.begin();
        for source in &mapping.sources {
            self.writer.value(source.map_or(Value::Unchanged, |source| values[source]));
        }
        Pending::Written(self.writer.end())
    }

    /// Projects a new row; what its version of the table lacks has the value that Postgres gave to such rows.
    fn inserted(&mut self, mapping: &Mapping, row: &Tuple, public: &[Column]) -> Pending {
        if mapping.sources.iter().all(Option::is_some) {
            return self.project(mapping, row, None);
        }
        let values: Vec<Value<'_>> = row.columns().collect();
        self.writer.begin();
        for (source, column) in mapping.sources.iter().zip(public) {
            let missing = column.attrs.iter().find(|(name, _)| name == MISSING_VALUE);
            let missing = || missing.map_or(Value::Null, |(_, value)| Value::Text(value.as_bytes()));
            self.writer.value(source.map_or_else(missing, |source| values[source]));
        }
        Pending::Written(self.writer.end())
    }

    /// Writes the key columns alone.
    fn key<'a>(&mut self, mapping: &Mapping, row: impl Iterator<Item = Value<'a>>) -> Pending {
        let values: Vec<Value<'_>> = row.collect();
        self.writer.begin();
        for &public in &mapping.key {
            self.writer.value(mapping.sources[public].map_or(Value::Unchanged, |source| values[source]));
        }
        Pending::Written(self.writer.end())
    }

    /// Writes a deleted row: its key, and nothing of the rest.
    fn deleted<'a>(&mut self, mapping: &Mapping, row: impl Iterator<Item = Value<'a>>) -> Pending {
        let values: Vec<Value<'_>> = row.collect();
        self.writer.begin();
        for (public, source) in mapping.sources.iter().enumerate() {
            let source = source.filter(|_| mapping.key.contains(&public));
            self.writer.value(source.map_or(Value::Unchanged, |source| values[source]));
        }
        Pending::Written(self.writer.end())
    }

    fn finish(self) -> Vec<Row> {
        let written = self.writer.finish();
        let tuple = |pending: Pending| match pending {
            Pending::Ready(tuple) => tuple,
            Pending::Written(index) => written[index].clone(),
        };
        let row = |row: PendingRow| Row {
            public_schema: 0,
            op: row.op,
            source: row.source,
            values: tuple(row.values),
            old_key: row.old_key.map(tuple),
        };
        self.rows.into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests;
