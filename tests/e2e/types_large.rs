//! Large values: copied, streamed, and left alone by updates.

use crate::flows_setup::{Line, table};

#[tokio::test]
async fn large_values_arrive_whole_and_stay_when_an_update_leaves_them_alone() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE t (id int PRIMARY KEY, n int, long text, bytes bytea, doc jsonb, list text[]);
         ALTER TABLE t ALTER long SET STORAGE EXTERNAL, ALTER bytes SET STORAGE EXTERNAL,
             ALTER doc SET STORAGE EXTERNAL, ALTER list SET STORAGE EXTERNAL;
         CREATE VIEW every_byte AS SELECT string_agg(set_byte('\\x00', 0, n), '' ORDER BY n) AS b FROM generate_series(0, 255) AS n;
         CREATE FUNCTION fill(int) RETURNS void LANGUAGE sql AS $$
             INSERT INTO t SELECT $1, 0, repeat('Grüße 漢字 🜂 \\n\\t\\ ' || $1, 1000000),
                 (SELECT string_agg(b, '') FROM every_byte, generate_series(1, 20000)),
                 jsonb_build_object('n', 123456789012345678901234567890.10, 's', repeat('ü', 100000)),
                 ARRAY[repeat('x', 50000), NULL, repeat('\"', 50000)] $$;
         SELECT fill(1); SELECT fill(2)",
    )
    .await;
    let digest =
        "SELECT id, n, md5(long), length(long), md5(bytes), length(bytes), md5(doc::text), md5(list::text) FROM t";
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    line.assert_same(digest, digest).await;
    line.source(
        "SELECT fill(3); UPDATE t SET n = 1; UPDATE t SET id = 20, n = 2 WHERE id = 2; UPDATE t SET long = 'short' WHERE id = 3;
         INSERT INTO t SELECT n, n, repeat('y', 3000), '\\xff', '{}', '{}' FROM generate_series(100, 300) AS n;
         UPDATE t SET n = -n WHERE id >= 100",
    )
    .await;
    line.catch_up(&manifest).await;
    line.assert_same(digest, digest).await;
}
