//! Peers that are slow, gone or cut off, more streams than there is room for, and rows as large as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Reading, Services, cursor, encoded, end, free_port, serving};
use crate::events_line::ITEMS;
use crate::support::{Pelton, assert_same, database};

/// Something between both sides that cuts every connection once so many bytes have come back over it.
struct Cutting {
    port: u16,
    cut: Arc<AtomicUsize>,
}

impl Cutting {
    async fn before(port: u16, bytes: usize) -> Cutting {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let cutting = Cutting { port: listener.local_addr().expect("it has an address").port(), cut: Arc::default() };
        let cut = Arc::clone(&cutting.cut);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let cut = Arc::clone(&cut);
                tokio::spawn(async move {
                    let Ok(there) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let (mut from, mut to) = socket.into_split();
                    let (mut back, mut forth) = there.into_split();
                    tokio::spawn(async move { tokio::io::copy(&mut from, &mut forth).await });
                    let copied = tokio::io::copy(&mut (&mut back).take(bytes as u64), &mut to).await;
                    cut.fetch_add(usize::from(copied.is_ok_and(|copied| copied == bytes as u64)), Ordering::Relaxed);
                });
            }
        });
        cutting
    }
}

/// No connection lives for as long as the transaction takes, and the transaction arrives, as a whole.
#[tokio::test]
async fn a_transaction_outlives_any_connection() {
    let services = Services::new(
        "CREATE TABLE items (id int PRIMARY KEY, pad text); CREATE TABLE notes (id int PRIMARY KEY, what text)",
    )
    .await;
    services.publish(&["items", "notes"]).await;
    services
        .source
        .execute(
            "BEGIN; INSERT INTO items SELECT i, repeat('x', 400) FROM generate_series(1, 70000) AS i;
             INSERT INTO notes VALUES (1, ''); COMMIT; BEGIN; INSERT INTO notes VALUES (2, ''); UPDATE items SET pad = 'y' WHERE id = 7; COMMIT",
        )
        .await;
    services.publish(&["items", "notes"]).await;
    let mut owner = serving(services.owner(&["items", "notes"])).await;
    // A fifth of it each time, and no more in one piece than what is written at once.
    let cutting = Cutting::before(services.port, 8 << 20).await;
    let service = services.service().replace(&services.port.to_string(), &cutting.port.to_string());
    let manifest = services.consumer_manifest(super::BOTH, &service);
    let mut consumer = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest);
    consumer.start();
    services.destination.wait_until("to_regclass('public.items') IS NOT NULL").await;
    // As long as it takes: none of its rows, or all of them.
    while !consumer.has_ended() {
        let rows = services.destination.value("SELECT count(*) FROM items").await;
        assert!(rows == "0" || rows == "70000", "{rows} rows are there");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(consumer.ended().await.code(), Some(0), "{}", consumer.stderr());
    assert!(cutting.cut.load(Ordering::Relaxed) >= 3, "it was cut {} times", cutting.cut.load(Ordering::Relaxed));
    services.assert_equal("items").await;
    services.assert_equal("notes").await;
    end(&mut owner).await;
}

/// A reader that was cut off inside a transaction gets the rest of it before anything else, however old.
#[tokio::test]
async fn the_rest_of_a_transaction_comes_first() {
    let services =
        Services::new("CREATE TABLE items (id int PRIMARY KEY); CREATE TABLE notes (id int PRIMARY KEY, what text)")
            .await;
    services.publish(&["items", "notes"]).await;
    let work = "INSERT INTO notes VALUES (100, 'older'); BEGIN; INSERT INTO items SELECT i FROM generate_series(1, 9) AS i; COMMIT";
    services.source.execute(work).await;
    services.publish(&["items", "notes"]).await;
    let position =
        "SELECT epoch || ':' || commit_lsn || ':' || ordinal FROM rejot_events.events WHERE object ->> 'id' = '5'";
    let inside = services.events.value(position).await;
    let mut owner = serving(services.owner(&["items", "notes"])).await;
    let asked = json!({ "cursors": [cursor("items", Some(&inside)), cursor("notes", None)], "inside": inside });
    let mut reading = Reading::open(services.port, &asked).await;
    reading.until("\"type\":\"end\"").await;
    let events = reading.text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let ids: Vec<i64> = events.filter_map(|event| event["object"]["id"].as_i64()).collect();
    assert_eq!(ids, [6, 7, 8, 9, 100]);
    end(&mut owner).await;
}

