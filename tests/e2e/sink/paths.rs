//! Single situations that the random workload reaches too seldom or can't compare.

use pelton::change::{Op, Row};
use pelton::sink::{Addressed, SinkError, WriteStats};

use super::model::{Cell, Writing, parse, row, target};
use crate::support::{Database, database};

/// Writes rows in one batch padded with rows of another key range, so that it is folded, and compares what is left.
async fn check(ddl: &str, columns: &str, before: &str, rows: &[&str], expected: &str) -> WriteStats {
    let database = database().await;
    database.execute(&format!("CREATE TABLE t ({ddl}); {before}")).await;
    let mut writing = Writing::to(&database, vec![target("public", "t", columns)]).await;
    let mut batch: Vec<(usize, Row)> = rows.iter().map(|text| (0, parse(text))).collect();
    batch.extend((0..60).map(|n| (0, parse(&format!("delete {}|…", 1_000 + n)))));
    let stats = writing.rows(&batch).await.expect("the rows are written");
    assert_eq!(contents(&database).await, expected, "{rows:?}");
    stats
}

async fn contents(database: &Database) -> String {
    let rows = database.rows("SELECT t::text FROM t ORDER BY 1").await;
    rows.into_iter().map(|mut row| row.remove(0).unwrap()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn folds_what_happens_to_a_key() {
    let folded = |rows: &'static [&'static str], expected: &'static str| {
        let before = "INSERT INTO t VALUES (1, 'old')";
        async move {
            check("id int8 PRIMARY KEY, v text", "id int8 key, v text", before, rows, expected).await;
        }
    };
    folded(&["insert 2|a", "delete 2|…"], "(1,old)").await;
    folded(&["insert 1|a", "delete 1|…"], "").await;
    folded(&["delete 1|…", "insert 1|a"], "(1,a)").await;
    folded(&["delete 1|…", "update 1|…"], "").await;
    folded(&["update 1|a", "update 1|…"], "(1,a)").await;
    folded(&["update 1|…"], "(1,old)").await;
    folded(&["insert 2|a", "truncate", "insert 3|b", "delete 3|…", "insert 4|c"], "(4,c)").await;
    folded(&["insert 2|a", "update 3|b from 2", "update 4|c from 3"], "(1,old) (4,c)").await;
    folded(&["update 2|… from 1"], "(2,old)").await;
    folded(&["insert 2|two", "update 2|… from 1"], "(2,old)").await;
    folded(&["update 2|a from 1", "insert 1|b"], "(1,b) (2,a)").await;
}

