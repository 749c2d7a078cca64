//! What a transform's author may rely on, shown through the native host.

use pelton_sdk::prelude::*;
use pelton_sdk::testing::Harness;
use pelton_sdk::transform::Runner;
use pelton_sdk::{Column, Context, Identity, Kind, Relation, Span};

#[derive(Source, Clone)]
#[source(table = "shop.items")]
struct Item {
    #[key]
    id: i64,
    #[column(name = "title")]
    name: String,
    size: Option<i32>,
    body: Toasted<String>,
    hidden: bool,
}

#[derive(Public)]
#[public(name = "items", version = "2.1")]
struct PublicItem {
    #[key]
    id: i64,
    name: String,
    size: Option<i32>,
    body: Toasted<String>,
}

#[transform(name = "items", publishes(PublicItem))]
fn items(change: Change<Item>, out: &mut Out) -> Result<()> {
    out.map(change, |item| {
        (!item.hidden).then_some(PublicItem { id: item.id, name: item.name, size: item.size, body: item.body })
    })
}

fn item(id: i64, name: &str) -> Item {
    Item { id, name: name.to_owned(), size: None, body: Toasted::Value("b".to_owned()), hidden: false }
}

fn hidden(id: i64, name: &str) -> Item {
    Item { hidden: true, ..item(id, name) }
}

fn untouched(id: i64, name: &str) -> Item {
    Item { body: Toasted::Unchanged, ..item(id, name) }
}

/// Runs `changes` and compares what is published.
fn check(identity: Identity, changes: impl FnOnce(&mut Harness<items>) -> &mut Harness<items>, expected: &[&str]) {
    let mut host = Harness::<items>::new().identity::<Item>(identity);
    changes(&mut host);
    assert_eq!(host.run().unwrap().to_string().lines().collect::<Vec<_>>(), expected, "{identity:?}");
}

#[test]
fn map_publishes_one_row_for_one_row_under_the_primary_key() {
    let check = |changes: fn(&mut Harness<items>) -> &mut Harness<items>, expected: &[&str]| {
        check(Identity::Default, changes, expected)
    };
    check(|h| h.insert(&item(1, "a")).insert(&hidden(2, "a")), &["insert items id=1 name=\"a\" size=NULL body=\"b\""]);
    check(|h| h.update(&item(1, "a"), &untouched(1, "c")), &["update items id=1 name=\"c\" size=NULL body=unchanged"]);
    let moved = ["update items from (1) id=2 name=\"a\" size=NULL body=\"b\""];
    check(|h| h.update(&item(1, "a"), &item(2, "a")), &moved);
    check(|h| h.update(&item(1, "a"), &hidden(1, "a")), &["delete items id=1"]);
    check(|h| h.update(&item(1, "a"), &hidden(2, "a")), &["delete items id=1"]);
    // The old row is not known, so it can't be told whether it was published: a delete too many does no harm.
    check(|h| h.delete(&hidden(1, "a")), &["delete items id=1"]);
    check(|h| h.truncate::<Item>(), &["truncate items"]);
}

#[test]
fn map_knows_the_old_row_under_full() {
    let check = |changes: fn(&mut Harness<items>) -> &mut Harness<items>, expected: &[&str]| {
        check(Identity::Full, changes, expected)
    };
    check(|h| h.update(&hidden(1, "a"), &item(1, "a")), &["insert items id=1 name=\"a\" size=NULL body=\"b\""]);
    check(|h| h.update(&hidden(1, "a"), &hidden(1, "c")), &[]);
    check(|h| h.delete(&hidden(1, "a")), &[]);
    check(|h| h.delete(&item(1, "a")), &["delete items id=1"]);
    // An unchanged value is filled from the old row.
    check(|h| h.update(&item(1, "a"), &untouched(1, "c")), &["update items id=1 name=\"c\" size=NULL body=\"b\""]);
}

