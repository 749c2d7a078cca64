//! Doctor and setup go by the same rules: in the states of the doctor's cases, what one would run is what the other
//! complains of, and once setup is done nothing is left that it could have mended.

use serde_json::Value;

use super::case::{Run, Step, begin};
use crate::support::{Database, Pelton};

macro_rules! agree {
    ($($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                check(stringify!($name), include_str!(concat!("cases/", stringify!($name), ".sql"))).await;
            }
        )*
    };
}

agree! {
    destination_makes_its_table
    destination_migrations_tampered
    destination_role_with_nothing
    destination_role_without_a_right
    generated_column
    partition_without_identity
    publication_columns
    publication_is_gone
    publication_lacks_a_table
    publication_of_our_own
    publication_of_pelton_grows
    publication_operations
    publication_without_root
    role_for_all_tables
    role_with_nothing
    role_without_replication
    role_without_select
    row_security
    sender_timeout_off
    slot_is_gone
    table_with_a_unique_index
    table_with_deferrable_key
    table_with_identity_nothing
    table_without_key
    tables_made_later
    wal_level
}

/// Walks through a case. Where its plan is run, setup comes before the plan, and leaves to it what is a person's.
async fn check(name: &'static str, text: &'static str) {
    let Some((mut run, steps)) = begin(name, text).await else { return };
    let mut said = 0;
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Finds(_) => said += agrees(&run).await,
            Step::Plan => {
                mended(&run).await;
                run.plan(false).await;
            }
            other => run.step(number, other).await,
        }
    }
    mended(&run).await;
    assert!(said > 0 || !text.contains("-- plan"), "{name}: no statement was compared");
}

/// Asks the doctor, and setup for both scripts; every statement of one is the other's, but for
/// what is a person's decision, which no script of setup's has. Returns how many there were.
async fn agrees(run: &Run) -> usize {
    let (found, source, destination) =
        tokio::join!(findings(run), setup(run, "source", &["--print"]), setup(run, "destination", &["--print"]));
    let mut script = format!("{source}{destination}");
    let (of_setup, of_person): (Vec<String>, Vec<String>) = (statements(&found, true), statements(&found, false));
    for statement in &of_setup {
        assert!(script.contains(statement), "{}: the doctor alone has\n{statement}\n\n{script}", run.name);
    }
    for statement in &of_setup {
        script = script.replace(statement, "");
    }
    for statement in &of_person {
        assert!(!script.contains(statement), "{}: setup would decide\n{statement}", run.name);
    }
    // What only setup does.
    let own = |line: &&str| line.starts_with("SELECT pg_catalog.pg_create_logical_replication_slot");
    let around = |line: &&str| line.is_empty() || line.starts_with(['-', '\\']) || ["BEGIN;", "COMMIT;"].contains(line);
    let alone: Vec<&str> = script.lines().filter(|line| !own(line) && !around(line)).collect();
    assert!(alone.is_empty(), "{}: setup alone has\n{}", run.name, alone.join("\n"));
    of_setup.len() + of_person.len()
}

/// Runs setup, after which the doctor finds nothing that setup could mend.
async fn mended(run: &Run) {
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = current_database()";
    let before = run.source.value(slots).await;
    let said = format!("{}\n{}", setup(run, "source", &[]).await, setup(run, "destination", &[]).await);
    let left = statements(&findings(run).await, true);
    assert!(left.is_empty(), "{}: setup left\n{}\n\n{said}", run.name, left.join("\n"));
    // The case makes its own.
    if before == "0" {
        run.source.execute(&slots.replace("count(*)", "pg_drop_replication_slot(slot_name)")).await;
    }
}

async fn findings(run: &Run) -> Value {
    let mut pelton = Pelton::new(["doctor", "--json"]).file("pelton.yaml", run.manifest());
    pelton.run().await;
    let said = pelton.stdout();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{}: {error}\n{said}{}", run.name, pelton.stderr()))
}

/// The statements that mend what was found: those that setup runs, or those that a person decides on.
fn statements(said: &Value, by_setup: bool) -> Vec<String> {
    let findings = said["findings"].as_array().expect("a list");
    let mends = findings.iter().flat_map(|finding| finding["mends"].as_array().expect("a list"));
    let wanted = mends.filter(|mend| mend["bySetup"] == by_setup);
    wanted.map(|mend| format!("\n{};\n", mend["sql"].as_str().expect("a statement"))).collect()
}

/// Runs setup of one database as its superuser, who gives identities and alters whatever publication there is.
async fn setup(run: &Run, connection: &str, more: &[&str]) -> String {
    let database: &Database = if connection == "source" { &run.source } else { &run.destination };
    let url = database.url();
    let fixed = ["setup", "--connection", connection, "--admin-url", &url, "--no-helpers", "--publication", "pelton"];
    let identity = ["--replica-identity", "keyless"];
    let arguments = fixed.into_iter().chain(identity).chain(more.iter().copied());
    let mut pelton = Pelton::new(arguments).file("pelton.yaml", run.manifest());
    pelton.run().await;
    assert!(!pelton.stderr().contains("panicked"), "{}", pelton.stderr());
    match more.is_empty() {
        true => format!("{}{}", pelton.stdout(), pelton.stderr()),
        false => pelton.stdout(),
    }
}
