//! Holds a guest's rows against its public schemas and writes them as tuples, in Postgres's text form.

use bytes::{BufMut, BytesMut};

use super::{Item, OutputFault};
use crate::change::{Op, PublicSchema, Row, TupleWriter};
use crate::wasm::float;
use crate::wasm::input::{Travel, int};
use crate::wasm::limits::OUTPUT_ROWS_MAX;
use crate::wasm::text::grouped;

/// The public schemas of a transform, ready to check rows.
pub(in crate::wasm) struct Schemas(Vec<Schema>);

struct Schema {
    /// `name major.minor`
    name: String,
    columns: Vec<Column>,
    /// Indexes of the key columns.
    key: Vec<usize>,
}

struct Column {
    name: String,
    travel: Travel,
    /// As `format_type` prints it, for messages.
    kind: String,
    nullable: bool,
    key: bool,
}

impl Schemas {
    pub(in crate::wasm) fn new(schemas: &[PublicSchema]) -> Schemas {
        let schema = |schema: &PublicSchema| Schema {
            name: format!("{} {}.{}", schema.name, schema.major, schema.minor),
            columns: schema
                .columns
                .iter()
                .map(|column| Column {
                    name: column.name.to_string(),
                    travel: Travel::of(&column.kind),
                    kind: column.kind.to_string(),
                    nullable: column.nullable && !column.key,
                    key: column.key,
                })
                .collect(),
            key: schema.key(),
        };
        Schemas(schemas.iter().map(schema).collect())
    }
}

/// Which part of a row is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Values,
    OldKey,
}

struct Head {
    public_schema: u32,
    op: Op,
    source: u32,
    has_old_key: bool,
}

/// Collects the rows of one result. Feed it row by row: [`begin`](Rows::begin), a [`value`](Rows::value) a column,
/// [`end_values`](Rows::end_values), the old key if there is one, [`end`](Rows::end).
pub(in crate::wasm) struct Rows<'s> {
    schemas: &'s Schemas,
    sources: &'s [u32],
    /// JSON writes int8, bytea and some floats as strings.
    as_strings: bool,
    writer: TupleWriter,
    heads: Vec<Head>,
    head: Head,
    part: Part,
    /// Values read of this part.
    at: usize,
    /// A row is open: an error concerns it.
    open: bool,
    /// Index among the changes that the guest was handed of the last row's source.
    last_source: u32,
}

