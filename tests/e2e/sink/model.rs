//! Rows written as text, and a session as the engine hands it to the sink.

use pelton::change::{Column, Kind, Op, PublicSchema, Row, Tuple, TupleWriter};
use pelton::sink::{Addressed, Destination, SinkError, TableTarget, TableWriter, WriteStats};
use tokio_postgres::Client;

use crate::support::Database;

/// A column's value in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Null,
    Unchanged,
    Text(String),
    Binary(Vec<u8>),
}

/// Reads cells: `~` is NULL, `…` unchanged, `\x…` after `b:` binary, everything else text.
pub fn cells(text: &str) -> Vec<Cell> {
    text.split('|').map(|cell| one(cell.trim())).collect()
}

fn one(cell: &str) -> Cell {
    match cell {
        "~" => Cell::Null,
        "…" => Cell::Unchanged,
        text => match text.strip_prefix("b:") {
            Some(hex) => Cell::Binary(hex::decode(hex).expect("hex digits")),
            None => Cell::Text(text.to_owned()),
        },
    }
}

pub fn tuple(cells: &[Cell]) -> Tuple {
    let mut writer = TupleWriter::default();
    writer.begin();
    for cell in cells {
        match cell {
            Cell::Null => writer.null(),
            Cell::Unchanged => writer.unchanged(),
            Cell::Text(text) => writer.text(text.as_bytes()),
            Cell::Binary(bytes) => writer.binary(bytes),
        }
    }
    writer.end();
    writer.finish().remove(0)
}

pub fn row(op: Op, values: &[Cell], old_key: Option<&[Cell]>) -> Row {
    Row { public_schema: 0, op, source: 0, values: tuple(values), old_key: old_key.map(tuple) }
}

/// Reads a row: `insert 1|a`, `update 1|…`, `update 2|a from 1`, `delete 1|…`, `truncate`.
pub fn parse(text: &str) -> Row {
    let (op, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (values, old) = match rest.split_once(" from ") {
        Some((values, old)) => (values, Some(cells(old))),
        None => (rest, None),
    };
    let op = match op {
        "insert" => Op::Insert,
        "update" => Op::Update,
        "delete" => Op::Delete,
        "truncate" => return row(Op::Truncate, &[], None),
        other => panic!("no operation {other}"),
    };
    row(op, &cells(values), old.as_deref())
}

/// Returns the kind that Pelton gives a type, by the name that `format_type` prints.
pub fn kind(type_name: &str) -> Kind {
    match type_name {
        "bool" => Kind::Bool,
        "int2" => Kind::Int16,
        "int4" => Kind::Int32,
        "int8" => Kind::Int64,
        "float4" => Kind::Float32,
        "float8" => Kind::Float64,
        "numeric" => Kind::Numeric,
        "text" => Kind::Text,
        "bytea" => Kind::Bytea,
        "uuid" => Kind::Uuid,
        "json" => Kind::Json,
        "jsonb" => Kind::Jsonb,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "timetz" => Kind::Timetz,
        "timestamp" => Kind::Timestamp,
        "timestamptz" => Kind::Timestamptz,
        "interval" => Kind::Interval,
        other if other.starts_with("varchar") || other.starts_with("char") => Kind::Text,
        other => match other.strip_suffix("[]") {
            Some(element) => Kind::Array(kind(element).type_name().into()),
            None => Kind::Other(other.into()),
        },
    }
}

/// Makes a public schema: `id int8 key, label text`.
pub fn public(columns: &str) -> PublicSchema {
    let column = |text: &str| {
        let mut words = text.split_whitespace();
        let (name, type_name) = (words.next().expect("a name"), words.next().expect("a type"));
        let key = words.next() == Some("key");
        Column {
            name: name.into(),
            kind: kind(type_name),
            type_oid: 0,
            type_modifier: -1,
            nullable: !key,
            key,
            attrs: Vec::new(),
        }
    };
    let columns = columns.split(", ").map(column).collect();
    PublicSchema { name: "test".into(), major: 1, minor: 0, columns, attrs: Vec::new() }
}

/// A table that exists already.
pub fn target(schema: &str, table: &str, columns: &str) -> TableTarget {
    TableTarget {
        schema: schema.into(),
        table: table.into(),
        create_table: false,
        public: public(columns),
        exact: true,
    }
}

/// Opens a session with the settings that Pelton pins.
pub async fn session(database: &Database) -> Client {
    let client = database.connect().await;
    let pinned = "SET client_encoding = 'UTF8'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres';
                  SET extra_float_digits = 3; SET bytea_output = 'hex'; SET timezone = 'UTC'; SET lc_monetary = 'C';
                  SET client_min_messages = 'warning'; SET search_path = pg_catalog";
    client.batch_execute(pinned).await.expect("the settings are known");
    client
}

/// A destination and its session.
pub struct Writing {
    pub client: Client,
    pub destination: Destination,
}

impl Writing {
    pub async fn to(database: &Database, targets: Vec<TableTarget>) -> Writing {
        Writing::over(session(database).await, targets).await
    }

    pub async fn over(client: Client, targets: Vec<TableTarget>) -> Writing {
        let mut tables = Vec::new();
        for target in targets {
            tables.push(TableWriter::prepare(&client, target).await.expect("the table is fit"));
        }
        Writing { client, destination: Destination::new(tables) }
    }

    /// Writes rows in a transaction of their own.
    pub async fn rows(&mut self, rows: &[(usize, Row)]) -> Result<WriteStats, SinkError> {
        let addressed: Vec<_> = rows.iter().map(|(table, row)| Addressed { table: *table, row }).collect();
        self.client.batch_execute("BEGIN").await.expect("a transaction begins");
        match self.destination.write(&self.client, &addressed).await {
            Ok(stats) => self.client.batch_execute("COMMIT").await.map(|()| stats).map_err(SinkError::at_commit),
            Err(error) => {
                self.client.batch_execute("ROLLBACK").await.expect("a transaction ends");
                Err(error)
            }
        }
    }

    /// Writes rows of the first table given as texts.
    pub async fn texts(&mut self, rows: &[&str]) -> Result<WriteStats, SinkError> {
        self.rows(&rows.iter().map(|text| (0, parse(text))).collect::<Vec<_>>()).await
    }
}
