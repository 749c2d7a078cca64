//! Publications: made, and brought to what is wished by ALTER alone.

use super::{ends, setup, state};
use crate::support::{Database, database};

async fn published(database: &Database) -> String {
    // 14 has no columns and filters.
    let sql = "SELECT string_agg(schemaname || '.' || tablename || coalesce(' ' || (to_jsonb(t)->>'rowfilter'), ''), ', ' \
               ORDER BY schemaname, tablename) FROM pg_publication_tables t WHERE pubname = 'pelton'";
    database.value(sql).await
}

async fn oid(database: &Database) -> String {
    database.value("SELECT oid FROM pg_publication WHERE pubname = 'pelton'").await
}

async fn version(database: &Database) -> u32 {
    database.value("SELECT current_setting('server_version_num')").await.parse::<u32>().expect("a number") / 10_000
}

#[tokio::test]
async fn column_lists_and_row_filters_are_published_and_changed_without_dropping_the_publication() {
    let database = database().await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY, x int, y text); CREATE TABLE b (id int PRIMARY KEY)").await;
    let run = |tables: &'static str| setup(&database, &["--slot", database.name(), "--no-helpers", "--tables", tables]);
    if version(&database).await < 15 {
        let said = ends(run("a(id) WHERE (id > 1)"), 1).await;
        assert!(said.contains("knows no column lists and row filters"), "{said}");
        return;
    }
    ends(run("a(id, x) WHERE (id > 1 AND id <> 7), b"), 0).await;
    assert_eq!(published(&database).await, "public.a ((id > 1) AND (id <> 7)), public.b");
    let (made, before) = (oid(&database).await, state(&database).await);
    let again = ends(run("a(id, x) WHERE (id > 1 and id<>7), b"), 0).await;
    assert!(again.contains("0 changed"), "{again}");
    assert_eq!(state(&database).await, before);
    ends(run("a(id) WHERE (id > 2)"), 0).await;
    // b was not named, and stays.
    assert_eq!(published(&database).await, "public.a (id > 2), public.b");
    ends(run("a"), 0).await;
    assert_eq!(published(&database).await, "public.a, public.b");
    assert_eq!(oid(&database).await, made);
    // What the server refuses of a filter is said.
    let said = ends(run("a WHERE (nothing > 2)"), 1).await;
    assert!(said.contains("column \"nothing\" does not exist"), "{said}");
}

#[tokio::test]
async fn whole_schemas_are_published_and_later_tables_with_the_next_run() {
    let database = database().await;
    let tables =
        "CREATE SCHEMA \"S;\"; CREATE TABLE \"S;\".\"A\" (id int PRIMARY KEY); CREATE TABLE out (id int PRIMARY KEY);
        CREATE TABLE \"S;\".parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
        CREATE TABLE out_1 PARTITION OF \"S;\".parts FOR VALUES FROM (0) TO (9);
        CREATE VIEW \"S;\".v AS SELECT 1 AS x; CREATE UNLOGGED TABLE \"S;\".u (id int PRIMARY KEY)";
    database.execute(tables).await;
    let run = || setup(&database, &["--slot", database.name(), "--no-helpers", "--schemas", "S;"]);
    ends(run(), 0).await;
    assert_eq!(published(&database).await, "S;.A, S;.parts");
    database.execute("CREATE TABLE \"S;\".later (id int PRIMARY KEY)").await;
    ends(run(), 0).await;
    assert_eq!(published(&database).await, "S;.A, S;.later, S;.parts");
}

#[tokio::test]
async fn somebody_elses_publication_is_altered_only_when_it_is_named() {
    let database = database().await;
    let made = "CREATE TABLE a (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE PUBLICATION pelton WITH (publish = 'insert')";
    database.execute(made).await;
    let run = |more: &[&'static str]| {
        let mut arguments = vec!["--slot", database.name(), "--no-helpers", "--tables", "a"];
        arguments.extend(more);
        setup(&database, &arguments)
    };
    let before = state(&database).await;
    let said = ends(run(&[]), 1).await;
    assert_eq!(state(&database).await, before);
    assert!(said.contains("somebody else made it: name it with --publication") && said.contains("ADD TABLE"), "{said}");
    let made = oid(&database).await;
    ends(run(&["--publication", "pelton"]), 0).await;
    assert_eq!(published(&database).await, "public.a");
    let all = "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot FROM pg_publication";
    assert_eq!(database.value(all).await, "t");
    assert_eq!(oid(&database).await, made);
}

#[tokio::test]
async fn a_table_that_can_not_be_published_is_an_error_when_it_was_named() {
    let database = database().await;
    database.execute("CREATE UNLOGGED TABLE u (id int PRIMARY KEY); CREATE TABLE a (id int PRIMARY KEY)").await;
    let said =
        ends(setup(&database, &["--slot", database.name(), "--no-helpers", "--tables", "u, a, absent"]), 1).await;
    assert!(
        said.contains("table public.u is unlogged") && said.contains("table public.absent does not exist"),
        "{said}"
    );
    assert_eq!(published(&database).await, "public.a");
}
