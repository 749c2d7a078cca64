//! Wrong input: what happened, and what to do next.

use super::{ends, setup};
use crate::support::{Pelton, database, database_on, server, server_with, standby_of};
use pelton::postgres::throwaway::{Authentication, Shutdown};

#[tokio::test]
async fn what_can_not_be_reached_says_what_and_what_next() {
    let server = server_with(|builder| builder.authentication(Authentication::Scram("right".to_owned()))).await;
    let database = database_on(&server).await;
    let (port, name) = (server.port(), database.name());
    for (url, said, hint) in [
        ("postgres://postgres@127.0.0.1:1/x".to_owned(), "cannot reach", "nothing listens there"),
        ("postgres://postgres@no.such.host.invalid/x".to_owned(), "is not known", "typing error"),
        (format!("postgres://postgres@127.0.0.1:{port}/{name}"), "refuses the password", "check user and password"),
        (format!("postgres://postgres@127.0.0.1:{port}/absent"), "does not exist", "CREATE DATABASE"),
        (format!("postgres://absent@127.0.0.1:{port}/{name}"), "refuses the password", "check user and password"),
        ("mysql://x".to_owned(), "begins with", "postgresql://user"),
    ] {
        let password = if url.ends_with("/absent") { "right" } else { "wrong" };
        let pelton = Pelton::new(["setup", "--retry", "1", "--url", &url]).env("PGPASSWORD", password);
        let out = ends(pelton, 1).await;
        assert!(out.contains(said) && out.contains(hint), "{url}: {out}");
    }
}

#[tokio::test]
async fn a_server_that_starts_a_little_later_is_waited_for() {
    let mut server = server().await;
    let database = database_on(&server).await;
    database.execute("CREATE TABLE a (id int PRIMARY KEY)").await;
    let mut pelton = Pelton::new(["setup", "--retry", "60", "--url", &database.url()]).env("PELTON_LOG", "info");
    server.stop(Shutdown::Fast).await.expect("it stops");
    pelton.start();
    pelton.says("not reached yet, trying again").await;
    server.start().await.expect("it starts");
    assert_eq!(pelton.ended().await.code(), Some(0), "{}{}", pelton.stdout(), pelton.stderr());
}

#[tokio::test]
async fn a_standby_is_refused() {
    let mut server = server().await;
    let mut primary = database_on(&server).await;
    let (_standby, database) = standby_of(&mut server, &mut primary).await;
    let said = ends(setup(&database, &[]), 1).await;
    assert!(said.contains("this is a standby") && said.contains("name its primary"), "{said}");
}

#[tokio::test]
async fn what_was_typed_wrongly_is_said() {
    let database = database().await;
    for (arguments, code, said) in [
        (vec!["--slot", "Bad-Name"], 1, "use lower case letters, digits and underscores"),
        (vec!["--publication", "P \"x"], 1, "use lower case letters, digits and underscores"),
        (vec!["--tables", "a; drop"], 1, "behind the table stand its columns"),
        (vec!["--tables", "a, public.a"], 1, "table public.a is named twice"),
        (vec!["--add-table", "\"a"], 1, "a double quote is not closed"),
        (vec!["--role", "r", "--password-env", "NOT_SET"], 1, "the variable NOT_SET is not set"),
        (vec!["--role", "r", "--password-file", "absent"], 1, "cannot read the password in absent"),
        (vec!["--tables-file", "absent"], 1, "cannot read absent"),
        (vec!["shop.yaml"], 2, "cannot be used with"),
        (vec!["--replica-identity", "some"], 2, "[possible values: full, keyless, none]"),
    ] {
        let out = ends(setup(&database, &arguments), code).await;
        assert!(out.contains(said), "{arguments:?}: {out}");
    }
    let nothing = ends(Pelton::new(["setup"]), 1).await;
    assert!(nothing.contains("there is no manifest in this folder"), "{nothing}");
    let text = "slug: s\nmanifestVersion: 0\ndataStores:\n  - { connectionSlug: absent }\n";
    let missing = ends(Pelton::new(["setup"]).file("pelton.yaml", text), 1).await;
    assert!(missing.contains("`absent`"), "{missing}");
}
