//! Every built-in type with its edge values, copied and streamed, into a table that is made and into one that was there.

mod cases;
mod guests;

use crate::flows_setup::{Flow, Line};
use crate::support::{Database, Pelton};
use cases::{Cases, TYPES, cases, columns, has_array, printed, rows};

/// Types that Postgres itself lets nobody write.
const NO_INPUT: [&str; 7] = [
    "gtsvector",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_ndistinct",
    "pg_node_tree",
];

/// What sessions of the line have too.
const PINNED: &str = "SET extra_float_digits = 3; SET bytea_output = hex; SET timezone = 'UTC'; SET lc_monetary = 'C'; \
                      SET intervalstyle = postgres; SET datestyle = ISO";

async fn prepare(database: &Database) -> Cases {
    let cases = cases(database).await;
    database.execute(PINNED).await;
    database.execute(TYPES).await;
    database.execute(&format!("CREATE TABLE types (id bigint PRIMARY KEY{})", columns(&cases))).await;
    cases
}

#[tokio::test]
async fn no_built_in_type_is_left_out() {
    let line = Line::new().await;
    prepare(&line.source).await;
    let sql = "SELECT t.typname FROM pg_type t WHERE t.typnamespace = 'pg_catalog'::regnamespace \
               AND t.typtype IN ('b', 'r', 'm') AND t.typcategory <> 'A' \
               AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = 'types'::regclass AND a.atttypid = t.oid) \
               ORDER BY 1";
    let left: Vec<String> = line.source.rows(sql).await.into_iter().flatten().flatten().collect();
    assert_eq!(left, NO_INPUT);
}

/// A source with the table `types` and its rows in `made`, and a destination with an empty `types`.
async fn line() -> (Line, Cases) {
    let line = Line::new().await;
    let cases = prepare(&line.source).await;
    prepare(&line.destination).await;
    line.source(&format!("CREATE TABLE made (id bigint PRIMARY KEY{})", columns(&cases))).await;
    line.source(&rows(&cases)).await;
    (line, cases)
}

/// The way that values take.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Straight,
    EventStore,
    /// From an event store over HTTP.
    Service,
}

/// Runs the manifest's flows until everything is applied.
async fn catch_up(manifest: &str, component: &[u8], way: Way) {
    let run = async |pelton: Pelton| {
        let mut pelton = pelton.file("guest.wasm", component);
        let status = pelton.run().await;
        assert_eq!(status.code(), Some(0), "{}", pelton.stderr());
    };
    let sync = || Pelton::new(["sync", "--until-caught-up"]);
    if way != Way::Service {
        return run(sync().file("pelton.yaml", manifest)).await;
    }
    // One manifest publishes, another one takes what the service of the first one has.
    let (owner, consumers) = manifest.split_once("consumerSchemas:").expect("it has consumers");
    run(sync().file("pelton.yaml", owner)).await;
    let port = crate::http::free_port();
    let connections =
        owner.split_once("dataStores:").expect("it has data stores").0.replace("slug: line\n", "slug: there\n");
    let consumer = format!(
        "{connections}dataStores:\n  - {{ connectionSlug: destination }}\nsyncServices:\n  \
         - {{ manifestSlug: line, url: \"127.0.0.1:{port}\" }}\nconsumerSchemas:{consumers}"
    );
    let serving = Pelton::new(["sync", "--http", &format!("127.0.0.1:{port}")]).file("pelton.yaml", owner);
    let mut serving = crate::http::serving(serving.file("guest.wasm", component)).await;
    run(sync().file("pelton.yaml", consumer)).await;
    crate::http::end(&mut serving).await;
}

