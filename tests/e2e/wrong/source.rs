//! Sources that can't be read: each says why and what to do, makes nothing that it need not, and works once it is mended.

use super::{Flow, TABLE, fails};
use crate::support::{Database, assert_same, database, database_on, server_with};
use pelton::lsn::Lsn;
use pelton::postgres::replication::{ReplicationStream, StreamOptions};
use pelton::postgres::throwaway::{Authentication, Shutdown};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

/// A source with a row, and a destination.
async fn pair() -> (Database, Database, Flow) {
    let (source, sink) = (database().await, database().await);
    source.execute(TABLE).await;
    source.execute("INSERT INTO t VALUES (1, 'a')").await;
    let flow = Flow::new(&source, &sink);
    (source, sink, flow)
}

/// The mended flow runs, and the destination has all that the source has.
async fn mended(flow: &Flow, source: &Database, sink: &Database) {
    flow.syncs().await;
    assert_same(source, "TABLE t", sink, "TABLE t").await;
}

/// The same flow as another role.
fn as_role(flow: &Flow, role: &str) -> Flow {
    Flow { source: flow.source.replace("postgres@", &format!("{role}@")), ..flow.clone() }
}

#[tokio::test]
async fn a_database_role_or_right_that_is_missing_is_named_with_its_mend() {
    let (source, sink, flow) = pair().await;
    let nowhere = Flow { source: flow.source.replace(source.name(), "no_such_db"), ..flow.clone() };
    nowhere.refuses(&["cannot connect to the source", "\"no_such_db\" does not exist (SQLSTATE 3D000)"]).await;
    nowhere.status_says(&["\"no_such_db\" does not exist", "CREATE DATABASE"]).await;

    // Roles are of the server: the database's name makes it this test's own.
    let role = format!("r_{}", source.name());
    as_role(&flow, &role).refuses(&[&format!("role \"{role}\" does not exist"), "may log in"]).await;
    source.execute(&format!("CREATE ROLE {role} LOGIN")).await;
    let parts = [&format!("role \"{role}\" may not replicate"), "ALTER ROLE"];
    as_role(&flow, &role).refuses(&parts.map(|part| part as &str)).await;
    source.execute(&format!("ALTER ROLE {role} REPLICATION")).await;
    let parts = ["may not make or alter the publication", "permission denied for database", "GRANT CREATE ON DATABASE"];
    as_role(&flow, &role).refuses(&parts).await;
    let slot = format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'", flow.slot());
    assert_eq!(source.value(&slot).await, "0", "no slot holds back WAL for a flow that can't run");

    source.execute(&format!("CREATE PUBLICATION {} FOR TABLE t", flow.slot())).await;
    as_role(&flow, &role).refuses(&["permission denied for table t", "GRANT SELECT on the table"]).await;
    source.execute(&format!("GRANT SELECT ON t TO {role}")).await;
    mended(&as_role(&flow, &role), &source, &sink).await;
}

#[tokio::test]
async fn a_slot_of_somebody_else_is_left_alone() {
    let (source, sink, flow) = pair().await;
    let other = database().await;
    let slot = flow.slot();
    let drop = format!("SELECT pg_drop_replication_slot('{slot}')");
    let make = |plugin: &str| format!("SELECT pg_create_logical_replication_slot('{slot}', '{plugin}')");

    source.execute(&make("test_decoding")).await;
    flow.refuses(&["was made with the output plugin test_decoding, not with pgoutput", "another slotName"]).await;
    flow.status_says(&["test_decoding", "another slotName"]).await;
    source.execute(&drop).await;

    source.execute(&format!("SELECT pg_create_physical_replication_slot('{slot}')")).await;
    flow.refuses(&["is a physical one", "another slotName"]).await;
    source.execute(&drop).await;

    other.execute(&make("pgoutput")).await;
    let belongs = format!("belongs to database \"{}\", not to \"{}\"", other.name(), source.name());
    flow.refuses(&[&belongs, "or connect to database"]).await;
    other.execute(&drop).await;
    mended(&flow, &source, &sink).await;
}

