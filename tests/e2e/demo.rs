//! `pelton demo`, as a newcomer runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pelton::cli::build::build_component;
use tempfile::TempDir;

use crate::support::Pelton;

/// A demo that keeps all that it makes under a folder of its own, so that what it leaves behind is seen.
fn demo(arguments: &[&str]) -> (Pelton, TempDir) {
    // Short, for the sockets, and open as /tmp is, for the account that runs the servers.
    let folder = tempfile::Builder::new().prefix("pd-").tempdir_in("/tmp").expect("a folder can be made");
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o1777)).expect("it can be opened");
    let pelton = Pelton::new(["demo"].iter().chain(arguments)).env("TMPDIR", folder.path());
    (pelton, folder)
}

fn left_in(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("the folder can be read");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[track_caller]
fn assert_good_end(pelton: &Pelton, flows: usize) {
    let told = pelton.stdout();
    let verdicts = |word: &str| told.lines().filter(|line| line.ends_with(word)).count();
    assert_eq!((verdicts(" equal"), verdicts(" DIFFERS")), (flows, 0), "{told}");
    assert_eq!(
        told.lines().filter(|line| line.contains('→')).count(),
        12,
        "ten orders, their head and a title: {told}"
    );
    assert!(pelton.stderr().contains("rows/s"), "a live line a second");
}

#[tokio::test]
async fn ends_with_both_sides_equal_and_nothing_left() {
    let (mut pelton, folder) = demo(&["--seconds", "2", "--rate", "500"]);
    let status = pelton.run().await;
    assert_eq!(status.code(), Some(0));
    assert_good_end(&pelton, 3);
    assert_eq!(left_in(&folder), [""; 0]);
}

#[tokio::test]
async fn takes_the_orders_through_the_examples_transform() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/orders");
    let built = tempfile::tempdir().unwrap();
    let component = built.path().join("orders.wasm");
    build_component(&example, Some(&component)).unwrap();
    let (mut pelton, folder) = demo(&["--seconds", "3", "--component", component.to_str().unwrap()]);
    let status = pelton.run().await;
    assert_eq!(status.code(), Some(0));
    assert_good_end(&pelton, 4);
    assert!(pelton.stdout().contains("***@example.com"), "{}", pelton.stdout());
    assert_eq!(left_in(&folder), [""; 0]);
}

#[tokio::test]
async fn goes_at_once_when_interrupted() {
    let interrupt = |pelton: &Pelton| pelton.signal("INT");
    for end in [interrupt, Pelton::terminate] {
        let (mut pelton, folder) = demo(&["--seconds", "600"]);
        pelton.start();
        pelton.says("rows/s").await;
        let told = Instant::now();
        end(&pelton);
        let status = pelton.ended().await;
        assert_eq!(status.code(), Some(1));
        assert!(pelton.stderr().contains("interrupted"));
        assert_eq!(left_in(&folder), [""; 0]);
        // Two seconds are what a user should wait; a machine that runs other tests beside this one may need more.
        assert!(told.elapsed() < Duration::from_secs(10), "it took {:?}", told.elapsed());
    }
}

#[tokio::test]
async fn leaves_nothing_behind_when_killed() {
    let (mut pelton, folder) = demo(&["--seconds", "600"]);
    pelton.start();
    pelton.says("rows/s").await;
    pelton.kill().await;
    let killed = Instant::now();
    while !left_in(&folder).is_empty() {
        assert!(killed.elapsed() < Duration::from_secs(60), "{:?} is still there", left_in(&folder));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn keeps_the_servers_up_when_told() {
    let (mut pelton, folder) = demo(&["--seconds", "1", "--keep"]);
    assert_eq!(pelton.run().await.code(), Some(0));
    let told = pelton.stdout();
    let url = told.lines().find_map(|line| line.trim().strip_prefix("WAREHOUSE_URL='")?.strip_suffix('\''));
    let (client, connection) = tokio_postgres::connect(url.expect("its URL"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let rows = client.query_one("SELECT count(*) FROM orders", &[]).await.unwrap().get::<_, i64>(0);
    assert!(rows >= 5_000, "{rows}");
    let stop = told.lines().find_map(|line| line.strip_prefix("Take it all away:   ")).expect("how to stop it");
    assert!(std::process::Command::new("/bin/sh").args(["-c", stop]).status().unwrap().success());
    assert_eq!(left_in(&folder), [""; 0]);
}

#[tokio::test]
async fn says_what_is_wrong_with_a_folder_without_a_server() {
    let (mut pelton, folder) = demo(&["--pg-bin", "/nowhere"]);
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(pelton.stderr().contains("`/nowhere` holds no `postgres`"), "{}", pelton.stderr());
    assert!(pelton.stderr().contains("Hint:"), "{}", pelton.stderr());
    assert_eq!(left_in(&folder), [""; 0]);
}

#[tokio::test]
async fn refuses_a_rate_of_nothing() {
    let (mut pelton, _folder) = demo(&["--rate", "0"]);
    assert_eq!(pelton.run().await.code(), Some(2));
}
