//! Destinations that can't be written: what passes by itself is waited for, the rest stops; nothing is lost either way.

use super::{Flow, TABLE};
use crate::flows_setup::{Line, table};
use crate::support::{Database, assert_same, database};

async fn pair() -> (Database, Database, Flow) {
    let (source, sink) = (database().await, database().await);
    source.execute(TABLE).await;
    source.execute("INSERT INTO t VALUES (1, 'a')").await;
    let flow = Flow::new(&source, &sink);
    (source, sink, flow)
}

#[tokio::test]
async fn a_table_that_does_not_fit_is_refused_with_the_statement_that_mends_it() {
    let (source, sink, flow) = pair().await;
    let flow = Flow { create_table: false, ..flow };
    let nowhere = Flow { sink: flow.sink.replace(sink.name(), "no_such_db"), ..flow.clone() };
    nowhere.refuses(&["cannot connect to the destination `sink`", "does not exist (SQLSTATE 3D000)"]).await;

    flow.refuses(&["destination table public.t does not exist", "createTable: true"]).await;
    // Each mend is the hint of the refusal.
    for (make, what, mend) in [
        (
            "CREATE TABLE t (id integer PRIMARY KEY, v text)",
            "column id of destination table public.t is integer, which does not take bigint",
            "ALTER TABLE public.t ALTER COLUMN id TYPE bigint",
        ),
        (
            "ALTER TABLE t DROP COLUMN v",
            "destination table public.t lacks column v",
            "ALTER TABLE public.t ADD COLUMN v text",
        ),
        (
            "ALTER TABLE t DROP CONSTRAINT t_pkey",
            "destination table public.t has no unique index on exactly its key (id)",
            "ALTER TABLE public.t ADD PRIMARY KEY (id)",
        ),
    ] {
        sink.execute(make).await;
        flow.refuses(&["cannot write to destination `sink`", what, mend]).await;
        flow.status_says(&["stopped", what, mend]).await;
        sink.execute(mend).await;
    }
    flow.syncs().await;
    assert_same(&source, "TABLE t", &sink, "TABLE t").await;

    // While it was streaming, too.
    sink.execute("ALTER TABLE t ADD CHECK (v <> 'secret')").await;
    source.execute("INSERT INTO t VALUES (2, 'secret')").await;
    let mut sync = flow.pelton(["sync", "--until-caught-up"]);
    super::fails(&mut sync, 1, &["violates check constraint", "Drop t_v_check"]).await;
    assert!(!sync.stderr().contains("secret"), "values stay out: {}", sync.stderr());
    sink.execute("ALTER TABLE t DROP CONSTRAINT t_v_check").await;
    flow.syncs().await;
    assert_same(&source, "TABLE t", &sink, "TABLE t").await;
}

