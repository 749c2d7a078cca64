//! From a manifest: a role for each side, and then everything runs as those roles.

use pelton::postgres::throwaway::Authentication;

use super::{ends, setup, state};
use crate::support::{Database, Pelton, assert_same, database, database_on, server_with};

fn manifest(port: u16, source: &Database, destination: &Database) -> String {
    format!(
        r#"slug: shop
manifestVersion: 0
connections:
  - {{ slug: shop, config: {{ connectionType: postgres, host: 127.0.0.1, port: {port}, database: {}, user: '"Reader"', password: "${{READER}}" }} }}
  - {{ slug: warehouse, config: {{ connectionType: postgres, host: 127.0.0.1, port: {port}, database: {}, user: writer, password: "${{WRITER}}" }} }}
dataStores:
  - connectionSlug: shop
    config: {{ connectionType: postgres, slotName: shop_slot, publicationName: shop_pub }}
  - {{ connectionSlug: warehouse }}
publicSchemas:
  - name: orders
    version: {{ major: 1, minor: 0 }}
    source: {{ dataStoreSlug: shop }}
    config: {{ publicSchemaType: table, table: '"Sales ; drop"."Order"' }}
consumerSchemas:
  - name: to-orders
    sourceManifestSlug: shop
    publicSchema: {{ name: orders, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: public.orders, createTable: true }}
"#,
        source.name(),
        destination.name()
    )
}

#[tokio::test]
async fn both_sides_are_prepared_and_a_sync_runs_as_their_roles() {
    let server = server_with(|builder| builder.authentication(Authentication::Scram("admin".to_owned()))).await;
    let (source, destination) = (database_on(&server).await, database_on(&server).await);
    source
        .execute(r#"CREATE SCHEMA "Sales ; drop"; CREATE TABLE "Sales ; drop"."Order" (id int PRIMARY KEY, label text); INSERT INTO "Sales ; drop"."Order" VALUES (1, 'x')"#)
        .await;
    destination.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let text = manifest(server.port(), &source, &destination);
    let run = |arguments: &[&'static str], admin: bool| {
        let pelton = Pelton::new(arguments.iter().copied())
            .file("pelton.yaml", &text)
            .env("READER", r#"re'ad\er"#)
            .env("WRITER", "writer");
        let url = format!("postgres://postgres:admin@127.0.0.1:{}/postgres", server.port());
        if admin { pelton.env("PELTON_ADMIN_URL", url) } else { pelton }
    };
    let said = ends(run(&["setup"], true), 0).await;
    assert!(said.contains("source shop") && said.contains("destination warehouse"), "{said}");
    let (before, there) = (state(&source).await, state(&destination).await);
    let said = ends(run(&["setup"], true), 0).await;
    assert!(said.contains("0 changed"), "{said}");
    assert_eq!((state(&source).await, state(&destination).await), (before, there));
    // Without the administrator nothing is left to do either.
    ends(run(&["setup"], false), 0).await;
    let attributes = "SELECT string_agg(rolname || ':' || rolreplication || rolsuper, ' ' ORDER BY rolname) FROM pg_roles \
                      WHERE rolname IN ('\"Reader\"', 'writer')";
    assert_eq!(source.value(attributes).await, "\"Reader\":truefalse writer:falsefalse");
    ends(run(&["doctor"], false), 0).await;
    ends(run(&["sync", "--until-caught-up"], false), 0).await;
    assert_same(&source, r#"SELECT * FROM "Sales ; drop"."Order""#, &destination, "SELECT * FROM orders").await;
}

#[tokio::test]
async fn an_administrator_of_another_server_is_refused() {
    let (source, destination) = (database().await, database().await);
    let text = manifest(1, &source, &destination);
    let pelton = Pelton::new(["setup", "--admin-url", "postgres://postgres@db.example.com/postgres"])
        .file("pelton.yaml", &text)
        .env("READER", "r")
        .env("WRITER", "w");
    let said = ends(pelton, 1).await;
    assert!(said.contains("db.example.com:5432, and no connection of the manifest does"), "{said}");
}

#[tokio::test]
async fn the_fragment_that_is_printed_is_part_of_a_manifest() {
    let database = database().await;
    database.execute(r#"CREATE SCHEMA "S: #"; CREATE TABLE "S: #"."Ünï ""x""" (id int PRIMARY KEY)"#).await;
    let table = r#""S: #"."Ünï ""x""""#;
    let mut pelton = setup(&database, &["--slot", database.name(), "--publication", "pub", "--tables", table]);
    assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stdout());
    let said = pelton.stdout();
    let fragment =
        said.split("For the manifest:\n\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a fragment");
    let rest = r#"
  - { connectionSlug: other }
publicSchemas:
  - name: t
    version: { major: 1, minor: 0 }
    source: { dataStoreSlug: source }
    config: { publicSchemaType: table, table: '"S: #"."Ünï ""x"""' }
consumerSchemas:
  - name: to-t
    sourceManifestSlug: pasted
    publicSchema: { name: t, majorVersion: 1 }
    config: { consumerSchemaType: table, destinationDataStoreSlug: other, table: public.t, createTable: true }
"#;
    let other = "connections:\n  - { slug: other, config: { connectionType: postgres, url: postgres://u@h/d } }";
    let text = format!("slug: pasted\nmanifestVersion: 0\n{}{rest}", fragment.replacen("connections:", other, 1));
    let run =
        |command: &'static str| Pelton::new([command]).file("pelton.yaml", &text).env("PELTON_SOURCE_PASSWORD", "x");
    ends(run("check"), 0).await;
    // And says what was prepared: of the source nothing is missing.
    let said = ends(
        Pelton::new(["setup", "--connection", "source"]).file("pelton.yaml", &text).env("PELTON_SOURCE_PASSWORD", "x"),
        0,
    )
    .await;
    assert!(said.contains("0 changed"), "{said}");
}

#[tokio::test]
async fn an_event_store_gets_its_schema() {
    let server = server_with(|builder| builder).await;
    let database = database_on(&server).await;
    let text = format!(
        "slug: s\nmanifestVersion: 0\nconnections:\n  - {{ slug: events, config: {{ connectionType: postgres, host: 127.0.0.1, \
         port: {}, database: {}, user: keeper }} }}\neventStores:\n  - {{ connectionSlug: events }}\n",
        server.port(),
        database.name()
    );
    let run = || {
        Pelton::new(["setup", "--admin-url", &format!("postgres://postgres@127.0.0.1:{}/postgres", server.port())])
            .file("pelton.yaml", &text)
    };
    ends(run(), 0).await;
    let owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'rejot_events'";
    assert_eq!(database.value(owner).await, "keeper");
    let before = state(&database).await;
    ends(run(), 0).await;
    assert_eq!(state(&database).await, before);
}