/// One that reads nothing, inside of a large transaction, keeps no snapshot for long, nor a session for ever; and what a
/// request asked for ends with it.
#[tokio::test]
async fn whoever_does_not_read_holds_nothing() {
    let services = Services::new("CREATE TABLE items (id int PRIMARY KEY, pad text)").await;
    services.publish(&["items"]).await;
    let rows = "INSERT INTO items SELECT i, repeat('x', 1000) FROM generate_series(1, 60000) AS i";
    services.source.execute(rows).await;
    services.publish(&["items"]).await;
    let mut owner = serving(services.owner(&["items"])).await;
    let mut reading = Reading::open(services.port, &json!({ "cursors": [cursor("items", None)] })).await;
    let sessions = |more: &str| {
        format!(
            "(SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pelton http%' AND datname = current_database() AND {more})"
        )
    };
    let stream = sessions("application_name LIKE '%stream' AND backend_xmin IS NOT NULL");
    services.events.wait_until(&format!("{stream} = 1")).await;
    services.events.wait_until(&format!("{} = 0", sessions("backend_xmin IS NOT NULL"))).await;
    assert_eq!(services.events.value(&format!("SELECT {}", sessions("application_name LIKE '%stream'"))).await, "1");
    // It reads on, and gets all of it, in order.
    reading.until("\"type\":\"end\"").await;
    let ids: Vec<usize> = reading
        .text
        .lines()
        .filter_map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            event["object"]["id"].as_u64().map(|id| id as usize)
        })
        .collect();
    assert_eq!(ids, (1..=60_000).collect::<Vec<usize>>());

    // What is being done for somebody who has left is not done to its end.
    let lock = services.events.connect().await;
    lock.batch_execute("BEGIN; LOCK TABLE rejot_events.event IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", services.port)).await.unwrap();
    let cursors = encoded(&json!([cursor("items", None)]).to_string());
    let request = format!("GET /read?cursors={cursors} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let waiting = sessions("application_name = 'pelton http' AND wait_event_type = 'Lock'");
    services.events.wait_until(&format!("{waiting} = 1")).await;
    drop(socket);
    let began = std::time::Instant::now();
    services.events.wait_until(&format!("{waiting} = 0")).await;
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    lock.batch_execute("COMMIT").await.unwrap();
    drop(reading);
    end(&mut owner).await;
}

/// With room for one stream, two that want one each get what is published, again and again.
#[tokio::test]
async fn streams_take_turns_where_there_are_too_few() {
    let services = Services::new(ITEMS).await;
    let address = format!("127.0.0.1:{}", services.port);
    let tables = ["items", "notes"];
    let owner = Pelton::new(["sync", "--http", &address, "--http-streams", "1"])
        .file("pelton.yaml", services.owner_manifest(&tables));
    let mut owner = serving(owner).await;
    let other = database().await;
    let manifest = services.consumer_manifest(&[("items-there", "items", "items")], &services.service());
    let mut first = Pelton::new(["sync"]).file("pelton.yaml", &manifest);
    let of_other = manifest.replace("slug: reports", "slug: others").replace(&services.destination.url(), &other.url());
    let mut second = Pelton::new(["sync"]).file("pelton.yaml", of_other);
    first.start();
    second.start();
    for round in 0..3 {
        services.source.execute(&format!("INSERT INTO items VALUES ({}, 0)", 2000 + round)).await;
        for destination in [&services.destination, &other] {
            destination.wait_until("to_regclass('public.items') IS NOT NULL").await;
            destination.wait_until(&format!("EXISTS (SELECT FROM items WHERE id = {})", 2000 + round)).await;
        }
    }
    assert_same(&services.source, "SELECT * FROM items", &other, "SELECT * FROM items").await;
    for pelton in [&mut first, &mut second] {
        // A turn that ends is nothing that anybody would have to know.
        assert!(!pelton.stderr().contains("trying again in"), "{}", pelton.stderr());
        end(pelton).await;
    }
    end(&mut owner).await;
}