/// A change of a row that is not there can't be applied, and is not left out in silence.
#[tokio::test]
async fn a_change_of_a_row_that_is_missing_stops_its_flow_unless_rows_may_be_missing() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE big (id int PRIMARY KEY, body text, n int); ALTER TABLE big ALTER COLUMN body SET STORAGE EXTERNAL;
         CREATE TABLE bare (a int); ALTER TABLE bare REPLICA IDENTITY FULL; CREATE TABLE other (id int PRIMARY KEY);
         INSERT INTO big SELECT n, repeat('x', 5000), 0 FROM generate_series(1, 3) AS n;
         INSERT INTO bare VALUES (1), (2), (3)",
    )
    .await;
    let manifest = line.manifest(&[table("big"), table("bare"), table("other")]);
    line.catch_up(&manifest).await;
    line.destination.execute("DELETE FROM big WHERE id < 3; DELETE FROM bare WHERE a < 3").await;
    // A delete of a row that is gone does no harm, where keys tell rows apart.
    line.source("DELETE FROM big WHERE id = 1").await;
    line.catch_up(&manifest).await;

    line.source("UPDATE big SET n = n + 1; INSERT INTO other VALUES (1)").await;
    let said = line.stop(&manifest).await;
    assert!(said.contains("destination table public.big lacks 1 of the rows that were changed"), "{said}");
    assert!(said.contains("`backfill: false`") && said.contains("REPLICA IDENTITY FULL"), "{said}");
    assert_eq!(line.destination.value("SELECT count(*) FROM other").await, "1", "the others go on");
    assert_eq!(line.destination.value("SELECT n FROM big").await, "0", "nothing of the transaction is there");

    line.source("DELETE FROM bare WHERE a = 1; UPDATE bare SET a = 20 WHERE a = 2").await;
    let said = line.stop(&manifest).await;
    assert!(said.contains("destination table public.bare lacks 2 of the rows"), "{said}");

    // The operator says that rows may be missing.
    let manifest = manifest.replace("createTable: true", "createTable: true, backfill: false");
    let mut pelton = line.follow(&manifest);
    pelton.start();
    pelton.says("left out changes of rows that are not at the destination").await;
    line.source("UPDATE big SET body = 'new' WHERE id = 2; INSERT INTO bare VALUES (4)").await;
    line.destination.wait_until("EXISTS (SELECT FROM bare WHERE a = 4)").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0));
    // A whole row is a row again.
    line.assert_same("SELECT * FROM big", "SELECT * FROM big").await;
    assert_eq!(line.destination.value("SELECT string_agg(a::text, ',' ORDER BY a) FROM bare").await, "3,4");
}

#[tokio::test]
async fn a_role_without_rights_is_told_which() {
    let (source, sink, flow) = pair().await;
    let role = format!("r_{}", sink.name());
    let flow = Flow { sink: flow.sink.replace("postgres@", &format!("{role}@")), ..flow };
    sink.execute(&format!("CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")).await;
    let parts = ["may not create the schema `rejot_data_store`", "(SQLSTATE 42501)", "GRANT CREATE ON DATABASE"];
    flow.refuses(&parts).await;
    sink.execute(&format!("GRANT CREATE ON DATABASE {} TO {role}", sink.name())).await;
    flow.refuses(&["permission denied for schema public", "GRANT", "createTable"]).await;
    flow.status_says(&["stopped", "permission denied for schema public"]).await;
    sink.execute(TABLE).await;
    flow.refuses(&["public.t", "GRANT"]).await;
    sink.execute(&format!("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON t TO {role}")).await;
    flow.syncs().await;
    assert_same(&source, "TABLE t", &sink, "TABLE t").await;
}

/// Breaks the destination, sees `parts` said while it is tried again and again, mends it, and sees everything arrive.
async fn waits_for(break_it: &str, parts: &[&str], mend_it: &str) {
    let (source, sink, flow) = pair().await;
    flow.syncs().await;
    sink.execute(&break_it.replace("DATABASE_NAME", sink.name())).await;
    source.execute("INSERT INTO t SELECT i, 'b' FROM generate_series(2, 1000) i").await;
    let mut sync = flow.pelton(["sync", "--until-caught-up"]);
    sync.start();
    for part in parts {
        sync.says(part).await;
    }
    sync.says("trying again in").await;
    sink.execute(&mend_it.replace("DATABASE_NAME", sink.name())).await;
    assert!(sync.ended().await.success(), "it goes on by itself");
    assert_same(&source, "TABLE t", &sink, "TABLE t").await;
}

#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left' USING ERRCODE = '53100'; END $$;
                CREATE TRIGGER full_disk BEFORE INSERT ON t EXECUTE FUNCTION full_disk()";
    waits_for(full, &["(SQLSTATE 53100", "Free disk space"], "DROP TRIGGER full_disk ON t").await;
}

#[tokio::test]
async fn a_read_only_destination_is_waited_for() {
    waits_for(
        "ALTER DATABASE DATABASE_NAME SET default_transaction_read_only = on",
        &["read-only transaction", "(SQLSTATE 25006)", "the destination is read-only"],
        "ALTER DATABASE DATABASE_NAME RESET default_transaction_read_only",
    )
    .await;
}
