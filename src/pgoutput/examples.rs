//! Single messages, spelled out: what is refused and how it is said, and what the decoder keeps apart.

use std::sync::Arc;

use bytes::Bytes;

use super::writer::write;
use super::{Begin, DecodeError, Decoder, Message, RelationIndex, Type, types};
use crate::change::{Column, Old, Relation, ReplicaIdentity, Tuple, TupleWriter, Value};
use crate::lsn::Lsn;

fn row(values: &[Value<'_>]) -> Tuple {
    let mut writer = TupleWriter::default();
    writer.begin();
    values.iter().for_each(|&value| writer.value(value));
    writer.end();
    writer.finish().remove(0)
}

/// A table `public.t` with OID 1 and the columns `id integer` (key, unless under NOTHING) and `note text`.
fn table(identity: ReplicaIdentity) -> Relation {
    let column = |name: &str, type_oid, key| Column {
        name: name.into(),
        kind: types::kind(type_oid, None),
        type_oid,
        type_modifier: -1,
        nullable: true,
        key,
        attrs: Vec::new(),
    };
    let (id, note) = (identity != ReplicaIdentity::Nothing, identity == ReplicaIdentity::Full);
    let columns = vec![column("id", 23, id), column("note", 25, note)];
    Relation { oid: 1, schema: "public".into(), name: "t".into(), identity, columns }
}

fn decoder_of(relation: &Relation) -> Decoder {
    let mut decoder = Decoder::new();
    decoder.decode(write(&Message::Relation(RelationIndex(0)), |_| relation)).unwrap();
    decoder
}

#[test]
fn a_row_keeps_the_columns_that_it_was_written_under() {
    let before = table(ReplicaIdentity::Default);
    let mut after = before.clone();
    after.columns.remove(1);
    let mut decoder = decoder_of(&before);
    let first = Arc::clone(decoder.relation(RelationIndex(0)));
    let again = decoder.decode(write(&Message::Relation(RelationIndex(0)), |_| &before));
    assert_eq!(again, Ok(Message::Relation(RelationIndex(0))));
    assert!(Arc::ptr_eq(&first, decoder.relation(RelationIndex(0))), "described again unchanged, it stays the same");

    let row_of = |columns| Message::Insert { relation: RelationIndex(0), new: row(&vec![Value::Null; columns]) };
    assert!(
        matches!(decoder.decode(write(&row_of(2), |_| &before)), Ok(Message::Insert { relation, .. }) if relation.0 == 0)
    );
    decoder.decode(write(&Message::Relation(RelationIndex(0)), |_| &after)).unwrap();
    assert!(
        matches!(decoder.decode(write(&row_of(1), |_| &after)), Ok(Message::Insert { relation, .. }) if relation.0 == 1)
    );
    assert_eq!(**decoder.relation(RelationIndex(0)), before);
    assert_eq!(**decoder.relation(RelationIndex(1)), after);
    let error = decoder.decode(write(&row_of(2), |_| &before)).unwrap_err();
    assert_eq!(error.to_string(), "pgoutput Insert message of public.t: new row has 2 columns, the relation has 1");
}

#[test]
fn an_old_row_that_the_identity_cannot_send_is_refused() {
    let null = || row(&[Value::Null; 2]);
    let cases = [
        (ReplicaIdentity::Default, Old::Key(null()), true),
        (ReplicaIdentity::Default, Old::Full(null()), false),
        (ReplicaIdentity::Index, Old::Key(null()), true),
        (ReplicaIdentity::Index, Old::Full(null()), false),
        (ReplicaIdentity::Full, Old::Key(null()), false),
        (ReplicaIdentity::Full, Old::Full(null()), true),
        (ReplicaIdentity::Nothing, Old::Key(null()), false),
        (ReplicaIdentity::Nothing, Old::Full(null()), false),
    ];
    for (identity, old, accepted) in cases {
        let table = table(identity);
        let relation = RelationIndex(0);
        for message in [
            Message::Delete { relation, old: old.clone() },
            Message::Update { relation, old: Some(old.clone()), new: null() },
        ] {
            let decoded = decoder_of(&table).decode(write(&message, |_| &table));
            assert_eq!(decoded.is_ok(), accepted, "{identity:?} {message:?}");
            assert_eq!(matches!(decoded, Err(DecodeError::OldRow { .. })), !accepted);
        }
    }
}

#[test]
fn wrong_messages_name_the_message_and_the_field() {
    let table = table(ReplicaIdentity::Default);
    let check = |data: &[u8], expected: &str| {
        let error = decoder_of(&table).decode(Bytes::copy_from_slice(data)).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().is_some());
    };
    check(b"", "an empty pgoutput message: not even its kind is there");
    check(b"S\0\0\0\x01\x01", "pgoutput message of the unknown kind S");
    check(b"\xff", "pgoutput message of the unknown kind \\xff");
    check(b"B\0\0", "pgoutput Begin message ends too early, in its final LSN");
    check(&[b"C\x01", &[0; 24][..]].concat(), "pgoutput Commit message: flags has the unknown bits 0x01");
    check(&[b"B", &[0; 21][..]].concat(), "pgoutput Begin message goes on for 1 bytes behind its end");
    check(b"O\0\0\0\0\0\0\0\0no end", "pgoutput Origin message ends too early, in its name");
    check(b"Y\0\0\x40\x00\0\xff\0", "pgoutput Type message: name is not UTF-8");
    check(b"R\0\0\0\x02\0t\0x", "pgoutput Relation message: replica identity is x, where d, i, f or n is expected");
    check(b"R\0\0\0\x02\0t\0d\xff\xff", "pgoutput Relation message: number of columns is -1, below zero");
    check(
        b"R\0\0\0\x02\0t\0d\0\x01\x03c\0\0\0\0\x17\0\0\0\0",
        "pgoutput Relation message: column's flags has the unknown bits 0x02",
    );
    check(b"I\0\0\0\x02N\0\0", "pgoutput Insert message is about relation 2, which the server has not described");
    check(b"I\0\0\0\x01O\0\0", "pgoutput Insert message: kind of row is O, where N is expected");
    check(b"I\0\0\0\x01N\0\x02nx", "pgoutput Insert message of public.t: new row is malformed");
    check(b"U\0\0\0\x01K\0\x02nnK", "pgoutput Update message: kind of new row is K, where N is expected");
    check(b"D\0\0\0\x01N\0\x02nn", "pgoutput Delete message: kind of row is N, where K or O is expected");
    check(
        b"D\0\0\0\x01O\0\x02nn",
        "pgoutput Delete message of public.t: old row does not fit its replica identity (DEFAULT, 1 key columns)",
    );
    check(b"T\x7f\xff\xff\xff\0\0\0\0\x01", "pgoutput Truncate message ends too early, in its relation");
    check(b"T\0\0\0\x01\x04\0\0\0\x01", "pgoutput Truncate message: options has the unknown bits 0x04");
    check(
        b"M\0\0\0\0\0\0\0\0\0p\0\xff\xff\xff\xff",
        "pgoutput Message message: length of the content is -1, below zero",
    );
    check(b"M\x02\0\0\0\0\0\0\0\0p\0\0\0\0\0", "pgoutput Message message: flags has the unknown bits 0x02");
}

