//! Holds the host to `wit/vectors/`.

use std::sync::Arc;

use serde_json::Value as Json;

use super::Encoding;
use super::input::{self, MessagePack, Write};
use super::output::{self, Schemas};
use super::relation::Plan;
use super::{Subscription, input::Json as JsonWriter};
use crate::change::{
    Change, Column, Kind, Old, Op, PublicSchema, Relation, ReplicaIdentity, Tuple, TupleWriter, Value,
};

const INPUT: &str = include_str!("../../wit/vectors/input.json");
const OUTPUT: &str = include_str!("../../wit/vectors/output.json");

fn kind(name: &str) -> Kind {
    match name {
        "bool" => Kind::Bool,
        "int16" => Kind::Int16,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "float32" => Kind::Float32,
        "float64" => Kind::Float64,
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
        other => panic!("unknown kind {other} in a vector"),
    }
}

fn text(json: &Json) -> &str {
    json.as_str().expect("a string")
}

fn list(json: &Json) -> &[Json] {
    json.as_array().expect("an array")
}

fn columns(json: &Json) -> Vec<Column> {
    let column = |json: &Json| Column {
        name: text(&json["name"]).into(),
        kind: kind(text(&json["kind"])),
        type_oid: json["type_oid"].as_u64().unwrap() as u32,
        type_modifier: -1,
        nullable: json["nullable"].as_bool().unwrap(),
        key: json["key"].as_bool().unwrap(),
        attrs: vec![],
    };
    list(json).iter().map(column).collect()
}

fn op(json: &Json) -> Op {
    match text(json) {
        "insert" => Op::Insert,
        "update" => Op::Update,
        "delete" => Op::Delete,
        "truncate" => Op::Truncate,
        other => panic!("unknown operation {other}"),
    }
}

/// Returns the tuple that Postgres sends for these values; `unsent` is how it writes a column that it does not send.
fn tuple(values: &Json, unsent: Value<'_>) -> Tuple {
    let mut writer = TupleWriter::default();
    writer.begin();
    for value in list(values) {
        match value {
            Json::Null => writer.null(),
            value if value["unchanged"] == true => writer.value(unsent),
            value if value["bool"] == true => writer.text(b"t"),
            value if value["bool"] == false => writer.text(b"f"),
            value if !value["bytes"].is_null() => writer.text(format!("\\x{}", text(&value["bytes"])).as_bytes()),
            value => {
                let plain = ["int", "float", "text"].iter().find_map(|name| value[name].as_str());
                writer.text(plain.expect("a value of a known type").as_bytes());
            }
        }
    }
    writer.end();
    writer.finish().remove(0)
}

fn encode<W: Write>(w: &mut W, plan: &Plan, changes: &[Change]) {
    w.open(changes.len());
    for change in changes {
        input::write_change(w, 0, plan, change).expect("the values of a vector");
    }
    w.close();
}

#[test]
fn the_host_writes_the_input_vectors_byte_for_byte() {
    let cases: Json = serde_json::from_str(INPUT).unwrap();
    for case in list(&cases) {
        let relation = &case["relation"];
        let relation = Arc::new(Relation {
            oid: 1,
            schema: text(&relation["schema"]).into(),
            name: text(&relation["name"]).into(),
            identity: match text(&relation["identity"]) {
                "default" => ReplicaIdentity::Default,
                "full" => ReplicaIdentity::Full,
                "nothing" => ReplicaIdentity::Nothing,
                other => panic!("unknown identity {other}"),
            },
            columns: columns(&relation["columns"]),
        });
        let subscription = Subscription {
            schema: relation.schema.to_string(),
            table: relation.name.to_string(),
            columns: vec![],
            ops: vec![],
            attrs: vec![],
        };
        let plan = Plan::of("vectors", &[subscription], &relation).unwrap().unwrap();
        let change = |json: &Json| Change {
            op: op(&json["op"]),
            relation: 0,
            new: (!json["new"].is_null()).then(|| tuple(&json["new"], Value::Unchanged)),
            old: match &json["old"] {
                Json::Null => None,
                // Of a key alone Postgres sends the other columns as NULL.
                old if !old["key"].is_null() => Some(Old::Key(tuple(&old["key"], Value::Null))),
                old => Some(Old::Full(tuple(&old["full"], Value::Unchanged))),
            },
        };
        let changes: Vec<Change> = list(&case["changes"]).iter().map(change).collect();
        let mut packed = MessagePack::default();
        encode(&mut packed, &plan, &changes);
        assert_eq!(hex::encode(packed.0), text(&case["msgpack"]), "MessagePack: {}", case["name"]);
        let mut json = JsonWriter::default();
        encode(&mut json, &plan, &changes);
        assert_eq!(String::from_utf8(json.text).unwrap(), text(&case["json"]), "JSON: {}", case["name"]);
    }
}

#[test]
fn the_host_reads_the_output_vectors() {
    let cases: Json = serde_json::from_str(OUTPUT).unwrap();
    for case in list(&cases) {
        let schema = |json: &Json| PublicSchema {
            name: text(&json["name"]).into(),
            major: 1,
            minor: 0,
            columns: columns(&json["columns"]),
            attrs: vec![],
        };
        let public: Vec<PublicSchema> = list(&case["public_schemas"]).iter().map(schema).collect();
        let schemas = Schemas::new(&public);
        let sources: Vec<u32> = (0..case["changes"].as_u64().unwrap() as u32).collect();
        let expected = list(&case["rows"]);
        let payloads = [
            (Encoding::MessagePack, hex::decode(text(&case["msgpack"])).unwrap()),
            (Encoding::Json, text(&case["json"]).as_bytes().to_vec()),
        ];
        for (encoding, payload) in payloads {
            let what = format!("{encoding:?}: {}", case["name"]);
            let rows = output::read_packed(encoding, &payload, expected.len() as u32, &schemas, &sources);
            let rows = rows.unwrap_or_else(|fault| panic!("{what}: {fault}"));
            for (row, expected) in rows.iter().zip(expected) {
                assert_eq!(row.public_schema, expected["public_schema"], "{what}");
                assert_eq!(row.op, op(&expected["op"]), "{what}");
                assert_eq!(row.source, expected["source"], "{what}");
                let mut values = expected["values"].clone();
                if row.op == Op::Delete {
                    // The host keeps the key alone.
                    for (i, column) in public[row.public_schema as usize].columns.iter().enumerate() {
                        if !column.key {
                            values[i] = serde_json::json!({ "unchanged": true });
                        }
                    }
                }
                let columns = |tuple: &Tuple| tuple.as_bytes().clone();
                assert_eq!(columns(&row.values), columns(&tuple(&values, Value::Unchanged)), "{what}");
                let key = (!expected["old_key"].is_null()).then(|| tuple(&expected["old_key"], Value::Unchanged));
                assert_eq!(row.old_key.as_ref().map(columns), key.as_ref().map(columns), "{what}");
            }
        }
    }
}
