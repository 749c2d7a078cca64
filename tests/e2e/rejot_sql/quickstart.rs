//! `examples/rejot-quickstart`, as it stands.

use std::fs;
use std::path::Path;

use crate::support::{Database, Pelton, database};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rejot-quickstart").join(name);
    fs::read_to_string(path).expect("the example is there")
}

fn pelton(database: &Database, arguments: &[&str]) -> Pelton {
    let url = database.url();
    let rest = url.split_once("://").expect("a URL").1;
    let (account, rest) = rest.split_once('@').expect("an account");
    let (user, password) = account.split_once(':').unwrap_or((account, ""));
    let (address, rest) = rest.split_once('/').expect("a database");
    let (host, port) = address.rsplit_once(':').expect("a port");
    let name = rest.split_once('?').map_or(rest, |(name, _)| name);
    let pelton = Pelton::new(arguments).file("rejot-manifest.json", read("rejot-manifest.json"));
    let pelton = pelton.env("PGHOST", host).env("PGPORT", port).env("PGUSER", user).env("PGPASSWORD", password);
    pelton.env("PGDATABASE", name).env("REJOT_SLOT", database.name())
}

#[tokio::test]
async fn the_quickstart_of_rejot_runs_as_it_stands() {
    let database = database().await;
    database.execute(&read("tables.sql")).await;
    let mut check = pelton(&database, &["check", "rejot-manifest.json"]);
    assert_eq!(check.run().await.code(), Some(0), "{}", check.stderr());
    let mut sync = pelton(&database, &["sync", "rejot-manifest.json"]);
    sync.start();
    let found = "(SELECT string_agg(id || ' ' || email || ' ' || full_name, ', ' ORDER BY id) FROM target_account)";
    let are = |expected: &str| format!("{found} = '{expected}'");
    database.wait_until(&are("1 ada@example.com Ada Lovelace, 2 alan@example.com Alan Turing")).await;
    database
        .execute(
            "INSERT INTO account (email, first_name, last_name) VALUES ('grace@example.com', 'Grace', 'Hopper');
             UPDATE account SET last_name = 'King' WHERE first_name = 'Ada';
             DELETE FROM account WHERE first_name = 'Alan';
             BEGIN; INSERT INTO account VALUES (7, 'x', 'y', 'z'); DELETE FROM account WHERE id = 7; COMMIT",
        )
        .await;
    database.wait_until(&are("1 ada@example.com Ada King, 3 grace@example.com Grace Hopper")).await;
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0), "{}", sync.stderr());
}
