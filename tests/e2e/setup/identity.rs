//! Replica identities: listed, and set on request; event triggers on request.

use super::{ends, setup, state};
use crate::support::{Database, database};

async fn identities(database: &Database) -> String {
    let sql = "SELECT string_agg(oid::regclass || ':' || relreplident::text, ' ' ORDER BY relname) FROM pg_class \
               WHERE relkind IN ('r', 'p') AND relnamespace IN ('public'::regnamespace, 'other'::regnamespace)";
    database.value(sql).await
}

const TABLES: &str = "
    CREATE SCHEMA other;
    CREATE TABLE keyed (id int PRIMARY KEY);
    CREATE TABLE bare (id int);
    CREATE TABLE other.bare (id int);
    CREATE TABLE parts (id int) PARTITION BY RANGE (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE lazy (id int PRIMARY KEY DEFERRABLE);
    CREATE UNLOGGED TABLE unlogged (id int)";

#[tokio::test]
async fn tables_without_a_key_are_listed_with_advice_and_left_alone() {
    let database = database().await;
    database.execute(TABLES).await;
    let before = identities(&database).await;
    let said = ends(setup(&database, &["--slot", database.name(), "--no-helpers"]), 0).await;
    assert_eq!(identities(&database).await, before);
    for table in ["public.bare", "other.bare", "public.parts", "public.parts_1", "public.lazy"] {
        assert!(
            said.contains(&format!("warning        database {}, table {table}: ", database.name())),
            "{table}: {said}"
        );
    }
    assert!(said.contains("ALTER TABLE public.bare ADD PRIMARY KEY"), "{said}");
    assert!(said.contains("table public.unlogged is unlogged"), "{said}");
    // They are not published, so that they can still be written.
    let published = "SELECT string_agg(tablename, ' ') FROM pg_publication_tables WHERE pubname = 'pelton'";
    assert_eq!(database.value(published).await, "keyed");
    database.execute("INSERT INTO bare VALUES (1); UPDATE bare SET id = 2").await;
}

#[tokio::test]
async fn keyless_and_full_are_set_with_and_without_the_schema_pelton() {
    for helpers in [true, false] {
        let database = database().await;
        database.execute(TABLES).await;
        let with = |which: &'static str| {
            let mut arguments = vec!["--slot", database.name(), "--replica-identity", which];
            arguments.extend((!helpers).then_some("--no-helpers"));
            setup(&database, &arguments)
        };
        let said = ends(with("keyless"), 0).await;
        let expected = "bare:f other.bare:f keyed:d lazy:f parts:f parts_1:f unlogged:d";
        assert_eq!(sorted(&identities(&database).await), sorted(expected), "{said}");
        let before = state(&database).await;
        ends(with("keyless"), 0).await;
        assert_eq!(state(&database).await, before);
        let said = ends(with("full"), 0).await;
        assert_eq!(
            sorted(&identities(&database).await),
            sorted("bare:f other.bare:f keyed:f lazy:f parts:f parts_1:f unlogged:d"),
            "{said}"
        );
        let published = "SELECT count(*)::text FROM pg_publication_tables WHERE pubname = 'pelton'";
        assert_eq!(database.value(published).await, "5");
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = text.split(' ').collect();
    words.sort_unstable();
    words
}

#[tokio::test]
async fn new_tables_are_kept_right_by_an_event_trigger_and_alter_table_is_told() {
    let database = database().await;
    database.execute("CREATE TABLE keyed (id int PRIMARY KEY); CREATE SCHEMA other").await;
    let arguments = ["--slot", database.name(), "--keep-replica-identity", "--ddl-messages"];
    ends(setup(&database, &arguments), 0).await;
    let before = state(&database).await;
    let said = ends(setup(&database, &arguments), 0).await;
    assert_eq!(state(&database).await, before, "{said}");
    database
        .execute("CREATE TABLE a (id int); CREATE TABLE other.b AS SELECT 1 AS x; SELECT 2 AS y INTO c; ALTER TABLE keyed ADD n int")
        .await;
    assert_eq!(identities(&database).await, "a:f other.b:f c:f keyed:d");
    let messages = format!(
        "SELECT count(*)::text FROM pg_logical_slot_peek_binary_changes('{}', NULL, NULL, 'proto_version', '1', \
         'publication_names', 'pelton', 'messages', 'true') WHERE position('pelton.ddl'::bytea IN data) > 0 \
         AND position('\"table\": \"keyed\"'::bytea IN data) > 0",
        database.name()
    );
    assert_eq!(database.value(&messages).await, "1");
}

#[tokio::test]
async fn a_refused_event_trigger_is_a_warning() {
    let database = database().await;
    let role = format!("owner_{}", database.name());
    database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN REPLICATION CREATEROLE; ALTER DATABASE {} OWNER TO {role}; SET ROLE {role}; \
             CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY); RESET ROLE",
            database.name()
        ))
        .await;
    let url = database.url().replace("//postgres@", &format!("//{role}@"));
    let arguments = ["setup", "--url", &url, "--slot", database.name(), "--ddl-messages", "--schemas", "s"];
    let said = ends(crate::support::Pelton::new(arguments), 0).await;
    assert!(said.contains("the server refuses: permission denied to create event trigger"), "{said}");
    assert!(said.contains("nothing is lost"), "{said}");
}

#[tokio::test]
async fn a_table_is_added_with_full_and_dropped_with_default() {
    let database = database().await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int); CREATE SCHEMA other").await;
    let run = |more: &[&'static str]| {
        let mut arguments = vec!["--slot", database.name(), "--no-helpers", "--tables", "a"];
        arguments.extend(more);
        setup(&database, &arguments)
    };
    ends(run(&[]), 0).await;
    ends(run(&["--add-table", "b"]), 0).await;
    let published = "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_publication_tables";
    assert_eq!(database.value(published).await, "a b");
    assert_eq!(identities(&database).await, "a:d b:f");
    ends(run(&["--drop-table", "b"]), 0).await;
    assert_eq!(database.value(published).await, "a");
    assert_eq!(identities(&database).await, "a:d b:d");
}
