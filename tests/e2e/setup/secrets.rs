//! Passwords: never in an argument, in what is said, in the server's log; and what a signal leaves.

use std::time::Duration;

use pelton::postgres::throwaway::Authentication;

use super::{ends, setup};
use crate::support::{Pelton, database, database_on, server_with};

#[tokio::test]
async fn no_password_is_in_what_is_said_nor_in_the_servers_log() {
    let server = server_with(|builder| {
        builder
            .authentication(Authentication::Scram("admin-secret".to_owned()))
            .setting("log_statement", "all")
            .setting("log_min_duration_statement", "0")
            .setting("log_min_messages", "debug1")
    })
    .await;
    let database = database_on(&server).await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE ROLE clerk LOGIN CREATEROLE PASSWORD 'clerk'").await;
    let mut all = String::new();
    for (user, password, role) in
        [("postgres", "admin-secret", "pelton"), ("clerk", "clerk", "other"), ("clerk", "clerk", "postgres")]
    {
        for print in [true, false] {
            let url = format!("postgres://{user}@127.0.0.1:{}/{}", server.port(), database.name());
            let arguments =
                ["setup", "--url", &url, "--role", role, "--password-env", "P", "--tables", "a", "--slot", "s1"];
            let mut pelton = Pelton::new(arguments.into_iter().chain(print.then_some("--print")))
                .env("PGPASSWORD", password)
                .env("PELTON_LOG", "trace")
                .env("P", "role-secret's");
            pelton.run().await;
            all += &format!("{}{}", pelton.stdout(), pelton.stderr());
        }
    }
    assert!(all.contains("its password, as a SCRAM verifier") && all.contains("\\password \"other\""), "{all}");
    let log = server.log();
    assert!(log.contains("CREATE ROLE \"pelton\"") && log.contains("ALTER ROLE \"other\" PASSWORD"), "{log}");
    for secret in ["role-secret", "admin-secret"] {
        assert!(!all.contains(secret), "said: {all}");
        assert!(!log.lines().any(|line| line.contains(secret)), "logged: {log}");
    }
    // Where a superuser sets it, not even the verifier is.
    assert!(!log.contains("ALTER ROLE \"pelton\" PASSWORD"), "{log}");
    assert!(!all.contains("SCRAM-SHA-256$"), "{all}");
}

#[tokio::test]
async fn a_password_on_the_command_line_is_refused() {
    let pelton = Pelton::new(["setup", "--url", "postgres://postgres:hidden@127.0.0.1:1/x"]);
    let said = ends(pelton, 1).await;
    assert!(said.contains("which everybody on this machine can see") && said.contains("PGPASSWORD"), "{said}");
    assert!(!said.contains("hidden"), "{said}");
}

#[tokio::test]
async fn a_signal_while_the_slot_is_made_leaves_no_slot() {
    let database = database().await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY)").await;
    let other = database.connect().await;
    other.batch_execute("BEGIN; INSERT INTO a VALUES (1)").await.expect("a transaction is open");
    let mut pelton = setup(&database, &["--slot", database.name(), "--no-helpers"]);
    pelton.start();
    let making = "EXISTS (SELECT FROM pg_stat_activity WHERE query ~ 'pg_create_logical_replication_slot' \
                  AND application_name = 'pelton setup' AND wait_event_type = 'Lock')";
    database.wait_until(making).await;
    pelton.signal("INT");
    assert_eq!(pelton.ended().await.code(), Some(1), "{}", pelton.stderr());
    assert!(pelton.stderr().contains("stopped; nothing is half done"), "{}", pelton.stderr());
    other.batch_execute("ROLLBACK").await.expect("it ends");
    let gone = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pelton setup')";
    database.wait_until(gone).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let slots = format!("SELECT count(*)::text FROM pg_replication_slots WHERE slot_name = '{}'", database.name());
    assert_eq!(database.value(&slots).await, "0");
}

#[tokio::test]
async fn a_signal_while_a_table_is_waited_for_leaves_everything_as_it_was() {
    let database = database().await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int)").await;
    let before = super::state(&database).await;
    let other = database.connect().await;
    other.batch_execute("BEGIN; LOCK TABLE b").await.expect("a transaction is open");
    let role = format!("r_{}", database.name());
    let arguments = ["--role", &role, "--slot", database.name(), "--no-helpers", "--replica-identity", "keyless"];
    let mut pelton = setup(&database, &arguments);
    pelton.start();
    let waiting = "EXISTS (SELECT FROM pg_stat_activity WHERE query ~ 'REPLICA IDENTITY' \
                   AND application_name = 'pelton setup' AND wait_event_type = 'Lock')";
    database.wait_until(waiting).await;
    pelton.signal("TERM");
    assert_eq!(pelton.ended().await.code(), Some(1), "{}", pelton.stderr());
    other.batch_execute("ROLLBACK").await.expect("it ends");
    database.wait_until("NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pelton setup')").await;
    let after = super::state(&database).await;
    assert_eq!(after.replace(&role, ""), before, "the role that was being made is gone too");
}