#[tokio::test]
async fn a_slot_in_use_is_waited_for() {
    let (source, sink, flow) = pair().await;
    flow.syncs().await;
    source.execute("INSERT INTO t VALUES (2, 'b')").await;
    // Somebody else, who reads and confirms nothing.
    let file = flow.pelton(["check"]);
    let manifest = pelton::manifest::load(&file.folder().join("pelton.yaml")).expect("the manifest is good");
    let connection = manifest.postgres(&flow.slug).expect("its source");
    let options = StreamOptions::new(flow.slot(), flow.slot(), Lsn::ZERO);
    let held = ReplicationStream::start(connection, options).await.expect("a stream");

    let mut sync = flow.pelton(["sync", "--until-caught-up"]);
    sync.start();
    sync.says("is in use by process").await;
    sync.says("pg_terminate_backend(").await;
    held.close().await.expect("the stream ends");
    assert!(sync.ended().await.success(), "it went on by itself");
    assert_same(&source, "TABLE t", &sink, "TABLE t").await;
}

#[tokio::test]
async fn a_publication_or_table_that_is_missing_is_named() {
    let (source, sink, flow) = pair().await;
    source.execute(&format!("CREATE PUBLICATION {}", flow.slot())).await;
    let add = format!("ALTER PUBLICATION \"{}\" ADD TABLE \"public\".\"t\"", flow.slot());
    flow.refuses(&["table public.t is not in publication", &add, "restart `pelton sync`"]).await;
    flow.status_says(&["stopped", "table public.t is not in publication", &add]).await;
    source.execute(&add).await;
    mended(&flow, &source, &sink).await;

    // A publication that is made anew does not cover what was written without it: never go on in silence.
    source.execute(&format!("DROP PUBLICATION {}", flow.slot())).await;
    source.execute("INSERT INTO t VALUES (2, 'unpublished')").await;
    for _ in 0..2 {
        flow.refuses(&["publication", "does not exist any more", "start again with a backfill"]).await;
        flow.status_says(&["stopped", "does not exist"]).await;
    }

    let lost = Flow { public: "{ publicSchemaType: table, table: public.gone }".to_owned(), ..flow.clone() };
    let lost = Flow { slug: format!("{}-gone", flow.slug), ..lost };
    lost.refuses(&["public.gone does not exist"]).await;
}

#[tokio::test]
async fn a_slot_that_was_dropped_or_moved_is_noticed() {
    let (source, sink, flow) = pair().await;
    flow.syncs().await;
    source.execute(&format!("SELECT pg_drop_replication_slot('{}')", flow.slot())).await;
    source.execute("INSERT INTO t VALUES (2, 'missed')").await;
    flow.status_says(&["replication slot", "does not exist"]).await;
    for _ in 0..2 {
        flow.refuses(&["beyond the checkpoint", "made anew or moved", "run `pelton repair`"]).await;
    }
    // As the hint says.
    let mut repair = flow.pelton(["repair"]);
    assert_eq!(repair.run().await.code(), Some(0), "{}", repair.stderr());
    mended(&flow, &source, &sink).await;
}