#[tokio::test]
async fn an_update_of_some_columns_never_invents_a_row() {
    let columns = "id int8 key, v text, w text";
    let rows = ["update 1|new|…", "update 2|new|…"];
    let database = database().await;
    database.execute("CREATE TABLE t (id int8 PRIMARY KEY, v text, w text); INSERT INTO t VALUES (1, 'v', 'w')").await;
    let mut writing = Writing::to(&database, vec![target("public", "t", columns)]).await;
    let stats = writing.texts(&rows).await.unwrap();
    assert_eq!((stats.updated, stats.missing), (1, 1));
    let many: Vec<String> = (0..100).map(|id| format!("update {id}|newer|…")).collect();
    let stats = writing.texts(&many.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap();
    assert_eq!((stats.updated, stats.missing), (1, 99));
    assert_eq!(contents(&database).await, "(1,newer,w)");
}

#[tokio::test]
async fn new_rows_are_copied_and_merged_where_they_exist() {
    let database = database().await;
    database.execute("CREATE TABLE t (id int8 PRIMARY KEY, v text)").await;
    let mut writing = Writing::to(&database, vec![target("public", "t", "id int8 key, v text")]).await;
    let rows = |from: u32, v: &str| -> Vec<(usize, Row)> {
        (from..from + 1_000).map(|id| (0, parse(&format!("insert {id}|{v}")))).collect()
    };
    let stats = writing.rows(&rows(0, "a")).await.unwrap();
    assert_eq!((stats.copied, stats.upserted), (1_000, 0));
    // Half of them are there: the COPY fails, and nothing of it stays.
    let stats = writing.rows(&rows(500, "b")).await.unwrap();
    assert_eq!((stats.copied, stats.upserted), (0, 1_000));
    assert_eq!(database.value("SELECT count(*) || ',' || count(*) FILTER (WHERE v = 'b') FROM t").await, "1500,1000");
    // It learns from that.
    let stats = writing.rows(&rows(1_500, "c")).await.unwrap();
    assert_eq!((stats.copied, stats.upserted), (0, 1_000));
}

/// A refusal comes in pieces when the server says something before it; nothing may wait for a later statement's answer
/// while nobody reads them.
#[tokio::test]
async fn a_refusal_in_pieces_holds_nothing_up() {
    let database = database().await;
    database
        .execute(
            // The many tables keep the server busy between its refusal and its being ready again.
            "CREATE FUNCTION talk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 FOR n IN 1..300 LOOP EXECUTE format('CREATE TABLE public.t%s ()', n); END LOOP;
                 RAISE WARNING 'well'; PERFORM pg_sleep(0.02); RAISE EXCEPTION 'no';
             END $$;
             CREATE TABLE t (id int8 PRIMARY KEY, v text);
             CREATE TRIGGER talk BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION talk()",
        )
        .await;
    let mut writing = Writing::to(&database, vec![target("public", "t", "id int8 key, v text")]).await;
    // The second is a statement of its own, which is prepared while the first is at work.
    let written = writing.texts(&["insert 1|a", "delete 1|…"]);
    let error = tokio::time::timeout(std::time::Duration::from_secs(20), written).await.expect("it ends").unwrap_err();
    assert_eq!(error.sqlstate(), Some("P0001"));
}

/// A statement that is refused right before a COPY: the COPY is not sent, and what was refused is not taken for its own.
#[tokio::test]
async fn a_refusal_before_a_copy_is_not_the_copys_own() {
    for copied in [0, 1] {
        let database = database().await;
        database
            .execute(
                "CREATE TABLE t (id int8 PRIMARY KEY, u int8 UNIQUE); CREATE TABLE log (id int8, u int8);
                 INSERT INTO t VALUES (1, 5), (2, 6)",
            )
            .await;
        let targets = vec![target("public", "t", "id int8 key, u int8"), target("public", "log", "id int8, u int8")];
        let mut writing = Writing::to(&database, targets).await;
        let new = |from: i32| (from..from + 300).map(move |id| (copied, parse(&format!("insert {id}|{id}"))));
        // The first one prepares the COPY, which would otherwise be what notices the refusal.
        let stats = writing.rows(&new(1_000).collect::<Vec<_>>()).await.unwrap();
        assert_eq!(stats.copied, 300);
        let swap = ["update 1|9", "update 2|5", "update 1|6"].map(|text| (0, parse(text)));
        let stats = writing.rows(&swap.into_iter().chain(new(2_000)).collect::<Vec<_>>()).await.unwrap();
        assert_eq!(stats.fallbacks, 1);
        let swapped = database.value("SELECT string_agg(u::text, ',' ORDER BY id) FROM t WHERE id < 3").await;
        assert_eq!(swapped, "6,5");
        let table = ["t", "log"][copied];
        assert_eq!(database.value(&format!("SELECT count(*) FROM {table} WHERE id >= 1000")).await, "600");
        // Each answer still belongs to its question.
        assert_eq!(writing.client.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0), 7);
    }
}

/// Which rows are one is for the column's own collation to say.
#[tokio::test]
async fn keys_that_a_collation_makes_equal_are_one_row() {
    let database = database().await;
    database
        .execute(
            "CREATE SCHEMA \"S\"; CREATE COLLATION \"S\".\"lo\"\"ose\" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             CREATE TABLE t (id text COLLATE \"S\".\"lo\"\"ose\", n int8, v text, PRIMARY KEY (id, n))",
        )
        .await;
    let mut writing = Writing::to(&database, vec![target("public", "t", "id text key, n int8 key, v text")]).await;
    // Enough for arrays, in a batch that is folded as far as such keys allow; whole rows, and then parts of them.
    for unchanged in ["x", "…"] {
        let mut rows: Vec<(usize, Row)> = Vec::new();
        for n in 0..30 {
            for (letter, value) in [("A", "old"), ("a", "new")] {
                let value = if unchanged == "…" { format!("{value}er") } else { value.to_owned() };
                rows.push((0, parse(&format!("update {letter}{n}|{n}|{value}"))));
            }
        }
        writing.rows(&rows).await.unwrap();
    }
    let sql = "SELECT count(*) || ' ' || min(v) || ' ' || max(v) || ' ' || string_agg(DISTINCT left(id, 1) COLLATE \"C\", '') FROM t";
    assert_eq!(database.value(sql).await, "30 newer newer a");
    // A key that changes its letters is the same key: the row doesn't make room for itself.
    let stats = writing.texts(&["update A7|7|… from a7|7"]).await.unwrap();
    assert_eq!((stats.updated, stats.missing), (1, 0));
    assert_eq!(database.value("SELECT id || ' ' || v FROM t WHERE n = 7").await, "A7 newer");
}

