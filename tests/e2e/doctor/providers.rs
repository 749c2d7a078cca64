//! Each provider is known by a role that it leaves on its servers, and its own words are said. RDS by its setting, with a
//! mend that is carried out, is a case of its own.

use serde_json::Value;

use super::command::{doctor, manifest};
use crate::support::{database, database_on, server_with};

/// A role that only this provider has, the provider's name, and its own words for the setting that turns logical decoding on.
const ROLES: [(&str, &str, &str); 6] = [
    ("rds_superuser", "Amazon RDS", "rds.logical_replication = 1 in the instance"),
    ("cloudsqlsuperuser", "Google Cloud SQL", "cloudsql.logical_decoding=on"),
    ("azure_pg_admin", "Azure Database for PostgreSQL", "az postgres flexible-server parameter set"),
    ("neon_superuser", "Neon", "turn on Logical Replication in the project's settings"),
    ("supabase_admin", "Supabase", "on every project of Supabase"),
    ("crunchy_superuser", "Crunchy Bridge", "on every cluster of Crunchy Bridge"),
];

fn of_rule<'a>(said: &'a Value, list: &str, rule: &str) -> Vec<&'a Value> {
    let items = said[list].as_array().expect("a list").iter();
    items
        .filter(|item| item["rule"] == rule && item["place"].as_str().is_some_and(|at| at.starts_with("source")))
        .collect()
}

#[tokio::test]
async fn each_is_recognised_and_told_of_its_own_knob() {
    let server = server_with(|server| server.setting("wal_level", "replica")).await;
    let (source, destination) = (database_on(&server).await, database().await);
    source.execute("CREATE TABLE t (id int PRIMARY KEY)").await;
    let text = manifest(&source.url(), &destination.url(), source.name());
    let knob = async |provider: &str| {
        let (code, said) = doctor(&text).await;
        assert_eq!(code, 1, "{said}");
        let server = of_rule(&said, "right", "provider")[0]["what"].to_string();
        assert!(server.contains(&format!(", {provider}\"")), "{provider}: {server}");
        of_rule(&said, "findings", "wal-level")[0]["mends"].to_string()
    };
    assert!(knob("self-managed").await.contains("ALTER SYSTEM SET wal_level"), "the owner's own");
    for (role, provider, words) in ROLES {
        source.execute(&format!("CREATE ROLE {role}")).await;
        let said = knob(provider).await;
        assert!(said.contains(words) && !said.contains("ALTER SYSTEM"), "{provider}: {said}");
        source.execute(&format!("DROP ROLE {role}")).await;
    }
}
