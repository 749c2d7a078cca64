//! The command itself: servers that can't be reached, what is printed, and where plans are written.

use std::fs;

use pelton::lsn::Lsn;
use pelton::postgres::replication::{ReplicationStream, StreamOptions};
use pelton::postgres::throwaway::{Authentication, Shutdown};
use serde_json::Value;

use crate::support::{Database, Pelton, database, database_on, server_with};

/// A manifest of one flow, from `public.t` to `public.t`.
pub fn manifest(source: &str, destination: &str, slot: &str) -> String {
    format!(
        "slug: case
manifestVersion: 0
connections:
  - {{ slug: shop, config: {{ connectionType: postgres, url: \"{source}\" }} }}
  - {{ slug: warehouse, config: {{ connectionType: postgres, url: \"{destination}\" }} }}
dataStores:
  - {{ connectionSlug: shop, config: {{ connectionType: postgres, slotName: {slot}, publicationName: pelton }} }}
  - {{ connectionSlug: warehouse }}
publicSchemas:
  - name: t
    version: {{ major: 1, minor: 0 }}
    source: {{ dataStoreSlug: shop }}
    config: {{ publicSchemaType: table, table: public.t }}
consumerSchemas:
  - name: t
    sourceManifestSlug: case
    publicSchema: {{ name: t, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: public.t, createTable: true }}
"
    )
}

/// Runs `pelton doctor --json` and returns its exit code and what it printed.
pub async fn doctor(manifest: &str) -> (i32, Value) {
    let mut pelton = Pelton::new(["doctor", "--json"]).file("pelton.yaml", manifest);
    let status = pelton.run().await;
    assert!(!pelton.stdout().contains("s3cret") && !pelton.stderr().contains("s3cret"));
    let said = serde_json::from_str(&pelton.stdout()).unwrap_or_else(|error| panic!("{error}: {}", pelton.stderr()));
    (status.code().expect("an exit code"), said)
}

/// Returns the findings but for advice, as `rule, place`.
fn findings(said: &Value) -> Vec<String> {
    let list = said["findings"].as_array().expect("a list").iter().filter(|finding| finding["severity"] != "advice");
    list.map(|finding| format!("{}, {}", finding["rule"].as_str().unwrap(), finding["place"].as_str().unwrap()))
        .collect()
}

async fn pair() -> (Database, Database) {
    let (source, destination) = (database().await, database().await);
    source.execute("CREATE TABLE t (id int PRIMARY KEY)").await;
    (source, destination)
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_a_finding_and_the_others_are_looked_at() {
    let (source, destination) = pair().await;
    let locked = server_with(|builder| builder.authentication(Authentication::Scram("right".into()))).await;
    let locked = database_on(&locked).await;
    let unknown_role = format!("nobody_{}", source.name());
    let cases = [
        ("postgres://postgres@127.0.0.1:1/x".to_owned(), "connection-unreachable", "nothing listens there"),
        ("postgres://postgres@no-such-host.invalid/x".to_owned(), "connection-unreachable", "typing error"),
        (locked.url().replace(":right@", ":s3cret@"), "connection-password", "check user and password"),
        (locked.url().replace(":right@", "@"), "connection-password", "set the connection's password"),
        (source.url().replace(source.name(), "no_such_database"), "connection-database", "CREATE DATABASE"),
        (source.url().replace("postgres@", &format!("{unknown_role}@")), "connection-role", "may log in"),
        (source.url() + "?sslmode=require", "connection-tls", "sslmode"),
    ];
    for (url, rule, hint) in cases {
        let (code, said) = doctor(&manifest(&url, &destination.url(), source.name())).await;
        assert_eq!((code, findings(&said)), (1, vec![format!("{rule}, source shop")]), "{said:#}");
        assert!(said["findings"][0]["mends"].to_string().contains(hint), "{said:#}");
        let reached = |at: usize| said["servers"][at]["reached"].as_bool();
        assert_eq!((reached(0), reached(1)), (Some(false), Some(true)), "{said:#}");
        assert!(said["right"].to_string().contains("destination warehouse"), "{said:#}");
    }
    let nowhere = "postgres://postgres@127.0.0.1:1/x";
    let (code, said) = doctor(&manifest(&source.url(), nowhere, source.name())).await;
    assert_eq!((code, findings(&said)), (1, vec!["connection-unreachable, destination warehouse".to_owned()]));
    let (_, said) = doctor(&manifest(nowhere, &nowhere.replace("/x", "/y"), source.name())).await;
    assert_eq!(findings(&said).len(), 2, "{said:#}");
}

#[tokio::test]
async fn a_role_that_may_not_connect_is_told_which_grant_it_lacks() {
    let (source, destination) = pair().await;
    let role = format!("r_{}", source.name());
    source
        .execute(&format!("CREATE ROLE {role} LOGIN; REVOKE CONNECT ON DATABASE \"{}\" FROM PUBLIC", source.name()))
        .await;
    let url = source.url().replace("postgres@", &format!("{role}@"));
    let (code, said) = doctor(&manifest(&url, &destination.url(), source.name())).await;
    assert_eq!((code, findings(&said)), (1, vec!["database-connect, source shop".to_owned()]), "{said:#}");
    source.execute(&format!("GRANT CONNECT ON DATABASE \"{}\" TO {role}", source.name())).await;
    let (_, said) = doctor(&manifest(&url, &destination.url(), source.name())).await;
    assert!(!findings(&said).contains(&"database-connect, source shop".to_owned()), "{said:#}");
}

#[tokio::test]
async fn people_read_the_worst_first_and_what_mends_it() {
    let (source, destination) = pair().await;
    source.execute("ALTER TABLE t REPLICA IDENTITY NOTHING").await;
    destination.execute("CREATE TABLE t (id text NOT NULL, more int NOT NULL)").await;
    let text = manifest(&source.url(), &destination.url(), source.name());
    let mut pelton = Pelton::new(["doctor", "--fix-plan", "plan.sql"]).file("pelton.yaml", &text);
    assert_eq!(pelton.run().await.code(), Some(1));
    let said = pelton.stdout();
    let at = |part: &str| said.find(part).unwrap_or_else(|| panic!("`{part}` was not said:\n{said}"));
    assert!(
        at("Error [replica-identity] source shop, table public.t: table public.t has REPLICA IDENTITY NOTHING")
            < at("Advice [")
    );
    assert!(
        at("Mend (SQL, as an administrator): ALTER TABLE \"public\".\"t\" REPLICA IDENTITY DEFAULT") < at("Advice [")
    );
    at("  Why: ");
    at("source shop: PostgreSQL ");
    at("2 errors, 0 warnings, 4 pieces");
    // A script for each database.
    let plan = |name: &str| fs::read_to_string(pelton.folder().join(name)).unwrap_or_default();
    assert!(plan("plan.shop.sql").contains("REPLICA IDENTITY DEFAULT;\n"), "{}", plan("plan.shop.sql"));
    assert!(
        plan("plan.warehouse.sql").contains("ALTER COLUMN \"more\" DROP NOT NULL;\n"),
        "{}",
        plan("plan.warehouse.sql")
    );
    assert_eq!(plan("plan.sql"), "");
    assert!(pelton.stderr().contains("plan.shop.sql: mends source shop"), "{}", pelton.stderr());
}

#[tokio::test]
async fn a_plan_with_nothing_in_it_is_a_script_all_the_same() {
    let (source, destination) = pair().await;
    source.execute("CREATE PUBLICATION pelton FOR TABLE t").await;
    let text = manifest(&source.url(), &destination.url(), source.name());
    let mut pelton = Pelton::new(["doctor", "--fix-plan", "plan.sql"]).file("pelton.yaml", &text);
    assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stdout());
    let plan = fs::read_to_string(pelton.folder().join("plan.sql")).expect("a plan");
    assert_eq!(plan, "-- Manifest case: there is nothing that SQL could mend.\n");
}

#[tokio::test]
async fn texts_of_no_known_encoding_are_an_error() {
    let (source, destination) = pair().await;
    let name = format!("{}_ascii", source.name());
    source.execute(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")).await;
    let url = source.url().replace(source.name(), &name);
    let (_, said) = doctor(&manifest(&url, &destination.url(), source.name())).await;
    assert_eq!(findings(&said), ["encoding, source shop", "table-missing, source shop, table public.t"], "{said:#}");
    source.execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

#[tokio::test]
async fn a_standby_can_be_read_from_since_16_and_never_written() {
    let destination = database().await;
    let mut server = server_with(|builder| builder).await;
    let source = database_on(&server).await;
    source.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION pelton FOR TABLE t").await;
    server.stop(Shutdown::Fast).await.expect("the server stops");
    fs::write(server.folder().join("data/standby.signal"), "").expect("a file");
    server.start().await.expect("the server starts as a standby");
    let (_, said) = doctor(&manifest(&source.url(), &destination.url(), source.name())).await;
    let expected: &[&str] = if server.major() < 16 { &["standby, source shop"] } else { &[] };
    assert_eq!(findings(&said), expected, "{said:#}");
    let (code, said) = doctor(
        &manifest(&source.url(), &source.url(), source.name())
            .replace("table: public.t, createTable", "table: public.u, createTable"),
    )
    .await;
    assert!(findings(&said).contains(&"read-only, destination warehouse".to_owned()), "{said:#}");
    assert_eq!(code, 1);
}

#[tokio::test]
async fn another_program_that_reads_the_slot_is_named() {
    let (source, destination) = pair().await;
    let slot = source.name();
    source.execute("CREATE PUBLICATION pelton FOR TABLE t").await;
    source.execute(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    let connection = pelton::manifest::PostgresConnection::from_url(&source.url()).expect("a URL");
    let mut options = StreamOptions::new(slot, "pelton", Lsn::ZERO);
    for (name, expected) in
        [("somebody else", vec![format!("slot-reader, source shop, slot {slot}")]), ("pelton x", Vec::new())]
    {
        options.application_name = name.to_owned();
        let stream = ReplicationStream::start(&connection, options.clone()).await.expect("a stream");
        let (_, said) = doctor(&manifest(&source.url(), &destination.url(), slot)).await;
        assert_eq!(findings(&said), expected, "{said:#}");
        stream.close().await.expect("the stream ends");
        source.wait_until(&format!("NOT (SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}')")).await;
    }
}

#[tokio::test]
async fn a_component_that_cannot_be_loaded_is_a_finding_beside_the_others() {
    let (source, destination) = pair().await;
    let wasm = "publicSchemaType: wasm, component: no.wasm";
    let text = manifest(&source.url(), &destination.url(), source.name())
        .replace("publicSchemaType: table, table: public.t", wasm);
    let (code, said) = doctor(&text).await;
    assert_eq!(code, 1);
    let place = said["findings"][0]["place"].as_str().unwrap();
    assert!(said["findings"][0]["rule"] == "component" && place.ends_with("no.wasm"), "{said:#}");
    assert_eq!(said["servers"][0]["reached"], true);
}