/// A partition has its table's foreign keys, and its order among other tables.
#[tokio::test]
async fn a_partition_is_written_after_the_tables_it_refers_to() {
    let database = database().await;
    database
        .execute(
            "CREATE TABLE parent (id int8 PRIMARY KEY);
             CREATE TABLE child (id int8 PRIMARY KEY, parent int8 REFERENCES parent) PARTITION BY RANGE (id);
             CREATE TABLE child_1 PARTITION OF child FOR VALUES FROM (0) TO (1000)",
        )
        .await;
    let targets =
        vec![target("public", "child_1", "id int8 key, parent int8"), target("public", "parent", "id int8 key")];
    let mut writing = Writing::to(&database, targets).await;
    let rows = |from: u32| {
        let parents = (from..from + 40).map(|id| (1, parse(&format!("insert {id}"))));
        let children = (from..from + 40).map(|id| (0, parse(&format!("insert {id}|{id}"))));
        parents.chain(children).collect::<Vec<_>>()
    };
    let stats = writing.rows(&rows(0)).await.unwrap();
    assert_eq!((stats.folded, stats.fallbacks), (80, 0));
    // All of the whole table's rows can be emptied together with what they refer to, its partitions being its own.
    let targets =
        vec![target("public", "child", "id int8 key, parent int8"), target("public", "parent", "id int8 key")];
    let mut writing = Writing::to(&database, targets).await;
    let mut again = vec![(0, parse("truncate")), (1, parse("truncate"))];
    again.extend(rows(40));
    let before = database.value("SELECT pg_relation_filenode('parent')").await;
    let stats = writing.rows(&again).await.unwrap();
    assert_eq!((stats.truncated, stats.fallbacks), (2, 0));
    assert_ne!(database.value("SELECT pg_relation_filenode('parent')").await, before, "it was deleted row by row");
    assert_eq!(database.value("SELECT min(id) || ' ' || count(*) FROM child").await, "40 40");
}

#[tokio::test]
async fn unique_values_swap_in_source_order_or_deferred() {
    let swap = ["update 1|9", "update 2|5", "update 1|6"];
    let before = "INSERT INTO t VALUES (1, 5), (2, 6)";
    let stats = check("id int8 PRIMARY KEY, u int8 UNIQUE", "id int8 key, u int8", before, &swap, "(1,6) (2,5)").await;
    assert_eq!(stats.fallbacks, 1);
    // A swap in one statement passes at the source by a deferrable constraint, and here by the same.
    let ddl = "id int8 PRIMARY KEY, u int8 UNIQUE DEFERRABLE INITIALLY IMMEDIATE";
    let stats = check(ddl, "id int8 key, u int8", before, &["update 1|6", "update 2|5"], "(1,6) (2,5)").await;
    assert_eq!(stats.fallbacks, 0);
}

#[tokio::test]
async fn a_deferred_constraint_that_does_not_hold_fails_the_commit() {
    let database = database().await;
    database.execute("CREATE TABLE t (id int8 PRIMARY KEY, u int8 UNIQUE DEFERRABLE)").await;
    let mut writing = Writing::to(&database, vec![target("public", "t", "id int8 key, u int8")]).await;
    let error = writing.texts(&["insert 1|77", "insert 2|77"]).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("23505"));
    assert!(!shown(&error).contains("77"), "{}", shown(&error));
    assert_eq!(contents(&database).await, "");
}

fn shown(error: &SinkError) -> String {
    let mut text = format!("{error}\n{error:?}\n{:?}", error.hint());
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!("\n{error}\n{error:?}"));
        source = error.source();
    }
    text
}

