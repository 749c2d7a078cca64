//! Source rows: how the columns of a table become the fields of a struct.
//!
//! The host sends the subscribed columns, and always the replica identity, in catalog order, and that order changes
//! with the table. So columns are matched by name, once per relation ([`Plan`]); a row is then read front to back,
//! each column going to the field that the plan says, or being stepped over.

use std::fmt;

use crate::change::{Change, Old};
use crate::error::{Error, Result};
use crate::model::{Identity, Kind, Op, Relation};
use crate::msgpack::{Malformed, Raw, Reader, Writer};
use crate::value::Unfit;

/// One field of a source row.
pub struct SourceColumn {
    pub name: &'static str,
    /// Marked `#[key]`.
    pub key: bool,
    /// What the field itself would be as a column; the test helper makes tables of it.
    pub kind: Kind,
    pub nullable: bool,
    pub expected: &'static str,
    pub accepts: fn(&Kind) -> bool,
}

/// A source table as a struct describes it.
pub struct Table {
    pub schema: &'static str,
    pub name: &'static str,
    pub columns: &'static [SourceColumn],
    /// Empty: all operations.
    pub ops: &'static [Op],
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// What a source row is apart from the lifetime of its borrowed fields. Derived by `#[derive(Source)]`.
pub trait SourceRow {
    /// The fields marked `#[key]`: the field's type if it is one, a tuple if there are several.
    type Key: Clone + PartialEq;
    const TABLE: &'static Table;

    fn key(&self) -> Self::Key;

    /// Writes the fields in their order; the test helper makes changes of it.
    fn write(&self, to: &mut Writer);
}

/// A row of a source table. Derived by `#[derive(Source)]`.
pub trait Source<'a>: SourceRow + Sized {
    /// Reads all fields.
    ///
    /// # Errors
    /// [`Error::Rejected`] for a value that its field can't hold, [`Error::Fatal`] for one of an unannounced kind.
    fn decode(row: &mut RowReader<'a, '_>) -> Result<Self>;

    /// Reads the fields marked `#[key]` alone.
    fn decode_key(row: &mut RowReader<'a, '_>) -> Result<Self::Key>;
}

/// Where the columns of a relation go.
pub struct Plan {
    pub(crate) table: &'static Table,
    /// For each column of the relation the field that takes it.
    fields: Vec<u16>,
    full: bool,
}

/// No field takes this column: it is part of the replica identity, or another function's.
const UNUSED: u16 = u16::MAX;

impl Plan {
    /// Holds a relation against the struct that its rows become.
    ///
    /// # Errors
    /// [`Error::Fatal`] for a column that is missing, of a kind that its field can't take, or marked `#[key]` and not
    /// part of the replica identity, so that updates and deletes would come without it.
    pub fn new(table: &'static Table, relation: &Relation) -> Result<Plan> {
        let fields = relation.columns.iter().map(|column| {
            let field = table.columns.iter().position(|field| field.name == column.name);
            field.map_or(UNUSED, |field| field as u16)
        });
        let plan = Plan { table, fields: fields.collect(), full: relation.identity == Identity::Full };
        let sees_old = table.ops.is_empty() || table.ops.contains(&Op::Update) || table.ops.contains(&Op::Delete);
        for field in table.columns {
            let Some(column) = relation.columns.iter().find(|column| column.name == field.name) else {
                return Err(Error::fatal(format_args!(
                    "table {table} has no column `{}`, which the transform reads; was it renamed or dropped?",
                    field.name
                )));
            };
            if !(field.accepts)(&column.kind) {
                return Err(Error::fatal(format_args!(
                    "column `{}` of table {table} is {}; the transform expects {}",
                    field.name, column.kind, field.expected
                )));
            }
            if field.key && sees_old && !column.key && !plan.full {
                return Err(Error::fatal(format_args!(
                    "column `{}` of table {table} is marked #[key] and not part of the replica identity, so updates and \
                     deletes come without it; mark the columns of the replica identity, or ALTER TABLE {table} \
                     REPLICA IDENTITY FULL",
                    field.name
                )));
            }
        }
        Ok(plan)
    }
}

/// A row on its way into a struct: yields (field, value) for every column that a field takes.
pub struct RowReader<'a, 'p> {
    reader: Reader<'a>,
    plan: &'p Plan,
    column: usize,
    columns: usize,
    /// The old row, where unchanged values are looked up: set under `REPLICA IDENTITY FULL` alone.
    full_old: Option<Reader<'a>>,
    field: u16,
}

impl<'a, 'p> RowReader<'a, 'p> {
    fn new(mut reader: Reader<'a>, plan: &'p Plan, full_old: Option<Reader<'a>>) -> Result<RowReader<'a, 'p>> {
        let columns = reader.array().map_err(malformed)? as usize;
        if columns != plan.fields.len() {
            return Err(Error::fatal(format_args!(
                "the host sent {columns} columns for table {}, whose relation has {}",
                plan.table,
                plan.fields.len()
            )));
        }
        Ok(RowReader { reader, plan, column: 0, columns, full_old, field: 0 })
    }

