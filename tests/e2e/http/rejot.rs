//! What ReJot's own clients ask, as they ask it, and what they can read of the answers.

use serde_json::{Value, json};

use super::{Services, ask, cursor, encoded, end, serving};

const TABLES: &[&str] = &["items", "notes"];

/// Asks as ReJot's client does, and reads the answer as strictly: anything but 200 stops it.
async fn fetch(port: u16, path: &str) -> Value {
    let answer = ask(port, &format!("GET {path}"), "Content-Type: application/json\r\n", "").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

/// A reader that keeps the cursors of everything that it consumes, from whatever service, and sends all of them to each.
struct Client {
    port: u16,
    cursors: Vec<Value>,
    /// The rows of its tables, by public schema and id.
    rows: std::collections::BTreeMap<(String, i64), Value>,
}

impl Client {
    /// Reads until there is no more, and applies it.
    async fn catch_up(&mut self) {
        loop {
            let cursors = Value::Array(self.cursors.clone()).to_string();
            let page = fetch(self.port, &format!("/read?cursors={}&limit=100", encoded(&cursors))).await;
            let page = page.as_array().expect("a list");
            if page.is_empty() {
                return;
            }
            for transaction in page {
                let id = transaction["transactionId"].as_str().expect("a text");
                assert!(id.len() <= 30, "{id} fits into ReJot's column");
                for operation in transaction["operations"].as_array().expect("a list") {
                    self.apply(operation, id);
                }
            }
        }
    }

    fn apply(&mut self, operation: &Value, id: &str) {
        let schema = &operation["sourcePublicSchema"];
        let name = schema["name"].as_str().expect("a name").to_owned();
        assert!(schema["version"]["major"].is_i64() && schema["version"]["minor"].is_i64(), "{operation}");
        let of = |cursor: &&mut Value| {
            cursor["schema"]["manifest"]["slug"] == operation["sourceManifestSlug"]
                && cursor["schema"]["schema"]["name"] == name
        };
        self.cursors.iter_mut().find(of).expect("only what was asked for comes")["transactionId"] = id.into();
        let key = |object: &Value| (name.clone(), object["id"].as_i64().expect("an id"));
        match operation["type"].as_str() {
            Some("insert" | "update") => {
                let object = &operation["object"];
                let row = self.rows.entry(key(object)).or_insert_with(|| json!({}));
                object.as_object().expect("an object").iter().for_each(|(name, value)| row[name] = value.clone());
            }
            Some("delete") => {
                self.rows.remove(&key(&operation["objectKeys"]));
            }
            other => panic!("ReJot knows no `{other:?}`"),
        }
    }

    fn ids(&self, name: &str) -> Vec<i64> {
        self.rows.keys().filter(|(of, _)| of == name).map(|(_, id)| *id).collect()
    }
}

#[tokio::test]
async fn rejots_own_clients_are_answered_as_rejot_would() {
    let services = Services::new(
        "CREATE TABLE items (id int PRIMARY KEY, v int); CREATE TABLE notes (id int PRIMARY KEY, what text);
         INSERT INTO items SELECT i, i FROM generate_series(1, 250) AS i",
    )
    .await;
    services.publish(TABLES).await;
    services
        .source
        .execute(
            "INSERT INTO notes VALUES (1, 'one'), (2, 'two'), (3, 'three'); UPDATE items SET v = -1 WHERE id <= 3;
             UPDATE notes SET id = 20 WHERE id = 2; DELETE FROM notes WHERE id = 3",
        )
        .await;
    services.publish(TABLES).await;
    let mut owner = serving(services.owner(TABLES)).await;
    let port = services.port;
    let index = fetch(port, "/").await;
    assert_eq!(index["health"], "ok", "{index}");
    for path in ["/read", "/public-schemas", "/status", "/data-store/cursors"] {
        assert!(index["routes"].as_array().unwrap().contains(&json!({ "method": "GET", "path": path })), "{index}");
    }
    assert_eq!(fetch(port, "/status").await["state"], "started");
    assert_eq!(fetch(port, "/data-store/cursors").await, json!([]));
    let schemas = fetch(port, "/public-schemas").await;
    for (schema, name) in schemas.as_array().unwrap().iter().zip(TABLES) {
        assert_eq!((&schema["name"], &schema["manifestSlug"]), (&json!(name), &json!("shop")), "{schema}");
        assert_eq!(schema["version"], json!({ "major": 1, "minor": 0 }));
        assert_eq!(schema["source"], json!({ "dataStoreSlug": "source", "tables": [format!("public.{name}")] }));
        assert!(schema["transformations"].is_array() && schema["outputSchema"].is_object(), "{schema}");
    }
    assert_eq!(fetch(port, "/read").await, json!([]));

    // Cursors of another service's, with an id that this one never gave, and of what is not published here.
    let elsewhere = json!({
        "schema": { "manifest": { "slug": "billing" }, "schema": { "name": "invoices", "version": { "major": 3 } } },
        "transactionId": "1A/2B3C4D",
    });
    let mut strange = elsewhere.clone();
    (strange["schema"]["schema"]["name"], strange["transactionId"]) = (json!("others"), json!("not one of ours"));
    let unknown = json!([elsewhere, strange]).to_string();
    let answer = ask(port, &format!("GET /read?cursors={}", encoded(&unknown)), "", "").await;
    assert_eq!((answer.status, answer.body.trim()), (200, "[]"));
    // A person who mistypes a name sees it all the same.
    assert!(answer.head.contains("pelton-not-published: billing/invoices@3, billing/others@3"), "{}", answer.head);

    let cursors = vec![elsewhere, cursor("items", None), strange, cursor("notes", None)];
    let mut client = Client { port, cursors, rows: Default::default() };
    client.catch_up().await;
    assert_eq!(client.ids("items"), (1..=250).collect::<Vec<i64>>());
    assert_eq!(client.rows[&("items".to_owned(), 2)], json!({ "id": 2, "v": -1 }));
    // It is a row of another key now, and no row under the former one is left to whoever reads by keys.
    services
        .source
        .execute("BEGIN; TRUNCATE notes; INSERT INTO notes VALUES (4, 'four'); COMMIT; TRUNCATE items")
        .await;
    services.events.wait_until("(SELECT count(*) FROM rejot_events.events WHERE operation = 'truncate') = 2").await;
    client.catch_up().await;
    assert_eq!(client.ids("items"), [0; 0]);
    assert_eq!(client.ids("notes").last(), Some(&4));
    assert!(!client.ids("notes").contains(&20) && !client.ids("notes").contains(&1), "{:?}", client.ids("notes"));
    // Who knows truncates may ask for them.
    let all = json!([cursor("items", None)]).to_string();
    let page = fetch(port, &format!("/read?cursors={}&limit=1000&truncates=true", encoded(&all))).await;
    assert_eq!(page.as_array().unwrap().last().unwrap()["operations"][0]["type"], "truncate");
    end(&mut owner).await;
}

/// What can't be told as deletes is not left out in silence.
#[tokio::test]
async fn a_truncate_that_no_deletes_can_tell_is_refused_by_name() {
    let services = Services::new(
        "CREATE TABLE log (what text); ALTER TABLE log REPLICA IDENTITY FULL; INSERT INTO log VALUES ('one')",
    )
    .await;
    services.publish(&["log"]).await;
    services.source.execute("TRUNCATE log; INSERT INTO log VALUES ('two')").await;
    services.publish(&["log"]).await;
    let mut owner = serving(services.owner(&["log"])).await;
    let cursors = encoded(&json!([cursor("log", None)]).to_string());
    let refused = services.ask(&format!("GET /read?cursors={cursors}")).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let told = refused.json();
    assert!(told["error"].as_str().unwrap().contains("shop/log@1 was emptied at"), "{told}");
    let hint = told["hint"].as_str().unwrap();
    assert!(hint.contains("&truncates=true"), "{told}");
    // It says how to go on.
    let id = hint.split('"').nth(1).unwrap();
    let cursors = encoded(&json!([cursor("log", Some(id))]).to_string());
    let page = services.ask(&format!("GET /read?cursors={cursors}")).await.json();
    assert_eq!(page[0]["operations"][0]["object"], json!({ "what": "two" }), "{page}");
    end(&mut owner).await;
}
