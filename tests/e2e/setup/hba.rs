//! Lines for `pg_hba.conf`: printed only where they are missing.

use super::{ends, setup};
use crate::support::{database_on, server_with};

#[tokio::test]
async fn lines_are_printed_only_when_no_rule_lets_the_role_in() {
    let server = server_with(|builder| {
        builder
            .hba("host all \"in\" 127.0.0.1/32 scram-sha-256")
            .hba("host all out 127.0.0.1/32 reject")
            .hba("host other never 127.0.0.1/32 scram-sha-256")
            .hba("host all all 10.0.0.0/8 reject")
    })
    .await;
    let database = database_on(&server).await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY)").await;
    let run = |role: &'static str| setup(&database, &["--role", role, "--slot", "s", "--no-helpers"]);
    let said = ends(run("in"), 0).await;
    assert!(said.contains("a line lets the role in from here, by scram-sha-256"), "{said}");
    let said = ends(run("out"), 0).await;
    let line = format!("host     {}  out  127.0.0.1/32  scram-sha-256", database.name());
    assert!(said.contains("a line rejects the role") && said.contains(&line), "{said}");
    // The server's own line trusts everybody on this machine.
    let said = ends(run("never"), 0).await;
    assert!(said.contains("by trust") && said.contains("use scram-sha-256 in that line"), "{said}");
}
