//! `pelton slots`: what is shown, and what is refused.

use pelton::postgres::slot::derived_name;

use crate::flows_setup::{Line, table};
use crate::support::{Pelton, database, database_on, server};

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

async fn synced() -> (Line, String) {
    let line = Line::new().await;
    line.source("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    (line, manifest)
}

#[tokio::test]
async fn slots_are_listed_with_what_they_hold_back_and_whose_they_are() {
    let (line, manifest) = synced().await;
    let slot = line.source.name().to_owned();
    let system = line.source.value("SELECT system_identifier FROM pg_control_system()").await.parse().unwrap();
    let derived = derived_name(system, line.source.name(), "line");
    let other = format!("other_{slot}");
    line.source(&format!(
        "SELECT pg_create_logical_replication_slot(n, 'pgoutput') FROM unnest(ARRAY['{derived}', '{other}']) AS n"
    ))
    .await;
    let json = async |arguments: &[&str], manifest: &str| -> serde_json::Value {
        serde_json::from_str(&run(manifest, arguments, 0).await).expect("JSON")
    };
    let of = |json: &serde_json::Value, name: &str| {
        json.as_array()
            .unwrap()
            .iter()
            .find(|slot| slot["name"] == *name)
            .unwrap_or_else(|| panic!("{name}: {json}"))
            .clone()
    };
    let shown = json(&["slots", "list", "--json"], &manifest).await;
    let ours = of(&shown, &slot);
    assert_eq!(ours["owner"], serde_json::json!({ "manifest": "line", "source": "source", "flows": ["to-t"] }));
    assert_eq!(ours["database"], *line.source.name());
    assert_eq!(ours["plugin"], "pgoutput");
    assert_eq!(ours["walStatus"], "reserved");
    assert!(ours["retainedBytes"].as_i64().is_some() && ours["activePid"].is_null(), "{ours}");
    assert_eq!(of(&shown, &derived)["owner"]["manifest"], "line");
    assert!(of(&shown, &other)["owner"].is_null());
    let version: u32 = line.source.value("SHOW server_version_num").await.parse().unwrap();
    if version >= 170_000 {
        assert_eq!(ours["failover"], true, "{ours}");
        assert!(ours["inactiveMs"].as_i64().is_some(), "{ours}");
    } else {
        assert!(ours["failover"].is_null() && ours["inactiveMs"].is_null(), "{ours}");
    }
    // Without a manifest nobody owns any.
    let url = line.source.url();
    assert!(of(&json(&["slots", "list", "--url", &url, "--json"], "").await, &slot)["owner"].is_null());

    let mut sync = line.follow(&manifest);
    sync.start();
    line.source
        .wait_until(&format!("EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{slot}' AND active)"))
        .await;
    let active = of(&json(&["slots", "list", "--json"], &manifest).await, &slot);
    assert_eq!(active["applicationName"], "pelton", "{active}");
    let text = run(&manifest, &["slots", "list"], 0).await;
    let line_of = text.lines().find(|line| line.starts_with(&format!("{slot} "))).expect("a line");
    let cells: Vec<&str> = line_of.split_whitespace().collect();
    assert_eq!(cells[1..3], [line.source.name(), "pgoutput"]);
    assert_eq!(cells[3], active["activePid"].to_string());
    assert_eq!(cells[9..], ["pelton", "line/source:", "to-t"]);

    // A slot that is read is nobody's to take, and neither is any other one of a manifest that runs.
    for action in ["drop", "advance"] {
        let said = run(&manifest, &["slots", action, &slot, "--force"], 1).await;
        assert!(said.contains("is in use by process") && said.contains("Hint: find out who"), "{said}");
        let said = run(&manifest, &["slots", action, &derived, "--force"], 1).await;
        assert!(said.contains("a `pelton sync` of manifest `line` runs"), "{said}");
    }
    line.source("INSERT INTO t VALUES (2)").await;
    line.destination.wait_until("(SELECT count(*) FROM t) = 2").await;
    sync.terminate();
    assert_eq!(sync.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_slot_that_flows_need_is_dropped_by_force_alone() {
    let (line, manifest) = synced().await;
    let slot = line.source.name().to_owned();
    let drop = |manifest: String, more: &'static [&'static str], code: i32| {
        let slot = slot.clone();
        async move { run(&manifest, &[&["slots", "drop", &slot], more].concat(), code).await }
    };
    let said = drop(manifest.clone(), &[], 1).await;
    assert!(said.contains("is needed by flow `to-t` of manifest `line` at `destination`"), "{said}");
    assert!(said.contains("--force"), "{said}");
    // A destination that can't be asked may have a flow.
    let away = manifest.replace(&line.destination.url(), "postgres://pelton@127.0.0.1:1/none");
    let said = drop(away, &[], 1).await;
    assert!(
        said.contains("it can't be known whether flows need")
            && said.contains("destination `destination` can't be asked"),
        "{said}"
    );
    let url = line.source.url();
    let said = run("", &["slots", "drop", &slot, "--url", &url], 1).await;
    assert!(said.contains("without a manifest nobody knows its destinations"), "{said}");
    let said = run(&manifest, &["slots", "drop", "no_such"], 1).await;
    assert!(said.contains("there is no replication slot \"no_such\" at source `source`"), "{said}");
    let said = run(&manifest, &["slots", "drop", &slot, "--source", "nothing"], 1).await;
    assert!(said.contains("has no source `nothing`") && said.contains("Hint: its sources are source"), "{said}");

    // Slots of somebody else.
    let (theirs, physical) = (format!("theirs_{slot}"), format!("physical_{slot}"));
    line.source(&format!("SELECT pg_create_logical_replication_slot('{theirs}', 'pgoutput')")).await;
    line.source(&format!("SELECT pg_create_physical_replication_slot('{physical}')")).await;
    let said = run(&manifest, &["slots", "drop", &theirs], 1).await;
    assert!(said.contains("is not named by this manifest"), "{said}");
    let said = run(&manifest, &["slots", "drop", &physical, "--force"], 1).await;
    assert!(said.contains("is a physical one"), "{said}");
    line.source(&format!("SELECT pg_drop_replication_slot('{physical}')")).await;
    let elsewhere = database().await;
    let url = elsewhere.url();
    let said = run("", &["slots", "drop", &theirs, "--url", &url, "--force"], 1).await;
    assert!(said.contains(&format!("belongs to database \"{}\"", line.source.name())), "{said}");
    assert!(run(&manifest, &["slots", "drop", &theirs, "--force"], 0).await.contains("Dropped replication slot"));
    assert_eq!(
        line.source.value(&format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}'")).await,
        "1"
    );

    let said = drop(manifest.clone(), &["--force"], 0).await;
    assert!(said.contains("can't go on from its checkpoint") && said.contains("`to-t`"), "{said}");
    let stopped = line.stop(&manifest).await;
    assert!(stopped.contains("beyond the checkpoint"), "{stopped}");
    // Its flow was taken out: the slot that `sync` made goes without force.
    line.destination.execute("DELETE FROM rejot_data_store.flow").await;
    assert!(drop(manifest.clone(), &[], 0).await.contains("Dropped"));
}

#[tokio::test]
async fn a_slot_is_advanced_to_the_least_checkpoint_and_no_further() {
    let (line, manifest) = synced().await;
    let slot = line.source.name().to_owned();
    line.source("INSERT INTO t VALUES (2)").await;
    line.catch_up(&manifest).await;
    let checkpoint = line.destination.value("SELECT lsn FROM rejot_data_store.flow").await;
    line.source("INSERT INTO t VALUES (3)").await;
    let end = line.source.value("SELECT pg_current_wal_flush_lsn()").await;
    let said = run(&manifest, &["slots", "advance", &slot, "--to", &end], 1).await;
    assert!(said.contains(&format!("{end} is beyond the checkpoint of flow `to-t`")), "{said}");
    assert!(said.contains(&format!("advance it to {checkpoint} at most")), "{said}");
    run(&manifest, &["slots", "advance", &slot, "--to", "nonsense"], 2).await;
    let said = run(&manifest, &["slots", "advance", &slot, "--to", "FFFF/0", "--force"], 1).await;
    assert!(said.contains("is beyond the end of the write-ahead log"), "{said}");
    run(&manifest, &["slots", "advance", &slot], 0).await;
    let confirmed = format!("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'");
    assert_eq!(line.source.value(&confirmed).await, checkpoint);
    assert!(run(&manifest, &["slots", "advance", &slot], 0).await.contains("nothing to do"));
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;

    line.source("INSERT INTO t VALUES (4)").await;
    let end = line.source.value("SELECT pg_current_wal_flush_lsn()").await;
    let url = line.source.url();
    let said = run("", &["slots", "advance", &slot, "--url", &url, "--force"], 1).await;
    assert!(said.contains("it can't be known how far"), "{said}");
    let said = run(&manifest, &["slots", "advance", &slot, "--to", &end, "--force"], 0).await;
    assert!(said.contains(&format!("to {end}")) && said.contains("misses what lies behind its checkpoint"), "{said}");
    assert!(line.stop(&manifest).await.contains("beyond the checkpoint"));
}

#[tokio::test]
async fn a_slot_of_a_newer_primary_is_made_for_failover_and_an_older_one_can_be_changed() {
    let server = server().await;
    if server.major() < 17 {
        return;
    }
    let source = database_on(&server).await;
    let client = source.connect().await;
    pelton::postgres::slot::create(&client, "made").await.unwrap();
    source.execute("SELECT pg_create_logical_replication_slot('before', 'pgoutput')").await;
    let failover = "SELECT string_agg(slot_name || ' ' || failover, ', ' ORDER BY slot_name) FROM pg_replication_slots";
    assert_eq!(source.value(failover).await, "before false, made true");
}
