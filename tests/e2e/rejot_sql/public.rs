//! Public schemas by SQL: what an author's SELECT makes of each change.

use serde_json::{Value, json};

use super::place::{Place, public, sql};
use crate::support::{assert_same, database};

const ACCOUNTS: &str = "CREATE TABLE account (id int PRIMARY KEY, first_name text, last_name text, email text);
    INSERT INTO account SELECT i, 'F' || i, 'L' || i, CASE WHEN i % 2 = 0 THEN 'e' || i END FROM generate_series(1, 300) AS i";
const NAMES: &str =
    "CREATE TABLE names (id int PRIMARY KEY, name text, email text); CREATE TABLE log (n serial, what text)";
const NAME: &str = "SELECT id, first_name || ' ' || last_name AS name, email FROM account WHERE id = :id";
const PUT: &str =
    "INSERT INTO names VALUES (:id, :name, :email) ON CONFLICT (id) DO UPDATE SET name = :name, email = :email";
const DELETE: &str = "DELETE FROM names WHERE id = :id";
/// What the statement gives of all rows.
const ALL: &str = "SELECT id, first_name || ' ' || last_name AS name, email FROM account";

fn names() -> Value {
    public(&[("insert update", "account", NAME), ("delete", "account", "SELECT id FROM account WHERE id = :id")])
}

async fn names_place(store: bool) -> (Place, String) {
    let place = Place::new(store, ACCOUNTS, NAMES).await;
    let log = sql(
        "INSERT INTO log (what) VALUES (:id || ' ' || :name::text)",
        Some("INSERT INTO log (what) VALUES ('-' || :id)"),
    );
    let consumers = [
        ("names", "names", sql(PUT, Some(DELETE))),
        ("log", "names", log),
        ("there", "names", json!({ "consumerSchemaType": "table", "table": "public.there", "createTable": true })),
    ];
    let manifest = place.manifest(&[("names", names())], &consumers);
    (place, manifest)
}

async fn assert_names(place: &Place) {
    assert_same(&place.source, ALL, &place.destination, "SELECT id, name, email FROM names").await;
    assert_same(&place.source, ALL, &place.destination, "SELECT id, name, email FROM there").await;
}

async fn makes_rows(store: bool) {
    let (place, manifest) = names_place(store).await;
    // There was no initial copy at ReJot's.
    place.catch_up(&manifest).await;
    assert_names(&place).await;
    place.destination.execute("TRUNCATE log").await;
    place
        .source
        .execute(
            "BEGIN; INSERT INTO account VALUES (1000, 'In', 'Out'); DELETE FROM account WHERE id = 1000; COMMIT;
             BEGIN; DELETE FROM account WHERE id = 1; INSERT INTO account VALUES (1, 'Once', 'more'); COMMIT;
             UPDATE account SET first_name = 'v1' WHERE id = 2; UPDATE account SET first_name = 'v2' WHERE id = 2;
             UPDATE account SET first_name = 'gone' WHERE id = 3; DELETE FROM account WHERE id = 3;
             UPDATE account SET id = 2000 WHERE id = 4;
             INSERT INTO account VALUES (5000, '\"', E'\\\\ (,) \\n é', '')",
        )
        .await;
    let said = place.catch_up(&manifest).await;
    assert_names(&place).await;
    // Each change as it was, though the rows are gone or newer.
    let order =
        "1000 In Out\n-1000\n-1\n1 Once more\n2 v1 L2\n2 v2 L2\n3 gone L3\n-3\n-4\n2000 F4 L4\n5000 \" \\ (,) \n é";
    assert_eq!(place.found("SELECT what FROM log ORDER BY n").await, order);
    assert!(!said.contains("gone before"), "{said}");
    place.source.execute("INSERT INTO account SELECT i, 'F', 'L' FROM generate_series(10001, 15000) AS i").await;
    place.catch_up(&manifest).await;
    assert_names(&place).await;
}

#[tokio::test]
async fn a_select_makes_public_rows_of_what_was_and_what_changes() {
    makes_rows(false).await;
}