/// A batch with one span, as the host writes it, for what the harness would not send.
fn batch(changes: &[&[u8]]) -> (Vec<Span>, u32, Vec<u8>) {
    let count = changes.len() as u32;
    let payload = [&[0x90 | count as u8][..], &changes.concat()].concat();
    let (xid, epoch, commit_lsn, commit_time, first, complete, attrs) = (7, 1, 9, 0, 0, true, Vec::new());
    (
        vec![Span { xid, epoch, commit_lsn, commit_time, phase: Phase::Live, first, count, complete, attrs }],
        count,
        payload,
    )
}

fn column(name: &str, kind: Kind, key: bool) -> Column {
    Column { name: name.to_owned(), kind, nullable: true, key, attrs: Vec::new() }
}

/// The table's columns in another order, and one more than is subscribed: part of the replica identity.
fn relation(identity: Identity) -> Relation {
    let columns = vec![
        column("hidden", Kind::Bool, false),
        column("region", Kind::Text, true),
        column("body", Kind::Text, false),
        column("id", Kind::Int32, true),
        column("title", Kind::Other("citext".into()), false),
        column("size", Kind::Int16, false),
    ];
    let (schema, name) = ("shop".to_owned(), "items".to_owned());
    Relation { id: 3, version: 1, schema, name, identity, columns, attrs: Vec::new() }
}

fn runner(relation: Relation) -> Result<Runner<items>> {
    Runner::new(&Context { relations: vec![relation], instances: 1, ..Context::default() })
}

fn rejection(relation: Relation, change: &[u8]) -> (String, String) {
    let (spans, count, payload) = batch(&[change]);
    let output = runner(relation).unwrap().process(spans, count, &payload).unwrap();
    assert_eq!((output.count, &output.payload[..]), (0, &[0xdd, 0, 0, 0, 0][..]), "a rejected change leaves no rows");
    (output.rejected[0].code.clone(), output.rejected[0].message.clone())
}

fn fatal<T>(result: Result<T>) -> String {
    match result {
        Err(Error::Fatal(message)) => message,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("no error"),
    }
}

#[test]
fn columns_are_found_by_name_whatever_their_order() {
    // hidden=false region="eu" body="B" id=5 title="T" size=7
    let insert = [&[0x94, 0, 3, 0x96, 0xc2][..], b"\xa2eu", b"\xa1B", &[5], b"\xa1T", &[7, 0xc0]].concat();
    let (spans, count, payload) = batch(&[&insert]);
    let output = runner(relation(Identity::Default)).unwrap().process(spans, count, &payload).unwrap();
    // id=5 name="T" size=7 body="B"
    let expected = [&[0xdd, 0, 0, 0, 1, 0x95, 0, 0, 0, 0x94, 5][..], b"\xa1T", &[7], b"\xa1B", &[0xc0]].concat();
    assert_eq!(output.payload, expected);
}

#[test]
fn an_altered_table_is_held_against_the_struct() {
    let altered = |alter: fn(&mut Relation)| {
        let mut relation = relation(Identity::Default);
        alter(&mut relation);
        fatal(runner(relation))
    };
    let dropped = altered(|r| drop(r.columns.remove(4)));
    assert!(dropped.contains("shop.items has no column `title`"), "{dropped}");
    let retyped = altered(|r| r.columns[3].kind = Kind::Numeric);
    let expected = "column `id` of table shop.items is numeric; the transform expects bigint, integer or smallint";
    assert_eq!(retyped, expected);
    let narrowed = altered(|r| r.columns[5].kind = Kind::Int64);
    assert_eq!(narrowed, "column `size` of table shop.items is bigint; the transform expects integer or smallint");
    let unkeyed = altered(|r| r.columns[3].key = false);
    assert!(unkeyed.contains("`id`") && unkeyed.contains("REPLICA IDENTITY FULL"), "{unkeyed}");

    let mut running = runner(relation(Identity::Default)).unwrap();
    let mut later = relation(Identity::Default);
    later.version = 2;
    later.columns.remove(0);
    assert!(fatal(running.relation_changed(&later)).contains("no column `hidden`"));
}

