//! Who may do what: roles that lack each right in turn, and the two scripts.

use super::{ends, setup, state};
use crate::support::{Database, Pelton, database};

/// Runs setup as another role.
fn as_role(database: &Database, role: &str, arguments: &[&str]) -> Pelton {
    let url = database.url().replace("//postgres@", &format!("//{role}@"));
    let fixed = ["setup", "--url", &url, "--slot", database.name(), "--tables", "s.a, s.b"];
    Pelton::new(fixed.into_iter().chain(arguments.iter().copied()))
}

/// A database with two tables of `owner`, and a role `pelton` that may do nothing; both named after the database.
async fn shop() -> (Database, String, String) {
    let database = database().await;
    let (owner, role) = (format!("owner_{}", database.name()), format!("pelton_{}", database.name()));
    database
        .execute(&format!(
            "CREATE ROLE {owner} LOGIN; CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {} TO {owner}; SET ROLE {owner}; \
             CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY); CREATE TABLE s.b (id int PRIMARY KEY); RESET ROLE",
            database.name()
        ))
        .await;
    (database, owner, role)
}

#[tokio::test]
async fn a_role_without_rights_changes_nothing_and_is_told_all_that_it_lacks() {
    let (database, _, role) = shop().await;
    let before = state(&database).await;
    let said = ends(as_role(&database, &role, &[]), 1).await;
    assert_eq!(state(&database).await, before);
    for sql in [
        format!("ALTER ROLE \"{role}\" REPLICATION"),
        format!("GRANT USAGE ON SCHEMA \"s\" TO \"{role}\""),
        format!("GRANT SELECT ON TABLE \"s\".\"a\" TO \"{role}\""),
        format!("GRANT SELECT ON TABLE \"s\".\"b\" TO \"{role}\""),
        "CREATE PUBLICATION \"pelton\" FOR TABLE ONLY \"s\".\"a\", ONLY \"s\".\"b\"".to_owned(),
    ] {
        assert!(said.contains(&sql), "{sql}: {said}");
    }
    assert!(said.contains("pelton setup --as-admin"), "{said}");
    assert!(said.contains("it comes behind the publication, which is not as it should be yet"), "{said}");
}

#[tokio::test]
async fn each_right_that_is_lacking_is_named_and_granting_it_clears_it() {
    let (database, _, role) = shop().await;
    // With all of them nothing is amiss; each is then taken away.
    database
        .execute(&format!(
            "ALTER ROLE {role} REPLICATION; GRANT USAGE ON SCHEMA s TO {role}; GRANT SELECT ON s.a, s.b TO {role}"
        ))
        .await;
    database.execute("CREATE PUBLICATION pelton FOR TABLE s.a, s.b WITH (publish_via_partition_root = true)").await;
    ends(as_role(&database, &role, &[]), 0).await;
    for (take, give, said) in [
        ("REVOKE USAGE ON SCHEMA s FROM ROLE", "GRANT USAGE ON SCHEMA s TO ROLE", "schema s: role {} may not use it"),
        ("REVOKE SELECT ON s.b FROM ROLE", "GRANT SELECT ON s.b TO ROLE", "table s.b: role {} may not read it"),
        ("ALTER ROLE ROLE NOREPLICATION", "ALTER ROLE ROLE REPLICATION", "it may not replicate"),
        (
            "ALTER PUBLICATION pelton DROP TABLE s.a",
            "ALTER PUBLICATION pelton ADD TABLE s.a",
            "table s.a: it is not in publication pelton",
        ),
    ] {
        database
            .execute(&take.replace("ROLE ROLE", &format!("ROLE {role}")).replace("FROM ROLE", &format!("FROM {role}")))
            .await;
        let out = ends(as_role(&database, &role, &[]), 1).await;
        assert!(out.contains(&said.replace("{}", &role)), "{said}: {out}");
        database
            .execute(&give.replace("ROLE ROLE", &format!("ROLE {role}")).replace("TO ROLE", &format!("TO {role}")))
            .await;
        ends(as_role(&database, &role, &[]), 0).await;
    }
    let database_name = database.name();
    database.execute(&format!("REVOKE CONNECT ON DATABASE {database_name} FROM PUBLIC")).await;
    let out =
        ends(setup(&database, &["--role", &role, "--slot", database_name, "--tables", "s.a", "--print"]), 0).await;
    assert!(out.contains(&format!("GRANT CONNECT ON DATABASE \"{database_name}\" TO \"{role}\"")), "{out}");
}

#[tokio::test]
async fn the_owner_of_the_tables_can_prepare_all_but_the_role() {
    let (database, owner, role) = shop().await;
    database.execute(&format!("ALTER ROLE {role} REPLICATION")).await;
    // The slot takes REPLICATION, which the owner lacks: it is left to the role.
    let said = ends(as_role(&database, &owner, &["--role", &role, "--as-admin"]), 0).await;
    assert!(said.contains("left to `pelton setup` as the role itself"), "{said}");
    ends(as_role(&database, &role, &[]), 0).await;
}

#[tokio::test]
async fn a_maker_of_roles_gives_what_the_server_lets_it_give() {
    let (database, owner, _) = shop().await;
    let clerk = format!("clerk_{}", database.name());
    database.execute(&format!("CREATE ROLE {clerk} LOGIN CREATEROLE; GRANT {owner} TO {clerk}")).await;
    let new = format!("new_{}", database.name());
    let said = ends(as_role(&database, &clerk, &["--role", &new, "--no-helpers"]), 1).await;
    let exists = format!("SELECT rolcanlogin AND NOT rolreplication FROM pg_roles WHERE rolname = '{new}'");
    assert_eq!(database.value(&exists).await, "t", "{said}");
    assert!(said.contains("error          ") && said.contains(&format!("ALTER ROLE \"{new}\" REPLICATION")), "{said}");
    assert_eq!(database.value("SELECT count(*)::text FROM pg_publication_tables").await, "2", "{said}");
}

#[tokio::test]
async fn an_administrator_runs_one_script_and_the_role_runs_the_rest() {
    let (database, _, role) = shop().await;
    let before = state(&database).await;
    // Written by the role itself, which may read the catalog but nothing else.
    let mut writing = as_role(&database, &role, &["--as-admin", "--print", "--replica-identity", "full"]);
    assert_eq!(writing.run().await.code(), Some(0), "{}", writing.stderr());
    let script = writing.stdout();
    assert_eq!(state(&database).await, before, "printing changes nothing");
    assert!(!script.contains("pg_create_logical_replication_slot"), "{script}");
    let run = script.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n");
    database.execute(&run).await;
    let after = state(&database).await;
    database.execute(&run).await;
    assert_eq!(state(&database).await, after, "the script may be run again");
    let said = ends(as_role(&database, &role, &[]), 0).await;
    assert!(said.contains("1 changed") && said.contains("slot"), "{said}");
    // The ordinary script is the same in SQL.
    database.execute(&format!("SELECT pg_drop_replication_slot('{}')", database.name())).await;
    let mut writing = as_role(&database, &role, &["--print"]);
    assert_eq!(writing.run().await.code(), Some(0), "{}", writing.stderr());
    let script = writing.stdout();
    let run = script.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n");
    database.execute(&run).await;
    database.execute(&run).await;
    let said = ends(as_role(&database, &role, &[]), 0).await;
    assert!(said.contains("0 changed"), "{said}");
}
