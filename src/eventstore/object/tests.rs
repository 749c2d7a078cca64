use super::*;
use crate::change::Tuple;

fn public(columns: &[(&str, Kind, bool)]) -> PublicSchema {
    let column = |(name, kind, key): &(&str, Kind, bool)| Column {
        name: (*name).into(),
        kind: kind.clone(),
        type_oid: 0,
        type_modifier: -1,
        nullable: true,
        key: *key,
        attrs: Vec::new(),
    };
    let columns = columns.iter().map(column).collect();
    PublicSchema { name: "s".into(), major: 1, minor: 0, columns, attrs: Vec::new() }
}

fn tuple(values: &[Value<'_>]) -> Tuple {
    let mut writer = TupleWriter::default();
    writer.begin();
    values.iter().for_each(|value| writer.value(*value));
    writer.end();
    writer.finish().remove(0)
}

/// Writes a row's documents and returns them.
fn written(public: &PublicSchema, row: &Row) -> [Option<String>; 3] {
    let mut writer = TupleWriter::default();
    writer.begin();
    ObjectWriter::new(public, true).write(&mut writer, row).unwrap();
    writer.end();
    let event = writer.finish().remove(0);
    let text = |index: usize| match event.get(index).unwrap() {
        Value::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
        _ => None,
    };
    [text(0), text(1), text(2)]
}

fn read(public: &PublicSchema, op: Op, documents: &[Option<String>; 3]) -> (Tuple, Option<Tuple>) {
    let mut writer = TupleWriter::default();
    let [key, object, attributes] = documents.each_ref().map(Option::as_deref);
    let has_old =
        ObjectReader::new(public, public).read(&mut writer, op, Documents { key, object, attributes }).unwrap();
    let mut rows = writer.finish().into_iter();
    let values = rows.next().unwrap();
    let old = rows.next();
    assert_eq!(old.is_some(), has_old);
    (values, old)
}

#[test]
fn rows_are_read_back_as_they_were() {
    use Value::{Null, Text, Unchanged};
    let kinds =
        [Kind::Int64, Kind::Text, Kind::Bool, Kind::Float64, Kind::Jsonb, Kind::Json, Kind::Numeric, Kind::Bytea];
    let names = ["id", "te\"xt", "b", "f", "jb", "j", "n", "raw"];
    let columns: Vec<_> = names.iter().zip(&kinds).map(|(name, kind)| (*name, kind.clone(), *name == "id")).collect();
    let public = public(&columns);
    let rows: [&[Value<'_>]; 5] = [
        &[
            Text(b"1"),
            Text(b"a\"\\\n\x01\xc3\xa9"),
            Text(b"t"),
            Text(b"1.5e-07"),
            Text(b"{\"a\": [1, null]}"),
            Text(b"{\"a\" : 1.50}"),
            Text(b"1.50"),
            Text(b"\\x00ff"),
        ],
        &[
            Text(b"-9223372036854775808"),
            Text(b""),
            Text(b"f"),
            Text(b"-0"),
            Text(b"null"),
            Text(b"null"),
            Text(b"NaN"),
            Null,
        ],
        &[Text(b"2"), Null, Null, Text(b"Infinity"), Null, Null, Null, Null],
        &[Text(b"3"), Text(b"null"), Null, Text(b"NaN"), Text(b"\"text\""), Text(b"[ ]"), Text(b"0"), Text(b"\\x")],
        &[Text(b"4"), Text(b"{}"), Null, Text(b"-1"), Text(b"true"), Text(b"\"x\""), Text(b"1e3"), Null],
    ];
    for values in rows {
        for op in [Op::Insert, Op::Update] {
            let row = Row { public_schema: 0, op, source: 0, values: tuple(values), old_key: None };
            assert_eq!(read(&public, op, &written(&public, &row)), (row.values, None));
        }
    }
    let values = tuple(&[Text(b"5"), Unchanged, Text(b"t"), Unchanged, Unchanged, Unchanged, Unchanged, Null]);
    let row = Row { public_schema: 0, op: Op::Update, source: 0, values, old_key: Some(tuple(&[Text(b"4")])) };
    let documents = written(&public, &row);
    assert_eq!(documents[0].as_deref(), Some("{\"id\":5}"));
    assert_eq!(documents[1].as_deref(), Some("{\"id\":5,\"b\":true,\"raw\":null}"));
    assert_eq!(documents[2].as_deref(), Some("{\"oldKey\":{\"id\":4}}"));
    assert_eq!(read(&public, Op::Update, &documents), (row.values, row.old_key));
    let deleted = [Text(b"5"), Unchanged, Unchanged, Unchanged, Unchanged, Unchanged, Unchanged, Unchanged];
    let row = Row { public_schema: 0, op: Op::Delete, source: 0, values: tuple(&deleted), old_key: None };
    let documents = written(&public, &row);
    assert_eq!(documents, [Some("{\"id\":5}".to_owned()), None, None]);
    assert_eq!(read(&public, Op::Delete, &documents), (row.values, None));
}

#[test]
fn without_a_key_the_former_row_is_kept() {
    use Value::{Null, Text};
    let public = public(&[("a", Kind::Jsonb, false), ("b", Kind::Text, false)]);
    let old = tuple(&[Text(b"null"), Null]);
    let row =
        Row { public_schema: 0, op: Op::Update, source: 0, values: tuple(&[Null, Text(b"x")]), old_key: Some(old) };
    let documents = written(&public, &row);
    assert_eq!(documents[2].as_deref(), Some("{\"oldRow\":{\"a\":null,\"b\":null},\"oldJsonNull\":[\"a\"]}"));
    assert_eq!(read(&public, Op::Update, &documents), (row.values, row.old_key));
    let gone = Row { public_schema: 0, op: Op::Delete, source: 0, values: tuple(&[Text(b"1"), Null]), old_key: None };
    assert_eq!(read(&public, Op::Delete, &written(&public, &gone)), (gone.values, None));
}

#[test]
fn a_later_minor_version_reads_older_events() {
    let later = public(&[("id", Kind::Int32, true), ("added", Kind::Text, false)]);
    let documents = [Some("{\"id\":1}".to_owned()), Some("{\"id\":1,\"gone\":2}".to_owned()), None];
    assert_eq!(read(&later, Op::Insert, &documents).0, tuple(&[Value::Text(b"1"), Value::Null]));
    assert_eq!(read(&later, Op::Update, &documents).0, tuple(&[Value::Text(b"1"), Value::Unchanged]));
}

#[test]
fn a_column_that_became_jsonb_is_read_as_it_was_written() {
    let before = public(&[("id", Kind::Int32, true), ("doc", Kind::Text, false)]);
    let after = public(&[("id", Kind::Int32, true), ("doc", Kind::Jsonb, false)]);
    let values = tuple(&[Value::Text(b"1"), Value::Text(b"{\"a\": 1}")]);
    let row = Row { public_schema: 0, op: Op::Insert, source: 0, values, old_key: None };
    for (then, now) in [(&before, &after), (&after, &before)] {
        let [key, object, attributes] = written(then, &row);
        let documents = Documents { key: key.as_deref(), object: object.as_deref(), attributes: attributes.as_deref() };
        let mut writer = TupleWriter::default();
        ObjectReader::new(now, then).read(&mut writer, Op::Insert, documents).unwrap();
        assert_eq!(writer.finish().remove(0), row.values);
    }
}

#[test]
fn what_a_component_calls_json_must_be_json() {
    let public = public(&[("id", Kind::Int32, true), ("doc", Kind::Jsonb, false)]);
    let with = |doc: &[u8]| Row {
        public_schema: 0,
        op: Op::Insert,
        source: 0,
        values: tuple(&[Value::Text(b"1"), Value::Text(doc)]),
        old_key: None,
    };
    let null = written(&public, &with(b" null\n"));
    assert_eq!(null[2].as_deref(), Some("{\"jsonNull\":[\"doc\"]}"));
    let lines = written(&public, &with(b"{\n\t\"a\": 1,\r\n \"b\": 2}"));
    assert_eq!(lines[1].as_deref(), Some("{\"id\":1,\"doc\":{\"a\": 1, \"b\": 2}}"));
    for doc in [&b"1,\"id\":5"[..], b"", b"{", b"nul", b"\"\\u0000\"", b"\"\\ud800\""] {
        let mut writer = TupleWriter::default();
        writer.begin();
        assert!(ObjectWriter::new(&public, true).write(&mut writer, &with(doc)).is_err());
    }
    let text = super::tests::public(&[("id", Kind::Text, true)]);
    let row = Row { values: tuple(&[Value::Text(b"a\0b")]), ..with(b"1") };
    let mut writer = TupleWriter::default();
    writer.begin();
    assert!(ObjectWriter::new(&text, true).write(&mut writer, &row).is_err());
}

#[test]
fn what_is_no_event_is_an_error() {
    let public = public(&[("id", Kind::Int32, true)]);
    let fails = |op, object: Option<&str>, attributes: Option<&str>| {
        let mut writer = TupleWriter::default();
        let documents = Documents { key: None, object, attributes };
        assert!(
            ObjectReader::new(&public, &public).read(&mut writer, op, documents).is_err(),
            "{object:?} {attributes:?}"
        );
    };
    fails(Op::Insert, None, None);
    fails(Op::Delete, Some("{}"), None);
    fails(Op::Insert, Some("[1]"), None);
    fails(Op::Insert, Some("{\"id\":[1]}"), None);
    fails(Op::Insert, Some("{\"id\":1}"), Some("1"));
    fails(Op::Update, Some("{\"id\":1}"), Some("{\"oldKey\":1}"));
}
