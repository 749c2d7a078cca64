//! What each path answers, and what it refuses.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Answer, Services, ask, cursor, encoded, end, serving};
use crate::events_line::ITEMS;

const TABLES: &[&str] = &["items", "notes"];

async fn published(rows: &str) -> (Services, crate::support::Pelton) {
    let services = Services::new(ITEMS).await;
    services.source.execute("DELETE FROM items WHERE id > 3").await;
    services.publish(TABLES).await;
    services.source.execute(rows).await;
    services.publish(TABLES).await;
    let owner = serving(services.owner(TABLES)).await;
    (services, owner)
}

async fn read(services: &Services, cursors: &Value, limit: usize) -> Answer {
    services.ask(&format!("GET /read?cursors={}&limit={limit}&truncates=true", encoded(&cursors.to_string()))).await
}

#[tokio::test]
async fn every_path_answers() {
    let (services, mut owner) = published(
        "BEGIN; UPDATE items SET v = -1 WHERE id = 1; DELETE FROM items WHERE id = 2; INSERT INTO notes VALUES (1, 'é'); COMMIT;
         TRUNCATE notes",
    )
    .await;
    let root = services.ask("GET /").await;
    assert_eq!((root.status, &root.json()["service"]), (200, &json!("pelton")));
    assert!(root.head.contains("content-type: application/json"), "{}", root.head);

    let status = services.ask("GET /status").await.json();
    assert_eq!(status["status"], "ok", "{status}");
    assert_eq!(status["eventStores"][0]["slug"], "events");
    assert_eq!(status["eventStores"][0]["streams"][0]["publicSchema"], "items");

    let schemas = services.ask("GET /public-schemas").await.json();
    assert_eq!(schemas[0]["manifestSlug"], "shop", "{schemas}");
    assert_eq!((&schemas[0]["name"], &schemas[0]["version"]), (&json!("items"), &json!({ "major": 1, "minor": 0 })));
    assert_eq!(schemas[1]["columns"][0]["name"], "id");

    // The owner consumes nothing itself.
    assert_eq!(services.ask("GET /data-store/cursors").await.json(), json!([]));

    let page = read(&services, &json!([cursor("items", None), cursor("notes", None)]), 1000).await.json();
    let of_shop = |name: &str| json!({ "name": name, "version": { "major": 1, "minor": 0 } });
    let object = |id: i32, v: i32| json!({ "id": id, "v": v, "pad": "xxxxxxxxxx", "doc": { "a": null } });
    let operation = |kind: &str, name: &str| json!({ "type": kind, "sourceManifestSlug": "shop", "sourcePublicSchema": of_shop(name) });
    let with = |mut operation: Value, field: &str, value: Value| {
        operation[field] = value;
        operation
    };
    let operations: Vec<&Value> =
        page.as_array().unwrap().iter().map(|transaction| &transaction["operations"]).collect();
    assert_eq!(operations.len(), 5, "{page}");
    // Rows that were there before stand alone; what was done together is told together, in its order.
    assert_eq!(*operations[0], json!([with(operation("insert", "items"), "object", object(1, 1))]));
    assert_eq!(
        *operations[3],
        json!([
            with(operation("update", "items"), "object", object(1, -1)),
            with(operation("delete", "items"), "objectKeys", json!({ "id": 2 })),
            with(operation("insert", "notes"), "object", json!({ "id": 1, "what": "é" })),
        ])
    );
    assert_eq!(*operations[4], json!([operation("truncate", "notes")]));
    let ids: Vec<&str> = page.as_array().unwrap().iter().map(|one| one["transactionId"].as_str().unwrap()).collect();
    assert!(ids.is_sorted() && ids.iter().all(|id| id.len() <= 30), "{ids:?}");
    // An id that is handed back is where the next page begins; so is a position as it is printed elsewhere.
    let next = read(&services, &json!([cursor("items", Some(ids[2])), cursor("notes", Some(ids[2]))]), 1).await.json();
    assert_eq!(next, json!([page[3]]));
    let last = services.ask("GET /status").await.json()["eventStores"][0]["streams"][0]["last"].clone();
    assert_eq!(read(&services, &json!([cursor("items", last.as_str())]), 9).await.json(), json!([]));
    end(&mut owner).await;
}