#[tokio::test]
async fn a_server_of_other_settings_is_refused_until_it_has_them() {
    let server = server_with(|builder| {
        builder
            .authentication(Authentication::Scram("right".to_owned()))
            .setting("wal_level", "replica")
            .setting("max_replication_slots", "1")
            .setting("max_slot_wal_keep_size", "1MB")
    });
    let mut server = server.await;
    let sink = database().await;
    let source = database_on(&server).await;
    source.execute(TABLE).await;
    source.execute("INSERT INTO t VALUES (1, 'a')").await;
    let flow = Flow::new(&source, &sink);

    let wrong = Flow { source: flow.source.replace(":right@", ":wr0ng@"), ..flow.clone() };
    assert_ne!(wrong.source, flow.source);
    let mut refused = wrong.pelton(["sync"]);
    fails(&mut refused, 1, &["refuses the password", "check user and password"]).await;
    assert!(!refused.stderr().contains("wr0ng"), "passwords stay out: {}", refused.stderr());
    let bare = Flow { source: flow.source.replace(":right@", "@"), ..flow.clone() };
    bare.refuses(&["asks for a password, and none is configured"]).await;
    let tls = Flow { source: format!("{}?sslmode=require", flow.source), ..flow.clone() };
    tls.refuses(&["does not speak TLS, but sslmode asks for it", "sslmode=disable"]).await;

    flow.refuses(&["wal_level is replica, and a stream needs logical", "ALTER SYSTEM SET wal_level = logical"]).await;
    // Its session goes with the restart; the database must stay.
    std::mem::forget(source);
    server.set("wal_level", "logical").expect("a setting");
    server.restart(Shutdown::Fast).await.expect("the server restarts");
    let source = server.connect(&database_of(&flow)).await.expect("a session");

    source.batch_execute("SELECT pg_create_physical_replication_slot('other')").await.unwrap();
    flow.refuses(&["all replication slots (1) are taken", "raise max_replication_slots"]).await;
    source.batch_execute("SELECT pg_drop_replication_slot('other')").await.unwrap();
    flow.syncs().await;

    // More WAL than the slot may keep.
    source.batch_execute("INSERT INTO t VALUES (2, 'b')").await.unwrap();
    for _ in 0..3 {
        source.batch_execute("SELECT pg_logical_emit_message(false, '', 'x')").await.unwrap();
        source.batch_execute("SELECT pg_switch_wal()").await.unwrap();
    }
    source.batch_execute("CHECKPOINT").await.unwrap();
    flow.refuses(&["is lost", "pg_drop_replication_slot", "max_slot_wal_keep_size"]).await;
    flow.status_says(&["is lost", "max_slot_wal_keep_size"]).await;
    assert_eq!(sink.value("SELECT string_agg(v, ',') FROM t").await, "a");

    // A standby: before PostgreSQL 16 none can be read from.
    if server.major() < 16 {
        source.batch_execute(&format!("SELECT pg_drop_replication_slot('{}')", flow.slot())).await.unwrap();
        server.stop(Shutdown::Fast).await.expect("the server stops");
        std::fs::write(server.folder().join("data/standby.signal"), "").expect("a file");
        server.start().await.expect("the server starts as a standby");
        flow.refuses(&["this is a standby of PostgreSQL", "connect to the primary"]).await;
    }
}

#[tokio::test]
async fn a_source_that_demands_tls_is_read_with_it_and_says_so_without() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    let server = server_with(|builder| {
        let tls = builder.tls(certificate.clone(), key.serialize_pem());
        tls.hba("hostnossl all all all reject").hba("hostssl all all all trust")
    })
    .await;
    let (source, sink) = (database_on(&server).await, database().await);
    source.execute(TABLE).await;
    let flow = Flow::new(&source, &sink);
    let with = |options: &str| Flow {
        source: format!("{}?{options}", flow.source.replace("127.0.0.1", "localhost")),
        ..flow.clone()
    };
    with("sslmode=disable").refuses(&["pg_hba.conf", "SQLSTATE 28000"]).await;
    with("sslmode=verify-full").refuses(&["is not trusted", "sslrootcert"]).await;

    let stranger = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), &stranger).unwrap();
    let wrong = format!("sslmode=verify-full&sslrootcert={}", root.path().display());
    with(&wrong).refuses(&["is not trusted", "sslrootcert"]).await;

    std::fs::write(root.path(), &certificate).unwrap();
    let verified = format!("sslmode=verify-full&sslrootcert={}", root.path().display());
    for (id, options) in ["sslmode=require", &verified].into_iter().enumerate() {
        let flow = with(options);
        let mut pelton = flow.pelton(["sync"]);
        pelton.start();
        source.execute(&format!("INSERT INTO t VALUES ({id}, 'x')")).await;
        sink.wait_until("to_regclass('t') IS NOT NULL").await;
        sink.wait_until(&format!("EXISTS (SELECT FROM t WHERE id = {id})")).await;
        // The catalog's session and the stream.
        let sessions = "SELECT count(*) FILTER (WHERE backend_type = 'walsender'), count(*) > 1, bool_and(ssl) \
                        FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE application_name LIKE 'pelton%'";
        source.wait_until(&format!("(SELECT (a, b, c) = (1, true, true) FROM ({sessions}) AS s (a, b, c))")).await;
        pelton.terminate();
        assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    }
    assert_same(&source, "TABLE t", &sink, "TABLE t").await;
}

/// The name of the database in the flow's URL.
fn database_of(flow: &Flow) -> String {
    flow.source.rsplit('/').next().expect("a path").to_owned()
}
