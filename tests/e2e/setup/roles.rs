//! The role: made hardened, with the rights that it needs and no others.

use super::{ODD, ends, setup, state};
use crate::support::{Pelton, database, database_on, server_with};
use pelton::postgres::throwaway::Authentication;

const PASSWORD: &str = r#"it's \ "quoted" $1 :x"#;

/// A server that asks for passwords, and a database with odd names in it.
async fn guarded() -> (pelton::postgres::throwaway::Server, crate::support::Database) {
    let server = server_with(|builder| builder.authentication(Authentication::Scram("admin".to_owned()))).await;
    let database = database_on(&server).await;
    let tables = r#"
        CREATE SCHEMA "Sales ; drop"; CREATE ROLE maker; GRANT ALL ON SCHEMA "Sales ; drop" TO maker;
        CREATE TABLE "Sales ; drop"."Ünï" (id int PRIMARY KEY, label text);
        CREATE TABLE public."Order" (id int PRIMARY KEY);
        SET ROLE maker; CREATE TABLE "Sales ; drop".other (id int PRIMARY KEY); RESET ROLE"#;
    database.execute(tables).await;
    (server, database)
}

fn as_admin(server: &pelton::postgres::throwaway::Server, database: &str, arguments: &[&str]) -> Pelton {
    let url = format!("postgres://postgres@127.0.0.1:{}/{database}", server.port());
    Pelton::new(["setup", "--url", &url].into_iter().chain(arguments.iter().copied())).env("PGPASSWORD", "admin")
}

#[tokio::test]
async fn a_role_is_made_that_can_do_what_it_must_and_a_second_run_changes_nothing() {
    let (server, database) = guarded().await;
    let arguments = ["--role", ODD, "--password-env", "ROLE_PASSWORD", "--publication", "pub", "--all-tables"];
    let run = || as_admin(&server, database.name(), &arguments).env("ROLE_PASSWORD", PASSWORD);
    let first = ends(run(), 0).await;
    assert!(first.contains("changed") && !first.contains(PASSWORD), "{first}");
    let attributes = "SELECT concat_ws(' ', rolcanlogin, rolreplication, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, \
                      rolpassword LIKE 'SCRAM-SHA-256$%') FROM pg_authid WHERE rolname = 'Sales ; drop'";
    assert_eq!(database.value(attributes).await, "t t f f f f t");

    let before = state(&database).await;
    let second = ends(run(), 0).await;
    assert_eq!(state(&database).await, before);
    assert!(!second.contains("changed   ") && second.contains("0 changed"), "{second}");

    // It logs in with that password, over TCP, and reads; tables to come included; it writes nothing.
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user(ODD).password(PASSWORD).dbname(database.name());
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("the role logs in");
    tokio::spawn(connection);
    database.execute(r#"SET ROLE maker; CREATE TABLE "Sales ; drop".later (id int); RESET ROLE"#).await;
    let read = r#"SELECT * FROM "Sales ; drop"."Ünï", "Sales ; drop".other, "Order", "Sales ; drop".later"#;
    client.batch_execute(read).await.expect("it reads");
    let write = client.batch_execute(r#"INSERT INTO "Order" VALUES (1)"#).await.expect_err("it writes nothing");
    assert!(write.as_db_error().is_some_and(|error| error.code().code() == "42501"), "{write}");
    let published =
        "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_publication_tables WHERE pubname = 'pub'";
    assert_eq!(database.value(published).await, "Order other Ünï");
}

#[tokio::test]
async fn a_password_is_changed_only_when_it_is_another_one() {
    let (server, database) = guarded().await;
    let run = |password: &str| {
        let file = ["--role", "pelton", "--password-file", "secret", "--tables", r#"public."Order""#];
        as_admin(&server, database.name(), &file).file("secret", format!("{password}\n"))
    };
    ends(run("one"), 0).await;
    assert!(ends(run("one"), 0).await.contains("already right  database"));
    let second = ends(run("two"), 0).await;
    assert!(second.contains("its password, as a SCRAM verifier") && second.contains("1 changed"), "{second}");
    // One who isn't a superuser finds out by logging in.
    database
        .execute("CREATE ROLE clerk LOGIN CREATEROLE PASSWORD 'clerk'; GRANT pelton TO clerk WITH ADMIN OPTION")
        .await;
    let url = format!("postgres://clerk@127.0.0.1:{}/{}", server.port(), database.name());
    let clerk = Pelton::new([
        "setup",
        "--url",
        &url,
        "--role",
        "pelton",
        "--password-file",
        "secret",
        "--tables",
        r#"public."Order""#,
    ])
    .env("PGPASSWORD", "clerk")
    .file("secret", "two");
    let said = ends(clerk, 0).await;
    assert!(said.contains("has the password that was named"), "{said}");
}

#[tokio::test]
async fn a_role_that_is_there_gets_what_it_lacks_and_keeps_what_it_has() {
    let database = database().await;
    let role = format!("r_{}", database.name());
    database
        .execute(&format!(
            "CREATE TABLE a (id int PRIMARY KEY); CREATE ROLE {role} NOLOGIN CREATEDB CONNECTION LIMIT 7"
        ))
        .await;
    let said = ends(setup(&database, &["--role", &role, "--slot", database.name(), "--tables", "a"]), 0).await;
    assert!(said.contains("advice") && said.contains("it has CREATEDB"), "{said}");
    let attributes = format!(
        "SELECT concat_ws(' ', rolcanlogin, rolreplication, rolcreatedb, rolconnlimit) FROM pg_roles WHERE rolname = '{role}'"
    );
    assert_eq!(database.value(&attributes).await, "t t t 7");
    database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_group_owns_the_tables_on_request_and_the_role_looks_after_the_publication_itself() {
    let (server, database) = guarded().await;
    let tables = r#""Sales ; drop".other, public."Order""#;
    let arguments = ["--role", "pelton", "--password-env", "P", "--replication-group", "Owners", "--tables", tables];
    ends(as_admin(&server, database.name(), &arguments).env("P", "p"), 0).await;
    let before = state(&database).await;
    ends(as_admin(&server, database.name(), &arguments).env("P", "p"), 0).await;
    assert_eq!(state(&database).await, before);
    let owners =
        "SELECT string_agg(DISTINCT relowner::regrole::text, ' ') FROM pg_class WHERE relname IN ('other', 'Order')";
    assert_eq!(database.value(owners).await, "\"Owners\"");
    // The former owner still writes, and the role adds a table to its own publication.
    database.execute(r#"SET ROLE maker; INSERT INTO "Sales ; drop".other VALUES (1); RESET ROLE"#).await;
    database.execute(r#"SET ROLE pelton; ALTER PUBLICATION pelton DROP TABLE "Order"; RESET ROLE"#).await;
    let url = format!("postgres://pelton@127.0.0.1:{}/{}", server.port(), database.name());
    let said = ends(Pelton::new(["setup", "--url", &url, "--tables", tables]).env("PGPASSWORD", "p"), 0).await;
    assert!(said.contains("1 changed"), "{said}");
}
