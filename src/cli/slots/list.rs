//! `pelton slots list`.

use serde_json::json;

use super::APPLICATION;
use crate::cli::columns::{self, duration, size};
use crate::cli::databases::{self, Database, Databases};
use crate::cli::report::Failure;
use crate::manifest::Manifest;
use crate::postgres::preflight;
use crate::postgres::slot::{self, Listed, derived_name};

/// A slot, where it was seen, and whose it is.
struct Row {
    server: String,
    slot: Listed,
    owner: Option<Owner>,
}

/// The manifest that a slot belongs to.
struct Owner {
    manifest: String,
    source: String,
    flows: Vec<String>,
}

/// Prints the slots of all servers that the manifest reads, each server once.
pub async fn run(databases: &Databases, as_json: bool) -> Result<(), Failure> {
    let manifest = databases.manifest()?;
    let places = match &manifest {
        Some(manifest) => databases::sources(manifest),
        None => databases.of_url()?.into_iter().collect(),
    };
    if places.is_empty() {
        let hint = "name a database with --url, or another manifest".to_owned();
        return Err(Failure::new("the manifest names no source, so there are no slots", Some(hint)));
    }
    let mut failures = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut servers: Vec<u64> = Vec::new();
    for database in &places {
        match ask(database).await {
            Ok((system, name, slots)) => {
                let owner = |slot: &Listed| owner(manifest.as_ref()?, database, system, &name, slot);
                // A source on a server that was listed already only says which of its slots it owns.
                if servers.contains(&system) {
                    for slot in &slots {
                        let known = rows.iter_mut().find(|row| row.slot.name == slot.name && row.owner.is_none());
                        if let (Some(row), Some(owner)) = (known, owner(slot)) {
                            row.owner = Some(owner);
                        }
                    }
                    continue;
                }
                servers.push(system);
                let row = |slot: Listed| Row { server: database.name.clone(), owner: owner(&slot), slot };
                rows.extend(slots.into_iter().map(row));
            }
            Err(failure) => failures.push(failure),
        }
    }
    if as_json {
        println!("{:#}", rows.iter().map(to_json).collect::<serde_json::Value>());
    } else {
        print(&rows);
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::all(failures)) }
}

/// Returns the server's system identifier, the database's own name, and the slots.
async fn ask(database: &Database) -> Result<(u64, String, Vec<Listed>), Failure> {
    let client = database.connect(APPLICATION).await?;
    let facts = preflight::facts(&client).await.map_err(|error| database.failed(&error, error.hint()))?;
    let slots = slot::list(&client).await.map_err(|error| database.failed(&error, error.hint()))?;
    Ok((facts.identity.system_identifier, facts.database, slots))
}

fn owner(manifest: &Manifest, database: &Database, system: u64, name: &str, slot: &Listed) -> Option<Owner> {
    let (store, config) = manifest.sources().find(|(store, _)| store.slug == database.name)?;
    let ours = config.slot_name == slot.name || derived_name(system, name, &manifest.slug) == slot.name;
    if !ours || slot.database.as_deref() != Some(name) {
        return None;
    }
    let reads = |consumer: &&crate::manifest::ConsumerSchemaDef| {
        let public = manifest.public_schema(&consumer.public_schema, consumer.major);
        consumer.source_manifest == manifest.slug && public.is_some_and(|public| public.source == store.slug)
    };
    let flows = manifest.consumer_schemas.iter().filter(reads).map(|consumer| consumer.name.clone()).collect();
    Some(Owner { manifest: manifest.slug.clone(), source: store.slug.clone(), flows })
}

fn to_json(Row { server, slot, owner }: &Row) -> serde_json::Value {
    json!({
        "name": slot.name,
        "server": server,
        "database": slot.database,
        "plugin": slot.plugin,
        "temporary": slot.temporary,
        "activePid": slot.active_pid,
        "applicationName": slot.application_name,
        "retainedBytes": slot.retained_bytes,
        "inactiveMs": slot.inactive_ms,
        "walStatus": slot.wal_status,
        "safeWalBytes": slot.safe_wal_size,
        "confirmed": slot.confirmed.map(|lsn| lsn.to_string()),
        "failover": slot.failover,
        "synced": slot.synced,
        "invalidationReason": slot.invalidation_reason,
        "owner": owner.as_ref().map(|owner| json!({
            "manifest": owner.manifest,
            "source": owner.source,
            "flows": owner.flows,
        })),
    })
}

fn print(rows: &[Row]) {
    let head =
        ["NAME", "DATABASE", "PLUGIN", "PID", "RETAINED", "IDLE", "STATUS", "SAFE", "FAILOVER", "READER", "OWNER"]
            .map(str::to_owned);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    // Cells without spaces, so that a script can cut the line; the last two are names that somebody chose.
    let bytes =
        |bytes: Option<i64>| or_none(bytes.and_then(|b| u64::try_from(b).ok()).map(|b| size(b).replace(' ', "")));
    let line = |Row { slot, owner, .. }: &Row| {
        let failover = match (slot.failover, slot.synced) {
            (_, Some(true)) => "synced",
            (Some(true), _) => "yes",
            (Some(false), _) => "no",
            (None, _) => "-",
        };
        let idle = slot.inactive_ms.and_then(|ms| u64::try_from(ms).ok()).map(|ms| duration(ms).replace(' ', ""));
        [
            slot.name.clone(),
            or_none(slot.database.clone()),
            or_none(slot.plugin.clone()),
            or_none(slot.active_pid.map(|pid| pid.to_string())),
            bytes(slot.retained_bytes),
            or_none(idle),
            or_none(slot.wal_status.clone()),
            bytes(slot.safe_wal_size),
            failover.to_owned(),
            or_none(slot.application_name.as_ref().map(|name| name.replace(' ', "_"))),
            or_none(
                owner.as_ref().map(|owner| format!("{}/{}: {}", owner.manifest, owner.source, owner.flows.join(", "))),
            ),
        ]
    };
    columns::print(std::iter::once(head).chain(rows.iter().map(line)));
}
