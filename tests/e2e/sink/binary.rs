//! COPY in binary form: what Postgres makes of our bytes is what it makes of the text.

use pelton::change::{Op, Row};

use super::model::{Cell, Writing, parse, row, target};
use crate::support::database;

/// A column of every type that has a binary form here, with a random value of it, as SQL over `r`, which is random.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("id", "int8 key", "g * CASE WHEN g % 2 = 0 THEN 1 ELSE -92233720368547 END"),
    ("a", "int2", "(r * 65535 - 32768)::int2"),
    ("b", "int4", "(r * 4294967295 - 2147483648)::int4"),
    ("c", "bool", "r < 0.5"),
    ("d", "float4", "((r - 0.5) * 10 ^ (g % 70 - 35))::float4"),
    ("e", "float8", "(r - 0.5) * 10 ^ (g % 600 - 300)"),
    ("f", "numeric", "round((r - 0.5)::numeric * (10::numeric ^ (g % 40)), g % 23)"),
    (
        "h",
        "numeric",
        "(CASE WHEN g % 9 = 0 THEN 'NaN' ELSE repeat('0', g % 7) || g || repeat('0', g % 9) END)::numeric",
    ),
    ("i", "text", "chr(1 + (r * 5000)::int) || repeat(E'a\\\\\\t\\n\\r\"', g % 9)"),
    ("j", "bytea", "decode(md5(r::text), 'hex')"),
    ("k", "uuid", "md5(r::text)::uuid"),
    ("l", "json", "json_build_object('a', r, 'b', E'\\\\ \\n\"')"),
    ("m", "jsonb", "jsonb_build_object('a', r, 'b', E'\\\\ \\n\"')"),
    ("n", "date", "date '0001-01-01' + (r * 3652058)::int"),
    ("o", "time", "time '00:00' + r * interval '86399 s'"),
    ("p", "timestamp", "timestamp '0001-01-01' + r * interval '3652058 days'"),
    ("q", "timestamptz", "timestamptz '0001-01-01 00:00+00' + r * interval '3652058 days'"),
];

/// What a destination may have in the place of that: modifiers, wider types, texts, a domain.
const OTHERS: &[(&str, &str)] = &[
    ("a", "int8"),
    ("b", "numeric"),
    ("d", "float8"),
    ("f", "numeric(120,60)"),
    ("h", "text"),
    ("i", "varchar(60)"),
    ("j", "text"),
    ("l", "jsonb"),
    ("n", "text"),
    ("q", "timestamptz(6)"),
    ("k", "public.token"),
];

