//! `pelton teardown`: what goes, what stays, and that it begins only when nothing speaks against it.

use crate::flows_setup::{Line, table};
use crate::migrations::migrations;
use crate::support::Pelton;

/// Runs `pelton ARGUMENTS…` beside a manifest, which must end with this code; returns what it said.
#[track_caller]
fn run(manifest: &str, arguments: &[&str], code: i32) -> impl Future<Output = String> {
    let caller = std::panic::Location::caller();
    let mut pelton = Pelton::new(arguments).file("pelton.yaml", manifest);
    async move {
        let status = pelton.run().await;
        let said = format!("{}{}", pelton.stdout(), pelton.stderr());
        assert_eq!(status.code(), Some(code), "at {caller}: {said}");
        said
    }
}

const TRIGGER: &str = "CREATE EVENT TRIGGER pelton_tell_ddl ON ddl_command_end WHEN TAG IN ('ALTER TABLE') \
                       EXECUTE FUNCTION pelton.tell_ddl()";

/// What there is of Pelton at a source.
fn left(slot: &str) -> String {
    format!(
        "SELECT concat_ws(' ', (SELECT 'slot' FROM pg_replication_slots WHERE slot_name = '{slot}'), \
         (SELECT string_agg('publication', ' ') FROM pg_publication), \
         (SELECT string_agg(evtname, ' ' ORDER BY evtname) FROM pg_event_trigger), \
         (SELECT 'schema' FROM pg_namespace WHERE nspname = 'pelton'))"
    )
}

async fn line() -> (Line, String) {
    let line = Line::new().await;
    line.source("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    migrations(&["apply", "--privileged", "--url", &line.source.url()], 0).await;
    line.source(TRIGGER).await;
    line.source(
        "CREATE FUNCTION theirs() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; \
         CREATE EVENT TRIGGER pelton_like ON ddl_command_end EXECUTE FUNCTION theirs()",
    )
    .await;
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    (line, manifest)
}

#[tokio::test]
async fn what_was_made_goes_and_tables_and_everything_of_others_stays() {
    let (line, manifest) = line().await;
    let left = left(line.source.name());
    let all = "slot publication pelton_like pelton_tell_ddl schema";
    assert_eq!(line.source.value(&left).await, all);

    // Nobody can be asked, or nothing is to be done yet.
    let said = run(&manifest, &["teardown"], 1).await;
    assert!(said.contains("Will remove:") && said.contains("Hint: with --yes"), "{said}");
    let said = run(&manifest, &["teardown", "--dry-run", "--destinations"], 0).await;
    for part in [
        "Would remove:",
        &format!("source `source`: replication slot \"{}\"", line.source.name()),
        "source `source`: publication \"pelton\" of 1 tables",
        "source `source`: event trigger \"pelton_tell_ddl\"",
        "source `source`: schema pelton",
        "destination `destination`: 1 rows of manifest `line`",
        "destination `destination`: schema rejot_data_store",
        "destination `destination`: tables public.t",
    ] {
        assert!(said.contains(part), "`{part}` in {said}");
    }
    run(&manifest, &["teardown", "--dry-run", "--yes"], 2).await;
    assert_eq!(line.source.value(&left).await, all);

    // A destination that can't be reached stops it before it begins, where something is to be done there.
    let away = manifest.replace(&line.destination.url(), "postgres://pelton@127.0.0.1:1/none");
    assert!(run(&away, &["teardown", "--yes", "--destinations"], 1).await.contains("destination `destination`: "));
    assert_eq!(line.source.value(&left).await, all);

    let mut sync = line.follow(&manifest);
    sync.start();
    sync.says("streaming").await;
    let said = run(&manifest, &["teardown", "--yes"], 1).await;
    assert!(said.contains("a `pelton sync` of manifest `line` runs") && said.contains("Hint: stop it"), "{said}");
    assert_eq!(line.source.value(&left).await, all);
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));

    let said = run(&manifest, &["teardown", "--yes"], 0).await;
    assert!(said.contains("removed replication slot") && said.contains("(--destinations removes them)"), "{said}");
    assert_eq!(line.source.value(&left).await, "pelton_like");
    assert_eq!(line.destination.value("SELECT count(*) FROM rejot_data_store.flow").await, "1");
    assert!(run(&manifest, &["teardown", "--yes"], 0).await.contains("There is nothing to remove."));

    // Another manifest writes here too: its rows keep the schema.
    line.destination.execute("INSERT INTO rejot_data_store.public_schema_state (manifest_slug, public_schema_name, public_schema_major_version) VALUES ('other', 'x', 1)").await;
    let said = run(&manifest, &["teardown", "--yes", "--destinations"], 0).await;
    assert!(said.contains("with 1 rows of other manifests"), "{said}");
    assert_eq!(line.destination.value("SELECT count(*) FROM rejot_data_store.flow").await, "0");
    // A view of somebody's is nobody's to drop.
    line.destination
        .execute("DELETE FROM rejot_data_store.public_schema_state; CREATE VIEW mine AS TABLE rejot_data_store.flow")
        .await;
    let said = run(&manifest, &["teardown", "--yes", "--destinations"], 1).await;
    assert!(said.contains("Hint: somebody else's objects"), "{said}");
    assert_eq!(
        line.destination.value("SELECT count(*) FROM rejot_data_store.schema_migrations").await,
        "13",
        "all or nothing"
    );
    line.destination.execute("DROP VIEW mine").await;
    run(&manifest, &["teardown", "--yes", "--destinations"], 0).await;
    assert_eq!(line.destination.value("SELECT to_regnamespace('rejot_data_store')").await, "");
    line.assert_equal(&["t"]).await;

    // And the way back.
    line.destination.execute("DROP TABLE t").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;
}