    /// Returns the next column that a field takes, with that field's index.
    #[inline(always)]
    #[allow(clippy::should_implement_trait)] // an iterator's items could not be results that end it
    pub fn next(&mut self) -> Result<Option<(u16, Raw<'a>)>> {
        while self.column < self.columns {
            let field = self.plan.fields[self.column];
            self.column += 1;
            if field == UNUSED {
                self.reader.skip().map_err(malformed)?;
                continue;
            }
            let mut value = self.reader.value().map_err(malformed)?;
            if value == Raw::Unchanged {
                value = self.unchanged()?;
            }
            self.field = field;
            return Ok(Some((field, value)));
        }
        Ok(None)
    }

    /// Returns the old row's value of the column that was just read, where the old row is known.
    #[cold]
    fn unchanged(&self) -> Result<Raw<'a>> {
        let Some(mut old) = self.full_old else { return Ok(Raw::Unchanged) };
        if old.array_or_nil().map_err(malformed)?.is_none_or(|columns| columns as usize != self.columns) {
            return Ok(Raw::Unchanged);
        }
        for _ in 1..self.column {
            old.skip().map_err(malformed)?;
        }
        old.value().map_err(malformed)
    }

    /// Returns the error for a value that its field can't take.
    #[cold]
    pub fn unfit(&self, unfit: Unfit) -> Error {
        let table = self.plan.table;
        let column = &table.columns[usize::from(self.field)];
        let (name, expected) = (column.name, column.expected);
        match unfit {
            Unfit::Null => Error::reject(
                "null",
                format_args!("column `{name}` of table {table} is NULL; make the field an Option if that may be"),
            ),
            Unfit::Unchanged => Error::reject(
                "unchanged",
                format_args!(
                    "column `{name}` of table {table} is a TOASTed value that the update left alone, so it was not \
                     sent; make the field Toasted<…>, or ALTER TABLE {table} REPLICA IDENTITY FULL"
                ),
            ),
            Unfit::Label => Error::reject(
                "label",
                format_args!("column `{name}` of table {table} holds a label that the enum does not have; add it"),
            ),
            Unfit::Kind { found } => Error::fatal(format_args!(
                "column `{name}` of table {table} arrived as {found}; the transform expects {expected}"
            )),
            Unfit::Range => Error::fatal(format_args!(
                "column `{name}` of table {table} arrived as an integer that is too large; the transform expects {expected}"
            )),
        }
    }

    /// Returns the error for a field that no column filled; [`Plan::new`] has made sure that there is one.
    #[cold]
    pub fn missing(&self, name: &str) -> Error {
        Error::fatal(format_args!("table {} came without its column `{name}`", self.plan.table))
    }
}

#[cold]
pub(crate) fn malformed(_: Malformed) -> Error {
    Error::fatal("the host's batch ends too early or is not what the contract says: host and SDK do not fit together")
}

/// One change on its way to its function.
pub struct Input<'a, 'p> {
    pub(crate) reader: &'p mut Reader<'a>,
    pub(crate) op: Op,
    pub(crate) plan: &'p Plan,
}

impl<'a> Input<'a, '_> {
    /// Reads the change into its row type.
    ///
    /// The reader stands behind the change afterwards, unless there was an error.
    ///
    /// # Errors
    /// As [`Source::decode`], and [`Error::Rejected`] for a delete whose table sends no old row.
    #[inline]
    pub fn change<S: Source<'a>>(&mut self) -> Result<Change<S>> {
        match self.op {
            Op::Insert => {
                let new = self.row(None)?;
                self.reader.skip_row().map_err(malformed)?;
                Ok(Change::Insert(new))
            }
            Op::Update => {
                // The old row stands behind the new one, whose unchanged values it fills.
                let full_old = if self.plan.full { Some(self.behind()?) } else { None };
                let new = self.row(full_old)?;
                Ok(Change::Update { old: self.old()?, new })
            }
            Op::Delete => {
                self.reader.skip_row().map_err(malformed)?;
                let old = self.old()?.ok_or_else(|| {
                    let table = self.plan.table;
                    Error::reject("no-old-row", format_args!("a delete of table {table} came without its old row"))
                })?;
                Ok(Change::Delete(old))
            }
            Op::Truncate => {
                self.reader.skip_row().map_err(malformed)?;
                self.reader.skip_row().map_err(malformed)?;
                Ok(Change::Truncate)
            }
        }
    }

    fn behind(&self) -> Result<Reader<'a>> {
        let mut reader = *self.reader;
        reader.skip_row().map_err(malformed)?;
        Ok(reader)
    }

    #[inline]
    fn row<S: Source<'a>>(&mut self, full_old: Option<Reader<'a>>) -> Result<S> {
        let mut row = RowReader::new(*self.reader, self.plan, full_old)?;
        let decoded = S::decode(&mut row)?;
        *self.reader = row.reader;
        Ok(decoded)
    }

    fn old<S: Source<'a>>(&mut self) -> Result<Option<Old<S>>> {
        let mut peek = *self.reader;
        if peek.array_or_nil().map_err(malformed)?.is_none() {
            *self.reader = peek;
            return Ok(None);
        }
        if self.plan.full {
            return self.row(None).map(|row| Some(Old::Row(row)));
        }
        let mut row = RowReader::new(*self.reader, self.plan, None)?;
        let key = S::decode_key(&mut row)?;
        *self.reader = row.reader;
        Ok(Some(Old::Key(key)))
    }
}