#[tokio::test]
async fn every_plain_value_is_the_one_that_its_text_stands_for() {
    const ROWS: usize = 4_000;
    let database = database().await;
    let names: Vec<&str> = COLUMNS.iter().map(|(name, ..)| *name).collect();
    let list = |of: &dyn Fn(usize) -> String| (0..COLUMNS.len()).map(of).collect::<Vec<_>>().join(", ");
    let type_of = |i: usize| COLUMNS[i].1.trim_end_matches(" key");
    let values = list(&|i| {
        // Nulls too.
        let value = COLUMNS[i].2;
        if i == 0 {
            format!("{value} AS id")
        } else {
            format!("CASE WHEN g % 17 <> {i} THEN {value} END AS {}", names[i])
        }
    });
    let other = |i: usize| OTHERS.iter().find(|(name, _)| *name == names[i]).map_or(type_of(i), |(_, other)| other);
    let key = |i: usize| if i == 0 { " PRIMARY KEY" } else { "" };
    database
        .execute(&format!(
            "SELECT setseed(0.25); CREATE DOMAIN token AS uuid CHECK (VALUE IS NOT NULL OR true);
             CREATE TABLE s AS SELECT {values} FROM (SELECT g, random() AS r FROM generate_series(1, {ROWS}) g) AS g;
             CREATE TABLE same ({});
             CREATE TABLE other ({})",
            list(&|i| format!("{} {}{}", names[i], type_of(i), key(i))),
            list(&|i| format!("{} {}{}", names[i], other(i), key(i))),
        ))
        .await;
    let public = list(&|i| format!("{} {}", names[i], COLUMNS[i].1));
    let mut targets = vec![target("public", "same", &public), target("public", "other", &public)];
    targets.iter_mut().for_each(|target| target.exact = false);
    let mut writing = Writing::to(&database, targets).await;
    // As the source's session prints them: what format() gives is what a type's output function returns.
    let texts = list(&|i| format!("CASE WHEN {0} IS NOT NULL THEN format('%s', {0}) END", names[i]));
    let pinned = "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET extra_float_digits = 3";
    writing.client.batch_execute(pinned).await.unwrap();
    let found = writing.client.query(&format!("SELECT {texts} FROM public.s"), &[]).await.unwrap();
    let rows: Vec<Vec<Cell>> = found
        .iter()
        .map(|row| {
            let cell = |i| row.get::<_, Option<String>>(i).map_or(Cell::Null, Cell::Text);
            (0..COLUMNS.len()).map(cell).collect()
        })
        .collect();
    for (table, name) in ["same", "other"].into_iter().enumerate() {
        let rows: Vec<(usize, Row)> = rows.iter().map(|cells| (table, row(Op::Insert, cells, None))).collect();
        let stats = writing.rows(&rows).await.unwrap();
        assert_eq!((stats.copied, stats.copied_binary), (ROWS as u64, ROWS as u64), "{name}");
        // Of texts the bytes, of everything else what its own type sends of it, so that no digit is lost in between.
        for (i, n) in names.iter().enumerate() {
            let wanted = if table == 0 { type_of(i) } else { other(i) };
            let differs = format!(
                "SELECT count(*) FROM public.s FULL JOIN public.{name} t USING (id) WHERE record_send(ROW(s.{n}::text::{wanted})) \
                 IS DISTINCT FROM record_send(ROW(t.{n}::{wanted}))"
            );
            let differs = writing.client.query_one(&differs, &[]).await.unwrap().get::<_, i64>(0);
            assert_eq!(differs, 0, "{name}.{n} as {wanted}");
        }
    }
}

#[tokio::test]
async fn a_value_that_is_not_plain_goes_as_text_with_all_behind_it() {
    let database = database().await;
    database.execute("CREATE TABLE t (id int8 PRIMARY KEY, d date, v text)").await;
    let mut writing = Writing::to(&database, vec![target("public", "t", "id int8 key, d date, v text")]).await;
    let insert = |id: u32, day: &str| (0, parse(&format!("insert {id}|{day}|x")));
    let rows = |from: u32, day: &str| -> Vec<(usize, Row)> {
        (0..1_000).map(|n| if n == 600 { insert(from + n, day) } else { insert(from + n, "2024-02-29") }).collect()
    };
    let stats = writing.rows(&rows(0, "2024-03-01")).await.unwrap();
    assert_eq!((stats.copied, stats.copied_binary), (1_000, 1_000));
    let stats = writing.rows(&rows(1_000, "infinity")).await.unwrap();
    assert_eq!((stats.copied, stats.copied_binary), (1_000, 600));
    // There are more of them where that one came from.
    let stats = writing.rows(&rows(2_000, "0044-03-15 BC")).await.unwrap();
    assert_eq!((stats.copied, stats.copied_binary), (1_000, 0));
    let days = "SELECT string_agg(DISTINCT d::text, ',') || ' ' || count(*) FROM t";
    assert_eq!(database.value(days).await, "0044-03-15 BC,2024-02-29,2024-03-01,infinity 3000");
}

/// The second COPY of a batch fails where a row exists; the first one's rows go with it and come again by upsert.
#[tokio::test]
async fn both_halves_of_a_batch_are_one() {
    let database = database().await;
    database.execute("CREATE TABLE t (id int8 PRIMARY KEY, d date); INSERT INTO t VALUES (999, NULL)").await;
    let mut writing = Writing::to(&database, vec![target("public", "t", "id int8 key, d date")]).await;
    let day = |n| if n == 500 { "infinity" } else { "2024-02-29" };
    let rows: Vec<(usize, Row)> = (0..1_000).map(|n| (0, parse(&format!("insert {n}|{}", day(n))))).collect();
    let stats = writing.rows(&rows).await.unwrap();
    assert_eq!((stats.copied, stats.upserted), (0, 1_000));
    assert_eq!(database.value("SELECT count(*) || ' ' || count(d) FROM t").await, "1000 1000");
}