#[test]
fn a_time_beyond_the_end_of_time_is_the_last_one() {
    let mut data = vec![b'B'];
    data.extend([0; 8]);
    data.extend(i64::MAX.to_be_bytes());
    data.extend([0; 4]);
    let expected = Begin { final_lsn: Lsn(0), commit_time: i64::MAX, xid: 0 };
    assert_eq!(Decoder::new().decode(data.into()), Ok(Message::Begin(expected)));
}

#[test]
fn rows_and_contents_are_slices_of_the_message() {
    let table = table(ReplicaIdentity::Default);
    let message = Message::Insert { relation: RelationIndex(0), new: row(&[Value::Text(b"abc"), Value::Null]) };
    let data = write(&message, |_| &table);
    let range = data.as_ptr_range();
    let Ok(Message::Insert { new, .. }) = decoder_of(&table).decode(data.clone()) else { panic!("an insert") };
    assert!(range.contains(&new.as_bytes().as_ptr()));
}

#[test]
fn a_type_that_is_renamed_makes_a_new_version() {
    let mut decoder = Decoder::new();
    let named = |name: &str| Message::Type(Type { oid: 16_400, schema: "public".into(), name: name.into() });
    let mut table = table(ReplicaIdentity::Default);
    table.columns[1].type_oid = 16_400;
    for (name, index) in [("mood", 0), ("mood", 0), ("feeling", 1)] {
        decoder.decode(write(&named(name), |_| &table)).unwrap();
        let described = decoder.decode(write(&Message::Relation(RelationIndex(0)), |_| &table));
        assert_eq!(described, Ok(Message::Relation(RelationIndex(index))));
        let kind = &decoder.relation(RelationIndex(index)).columns[1].kind;
        assert_eq!(kind.type_name(), format!("public.{name}"));
    }
}
