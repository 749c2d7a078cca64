//! `pelton migrations`: the same state by whatever way, drift said, and roles that may not make schemas.

use crate::flows_setup::{Line, table};
use crate::support::{Database, Pelton, assert_same, database};

/// Everything that the catalog says of a schema, without OIDs and owners.
fn catalog(schema: &str) -> String {
    format!(
        "SELECT 'schema', n.nspname::text, n.nspacl::text, obj_description(n.oid) FROM pg_namespace n WHERE nspname = '{schema}'
         UNION ALL SELECT 'relation', c.relname || ' ' || c.relkind::text, c.relacl::text,
             concat_ws('|', pg_get_viewdef(c.oid), obj_description(c.oid, 'pg_class'), c.reloptions)
         FROM pg_class c WHERE c.relnamespace = '{schema}'::regnamespace
         UNION ALL SELECT 'column', concat_ws('.', c.relname, a.attnum, a.attname), format_type(atttypid, atttypmod),
             concat_ws('|', a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid), a.attacl)
         FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
         WHERE c.relnamespace = '{schema}'::regnamespace
         UNION ALL SELECT 'constraint', conname::text, pg_get_constraintdef(oid), NULL
         FROM pg_constraint WHERE connamespace = '{schema}'::regnamespace
         UNION ALL SELECT 'index', indexname::text, indexdef, NULL FROM pg_indexes WHERE schemaname = '{schema}'
         UNION ALL SELECT 'routine', p.proname::text, pg_get_functiondef(p.oid),
             concat_ws('|', p.prosecdef, p.proconfig, p.proacl, obj_description(p.oid, 'pg_proc'))
         FROM pg_proc p WHERE p.pronamespace = '{schema}'::regnamespace"
    )
}

fn history(schema: &str) -> String {
    format!("SELECT version, description, checksum, applied_at IS NOT NULL FROM {schema}.schema_migrations")
}

/// As ReJot leaves a destination: version 1, no checksums.
const REJOT: &str = "CREATE SCHEMA rejot_data_store; \
     CREATE TABLE rejot_data_store.schema_migrations (version int PRIMARY KEY, description text, applied_at timestamptz); \
     INSERT INTO rejot_data_store.schema_migrations VALUES (1, 'first', now()); \
     CREATE TABLE rejot_data_store.public_schema_state (id serial PRIMARY KEY)";

/// Runs `pelton migrations …`, which must end with this code; returns what it said.
#[track_caller]
pub fn migrations(arguments: &[&str], code: i32) -> impl Future<Output = String> {
    let caller = std::panic::Location::caller();
    let mut pelton = Pelton::new([&["migrations"], arguments].concat());
    async move {
        let status = pelton.run().await;
        let said = format!("{}{}", pelton.stdout(), pelton.stderr());
        assert_eq!(status.code(), Some(code), "at {caller}: {said}");
        said
    }
}

/// On a database of the flag's set.
async fn at(database: &Database, action: &str, flags: &[&str], code: i32) -> String {
    let url = database.url();
    migrations(&[&[action, "--url", &url], flags].concat(), code).await
}

