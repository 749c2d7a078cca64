//! Keys of every type and every replica identity, truncates, projections, and tables that were there.

use crate::flows_setup::{Flow, Line, table};

#[tokio::test]
async fn rows_are_kept_equal_by_keys_of_every_type() {
    let line = Line::new().await;
    line.source("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'glad'); CREATE TYPE pair AS (a int, b text)").await;
    line.destination.execute("CREATE TYPE pair AS (a int, b text)").await;
    // (type, four values in their order): the first is updated, the second takes a fifth's key, the third goes.
    let keys = [
        ("boolean", ["false", "true", "", ""]),
        ("smallint", ["-32768", "-1", "0", "32767"]),
        ("bigint", ["-9223372036854775808", "-1", "0", "9223372036854775807"]),
        ("numeric", ["-Infinity", "1.0", "1.5", "NaN"]),
        ("double precision", ["-Infinity", "-0.1", "1e300", "NaN"]),
        ("text", ["", "a\\b'c", "B", "ä"]),
        ("varchar(9)", ["", " a", "a ", "漢字"]),
        ("char(5)", ["", "a", "b", "ccccc"]),
        ("text COLLATE \"C\"", ["", "B", "a", "ä"]),
        (
            "uuid",
            [
                "00000000-0000-0000-0000-000000000000",
                "11111111-1111-1111-1111-111111111111",
                "aaaaaaaa-0000-0000-0000-000000000000",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
            ],
        ),
        ("bytea", ["", "\\x00", "\\x00ff", "\\xff"]),
        ("date", ["-infinity", "0044-03-15 BC", "2024-01-01", "infinity"]),
        ("time", ["00:00:00", "12:00:00", "13:00:00", "24:00:00"]),
        ("timetz", ["00:00:00+01", "12:00:00+00", "13:00:00-02", "24:00:00-01"]),
        ("timestamp", ["-infinity", "0044-03-15 12:00:00 BC", "2024-01-01 00:00:00.000001", "infinity"]),
        ("timestamptz", ["-infinity", "0044-03-15 12:00:00+00 BC", "2024-01-01 00:00:00+00", "infinity"]),
        ("interval", ["-1 year", "0", "1 mon", "31 days"]),
        ("jsonb", ["\"\"", "1.0", "2", "{\"a\": [1]}"]),
        ("inet", ["0.0.0.0/0", "10.0.0.1/8", "10.0.0.2", "::1"]),
        ("bit varying(8)", ["", "0", "01", "11111111"]),
        ("money", ["-1.00", "0.00", "0.01", "2.00"]),
        ("pg_lsn", ["0/0", "0/1", "1/0", "FFFFFFFF/FFFFFFFF"]),
        ("oid", ["0", "1", "2", "4294967295"]),
        ("int4range", ["empty", "(,1)", "[1,2)", "[5,)"]),
        ("int[]", ["{}", "{1}", "{1,NULL}", "{2}"]),
        ("mood", ["sad", "ok", "happy", "glad"]),
        ("pair", ["(,)", "(1,a)", "(1,b)", "(2,\"x,y\")"]),
        ("macaddr", ["00:00:00:00:00:00", "00:00:00:00:00:01", "10:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"]),
    ];
    let (mut names, mut flows, mut changes) = (Vec::new(), Vec::new(), String::new());
    for (index, (kind, [a, b, c, d])) in keys.iter().enumerate() {
        let name = format!("k{index}");
        let literal = |text: &str| format!("'{}'::{kind}", text.replace('\'', "''"));
        let (a, b, c, d) = (literal(a), literal(b), literal(c), literal(d));
        line.source(&format!(
            "CREATE TABLE {name} (v text, k {kind} PRIMARY KEY); INSERT INTO {name} VALUES ('a', {a}), ('b', {b})"
        ))
        .await;
        if *kind == "boolean" {
            changes += &format!(
                "UPDATE {name} SET v = 'x' WHERE k; DELETE FROM {name} WHERE NOT k; UPDATE {name} SET k = false;"
            );
        } else {
            line.source(&format!("INSERT INTO {name} VALUES ('c', {c})")).await;
            changes += &format!(
                "UPDATE {name} SET v = 'x' WHERE k = {a}; DELETE FROM {name} WHERE k = {c};
                 UPDATE {name} SET k = {d} WHERE k = {b}; INSERT INTO {name} VALUES ('again', {b});
                 DELETE FROM {name} WHERE k = {b}; INSERT INTO {name} VALUES ('again', {b});"
            );
        }
        flows.push(table(&name));
        names.push(name);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let manifest = line.manifest(&flows);
    line.catch_up(&manifest).await;
    line.assert_equal(&names).await;
    line.source(&changes).await;
    line.catch_up(&manifest).await;
    line.assert_equal(&names).await;
}

#[tokio::test]
async fn every_replica_identity_is_followed_and_nothing_is_refused_with_its_mend() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE full_key (id int PRIMARY KEY, big text, n numeric); ALTER TABLE full_key REPLICA IDENTITY FULL;
         CREATE TABLE full_bare (a int, b numeric, big text); ALTER TABLE full_bare REPLICA IDENTITY FULL;
         CREATE TABLE by_index (id int PRIMARY KEY, code text NOT NULL UNIQUE, big text);
         ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code_key;
         CREATE TABLE by_default (x int, y text, big text, PRIMARY KEY (y, x));
         CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
         CREATE TABLE bare (a int);
         CREATE FUNCTION long(int) RETURNS text LANGUAGE sql AS
             $$ SELECT string_agg(md5(($1 * n)::text), '') FROM generate_series(1, 400) AS n $$;
         ALTER TABLE full_key ALTER big SET STORAGE EXTERNAL; ALTER TABLE full_bare ALTER big SET STORAGE EXTERNAL;
         ALTER TABLE by_index ALTER big SET STORAGE EXTERNAL; ALTER TABLE by_default ALTER big SET STORAGE EXTERNAL;
         INSERT INTO full_key SELECT n, long(n), n FROM generate_series(1, 9) AS n;
         INSERT INTO full_bare SELECT n / 3, 1.0, long(n / 3) FROM generate_series(1, 9) AS n;
         INSERT INTO full_bare VALUES (1, 1.00, NULL), (NULL, NULL, NULL), (NULL, NULL, NULL);
         INSERT INTO by_index SELECT n, 'c' || n, long(n) FROM generate_series(1, 9) AS n;
         INSERT INTO by_default SELECT n, 'y', long(n) FROM generate_series(1, 9) AS n",
    )
    .await;
    let good = ["full_key", "full_bare", "by_index", "by_default"];
    let manifest = line.manifest(&good.map(table));
    line.catch_up(&manifest).await;
    line.assert_equal(&good).await;
    // Large values that an update leaves alone, keys that change, rows that look alike.
    let changes = "
        UPDATE full_key SET n = n + 1; UPDATE full_key SET id = 100 WHERE id = 1; DELETE FROM full_key WHERE id = 2;
        UPDATE full_bare SET a = 50 WHERE ctid = (SELECT min(ctid) FROM full_bare WHERE a = 1);
        UPDATE full_bare SET b = 7 WHERE ctid = (SELECT min(ctid) FROM full_bare WHERE a IS NULL);
        DELETE FROM full_bare WHERE ctid = (SELECT min(ctid) FROM full_bare WHERE a = 2);
        DELETE FROM full_bare WHERE b::text = '1.00';
        UPDATE by_index SET id = id + 10 WHERE id < 5; UPDATE by_index SET code = 'd' WHERE id = 6;
        DELETE FROM by_index WHERE id = 7; INSERT INTO by_index VALUES (70, 'c7', NULL);
        UPDATE by_default SET x = x + 100 WHERE x < 4; UPDATE by_default SET y = 'z' WHERE x = 5;
        UPDATE by_default SET big = NULL WHERE x = 6; DELETE FROM by_default WHERE x = 7";
    line.source(&format!("BEGIN; {changes}; COMMIT")).await;
    line.catch_up(&manifest).await;
    line.assert_equal(&good).await;

    let with_refused: Vec<Flow> = good.iter().chain(&["nothing", "bare"]).map(|name| table(name)).collect();
    line.source("INSERT INTO full_key VALUES (500, 'x', 5); INSERT INTO nothing VALUES (1); UPDATE bare SET a = 2")
        .await;
    let said = line.stop(&line.manifest(&with_refused)).await;
    assert!(said.contains("nothing") && said.contains("REPLICA IDENTITY DEFAULT"), "{said}");
    assert!(said.contains("bare") && said.contains("REPLICA IDENTITY FULL"), "{said}");
    line.assert_equal(&good).await;
    line.source("UPDATE nothing SET id = 2; DELETE FROM bare").await;
}