#[tokio::test]
async fn a_select_makes_public_rows_by_way_of_an_event_store() {
    makes_rows(true).await;
}

#[tokio::test]
async fn bursts_of_small_transactions_lose_nothing() {
    let (place, manifest) = names_place(true).await;
    let mut pelton = place.sync(&manifest, &[]);
    pelton.start();
    place.destination.wait_until("to_regclass('there') IS NOT NULL").await;
    place
        .source
        .execute(
            "CREATE PROCEDURE burst() LANGUAGE plpgsql AS $$ BEGIN
                 FOR i IN 1..10000 LOOP
                     INSERT INTO account VALUES (100000 + i, 'B', i::text); COMMIT;
                     IF i % 3 = 0 THEN DELETE FROM account WHERE id = 100000 + i - 1; COMMIT; END IF;
                 END LOOP; END $$;
             ALTER DATABASE CURRENT_DATABASE SET synchronous_commit = off"
                .replace("CURRENT_DATABASE", &format!("\"{}\"", place.source.name()))
                .as_str(),
        )
        .await;
    place.source.connect().await.batch_execute("CALL burst()").await.unwrap();
    let count = place.source.value("SELECT count(*) FROM account").await;
    place.destination.wait_until(&format!("(SELECT count(*) FROM names) = {count}")).await;
    place.destination.wait_until(&format!("(SELECT count(*) FROM there) = {count}")).await;
    assert_names(&place).await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

#[tokio::test]
async fn what_was_killed_goes_on_without_loss() {
    let (place, manifest) = names_place(false).await;
    for point in ["before-guest:2", "after-guest:3", "before-commit:3", "after-commit:2"] {
        let mut pelton = place.sync(&manifest, &[]).env("PELTON_FAULT", point);
        pelton.start();
        for n in 0..400 {
            if pelton.has_ended() {
                break;
            }
            let sql = format!(
                "UPDATE account SET last_name = 'n{n}' WHERE id % 7 = {n} % 7; DELETE FROM account WHERE id = {n} * 3"
            );
            place.source.execute(&sql).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(pelton.has_ended(), "{point} was never reached:\n{}", pelton.stderr());
    }
    place.catch_up(&manifest).await;
    assert_names(&place).await;
}

#[tokio::test]
async fn several_tables_are_joined_as_they_are() {
    let place = Place::new(
        false,
        "CREATE SCHEMA shop;
         CREATE TABLE shop.accounts (id int PRIMARY KEY, name text);
         CREATE TABLE shop.addresses (id int PRIMARY KEY, account_id int, country text);
         INSERT INTO shop.accounts SELECT i, 'n' || i FROM generate_series(1, 50) AS i;
         INSERT INTO shop.addresses SELECT i, i, 'c' || i FROM generate_series(1, 50) AS i",
        "CREATE TABLE places (id int PRIMARY KEY, name text, country text)",
    )
    .await;
    let select = "SELECT accounts.id, accounts.name, addresses.country FROM shop.accounts \
                  JOIN shop.addresses ON accounts.id = addresses.account_id WHERE";
    let statements = public(&[
        ("insert update", "shop.accounts", &format!("{select} shop.accounts.id = $1")),
        ("insert update", "shop.addresses", &format!("{select} addresses.id = :id;")),
        ("delete", "shop.accounts", "SELECT :id AS id"),
    ]);
    let put = "INSERT INTO places VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET name = $2, country = $3";
    let consumers = [
        ("places", "places", sql(put, Some("DELETE FROM places WHERE id = $1"))),
        ("there", "places", json!({ "consumerSchemaType": "table", "table": "public.there", "createTable": true })),
    ];
    let manifest = place.manifest(&[("places", statements)], &consumers);
    let all = "SELECT c.id, c.name, d.country FROM shop.accounts c JOIN shop.addresses d ON d.account_id = c.id";
    let same = async || {
        assert_same(&place.source, all, &place.destination, "SELECT id, name, country FROM places").await;
        assert_same(&place.source, all, &place.destination, "SELECT id, name, country FROM there").await;
    };
    place.catch_up(&manifest).await;
    same().await;
    place
        .source
        .execute(
            "BEGIN; INSERT INTO shop.accounts VALUES (100, 'new'); INSERT INTO shop.addresses VALUES (100, 100, 'land'); COMMIT;
             UPDATE shop.addresses SET country = 'moved' WHERE id < 5; UPDATE shop.accounts SET name = 'renamed' WHERE id > 45;
             DELETE FROM shop.accounts WHERE id = 10",
        )
        .await;
    place.catch_up(&manifest).await;
    same().await;
}

#[tokio::test]
async fn what_is_not_of_the_row_is_read_as_it_is_and_what_vanished_is_left_out() {
    let place = Place::new(
        false,
        "CREATE TABLE orders (id int PRIMARY KEY, customer int, total numeric(10, 2))",
        "CREATE TABLE sums (customer int PRIMARY KEY, total numeric)",
    )
    .await;
    // The sum is over other rows of the changed table too.
    let select = "SELECT customer, sum(total) AS total FROM orders WHERE customer = (SELECT customer FROM orders WHERE id = :id) GROUP BY 1";
    let statements = public(&[("insert update", "orders", select)]);
    let put = "INSERT INTO sums VALUES (:customer, :total) ON CONFLICT (customer) DO UPDATE SET total = :total";
    let manifest = place.manifest(&[("sums", statements)], &[("sums", "sums", sql(put, None))]);
    place.catch_up(&manifest).await;
    place
        .source
        .execute(
            "INSERT INTO orders SELECT i, i % 3, 1.50 FROM generate_series(1, 30) AS i; UPDATE orders SET total = 2 WHERE id = 7;
             INSERT INTO orders VALUES (100, 9, 1), (101, 9, 2); DELETE FROM orders WHERE id IN (100, 101)",
        )
        .await;
    let said = place.catch_up(&manifest).await;
    assert_eq!(said.matches("rows were gone before their statement read them").count(), 1, "{said}");
    let expected = "SELECT customer, sum(total) FROM orders GROUP BY 1";
    assert_same(&place.source, expected, &place.destination, "SELECT * FROM sums").await;
}

#[tokio::test]
async fn large_values_that_an_update_leaves_out_are_read_where_they_are_needed() {
    let place = Place::new(
        false,
        "CREATE TABLE docs (id int PRIMARY KEY, v int, body text); ALTER TABLE docs ALTER body SET STORAGE EXTERNAL;
         INSERT INTO docs VALUES (1, 1, repeat('x', 20000)), (2, 1, repeat('y', 30000))",
        "CREATE TABLE log (n serial, what text)",
    )
    .await;
    let with = public(&[("insert update", "docs", "SELECT id, v, length(body) AS size FROM docs WHERE id = :id")]);
    let without = public(&[("insert update", "docs", "SELECT id, v FROM docs WHERE id = :id")]);
    let consumers = [
        (
            "with",
            "with",
            sql("INSERT INTO log (what) VALUES ('w ' || :id::int || ' ' || :v::int || ' ' || :size::int)", None),
        ),
        ("without", "without", sql("INSERT INTO log (what) VALUES ('o ' || :id::int || ' ' || :v::int)", None)),
    ];
    let manifest = place.manifest(&[("with", with), ("without", without)], &consumers);
    place.catch_up(&manifest).await;
    place.destination.execute("TRUNCATE log").await;
    place
        .source
        .execute(
            "UPDATE docs SET v = 2 WHERE id = 1; UPDATE docs SET v = 3 WHERE id = 2; DELETE FROM docs WHERE id = 2",
        )
        .await;
    place.catch_up(&manifest).await;
    // Of the one that is gone nobody knows how long it was.
    assert_eq!(place.found("SELECT what FROM log ORDER BY what").await, "o 1 2\no 2 3\nw 1 2 20000");
    // A placeholder says what the change says, and nothing else in its place.
    let taken = public(&[("insert update", "docs", "SELECT id, :body AS body FROM docs WHERE id = :id")]);
    let manifest =
        place.manifest(&[("taken", taken)], &[("taken", "taken", sql("INSERT INTO log (what) VALUES (:body)", None))]);
    place.catch_up(&manifest).await;
    place.source.execute("UPDATE docs SET v = 4 WHERE id = 1").await;
    let said = place.stops(&manifest).await;
    assert!(said.contains("takes :body") && said.contains("REPLICA IDENTITY FULL"), "{said}");
}

/// What a change does not say is read from the table: `*` is all of it, in the table's order.
#[tokio::test]
async fn a_generated_column_is_part_of_all_columns() {
    let place = Place::new(
        false,
        "CREATE TABLE g (id int PRIMARY KEY, first text, whole text GENERATED ALWAYS AS (first || '!') STORED, last text);
         INSERT INTO g VALUES (1, 'a', DEFAULT, 'b')",
        "CREATE TABLE log (n serial, what text)",
    )
    .await;
    let all = public(&[("insert update", "g", "SELECT * FROM g WHERE id = :id")]);
    let row =
        public(&[("insert update", "g", "SELECT r.id, to_jsonb(r) ->> 'whole' AS whole FROM g AS r WHERE r.id = :id")]);
    let write = sql("INSERT INTO log (what) VALUES (:first::text || ' ' || :whole::text || ' ' || :last::text)", None);
    let whole = sql("INSERT INTO log (what) VALUES ('row ' || :whole::text)", None);
    let manifest = place.manifest(&[("all", all), ("row", row)], &[("all", "all", write), ("row", "row", whole)]);
    place.catch_up(&manifest).await;
    place.source.execute("INSERT INTO g VALUES (2, 'c', DEFAULT, 'd')").await;
    place.catch_up(&manifest).await;
    assert_eq!(place.found("SELECT what FROM log ORDER BY what").await, "a a! b\nc c! d\nrow a!\nrow c!");
}

#[tokio::test]
async fn every_column_passes_as_postgres_prints_it() {
    let types = "id int PRIMARY KEY, c char(5), i inet, b bool, f float8, n numeric, ts timestamptz, iv interval, by bytea,
        a text[], aa int[][], j json, jb jsonb, u uuid, r int4range, x xml, bt bit(5), m mood, nm name, ck \"char\", mo money";
    let mood = "CREATE TYPE mood AS ENUM ('so so', 'fine');";
    let place =
        Place::new(false, &format!("{mood} CREATE TABLE t ({types})"), &format!("{mood} CREATE TABLE t ({types})"))
            .await;
    let columns = "id, c, i, b, f, n, ts, iv, \"by\", a, aa, j, jb, u, r, x, bt, m, nm, ck, mo";
    let statements = public(&[
        ("insert update", "t", "SELECT t.* FROM t WHERE t.id = $1"),
        ("delete", "t", "SELECT id FROM t WHERE id = $1"),
    ]);
    let params: Vec<String> = (1..=21).map(|number| format!("${number}")).collect();
    let put = format!("INSERT INTO t ({columns}) VALUES ({})", params.join(", "));
    let consumers = [
        ("t", "t", sql(&put, Some("DELETE FROM t WHERE id = $1"))),
        ("there", "t", json!({ "consumerSchemaType": "table", "table": "public.there", "createTable": true })),
    ];
    let manifest = place.manifest(&[("t", statements)], &consumers);
    place.catch_up(&manifest).await;
    place
        .source
        .execute(
            "INSERT INTO t VALUES
             (1, 'ab', '10.0.0.1', true, 'NaN', 'NaN', 'infinity', '1 year -2 mons 03:04:05.678', '\\x00ff5c', '{NULL,\"\",\"a,b\",\"\\\\\"}',
              '{{1,NULL},{3,4}}', '{ \"b\" : 1,  \"a\":[null] }', '{\"n\": 123456789012345678901.10}', '00000000-0000-0000-0000-000000000001',
              '[1,5)', '<a>&amp;</a>', '10101', 'so so', 'n', 'z', '12.34'),
             (2, '', '::1/64', false, '-Infinity', 1.10, '0044-03-15 12:00:00+00 BC', '0', '', '{}', '{}', 'null', 'null', NULL, 'empty', '', '00000', 'fine', '', '', '-0.01'),
             (5, 'x', NULL, NULL, '-0', 1e-30, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
             INSERT INTO t VALUES (3); INSERT INTO t VALUES (4, 'xy   ', '10.0.0.0/8')",
        )
        .await;
    place.catch_up(&manifest).await;
    let printed = "SELECT (t.*)::text FROM t";
    assert_same(&place.source, printed, &place.destination, printed).await;
    assert_same(
        &place.source,
        "SELECT id, format('%s', c), format('%s', x), format('%s', mo) FROM t",
        &place.destination,
        "SELECT id, format('%s', c), format('%s', x), format('%s', mo) FROM there",
    )
    .await;
}

#[tokio::test]
async fn deletes_under_full_identity_and_rows_without_statement_for_deletes() {
    let place = Place::new(
        false,
        "CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t REPLICA IDENTITY FULL;
         CREATE TABLE kept (id int PRIMARY KEY, v text)",
        "CREATE TABLE log (n serial, what text)",
    )
    .await;
    let full = public(&[
        ("insert update", "t", "SELECT id, upper(v) AS v FROM t WHERE id = :id"),
        ("delete", "t", "SELECT id, v FROM t WHERE id = :id AND v = :v"),
    ]);
    let kept =
        public(&[("insert update", "kept", "SELECT id, v, generate_series(1, 2) AS part FROM kept WHERE id = :id")]);
    let log = |name: &str| {
        sql(
            &format!("INSERT INTO log (what) VALUES ('{name} ' || :id::int || coalesce(:v::text, '-'))"),
            Some("INSERT INTO log (what) VALUES ('-' || :id)"),
        )
    };
    let manifest = place.manifest(&[("t", full), ("kept", kept)], &[("t", "t", log("t")), ("kept", "kept", log("k"))]);
    place.catch_up(&manifest).await;
    place
        .source
        .execute(
            "INSERT INTO t VALUES (1, 'a'); UPDATE t SET id = 2, v = 'b'; DELETE FROM t;
             INSERT INTO kept VALUES (1, 'x'); DELETE FROM kept",
        )
        .await;
    place.catch_up(&manifest).await;
    // Two rows of one change, and no delete where no statement says so.
    assert_eq!(place.found("SELECT what FROM log ORDER BY n").await, "t 1A\n-1\nt 2B\n-2\nk 1x\nk 1x");
}

#[tokio::test]
async fn truncates_reach_public_rows_that_may_be_deleted() {
    let (place, manifest) = names_place(false).await;
    place.catch_up(&manifest).await;
    place.source.execute("TRUNCATE account; INSERT INTO account VALUES (1, 'a', 'b')").await;
    let said = place.catch_up(&manifest).await;
    assert_same(&place.source, ALL, &place.destination, "SELECT id, name, email FROM there").await;
    assert!(said.contains("a table was truncated"), "{said}");
    assert_eq!(place.found("SELECT count(*) FROM names").await, "300");
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let place = Place::new(false, ACCOUNTS, NAMES).await;
    place.source.execute("CREATE TABLE numbers (id int PRIMARY KEY, v text)").await;
    let check = async |statements: &[(&str, &str, &str)], what: &str, hint: &str| {
        let manifest = place
            .manifest(&[("p", public(statements))], &[("c", "p", sql("INSERT INTO log (what) VALUES (:id)", None))]);
        let said = place.stops(&manifest).await;
        assert!(said.contains(what) && said.contains(hint), "{what} / {hint}:\n{said}");
    };
    let insert = |sql: &'static str| [("insert", "account", sql)];
    check(
        &insert("SELECT id FROM account WHERE id = :idd"),
        "its insert of public.account names :idd, and the table has id",
        "did you mean :id?",
    )
    .await;
    // A row that was deleted is not there to be read.
    check(
        &[
            ("insert", "account", "SELECT id FROM account WHERE id = :id"),
            ("delete", "account", "SELECT id FROM account WHERE id IN (:id)"),
        ],
        "its delete of public.account reads the table, where the row that was deleted no longer is",
        "by its key alone (WHERE id = :id)",
    )
    .await;
    check(
        &insert("SELECT id, nme FROM account WHERE id = :id"),
        "column \"nme\" does not exist",
        "correct the statement",
    )
    .await;
    check(
        &insert("SELECT id, lower(email) || '' FROM account WHERE id = :id"),
        "a column without a name",
        "AS \"name\"",
    )
    .await;
    check(&insert("SELECT id, email AS id FROM account WHERE id = :id"), "gives two columns \"id\"", "another name")
        .await;
    check(
        &insert("SELECT 1 AS id; SELECT 2"),
        "the insert of `account` in public schema `p` can't be run: it has several",
        "write one",
    )
    .await;
    check(&insert("DELETE FROM account RETURNING id"), "is a DELETE", "SELECT").await;
    check(&insert("SELECT 1 AS id WHERE :id = $1"), "both :id and $1", "everywhere").await;
    check(&[("insert", "acount", "SELECT 1 AS id")], "acount", "-").await;
    check(&[("delete", "account", "SELECT :id AS id")], "no statement for new or changed rows", "insert").await;
    check(
        &[("insert", "account", NAME), ("update", "account", "SELECT id, email FROM account WHERE id = :id")],
        "its update of public.account gives id (integer), email (text), and its insert",
        "the same columns",
    )
    .await;
    check(
        &[("insert", "account", NAME), ("delete", "account", "SELECT id FROM account WHERE email = :email")],
        "a DELETE there says id alone",
        "REPLICA IDENTITY FULL",
    )
    .await;
    check(
        &[("insert", "account", NAME), ("delete", "account", "SELECT 'x' AS email")],
        "does not give \"id\", which is part of the key",
        "select \"id\" too",
    )
    .await;
    // A row that the statement can't take is named by its place, never by its values.
    place.source.execute("DROP PUBLICATION IF EXISTS x").await;
    let fresh = Place { source: database().await, destination: database().await, store: false };
    fresh.source.execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    fresh.destination.execute(NAMES).await;
    let statements = public(&[("insert", "t", "SELECT id, v::int AS v FROM t WHERE id = :id")]);
    let manifest =
        fresh.manifest(&[("p", statements)], &[("c", "p", sql("INSERT INTO log (what) VALUES (:id)", None))]);
    fresh.catch_up(&manifest).await;
    fresh.source.execute("INSERT INTO t SELECT i, i FROM generate_series(1, 100) i; BEGIN; INSERT INTO t VALUES (101, '1'); INSERT INTO t VALUES (102, 'secret'); COMMIT").await;
    let said = fresh.stops(&manifest).await;
    assert!(
        said.contains("cannot run its insert of public.t at ") && said.contains(", change 1") && said.contains("22P02"),
        "{said}"
    );
    assert!(!said.contains("secret") && said.contains("NULLIF"), "{said}");
}

#[tokio::test]
async fn a_table_that_grows_is_followed() {
    let place = Place::new(false, ACCOUNTS, NAMES).await;
    let statements = public(&[("insert update", "account", "SELECT a.* FROM account a WHERE a.id = :id")]);
    let there = json!({ "consumerSchemaType": "table", "table": "public.there", "createTable": true });
    let manifest = place.manifest(&[("p", statements)], &[("c", "p", there)]);
    place.catch_up(&manifest).await;
    let mut pelton = place.sync(&manifest, &[]);
    pelton.start();
    pelton.says("streaming").await;
    place.source.execute("UPDATE account SET email = 'before' WHERE id = 1; ALTER TABLE account ADD age int DEFAULT 7; UPDATE account SET age = 8 WHERE id = 2; INSERT INTO account VALUES (999, 'a', 'b', 'c', 9)").await;
    place.destination.wait_until("EXISTS (SELECT FROM there WHERE id = 999)").await;
    assert_eq!(
        place.found("SELECT id, email, age FROM there WHERE id IN (1, 2, 999) ORDER BY 1").await,
        "1 before 7\n2 e2 8\n999 c 9"
    );
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}