#[test]
fn a_value_that_does_not_fit_is_rejected_with_its_columns_name() {
    let null_title = [&[0x94, 0, 3, 0x96, 0xc2][..], b"\xa2eu", b"\xa1B", &[5], &[0xc0], &[7, 0xc0]].concat();
    let (code, message) = rejection(relation(Identity::Default), &null_title);
    assert_eq!(code, "null");
    assert_eq!(message, "column `title` of table shop.items is NULL; make the field an Option if that may be");

    let unchanged = [0xd4, 1, 0];
    let update = [&[0x94, 1, 3, 0x96, 0xc2][..], b"\xa2eu", b"\xa1B", &[5], &unchanged, &[7, 0xc0]].concat();
    let (code, message) = rejection(relation(Identity::Default), &update);
    assert_eq!(code, "unchanged");
    assert!(message.contains("`title`") && message.contains("Toasted<…>") && message.contains("FULL"), "{message}");

    // A kind that was not announced is the host's mistake, and nobody's row.
    let text_id = [&[0x94, 0, 3, 0x96, 0xc2][..], b"\xa2eu", b"\xa1B", b"\xa1x", b"\xa1T", &[7, 0xc0]].concat();
    let (spans, count, payload) = batch(&[&text_id]);
    let message = fatal(runner(relation(Identity::Default)).unwrap().process(spans, count, &payload));
    assert_eq!(
        message,
        "column `id` of table shop.items arrived as text; the transform expects bigint, integer or smallint"
    );
}

#[test]
fn an_unchanged_value_of_a_plain_field_is_filled_from_a_full_old_row() {
    let unchanged = [0xd4, 1, 0];
    let old = [&[0x96, 0xc2][..], b"\xa2eu", b"\xa1B", &[5], b"\xa1T", &[7]].concat();
    let update = [&[0x94, 1, 3, 0x96, 0xc2][..], b"\xa2eu", &unchanged, &[5], &unchanged, &[8], &old].concat();
    let (spans, count, payload) = batch(&[&update]);
    let output = runner(relation(Identity::Full)).unwrap().process(spans, count, &payload).unwrap();
    let expected = [&[0xdd, 0, 0, 0, 1, 0x95, 0, 1, 0, 0x94, 5][..], b"\xa1T", &[8], b"\xa1B", &[0xc0]].concat();
    assert_eq!(output.payload, expected);
}