impl<'s> Rows<'s> {
    pub(in crate::wasm) fn new(
        schemas: &'s Schemas,
        sources: &'s [u32],
        as_strings: bool,
        bytes_expected: usize,
    ) -> Rows<'s> {
        Rows {
            schemas,
            sources,
            as_strings,
            // A column is a byte or two in the encodings and five in a tuple.
            writer: TupleWriter::with_capacity(bytes_expected + bytes_expected / 2, sources.len()),
            heads: Vec::with_capacity(sources.len()),
            head: Head { public_schema: 0, op: Op::Insert, source: 0, has_old_key: false },
            part: Part::Values,
            at: 0,
            open: false,
            last_source: 0,
        }
    }

    pub(in crate::wasm) fn len(&self) -> usize {
        self.heads.len()
    }

    pub(in crate::wasm) fn begin(&mut self, public_schema: u32, op: u32, source: u32) -> Result<(), String> {
        if self.heads.len() == OUTPUT_ROWS_MAX {
            return Err(format!("it has more than {} rows", grouped(OUTPUT_ROWS_MAX as u64)));
        }
        if public_schema as usize >= self.schemas.0.len() {
            let (row, known) = (self.heads.len(), self.schemas.0.len());
            return Err(format!("row {row} is of public schema {public_schema}, and the transform describes {known}"));
        }
        self.open = true;
        self.part = Part::Values;
        self.at = 0;
        let op = match op {
            0 => Op::Insert,
            1 => Op::Update,
            2 => Op::Delete,
            3 => Op::Truncate,
            unknown => {
                // The schema is known: let the message name it.
                self.head.public_schema = public_schema;
                return Err(format!("operation {unknown} is none of 0 to 3"));
            }
        };
        self.head = Head { public_schema, op, source: 0, has_old_key: false };
        self.head.source = match self.sources.get(source as usize) {
            Some(&index) => index,
            None => {
                let changes = self.sources.len();
                return Err(format!("it comes from change {source} of a batch that has {changes}"));
            }
        };
        if source < self.last_source {
            let last = self.last_source;
            return Err(format!("it comes from change {source}, behind a row that came from change {last}"));
        }
        self.last_source = source;
        self.writer.begin();
        Ok(())
    }

    fn schema(&self) -> &'s Schema {
        &self.schemas.0[self.head.public_schema as usize]
    }

    /// Returns the column that the next value belongs to.
    fn column(&self) -> Option<&'s Column> {
        let schema = self.schema();
        match (self.part, self.head.op) {
            (_, Op::Truncate) => None,
            (Part::Values, _) => schema.columns.get(self.at),
            (Part::OldKey, _) => schema.key.get(self.at).map(|&i| &schema.columns[i]),
        }
    }

    #[inline]
    pub(in crate::wasm) fn value(&mut self, item: Item<'_>) -> Result<(), String> {
        let Some(column) = self.column() else {
            return Err(self.wrong_count(true));
        };
        let must_be_there = column.key || self.schema().key.is_empty();
        let deleted = self.head.op == Op::Delete && self.part == Part::Values && !must_be_there;
        match &item {
            // A key is enough to delete by; nobody may come to rely on the rest.
            item if deleted && !matches!(item, Item::Other(_)) => self.writer.unchanged(),
            Item::Null if column.nullable => self.writer.null(),
            Item::Null => {
                return Err(format!(
                    "NULL in a column that is {}",
                    if column.key { "of the key" } else { "not nullable" }
                ));
            }
            Item::Unchanged if self.head.op == Op::Update && !column.key => self.writer.unchanged(),
            Item::Unchanged if column.key => return Err("`unchanged` in a column of the key".to_owned()),
            Item::Unchanged => return Err("`unchanged` outside of an update".to_owned()),
            item => {
                write(&mut self.writer, column, item, self.as_strings)?;
            }
        }
        self.at += 1;
        Ok(())
    }

    pub(in crate::wasm) fn end_values(&mut self) -> Result<(), String> {
        if self.column().is_some() {
            return Err(self.wrong_count(false));
        }
        self.writer.end();
        Ok(())
    }

    pub(in crate::wasm) fn begin_old_key(&mut self) -> Result<(), String> {
        if self.head.op != Op::Update {
            return Err("an old key outside of an update".to_owned());
        }
        if self.schema().key.is_empty() {
            return Err("an old key in a public schema without a key".to_owned());
        }
        self.part = Part::OldKey;
        self.at = 0;
        self.head.has_old_key = true;
        self.writer.begin();
        Ok(())
    }

    pub(in crate::wasm) fn end_old_key(&mut self) -> Result<(), String> {
        self.end_values()
    }

    pub(in crate::wasm) fn end(&mut self) {
        let next = Head { has_old_key: false, ..self.head };
        self.heads.push(std::mem::replace(&mut self.head, next));
        self.open = false;
    }

    fn wrong_count(&self, too_many: bool) -> String {
        let schema = self.schema();
        let (expected, what) = match (self.part, self.head.op) {
            (_, Op::Truncate) => (0, "values of a truncate"),
            (Part::Values, _) => (schema.columns.len(), "values"),
            (Part::OldKey, _) => (schema.key.len(), "columns of the old key"),
        };
        if too_many {
            format!("more than {expected} {what}")
        } else {
            format!("{} {what}, and {expected} are expected", self.at)
        }
    }

    /// Says where reading stopped.
    pub(in crate::wasm) fn fault(&self, what: String) -> OutputFault {
        if !self.open {
            return OutputFault::new(what);
        }
        OutputFault {
            public_schema: Some(self.schema().name.clone()),
            row: Some(self.heads.len()),
            column: self.column().map(|column| column.name.clone()),
            what,
        }
    }

    pub(in crate::wasm) fn finish(self) -> Vec<Row> {
        let mut tuples = self.writer.finish().into_iter();
        let mut next = || tuples.next().expect("each row wrote its tuples");
        let row = |head: Head| Row {
            public_schema: head.public_schema,
            op: head.op,
            source: head.source,
            values: next(),
            old_key: head.has_old_key.then(&mut next),
        };
        self.heads.into_iter().map(row).collect()
    }
}

