//! What consumers elsewhere say of themselves, and what nobody may say of others.

use serde_json::{Value, json};

use super::{Services, cursor, end, post, serving};
use crate::support::Pelton;

const TABLES: &[&str] = &["items", "notes"];
const DDL: &str = "CREATE TABLE items (id int PRIMARY KEY, v int); CREATE TABLE notes (id int PRIMARY KEY, what text);
     INSERT INTO items SELECT i, 0 FROM generate_series(1, 100) AS i";

async fn readers(services: &Services) -> Vec<Vec<Option<String>>> {
    let sql = "SELECT manifest_slug, destination, consumer FROM rejot_events.consumer ORDER BY 1, 2, 3";
    services.events.rows(sql).await
}

#[tokio::test]
async fn each_destination_holds_what_it_has_not_read_and_nobody_speaks_for_the_owner() {
    let services = Services::new(DDL).await;
    services.publish(TABLES).await;
    let mut owner = serving(services.owner(TABLES)).await;
    let last = services.ask("GET /streams?manifest=shop").await.json()["streams"][0]["last"].clone();
    let one = |consumer: &str, schema: &str, cursor: &Value| json!({ "consumer": consumer, "sourceManifest": "shop", "publicSchema": schema, "majorVersion": 1, "cursor": cursor });
    let tell = async |manifest: &str, destination: &str, consumers: Value| {
        let body = json!({ "manifest": manifest, "destination": destination, "consumers": consumers });
        post(services.port, "/consumers", &body).await
    };
    // Two deployments of one manifest: neither lets go of what the other one has not read.
    let start = json!("0:0/0:0");
    assert_eq!(tell("reports", "here", json!([one("there", "items", &last)])).await.json()["registered"], 1);
    assert_eq!(tell("reports", "staging", json!([one("there", "items", &start)])).await.json()["registered"], 1);
    assert_eq!(readers(&services).await.len(), 2);
    services.source.execute("UPDATE items SET v = 1").await;
    services.events.wait_until("(SELECT count(*) FROM rejot_events.event) = 200").await;
    let prune = ["events", "prune", "--max-age", "0s"];
    let mut pelton = Pelton::new(prune).file("pelton.yaml", services.owner_manifest(TABLES));
    assert_eq!(pelton.run().await.code(), Some(1), "{}", pelton.stdout());
    assert!(format!("{}{}", pelton.stdout(), pelton.stderr()).contains("`there` of manifest `reports`"));
    assert_eq!(services.events.value("SELECT count(*) FROM rejot_events.event").await, "200");

    // One that is refused is refused alone.
    let mut foreign = one("foreign", "items", &start);
    foreign["origin"] = json!("2b7e1516-28ae-d2a6-abf7-158809cf4f3c");
    let all = json!([
        one("good", "items", &start),
        one("beyond", "items", &json!("9:0/1:0")),
        one("nothing", "itemz", &start),
        foreign,
    ]);
    let heard = tell("reports", "here", all).await.json();
    let refused: Vec<(&str, u64)> = heard["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["consumer"].as_str().unwrap(), one["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(heard["registered"], 1, "{heard}");
    assert_eq!(refused, [("nothing", 404), ("beyond", 409), ("foreign", 409)]);
    let told = heard["refused"].to_string();
    assert!(
        told.contains("is beyond the end of shop/items@1") && told.contains("did you mean shop/items@1?"),
        "{told}"
    );

    // The owner's consumers read the event store itself: nobody says over HTTP that they are done, or gone.
    let before = readers(&services).await;
    let refused = tell("shop", "here", json!([one("mine", "items", &last)])).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.body.contains("the manifest of this service"), "{}", refused.body);
    assert_eq!(services.ask("DELETE /consumers?manifest=shop&consumer=mine").await.status, 403);
    assert_eq!(readers(&services).await, before);
    let forgotten = services.ask("DELETE /consumers?manifest=reports&destination=staging&consumer=there").await;
    assert_eq!(forgotten.json(), json!({ "forgotten": true }));
    assert_eq!(readers(&services).await.len(), before.len() - 1);
    end(&mut owner).await;
}