/// Five transactions of a thousand rows, many small ones, and one that is larger than any page: all of them come, once, in
/// their order, and whole but for the largest.
#[tokio::test]
async fn pages_lose_nothing_and_cut_no_transaction() {
    let services =
        Services::new("CREATE TABLE items (id int PRIMARY KEY, v int); CREATE TABLE notes (id int PRIMARY KEY)").await;
    services.publish(TABLES).await;
    for n in 0..5 {
        let rows = format!("INSERT INTO items SELECT i, {n} FROM generate_series({n} * 1000, {n} * 1000 + 999) AS i");
        services.source.execute(&format!("BEGIN; {rows}; INSERT INTO notes VALUES ({n}); COMMIT")).await;
    }
    let small: Vec<String> = (0..300).map(|n| format!("INSERT INTO items VALUES ({}, {n});", 10_000 + n)).collect();
    services
        .source
        .execute(&format!(
            "{} INSERT INTO notes VALUES (6)",
            small.join("COMMIT; BEGIN;").replacen("INSERT", "BEGIN; INSERT", 1) + "COMMIT;"
        ))
        .await;
    services
        .source
        .execute("INSERT INTO items SELECT i, 9 FROM generate_series(20000, 44999) AS i; INSERT INTO notes VALUES (7)")
        .await;
    services.publish(TABLES).await;
    let mut owner = serving(services.owner(TABLES)).await;
    for limit in [7, 500, 1000] {
        let (mut items, mut notes) = (None::<String>, None::<String>);
        let mut found: Vec<(i64, bool)> = Vec::new();
        let (mut sizes, mut parts) = (Vec::new(), 0);
        loop {
            let page =
                read(&services, &json!([cursor("items", items.as_deref()), cursor("notes", notes.as_deref())]), limit)
                    .await
                    .json();
            let page = page.as_array().unwrap();
            if page.is_empty() {
                break;
            }
            for transaction in page {
                let operations = transaction["operations"].as_array().unwrap();
                sizes.push(operations.len());
                parts += usize::from(transaction["partial"] == true);
                for operation in operations {
                    let is_item = operation["sourcePublicSchema"]["name"] == "items";
                    found.push((operation["object"]["id"].as_i64().unwrap(), is_item));
                    // As the docs say: the cursor of what was read moves.
                    let id = transaction["transactionId"].as_str().map(str::to_owned);
                    if is_item { items = id } else { notes = id }
                }
            }
        }
        assert_eq!(sizes[..5], [1001; 5], "limit {limit}");
        assert!(sizes[5..305].iter().all(|size| *size == 1), "limit {limit}");
        // Whatever is in front of it on its page, a transaction that fits into none comes in the same parts.
        assert_eq!((parts, &sizes[sizes.len() - 3..]), (2, &[10_000, 10_000, 5_001][..]), "limit {limit}");
        let ids: Vec<i64> = found.iter().filter(|(_, is_item)| *is_item).map(|(id, _)| *id).collect();
        let expected: Vec<i64> = (0..5000).chain(10_000..10_300).chain(20_000..45_000).collect();
        assert!(ids == expected, "limit {limit}: {} items", ids.len());
        assert_eq!(found.len() - ids.len(), 7);
    }
    end(&mut owner).await;
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let (services, mut owner) = published("INSERT INTO notes VALUES (1, 'one')").await;
    let port = services.port;
    let check = async |request: &str, body: &str, status: u16, said: &str| {
        let answer = ask(port, request, "Content-Type: application/json\r\n", body).await;
        assert_eq!(answer.status, status, "{request}: {}", answer.body);
        let text = answer.json();
        let told = format!("{} | {}", text["error"].as_str().unwrap(), text["hint"].as_str().unwrap_or_default());
        assert!(told.contains(said), "{request}: {told}");
    };
    let cursors = |text: &str| format!("GET /read?cursors={}", encoded(text));
    let good = json!([cursor("items", None)]).to_string();
    check("GET /reed", "", 404, "there is nothing at this path | there are /, /status").await;
    check("POST /read", "", 405, "it takes GET").await;
    check("DELETE /stream", "", 405, "it takes GET, POST").await;
    check("GET /stream", "", 400, "there are no `cursors`").await;
    check("GET /read?truncates=1", "", 400, "`truncates` is neither true nor false").await;
    check(&cursors("{"), "", 400, "`cursors` is no JSON").await;
    check(&cursors("{}"), "", 400, "`cursors` is no list").await;
    check(&cursors("[{}]"), "", 400, "a cursor names no manifest").await;
    check(&cursors(&good.replace("null", "\"x\"")), "", 400, "a `transactionId` that this service never gave").await;
    check(&cursors(&good.replace("\"major\":1", "\"major\":\"1\"")), "", 400, "names no major version").await;
    check(
        &cursors(&json!([cursor("items", None), cursor("items", None)]).to_string()),
        "",
        400,
        "two cursors of `items@1`",
    )
    .await;
    let stream = |text: &str| format!("{{\"cursors\": {text}}}");
    let itemz = stream(&good.replace("items", "itemz"));
    check("POST /stream", &itemz, 404, "shop/itemz@1 is not published here | did you mean shop/items@1?").await;
    let two = stream(&good.replace("\"major\":1", "\"major\":2"));
    check("POST /stream", &two, 404, "did you mean shop/items@1?").await;
    let foreign = stream(&good.replace("null", "null,\"origin\":\"2b7e1516-28ae-d2a6-abf7-158809cf4f3c\""));
    check("POST /stream", &foreign, 409, "of another stream than shop/items@1").await;
    check("POST /stream", &format!("{{\"cursors\": {good}, \"inside\": 7}}"), 400, "`inside` is no position").await;
    for limit in ["0", "1001", "-1", "x", "1e3"] {
        check(&format!("{}&limit={limit}", cursors(&good)), "", 400, "`limit` is not a whole number from 1 to 1000")
            .await;
    }
    check("POST /stream", "", 400, "the body is no JSON").await;
    check("POST /stream", "{\"cursors\": []}", 400, "there are no cursors").await;
    check("POST /stream", &"x".repeat((1 << 20) + 1), 413, "the body is larger than").await;
    check("GET /streams?manifest=shopp", "", 404, "nothing of manifest `shopp` | did you mean `shop`?").await;
    check("POST /consumers", "{}", 400, "`manifest` is no name").await;
    let consumer = json!({ "consumer": "c", "sourceManifest": "shop", "publicSchema": "items", "majorVersion": 1, "cursor": "1:0/1:0" });
    check(
        "POST /consumers",
        &json!({ "manifest": "m", "consumers": [consumer, consumer] }).to_string(),
        400,
        "`c` is there twice",
    )
    .await;
    check(
        "POST /events/before",
        &json!({ "cursor": cursor("items", None), "time": "noon-ish" }).to_string(),
        400,
        "`time` is no time",
    )
    .await;
    check("DELETE /consumers?manifest=m", "", 400, "it takes `manifest` and `consumer`").await;
    // A name of somebody else's, as a page in a browser may use it to reach what listens on this machine.
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.write_all(b"GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    // What is no HTTP, and a head that is too large, end a connection and nothing else.
    for junk in [
        b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
        format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)).into_bytes(),
    ] {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = socket.write_all(&junk).await;
        let _ = socket.shutdown().await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    }
    assert_eq!(services.ask("GET /").await.status, 200);
    end(&mut owner).await;
}