#[tokio::test]
async fn errors_name_what_failed_and_never_show_values() {
    let ddl = "CREATE TABLE t (id int8 PRIMARY KEY, n int4, s varchar(3), d date, m numeric(4, 2) CHECK (m <> 13.13));
               CREATE TYPE mood AS ENUM ('a'); CREATE TABLE e (id int8 PRIMARY KEY, m mood, u text UNIQUE)";
    let database = database().await;
    database.execute(ddl).await;
    let mut t = target("public", "t", "id int8 key, n int4, s text, d date, m numeric");
    t.public.columns[4].type_modifier = (4 << 16) + 2 + 4;
    let e = target("public", "e", "id int8 key, m text, u text");
    let mut writing = Writing::to(&database, vec![t, e]).await;
    let bad: &[(usize, &str, &str, &str)] = &[
        (0, "insert 1|secret1|~|~|~", "secret1", "22P02"),
        (0, "insert 1|987654321987|~|~|~", "987654321987", "22003"),
        (0, "insert 1|~|secret2|~|~", "secret2", "22001"),
        (0, "insert 1|~|~|2024-13-77|~", "2024-13-77", "22008"),
        (0, "insert 1|~|~|~|98765.4", "98765", "22003"),
        (0, "insert 1|~|~|~|13.13", "13.13", "23514"),
        (1, "insert 1|secret3|~", "secret3", "22P02"),
    ];
    for &(table, text, secret, code) in bad {
        // Alone, in arrays, and by COPY.
        for padding in [0, 60, 400] {
            let mut rows = vec![(table, parse(text))];
            let width = if table == 0 { 5 } else { 3 };
            for id in 0..padding {
                let mut cells = vec![Cell::Null; width];
                cells[0] = Cell::Text((100 + id).to_string());
                rows.push((table, row(Op::Insert, &cells, None)));
            }
            let error = writing.rows(&rows).await.unwrap_err();
            assert_eq!(error.sqlstate(), Some(code), "{text} among {padding}: {}", shown(&error));
            assert_eq!(error.table_index(), Some(table));
            assert!(!error.is_transient());
            assert!(error.hint().is_some());
            assert!(!shown(&error).contains(secret), "{}", shown(&error));
        }
    }
    writing.texts(&["insert 1|1|a|2024-01-01|1"]).await.unwrap();
    let twice: Vec<_> = (0..60).map(|id| (1, parse(&format!("insert {id}|a|secret4")))).collect();
    let error = writing.rows(&twice).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("23505"));
    assert!(shown(&error).contains("e_u_key") && !shown(&error).contains("secret4"), "{}", shown(&error));
    let error = writing.texts(&["insert ~|1|a|2024-01-01|1"]).await.unwrap_err();
    assert!(matches!(error, SinkError::NullKey { .. }));
    let error = writing.texts(&["insert 1|1|a"]).await.unwrap_err();
    assert!(matches!(error, SinkError::ColumnCount { expected: 5, found: 3, .. }));
    let error = writing.texts(&["update …|1|a|~|~"]).await.unwrap_err();
    assert!(matches!(error, SinkError::ValueUnknown { .. }));
}

#[tokio::test]
async fn refusals_that_pass_by_themselves_are_transient() {
    let database = database().await;
    database.execute("CREATE TABLE t (id int8 PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')").await;
    let mut writing = Writing::to(&database, vec![target("public", "t", "id int8 key, v text")]).await;
    let other = database.connect().await;
    other.batch_execute("BEGIN; SELECT * FROM t FOR UPDATE").await.unwrap();
    writing.client.batch_execute("SET lock_timeout = '20ms'").await.unwrap();
    let error = writing.texts(&["update 1|b"]).await.unwrap_err();
    assert!(error.is_transient() && error.sqlstate() == Some("55P03"), "{}", shown(&error));
    other.batch_execute("ROLLBACK").await.unwrap();
    writing.client.batch_execute("SET default_transaction_read_only = on").await.unwrap();
    let error = writing.texts(&["update 1|b"]).await.unwrap_err();
    assert!(error.is_transient() && error.sqlstate() == Some("25006"), "{}", shown(&error));
    assert!(error.hint().unwrap().contains("read-only"));
    writing.client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    writing.texts(&["update 1|b"]).await.unwrap();
    other
        .batch_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .await
        .unwrap();
    let row = parse("update 1|c");
    let error = writing.destination.write(&writing.client, &[Addressed { table: 0, row: &row }]).await.unwrap_err();
    assert!(error.is_transient(), "{}", shown(&error));
}

