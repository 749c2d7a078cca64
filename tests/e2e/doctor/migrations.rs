//! Migrations that are not applied yet: a note where a start applies them, an error where its role can't.

use super::command::{doctor, manifest};
use crate::migrations::migrations;
use crate::support::{Database, Pelton, database};

const RULE: &str = "data-store-migrations";

/// What the doctor says of the migrations: what is amiss with what mends it, and what is right.
async fn said(manifest: &str) -> (Vec<String>, Vec<String>) {
    let (_, said) = doctor(manifest).await;
    let of = |list: &str| -> Vec<String> {
        let items = said[list].as_array().expect("a list").iter().filter(|item| item["rule"] == RULE);
        items.map(|item| format!("{}; {}", item["what"].as_str().expect("a text"), item["mends"])).collect()
    };
    (of("findings"), of("right"))
}

/// As it was before the fifth migration.
async fn set_back(destination: &Database) {
    destination
        .execute(
            "ALTER TABLE rejot_data_store.flow DROP COLUMN timeline; \
             DELETE FROM rejot_data_store.schema_migrations WHERE version = 5",
        )
        .await;
}

async fn sync(manifest: &str) -> bool {
    Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest).run().await.success()
}

#[tokio::test]
async fn what_a_start_applies_is_a_note_and_what_its_role_may_not_apply_is_an_error() {
    let (source, destination) = (database().await, database().await);
    source.execute("CREATE TABLE t (id int PRIMARY KEY)").await;
    let text = manifest(&source.url(), &destination.url(), source.name());
    assert_eq!(said(&text).await, (vec![], vec![]), "there is no schema yet");
    assert!(sync(&text).await);
    assert_eq!(said(&text).await.1, ["all migrations are applied; null"]);
    set_back(&destination).await;
    let note = "migrations that are not applied yet: 5; `pelton sync` applies them at its start; null";
    assert_eq!(said(&text).await, (vec![], vec![note.to_owned()]));

    // A role that may do anything with the tables, and owns none of them.
    let role = format!("writer_{}", destination.name());
    destination
        .execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE, CREATE ON SCHEMA rejot_data_store TO {role}; \
             GRANT ALL ON ALL TABLES IN SCHEMA rejot_data_store TO {role}; GRANT ALL ON TABLE t TO {role}"
        ))
        .await;
    let url = destination.url().replace("postgres@", &format!("{role}@"));
    let as_role = manifest(&source.url(), &url, source.name());
    let (amiss, right) = said(&as_role).await;
    assert!(right.is_empty() && amiss.len() == 1, "{amiss:?}");
    let mend = format!(
        "as role postgres or a superuser: `pelton migrations apply --url …`, or the script of `pelton migrations emit-sql --role {role}`"
    );
    assert!(amiss[0].starts_with("migrations that are not applied yet: 5;") && amiss[0].contains(&mend), "{amiss:?}");
    assert!(!sync(&as_role).await, "and so it is");
    migrations(&["apply", "--url", &destination.url()], 0).await;
    assert_eq!(said(&as_role).await, (vec![], vec!["all migrations are applied; null".to_owned()]));
    assert!(sync(&as_role).await);
}
