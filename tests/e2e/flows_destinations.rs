//! Several destinations of one source.

use tokio::net::{TcpListener, TcpStream};

use crate::flows_setup::{Line, table};

/// The manifest of `t` into the line's destination and of `u` into `url`.
fn into_two(line: &Line, url: &str) -> String {
    let second = format!("  - {{ slug: second, config: {{ connectionType: postgres, url: \"{url}\" }} }}\ndataStores:");
    let manifest = line.manifest(&[table("t"), table("u")]);
    let manifest = manifest.replace("dataStores:", &second).replace(
        "  - { connectionSlug: destination }",
        "  - { connectionSlug: destination }\n  - { connectionSlug: second }",
    );
    let (flows, last) = manifest.rsplit_once("destinationDataStoreSlug: destination").unwrap();
    format!("{flows}destinationDataStoreSlug: second{last}")
}

async fn line() -> Line {
    let line = Line::new().await;
    line.source("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t VALUES (0)")
        .await;
    line
}

/// While a destination can't be reached the others go on over one stream, however often it is tried.
#[tokio::test]
async fn a_destination_that_is_away_does_not_disturb_the_others() {
    let line = line().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let mut pelton =
        line.follow(&into_two(&line, &format!("postgres://nobody@127.0.0.1:{port}/nowhere?sslmode=disable")));
    pelton.start();
    pelton.says("streaming").await;
    for n in 1..=50 {
        line.source(&format!("INSERT INTO t VALUES ({n})")).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    line.destination.wait_until("(SELECT count(*) FROM t) = 51").await;
    assert_eq!(pelton.stderr().matches("streaming").count(), 1, "{}", pelton.stderr());
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

/// One that comes back is taken in again.
#[tokio::test]
async fn a_destination_that_comes_back_is_taken_in_again() {
    let line = line().await;
    let other = crate::support::database().await;
    let url = other.url();
    let (before, rest) = url.split_once("127.0.0.1:").expect("it listens there");
    let (port, name) = rest.split_once('/').unwrap();
    let relay = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut pelton = line.follow(&into_two(&line, &format!("{before}{relay}/{name}")));
    pelton.start();
    pelton.says("streaming").await;
    line.source("INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)").await;
    line.destination.wait_until("(SELECT count(*) FROM t) = 2").await;
    let (listener, server) = (TcpListener::bind(relay).await.unwrap(), format!("127.0.0.1:{port}"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    pelton.says("made `rejot_data_store`").await;
    line.source("INSERT INTO u VALUES (2)").await;
    for _ in 0..600 {
        if other.value("SELECT to_regclass('public.u') IS NOT NULL").await == "t" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    other.wait_until("(SELECT count(*) FROM u) = 2").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

/// Two names for one database would take the flows from each other for ever.
#[tokio::test]
async fn two_names_for_one_database_are_refused() {
    let line = line().await;
    let said = line.stop(&into_two(&line, &line.destination.url().replace("127.0.0.1", "localhost"))).await;
    assert!(said.contains("destinations `destination` and `second` are the same database"), "{said}");
    assert!(said.contains("let the consumers of `second` name `destination`"), "{said}");
    line.assert_equal(&["t"]).await;
}
