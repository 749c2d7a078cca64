use proptest::prelude::*;

use super::*;
use crate::change::{Column, Kind, PublicSchema, Value};
use crate::wasm::bindings::types as wit;

fn schemas() -> Schemas {
    let column = |name: &str, kind: Kind, key: bool, nullable: bool| Column {
        name: name.into(),
        kind,
        type_oid: 0,
        type_modifier: -1,
        nullable,
        key,
        attrs: vec![],
    };
    let schema = |name: &str, columns| PublicSchema { name: name.into(), major: 1, minor: 2, columns, attrs: vec![] };
    Schemas::new(&[
        schema(
            "orders",
            vec![
                column("id", Kind::Int32, true, false),
                column("label", Kind::Text, false, false),
                column("raw", Kind::Bytea, false, true),
            ],
        ),
        schema("log", vec![column("at", Kind::Float32, false, true)]),
    ])
}

fn read(json: &str) -> String {
    let count = json.matches("[0,").count().max(json.matches("[1,").count()) as u32;
    match read_packed(Encoding::Json, json.as_bytes(), count, &schemas(), &[10, 11, 12]) {
        Ok(rows) => rows
            .iter()
            .map(|row| {
                let show = |tuple: &crate::change::Tuple| {
                    let text = |value: Value<'_>| match value {
                        Value::Null => "NULL".to_owned(),
                        Value::Unchanged => "-".to_owned(),
                        Value::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                        Value::Binary(_) => unreachable!("rows are text"),
                    };
                    tuple.columns().map(text).collect::<Vec<_>>().join(" ")
                };
                let old = row.old_key.as_ref().map(|key| format!(" was {}", show(key))).unwrap_or_default();
                format!("{} {:?} @{} ({}){old}", row.public_schema, row.op, row.source, show(&row.values))
            })
            .collect::<Vec<_>>()
            .join("; "),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn rows_are_read_and_their_sources_map_back_to_the_batch() {
    assert_eq!(
        read(r#" [ [0,0,0,[1,"a","\\x0aFF"],null], [0,1,2,[2,[0],null],[1]] ] "#),
        "0 Insert @10 (1 a \\x0aff); 0 Update @12 (2 - NULL) was 1"
    );
    assert_eq!(read(r#"[[0,2,1,[1,"a",null],null]]"#), "0 Delete @11 (1 - -)");
    assert_eq!(read(r#"[[0,3,1,[],null]]"#), "0 Truncate @11 ()");
    assert_eq!(read(r#"[[1,2,1,[1.5],null]]"#), "1 Delete @11 (1.5)");
    assert_eq!(read(r#"[[0,0,0,[1,"\ud83c\udf0d\u00fc\/","\\x"],null]]"#), "0 Insert @10 (1 🌍ü/ \\x)");
}

#[test]
fn every_violation_is_named_with_its_place() {
    let cases = [
        ("", "no array at byte 0 of the payload"),
        ("null", "the payload is nil where an array of rows should be"),
        ("[7]", "no array at byte 1 of the payload"),
        ("[[]]", "a row has no public schema"),
        ("[[0]]", "a row has no op"),
        ("[[-1,0,0,[],null]]", "a row's public schema is out of range"),
        (r#"[["0"]]"#, "a row's public schema should be an integer, and is text"),
        ("[[2,0,0,[],null]]", "row 0 is of public schema 2, and the transform describes 2"),
        ("[[0,4,0,[],null]]", "row 0 of public schema `orders 1.2`, column `id`: operation 4 is none of 0 to 3"),
        (
            "[[0,0,3,[],null]]",
            "row 0 of public schema `orders 1.2`, column `id`: it comes from change 3 of a batch that has 3",
        ),
        (
            r#"[[0,0,1,[1,"",null],null],[0,0,0,[1,"",null],null]]"#,
            "row 1 of public schema `orders 1.2`, column `id`: it comes from change 0, behind a row that came from change 1",
        ),
        (
            r#"[[0,0,0,[1,"a"],null]]"#,
            "row 0 of public schema `orders 1.2`, column `raw`: 2 values, and 3 are expected",
        ),
        (r#"[[0,0,0,[1,"a",null,1],null]]"#, "row 0 of public schema `orders 1.2`: more than 3 values"),
        (
            r#"[[0,0,0,[1,2,null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `label`: expected text, found an integer",
        ),
        (
            r#"[[0,0,0,["1","a",null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `id`: expected integer, found text",
        ),
        (
            r#"[[0,0,0,[2147483648,"a",null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `id`: expected integer, found an integer out of its range",
        ),
        (
            r#"[[0,0,0,[1.5,"a",null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `id`: expected integer, found a float",
        ),
        (
            r#"[[0,0,0,[1,null,null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `label`: NULL in a column that is not nullable",
        ),
        (
            r#"[[0,2,0,[null,"a",null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `id`: NULL in a column that is of the key",
        ),
        (
            r#"[[0,0,0,[1,[0],null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `label`: `unchanged` outside of an update",
        ),
        (
            r#"[[0,1,0,[[0],"a",null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `id`: `unchanged` in a column of the key",
        ),
        (
            r#"[[0,2,0,[[0],"a",null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `id`: `unchanged` in a column of the key",
        ),
        (
            r#"[[0,0,0,[1,"a\u0000b",null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `label`: text with a NUL character, which Postgres can't hold",
        ),
        (
            r#"[[0,0,0,[1,"a","xx"],null]]"#,
            "row 0 of public schema `orders 1.2`, column `raw`: expected bytea, found a string that is not \\x and hexadecimal digits",
        ),
        (
            r#"[[0,0,0,[1,{"a":1},null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `label`: expected text, found an object",
        ),
        (
            r#"[[0,0,0,[1,[1],null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `label`: expected text, found an array",
        ),
        (
            r#"[[1,0,0,[1e300],null]]"#,
            "row 0 of public schema `log 1.2`, column `at`: expected real, found a float out of its range",
        ),
        (
            r#"[[1,0,0,[1e999],null]]"#,
            "row 0 of public schema `log 1.2`, column `at`: expected real, found a number beyond 64-bit floats",
        ),
        (
            r#"[[1,0,0,["inf"],null]]"#,
            "row 0 of public schema `log 1.2`, column `at`: expected real, found a string that is none",
        ),
        (r#"[[0,0,0,[1,"a",null],[1]]]"#, "row 0 of public schema `orders 1.2`: an old key outside of an update"),
        (r#"[[1,1,0,[1],[1]]]"#, "row 0 of public schema `log 1.2`: an old key in a public schema without a key"),
        (
            r#"[[0,1,0,[1,"a",null],[]]]"#,
            "row 0 of public schema `orders 1.2`, column `id`: 0 columns of the old key, and 1 are expected",
        ),
        (r#"[[0,1,0,[1,"a",null],[1,2]]]"#, "row 0 of public schema `orders 1.2`: more than 1 columns of the old key"),
        (r#"[[0,3,0,[1],null]]"#, "row 0 of public schema `orders 1.2`: more than 0 values of a truncate"),
        (r#"[[0,0,0,[1,"a",null]]]"#, "row 0 of public schema `orders 1.2`: the row has no old key, not even nil"),
        (r#"[[0,0,0,[1,"a",null],null,1]]"#, "row 0 of public schema `orders 1.2`: the row has more than five items"),
        (r#"[[0,0,0,[1,"a",null],null]]x"#, "1 bytes are left behind the rows"),
        (r#"[[0,0,0,[1,"a",null],null]"#, "neither a comma nor the end of an array at byte 26 of the payload"),
        (
            r#"[[0,0,0,[1,"a\ud800",null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `label`: half a surrogate pair at byte 19 of the payload",
        ),
        (
            r#"[[0,0,0,[01,"a",null],null]]"#,
            "row 0 of public schema `orders 1.2`, column `id`: no JSON number at byte 11 of the payload",
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(read(json), expected, "{json}");
    }
}

#[test]
fn the_count_must_be_that_of_the_payload() {
    let fault = read_packed(Encoding::MessagePack, &[0x90], 1, &schemas(), &[]).unwrap_err();
    assert_eq!(fault.to_string(), "it counts 1 rows, and the payload has 0");
}

/// MessagePack that is nearly a result: markers of the right shapes with arbitrary contents.
fn nearly_rows() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        (0x90u8..=0x95).prop_map(|m| vec![m]),
        any::<u8>().prop_map(|m| vec![m]),
        Just(vec![0x95, 0, 0, 0, 0x93, 1, 0xa1, b'a', 0xc0, 0xc0]),
        Just(vec![0xdd, 0xff, 0xff, 0xff, 0xff]),
        Just(vec![0xdb, 0xff, 0xff, 0xff, 0xff]),
        Just(vec![0xd4, 1, 0]),
        Just(vec![0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(bytes: Vec<u8>, count: u32) {
        let schemas = schemas();
        let _ = read_packed(Encoding::MessagePack, &bytes, count, &schemas, &[0, 1, 2]);
        let _ = read_packed(Encoding::Json, &bytes, count, &schemas, &[0, 1, 2]);
    }

    #[test]
    fn nothing_nearly_right_makes_the_messagepack_reader_panic(bytes in nearly_rows()) {
        let _ = read_packed(Encoding::MessagePack, &bytes, 1, &schemas(), &[0]);
    }

    #[test]
    fn nothing_nearly_right_makes_the_json_reader_panic(text in r#"\[{1,3}[0-9\[\]\\"ntfu{}:,.eE +-]{0,60}"#) {
        let _ = read_packed(Encoding::Json, text.as_bytes(), 1, &schemas(), &[0]);
    }

    #[test]
    fn no_typed_rows_make_the_checks_panic(public_schema: u8, source: u8, ints: Vec<i64>, text: String, old in 0usize..4) {
        let mut values: Vec<_> = ints.into_iter().take(4).map(wit::Value::Int).collect();
        values.push(wit::Value::Text(text));
        let old_key = vec![wit::Value::Unchanged; old];
        for op in [wit::Op::Insert, wit::Op::Update, wit::Op::Delete, wit::Op::Truncate] {
            let row = wit::Row { public_schema: public_schema.into(), op, source: source.into(), values: values.clone(), old_key: old_key.clone() };
            let _ = read_typed(&[row.clone(), row], &schemas(), &[0, 1]);
        }
    }
}
