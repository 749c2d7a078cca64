//! The slot that is to be changed: where it is, and what speaks against it.
//!
//! What is never done, --force or not: to touch a slot that somebody reads from, or a physical one. A running `pelton
//! sync` that has just lost its connection reads from none; so its lock is taken first, and held until the end.

use std::fmt;

use tokio_postgres::Client;

use super::{APPLICATION, Chosen};
use crate::cli::databases::{self, Database};
use crate::cli::report::Failure;
use crate::datastore::{self, SlotReader};
use crate::engine::{self, Chain};
use crate::lsn::Lsn;
use crate::manifest::Manifest;
use crate::postgres::slot::{self, Listed, PLUGIN, SlotError, derived_name};
use crate::postgres::{self, QueryError, Session, preflight};

/// A slot that may be changed as far as its server goes.
pub struct Target {
    pub database: Database,
    /// Holds the lock of the manifest.
    pub client: Client,
    pub slot: Listed,
    /// The end of the write-ahead log.
    pub position: Lsn,
    /// The flows that read from it; `None` where not all destinations could be asked.
    pub readers: Option<Vec<Reader>>,
    /// Why they could not.
    unknown: Option<String>,
    /// The manifest says that it is its own.
    owned: bool,
}

/// A flow, and where it goes.
pub struct Reader {
    pub row: SlotReader,
    destination: String,
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of manifest `{}` at {}", self.row.flow, self.row.manifest, self.destination)
    }
}

/// Finds the slot and looks at everything around it.
pub async fn find(chosen: &Chosen) -> Result<Target, Failure> {
    let manifest = chosen.databases.manifest()?;
    let candidates = candidates(chosen, manifest.as_ref())?;
    let mut found = Vec::new();
    let mut elsewhere = None;
    for database in &candidates {
        let client = database.connect(APPLICATION).await?;
        let facts = preflight::facts(&client).await.map_err(|error| database.failed(&error, error.hint()))?;
        let slots = slot::list(&client).await.map_err(|error| database.failed(&error, error.hint()))?;
        let Some(slot) = slots.into_iter().find(|slot| slot.name == chosen.name) else { continue };
        // A server shows the slots of all of its databases, and changes one from its own alone.
        match &slot.database {
            Some(of) if *of != facts.database => {
                let (name, database, wanted) = (slot.name.clone(), of.clone(), facts.database);
                elsewhere = Some(SlotError::OtherDatabase { name, database, wanted });
            }
            _ => found.push((database, client, facts, slot)),
        }
    }
    if found.len() > 1 {
        let names = found.iter().map(|(database, ..)| database.name.as_str()).collect::<Vec<_>>().join(", ");
        let what = format!("several sources have a replication slot \"{}\": {names}", chosen.name);
        return Err(Failure::new(what, Some("choose one with --source".to_owned())));
    }
    let Some((database, client, facts, slot)) = found.pop() else {
        return Err(missing(chosen, &candidates, elsewhere));
    };
    if slot.plugin.is_none() {
        let error = SlotError::Physical { name: slot.name };
        return Err(
            database.refused(error, "it belongs to a standby or a backup: `SELECT * FROM pg_replication_slots`")
        );
    }
    if let Some(pid) = slot.active_pid {
        let error = SlotError::InUse { name: slot.name, pid: pid.cast_unsigned() };
        let hint = error.hint();
        return Err(database.failed(&error, hint));
    }
    if let Some(manifest) = &manifest {
        own(manifest, database, &client).await?;
    }
    let owned = manifest.as_ref().is_some_and(|manifest| {
        let named =
            manifest.sources().any(|(store, config)| store.slug == database.name && config.slot_name == slot.name);
        let system = facts.identity.system_identifier;
        named || derived_name(system, &facts.database, &manifest.slug) == slot.name
    });
    let position = position(&client).await.map_err(|error| database.failed(&error, error.hint()))?;
    let asked = readers(manifest.as_ref(), &facts.identity.system_identifier.to_string(), &slot.name).await;
    let (readers, unknown) = match asked {
        Ok(readers) => (Some(readers), None),
        Err(why) => (None, Some(why)),
    };
    Ok(Target { database: database.clone(), client, slot, position, readers, unknown, owned })
}

