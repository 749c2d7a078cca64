//! What holds for every message: reading undoes writing, and what is not a message is an error that says so.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::writer::write;
use super::{Begin, Commit, Decoder, LogicalMessage, Message, Origin, RelationIndex, Truncate, Type, types};
use crate::change::{Column, Old, Relation, ReplicaIdentity, Tuple, TupleWriter, Value};
use crate::lsn::Lsn;

fn name() -> impl Strategy<Value = Box<str>> {
    "[^\0]{1,12}".prop_map(String::into_boxed_str)
}

fn schema() -> impl Strategy<Value = Box<str>> {
    prop_oneof![Just("pg_catalog".into()), Just("public".into()), name()]
}

fn column() -> impl Strategy<Value = Column> {
    let type_oid = prop_oneof![select(vec![16, 20, 23, 25, 1007, 1560, 1700, 3802, 3904]), 0..10_000_u32];
    (name(), type_oid, any::<i32>(), any::<bool>()).prop_map(|(name, type_oid, type_modifier, key)| Column {
        name,
        kind: types::kind(type_oid, None),
        type_oid,
        type_modifier,
        nullable: true,
        key,
        attrs: Vec::new(),
    })
}

fn relation() -> impl Strategy<Value = Relation> {
    const IDENTITIES: [ReplicaIdentity; 4] =
        [ReplicaIdentity::Default, ReplicaIdentity::Index, ReplicaIdentity::Full, ReplicaIdentity::Nothing];
    // Few OIDs, so that relations are described again: as they were, and altered.
    (0..4_u32, schema(), name(), select(&IDENTITIES[..]), prop::collection::vec(column(), 0..6))
        .prop_map(|(oid, schema, name, identity, columns)| Relation { oid, schema, name, identity, columns })
}

#[derive(Clone, Debug)]
enum Field {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

fn field() -> impl Strategy<Value = Field> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        Just(Field::Null),
        Just(Field::Unchanged),
        bytes().prop_map(Field::Text),
        bytes().prop_map(Field::Binary)
    ]
}

/// Returns a row of that many columns, made of the fields over and over.
fn row(columns: usize, fields: &[Field]) -> Tuple {
    let mut writer = TupleWriter::default();
    writer.begin();
    for field in fields.iter().cycle().take(columns) {
        writer.value(match field {
            Field::Null => Value::Null,
            Field::Unchanged => Value::Unchanged,
            Field::Text(text) => Value::Text(text),
            Field::Binary(bytes) => Value::Binary(bytes),
        });
    }
    writer.end();
    writer.finish().remove(0)
}

/// What a message is made of; rows become rows of one of the relations that are known when their turn comes.
#[derive(Clone, Debug)]
enum Plan {
    Describe(Relation),
    DescribeAgain(Index),
    Insert(Index, Vec<Field>),
    Update(Index, bool, Vec<Field>),
    Delete(Index, Vec<Field>),
    Truncate(Vec<Index>, bool, bool),
    Other(Message),
}

fn plan() -> impl Strategy<Value = Plan> {
    let fields = || prop::collection::vec(field(), 1..6);
    let lsn = || any::<u64>().prop_map(Lsn);
    // Postgres's times begin at its own epoch's least value.
    let time = || (i64::MIN + super::reader::POSTGRES_EPOCH_US)..=i64::MAX;
    let content = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let other = prop_oneof![
        (lsn(), time(), any::<u32>()).prop_map(|(final_lsn, commit_time, xid)| Message::Begin(Begin {
            final_lsn,
            commit_time,
            xid
        })),
        (lsn(), lsn(), time()).prop_map(|(commit_lsn, end_lsn, commit_time)| Message::Commit(Commit {
            commit_lsn,
            end_lsn,
            commit_time
        })),
        (lsn(), name()).prop_map(|(lsn, name)| Message::Origin(Origin { lsn, name })),
        (20_000..20_004_u32, schema(), name()).prop_map(|(oid, schema, name)| Message::Type(Type {
            oid,
            schema,
            name
        })),
        (any::<bool>(), lsn(), "[^\0]{0,12}", content).prop_map(|(transactional, lsn, prefix, content)| {
            Message::Message(LogicalMessage { transactional, lsn, prefix: prefix.into(), content })
        }),
    ];
    prop_oneof![
        2 => relation().prop_map(Plan::Describe),
        1 => any::<Index>().prop_map(Plan::DescribeAgain),
        3 => (any::<Index>(), fields()).prop_map(|(at, fields)| Plan::Insert(at, fields)),
        3 => (any::<Index>(), any::<bool>(), fields()).prop_map(|(at, old, fields)| Plan::Update(at, old, fields)),
        2 => (any::<Index>(), fields()).prop_map(|(at, fields)| Plan::Delete(at, fields)),
        1 => (prop::collection::vec(any::<Index>(), 1..4), any::<bool>(), any::<bool>())
            .prop_map(|(at, cascade, restart)| Plan::Truncate(at, cascade, restart)),
        3 => other.prop_map(Plan::Other),
    ]
}