/// A large row is a long line.
#[tokio::test]
async fn a_row_of_many_megabytes_arrives() {
    let services = Services::new("CREATE TABLE items (id int PRIMARY KEY, pad text)").await;
    services.source.execute("INSERT INTO items VALUES (1, repeat('é\"', 12 << 20)), (2, 'small')").await;
    services.publish(&["items"]).await;
    let mut owner = serving(services.owner(&["items"])).await;
    let manifest = services.consumer_manifest(&[("items-there", "items", "items")], &services.service());
    let mut consumer = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest);
    assert_eq!(consumer.run().await.code(), Some(0), "{}", consumer.stderr());
    let sql = "SELECT id, length(pad), md5(pad) FROM items";
    assert_same(&services.source, sql, &services.destination, sql).await;
    end(&mut owner).await;
}

/// What somebody has to mend over there does not end a consumer here, and is shown.
#[tokio::test]
async fn a_consumer_waits_for_what_others_mend() {
    let services = Services::new(ITEMS).await;
    services.publish(&["items"]).await;
    let port = free_port();
    // A proxy that answers for a service which is away, as cheerfully as they come.
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let wrong = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.read(&mut [0; 4096]).await;
                let page = "<html>back soon</html>";
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}", page.len());
                let _ = socket.write_all(answer.as_bytes()).await;
            });
        }
    });
    let service = services.service().replace(&services.port.to_string(), &port.to_string());
    let manifest = services.consumer_manifest(&[("items-there", "items", "items")], &service);
    let mut consumer = Pelton::new(["sync"]).file("pelton.yaml", &manifest);
    consumer.start();
    consumer.says("is no `pelton sync --http`").await;
    consumer.says("trying again in").await;
    // Whoever waits for the end of a run is told at once.
    let mut run = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest.replace("reports", "others"));
    assert_eq!(run.run().await.code(), Some(1), "{}", run.stderr());
    wrong.abort();
    let _ = wrong.await;
    let address = format!("127.0.0.1:{port}");
    let serve = || Pelton::new(["sync", "--http", &address]).file("pelton.yaml", services.owner_manifest(&["items"]));
    let mut owner = serving(serve()).await;
    services.destination.wait_until("to_regclass('public.items') IS NOT NULL").await;
    services.destination.wait_until("(SELECT count(*) FROM items) = 1000").await;
    let list = async |manifest: &str| {
        let mut list = Pelton::new(["consumers", "list", "--json"]).file("pelton.yaml", manifest);
        list.run().await;
        serde_json::from_str::<serde_json::Value>(&list.stdout()).unwrap_or_else(|_| panic!("{}", list.stderr()))
    };
    let live = list(&manifest).await;
    assert_eq!((&live[0]["state"], &live[0]["problem"]), (&json!("live"), &json!(null)), "{live}");
    end(&mut owner).await;
    services
        .destination
        .wait_until("(SELECT retries AND problem LIKE '%can''t be read%' FROM rejot_data_store.consumer)")
        .await;
    let mut owner = serving(serve()).await;
    services.destination.wait_until("(SELECT problem IS NULL FROM rejot_data_store.consumer)").await;
    end(&mut consumer).await;
    end(&mut owner).await;
}