/// A service that was moved to an event store of its own tells other positions: to go on would lose and repeat.
#[tokio::test]
async fn a_consumer_does_not_go_on_in_another_stream_of_the_same_name() {
    let services = Services::new(DDL).await;
    services.publish(TABLES).await;
    let mut owner = serving(services.owner(TABLES)).await;
    let consumers = [("items-there", "items", "items")];
    let manifest = services.consumer_manifest(&consumers, &services.service());
    let consumer = || Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", &manifest);
    assert_eq!(consumer().run().await.code(), Some(0));
    end(&mut owner).await;
    // The same manifest, another event store: it publishes all of it anew.
    let slot = services.source.name();
    services.source.execute(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    let moved = crate::support::database().await;
    let text = services.owner_manifest(TABLES).replace(&services.events.url(), &moved.url());
    let address = format!("127.0.0.1:{}", services.port);
    let mut owner = serving(Pelton::new(["sync", "--http", &address]).file("pelton.yaml", text)).await;
    moved.wait_until("to_regclass('rejot_events.events') IS NOT NULL").await;
    moved.wait_until("(SELECT count(*) FROM rejot_events.events) = 100").await;
    let mut again = consumer();
    assert_eq!(again.run().await.code(), Some(1), "{}", again.stderr());
    assert!(again.stderr().contains("has read another stream of the same name up to now"), "{}", again.stderr());
    // It holds nothing there, where its position means nothing.
    assert_eq!(moved.value("SELECT count(*) FROM rejot_events.consumer").await, "0");
    end(&mut owner).await;
}

/// A service tells what its manifests publish. Another team's streams in the same database are that team's to tell.
#[tokio::test]
async fn streams_of_other_manifests_in_the_store_are_not_served() {
    let services = Services::new(DDL).await;
    services.publish(TABLES).await;
    let theirs = services.owner_manifest(&["notes"]).replace("slug: shop", "slug: secret");
    let theirs = theirs
        .replace(&format!("slotName: {}", services.source.name()), &format!("slotName: {}_2", services.source.name()));
    let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", theirs);
    assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stderr());
    assert_eq!(services.events.value("SELECT count(*) FROM rejot_events.stream").await, "3");
    let mut owner = serving(services.owner(TABLES)).await;
    for path in ["/status", "/public-schemas", "/streams"] {
        let told = services.ask(&format!("GET {path}")).await;
        assert_eq!(told.status, 200);
        assert!(told.body.contains("shop") && !told.body.contains("secret"), "{path}: {}", told.body);
    }
    assert_eq!(services.ask("GET /streams?manifest=secret").await.status, 404);
    let mut wanted = cursor("notes", None);
    wanted["schema"]["manifest"]["slug"] = json!("secret");
    assert_eq!(post(services.port, "/stream", &json!({ "cursors": [wanted] })).await.status, 404);
    end(&mut owner).await;
}

/// A service that can't be told for now is told later: those that read go on.
#[tokio::test]
async fn a_registration_that_fails_ends_no_stream() {
    let services = Services::new(DDL).await;
    let mut owner = serving(services.owner(TABLES)).await;
    let mut consumer = services.consumer(&[("items-there", "items", "items")]);
    consumer.start();
    services.destination.wait_until("to_regclass('public.items') IS NOT NULL").await;
    services.destination.wait_until("(SELECT count(*) FROM items) = 100").await;
    let begun = consumer.stderr().matches("consuming").count();
    services.events.execute("ALTER TABLE rejot_events.consumer RENAME TO consumer_away").await;
    consumer.says("it could not be told how far its consumers are").await;
    services.source.execute("INSERT INTO items VALUES (1000, 0)").await;
    services.destination.wait_until("EXISTS (SELECT FROM items WHERE id = 1000)").await;
    services.events.execute("ALTER TABLE rejot_events.consumer_away RENAME TO consumer").await;
    let read = "SELECT (epoch, commit_lsn, ordinal) = (SELECT epoch, commit_lsn, ordinal FROM rejot_events.event \
                ORDER BY epoch DESC, commit_lsn DESC, ordinal DESC LIMIT 1) FROM rejot_events.consumer";
    services.events.wait_until(read).await;
    assert_eq!(consumer.stderr().matches("consuming").count(), begun, "{}", consumer.stderr());
    end(&mut consumer).await;
    end(&mut owner).await;
}