/// The relations as a decoder should number them, kept in the simplest way.
#[derive(Default)]
struct Model {
    versions: Vec<Relation>,
}

impl Model {
    /// The newest version of each OID.
    fn current(&self) -> Vec<u32> {
        let newest =
            |i: &u32| !self.versions[*i as usize + 1..].iter().any(|r| r.oid == self.versions[*i as usize].oid);
        (0..self.versions.len() as u32).filter(newest).collect()
    }

    fn describe(&mut self, relation: Relation) -> RelationIndex {
        let known = self.current().into_iter().find(|&i| self.versions[i as usize] == relation);
        RelationIndex(known.unwrap_or_else(|| {
            self.versions.push(relation);
            self.versions.len() as u32 - 1
        }))
    }

    fn pick(&self, at: &Index) -> Option<RelationIndex> {
        let current = self.current();
        (!current.is_empty()).then(|| RelationIndex(*at.get(&current)))
    }

    fn get(&self, index: RelationIndex) -> &Relation {
        &self.versions[index.as_usize()]
    }

    fn old(&self, index: RelationIndex, fields: &[Field]) -> Option<Old> {
        let relation = self.get(index);
        let row = row(relation.columns.len(), fields);
        match relation.identity {
            ReplicaIdentity::Full => Some(Old::Full(row)),
            _ => relation.columns.iter().any(|c| c.key).then_some(Old::Key(row)),
        }
    }

    /// Turns a plan into a message; `None` where no relation is there for it.
    fn message(&mut self, plan: Plan) -> Option<Message> {
        Some(match plan {
            Plan::Describe(relation) => Message::Relation(self.describe(relation)),
            Plan::DescribeAgain(at) => Message::Relation(self.pick(&at)?),
            Plan::Insert(at, fields) => {
                let relation = self.pick(&at)?;
                Message::Insert { relation, new: row(self.get(relation).columns.len(), &fields) }
            }
            Plan::Update(at, old, fields) => {
                let relation = self.pick(&at)?;
                let old = old.then(|| self.old(relation, &fields)).flatten();
                Message::Update { relation, old, new: row(self.get(relation).columns.len(), &fields) }
            }
            Plan::Delete(at, fields) => {
                let relation = self.pick(&at)?;
                Message::Delete { relation, old: self.old(relation, &fields)? }
            }
            Plan::Truncate(at, cascade, restart_identity) => {
                let relations = at.iter().map(|at| self.pick(at)).collect::<Option<_>>()?;
                Message::Truncate(Truncate { cascade, restart_identity, relations })
            }
            Plan::Other(message) => message,
        })
    }
}

proptest! {
    #[test]
    fn reading_undoes_writing(plans in prop::collection::vec(plan(), 1..40)) {
        let (mut model, mut decoder) = (Model::default(), Decoder::new());
        for plan in plans {
            let Some(message) = model.message(plan) else { continue };
            let data = write(&message, |index| model.get(index));
            prop_assert_eq!(decoder.decode(data), Ok(message));
        }
        let decoded: Vec<Relation> =
            (0..decoder.relation_count()).map(|i| Relation::clone(decoder.relation(RelationIndex(i)))).collect();
        prop_assert_eq!(decoded, model.versions);
    }

    #[test]
    fn every_message_cut_short_or_run_on_is_refused(plans in prop::collection::vec(plan(), 1..10)) {
        let (mut model, mut decoder) = (Model::default(), Decoder::new());
        for plan in plans {
            let Some(message) = model.message(plan) else { continue };
            let data = write(&message, |index| model.get(index));
            let before = decoder.relation_count();
            for length in 0..data.len() {
                prop_assert!(decoder.decode(data.slice(..length)).is_err(), "{} of {:?}", length, message);
            }
            let run_on = Bytes::from([&data[..], &data[..1]].concat());
            prop_assert!(decoder.decode(run_on).is_err(), "{:?} and a byte more", message);
            prop_assert_eq!(decoder.relation_count(), before, "an error changes nothing");
            prop_assert_eq!(decoder.decode(data), Ok(message));
        }
    }

    #[test]
    fn any_bytes_are_survived(tag in select(&b"BCORYIUDTM"[..]), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut decoder = Decoder::new();
        let described = b"R\0\0\0\0\0t\0d\0\x01\x01c\0\0\0\0\x17\xff\xff\xff\xff";
        decoder.decode(Bytes::from_static(described)).unwrap();
        let _ = decoder.decode(Bytes::from([&[tag][..], &bytes].concat()));
        let _ = decoder.decode(Bytes::from([&[tag, 0, 0, 0, 0][..], &bytes].concat()));
        let _ = decoder.decode(Bytes::from(bytes));
    }
}
