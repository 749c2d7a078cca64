//! What there is to remove, what stays, and what speaks against beginning at all.

use tokio_postgres::Client;

use super::step::Step;
use crate::cli::columns::size;
use crate::cli::databases::{self, Database};
use crate::cli::report::Failure;
use crate::cli::slots;
use crate::datastore::{self, ORDINARY, PRIVILEGED, Remembered};
use crate::manifest::{ConsumerConfig, Manifest, SourceConfig};
use crate::postgres::slot::{self, Listed, PLUGIN, SlotError, derived_name};
use crate::postgres::{QueryError, preflight, publication, quote_ident};

const APPLICATION: &str = "pelton teardown";

/// A database, with what is to be removed there.
pub struct Found {
    pub database: Database,
    /// Holds the manifest's lock where the database is a source.
    pub client: Client,
    /// In the order in which they are run.
    pub steps: Vec<Step>,
    /// What stays, and why or how it could go.
    pub stays: Vec<String>,
}

/// Looks at all databases of a manifest.
///
/// # Errors
/// All that speaks against it, of all databases at once.
pub async fn look(manifest: &Manifest, with_destinations: bool) -> Result<Vec<Found>, Failure> {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for database in databases::sources(manifest) {
        match source(manifest, database).await {
            Ok(one) => found.push(one),
            Err(failure) => failures.push(failure),
        }
    }
    for database in databases::destinations(manifest) {
        match destination(manifest, database, with_destinations).await {
            Ok(one) => found.push(one),
            // Nothing is to be done there, so nobody needs it.
            Err(_) if !with_destinations => {}
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(found) } else { Err(Failure::all(failures)) }
}

async fn source(manifest: &Manifest, database: Database) -> Result<Found, Failure> {
    let client = database.connect(APPLICATION).await?;
    slots::own(manifest, &database, &client).await?;
    let (_, config) = manifest.sources().find(|(store, _)| store.slug == database.name).expect("it is a source");
    let failed = |error: QueryError| {
        let hint = error.hint();
        database.failed(&error, hint)
    };
    let facts = preflight::facts(&client).await.map_err(failed)?;
    let slots = slot::list(&client).await.map_err(failed)?;
    let (mut steps, mut stays) = (Vec::new(), Vec::new());
    // What somebody made under the derived name is this manifest's too.
    let derived = derived_name(facts.identity.system_identifier, &facts.database, &manifest.slug);
    let (ours, others): (Vec<Listed>, Vec<Listed>) =
        slots.into_iter().partition(|slot| slot.name == config.slot_name || slot.name == derived);
    for slot in &ours {
        match of_slot(slot, &facts.database) {
            Ok(step) => steps.push(step),
            Err(Refused::Active(error)) => {
                let hint = error.hint();
                return Err(database.failed(&error, hint));
            }
            Err(Refused::Theirs(why)) => stays.push(why),
        }
    }
    let others: Vec<&str> = others
        .iter()
        .filter(|slot| slot.database.as_ref() == Some(&facts.database) && slot.plugin.as_deref() == Some(PLUGIN))
        .map(|slot| slot.name.as_str())
        .collect();
    of_publication(&database, &client, config, &others, &mut steps, &mut stays).await?;
    helpers(&database, &client, config, &mut steps, &mut stays).await?;
    stays.push("tables, roles and their privileges".to_owned());
    Ok(Found { database, client, steps, stays })
}

enum Refused {
    Active(SlotError),
    Theirs(String),
}

fn of_slot(slot: &Listed, database: &str) -> Result<Step, Refused> {
    let name = slot.name.clone();
    if slot.plugin.as_deref() != Some(PLUGIN) || slot.database.as_deref() != Some(database) {
        let why = format!("replication slot \"{name}\", which is of another kind or database, so not of this manifest");
        return Err(Refused::Theirs(why));
    }
    if let Some(pid) = slot.active_pid {
        return Err(Refused::Active(SlotError::InUse { name, pid: pid.cast_unsigned() }));
    }
    let retained = size(slot.retained_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0));
    Ok(Step::Slot { name, retained })
}

