//! Event stores: what their role may do, and what was made in them.

use super::command::{doctor, manifest};
use crate::support::{Database, Pelton, database};

/// The errors that are found at an event store, as `rule what`, and the SQL that mends them.
async fn found(manifest: &str) -> (Vec<String>, Vec<String>) {
    let (_, said) = doctor(manifest).await;
    let items = said["findings"].as_array().expect("a list").iter();
    let here = items.filter(|item| item["severity"] == "error" && item["place"].as_str().unwrap().contains("events"));
    let (mut found, mut mends) = (Vec::new(), Vec::new());
    for item in here {
        found.push(format!("{} {}", item["rule"].as_str().unwrap(), item["what"].as_str().unwrap()));
        let sql = item["mends"].as_array().unwrap().iter().filter_map(|mend| mend["sql"].as_str());
        mends.extend(sql.map(str::to_owned));
    }
    (found, mends)
}

fn publishing(source: &Database, events: &str, destination: &Database) -> String {
    let connection =
        format!("  - {{ slug: events, config: {{ connectionType: postgres, url: \"{events}\" }} }}\ndataStores:");
    manifest(&source.url(), &destination.url(), source.name())
        .replace("dataStores:", &connection)
        .replace("publicSchemas:", "eventStores:\n  - { connectionSlug: events }\npublicSchemas:")
}

async fn sync(manifest: &str) -> Pelton {
    let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest);
    pelton.run().await;
    pelton
}

#[tokio::test]
async fn rights_and_migrations_of_an_event_store_are_judged() {
    let (source, events, destination) = (database().await, database().await, database().await);
    source.execute("CREATE TABLE t (id int PRIMARY KEY)").await;
    let role = format!("keeper_{}", events.name());
    events.execute(&format!("CREATE ROLE {role} LOGIN")).await;
    let url = events.url().replace("postgres@", &format!("{role}@"));
    let text = publishing(&source, &url, &destination);
    let (errors, mends) = found(&text).await;
    // Its own schema, and the one where flows keep how far they are.
    let may_not = format!("data-store it does not exist, and role {role} may not make it");
    assert_eq!(errors, [may_not.clone(), may_not]);
    assert!(mends.len() == 2 && mends.iter().any(|sql| sql.contains("rejot_events")), "{mends:?}");
    for mend in mends {
        events.execute(&mend).await;
    }
    assert_eq!(found(&text).await.0, [""; 0]);
    assert!(sync(&text).await.stderr().contains("made `rejot_events`"));
    assert_eq!(found(&text).await.0, [""; 0]);

    events.execute("UPDATE rejot_events.schema_migrations SET checksum = 'other' WHERE version = 8").await;
    let tampered = found(&text).await.0;
    assert!(tampered.len() == 1 && tampered[0].starts_with("data-store-migrations migration 8"), "{tampered:?}");
    assert!(sync(&text).await.stderr().contains("other contents"), "and so `sync` refuses");

    // Whoever only consumes needs to read.
    let reader = format!("reader_{}", events.name());
    events.execute(&format!("CREATE ROLE {reader} LOGIN")).await;
    let url = events.url().replace("postgres@", &format!("{reader}@"));
    let consuming = publishing(&source, &url, &destination);
    let (start, end) = (consuming.find("publicSchemas:").unwrap(), consuming.find("consumerSchemas:").unwrap());
    let consuming =
        format!("{}publicSchemas: []\n{}", &consuming[..start], &consuming[end..]).replace("slug: case", "slug: other");
    let (errors, mends) = found(&consuming).await;
    assert_eq!(errors, [format!("data-store role {reader} may not look into it")]);
    for mend in mends {
        events.execute(&mend).await;
    }
    assert_eq!(found(&consuming).await.0, [""; 0]);
}