#[tokio::test]
async fn truncates_of_one_several_and_what_refers_to_them() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);
         CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE);
         INSERT INTO a SELECT generate_series(1, 9); INSERT INTO b SELECT generate_series(1, 9);
         INSERT INTO c SELECT n, n FROM generate_series(1, 9) AS n",
    )
    .await;
    // Refers to the other at the destination too.
    line.destination
        .execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a)")
        .await;
    let names = ["a", "b", "c"];
    let manifest = line.manifest(&names.map(table));
    line.catch_up(&manifest).await;
    for changes in [
        "TRUNCATE b; INSERT INTO b VALUES (1)",
        "BEGIN; INSERT INTO b VALUES (2); TRUNCATE a, c; INSERT INTO a VALUES (1); INSERT INTO c VALUES (1, 1); COMMIT",
        "TRUNCATE a CASCADE",
        "INSERT INTO a VALUES (3); BEGIN; TRUNCATE a, b, c RESTART IDENTITY; ROLLBACK",
    ] {
        line.source(changes).await;
        line.catch_up(&manifest).await;
        line.assert_equal(&names).await;
    }
}

#[tokio::test]
async fn a_projection_cuts_renames_and_fits_into_a_table_with_columns_of_its_own() {
    let line = Line::new().await;
    line.source(
        "CREATE SCHEMA \"Odd Schema\";
         CREATE TABLE \"Odd Schema\".\"T.x\" (\"the id\" int, region text, secret text, \"Ä\" numeric, PRIMARY KEY (\"the id\", region));
         INSERT INTO \"Odd Schema\".\"T.x\" SELECT n, 'eu', 'hidden', n FROM generate_series(1, 100) AS n",
    )
    .await;
    line.destination
        .execute(
            "CREATE TABLE own (note text DEFAULT 'ours', amount numeric, region text, id bigint, seen int NOT NULL DEFAULT 0,
                               PRIMARY KEY (id, region))",
        )
        .await;
    let config =
        r#"publicSchemaType: table, table: '"Odd Schema"."T.x"', columns: [{ id: the id }, region, { amount: Ä }]"#;
    let manifest =
        line.manifest(&[Flow::new("odd", config).into("own", "createTable: false").into("made", "createTable: true")]);
    line.catch_up(&manifest).await;
    line.destination.execute("UPDATE own SET seen = 1, note = 'kept' WHERE id <= 3").await;
    line.source(
        "UPDATE \"Odd Schema\".\"T.x\" SET \"Ä\" = -1 WHERE \"the id\" = 1;
         UPDATE \"Odd Schema\".\"T.x\" SET region = 'us' WHERE \"the id\" = 2;
         DELETE FROM \"Odd Schema\".\"T.x\" WHERE \"the id\" = 5;
         INSERT INTO \"Odd Schema\".\"T.x\" VALUES (5, 'eu', 'hidden', 55)",
    )
    .await;
    line.catch_up(&manifest).await;
    let source = "SELECT \"the id\", region, \"Ä\" FROM \"Odd Schema\".\"T.x\"";
    line.assert_same(source, "SELECT id, region, amount FROM own").await;
    line.assert_same(source, "SELECT id, region, amount FROM made").await;
    let kept = "SELECT count(*) FROM own WHERE seen = 1 AND note = 'kept' AND id IN (1, 2, 3)";
    assert_eq!(line.destination.value(kept).await, "3");
}
