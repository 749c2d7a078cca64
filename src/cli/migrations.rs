//! `pelton migrations`: what Pelton keeps in schemas of its own, looked at, applied, or handed over as a script.

use clap::Subcommand;
use serde_json::json;
use tokio_postgres::Client;

use super::columns;
use super::databases::{self, Database, Databases};
use super::report::Failure;
use crate::datastore::{self, DataStoreError, EVENTS, History, ORDINARY, PRIVILEGED, Set, State};
use crate::postgres::quote_ident;

/// Shows, applies, prints and verifies what Pelton keeps in schemas of its own
///
/// The ordinary set makes `rejot_data_store` at destinations, as `pelton sync` does at its start. The privileged set
/// makes `pelton` at sources, for administrators who want it: Pelton works without.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show each migration: applied and when, pending, drifted or unknown
    Status {
        #[command(flatten)]
        databases: Databases,

        /// Print JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Apply what is pending: the ordinary set at destinations
    Apply {
        #[command(flatten)]
        databases: Databases,

        /// The privileged set at sources instead, as an administrator
        #[arg(long)]
        privileged: bool,
    },
    /// Print a script that applies and records a set, to be read and run by hand; asks no database
    EmitSql {
        /// The privileged set, for sources, instead of the ordinary one, for destinations
        #[arg(long)]
        privileged: bool,

        /// Also grant this role what running Pelton needs, where another one runs the script
        #[arg(long, value_name = "ROLE", conflicts_with = "privileged")]
        role: Option<String>,
    },
    /// Exit with 1 and say so where something is pending, drifted or missing
    ///
    /// The privileged set counts only where something of it was applied, unless it is asked for.
    Verify {
        #[command(flatten)]
        databases: Databases,

        /// The privileged set alone, which must be complete then
        #[arg(long)]
        privileged: bool,
    },
    /// Record as applied what somebody applied by hand, after a look at what is there
    Record {
        #[command(flatten)]
        databases: Databases,

        /// The privileged set at sources instead of the ordinary one at destinations
        #[arg(long)]
        privileged: bool,

        /// The last migration that was applied [default: all of them]
        #[arg(long, value_name = "VERSION")]
        through: Option<i32>,
    },
}

const APPLICATION: &str = "pelton migrations";

/// A set in a database.
struct Place {
    database: Database,
    set: &'static Set,
}

/// Does it.
///
/// # Errors
/// The manifest's problems, databases that can't be reached, and what they refuse. The others are done all the same.
pub async fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Status { databases, json } => status(&places(&databases, None)?, json).await,
        Action::Apply { databases, privileged } => {
            change(&databases, privileged, "applied", async |client, set| datastore::apply(client, set).await).await
        }
        Action::EmitSql { privileged, role } => {
            let set = if privileged { &PRIVILEGED } else { &ORDINARY };
            print!("{}", datastore::script(set, role.map(|role| quote_ident(&role)).as_deref()));
            Ok(())
        }
        Action::Verify { databases, privileged } => verify(&databases, privileged).await,
        Action::Record { databases, privileged, through } => {
            change(&databases, privileged, "recorded", async |client, set| {
                datastore::record(client, set, through).await
            })
            .await
        }
    }
}

/// Returns the sets that are asked for and where they belong; `privileged` chooses one of them.
fn places(databases: &Databases, privileged: Option<bool>) -> Result<Vec<Place>, Failure> {
    let (destinations, stores, sources) = match databases.of_url()? {
        // Whether it is an event store is for a manifest to say.
        Some(database) => (vec![database.clone()], Vec::new(), vec![database]),
        None => {
            let manifest = databases.manifest()?.expect("there is no URL");
            let stores = databases::event_stores(&manifest);
            (databases::destinations(&manifest), stores, databases::sources(&manifest))
        }
    };
    let sets = [(&ORDINARY, destinations, false), (&EVENTS, stores, false), (&PRIVILEGED, sources, true)];
    let sets = sets.into_iter().filter(|(.., which)| privileged.is_none_or(|privileged| privileged == *which));
    let places: Vec<Place> = sets
        .flat_map(|(set, databases, _)| databases.into_iter().map(move |database| Place { database, set }))
        .collect();
    if places.is_empty() {
        let place = if privileged == Some(true) { "source" } else { "destination" };
        let what = format!("the manifest names no {place}, so there is nothing to look at");
        return Err(Failure::new(what, Some("name a database with --url, or another manifest".to_owned())));
    }
    Ok(places)
}

fn all(failures: Vec<Failure>) -> Result<(), Failure> {
    if failures.is_empty() { Ok(()) } else { Err(Failure::all(failures)) }
}