#[tokio::test]
async fn the_script_leaves_exactly_what_apply_leaves() {
    for (schema, flags, before) in
        [("rejot_data_store", &[][..], ""), ("rejot_data_store", &[], REJOT), ("pelton", &["--privileged"], "")]
    {
        let (applied, scripted) = (database().await, database().await);
        applied.execute(before).await;
        scripted.execute(before).await;
        assert!(at(&applied, "apply", flags, 0).await.contains(": applied "));
        assert!(at(&applied, "apply", flags, 0).await.contains("nothing to do"));
        let script = migrations(&[&["emit-sql"], flags].concat(), 0).await;
        // As another role's session would have it: the script depends on nobody's search_path.
        scripted.execute("SET search_path = nowhere").await;
        scripted.execute(&script).await;
        scripted.execute("RESET search_path").await;
        let catalog = catalog(schema);
        assert_same(&applied, &catalog, &scripted, &catalog).await;
        assert_same(&applied, &history(schema), &scripted, &history(schema)).await;
        for database in [&applied, &scripted] {
            assert!(at(database, "verify", flags, 0).await.contains("is as it should be"));
        }

        // Once more, over what each of them left.
        let rows = format!("SELECT xmin, * FROM {schema}.schema_migrations");
        let (before, was) = (scripted.rows(&rows).await, scripted.rows(&catalog).await);
        scripted.execute(&script).await;
        assert_eq!(scripted.rows(&rows).await, before);
        assert_eq!(scripted.rows(&catalog).await, was);
        applied.execute(&script).await;
        assert!(at(&scripted, "apply", flags, 0).await.contains("nothing to do"));
    }
}

#[tokio::test]
async fn drift_gaps_and_newer_versions_are_said_and_refused() {
    let line = Line::new().await;
    let manifest = line.manifest(&[table("t")]);
    line.source("CREATE TABLE t (id int PRIMARY KEY)").await;
    let run = |arguments: &'static [&'static str], code: i32| {
        let mut pelton = Pelton::new(arguments).file("pelton.yaml", &manifest);
        async move {
            let status = pelton.run().await;
            let said = format!("{}{}", pelton.stdout(), pelton.stderr());
            assert_eq!(status.code(), Some(code), "{arguments:?}: {said}");
            said
        }
    };
    let said = run(&["migrations", "verify"], 1).await;
    assert!(said.contains("destination `destination`: migration 1 of `rejot_data_store`"), "{said}");
    assert!(said.contains("is not applied") && said.contains("Hint: `pelton migrations apply`"), "{said}");
    assert!(said.contains("source: pelton is not there, and need not be"), "{said}");
    assert!(run(&["migrations", "status"], 0).await.contains("pending"));
    assert!(
        run(&["migrations", "apply"], 0)
            .await
            .contains("destination: applied 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 of rejot_data_store.")
    );
    run(&["migrations", "verify"], 0).await;
    let json = run(&["migrations", "status", "--json"], 0).await;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json[0]["migrations"][0]["state"], "applied");
    assert!(json[0]["migrations"][0]["appliedAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{json}");
    assert_eq!(json[1]["migrations"][2]["state"], "pending", "{json}");
    run(&["migrations", "verify", "--privileged"], 1).await;

    let history = "rejot_data_store.schema_migrations";
    let script = migrations(&["emit-sql"], 0).await;
    let refused = async |part: &str| {
        let client = line.destination.connect().await;
        let error = client.batch_execute(&script).await.expect_err("the script refuses too");
        let message = error.as_db_error().expect("the server refuses").message().to_owned();
        assert!(message.contains(part), "{message}");
        assert!(run(&["sync", "--until-caught-up"], 1).await.contains(part));
        run(&["migrations", "record"], 1).await;
        run(&["migrations", "apply"], 1).await
    };
    line.destination.execute(&format!("UPDATE {history} SET checksum = 'x' WHERE version = 2")).await;
    let said = run(&["migrations", "verify"], 1).await;
    assert!(said.contains("migration 2 of `rejot_data_store` (flows) was applied with other contents"), "{said}");
    assert!(run(&["migrations", "status"], 0).await.contains("drifted"));
    assert!(refused("was applied with other contents").await.contains("Hint: compare"));

    line.destination.execute(&format!("DELETE FROM {history} WHERE version = 2")).await;
    line.destination.execute(&format!("INSERT INTO {history} VALUES (99, 'later')")).await;
    assert!(run(&["migrations", "status"], 0).await.contains("unknown"));
    assert!(run(&["migrations", "verify"], 1).await.contains("migration 99 of `rejot_data_store` (later) is unknown"));
    assert!(refused("is at version 99").await.contains("Hint: run the newer version"));
    line.destination.execute(&format!("DELETE FROM {history} WHERE version = 99")).await;

    // Recorded again, and incomplete.
    assert!(run(&["migrations", "record"], 0).await.contains("destination: recorded 2 of"));
    run(&["migrations", "verify"], 0).await;
    line.destination.execute("ALTER TABLE rejot_data_store.flow DROP COLUMN paused").await;
    assert!(
        run(&["migrations", "verify"], 1)
            .await
            .contains("(paused) is recorded as applied, but lacks column flow.paused")
    );
    assert!(run(&["migrations", "status"], 0).await.contains("incomplete"));
}