/// Copies and streams all values through the flow of this `config`, in one way or another, into a table that was there and one
/// that is made.
async fn arrives(line: &Line, cases: &Cases, config: &str, component: &[u8], way: Way) {
    // The name that guests by hand give to what they publish.
    let flow = Flow::new("t", config).into("types", "createTable: false").into("types_made", "createTable: true");
    let mut manifest = line.manifest(&[flow]);
    if way != Way::Straight {
        manifest =
            manifest.replace("publicSchemas:", "eventStores:\n  - { connectionSlug: destination }\npublicSchemas:");
    }
    let catch_up = || catch_up(&manifest, component, way);
    let same = async || {
        let expected = printed(cases, "types");
        line.assert_same(&expected, &expected).await;
        line.assert_same(&expected, &printed(cases, "types_made")).await;
    };

    line.source("INSERT INTO types SELECT * FROM made").await;
    catch_up().await;
    same().await;

    // A few rows, many at once, rows that are filled by an update, and one that is all cleared.
    let values: Vec<String> = cases
        .iter()
        .flat_map(|(index, case)| {
            let array = has_array(case).then(|| format!("a{index} = made.a{index}"));
            std::iter::once(format!("c{index} = made.c{index}")).chain(array)
        })
        .collect();
    line.source(&format!(
        "CREATE FUNCTION again(shift bigint) RETURNS void LANGUAGE plpgsql AS $$
         DECLARE r made;
         BEGIN
             FOR r IN SELECT * FROM made LOOP
                 r.id := r.id + shift;
                 INSERT INTO types SELECT r.*;
             END LOOP;
         END $$;
         SELECT again(100);
         SELECT again(1000 * n) FROM generate_series(1, 10) AS n;
         INSERT INTO types (id) SELECT id + 100000 FROM made;
         UPDATE types SET {} FROM made WHERE types.id = made.id + 100000;
         INSERT INTO types (id) SELECT id + 200000 + 100 * n FROM made, generate_series(1, 10) AS n;
         BEGIN;
         UPDATE types SET {} FROM made WHERE types.id > 200000 AND made.id = types.id % 100;
         COMMIT",
        values.join(", "),
        values.join(", ")
    ))
    .await;
    catch_up().await;
    same().await;
}

#[tokio::test]
async fn every_type_arrives_as_it_was_copied_or_streamed() {
    let (line, cases) = line().await;
    arrives(&line, &cases, "publicSchemaType: table, table: public.types", b"", Way::Straight).await;
}

#[tokio::test]
async fn every_type_arrives_by_way_of_an_event_store() {
    let (line, cases) = line().await;
    arrives(&line, &cases, "publicSchemaType: table, table: public.types", b"", Way::EventStore).await;
}

#[tokio::test]
async fn every_type_arrives_by_way_of_a_service() {
    let (line, cases) = line().await;
    arrives(&line, &cases, "publicSchemaType: table, table: public.types", b"", Way::Service).await;
}

#[tokio::test]
async fn every_type_arrives_by_statements() {
    let (line, cases) = line().await;
    let columns =
        line.destination.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'types'::regclass AND attnum > 0");
    let columns: usize = columns.await.parse().unwrap();
    let params: Vec<String> = (1..=columns).map(|number| format!("${number}")).collect();
    let flow = Flow::new("t", "publicSchemaType: table, table: public.types").into("types", "");
    let manifest = line.manifest(&[flow]).replace("consumerSchemaType: table", "consumerSchemaType: postgres");
    let statement = format!("sql: \"INSERT INTO types VALUES ({})\"", params.join(", "));
    let manifest = manifest.replace("table: public.types,  }", &format!("{statement} }}"));
    assert!(manifest.contains(&statement), "{manifest}");
    line.source("INSERT INTO types SELECT * FROM made").await;
    line.catch_up(&manifest).await;
    line.source(
        "CREATE TABLE more AS SELECT * FROM types; UPDATE more SET id = id + 100; INSERT INTO types SELECT * FROM more",
    )
    .await;
    line.catch_up(&manifest).await;
    let expected = printed(&cases, "types");
    line.assert_same(&expected, &expected).await;
}

#[tokio::test]
async fn a_table_is_made_with_the_types_of_its_source() {
    let line = Line::new().await;
    prepare(&line.source).await;
    line.destination.execute(TYPES).await;
    line.catch_up(&line.manifest(&[crate::flows_setup::table("types")])).await;
    let types = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute \
                 WHERE attrelid = 'types'::regclass AND attnum > 0";
    // Enums are text in public; what is padded keeps its blanks as text.
    let public = "SELECT attname, CASE
                      WHEN t LIKE 'character(%)' THEN replace(t, 'character(', 'character varying(')
                      WHEN t IN ('bpchar', 'name', 'character varying', 'mood') THEN 'text' ELSE t END
                  FROM (SELECT attname, format_type(atttypid, atttypmod) AS t FROM pg_attribute
                        WHERE attrelid = 'types'::regclass AND attnum > 0) AS c";
    line.assert_same(public, types).await;
}
