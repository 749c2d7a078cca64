//! What a statement means: the tables that its names are, the rows that its columns are of, and what it comes back to.

use crate::support::Pelton;

use super::place::{Place, kept, public, sql};

/// The author's names are looked for in the role's own `search_path`, and what they find there is what is read.
#[tokio::test]
async fn a_name_means_what_the_search_path_says() {
    let place = Place::new(
        false,
        "CREATE SCHEMA mine; CREATE TABLE public.account (id int PRIMARY KEY, name text);
         CREATE TABLE mine.account (id int PRIMARY KEY, name text); INSERT INTO mine.account VALUES (1, 'mine')",
        "",
    )
    .await;
    place.source.execute(&format!("ALTER DATABASE \"{}\" SET search_path = mine, public", place.source.name())).await;
    let statement = |from: &str| format!("SELECT id, name FROM {from} WHERE id = :id");
    let (alone, qualified) = (statement("account"), statement("public.account"));
    let manifest = place.manifest(
        &[
            (
                "alone",
                public(&[
                    ("insert update", "public.account", &alone),
                    ("delete", "public.account", "SELECT :id AS id"),
                ]),
            ),
            ("qualified", public(&[("insert update", "public.account", &qualified)])),
        ],
        &[("alone", "alone", kept("alone")), ("qualified", "qualified", kept("qualified"))],
    );
    place.catch_up(&manifest).await;
    place
        .source
        .execute("BEGIN; INSERT INTO public.account VALUES (1, 'v1'); UPDATE public.account SET name = 'v2'; COMMIT")
        .await;
    place.catch_up(&manifest).await;
    assert_eq!(place.found("SELECT * FROM alone").await, "1 mine");
    assert_eq!(place.found("SELECT * FROM qualified").await, "1 v2");
}