/// A stream tells shapes, events and its end as lines, begins behind its cursors, and goes on with what comes.
#[tokio::test]
async fn a_stream_tells_lines_as_they_are_published() {
    let (services, mut owner) = published("INSERT INTO notes VALUES (1, 'one'), (2, 'two')").await;
    let cursors = json!([cursor("items", None), cursor("notes", None)]).to_string();
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", services.port)).await.unwrap();
    let request = format!("GET /stream?cursors={} HTTP/1.0\r\n\r\n", encoded(&cursors));
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let lines = async |socket: &mut tokio::net::TcpStream, text: &mut String, until: &str| {
        let reading = async {
            let mut piece = [0; 4096];
            while !text.contains(until) {
                let count = socket.read(&mut piece).await.unwrap();
                assert!(count > 0, "it ended: {text}");
                text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
            }
        };
        tokio::time::timeout(crate::support::PATIENCE, reading).await.expect("it comes");
    };
    lines(&mut socket, &mut text, "{\"type\":\"end\"}").await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/x-ndjson"), "{head}");
    let told: Vec<Value> =
        body.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<String> =
        told.iter().map(|line| format!("{}{}", line["type"].as_str().unwrap(), line["schema"])).collect();
    assert_eq!(kinds, ["shape0", "event0", "event0", "event0", "shape1", "event1", "event1", "endnull"]);
    assert_eq!(told[5]["object"], json!({ "id": 1, "what": "one" }));
    services.source.execute("INSERT INTO notes VALUES (3, 'three')").await;
    lines(&mut socket, &mut text, "\"three\"").await;
    // Asked to stop, it ends.
    end(&mut owner).await;
    assert!(socket.read_to_end(&mut Vec::new()).await.is_ok());
}