impl Place {
    async fn history(&self) -> Result<History, Failure> {
        let client = self.database.connect(APPLICATION).await?;
        let history = datastore::history(&client, self.set).await;
        history.map_err(|error| self.database.failed(&error, error.hint()))
    }
}

/// Changes every place of a set, and says what was done.
async fn change(
    databases: &Databases,
    privileged: bool,
    done: &str,
    act: impl AsyncFn(&mut Client, &'static Set) -> Result<Vec<i32>, DataStoreError>,
) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for Place { database, set } in places(databases, Some(privileged))? {
        let changed = match database.connect(APPLICATION).await {
            Ok(mut client) => act(&mut client, set).await.map_err(|error| database.failed(&error, error.hint())),
            Err(failure) => Err(failure),
        };
        match changed {
            Ok(versions) if versions.is_empty() => println!("{}: nothing to do in {}.", database.name, set.schema),
            Ok(versions) => {
                let versions = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                println!("{}: {done} {versions} of {}.", database.name, set.schema);
            }
            Err(failure) => failures.push(failure),
        }
    }
    all(failures)
}

async fn verify(databases: &Databases, privileged: bool) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for place in places(databases, privileged.then_some(true))? {
        let Place { database, set } = &place;
        let history = match place.history().await {
            Ok(history) => history,
            Err(failure) => {
                failures.push(failure);
                continue;
            }
        };
        let optional = set.schema == PRIVILEGED.schema && !privileged;
        if optional && history.is_absent() {
            println!("{}: {} is not there, and need not be.", database.name, set.schema);
            continue;
        }
        let differences = history.differences();
        if differences.is_empty() {
            println!("{}: {} is as it should be.", database.name, set.schema);
        } else {
            failures.push(database.refused(differences.join("; "), mend(&history)));
        }
    }
    all(failures)
}

/// Says what brings a set to where it should be.
fn mend(history: &History) -> String {
    let set = history.set;
    let is = |state| history.entries.iter().any(|entry| entry.state == state);
    let privileged = if set.schema == PRIVILEGED.schema { " --privileged" } else { "" };
    if is(State::Unknown) {
        "run the newer version of Pelton".to_owned()
    } else if is(State::Drifted) {
        format!("compare {}.schema_migrations with the release that applied it", set.schema)
    } else if is(State::Pending) {
        format!(
            "`pelton migrations apply{privileged}`, or run the script of `pelton migrations emit-sql{privileged}`; if it was \
             applied by hand, `pelton migrations record{privileged}`"
        )
    } else {
        format!(
            "bring back what was dropped from {}, from the script of `pelton migrations emit-sql{privileged}`",
            set.schema
        )
    }
}

async fn status(places: &[Place], as_json: bool) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let mut histories = Vec::new();
    for place in places {
        match place.history().await {
            Ok(history) => histories.push((&place.database, history)),
            Err(failure) => failures.push(failure),
        }
    }
    if as_json {
        println!(
            "{:#}",
            histories.iter().map(|(database, history)| to_json(database, history)).collect::<serde_json::Value>()
        );
    } else {
        print(&histories);
    }
    all(failures)
}

fn state(entry: &datastore::Entry) -> &'static str {
    match entry.state {
        State::Applied if !entry.missing.is_empty() => "incomplete",
        State::Applied => "applied",
        State::Pending => "pending",
        State::Drifted => "drifted",
        State::Unknown => "unknown",
    }
}

fn to_json(database: &Database, history: &History) -> serde_json::Value {
    let entry = |entry: &datastore::Entry| {
        json!({
            "version": entry.version,
            "description": entry.description,
            "state": state(entry),
            "appliedAt": entry.applied_at.as_ref().map(|at| format!("{}Z", at.replace(' ', "T"))),
            "missing": if entry.state == State::Pending { &[] } else { &entry.missing[..] },
        })
    };
    json!({
        "database": database.name,
        "schema": history.set.schema,
        "set": history.set.kind,
        "migrations": history.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn print(histories: &[(&Database, History)]) {
    let head = ["DATABASE", "SCHEMA", "VERSION", "STATE", "APPLIED (UTC)", "DESCRIPTION"].map(str::to_owned);
    let lines = histories.iter().flat_map(|(database, history)| {
        history.entries.iter().map(|entry| {
            let at = entry.applied_at.clone().unwrap_or_else(|| "-".to_owned());
            let mut description = entry.description.clone();
            if history.version_of_rejot() == Some(entry.version) {
                description += " (made by ReJot: taken over at the next sync)";
            }
            if state(entry) == "incomplete" {
                description += &format!(" (lacks {})", entry.missing.join(", "));
            }
            [
                database.name.clone(),
                history.set.schema.to_owned(),
                entry.version.to_string(),
                state(entry).to_owned(),
                at,
                description,
            ]
        })
    });
    columns::print(std::iter::once(head).chain(lines));
}