#[tokio::test]
async fn a_joined_table_that_grows_shifts_no_column() {
    let place = Place::new(
        false,
        "CREATE TABLE account (id int PRIMARY KEY, name text); CREATE TABLE more (account int PRIMARY KEY, city text);
         INSERT INTO account VALUES (1, 'one'); INSERT INTO more VALUES (1, 'Rome')",
        "",
    )
    .await;
    // One that is shown the changed row, and one that reads all of it.
    let shown = "SELECT a.id, m.*, a.name FROM account a JOIN more m ON m.account = a.id WHERE a.id = :id";
    let read = "SELECT a.id, m.*, a.name FROM account a JOIN more m ON m.account = a.id WHERE a.id IN (:id)";
    let manifest = place.manifest(
        &[
            ("shown", public(&[("insert update", "account", shown)])),
            ("read", public(&[("insert update", "account", read)])),
        ],
        &[("shown", "shown", kept("shown")), ("read", "read", kept("read"))],
    );
    place.catch_up(&manifest).await;
    let mut pelton = place.sync(&manifest, &[]);
    pelton.start();
    pelton.says("streaming").await;
    place.source.execute("ALTER TABLE more ADD zip text DEFAULT 'zip'; UPDATE account SET name = 'eins'").await;
    for table in ["shown", "read"] {
        place.destination.wait_until(&format!("(SELECT name <> 'one' FROM {table})")).await;
        assert_eq!(place.found(&format!("SELECT id, account, city, name FROM {table}")).await, "1 1 Rome eins");
    }
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

/// Behind a view may be the table itself, as it is now.
#[tokio::test]
async fn a_view_of_the_changed_table_is_read_as_it_is() {
    let place = Place::new(
        false,
        "CREATE TABLE account (id int PRIMARY KEY, name text); CREATE VIEW shown AS SELECT id, upper(name) AS name FROM account;
         CREATE TABLE city (account int PRIMARY KEY, name text); CREATE VIEW cities AS SELECT account, name AS city FROM city",
        "CREATE TABLE log (n serial, what text)",
    )
    .await;
    let log = sql("INSERT INTO log (what) VALUES (:id::int || ' ' || :name::text)", None);
    let of = |view: &str| public(&[("insert update", "account", view)]);
    let by_view = of("SELECT id, name FROM shown WHERE id = :id");
    let joined = of("SELECT a.id, s.name FROM account a JOIN shown s USING (id) WHERE a.id = :id");
    // A view of other tables alone is one of those.
    let others = of(
        "SELECT a.id, coalesce(c.city, a.name) AS name FROM account a LEFT JOIN cities c ON c.account = a.id WHERE a.id = :id",
    );
    for (statements, expected, vanished) in
        [(by_view, "1 V2\n1 V2", true), (joined, "1 V2\n1 V2", true), (others, "1 v1\n1 v2\n2 gone", false)]
    {
        let place_of = place.manifest(&[("p", statements)], &[("c", "p", log.clone())]);
        place.catch_up(&place_of).await;
        place
            .source
            .execute(
                "BEGIN; INSERT INTO account VALUES (1, 'v1'); UPDATE account SET name = 'v2'; COMMIT;
                 BEGIN; INSERT INTO account VALUES (2, 'gone'); DELETE FROM account WHERE id = 2; COMMIT",
            )
            .await;
        let said = place.catch_up(&place_of).await;
        assert_eq!(place.found("SELECT what FROM log ORDER BY n").await, expected, "{said}");
        assert_eq!(said.contains("rows were gone before their statement read them"), vanished, "{said}");
        place.source.execute("DELETE FROM account").await;
        place.catch_up(&place_of).await;
        place.destination.execute("TRUNCATE log; DELETE FROM rejot_data_store.flow").await;
    }
    // A row that was deleted is not there to be read, by whatever name.
    for delete in
        ["SELECT id FROM shown WHERE id = :id", "SELECT a.id FROM account a JOIN shown s USING (id) WHERE a.id = :id"]
    {
        let statements = public(&[
            ("insert", "account", "SELECT id, name FROM account WHERE id = :id"),
            ("delete", "account", delete),
        ]);
        let said = place.stops(&place.manifest(&[("p", statements)], &[("c", "p", log.clone())])).await;
        assert!(said.contains("its delete of public.account reads the table"), "{said}");
    }
}

#[tokio::test]
async fn the_key_is_that_of_the_row_that_changed() {
    let place = Place::new(
        false,
        "CREATE TABLE node (id int PRIMARY KEY, parent int, name text); INSERT INTO node VALUES (1, 1, 'root'), (2, 1, 'a'), (3, 1, 'b')",
        "",
    )
    .await;
    let joined = "SELECT p.id AS parent_id, p.name AS parent_name, n.id, n.name FROM node n JOIN node p ON p.id = n.parent WHERE n.id = :id";
    // What it gives of the table is the parent's alone.
    let parent = "SELECT p.id, n.name FROM node n JOIN node p ON p.id = n.parent WHERE n.id = :id";
    let nodes = public(&[("insert update", "node", joined), ("delete", "node", "SELECT :id AS id")]);
    let manifest = place.manifest(&[("nodes", nodes)], &[("nodes", "nodes", kept("nodes"))]);
    place.catch_up(&manifest).await;
    place
        .source
        .execute(
            "UPDATE node SET id = 4 WHERE id = 3; INSERT INTO node VALUES (5, 1, 'c'); DELETE FROM node WHERE id = 2",
        )
        .await;
    place.catch_up(&manifest).await;
    assert_eq!(place.found("SELECT id, name FROM nodes ORDER BY id").await, "1 root\n4 b\n5 c");
    let manifest =
        place.manifest(&[("p", public(&[("insert update", "node", parent)]))], &[("c", "p", kept("parents"))]);
    let said = place.stops(&manifest).await;
    assert!(said.contains("nothing tells its rows apart, and consumer `c` is a table"), "{said}");
    assert!(said.contains("select the columns of its primary key"), "{said}");
    // New rows alone need no key.
    let manifest = place.manifest(&[("p", public(&[("insert", "node", parent)]))], &[("c", "p", kept("parents"))]);
    place.catch_up(&manifest).await;
    assert_eq!(place.found("SELECT count(*) FROM parents").await, "3");
}

/// A value that a statement reads as a name, or as code, is quoted by Postgres in errors that mostly name what the author wrote.
#[tokio::test]
async fn no_error_says_a_value() {
    let place = Place::new(
        false,
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "CREATE TABLE log (n serial, what text); CREATE TABLE checked (id int PRIMARY KEY, v text);
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'no %', NEW.v USING ERRCODE = '23514'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON checked FOR EACH ROW EXECUTE FUNCTION refuse();
         CREATE FUNCTION refuse_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.v LIKE 'secret%' THEN RAISE EXCEPTION 'no %', NEW.v USING DETAIL = NEW.v; END IF; RETURN NULL; END $$;
         CREATE TABLE late (id int PRIMARY KEY, v text);
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_late()",
    )
    .await;
    let plain = public(&[("insert update", "t", "SELECT id, v FROM t WHERE id = :id")]);
    let named = public(&[("insert update", "t", "SELECT id, v::regclass::text AS v FROM t WHERE id = :id")]);
    let mut id = 0;
    for (statements, consumer, value, code) in [
        (named, sql("INSERT INTO log (what) VALUES (:v)", None), "secret", "42P01"),
        (plain.clone(), sql("INSERT INTO log (what) VALUES (:v::tsquery::text)", None), "secret &", "42601"),
        (plain.clone(), sql("INSERT INTO log (what) VALUES (:v::regnamespace::text)", None), "secret", "3F000"),
        (plain.clone(), kept("checked"), "secret", "23514"),
        (plain, kept("late"), "secret", "P0001"),
    ] {
        let manifest = place.manifest(&[("p", statements)], &[("c", "p", consumer)]);
        place.catch_up(&manifest).await;
        id += 1;
        place.source.execute(&format!("INSERT INTO t VALUES ({id}, '{value}')")).await;
        let said = place.stops(&manifest).await;
        assert!(said.contains(code) && !said.contains("secret"), "{code}: {said}");
        let mut status = Pelton::new(["status", "rejot-manifest.json"]).file("rejot-manifest.json", &manifest);
        status.run().await;
        assert!(status.stdout().contains(code) && !status.stdout().contains("secret"), "{}", status.stdout());
        place.source.execute("DELETE FROM t").await;
        place.destination.execute("DELETE FROM rejot_data_store.flow").await;
    }
}
