use super::*;
use crate::change::ReplicaIdentity;

fn relation(identity: ReplicaIdentity) -> Relation {
    let column = |name: &str, kind, key| Column {
        name: name.into(),
        kind,
        type_oid: 0,
        type_modifier: -1,
        nullable: true,
        key: key || identity == ReplicaIdentity::Full,
        attrs: Vec::new(),
    };
    Relation {
        oid: 1,
        schema: "public".into(),
        name: "t".into(),
        identity,
        columns: vec![
            column("id", Kind::Int64, true),
            column("a", Kind::Text, false),
            column("doc", Kind::Jsonb, false),
        ],
    }
}

/// `1,x,~`: `~` is unchanged, `-` NULL.
fn tuple(text: &str) -> Tuple {
    let mut writer = TupleWriter::default();
    writer.begin();
    for value in text.split(',') {
        match value {
            "~" => writer.unchanged(),
            "-" => writer.null(),
            text => writer.text(text.as_bytes()),
        }
    }
    writer.end();
    writer.finish().remove(0)
}

fn show(tuple: &Tuple) -> String {
    let value = |value| match value {
        Value::Null => "-".to_owned(),
        Value::Unchanged => "~".to_owned(),
        Value::Text(text) | Value::Binary(text) => String::from_utf8_lossy(text).into_owned(),
    };
    tuple.columns().map(value).collect::<Vec<_>>().join(",")
}

fn check(identity: ReplicaIdentity, columns: Option<&[(String, String)]>, change: Change, expected: &str) {
    let relation = Arc::new(relation(identity));
    let table_key = if identity == ReplicaIdentity::Full { vec![] } else { vec!["id".to_owned()] };
    let definition =
        Definition { name: "t", major: 1, minor: 0, columns, key: None, table_key: &table_key, today: Arc::default() };
    let mut projection = Projection::new(&relation, &definition).unwrap();
    let batch = Batch { relations: vec![relation], changes: vec![change], ..Batch::default() };
    let rows = projection.process(&batch).unwrap();
    let show = |row: &Row| {
        let old = row.old_key.as_ref().map(|key| format!(" was {}", show(key))).unwrap_or_default();
        format!("{:?} {}{old}", row.op, show(&row.values))
    };
    assert_eq!(rows.iter().map(show).collect::<Vec<_>>().join("; "), expected);
}

fn change(op: Op, old: Option<Old>, new: Option<&str>) -> Change {
    Change { op, relation: 0, old, new: new.map(tuple) }
}

#[test]
fn a_row_passes_through_or_is_cut_and_renamed() {
    let insert = || change(Op::Insert, None, Some("1,x,{}"));
    check(ReplicaIdentity::Default, None, insert(), "Insert 1,x,{}");
    let columns = [("document".to_owned(), "doc".to_owned()), ("number".to_owned(), "id".to_owned())];
    check(ReplicaIdentity::Default, Some(&columns), insert(), "Insert {},1");
}

#[test]
fn an_update_names_the_former_key_only_when_it_changed() {
    let update = |old, new| change(Op::Update, old, Some(new));
    let default = ReplicaIdentity::Default;
    check(default, None, update(None, "1,y,~"), "Update 1,y,~");
    check(default, None, update(Some(Old::Key(tuple("1,-,-"))), "2,y,~"), "Update 2,y,~ was 1");
}

#[test]
fn a_full_old_row_fills_what_the_update_left_alone() {
    let old = Some(Old::Full(tuple("1,x,{}")));
    let update = change(Op::Update, old, Some("1,y,~"));
    check(ReplicaIdentity::Full, None, update, "Update 1,y,{} was 1,x,{}");
}

#[test]
fn a_delete_says_its_key_and_a_truncate_nothing() {
    let key = Some(Old::Key(tuple("1,-,-")));
    check(ReplicaIdentity::Default, None, change(Op::Delete, key, None), "Delete 1,~,~");
    let full = Some(Old::Full(tuple("1,-,{}")));
    check(ReplicaIdentity::Full, None, change(Op::Delete, full, None), "Delete 1,-,{}");
    check(ReplicaIdentity::Default, None, change(Op::Truncate, None, None), "Truncate ");
}

#[test]
fn a_dropped_or_retyped_column_stops_the_flow() {
    let before = relation(ReplicaIdentity::Default);
    let key = ["id".to_owned()];
    let definition =
        Definition { name: "t", major: 1, minor: 0, columns: None, key: None, table_key: &key, today: Arc::default() };
    let mut projection = Projection::new(&before, &definition).unwrap();
    let mut process = |relation: Relation| {
        let batch = Batch { relations: vec![Arc::new(relation)], ..Batch::default() };
        projection.process(&batch).map(drop).map_err(|error| error.to_string())
    };
    let mut dropped = before.clone();
    dropped.columns.remove(1);
    let expected = "table public.t has no column \"a\", which public schema `t` takes";
    assert_eq!(process(dropped), Err(expected.to_owned()));
    let mut retyped = before.clone();
    retyped.columns[1].kind = Kind::Int32;
    let expected = "column \"a\" of table public.t is integer now; public schema `t` has text";
    assert_eq!(process(retyped), Err(expected.to_owned()));
    let mut narrower = before.clone();
    narrower.columns[1].type_modifier = 9;
    assert_eq!(process(narrower), Ok(()), "a text that is too long is refused, not cut");
    let mut added = before.clone();
    added.columns.insert(0, before.columns[2].clone());
    added.columns[0].name = "new".into();
    assert_eq!(process(added), Ok(()));
}