#[tokio::test]
async fn binary_values_arrive_as_they_are() {
    let database = database().await;
    let ddl = "CREATE TABLE t (id bytea PRIMARY KEY, n int8, u uuid, j jsonb, b bytea, f float8)";
    database.execute(ddl).await;
    let columns = "id bytea key, n int8, u uuid, j jsonb, b bytea, f float8";
    let mut writing = Writing::to(&database, vec![target("public", "t", columns)]).await;
    let values = format!(
        "b:00ff|b:{}|b:{}|b:01{}|b:5c0a09|b:{}",
        hex::encode((-7i64).to_be_bytes()),
        "a0".repeat(16),
        hex::encode("{}"),
        hex::encode(0.1f64.to_be_bytes())
    );
    let expected = "(\"\\\\x00ff\",-7,a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0,{},\"\\\\x5c0a09\",0.1)";
    writing.texts(&[&format!("insert {values}")]).await.unwrap();
    assert_eq!(contents(&database).await, expected);
    // By COPY, by arrays; the key in both forms is one key.
    for (count, text) in [(400, "insert"), (60, "update")] {
        let mut rows = vec![(0, parse("truncate"))];
        for n in 0..count {
            let key = format!("b:{:08x}", n);
            rows.push((0, parse(&format!("{text} {}", values.replacen("b:00ff", &key, 1)))));
        }
        rows.push((0, parse(&format!("{text} \\x00000001|1|~|~|~|~"))));
        writing.rows(&rows).await.unwrap();
        assert_eq!(database.value("SELECT count(*) FROM t").await, count.to_string());
        let rest = expected.split_once(',').unwrap().1;
        let sql = format!("SELECT count(*) FROM t WHERE t::text LIKE '%{}'", rest.replace('\\', "\\\\"));
        assert_eq!(database.value(&sql).await, (count - 1).to_string());
    }
    let error = writing.texts(&["insert \\x01|b:00|~|~|~|~"]).await.unwrap_err();
    assert!(matches!(error, SinkError::BinaryValue { .. }), "{error}");
}

#[tokio::test]
async fn a_huge_transaction_comes_in_pieces() {
    let database = database().await;
    database.execute("CREATE TABLE t (id int8 PRIMARY KEY, v text)").await;
    let mut writing = Writing::to(&database, vec![target("public", "t", "id int8 key, v text")]).await;
    writing.client.batch_execute("BEGIN").await.unwrap();
    for piece in 0..20 {
        let rows: Vec<Row> = (0..500).map(|n| parse(&format!("insert {}|{piece}", piece * 400 + n))).collect();
        let rows: Vec<_> = rows.iter().map(|row| Addressed { table: 0, row }).collect();
        writing.destination.write(&writing.client, &rows).await.unwrap();
    }
    assert_eq!(database.value("SELECT count(*) FROM t").await, "0");
    writing.client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(database.value("SELECT count(*) || ',' || max(v::int) FROM t").await, "8100,19");
}

#[tokio::test]
async fn rows_under_row_security_go_without_copy() {
    let database = database().await;
    let role = format!("{}_rls", database.name());
    let ddl = format!(
        "CREATE TABLE t (id int8 PRIMARY KEY, v text); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
         CREATE POLICY everything ON t USING (true); CREATE ROLE {role};
         GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON t TO {role}"
    );
    database.execute(&ddl).await;
    let client = super::model::session(&database).await;
    client.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
    let mut writing = Writing::over(client, vec![target("public", "t", "id int8 key, v text")]).await;
    let rows: Vec<_> = (0..500).map(|id| (0, parse(&format!("insert {id}|a")))).collect();
    let stats = writing.rows(&rows).await.unwrap();
    assert_eq!((stats.copied, stats.upserted), (0, 500));
    // Without the privilege to truncate, rows are deleted.
    writing.texts(&["truncate"]).await.unwrap();
    assert_eq!(contents(&database).await, "");
    drop(writing);
    database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
