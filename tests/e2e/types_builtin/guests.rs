//! The same types and values through transforms that pass on what they are given, one for each way in which values
//! travel. The descriptor says of each column what the source says of it.

use pelton::change::Kind;
use pelton::postgres::catalog::{self, TableName, Which};
use pelton::postgres::{Session, connect};

use super::{Way, arrives, line};
use crate::backfill_reader::connection;
use crate::flows_setup::Line;
use crate::guest::{ECHO, Guest, JSON_ECHO, JSON_FUNCTIONS, TYPED_ECHO};

/// Returns the index in `wit/transform.wit`, and the name that two of the kinds have beside it.
fn index(kind: &Kind) -> (u8, &str) {
    match kind {
        Kind::Bool => (0, ""),
        Kind::Int16 => (1, ""),
        Kind::Int32 => (2, ""),
        Kind::Int64 => (3, ""),
        Kind::Float32 => (4, ""),
        Kind::Float64 => (5, ""),
        Kind::Numeric => (6, ""),
        Kind::Text => (7, ""),
        Kind::Bytea => (8, ""),
        Kind::Uuid => (9, ""),
        Kind::Json => (10, ""),
        Kind::Jsonb => (11, ""),
        Kind::Date => (12, ""),
        Kind::Time => (13, ""),
        Kind::Timetz => (14, ""),
        Kind::Timestamp => (15, ""),
        Kind::Timestamptz => (16, ""),
        Kind::Interval => (17, ""),
        Kind::Enumeration => (18, ""),
        Kind::Array(element) => (19, element),
        Kind::Other(name) => (20, name),
    }
}

/// Completes a guest: it takes `public.types`, and publishes columns of the same names and kinds.
async fn component(line: &Line, guest: Guest) -> Vec<u8> {
    let client = connect(&connection(&line.source), &Session::source("test")).await.unwrap();
    let which = [TableName::new("public", "types")];
    let table = catalog::load(&client, Which::Named(&which)).await.unwrap().remove(0);
    let (mut columns, mut type_names) = (Vec::new(), Vec::new());
    // The text is made into WebAssembly once, in a process that ends with the test.
    let leaked = |text: &str| -> &'static str { text.to_owned().leak() };
    for column in &table.columns {
        let kind = column.kind();
        let (index, type_name) = index(&kind);
        columns.push((leaked(&column.name), index, !column.not_null, column.name == "id"));
        type_names.push(leaked(type_name));
    }
    let guest = Guest { table: ("public", "types"), columns: columns.leak(), type_names: type_names.leak(), ..guest };
    guest.component()
}

async fn arrives_through(guest: Guest) {
    let (line, cases) = line().await;
    let component = component(&line, guest).await;
    arrives(&line, &cases, "publicSchemaType: wasm, component: guest.wasm", &component, Way::Straight).await;
}

#[tokio::test]
async fn every_type_arrives_through_messagepack() {
    arrives_through(Guest { process: ECHO, ..Guest::default() }).await;
}

#[tokio::test]
async fn every_type_arrives_through_json() {
    arrives_through(Guest { process: JSON_ECHO, functions: JSON_FUNCTIONS, encoding: 1, ..Guest::default() }).await;
}

#[tokio::test]
async fn every_type_arrives_through_typed_values() {
    let guest = Guest { world: "typed-transformer", encoding: 2, functions: TYPED_ECHO, ..Guest::default() };
    arrives_through(guest).await;
}
