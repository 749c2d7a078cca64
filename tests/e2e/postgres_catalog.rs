//! Slots, publications, the catalog and the preflight against a real server.

use pelton::change::{Column, Kind, Relation, ReplicaIdentity};
use pelton::postgres::catalog::{self, Comparable, Generated, Table, TableKind, TableName, Which};
use pelton::postgres::preflight::{self, Finding};
use pelton::postgres::publication::{self, Ensured, PublicationError, Wanted};
use pelton::postgres::slot::{self, SlotError};
use pelton::postgres::{self, Session};
use tokio_postgres::Client;

use crate::postgres_connect::tcp;
use crate::support;

fn name(text: &str) -> TableName {
    let (schema, name) = text.split_once('.').unwrap();
    TableName::new(schema, name)
}

async fn table(client: &Client, text: &str) -> Table {
    catalog::load(client, Which::Named(&[name(text)])).await.unwrap().remove(0)
}

#[tokio::test]
async fn tables_are_described_with_their_types_and_keys() {
    let database = support::database().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "CREATE TYPE mood AS ENUM ('sad', 'it''s \"ok\"'); ALTER TYPE mood ADD VALUE 'first' BEFORE 'sad'; \
             CREATE DOMAIN positive AS int CHECK (value > 0); CREATE DOMAIN more AS positive NOT NULL; \
             CREATE TYPE pair AS (a int, b text); \
             CREATE TABLE t (gone int, b text COLLATE \"C\", id more, m mood, ms mood[], n numeric(10,2), v varchar(3), \
               p pair, r int4range, vec int2vector, g int GENERATED ALWAYS AS (1) STORED, \
               at timestamptz NOT NULL, i int GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (id, b)); \
             ALTER TABLE t DROP COLUMN gone; \
             CREATE UNIQUE INDEX t_at ON t (at DESC NULLS LAST); CREATE UNIQUE INDEX t_part ON t (i) WHERE i > 0; \
             COMMENT ON COLUMN t.m IS 'how'; \
             CREATE TABLE parts (k int PRIMARY KEY) PARTITION BY RANGE (k); \
             CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (k); \
             CREATE TABLE part11 PARTITION OF part1 FOR VALUES FROM (0) TO (5)",
        )
        .await
        .unwrap();
    let t = table(&client, "public.t").await;
    let shown = t.columns.iter().map(|column| {
        format!("{} {} {:?}{}", column.name, column.type_name, column.kind(), if column.not_null { " !" } else { "" })
    });
    let expected = "b text Text !
