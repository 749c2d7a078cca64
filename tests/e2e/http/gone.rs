//! What retention has removed is told to readers whom nobody waits for.

use serde_json::{Value, json};

use super::{Reading, Services, ask, cursor, encoded, end, post, serving};
use crate::support::Pelton;

const TABLES: &[&str] = &["items"];

async fn prune(services: &Services) {
    let mut pelton =
        Pelton::new(["events", "prune", "--max-age", "0s"]).file("pelton.yaml", services.owner_manifest(TABLES));
    assert_eq!(pelton.run().await.code(), Some(0), "{}{}", pelton.stdout(), pelton.stderr());
}

async fn page(services: &Services, id: Option<&str>) -> (u16, Value) {
    let cursors = encoded(&json!([cursor("items", id)]).to_string());
    let answer = ask(services.port, &format!("GET /read?cursors={cursors}&limit=40"), "", "").await;
    (answer.status, answer.json())
}

fn last_id(page: &Value) -> String {
    page.as_array().and_then(|page| page.last()).expect("a transaction")["transactionId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn readers_are_told_what_retention_has_taken() {
    let services = Services::new(
        "CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items SELECT i, 0 FROM generate_series(1, 100) AS i",
    )
    .await;
    services.publish(TABLES).await;
    let mut owner = serving(services.owner(TABLES)).await;
    let read = last_id(&page(&services, None).await.1);
    services.source.execute("DELETE FROM items WHERE id = 1; UPDATE items SET v = 1 WHERE id = 2").await;
    services.events.wait_until("(SELECT count(*) FROM rejot_events.events) = 102").await;
    let mut open = Reading::open(services.port, &json!({ "cursors": [cursor("items", Some(&read))] })).await;
    open.until("\"type\":\"end\"").await;
    // The delete of a row that was read goes: nobody who reads on would ever hear of it.
    prune(&services).await;
    let (status, told) = page(&services, Some(&read)).await;
    assert_eq!(status, 410, "{told}");
    let (error, hint) = (told["error"].as_str().unwrap(), told["hint"].as_str().unwrap());
    assert!(error.contains("shop/items@1") && error.contains("merged into the newest of each key"), "{told}");
    assert!(hint.contains("begin anew with `null`"), "{told}");
    let stream = json!({ "cursors": [cursor("items", Some(&read))] });
    assert_eq!(post(services.port, "/stream", &stream).await.status, 410);
    // And it says from where to go on without.
    let on = hint.split('"').nth(1).unwrap();
    assert_eq!(page(&services, Some(on)).await, (200, json!([])));
    // One that had read all of it goes on, on a stream that was open all the while.
    services.source.execute("INSERT INTO items VALUES (1000, 0)").await;
    open.until("1000").await;
    assert!(!open.text.contains("\"type\":\"gone\""), "{}", open.text);

    // Who begins at the start gets what was merged, page by page …
    let (mut id, mut found) = (None, Vec::new());
    loop {
        let (status, page) = page(&services, id.as_deref()).await;
        assert_eq!(status, 200, "{page}");
        if page == json!([]) {
            break;
        }
        id = Some(last_id(&page));
        let operations = page.as_array().unwrap().iter().flat_map(|one| one["operations"].as_array().unwrap());
        found.extend(operations.map(|operation| operation["object"]["id"].as_i64().unwrap()));
    }
    found.sort();
    assert_eq!(found, (2..=100).chain([1000]).collect::<Vec<i64>>());
    // … but not while more is merged: it may have read what goes.
    let among = last_id(&page(&services, None).await.1);
    assert_eq!(page(&services, Some(&among)).await.0, 200);
    services.source.execute("DELETE FROM items WHERE id = 3; INSERT INTO items VALUES (1001, 0)").await;
    services.events.wait_until("EXISTS (SELECT FROM rejot_events.events WHERE key = '{\"id\": 1001}')").await;
    prune(&services).await;
    assert_eq!(page(&services, Some(&among)).await.0, 410);

    // The newest event is gone, a delete: who has read all that there is lies in front of the horizon, and misses nothing.
    services.source.execute("DELETE FROM items WHERE id = 1001").await;
    services.events.wait_until("EXISTS (SELECT FROM rejot_events.events WHERE operation = 'delete')").await;
    prune(&services).await;
    let mut begun = Reading::open(services.port, &json!({ "cursors": [cursor("items", None)] })).await;
    begun.until("\"type\":\"end\"").await;
    services.source.execute("INSERT INTO items VALUES (1002, 0)").await;
    begun.until("1002").await;
    assert!(!begun.text.contains("\"type\":\"gone\""), "{}", begun.text);

    // A stream that is open when what it has not told goes says so as its last line.
    let mut slow = Reading::open(services.port, &json!({ "cursors": [cursor("items", None)] })).await;
    slow.until("\"type\":\"end\"").await;
    services.events.execute("BEGIN; LOCK TABLE rejot_events.stream IN ACCESS EXCLUSIVE MODE").await;
    services.events.execute("UPDATE rejot_events.stream SET horizon_epoch = 9; COMMIT").await;
    slow.until("\"type\":\"gone\"").await;
    assert!(slow.text.contains("go on without those events"), "{}", slow.text);
    end(&mut owner).await;
}
