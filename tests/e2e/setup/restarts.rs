//! Settings are raised, never lowered; a restart is waited for; providers have knobs of their own.

use pelton::postgres::throwaway::{Server, Shutdown};

use super::{ends, setup, state};
use crate::support::{PATIENCE, Pelton, database, database_on, server_with};

async fn small() -> Server {
    let server = server_with(|builder| {
        builder.setting("wal_level", "replica").setting("max_replication_slots", "2").setting("max_wal_senders", "3")
    });
    server.await
}

#[tokio::test]
async fn settings_are_raised_and_the_restart_is_named() {
    let server = small().await;
    let database = database_on(&server).await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY)").await;
    let said = ends(setup(&database, &[]), 1).await;
    for text in
        ["wal_level = logical", "max_replication_slots = 5", "max_wal_senders = 5", "systemctl", "docker restart"]
    {
        assert!(said.contains(text), "{text}: {said}");
    }
    let before = state(&database).await;
    let said = ends(setup(&database, &[]), 1).await;
    assert!(said.contains("waits for a restart") && said.contains("0 changed"), "{said}");
    assert_eq!(state(&database).await, before);
    // A script has the statements that refuse a transaction before it, and the slot behind it.
    let database = database_on(&server).await;
    let script = ends(setup(&database, &["--print"]), 0).await;
    let at = |text: &str| script.find(text).unwrap_or_else(|| panic!("{text}: {script}"));
    assert!(at("CREATE PUBLICATION") < at("pg_create_logical_replication_slot"));
}

#[tokio::test]
async fn setup_waits_for_the_restart_and_goes_on_with_the_slot() {
    let mut server = small().await;
    let mut database = database_on(&server).await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY)").await;
    let mut pelton = setup(&database, &["--wait=60", "--slot", "the_slot"]);
    pelton.start();
    database.wait_until("EXISTS (SELECT FROM pg_publication)").await;
    server.restart(Shutdown::Fast).await.expect("the server restarts");
    assert_eq!(pelton.ended().await.code(), Some(0), "{}{}", pelton.stdout(), pelton.stderr());
    database.reconnect().await;
    assert_eq!(
        database.value("SELECT plugin FROM pg_replication_slots WHERE slot_name = 'the_slot'").await,
        "pgoutput"
    );
    assert_eq!(database.value("SHOW max_wal_senders").await, "5");
    let mut late = setup(&database, &["--wait"]);
    assert_eq!(late.run().await.code(), Some(0), "nothing is waited for when all is right: {}", late.stdout());
}

#[tokio::test]
async fn the_role_waits_while_an_administrator_turns_the_knob() {
    let mut server = small().await;
    let mut database = database_on(&server).await;
    database.execute("CREATE ROLE pelton LOGIN REPLICATION; CREATE TABLE a (id int PRIMARY KEY)").await;
    let admin = ["--role", "pelton", "--as-admin", "--slot", "the_slot"];
    let said = ends(setup(&database, &admin), 0).await;
    assert!(said.contains("the server has to be restarted") && said.contains("left to `pelton setup`"), "{said}");
    let url = database.url().replace("//postgres@", "//pelton@");
    let mut pelton = Pelton::new(["setup", "--wait", "--url", &url, "--slot", "the_slot"]);
    pelton.start();
    let begun = std::time::Instant::now();
    while !pelton.stdout().contains("waiting up to 600 s until wal_level is logical") {
        assert!(begun.elapsed() < PATIENCE, "{}{}", pelton.stdout(), pelton.stderr());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    server.restart(Shutdown::Fast).await.expect("the server restarts");
    assert_eq!(pelton.ended().await.code(), Some(0), "{}{}", pelton.stdout(), pelton.stderr());
    database.reconnect().await;
    assert_eq!(database.value("SELECT slot_name FROM pg_replication_slots").await, "the_slot");
}

#[tokio::test]
async fn a_server_that_is_not_restarted_in_time_is_an_error() {
    let server = small().await;
    let database = database_on(&server).await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY)").await;
    let said = ends(setup(&database, &["--wait=1"]), 1).await;
    assert!(said.contains("was not restarted within 1 s") && said.contains("run `pelton setup` again"), "{said}");
}

#[tokio::test]
async fn what_is_more_than_enough_is_never_lowered() {
    let database = database().await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY)").await;
    let said = ends(setup(&database, &["--slot", database.name()]), 0).await;
    assert!(said.contains("max_replication_slots is 200") && said.contains("max_wal_senders is 100"), "{said}");
}

#[tokio::test]
async fn a_providers_knob_is_named_instead_of_alter_system() {
    let server = server_with(|builder| builder.setting("wal_level", "replica").setting("rds.logical_replication", "0"));
    let server = server.await;
    let database = database_on(&server).await;
    database.execute("CREATE ROLE rds_replication; CREATE TABLE a (id int PRIMARY KEY)").await;
    let said = ends(setup(&database, &["--role", "pelton"]), 1).await;
    assert!(said.contains("rds.logical_replication = 1 in the instance's DB parameter group"), "{said}");
    let set = "SELECT count(*)::text FROM pg_file_settings WHERE sourcefile ~ 'auto'";
    assert_eq!(database.value(set).await, "0");
    // There membership stands for the attribute.
    let rights = "SELECT rolreplication::text || pg_has_role('pelton', 'rds_replication', 'member') FROM pg_roles \
                  WHERE rolname = 'pelton'";
    assert_eq!(database.value(rights).await, "falsetrue");
}

#[tokio::test]
async fn neon_gets_a_password_only_over_tls_that_was_checked() {
    let server = server_with(|builder| builder.setting("neon.tenant_id", "x")).await;
    let database = database_on(&server).await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY)").await;
    let pelton = setup(&database, &["--role", "pelton", "--password-env", "P"]).env("P", "plainly");
    let said = ends(pelton, 1).await;
    assert!(said.contains("sslmode=verify-full") && !said.contains("plainly"), "{said}");
    assert!(!server.log().contains("plainly"));
}

#[tokio::test]
async fn the_variables_of_libpq_name_the_database_too() {
    let database = database().await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY)").await;
    let url = database.url();
    let port = url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port").to_owned();
    let pelton = Pelton::new(["setup", "--no-helpers", "--slot", database.name()])
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port)
        .env("PGUSER", "postgres")
        .env("PGDATABASE", database.name())
        .env("PGSSLMODE", "disable");
    let said = ends(pelton, 0).await;
    assert!(said.contains("sslmode      disable") && said.contains("slotName:"), "{said}");
}
