//! The examples that show what transforms are for: each is built, passes its fixtures, and its manifest is right.

use std::path::Path;

use crate::support::Pelton;

/// Does what the example's README says, but for the databases.
async fn works(example: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let (at, manifest) = (folder.to_str().unwrap(), folder.join("pelton.yaml"));
    for arguments in [vec!["build", at], vec!["test", at], vec!["check", manifest.to_str().unwrap()]] {
        let mut pelton = Pelton::new(&arguments);
        for url in ["SOURCE_URL", "WAREHOUSE_URL", "ARCHIVE_URL", "EVENTS_URL", "BILLING_URL"] {
            pelton.set(url, Some("postgresql://somebody@db.example/db"));
        }
        let code = pelton.run().await.code();
        assert_eq!(code, Some(0), "{arguments:?}: {}{}", pelton.stdout(), pelton.stderr());
    }
}

#[tokio::test]
async fn an_audit_trail_in_typescript() {
    works("audit-trail").await;
}

#[tokio::test]
async fn a_guard_for_personal_data_in_python() {
    works("pii-guard").await;
}

#[tokio::test]
async fn running_aggregates_in_go() {
    works("running-aggregates").await;
}

#[tokio::test]
async fn an_outbox_in_c() {
    works("outbox").await;
}

#[tokio::test]
async fn one_table_into_several_and_several_into_one_in_rust() {
    works("availability").await;
}