/// A publication is dropped when it bears a mark of ours, or has a name of ours, and nobody else is known to read it:
/// neither a process nor one of the `others`, slots that may.
async fn of_publication(
    database: &Database,
    client: &Client,
    config: &SourceConfig,
    others: &[&str],
    steps: &mut Vec<Step>,
    stays: &mut Vec<String>,
) -> Result<(), Failure> {
    let name = &config.publication_name;
    let found = publication::look_up(client, name).await;
    let Some(found) = found.map_err(|error| database.failed(&error, error.hint()))? else { return Ok(()) };
    let mut by_hand = |why: String| stays.push(format!("publication \"{name}\": {why}"));
    let marked = found.ours || found.by_setup;
    if !marked && !name.starts_with("pelton_") {
        by_hand("somebody else made it".to_owned());
        return Ok(());
    }
    // A reader's statement names what it reads, to those who may see it.
    let readers = "SELECT a.pid FROM pg_catalog.pg_stat_activity AS a WHERE a.datname = pg_catalog.current_database() \
                   AND a.backend_type = 'walsender' AND pg_catalog.strpos(a.query, $1) > 0";
    let quoted = name.replace('"', "\"\"");
    let readers = client.query(readers, &[&quoted]).await.map_err(|error| {
        let error = QueryError::new("look for readers of the publication", error);
        database.failed(&error, error.hint())
    })?;
    if let Some(reader) = readers.first() {
        by_hand(format!("process {} reads it", reader.get::<_, i32>(0)));
        return Ok(());
    }
    // Which publications the reader of a slot asks for is nowhere written down.
    if !marked && !others.is_empty() {
        by_hand(format!("whether it is read by slot {} can't be known", others.join(", ")));
        return Ok(());
    }
    let owner = "SELECT o.rolname::text, pg_catalog.pg_has_role(o.oid, 'USAGE') FROM pg_catalog.pg_publication p \
                 JOIN pg_catalog.pg_roles o ON o.oid = p.pubowner WHERE p.pubname = $1";
    let owner = client.query_opt(owner, &[name]).await.map_err(|error| {
        let error = QueryError::new("ask who owns the publication", error);
        database.failed(&error, error.hint())
    })?;
    if let Some(row) = owner.filter(|row| !row.get::<_, bool>(1)) {
        let owner: &str = row.get(0);
        by_hand(format!(
            "it belongs to {owner}: let that role, or a superuser, run DROP PUBLICATION {}",
            quote_ident(name)
        ));
        return Ok(());
    }
    steps.push(Step::Publication { name: name.clone(), tables: found.tables.len() });
    Ok(())
}

/// Event triggers and the schema `pelton`, which all manifests that read a database share.
async fn helpers(
    database: &Database,
    client: &Client,
    config: &SourceConfig,
    steps: &mut Vec<Step>,
    stays: &mut Vec<String>,
) -> Result<(), Failure> {
    let failed = |doing: &'static str| {
        move |error| {
            let error = QueryError::new(doing, error);
            database.failed(&error, error.hint())
        }
    };
    let triggers = "SELECT t.evtname::text FROM pg_catalog.pg_event_trigger AS t \
                    JOIN pg_catalog.pg_proc AS f ON f.oid = t.evtfoid \
                    JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace WHERE n.nspname = $1 ORDER BY 1";
    let schema = PRIVILEGED.schema;
    let triggers = client.query(triggers, &[&schema]).await.map_err(failed("look for event triggers"))?;
    let triggers: Vec<String> = triggers.iter().map(|row| row.get(0)).collect();
    let history = datastore::history(client, &PRIVILEGED).await;
    let there = !history.map_err(|error| database.failed(&error, error.hint()))?.is_absent();
    if triggers.is_empty() && !there {
        return Ok(());
    }
    let others = publication::others_of_ours(client, &config.publication_name).await;
    let others = others.map_err(|error| database.failed(&error, error.hint()))?;
    if !others.is_empty() {
        let others = others.join(", ");
        stays.push(format!("schema {schema} and event triggers: other manifests read here (publication {others})"));
        return Ok(());
    }
    // A trigger goes before the function that it calls.
    steps.extend(triggers.into_iter().map(|name| Step::EventTrigger { name }));
    if there {
        steps.push(Step::Schema { set: &PRIVILEGED });
    }
    Ok(())
}

async fn destination(manifest: &Manifest, database: Database, remove: bool) -> Result<Found, Failure> {
    let client = database.connect(APPLICATION).await?;
    let remembered = datastore::remembered(&client, &manifest.slug).await;
    let Remembered { schema_exists, own, others } =
        remembered.map_err(|error| database.failed(&error, error.hint()))?;
    let (mut steps, mut stays) = (Vec::new(), Vec::new());
    if remove && own > 0 {
        steps.push(Step::Rows { manifest: manifest.slug.clone(), rows: own });
    }
    match (schema_exists, remove, others) {
        (false, ..) => {}
        (true, true, 0) => steps.push(Step::Schema { set: &ORDINARY }),
        (true, true, _) => stays.push(format!("schema rejot_data_store, with {others} rows of other manifests")),
        (true, false, _) if own > 0 => stays.push(format!(
            "{own} rows of manifest `{}` in rejot_data_store, which are of no use without the slot (--destinations removes them)",
            manifest.slug
        )),
        (true, false, _) => stays.push("schema rejot_data_store (see --destinations)".to_owned()),
    }
    let tables = manifest.consumer_schemas.iter().filter_map(|consumer| match &consumer.config {
        ConsumerConfig::Table(table) if table.data_store == database.name => Some(table.table.to_string()),
        _ => None,
    });
    let tables: Vec<String> = tables.collect();
    if !tables.is_empty() {
        stays.push(format!("tables {}", tables.join(", ")));
    }
    stays.push("roles and their privileges".to_owned());
    Ok(Found { database, client, steps, stays })
}