fn candidates(chosen: &Chosen, manifest: Option<&Manifest>) -> Result<Vec<Database>, Failure> {
    let Some(manifest) = manifest else { return Ok(chosen.databases.of_url()?.into_iter().collect()) };
    let all = databases::sources(manifest);
    let Some(slug) = &chosen.source else { return Ok(all) };
    let known = all.iter().map(|database| database.name.clone()).collect::<Vec<_>>().join(", ");
    let chosen: Vec<Database> = all.into_iter().filter(|database| database.name == *slug).collect();
    if chosen.is_empty() {
        let hint = format!("its sources are {known}");
        return Err(Failure::new(format!("the manifest has no source `{slug}`"), Some(hint)));
    }
    Ok(chosen)
}

fn missing(chosen: &Chosen, candidates: &[Database], elsewhere: Option<SlotError>) -> Failure {
    if let Some(error) = elsewhere {
        let hint = "name that database with --url, or run it with the manifest that reads it".to_owned();
        return Failure::of(&error, Some(hint));
    }
    let places = candidates.iter().map(|database| database.label.as_str()).collect::<Vec<_>>().join(", ");
    let what = format!("there is no replication slot \"{}\" at {places}", chosen.name);
    Failure::new(what, Some("`pelton slots list` shows all of them".to_owned()))
}

/// Takes the lock of a manifest for this session.
pub async fn own(manifest: &Manifest, database: &Database, client: &Client) -> Result<(), Failure> {
    let owned = engine::try_acquire(client, &manifest.slug, &database.name).await;
    if owned.map_err(|error| database.failed(&error, error.hint()))? {
        return Ok(());
    }
    let what = format!("a `pelton sync` of manifest `{}` runs", manifest.slug);
    Err(database.refused(what, "stop it first, wherever it runs"))
}

async fn position(client: &Client) -> Result<Lsn, QueryError> {
    let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END";
    let row = client.query_one(sql, &[]).await;
    let row = row.map_err(|error| QueryError::new("ask for the end of the write-ahead log", error))?;
    Ok(Lsn(row.get::<_, tokio_postgres::types::PgLsn>(0).into()))
}

/// Asks all destinations which flows read from the slot.
async fn readers(manifest: Option<&Manifest>, system: &str, slot: &str) -> Result<Vec<Reader>, String> {
    let Some(manifest) = manifest else { return Err("without a manifest nobody knows its destinations".to_owned()) };
    let mut readers = Vec::new();
    for database in databases::destinations(manifest) {
        let session = Session::destination(APPLICATION);
        let connected = postgres::connect(&database.connection, &session);
        let client =
            connected.await.map_err(|error| format!("{} can't be asked: {}", database.label, Chain(&error)))?;
        let rows = datastore::slot_readers(&client, system, slot).await;
        let rows = rows.map_err(|error| format!("{} can't be asked: {}", database.label, Chain(&error)))?;
        // A flow that the manifest no longer names keeps its row, and needs nothing.
        let named = |row: &SlotReader| {
            row.manifest != manifest.slug || manifest.consumer_schemas.iter().any(|consumer| consumer.name == row.flow)
        };
        let destination = format!("`{}`", database.name);
        readers.extend(rows.into_iter().filter(named).map(|row| Reader { row, destination: destination.clone() }));
    }
    Ok(readers)
}

impl Target {
    /// Returns what speaks against giving the slot up, and what to do about it.
    pub fn objection(&self, name: &str, loss: &str) -> Option<(String, String)> {
        if let Some(why) = &self.unknown {
            let what = format!("it can't be known whether flows need replication slot \"{name}\": {why}");
            return Some((what, "name the manifest whose destinations can all be reached".to_owned()));
        }
        let readers = self.readers.iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
        if !readers.is_empty() {
            let what = format!("replication slot \"{name}\" is needed by flow {}; {loss}", readers.join(", flow "));
            return Some((what, "take these flows out of the manifest, if nobody wants them any more".to_owned()));
        }
        if let Some(plugin) = self.slot.plugin.as_ref().filter(|plugin| *plugin != PLUGIN) {
            let what =
                format!("replication slot \"{name}\" was made with the output plugin {plugin}, so not by Pelton");
            return Some((what, "ask whoever made it".to_owned()));
        }
        if !self.owned {
            let what = format!("replication slot \"{name}\" is not named by this manifest, and may be somebody else's");
            return Some((what, "name the manifest that reads from it".to_owned()));
        }
        None
    }
}