#[tokio::test]
async fn what_was_applied_by_hand_is_recorded_once_it_is_there() {
    let database = database().await;
    let read = |name: &str| {
        let file = format!("{}/migrations/{name}.sql", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(file).expect("a migration")
    };
    let said = at(&database, "record", &[], 1).await;
    assert!(
        said.contains("migration 1 of `rejot_data_store` can't be recorded as applied: there is no table"),
        "{said}"
    );
    assert!(said.contains("Hint: apply it"), "{said}");
    assert_eq!(database.value("SELECT to_regnamespace('rejot_data_store')").await, "", "nothing was made");

    database.execute("CREATE SCHEMA rejot_data_store").await;
    for name in ["0001_public_schema_state", "0002_flows", "0003_released", "0004_paused"] {
        database.execute(&read(&format!("rejot_data_store/{name}"))).await;
    }
    let said = at(&database, "record", &[], 1).await;
    assert!(said.contains("there is no column flow.timeline") && said.contains("--through 4"), "{said}");
    let said = at(&database, "record", &["--through", "14"], 1).await;
    assert!(said.contains("has no migration 14; the newest is 13"), "{said}");
    assert!(at(&database, "record", &["--through", "4"], 0).await.contains("recorded 1, 2, 3, 4 of rejot_data_store"));
    assert!(at(&database, "apply", &[], 0).await.contains("applied 5, 6, 7, 8, 9, 10, 11, 12, 13 of"));
    assert!(at(&database, "record", &[], 0).await.contains("nothing to do"));
    at(&database, "verify", &[], 0).await;

    // ReJot's own version 1 has no checksum until it is recorded.
    let rejot = crate::support::database().await;
    rejot.execute(REJOT).await;
    assert!(at(&rejot, "record", &["--through", "1"], 0).await.contains("recorded 1 of"));
    assert_eq!(rejot.value("SELECT count(checksum) FROM rejot_data_store.schema_migrations").await, "1");

    // The privileged set.
    database.execute("CREATE SCHEMA pelton").await;
    for name in ["0001_status", "0002_replica_identity"] {
        database.execute(&read(&format!("pelton/{name}"))).await;
    }
    let said = at(&database, "record", &["--privileged"], 1).await;
    assert!(said.contains("there is no routine tell_ddl()"), "{said}");
    database.execute(&read("pelton/0003_tell_ddl")).await;
    assert!(at(&database, "record", &["--privileged"], 0).await.contains("recorded 1, 2, 3 of pelton"));
    at(&database, "verify", &["--privileged"], 0).await;
}

/// The same database as another role.
fn as_role(url: &str, role: &str) -> String {
    let replaced = url.replace("postgres@", &format!("{role}@"));
    assert_ne!(replaced, url);
    replaced
}

#[tokio::test]
async fn a_role_that_may_make_no_schema_works_on_what_an_administrator_made() {
    let line = Line::new().await;
    line.source("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')").await;
    // Its name needs quotes; roles are of the server, so that it is this test's own.
    let role = format!("Pelton-{}", line.destination.name());
    line.destination
        .execute(&format!("CREATE ROLE \"{role}\" LOGIN; CREATE TABLE t (id int PRIMARY KEY, v text)"))
        .await;
    line.destination.execute(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON t TO \"{role}\"")).await;
    let manifest =
        line.manifest(&[table("t")]).replace(&line.destination.url(), &as_role(&line.destination.url(), &role));
    let run = |arguments: &'static [&'static str], code: i32| {
        let mut pelton = Pelton::new(arguments).file("pelton.yaml", &manifest);
        async move {
            let status = pelton.run().await;
            let said = format!("{}{}", pelton.stdout(), pelton.stderr());
            assert_eq!(status.code(), Some(code), "{arguments:?}: {said}");
            said
        }
    };
    for command in [&["sync", "--until-caught-up"][..], &["migrations", "apply"]] {
        let said = run(command, 1).await;
        assert!(said.contains("may not create the schema `rejot_data_store`"), "{said}");
        assert!(said.contains("pelton migrations emit-sql --role"), "{said}");
    }
    let script = migrations(&["emit-sql", "--role", &role], 0).await;
    for _ in 0..2 {
        line.destination.execute(&script).await;
    }
    run(&["migrations", "verify"], 0).await;
    run(&["sync", "--until-caught-up"], 0).await;
    line.source("UPDATE t SET v = 'b'; INSERT INTO t VALUES (2, 'c')").await;
    run(&["sync", "--until-caught-up"], 0).await;
    run(&["status"], 0).await;
    line.assert_equal(&["t"]).await;

    // A schema of its own, and CREATE on the database taken away after the first start.
    line.destination.execute("DROP SCHEMA rejot_data_store CASCADE; TRUNCATE t").await;
    line.destination.execute(&format!("CREATE SCHEMA rejot_data_store AUTHORIZATION \"{role}\"")).await;
    line.source(&format!("SELECT pg_drop_replication_slot('{}')", line.source.name())).await;
    run(&["sync", "--until-caught-up"], 0).await;
    line.assert_equal(&["t"]).await;
    line.destination.execute("DELETE FROM rejot_data_store.schema_migrations WHERE version > 4").await;
    line.destination.execute("ALTER TABLE rejot_data_store.flow DROP COLUMN timeline").await;
    line.destination
        .execute(
            "ALTER TABLE rejot_data_store.transform DROP COLUMN file_digest, DROP COLUMN lsn, DROP COLUMN former_digest, \
             DROP COLUMN former_state_version",
        )
        .await;
    let made_since = ["consumer", "store", "violation", "component", "deployment", "shadow"];
    for table in made_since {
        line.destination.execute(&format!("DROP TABLE rejot_data_store.{table}")).await;
    }
    assert!(run(&["migrations", "apply"], 0).await.contains("applied 5, 6, 7, 8, 9, 10, 11, 12, 13 of"));
    run(&["sync", "--until-caught-up"], 0).await;
}

/// As in `pelton migrations emit-sql | head`.
#[test]
fn output_that_nobody_reads_any_more_ends_the_program_quietly() {
    use std::process::{Command, Stdio};
    let mut pelton = Command::new(env!("CARGO_BIN_EXE_pelton"))
        .args(["migrations", "emit-sql"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(pelton.stdout.take());
    let ended = pelton.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(141), Vec::new()));
}

#[tokio::test]
async fn wrong_ways_to_name_a_database_are_said() {
    let said = migrations(&["apply", "--url", "postgres://pelton@127.0.0.1:1/none"], 1).await;
    assert!(said.contains("database 127.0.0.1:1/none: ") && said.contains("Hint: "), "{said}");
    let said = migrations(&["verify", "--url", "postgres://pelton:s3cret@/x@y"], 1).await;
    assert!(said.contains("Hint: ") && !said.contains("s3cret"), "{said}");
    assert!(migrations(&["status"], 1).await.contains("there is no manifest in this folder"));
    migrations(&["status", "pelton.yaml", "--url", "postgres://a@b/c"], 2).await;
    migrations(&["emit-sql", "--privileged", "--role", "x"], 2).await;
}