id public.more Other(\"public.more\") !
m public.mood Enumeration
ms public.mood[] Array(\"public.mood\")
n numeric(10,2) Numeric
v character varying(3) Text
p public.pair Other(\"public.pair\")
r int4range Other(\"int4range\")
vec int2vector Other(\"int2vector\")
g integer Int32
at timestamp with time zone Timestamptz !
i integer Int32 !";
    // Qualified only under a search_path without the schema, which our own sessions have.
    let shown = shown.collect::<Vec<_>>().join("\n").replace("public.", "");
    assert_eq!(shown, expected.replace("public.", ""));
    let column = |name: &str| &t.columns[t.column(name).unwrap()];
    assert_eq!(column("g").generated, Generated::Stored);
    assert!(column("i").identity);
    assert_eq!(column("m").attrs()[0].1, r#"["first","sad","it's \"ok\""]"#);
    assert_eq!(column("m").attrs()[1], ("comment".to_owned(), "how".to_owned()));
    assert_eq!(column("id").attrs()[0], ("domain-base".to_owned(), "integer".to_owned()));

    let key = t.primary_key().unwrap();
    let shown: Vec<_> =
        key.columns.iter().map(|k| (&*t.columns[k.column].name, k.comparable, k.collation.as_deref())).collect();
    let c = r#""pg_catalog"."C""#;
    assert_eq!(shown, [("id", Comparable::ByHost, None), ("b", Comparable::ByPostgres, Some(c))]);
    assert!(key.usable && t.identity_key() == Some(key));
    let at = t.keys.iter().find(|key| key.index == "t_at").unwrap();
    assert!(at.usable && at.columns[0].descending && !at.columns[0].nulls_first);
    assert!(!t.keys.iter().find(|key| key.index == "t_part").unwrap().usable);

    let parts = catalog::load(&client, Which::WithPartitions(&[name("public.parts")])).await.unwrap();
    let shown: Vec<_> = parts.iter().map(|t| (&*t.name.name, t.kind, t.partition_root.is_some())).collect();
    use TableKind::{Ordinary, Partitioned};
    assert_eq!(shown, [("part1", Partitioned, true), ("part11", Ordinary, true), ("parts", Partitioned, false)]);
    assert_eq!(catalog::load(&client, Which::Named(&[name("public.nothing")])).await.unwrap(), []);

    let mut relation = Relation {
        oid: t.oid,
        schema: "public".into(),
        name: "t".into(),
        identity: ReplicaIdentity::Default,
        columns: vec![Column {
            name: "ms".into(),
            kind: Kind::Other("?".into()),
            type_oid: column("ms").type_oid,
            type_modifier: -1,
            nullable: true,
            key: false,
            attrs: Vec::new(),
        }],
    };
    t.enrich(&mut relation);
    assert!(matches!(relation.columns[0].kind, Kind::Array(_)));
}

#[tokio::test]
async fn a_thousand_tables_are_read_in_a_moment() {
    let database = support::database().await;
    let client = database.connect().await;
    let make = "DO $$ BEGIN FOR i IN 1 .. 1000 LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, a text, b text, \
                c int, d int, e text)', i); END LOOP; END $$";
    client.batch_execute(make).await.unwrap();
    let begun = std::time::Instant::now();
    let tables = catalog::load(&client, Which::All).await.unwrap();
    assert_eq!(tables.len(), 1000);
    assert!(tables.iter().all(|table| table.columns.len() == 6 && table.identity_key().is_some()));
    eprintln!("1,000 tables in {:?}", begun.elapsed());
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

async fn ensure(client: &Client, wanted: &Wanted) -> Ensured {
    publication::ensure(client, "pub \"x\"", wanted, &[]).await.unwrap()
}

fn names(tables: &[TableName]) -> String {
    tables.iter().map(TableName::to_string).collect::<Vec<_>>().join(" ")
}

fn refused(ensured: &[publication::Refused]) -> String {
    ensured.iter().map(|refused| refused.table.to_string()).collect::<Vec<_>>().join(" ")
}

const TABLES: &str = "\
    CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE bare (v int); CREATE TABLE whole (v int); \
    ALTER TABLE whole REPLICA IDENTITY FULL; CREATE TABLE chosen (v int NOT NULL UNIQUE); \
    ALTER TABLE chosen REPLICA IDENTITY USING INDEX chosen_v_key; CREATE UNLOGGED TABLE quick (id int PRIMARY KEY); \
    CREATE TABLE late (id int PRIMARY KEY DEFERRABLE); CREATE SCHEMA pelton; CREATE TABLE pelton.own (id int PRIMARY KEY); \
    CREATE TABLE \"Odd.\"\"name\" (id int PRIMARY KEY); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (a); \
    CREATE TABLE parts (k int PRIMARY KEY) PARTITION BY RANGE (k); \
    CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10); \
    CREATE VIEW seen AS SELECT * FROM a";

#[tokio::test]
async fn a_publication_of_ours_never_makes_an_update_fail() {
    let database = support::database().await;
    let client = database.connect().await;
    client.batch_execute(TABLES).await.unwrap();
    let made = ensure(&client, &Wanted::All).await;
    assert!(made.made && made.publication.ours && made.publication.via_partition_root);
    assert_eq!(
        names(&made.added),
        "public.\"Odd.\"\"name\" public.a public.child public.chosen public.parts public.whole"
    );
    assert_eq!(refused(&made.refused), "public.bare public.late public.quick");
    assert_eq!((made.missing.len(), made.endangered.len()), (0, 0));
    let updates = "UPDATE a SET v = 1; DELETE FROM a; UPDATE bare SET v = 1; DELETE FROM bare; UPDATE whole SET v = 1; \
                   DELETE FROM chosen; DELETE FROM late; DELETE FROM quick; DELETE FROM parts; DELETE FROM child";
    client.batch_execute(updates).await.unwrap();

    // Tables that are made or mended later are added at the next start, and nothing is made twice.
    client
        .batch_execute("CREATE TABLE later (id int PRIMARY KEY); ALTER TABLE bare ADD PRIMARY KEY (v)")
        .await
        .unwrap();
    let again = ensure(&client, &Wanted::All).await;
    assert!(!again.made);
    assert_eq!(names(&again.added), "public.bare public.later");

    // One that somebody counts on having been there all the time is not, and the publication is not made without it.
    client.batch_execute("ALTER PUBLICATION \"pub \"\"x\"\"\" DROP TABLE ONLY a, ONLY later").await.unwrap();
    let held = [name("public.a")];
    let without = publication::ensure(&client, "pub \"x\"", &Wanted::All, &held).await.unwrap();
    assert_eq!((names(&without.added), names(&without.missing)), ("public.later".to_owned(), "public.a".to_owned()));
    let gone = publication::ensure(&client, "gone", &Wanted::All, &held).await.unwrap();
    assert!(gone.gone && !gone.made && gone.publication.tables.is_empty());
    assert!(publication::look_up(&client, "gone").await.unwrap().is_none());
    assert_eq!(names(&ensure(&client, &Wanted::All).await.added), "public.a");
    assert_eq!(names(&ensure(&client, &Wanted::All).await.added), "");

    // A table that loses its key endangers the source from then on: said at every start.
    client.batch_execute("ALTER TABLE later DROP CONSTRAINT later_pkey").await.unwrap();
    let endangered = ensure(&client, &Wanted::All).await.endangered;
    assert_eq!(refused(&endangered), "public.later");
    assert!(endangered[0].mend().unwrap().contains("ALTER TABLE public.later ADD PRIMARY KEY"));
    publication::drop_publication(&client, "pub \"x\"").await.unwrap();
    assert!(publication::look_up(&client, "pub \"x\"").await.unwrap().is_none());
}

#[tokio::test]
async fn listed_tables_are_published_and_the_others_come_back_with_a_reason() {
    let database = support::database().await;
    let client = database.connect().await;
    client.batch_execute(TABLES).await.unwrap();
    let listed = ["public.a", "public.part1", "public.bare", "public.seen", "public.nothing", "pelton.own"];
    let made = ensure(&client, &Wanted::Listed(listed.map(name).to_vec())).await;
    assert_eq!(names(&made.added), "public.a public.part1");
    assert_eq!(refused(&made.refused), "public.bare public.seen pelton.own public.nothing");
    assert!(made.refused.iter().all(|refused| refused.mend().is_some()));
}

#[tokio::test]
async fn a_publication_of_somebody_else_is_respected_and_reported() {
    let database = support::database().await;
    let client = database.connect().await;
    client.batch_execute(TABLES).await.unwrap();
    let major: i32 =
        client.query_one("SHOW server_version_num", &[]).await.unwrap().get::<_, String>(0).parse::<i32>().unwrap()
            / 10_000;
    let of_a = if major >= 15 { "a (id) WHERE (id > 5)" } else { "a" };
    let make = format!(
        "CREATE PUBLICATION \"pub \"\"x\"\"\" FOR TABLE bare, parts, ONLY {of_a} WITH (publish = 'insert, delete')"
    );
    client.batch_execute(&make).await.unwrap();
    let listed = ["public.a", "public.parts", "public.whole"];
    let found = ensure(&client, &Wanted::Listed(listed.map(name).to_vec())).await;
    assert!(!found.made && !found.publication.ours && found.added.is_empty());
    assert_eq!(names(&found.missing), "public.whole");
    assert_eq!(refused(&found.endangered), "public.bare");
    let publication = &found.publication;
    assert!(publication.insert && publication.delete && !publication.update && !publication.truncate);
    let a = publication.table(&name("public.a")).unwrap();
    if major >= 15 {
        assert_eq!((a.columns.join(" ").as_str(), a.row_filter.as_deref()), ("id", Some("(id > 5)")));
    } else {
        assert_eq!((a.columns.join(" ").as_str(), a.row_filter.as_deref()), ("id v", None));
    }
    // Without publish_via_partition_root the partitions are published under their own names.
    assert!(publication.table(&name("public.parts")).is_none() && publication.covers(&name("public.parts")));
    assert_eq!(names(&publication.table(&name("public.part1")).unwrap().ancestors), "public.parts");
    client
        .batch_execute("DROP PUBLICATION \"pub \"\"x\"\"\"; CREATE PUBLICATION \"pub \"\"x\"\"\" FOR ALL TABLES")
        .await
        .unwrap();
    let all = ensure(&client, &Wanted::All).await;
    assert!(all.publication.all_tables);
    assert_eq!(names(&all.missing), "");
}

#[tokio::test]
async fn a_role_without_rights_is_told_what_it_lacks() {
    let server = support::server().await;
    let owner = server.connect("postgres").await.unwrap();
    owner.batch_execute("CREATE TABLE a (id int PRIMARY KEY); CREATE ROLE plain LOGIN").await.unwrap();
    let mut to = tcp(&server);
    to.user = "plain".to_owned();
    let client = postgres::connect(&to, &Session::source("x")).await.unwrap();
    let error = publication::ensure(&client, "p", &Wanted::All, &[]).await.unwrap_err();
    assert!(matches!(error, PublicationError::NotPermitted { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("GRANT CREATE ON DATABASE"));
    let error = slot::create(&client, "s").await.unwrap_err();
    assert!(matches!(error, SlotError::NotPermitted { .. }), "{error:?}");
    let facts = preflight::facts(&client).await.unwrap();
    assert_eq!(facts.findings(false, false), [Finding::MayNotReplicate { role: "plain".to_owned() }]);
}

#[tokio::test]
async fn slots_are_made_looked_up_and_dropped() {
    let server = support::server_with(|builder| builder.setting("max_replication_slots", "2")).await;
    let client = server.connect("postgres").await.unwrap();
    assert_eq!(slot::look_up(&client, "s").await.unwrap(), None);
    let point = slot::create(&client, "s").await.unwrap();
    let found = slot::look_up(&client, "s").await.unwrap().unwrap();
    assert_eq!((found.confirmed_flush, found.plugin.as_deref()), (Some(point), Some("pgoutput")));
    found.usable("postgres").unwrap();
    found.unused().unwrap();
    assert!(matches!(found.usable("other"), Err(SlotError::OtherDatabase { .. })));
    assert!(matches!(slot::create(&client, "s").await, Err(SlotError::Exists { .. })));
    assert!(matches!(slot::create(&client, "S-1").await, Err(SlotError::BadName { .. })));
    client.batch_execute("SELECT pg_create_physical_replication_slot('physical')").await.unwrap();
    let physical = slot::look_up(&client, "physical").await.unwrap().unwrap();
    assert!(matches!(physical.usable("postgres"), Err(SlotError::Physical { .. })));
    assert!(matches!(slot::create(&client, "third").await, Err(SlotError::NoneFree { .. })));
    let facts = preflight::facts(&client).await.unwrap();
    assert_eq!(facts.findings(false, false), [Finding::NoFreeSlot { max: 2 }]);
    assert_eq!(facts.findings(true, false), []);
    slot::drop_slot(&client, "s").await.unwrap();
    assert!(matches!(slot::drop_slot(&client, "s").await, Err(SlotError::Missing { .. })));
}

#[tokio::test]
async fn a_server_that_is_no_source_says_all_that_is_amiss() {
    let settings = |builder: pelton::postgres::throwaway::Builder| {
        builder.setting("wal_level", "replica").setting("max_replication_slots", "0")
    };
    let server = support::server_with(settings).await;
    let client = server.connect("postgres").await.unwrap();
    client.batch_execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'").await.unwrap();
    let client = server.connect("ascii").await.unwrap();
    let facts = preflight::facts(&client).await.unwrap();
    assert_eq!(facts.version, server.major());
    let expected = [
        Finding::WalLevel { wal_level: "replica".to_owned() },
        Finding::SqlAscii { database: "ascii".to_owned() },
        Finding::NoFreeSlot { max: 0 },
    ];
    assert_eq!(facts.findings(false, false), expected);
    let error = slot::create(&client, "s").await.unwrap_err();
    assert!(error.hint().is_some(), "{error:?}");
}