#[test]
fn bytes_that_are_no_batch_are_an_error_and_never_a_panic() {
    let insert = [&[0x94, 0, 3, 0x96, 0xc2][..], b"\xa2eu", b"\xa1B", &[5], b"\xa1T", &[7, 0xc0]].concat();
    let (spans, count, payload) = batch(&[&insert]);
    let mut running = runner(relation(Identity::Default)).unwrap();
    for cut in 0..payload.len() {
        assert!(running.process(spans.clone(), count, &payload[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..payload.len() {
        for byte in [0, 1, 3, 0x7f, 0x90, 0x9f, 0xa1, 0xc0, 0xc1, 0xc6, 0xd4, 0xdb, 0xdd, 0xff] {
            let mut broken = payload.clone();
            broken[at] = byte;
            let _ = running.process(spans.clone(), count, &broken);
        }
    }
    let unknown = [0x94, 0, 4, 0xc0, 0xc0];
    let (spans, count, payload) = batch(&[&unknown]);
    assert!(fatal(running.process(spans, count, &payload)).contains("relation 4"));
    let (mut spans, count, payload) = batch(&[&insert]);
    spans[0].count = u32::MAX;
    assert!(fatal(running.process(spans, count, &payload)).contains("spans"));
}

// --- Several tables, settings, logs, messages, errors, transactions ----------------------------------------------

#[derive(Enumeration, Clone, Copy, PartialEq)]
enum Colour {
    Red,
    #[label("very dark")]
    Dark,
}

#[derive(Source)]
#[source(table = "things", ops(insert, delete))]
struct Thing {
    #[key]
    place: i32,
    #[key]
    number: i32,
    colour: Colour,
}

#[derive(Source)]
#[source(message = "notes")]
struct Note {
    transactional: bool,
    content: Vec<u8>,
}

#[derive(Public)]
#[public(name = "things")]
struct PublicThing {
    label: String,
    #[key]
    place: i32,
    #[key]
    number: i32,
    colour: Colour,
}

#[derive(Public)]
#[public(name = "journal", version = "1.0")]
struct Line {
    #[column(kind = "varchar")]
    text: String,
    at: i64,
}

#[derive(Settings)]
struct Options {
    /// Put before every label.
    prefix: String,
    /// How many changes a transaction
    /// may have.
    #[setting(default = 100)]
    most: u32,
    suffix: Option<String>,
}

struct House {
    options: Options,
}

#[transform(name = "house", version = "3", publishes(PublicThing, Line), whole_transactions)]
impl House {
    fn init(options: Options, context: &Context) -> Result<Self> {
        debug!(instances = context.instances, "starting");
        Ok(House { options })
    }

    fn things(&self, change: Change<Thing>, out: &mut Out) -> Result<()> {
        let at = out.span().commit_time;
        match change {
            Change::Insert(thing) if thing.number < 0 => {
                out.insert(&Line { text: "never seen".to_owned(), at });
                reject!("negative", "thing {} has a negative number", thing.place);
            }
            Change::Insert(thing) if thing.number == 13 => Err(Error::retry("not today", 50)),
            change => out.map(change, |thing| {
                let suffix = self.options.suffix.as_deref().unwrap_or("");
                let label = format!("{}{}{suffix}", self.options.prefix, thing.number);
                Ok(Some(PublicThing { label, place: thing.place, number: thing.number, colour: thing.colour }))
            }),
        }
    }

    fn notes(&self, change: Change<Note>, out: &mut Out) -> Result<()> {
        let Change::Insert(note) = change else { return Ok(()) };
        let text = String::from_utf8(note.content).map_err(|e| Error::reject("utf8", e))?;
        out.insert(&Line { text: format!("{text} {}", note.transactional), at: out.span().commit_time });
        Ok(())
    }

    fn end_of_transaction(&self, out: &mut Out) -> Result<()> {
        if out.span().count > self.options.most {
            warn!(changes = out.span().count, "a large transaction");
        }
        out.insert(&Line { text: format!("end of {}", out.span().xid), at: 0 });
        Ok(())
    }
}

fn thing(place: i32, number: i32, colour: Colour) -> Thing {
    Thing { place, number, colour }
}

#[test]
fn several_tables_and_messages_become_several_public_schemas() {
    let mut host = Harness::<House>::new().setting("prefix", "no. ").setting("most", "2");
    host.commit_time(44).insert(&thing(1, 2, Colour::Dark));
    host.insert(&Note { transactional: true, content: b"hello".to_vec() }).delete(&thing(1, 2, Colour::Red)).commit();
    host.insert(&thing(-1, 3, Colour::Red));
    let output = host.run().unwrap();
    let expected = "insert things label=\"no. 2\" place=1 number=2 colour=\"very dark\"\n\
                    insert journal text=\"hello true\" at=44\n\
                    delete things place=1 number=2\n\
                    insert journal text=\"end of 1\" at=0\n\
                    insert things label=\"no. 3\" place=-1 number=3 colour=\"red\"\n\
                    insert journal text=\"end of 2\" at=0\n";
    assert_eq!(output.to_string(), expected);
    let logs: Vec<_> = output.logs.iter().map(ToString::to_string).collect();
    assert_eq!(logs, ["debug: starting instances=1", "warn: a large transaction changes=3"]);
    assert_eq!(host.table::<PublicThing>(), ["label=\"no. 3\" place=-1 number=3 colour=\"red\""]);
}

#[test]
fn a_rejected_change_leaves_nothing_behind_and_stops_nobody() {
    let mut host = Harness::<House>::new().setting("prefix", "").setting("suffix", "!");
    host.insert(&thing(1, 1, Colour::Red)).insert(&thing(2, -1, Colour::Red)).insert(&thing(3, 3, Colour::Red));
    let output = host.run().unwrap();
    let rejected: Vec<_> = output.rejected.iter().map(|r| (r.index, r.code.as_str(), r.message.as_str())).collect();
    assert_eq!(rejected, [(1, "negative", "thing 2 has a negative number")]);
    assert_eq!(host.table::<PublicThing>().len(), 2);
    assert!(!output.to_string().contains("never seen"));
    assert_eq!(output.rows.iter().map(|row| row.source).collect::<Vec<_>>(), [0, 2, 2]);
}

#[test]
fn what_a_rejected_change_had_published_is_not_sent() {
    let columns = vec![
        column("place", Kind::Int32, true),
        column("number", Kind::Int32, true),
        column("colour", Kind::Enumeration, false),
    ];
    let (schema, name, identity) = ("public".to_owned(), "things".to_owned(), Identity::Default);
    let relation = Relation { id: 0, version: 1, schema, name, identity, columns, attrs: Vec::new() };
    let settings = vec![("prefix".to_owned(), String::new())];
    let context = Context { settings, relations: vec![relation], instances: 1, ..Context::default() };
    let mut running = Runner::<House>::new(&context).unwrap();
    let (spans, count, payload) =
        batch(&[b"\x94\x00\x00\x93\x02\xff\xa3red\xc0", b"\x94\x00\x00\x93\x03\x03\xa3red\xc0"]);
    let output = running.process(spans, count, &payload).unwrap();
    assert_eq!(output.rejected.iter().map(|r| r.index).collect::<Vec<_>>(), [0]);
    let expected =
        b"\xdd\0\0\0\x02\x95\x00\x00\x01\x94\xa13\x03\x03\xa3red\xc0\x95\x01\x00\x01\x92\xa8end of 7\x00\xc0";
    assert_eq!(output.payload, expected, "the row of the second change, and the end of the transaction");
}

#[test]
fn a_batch_to_be_retried_comes_again() {
    let mut host = Harness::<House>::new().setting("prefix", "");
    host.insert(&thing(1, 13, Colour::Red));
    for _ in 0..2 {
        assert_eq!(host.run().unwrap_err(), Error::Retry { message: "not today".to_owned(), after_ms: 50 });
    }
}

#[test]
fn settings_that_do_not_fit_are_named() {
    let error = |host: Harness<House>| {
        let mut host = host;
        fatal(host.insert(&thing(1, 1, Colour::Red)).run())
    };
    assert_eq!(error(Harness::new()), "setting `prefix` is missing: Put before every label.");
    let error = error(Harness::new().setting("prefix", "").setting("most", "secret"));
    assert_eq!(error, "setting `most` must be an integer, and not negative");
    let declared: Vec<_> = Options::SETTINGS.iter().map(|s| (s.name, s.required, s.default, s.doc)).collect();
    assert_eq!(
        declared,
        [
            ("prefix", true, None, "Put before every label."),
            ("most", false, Some("100"), "How many changes a transaction may have."),
            ("suffix", false, None, ""),
        ]
    );
}

#[test]
fn the_structs_are_the_descriptor() {
    use pelton_sdk::SourceRow;
    assert_eq!((Thing::TABLE.schema, Thing::TABLE.name), ("public", "things"));
    assert_eq!(Thing::TABLE.ops, [Op::Insert, Op::Delete]);
    assert_eq!((Note::TABLE.schema, Note::TABLE.name), ("pg_logical_message", "notes"));
    assert_eq!(
        Item::TABLE.columns.iter().map(|c| c.name).collect::<Vec<_>>(),
        ["id", "title", "size", "body", "hidden"]
    );
    assert_eq!((PublicItem::SCHEMA.major, PublicItem::SCHEMA.minor), (2, 1));
    let columns: Vec<_> =
        PublicItem::SCHEMA.columns.iter().map(|c| (c.name, c.kind.to_string(), c.nullable, c.key)).collect();
    let expected = [
        ("id", "bigint".to_owned(), false, true),
        ("name", "text".to_owned(), false, false),
        ("size", "integer".to_owned(), true, false),
        ("body", "text".to_owned(), false, false),
    ];
    assert_eq!(columns, expected);
    assert_eq!(Line::SCHEMA.columns[0].kind, Kind::Other("varchar".into()));
}

// --- Mistakes that only show when it runs ------------------------------------------------------------------------

#[derive(Public)]
#[public(name = "log", version = "1.0")]
struct Keyless {
    text: String,
}

#[derive(Public)]
#[public(name = "undeclared", version = "1.0")]
struct Undeclared {
    #[key]
    id: i64,
}

#[transform(publishes(Keyless))]
fn clumsy(change: Change<Item>, out: &mut Out) -> Result<()> {
    match change {
        Change::Insert(item) if item.hidden => out.insert(&Undeclared { id: item.id }),
        Change::Insert(item) => {
            SIZES.put(&item.id, &1)?;
        }
        Change::Update { new, .. } => out.update(&Keyless { text: new.name }),
        Change::Delete(_) | Change::Truncate => {}
    }
    Ok(())
}

#[transform(publishes(Undeclared))]
fn other_keys(change: Change<Item>, out: &mut Out) -> Result<()> {
    out.map(change, |item| Some(Undeclared { id: item.id + 1 }))
}

const SIZES: Map<i64, i64> = Map::new("sizes");

#[test]
fn an_authors_mistakes_are_fatal_and_say_what_to_do() {
    let error = |changes: fn(&mut Harness<clumsy>) -> &mut Harness<clumsy>| {
        let mut host = Harness::<clumsy>::new();
        changes(&mut host);
        fatal(host.run())
    };
    let undeclared = error(|h| h.insert(&hidden(1, "a")));
    assert_eq!(
        undeclared,
        "the transform does not declare public schema `undeclared`: add its row type to `publishes(…)`"
    );
    let keyless = error(|h| h.update(&item(1, "a"), &item(1, "b")));
    assert_eq!(keyless, "public schema `log` has no #[key], so it is append-only: updates can't be published");
    let stateless = error(|h| h.insert(&item(1, "a")));
    assert!(stateless.contains("add `stateful` to #[transform(…)]"), "{stateless}");
    let mut host = Harness::<other_keys>::new();
    host.insert(&item(1, "a"));
    assert_eq!(fatal(host.run()), "public schema `undeclared` has other keys than table shop.items; use map_with_key");
}

// --- State -------------------------------------------------------------------------------------------------------

#[derive(StateValue, Debug, PartialEq, Clone)]
struct Seen {
    times: i64,
    names: Vec<String>,
    last: Option<Decimal>,
}

const SEEN: Map<(i64, String), Seen> = Map::new("seen");
const OTHER: Map<i64, ()> = Map::new("see");

#[transform(publishes(PublicItem), stateful, state_version = 4)]
fn remembering(change: Change<Item>, _: &mut Out) -> Result<()> {
    let Change::Insert(item) = change else { return Ok(()) };
    let key = (item.id, item.name.clone());
    let mut seen = SEEN.get(&key)?.unwrap_or(Seen { times: 0, names: Vec::new(), last: None });
    seen.times += 1;
    seen.names.push(item.name);
    seen.last = Some(Decimal::from_scaled(i128::from(seen.times), 1));
    SEEN.put(&key, &seen)?;
    OTHER.put(&item.id, &())?;
    if item.hidden {
        reject!("hidden", "not this one");
    }
    Ok(())
}

#[test]
fn state_is_committed_with_the_batch_and_dropped_with_it() {
    let mut host = Harness::<remembering>::new();
    host.insert(&item(1, "a")).insert(&item(1, "a")).insert(&hidden(2, "b"));
    host.run().unwrap();
    host.restart().insert(&item(1, "a")).insert(&item(-1, "z"));
    host.run().unwrap();
    let seen = host.with_state(|| SEEN.get(&(1, "a".to_owned()))).unwrap().unwrap();
    let last = Some(Decimal::from("0.3"));
    assert_eq!(seen, Seen { times: 3, names: vec!["a".to_owned(); 3], last });
    assert_eq!(host.with_state(|| SEEN.get(&(2, "b".to_owned()))).unwrap(), None, "its change was rejected");
    let keys = |host: &mut Harness<remembering>| {
        let mut keys = Vec::new();
        host.with_state(|| {
            SEEN.for_each(|key, _| {
                keys.push(key.clone());
                Ok(())
            })
        })
        .unwrap();
        keys
    };
    assert_eq!(keys(&mut host), [(-1, "z".to_owned()), (1, "a".to_owned())], "in key order, and no other map's");
    let many = [(1, "a".to_owned()), (9, "x".to_owned()), (1, "a".to_owned())];
    let many = host.with_state(|| SEEN.get_many(&many)).unwrap();
    assert_eq!(many.iter().map(|seen| seen.as_ref().map(|s| s.times)).collect::<Vec<_>>(), [Some(3), None, Some(3)]);
}

struct Hasty;

#[transform(publishes(PublicItem), stateful)]
impl Hasty {
    fn init() -> Result<Self> {
        OTHER.put(&1, &())?;
        Ok(Hasty)
    }

    fn items(&self, _: Change<Item>, _: &mut Out) -> Result<()> {
        Ok(())
    }
}

#[test]
fn state_belongs_to_a_batch_and_is_refused_outside_of_one() {
    let refusal = "the transform uses its state outside of a batch, as in `init`: read and write it in the functions that \
                   take changes";
    let mut host = Harness::<Hasty>::new();
    assert_eq!(fatal(host.insert(&item(1, "a")).run()), refusal);
    assert_eq!(OTHER.get(&1).unwrap_err(), Error::fatal(refusal));
    let mut host = Harness::<remembering>::new();
    host.insert(&item(1, "a")).run().unwrap();
    assert_eq!(OTHER.remove(&1).unwrap_err(), Error::fatal(refusal), "neither behind one");
}

#[test]
fn scans_go_in_batches_and_see_what_was_written() {
    let mut host = Harness::<remembering>::new();
    host.with_state(|| {
        for id in 0..1000 {
            OTHER.put(&id, &())?;
        }
        OTHER.remove(&500)?;
        let mut ids = Vec::new();
        OTHER.for_each(|id, ()| {
            ids.push(*id);
            Ok(())
        })?;
        assert_eq!(ids, (0..1000).filter(|id| *id != 500).collect::<Vec<_>>());
        assert_eq!(OTHER.scan(Some(&997), 10)?.len(), 2);
        OTHER.clear()?;
        assert!(OTHER.scan(None, 1)?.is_empty());
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn state_of_other_types_says_that_a_version_is_due() {
    const NUMBERS: Map<i64, i64> = Map::new("m");
    const TEXTS: Map<i64, String> = Map::new("m");
    let mut host = Harness::<remembering>::new();
    let error = host.with_state(|| NUMBERS.put(&1, &1).and_then(|()| TEXTS.get(&1))).unwrap_err();
    assert!(error.to_string().contains("raise state_version"), "{error}");
}
