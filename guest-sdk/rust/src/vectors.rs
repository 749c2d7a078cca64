//! Holds reading and writing to `wit/vectors/`, as the host is.

use serde_json::Value as Json;

use crate::msgpack::{Raw, Reader, Writer};

fn cases(file: &str) -> Vec<Json> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cases: Vec<Json> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() > 5, "the file holds cases");
    cases
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn list<'a>(value: &'a Json, name: &str) -> &'a Vec<Json> {
    value[name].as_array().unwrap_or_else(|| panic!("`{name}` is a list"))
}

fn op(value: &Json) -> u32 {
    let ops = ["insert", "update", "delete", "truncate"];
    ops.iter().position(|op| value["op"] == *op).expect("a known operation") as u32
}

/// A value of the vectors in a column of that kind; `hold` keeps its bytes.
fn raw<'a>(value: &'a Json, kind: &str, hold: &'a mut Vec<u8>) -> Raw<'a> {
    let Some((case, inner)) = value.as_object().and_then(|object| object.iter().next()) else { return Raw::Null };
    let text = inner.as_str().unwrap_or_default();
    match case.as_str() {
        "unchanged" => Raw::Unchanged,
        "bool" => Raw::Bool(inner.as_bool().unwrap()),
        "int" => Raw::Int(text.parse().unwrap()),
        // Rust reads Postgres's spellings of what is not finite.
        "float" if kind == "float32" => Raw::Float(f64::from(text.parse::<f32>().unwrap())),
        "float" => Raw::Float(text.parse().unwrap()),
        "bytes" => {
            *hold = bytes(text);
            Raw::Bytes(hold)
        }
        "text" => Raw::Text(text),
        other => panic!("unknown value {other}"),
    }
}

fn same(a: Raw<'_>, b: Raw<'_>) -> bool {
    match (a, b) {
        (Raw::Float(a), Raw::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (a, b) => a == b,
    }
}

fn kinds(columns: &[Json]) -> Vec<&str> {
    columns.iter().map(|column| column["kind"].as_str().unwrap_or("other")).collect()
}

/// Reads a row and compares it; nothing expected means nil.
fn check_row(reader: &mut Reader<'_>, expected: Option<&Vec<Json>>, kinds: &[&str], name: &str) {
    let count = reader.array_or_nil().unwrap();
    assert_eq!(count, expected.map(|row| row.len() as u32), "{name}");
    for (i, value) in expected.into_iter().flatten().enumerate() {
        let mut hold = Vec::new();
        let (read, expected) = (reader.value().unwrap(), raw(value, kinds[i], &mut hold));
        assert!(same(read, expected), "{name}: column {i} is {read:?}, not {expected:?}");
    }
}

#[test]
fn batches_are_read_as_the_host_writes_them() {
    for case in cases("input.json") {
        let name = case["name"].as_str().unwrap();
        let kinds = kinds(list(&case["relation"], "columns"));
        let msgpack = bytes(case["msgpack"].as_str().unwrap());
        let mut reader = Reader::new(&msgpack);
        assert_eq!(reader.array().unwrap() as usize, list(&case, "changes").len(), "{name}");
        for change in list(&case, "changes") {
            assert_eq!(reader.array(), Ok(4), "{name}");
            assert_eq!(reader.index(), Ok(op(change)), "{name}");
            assert_eq!(reader.index(), Ok(0), "{name}");
            check_row(&mut reader, change["new"].as_array(), &kinds, name);
            let old = change["old"].get("key").or(change["old"].get("full")).and_then(Json::as_array);
            check_row(&mut reader, old, &kinds, name);
        }
        assert!(reader.is_empty(), "{name}");
    }
}

fn write_row(to: &mut Writer, row: &[Json], kinds: &[&str]) {
    to.array(row.len());
    for (value, kind) in row.iter().zip(kinds) {
        let mut hold = Vec::new();
        match raw(value, kind, &mut hold) {
            Raw::Float(value) if *kind == "float32" => to.float32(value as f32),
            value => to.raw(value),
        }
    }
}

#[test]
fn rows_are_written_as_the_host_reads_them() {
    for case in cases("output.json") {
        let name = case["name"].as_str().unwrap();
        let rows = list(&case, "rows");
        let mut to = Writer::default();
        to.array(rows.len());
        for row in rows {
            let index = row["public_schema"].as_i64().unwrap();
            let columns = list(&list(&case, "public_schemas")[index as usize], "columns");
            to.array(5);
            to.int(index);
            to.int(i64::from(op(row)));
            to.int(row["source"].as_i64().unwrap());
            write_row(&mut to, list(row, "values"), &kinds(columns));
            match row["old_key"].as_array() {
                None => to.null(),
                Some(key) => {
                    let keys: Vec<Json> = columns.iter().filter(|c| c["key"] == true).cloned().collect();
                    write_row(&mut to, key, &kinds(&keys));
                }
            }
        }
        let hex: String = to.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, case["msgpack"].as_str().unwrap(), "{name}");
    }
}