#[tokio::test]
async fn slots_that_are_read_and_what_other_manifests_share_are_left_alone() {
    let (line, manifest) = line().await;
    let slot = line.source.name().to_owned();
    // Another manifest of the same source.
    let second = manifest
        .replace("slug: line", "slug: second")
        .replace("sourceManifestSlug: line", "sourceManifestSlug: second")
        .replace(
            &format!("slotName: {slot}, publicationName: pelton"),
            &format!("slotName: second_{slot}, publicationName: pelton_second"),
        )
        .replace("public.t, createTable", "public.u, createTable");
    line.catch_up(&second).await;
    let said = run(&manifest, &["teardown", "--yes"], 0).await;
    assert!(
        said.contains("schema pelton and event triggers: other manifests read here (publication pelton_second)"),
        "{said}"
    );
    assert_eq!(line.source.value(&left(&slot)).await, "publication pelton_like pelton_tell_ddl schema");
    assert_eq!(
        line.source.value(&left(&format!("second_{slot}"))).await,
        "slot publication pelton_like pelton_tell_ddl schema"
    );
    line.source("INSERT INTO t VALUES (2)").await;
    line.catch_up(&second).await;

    // A publication that somebody else made stays, and one of our name where its readers can't be known.
    line.source("COMMENT ON PUBLICATION pelton_second IS NULL").await;
    line.source(&format!("SELECT pg_create_logical_replication_slot('x_{slot}', 'pgoutput')")).await;
    let said = run(&second, &["teardown", "--dry-run"], 0).await;
    assert!(
        said.contains(&format!("publication \"pelton_second\": whether it is read by slot x_{slot} can't be known")),
        "{said}"
    );
    line.source(&format!("SELECT pg_drop_replication_slot('x_{slot}')")).await;
    line.source("ALTER PUBLICATION pelton_second RENAME TO theirs").await;
    let said = run(
        &second.replace("publicationName: pelton_second", "publicationName: theirs"),
        &["teardown", "--dry-run"],
        0,
    )
    .await;
    assert!(said.contains("publication \"theirs\": somebody else made it"), "{said}");
    line.source("ALTER PUBLICATION theirs RENAME TO pelton_second").await;
    assert!(run(&second, &["teardown", "--yes"], 0).await.contains("removed publication \"pelton_second\""));
    assert_eq!(line.source.value(&left(&format!("second_{slot}"))).await, "pelton_like");
}

#[tokio::test]
async fn what_setup_made_for_a_role_goes_and_so_does_a_slot_of_the_derived_name() {
    let line = Line::new().await;
    let (role, name) = (format!("reader_{}", line.source.name()), line.source.name());
    line.source(&format!("CREATE TABLE t (id int PRIMARY KEY); CREATE ROLE {role} LOGIN REPLICATION")).await;
    let superusers = line.manifest(&[table("t")]);
    let manifest = superusers.replacen("postgres@", &format!("{role}@"), 1);
    let admin = ["setup", "--connection", "source", "--no-helpers", "--admin-url", &line.source.url()];
    run(&manifest, &admin, 0).await;
    let mark = "SELECT obj_description(oid, 'pg_publication') FROM pg_publication";
    assert!(line.source.value(mark).await.starts_with("Made by pelton setup"), "an administrator's, not the role's");
    let system = line.source.value("SELECT system_identifier FROM pg_control_system()").await;
    let derived = pelton::postgres::slot::derived_name(system.parse().expect("a number"), name, "line");
    line.source(&format!("SELECT pg_create_logical_replication_slot('{derived}', 'pgoutput')")).await;

    // The role may not drop what is an administrator's: it says who may, and does the rest.
    let said = run(&manifest, &["teardown", "--yes"], 0).await;
    assert!(said.contains("publication \"pelton\": it belongs to postgres: let that role"), "{said}");
    for slot in [name, &derived] {
        assert!(said.contains(&format!("removed replication slot \"{slot}\"")), "{slot}: {said}");
        assert_eq!(line.source.value(&left(slot)).await, "publication", "{said}");
    }
    let said = run(&superusers, &["teardown", "--yes"], 0).await;
    assert!(said.contains("removed publication \"pelton\""), "{said}");
    assert_eq!(line.source.value(&left(name)).await, "");
}

#[tokio::test]
async fn a_slot_that_somebody_reads_stops_it_before_anything_is_removed() {
    let (line, manifest) = line().await;
    let file = Pelton::new(["check"]).file("pelton.yaml", &manifest);
    let read = pelton::manifest::load(&file.folder().join("pelton.yaml")).expect("the manifest is good");
    let connection = read.postgres("source").expect("its source");
    let options =
        pelton::postgres::replication::StreamOptions::new(line.source.name(), "pelton", pelton::lsn::Lsn::ZERO);
    let held = pelton::postgres::replication::ReplicationStream::start(connection, options).await.expect("a stream");
    let said = run(&manifest, &["teardown", "--yes"], 1).await;
    assert!(said.contains("is in use by process") && said.contains("Hint: find out who"), "{said}");
    assert_eq!(
        line.source.value(&left(line.source.name())).await,
        "slot publication pelton_like pelton_tell_ddl schema"
    );
    held.close().await.expect("the stream ends");
}
