//! Throwaway servers, and the support that all other tests stand on.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pelton::postgres::throwaway::{Authentication, Server, Shutdown};

use crate::support::{self, Pelton, assert_same};

fn lives(pid: u32) -> bool {
    let looked = Command::new("/bin/sh").args(["-c", &format!("kill -0 {pid}")]).stderr(Stdio::null()).status();
    looked.expect("a shell starts").success()
}

async fn gone(server_pid: u32, folder: &Path) {
    let begun = Instant::now();
    while lives(server_pid) || folder.exists() {
        assert!(begun.elapsed() < support::PATIENCE, "pid {server_pid} or {} is still there", folder.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn every_database_is_fresh() {
    let (a, b) = (support::database().await, support::database().await);
    a.execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2)").await;
    assert_ne!(a.name(), b.name());
    assert_eq!(b.value("SELECT to_regclass('t') IS NULL").await, "t");
    assert_eq!(b.value("SHOW wal_level").await, "logical");
    let (client, _connection) = tokio_postgres::connect(&b.url(), tokio_postgres::NoTls).await.unwrap();
    drop(client);
}

/// A shared server that is warm already gives a database at once: this is what most tests pay.
#[tokio::test]
async fn a_further_database_takes_no_second() {
    support::database().await;
    let begun = Instant::now();
    let database = support::database().await;
    let made = begun.elapsed();
    drop(database);
    eprintln!("made in {made:?}, dropped in {:?}", begun.elapsed() - made);
    assert!(made < Duration::from_secs(1), "{made:?}");
}

#[tokio::test]
async fn a_database_goes_with_its_slots() {
    let server = support::server().await;
    let database = support::database_on(&server).await;
    let slot = format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", database.name());
    database.execute(&slot).await;
    drop(database);
    let client = server.connect("postgres").await.unwrap();
    let left = client.query_one("SELECT count(*) FROM pg_replication_slots", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
    let left = client.query_one("SELECT count(*) FROM pg_database WHERE datname LIKE 't\\_%'", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn comparisons_find_what_differs() {
    let (a, b) = (support::database().await, support::database().await);
    a.execute("CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'x'), (2, NULL)").await;
    b.execute("CREATE TABLE u (id int, v text); INSERT INTO u VALUES (2, NULL), (1, 'x')").await;
    assert_same(&a, "SELECT * FROM t", &b, "SELECT * FROM u").await;
    b.execute("UPDATE u SET v = '' WHERE id = 2").await;
    let outcome = tokio::spawn(async move { assert_same(&a, "SELECT * FROM t", &b, "SELECT * FROM u").await }).await;
    let message = outcome.unwrap_err().into_panic().downcast::<String>().unwrap();
    assert!(message.contains("- 2 | NULL\n+ 2 | \n"), "{message}");
}

#[tokio::test]
async fn waits_for_a_condition() {
    let database = support::database().await;
    database.execute("CREATE TABLE t (id int)").await;
    let writer = database.connect().await;
    let write = async { writer.batch_execute("SELECT pg_sleep(0.05); INSERT INTO t VALUES (1)").await.unwrap() };
    tokio::join!(write, database.wait_until("(SELECT count(*) FROM t) = 1"));
}

#[tokio::test]
async fn a_dropped_server_leaves_nothing_behind() {
    let server = support::server().await;
    let (pid, folder) = (server.pid(), server.folder().to_owned());
    assert!(lives(pid) && folder.exists());
    drop(server);
    assert!(!lives(pid) && !folder.exists());
}

#[tokio::test]
async fn a_panic_leaves_nothing_behind() {
    let server = support::server().await;
    let (pid, folder) = (server.pid(), server.folder().to_owned());
    let outcome = tokio::spawn(async move { panic!("with {}", server.port()) }).await;
    assert!(outcome.is_err());
    gone(pid, &folder).await;
}

#[tokio::test]
async fn stops_and_starts_on_its_port() {
    let mut server = support::server().await;
    let port = server.port();
    let database = support::database_on(&server).await;
    database.execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)").await;
    for how in [Shutdown::Fast, Shutdown::Immediate, Shutdown::Kill] {
        let before = server.pid();
        server.restart(how).await.unwrap();
        assert_ne!(server.pid(), before);
        assert_eq!(server.port(), port);
        let client = server.connect(database.name()).await.unwrap();
        assert_eq!(client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 1, "after {how:?}");
    }
    server.set("wal_level", "replica").unwrap();
    server.restart(Shutdown::Fast).await.unwrap();
    let client = server.connect("postgres").await.unwrap();
    assert_eq!(client.query_one("SHOW wal_level", &[]).await.unwrap().get::<_, String>(0), "replica");
}

#[tokio::test]
async fn a_running_server_is_not_copied() {
    let server = support::server().await;
    let error = Server::builder().standby_of(&server).start().await.unwrap_err();
    assert!(error.to_string().ends_with("can't be copied while its server runs"), "{error}");
    assert!(error.hint().unwrap().contains("stop the primary"));
}

#[tokio::test]
async fn says_why_a_server_does_not_start() {
    let mut server = support::server().await;
    server.set("wal_level", "nonsense").unwrap();
    let error = server.restart(Shutdown::Fast).await.unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
    assert!(server.log().contains("nonsense"));
}

#[tokio::test]
async fn holds_passwords_against_what_clients_send() {
    for authentication in [Authentication::Scram("right".into()), Authentication::Md5("right".into())] {
        let server = support::server_with(|builder| builder.authentication(authentication.clone())).await;
        let login = |url: String| async move { tokio_postgres::connect(&url, tokio_postgres::NoTls).await.map(drop) };
        login(server.url("postgres")).await.unwrap();
        let error = login(server.url("postgres").replace(":right@", ":wrong@")).await.unwrap_err();
        let code = error.as_db_error().unwrap().code().code().to_owned();
        assert_eq!(code, "28P01", "{authentication:?}");
    }
}

#[tokio::test]
async fn offers_tls() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, private) = (key.cert.pem(), key.signing_key.serialize_pem());
    let server = support::server_with(|builder| {
        builder.tls(&certificate, private).client_authority(&certificate).hba("hostnossl all all all reject")
    });
    let server = server.await;
    let client = server.connect("postgres").await.unwrap();
    assert_eq!(client.query_one("SHOW ssl", &[]).await.unwrap().get::<_, String>(0), "on");
    let refused = tokio_postgres::connect(&server.url("postgres"), tokio_postgres::NoTls).await.map(drop).unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("pg_hba.conf rejects"), "{refused:?}");
}

#[tokio::test]
async fn runs_the_program_and_hears_it() {
    let mut pelton = Pelton::new(["no-such-command"]).file("a/b.txt", "x").env("PELTON_LOG", "info");
    assert!(pelton.folder().join("a/b.txt").exists());
    let status = pelton.run().await;
    assert!(status.code().is_some());
    pelton.says("").await;
    assert!(pelton.pid().is_none());
}

/// Not a test of its own: the process that [`nothing_is_left_behind_after_sigkill`] kills.
#[tokio::test]
#[ignore = "started by another test"]
async fn a_process_with_a_server_that_waits_to_be_killed() {
    let Ok(file) = std::env::var("PELTON_TEST_TELL") else { return };
    let server = support::server().await;
    std::fs::write(&file, format!("{} {}", server.pid(), server.folder().display())).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_is_left_behind_after_sigkill() {
    let told = tempfile::NamedTempFile::new().unwrap();
    let name = "throwaway::a_process_with_a_server_that_waits_to_be_killed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--ignored"])
        .env("PELTON_TEST_TELL", told.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let (pid, folder) = loop {
        if let Some((pid, folder)) = std::fs::read_to_string(told.path()).unwrap().split_once(' ') {
            break (pid.parse().unwrap(), folder.to_owned());
        }
        assert!(begun.elapsed() < support::PATIENCE, "the child did not start its server");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(lives(pid));
    child.kill().unwrap();
    child.wait().unwrap();
    gone(pid, Path::new(&folder)).await;
}

#[tokio::test]
async fn a_server_that_is_left_is_stopped_as_it_says() {
    let server = Server::builder().start().await.unwrap();
    let (pid, folder) = (server.pid(), server.folder().to_owned());
    let stop = server.leave().unwrap();
    assert!(lives(pid) && folder.exists());
    assert!(Command::new("/bin/sh").args(["-c", &stop]).status().unwrap().success());
    gone(pid, &folder).await;
}
