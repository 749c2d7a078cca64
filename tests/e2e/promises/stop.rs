//! Whatever a process waits for, it ends at once when it is asked; what it had begun is gone with it.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::items;
use super::pair::Pair;
use crate::support::{PATIENCE, Pelton, database, database_on, server};

/// Far less than any time-out that it could be waiting for, far more than a machine that is busy needs.
const AT_ONCE: Duration = Duration::from_secs(8);

async fn ends_at_once(pelton: &mut Pelton) {
    let asked = Instant::now();
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    assert!(asked.elapsed() < AT_ONCE, "it took {:?}\n{}", asked.elapsed(), pelton.stderr());
}

/// A pair whose destination has all of our tables, and what it is started with now.
async fn prepared() -> (Pair, Pelton) {
    let pair = items::pair().await;
    pair.catch_up().await.unwrap();
    let pelton = pair.sync();
    (pair, pelton)
}

#[tokio::test]
async fn it_ends_at_once_while_a_destination_says_nothing() {
    let (_pair, mut pelton) = prepared().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    pelton.set("DESTINATION_URL", Some(&format!("postgres://nobody@127.0.0.1:{port}/silent")));
    pelton.start();
    let _connection = silent.accept().await.expect("it connects");
    ends_at_once(&mut pelton).await;
}

#[tokio::test]
async fn it_ends_at_once_while_somebody_else_locks_our_tables() {
    let (pair, mut pelton) = prepared().await;
    let other = pair.destination.connect().await;
    other.batch_execute("BEGIN; LOCK TABLE rejot_data_store.flow").await.expect("a lock");
    pelton.start();
    let waits = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                 AND application_name LIKE 'pelton%')";
    pair.destination.wait_until(waits).await;
    ends_at_once(&mut pelton).await;
    other.batch_execute("ROLLBACK").await.expect("the lock is let go");
    pair.catch_up().await.unwrap();
}

/// Passes on what comes, in both directions, until a client asks for the stream: that never arrives. Returns its port,
/// and what tells when it was asked.
async fn deaf_to_the_start(server: u16) -> (u16, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (asked, heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", server)).await.expect("the server");
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut bytes = vec![0; 1 << 16];
                while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                    if bytes[..count].windows(17).any(|part| part == b"START_REPLICATION") {
                        asked.send(()).ok();
                        std::future::pending::<()>().await;
                    }
                    if to_server.write_all(&bytes[..count]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, heard)
}

#[tokio::test]
async fn it_ends_at_once_while_the_stream_is_being_started() {
    let (pair, mut pelton) = prepared().await;
    let slot = format!(
        "SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) || ' ' || slot_name || ' '
             || confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{}'",
        pair.slot()
    );
    let before = pair.source.value(&slot).await;
    let url = pair.source.url();
    let server = url.split(':').nth(2).and_then(|rest| rest.split('/').next()).expect("a port");
    let (port, mut asked) = deaf_to_the_start(server.parse().expect("a number")).await;
    pelton.set("SOURCE_URL", Some(&url.replace(&format!(":{server}/"), &format!(":{port}/"))));
    pelton.start();
    tokio::time::timeout(PATIENCE, asked.recv()).await.expect("it asks for the stream");
    ends_at_once(&mut pelton).await;
    assert_eq!(pair.source.value(&slot).await, before);
    pair.catch_up().await.unwrap();
}

#[tokio::test]
async fn it_ends_at_once_while_the_slot_is_to_be_made() {
    // A slot waits for the transactions that are running, so other tests would wait with it.
    let server = server().await;
    let source = database_on(&server).await;
    let pair = Pair::of(source, database().await, items::TABLES, items::FLOWS).await;
    let other = pair.source.connect().await;
    other.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.expect("a transaction");
    let mut pelton = pair.sync();
    pelton.start();
    pelton.says("making the replication slot").await;
    ends_at_once(&mut pelton).await;
    other.batch_execute("ROLLBACK").await.expect("it ends");
    pair.catch_up().await.unwrap();
}
