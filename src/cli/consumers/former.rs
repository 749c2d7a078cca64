//! Consumers that a manifest had once, and of which destinations still keep how far they were.
//!
//! One that was taken out of the manifest, or writes into another destination now, leaves its row behind, so that it goes on
//! where it was if it comes back; and its event store keeps for it what it has not read.

use serde_json::{Value, json};

use super::super::databases::{self, Database};
use super::super::report::Failure;
use super::{APPLICATION, names};
use crate::datastore::{self, ConsumerRow, DataStoreError};
use crate::engine::{Chain, Plan, UpstreamPlan};
use crate::eventstore::Deployment;
use crate::manifest::Manifest;

/// What was found.
pub struct Former {
    pub rows: Vec<Kept>,
    /// Data stores that can't be asked.
    unknown: Vec<String>,
}

/// A row that a destination keeps.
pub struct Kept {
    database: Database,
    row: ConsumerRow,
}

/// Looks into all data stores that a manifest has.
pub async fn look(manifest: &Manifest, plan: &Plan) -> Former {
    let mut former = Former { rows: Vec::new(), unknown: Vec::new() };
    for database in databases::data_stores(manifest) {
        let rows = async {
            let client = database.connect(APPLICATION).await?;
            let rows = datastore::consumers(&client, &manifest.slug).await;
            rows.map_err(|error| database.failed(&error, error.hint()))
        };
        let Ok(rows) = rows.await else {
            former.unknown.push(format!("`{}`", database.name));
            continue;
        };
        let is_there = |row: &ConsumerRow| {
            let readers = plan.readers.iter().filter(|reader| database.is_at(&reader.connection));
            readers.flat_map(|reader| &reader.consumers).any(|one| one.name == row.consumer)
        };
        let rows = rows.into_iter().filter(|row| !is_there(row));
        former.rows.extend(rows.map(|row| Kept { database: database.clone(), row }));
    }
    former
}

impl Former {
    /// Prints them below those that the manifest has.
    pub fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        println!("\nKept of consumers that are no longer there:");
        self.rows.iter().for_each(|kept| println!("  {kept}"));
        println!("`pelton consumers drop NAME` forgets one.");
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Kept { database, row } = self;
        let (source, name, major) = (&row.source_manifest, &row.public_schema, row.major);
        write!(f, "`{}` at `{}`, of {source}/{name}@{major}, at {}", row.consumer, database.name, row.cursor)
    }
}

/// Returns one for scripts.
pub fn to_json(kept: &Kept) -> Value {
    let Kept { database, row } = kept;
    json!({
        "consumer": row.consumer,
        "sourceManifest": row.source_manifest,
        "publicSchema": row.public_schema,
        "majorVersion": row.major,
        "destination": database.name,
        "state": "former",
        "cursor": row.cursor.to_string(),
        "rows": row.rows_applied,
    })
}

/// Forgets one.
///
/// # Errors
/// There is none of that name, or several, or what the destination says.
pub async fn drop(manifest: &Manifest, plan: &Plan, name: &str, at: Option<&str>) -> Result<(), Failure> {
    let former = look(manifest, plan).await;
    let is_meant =
        |kept: &&Kept| kept.row.consumer == name && at.is_none_or(|destination| kept.database.name == destination);
    let found: Vec<&Kept> = former.rows.iter().filter(is_meant).collect();
    match &found[..] {
        [kept] => kept.drop(manifest).await,
        [] => Err(absent(manifest, plan, name, &former)),
        several => {
            let places: Vec<String> = several.iter().map(|kept| kept.database.name.clone()).collect();
            let hint = format!("choose one with --destination: {}", places.join(", "));
            Err(Failure::new(format!("consumer `{name}` is kept at several destinations"), Some(hint)))
        }
    }
}

fn absent(manifest: &Manifest, plan: &Plan, name: &str, former: &Former) -> Failure {
    let list = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let kept = former.rows.iter().map(|kept| format!("`{}` at `{}`", kept.row.consumer, kept.database.name)).collect();
    let mut hint = format!("the manifest has {}; kept of former ones: {}", list(names(plan)), list(kept));
    if !former.unknown.is_empty() {
        hint.push_str(&format!("; can't be asked: {}", former.unknown.join(", ")));
    }
    Failure::new(format!("manifest `{}` has no consumer `{name}`, nor is one kept", manifest.slug), Some(hint))
}

impl Kept {
    async fn drop(&self, manifest: &Manifest) -> Result<(), Failure> {
        let Kept { database, row } = self;
        let client = database.connect(APPLICATION).await?;
        let failed = |error: DataStoreError| database.failed(&error, error.hint());
        let destination = datastore::store_id(&client).await.map_err(failed)?;
        let of = Deployment { manifest: &manifest.slug, destination: &destination };
        self.forget(manifest, of).await;
        datastore::drop_consumer(&client, &manifest.slug, &row.consumer).await.map_err(failed)?;
        println!("Dropped consumer `{}` at `{}`. Its table stays.", row.consumer, database.name);
        Ok(())
    }

    /// Has it forgotten wherever it may have read.
    async fn forget(&self, manifest: &Manifest, of: Deployment<'_>) {
        let mut all: Vec<(String, UpstreamPlan)> = databases::event_stores(manifest)
            .into_iter()
            .map(|store| (store.name, UpstreamPlan::Store(store.connection)))
            .collect();
        let service = manifest.sync_service(&self.row.source_manifest);
        all.extend(service.map(|service| (service.manifest.clone(), UpstreamPlan::Service(service.clone()))));
        let consumer = &self.row.consumer;
        for (name, upstream) in all {
            let forgotten = async { upstream.open(&name, APPLICATION).await?.forget(of, consumer).await };
            if let Err(error) = forgotten.await {
                let (place, hint) = (upstream.place(&name), format!("pelton events forget {} {consumer}", of.manifest));
                tracing::warn!(place, hint, "it may still keep events for `{consumer}`: {}", Chain(&error));
            }
        }
    }
}