/// Writes a value that is neither NULL nor unchanged.
#[inline]
fn write(writer: &mut TupleWriter, column: &Column, item: &Item<'_>, as_strings: bool) -> Result<(), String> {
    match (column.travel, item) {
        (Travel::Text, Item::Text(text)) => {
            if memchr::memchr(0, text.as_bytes()).is_some() {
                return Err("text with a NUL character, which Postgres can't hold".to_owned());
            }
            writer.text(text.as_bytes());
        }
        (Travel::Int64, Item::Int(value)) => int_text(writer, *value),
        (Travel::Int32, Item::Int(value)) if i32::try_from(*value).is_ok() => int_text(writer, *value),
        (Travel::Int16, Item::Int(value)) if i16::try_from(*value).is_ok() => int_text(writer, *value),
        (Travel::Int32 | Travel::Int16, Item::Int(_)) => {
            return Err(format!("expected {}, found an integer out of its range", column.kind));
        }
        (Travel::Int64, Item::Text(text)) if as_strings => match int(text.as_bytes()) {
            Ok(value) => int_text(writer, value),
            Err(_) => return Err(format!("expected {}, found a string that is none", column.kind)),
        },
        (Travel::Bool, Item::Bool(value)) => writer.text(if *value { b"t" } else { b"f" }),
        (Travel::Float64, Item::Float(value)) => writer.text(float::Text::default().of_f64(*value)),
        (Travel::Float64, Item::Int(value)) => writer.text(float::Text::default().of_f64(*value as f64)),
        (Travel::Float32, Item::Float(value)) => float32(writer, column, *value)?,
        (Travel::Float32, Item::Int(value)) => writer.text(float::Text::default().of_f32(*value as f32)),
        (Travel::Float32 | Travel::Float64, Item::Text(text)) if as_strings => match &text[..] {
            "NaN" | "Infinity" | "-Infinity" => writer.text(text.as_bytes()),
            _ => return Err(format!("expected {}, found a string that is none", column.kind)),
        },
        (Travel::Bytea, Item::Bytes(bytes)) => writer.text_with(|to| hex_text(to, bytes)),
        (Travel::Bytea, Item::Text(text)) if as_strings => match text.strip_prefix("\\x").map(hex::decode) {
            Some(Ok(bytes)) => writer.text_with(|to| hex_text(to, &bytes)),
            _ => {
                return Err(format!("expected {}, found a string that is not \\x and hexadecimal digits", column.kind));
            }
        },
        (_, item) => return Err(format!("expected {}, found {item}", column.kind)),
    }
    Ok(())
}

fn int_text(writer: &mut TupleWriter, value: i64) {
    writer.text(itoa::Buffer::new().format(value).as_bytes());
}

fn float32(writer: &mut TupleWriter, column: &Column, value: f64) -> Result<(), String> {
    let narrow = value as f32;
    if narrow.is_infinite() && value.is_finite() {
        return Err(format!("expected {}, found a float out of its range", column.kind));
    }
    writer.text(float::Text::default().of_f32(narrow));
    Ok(())
}

fn hex_text(to: &mut BytesMut, bytes: &[u8]) {
    to.put_slice(b"\\x");
    let at = to.len();
    to.resize(at + bytes.len() * 2, 0);
    hex::encode_to_slice(bytes, &mut to[at..]).expect("two digits a byte");
}
