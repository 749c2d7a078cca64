//! Pelton's own tables in a destination: who may write, and what is remembered.

use pelton::datastore::{
    self, Began, Commit, DataStoreError, DeploymentState, NewFlow, Scope, Session, Start, StateTable, begin_component,
    migrate, take_over,
};
use pelton::lsn::Lsn;

use crate::support::{Database, database};

fn scope() -> Scope {
    Scope { manifest: "shop".to_owned(), source: "source".to_owned() }
}

fn start() -> Start {
    Start {
        lsn: Lsn(100),
        system_identifier: "7000000000000000001".to_owned(),
        timeline: 1,
        slot_name: "pelton_shop".to_owned(),
    }
}

fn flows(names: &[&str]) -> Vec<NewFlow> {
    let flow = |name: &&str| NewFlow {
        flow: (*name).to_owned(),
        public_schema: "orders".to_owned(),
        major: 1,
        backfill: None,
    };
    names.iter().map(flow).collect()
}

#[tokio::test]
async fn migrations_are_applied_once_and_go_on_from_what_rejot_made() {
    let database = database().await;
    let mut client = database.connect().await;
    assert_eq!(migrate(&mut client).await.unwrap(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(migrate(&mut client).await.unwrap(), [0; 0]);
    client
        .batch_execute("UPDATE rejot_data_store.schema_migrations SET checksum = 'other' WHERE version = 2")
        .await
        .unwrap();
    assert!(matches!(migrate(&mut client).await, Err(DataStoreError::Drift { version: 2, .. })));
    client.batch_execute("INSERT INTO rejot_data_store.schema_migrations VALUES (99, 'later')").await.unwrap();
    assert!(matches!(migrate(&mut client).await, Err(DataStoreError::TooNew { found: 99, known: 13, .. })));
    // As ReJot leaves it: version 1, no checksums.
    let rejot = "DROP SCHEMA rejot_data_store CASCADE; CREATE SCHEMA rejot_data_store; \
                 CREATE TABLE rejot_data_store.schema_migrations (version int PRIMARY KEY, description text, \
                 applied_at timestamptz); INSERT INTO rejot_data_store.schema_migrations VALUES (1, 'first', now()); \
                 CREATE TABLE rejot_data_store.public_schema_state (id serial PRIMARY KEY)";
    client.batch_execute(rejot).await.unwrap();
    assert_eq!(migrate(&mut client).await.unwrap(), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
}

#[tokio::test]
async fn a_takeover_waits_for_a_transaction_in_flight_and_locks_the_former_owner_out() {
    let database = database().await;
    let mut first = database.connect().await;
    migrate(&mut first).await.unwrap();
    let names = ["a".to_owned(), "b".to_owned()];
    let owned = take_over(&mut first, &scope(), &flows(&["a", "b"]), &[], &start()).await.unwrap();
    assert!(owned.flows.iter().all(|flow| flow.lsn == Lsn(100)));
    let session = Session::prepare(&first, owned).await.unwrap();
    session.begin(&first, &names).await.unwrap();

    let mut second = database.connect().await;
    let taking = tokio::spawn(async move {
        let owned = take_over(&mut second, &scope(), &flows(&["a", "b"]), &[], &start()).await.unwrap();
        (second, owned)
    });
    let waits =
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database.wait_until(waits).await;
    let commit = Commit { through: Lsn(200), commit_time: Some(1), flows: &names, rows: &[3, 4] };
    session.commit(&first, &commit).await.unwrap();
    let (second, owned) = taking.await.unwrap();
    assert!(owned.flows.iter().all(|flow| flow.lsn == Lsn(200)), "the commit that was in flight is seen");
    assert_eq!(owned.flows.iter().map(|flow| flow.rows_applied).collect::<Vec<_>>(), [3, 4]);

    assert!(matches!(session.begin(&first, &names).await, Err(DataStoreError::StaleOwner { .. })));
    first.batch_execute("ROLLBACK").await.unwrap();
    let session = Session::prepare(&second, owned).await.unwrap();
    session.begin(&second, &names).await.unwrap();
    // A checkpoint never goes back.
    let older = Commit { through: Lsn(150), commit_time: None, flows: &names, rows: &[0, 0] };
    session.commit(&second, &older).await.unwrap();
    session.flush_now(&second).await.unwrap();
    assert!(datastore::flows(&second, &scope()).await.unwrap().iter().all(|flow| flow.lsn == Lsn(200)));
}

#[tokio::test]
async fn what_a_transform_runs_as_is_recorded_by_its_owner_alone_with_what_it_was() {
    let database = database().await;
    let mut client = database.connect().await;
    migrate(&mut client).await.unwrap();
    let owned = take_over(&mut client, &scope(), &flows(&["a"]), &[], &start()).await.unwrap();
    let began = |digest: &'static str, lsn: u64| Began {
        transform: "orders@1",
        digest,
        file_digest: Some("aa"),
        state_version: 1,
        lsn: Lsn(lsn),
        bytes: Some(b"component"),
    };
    begin_component(&mut client, &owned, &began("aa", 100)).await.unwrap();
    let number = datastore::deploy(&mut client, &scope(), "orders@1", "bb", b"another").await.unwrap();
    let state = async |client: &tokio_postgres::Client| {
        let mut all = datastore::deployed(client, &scope()).await.unwrap();
        let one = all.pop().expect("the transform");
        (one.runs_as.expect("what it runs as"), one.deployment.expect("its deployment"))
    };
    assert_eq!(state(&client).await.1.state, DeploymentState::Wanted);
    begin_component(&mut client, &owned, &began("bb", 200)).await.unwrap();
    // A refusal that comes late refuses nothing.
    datastore::refuse_deployment(&mut client, &scope(), "orders@1", number, "late", None).await.unwrap();
    let (runs_as, deployment) = state(&client).await;
    assert_eq!((runs_as.lsn, runs_as.former, runs_as.has_state), (Some(Lsn(200)), Some(("aa".to_owned(), 1)), false));
    assert_eq!((deployment.state, deployment.lsn), (DeploymentState::Taken, Some(Lsn(200))));
    let kept = async |digest| datastore::component(&client, "shop", digest).await.unwrap();
    assert_eq!((kept("bb").await, kept("aa").await), (Some(b"another".to_vec()), Some(b"component".to_vec())));
    // Whoever has taken the flows over decides from then on.
    let mut second = database.connect().await;
    take_over(&mut second, &scope(), &[], &[], &start()).await.unwrap();
    let stale = begin_component(&mut client, &owned, &began("cc", 300)).await;
    assert!(matches!(stale, Err(DataStoreError::StaleOwner { .. })));
    assert_eq!(state(&second).await.0.digest, "bb");
}

/// Holds a row of a transform back, so that whoever writes it waits.
async fn hold(database: &Database, table: &str, transform: &str) -> tokio_postgres::Client {
    let other = database.connect().await;
    let held = format!(
        "BEGIN; INSERT INTO rejot_data_store.{table} (manifest_slug, source_slug, transform, component_digest) \
         VALUES ('shop', 'source', '{transform}', 'held')"
    );
    other.batch_execute(&held).await.unwrap();
    other
}

#[tokio::test]
async fn the_record_of_a_component_and_a_takeover_wait_for_each_other() {
    let database = database().await;
    let mut client = database.connect().await;
    migrate(&mut client).await.unwrap();
    let owned = take_over(&mut client, &scope(), &flows(&["a", "b"]), &[], &start()).await.unwrap();
    let other = hold(&database, "transform", "orders@1").await;
    let recording = tokio::spawn(async move {
        let (transform, digest, file_digest) = ("orders@1", "aa", None);
        let began = Began { transform, digest, file_digest, state_version: 1, lsn: Lsn(100), bytes: None };
        begin_component(&mut client, &owned, &began).await
    });
    let waiting = |sessions: u32| {
        format!(
            "(SELECT count(*) = {sessions} FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
    };
    database.wait_until(&waiting(1)).await;
    let mut second = database.connect().await;
    let taking = tokio::spawn(async move { take_over(&mut second, &scope(), &[], &[], &start()).await });
    // It waits, for the record may be committed yet.
    database.wait_until(&waiting(2)).await;
    other.batch_execute("ROLLBACK").await.unwrap();
    recording.await.unwrap().unwrap();
    taking.await.unwrap().unwrap();
    assert_eq!(database.value("SELECT component_digest FROM rejot_data_store.transform").await, "aa");
}

#[tokio::test]
async fn what_somebody_is_about_to_deploy_is_not_removed_as_useless() {
    let database = database().await;
    let mut client = database.connect().await;
    migrate(&mut client).await.unwrap();
    let owned = take_over(&mut client, &scope(), &flows(&["a"]), &[], &start()).await.unwrap();
    // It is there, from whatever was wanted before.
    let kept = "INSERT INTO rejot_data_store.component (manifest_slug, digest, bytes) VALUES ('shop', 'bb', 'b')";
    database.execute(kept).await;
    let other = hold(&database, "deployment", "orders@1").await;
    let mut deployer = database.connect().await;
    let deploying =
        tokio::spawn(async move { datastore::deploy(&mut deployer, &scope(), "orders@1", "bb", b"b").await });
    let waiting = |sessions: u32| {
        format!(
            "(SELECT count(*) = {sessions} FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
    };
    database.wait_until(&waiting(1)).await;
    // Another transform of the manifest begins, and with it goes what is of no use.
    let beginning = tokio::spawn(async move {
        let (transform, digest, file_digest) = ("others@1", "aa", None);
        let began = Began { transform, digest, file_digest, state_version: 1, lsn: Lsn(100), bytes: Some(b"a") };
        begin_component(&mut client, &owned, &began).await.unwrap();
        client
    });
    // Whether it waits or not, it has looked what is of use before the deployment is there.
    let done = "EXISTS (SELECT FROM rejot_data_store.transform)";
    database.wait_until(&format!("({} OR {done})", waiting(2))).await;
    other.batch_execute("ROLLBACK").await.unwrap();
    deploying.await.unwrap().unwrap();
    let mut client = beginning.await.unwrap();
    assert_eq!(database.value("SELECT state FROM rejot_data_store.deployment").await, "wanted");
    assert_eq!(datastore::component(&client, "shop", "bb").await.unwrap(), Some(b"b".to_vec()));
    // What is refused is not kept.
    datastore::refuse_deployment(&mut client, &scope(), "orders@1", 1, "no", None).await.unwrap();
    assert_eq!(datastore::component(&client, "shop", "bb").await.unwrap(), None);
    assert_eq!(datastore::component(&client, "shop", "aa").await.unwrap(), Some(b"a".to_vec()));
}

#[tokio::test]
async fn what_a_transform_remembers_is_found_again_in_order() {
    let database = database().await;
    let mut client = database.connect().await;
    migrate(&mut client).await.unwrap();
    let state = StateTable { scope: scope(), transform: "orders@1".to_owned() };
    let key = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
    let entries = [(key("t/1"), Some(key("one"))), (key("t/2"), Some(key("two"))), (key("u/1"), Some(key("x")))];
    state.put(&client, &entries).await.unwrap();
    state.put(&client, &[(key("t/2"), None), (key("t/3"), Some(key("three")))]).await.unwrap();
    let found = state.get(&client, &[b"t/3", b"t/2", b"t/1"]).await.unwrap();
    assert_eq!(found, [Some(key("three")), None, Some(key("one"))]);
    assert_eq!(
        state.scan(&client, b"t/", None, 10).await.unwrap(),
        [(key("t/1"), key("one")), (key("t/3"), key("three"))]
    );
    assert_eq!(state.scan(&client, b"t/", Some(b"t/1"), 1).await.unwrap(), [(key("t/3"), key("three"))]);
}
