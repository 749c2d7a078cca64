//! The schema `pelton` at a source: what it shows, what it sets, and that it disturbs nobody.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use tokio_postgres::AsyncMessage;

use crate::flows_setup::{Line, table};
use crate::migrations::migrations;
use crate::support::{Database, Pelton, database};

/// A database with the schema.
async fn prepared() -> Database {
    let database = database().await;
    prepare(&database).await;
    database
}

async fn prepare(database: &Database) {
    migrations(&["apply", "--privileged", "--url", &database.url()], 0).await;
}

const TRIGGERS: &str = "\
    CREATE EVENT TRIGGER pelton_keep_replica_identity ON ddl_command_end \
    WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE SCHEMA') EXECUTE FUNCTION pelton.keep_replica_identity(); \
    CREATE EVENT TRIGGER pelton_tell_ddl ON ddl_command_end WHEN TAG IN ('ALTER TABLE') \
    EXECUTE FUNCTION pelton.tell_ddl()";

#[tokio::test]
async fn the_view_shows_publications_and_slots_to_every_role() {
    let database = prepared().await;
    let role = format!("r_{}", database.name());
    database.execute(&format!("CREATE ROLE {role}; SET ROLE {role}; SET search_path = ''")).await;
    let shown = "SELECT database = current_database(), publications, slot, active FROM pelton.status";
    assert_eq!(database.rows(shown).await, [[Some("t"), Some("{}"), None, None].map(|v| v.map(str::to_owned))]);

    let slot = database.name();
    database.execute("RESET ROLE; RESET search_path; CREATE TABLE a (); CREATE TABLE \"B \"\" b\" ()").await;
    database.execute("CREATE PUBLICATION \"Ünï \"\" p\" FOR TABLE a, \"B \"\" b\"; CREATE PUBLICATION none").await;
    database.execute(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    database.execute(&format!("SET ROLE {role}")).await;
    let row = "SELECT publications = '{\"Ünï \\\" p\": 2, \"none\": 0}', slot, plugin, active, active_pid, \
               retained_bytes > 0, wal_status, confirmed IS NOT NULL, lag_bytes >= 0, lag_ms FROM pelton.status";
    let expected = [
        Some("t"),
        Some(slot),
        Some("pgoutput"),
        Some("f"),
        None,
        Some("t"),
        Some("reserved"),
        Some("t"),
        Some("t"),
        None,
    ];
    assert_eq!(database.rows(row).await, [expected.map(|v| v.map(str::to_owned)).to_vec()]);
    let denied = database.connect().await;
    denied.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
    for refused in ["SELECT pelton.tell_ddl()", "DELETE FROM pelton.schema_migrations", "CREATE TABLE pelton.x ()"] {
        let error = denied.batch_execute(refused).await.expect_err("it is refused");
        let code = error.code().expect("the server refuses").code().to_owned();
        assert!(["42501", "0A000"].contains(&&*code), "{refused}: {error:?}");
    }
    database.execute(&format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

const TABLES: &str = r#"
    CREATE SCHEMA "Sales ; drop"; CREATE SCHEMA other;
    CREATE TABLE "Sales ; drop"."Ünï ""Order" (a int);
    CREATE TABLE keyed (id int PRIMARY KEY);
    CREATE TABLE keyless (a int);
    CREATE TABLE nothing (a int); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
    CREATE TABLE indexed (a int NOT NULL); CREATE UNIQUE INDEX indexed_a ON indexed (a);
    ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_a;
    CREATE TABLE lost (a int NOT NULL); CREATE UNIQUE INDEX lost_a ON lost (a);
    ALTER TABLE lost REPLICA IDENTITY USING INDEX lost_a; DROP INDEX lost_a;
    CREATE TABLE parent (a int) PARTITION BY RANGE (a);
    CREATE TABLE part PARTITION OF parent FOR VALUES FROM (0) TO (10);
    CREATE TABLE other.part PARTITION OF parent FOR VALUES FROM (10) TO (20);
    CREATE TABLE elder (a int); CREATE TABLE other.child () INHERITS (elder);
    CREATE TABLE other.alone (a int);
    CREATE UNLOGGED TABLE unlogged (a int); CREATE TEMPORARY TABLE gone (a int);
    CREATE VIEW seen AS SELECT 1 AS a; CREATE MATERIALIZED VIEW kept AS SELECT 1 AS a;
    CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far (a int) SERVER s;
"#;

/// Tables by replica identity, those of our own schemas left out.
async fn identities(database: &Database) -> String {
    let sql = "SELECT string_agg(i || ': ' || names, '; ' ORDER BY i) FROM (SELECT c.relreplident::text AS i, \
               string_agg(n.nspname || '.' || c.relname, ' ' ORDER BY n.nspname, c.relname COLLATE \"C\") AS names \
               FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.relkind IN ('r', 'p') \
               AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema') GROUP BY 1) AS x";
    database.value(sql).await
}

#[tokio::test]
async fn replica_identities_are_set_for_schemas_with_all_that_belongs_to_them() {
    let database = prepared().await;
    database.execute(TABLES).await;
    let call = |mode: &str, schemas: &str| format!("CALL pelton.set_replica_identity('{mode}', '{schemas}')");
    database.execute(&call("keyless", "{public,\"Sales ; drop\",pelton,pg_catalog}")).await;
    assert_eq!(
        identities(&database).await,
        "d: other.alone pelton.schema_migrations public.keyed public.unlogged; \
         f: Sales ; drop.Ünï \"Order other.child other.part public.elder public.keyless public.lost public.nothing \
         public.parent public.part; i: public.indexed"
    );
    database.execute(&call("full", "{public}")).await;
    assert_eq!(
        identities(&database).await,
        "d: other.alone pelton.schema_migrations public.unlogged; \
         f: Sales ; drop.Ünï \"Order other.child other.part public.elder public.indexed public.keyed public.keyless \
         public.lost public.nothing public.parent public.part"
    );
    // What is published and has no key stays FULL: its UPDATEs would fail.
    database.execute("CREATE PUBLICATION p FOR TABLE keyless, parent WITH (publish_via_partition_root = true)").await;
    database.execute("CREATE PUBLICATION inserts FOR TABLE elder WITH (publish = 'insert')").await;
    database.execute(&call("default", "{public}")).await;
    assert_eq!(
        identities(&database).await,
        "d: other.alone other.child pelton.schema_migrations public.elder public.indexed public.keyed \
         public.lost public.nothing public.unlogged; \
         f: Sales ; drop.Ünï \"Order other.part public.keyless public.parent public.part"
    );
    let client = database.connect().await;
    for (call, message, hint) in [
        (call("all", "{public}"), "unknown mode 'all'", "full, keyless or default"),
        ("CALL pelton.set_replica_identity(NULL, '{public}')".to_owned(), "unknown mode NULL", "full"),
        (call("full", "{}"), "no schema is named", "CALL pelton"),
        (call("full", "{public,Sales,x}"), "no such schema: \"Sales\", x", "without quotes"),
    ] {
        let error = client.batch_execute(&call).await.expect_err("it is refused");
        let error = error.as_db_error().expect("the server refuses");
        assert!(error.message().contains(message), "{error}");
        assert!(error.hint().is_some_and(|said| said.contains(hint)), "{error:?}");
    }
}

#[tokio::test]
async fn new_tables_without_a_key_are_full_and_making_them_never_fails() {
    let database = prepared().await;
    database.execute(TRIGGERS).await;
    database.execute("CREATE TABLE keyed (id int PRIMARY KEY); CREATE TABLE liked (LIKE keyed INCLUDING ALL)").await;
    database.execute("CREATE SCHEMA \"S\"\" \"; CREATE TABLE \"S\"\" \".\"T %I\" (a int)").await;
    database.execute("CREATE TABLE ctas AS SELECT 1 AS a; SELECT 1 AS a INTO selected").await;
    database.execute("CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p DEFAULT").await;
    database.execute("CREATE TEMPORARY TABLE temporary (a int); CREATE UNLOGGED TABLE u (a int)").await;
    // A table of the same name elsewhere, and a search_path that would find it first.
    database.execute("CREATE SCHEMA evil CREATE TABLE twin (id int PRIMARY KEY) CREATE TABLE within (a int)").await;
    database.execute("SET search_path = evil, public; CREATE TABLE public.twin (a int); RESET search_path").await;
    assert_eq!(
        identities(&database).await,
        "d: evil.twin pelton.schema_migrations public.keyed public.liked public.u; \
         f: S\" .T %I evil.within public.ctas public.p public.p1 public.selected public.twin"
    );
    // Somebody who may do nothing in `pelton`.
    let role = format!("r_{}", database.name());
    database.execute("REVOKE ALL ON SCHEMA pelton FROM PUBLIC; GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC").await;
    database.execute(&format!("CREATE ROLE {role}; SET ROLE {role}; CREATE TABLE theirs (a int); RESET ROLE")).await;
    assert_eq!(database.value("SELECT relreplident FROM pg_class WHERE relname = 'theirs'").await, "f");

    // What goes wrong inside is a warning: another event trigger refuses what ours does.
    database
        .execute(
            "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$; \
             CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION refuse()",
        )
        .await;
    let notices = notices(&database, "CREATE TABLE unlucky (a int)").await;
    assert!(notices.iter().any(|n| n.contains("public.unlucky keeps its replica identity: not today")), "{notices:?}");
    database.execute("DROP EVENT TRIGGER refuse").await;
    database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

/// Runs statements in a session of their own and returns what the server noted meanwhile.
async fn notices(database: &Database, sql: &str) -> Vec<String> {
    let url = database.url();
    let (client, mut connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a session");
    let said = Arc::new(Mutex::new(Vec::new()));
    let noted = said.clone();
    let driving = tokio::spawn(async move {
        let mut messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message {
                noted.lock().unwrap().push(notice.message().to_owned());
            }
        }
    });
    client.batch_execute(sql).await.expect("it works");
    drop(client);
    driving.await.unwrap();
    said.lock().unwrap().clone()
}

#[tokio::test]
async fn altered_tables_are_told_and_streams_go_on() {
    let line = Line::new().await;
    prepare(&line.source).await;
    line.source(TRIGGERS).await;
    line.source("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')").await;
    let mut sync = line.follow(&line.manifest(&[table("t")]));
    sync.start();
    line.destination.wait_until("to_regclass('t') IS NOT NULL").await;
    line.destination.wait_until("(SELECT count(*) FROM t) = 1").await;
    let peek = format!("peek_{}", line.source.name());
    line.source(&format!("SELECT pg_create_logical_replication_slot('{peek}', 'pgoutput')")).await;
    line.destination.execute("ALTER TABLE t ADD note varchar(7)").await;
    // Who alters a table need not be able to write messages, nor to look into `pelton`.
    let role = format!("r_{}", line.source.name());
    line.source(&format!(
        "REVOKE ALL ON SCHEMA pelton FROM PUBLIC; CREATE ROLE {role}; ALTER TABLE t OWNER TO {role}; \
         DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message' LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP; END $$; \
         GRANT USAGE ON SCHEMA public TO {role}; SET ROLE {role}; \
         BEGIN; INSERT INTO t VALUES (2, 'b'); ALTER TABLE t ADD note varchar(7); INSERT INTO t VALUES (3, 'c', 'new'); COMMIT; \
         SET pelton.ddl_messages = off; ALTER TABLE t ALTER v SET NOT NULL; RESET pelton.ddl_messages; RESET ROLE; \
         CREATE TABLE par (id int) PARTITION BY LIST (id); CREATE TABLE par1 PARTITION OF par DEFAULT; ALTER TABLE par ADD x text"
    ))
    .await;
    line.destination.wait_until("(SELECT count(*) FROM t WHERE note = 'new') = 1").await;
    line.assert_equal(&["t"]).await;
    // What stands before the content of a Message: its kind, flags, LSN, prefix and length.
    let told = format!(
        "SELECT convert_from(substring(data FROM 11 + length('pelton.ddl') + 1 + 4), 'UTF8') \
         FROM pg_logical_slot_peek_binary_changes('{peek}', NULL, NULL, 'proto_version', '1', \
         'publication_names', 'pelton', 'messages', 'true') WHERE encode(data, 'escape') LIKE 'M%pelton.ddl%'"
    );
    let told: Vec<serde_json::Value> = line
        .source
        .rows(&told)
        .await
        .iter()
        .map(|row| serde_json::from_str(row[0].as_deref().expect("JSON")).expect("JSON"))
        .collect();
    let of = |name: &str| told.iter().filter(|told| told["table"] == *name).collect::<Vec<_>>();
    let t = of("t");
    let column = |name: &str, kind: &str, typmod: i32, not_null: bool, key: bool| serde_json::json!({ "name": name, "type": kind, "typmod": typmod, "not_null": not_null, "key": key });
    assert_eq!(
        t.last().unwrap()["columns"],
        serde_json::json!([
            column("id", "integer", -1, true, true),
            column("v", "text", -1, false, false),
            column("note", "character varying", 11, false, false),
        ])
    );
    assert_eq!(t.len(), 2, "the owner and the column, not what was silenced: {told:?}");
    assert_eq!(of("par1").last().unwrap()["columns"], of("par").last().unwrap()["columns"]);
    assert_eq!(of("par").last().unwrap()["schema"], "public");

    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0), "{}", sync.stderr());
    line.source(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_sync_warns_of_helpers_that_are_not_what_it_expects_and_goes_on() {
    let line = Line::new().await;
    line.source("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    prepare(&line.source).await;
    let manifest = line.manifest(&[table("t")]);
    let sync = async || {
        let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", &manifest);
        assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stderr());
        pelton.stderr()
    };
    assert!(!sync().await.contains("of `pelton`"));
    line.source("UPDATE pelton.schema_migrations SET checksum = 'x' WHERE version = 3").await;
    line.source("DROP VIEW pelton.status").await;
    let said = sync().await;
    assert!(said.contains("migration 3 of `pelton` (tell_ddl) was applied with other contents"), "{said}");
    assert!(said.contains("(status) is recorded as applied, but lacks view status"), "{said}");
    assert!(said.contains("pelton migrations verify --privileged"), "{said}");
    line.assert_equal(&["t"]).await;
}
