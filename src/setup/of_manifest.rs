//! What a manifest asks of its databases: one job for each connection that is used.

use std::collections::HashMap;
use std::path::PathBuf;

use super::tables::Entry;
use super::wish::{DestinationWish, IdentityWish, Job, RoleWish, Scope, SourceWish};
use crate::manifest::{self, ConnectionConfig, ConsumerConfig, DataStore, Manifest, PublicSchemaConfig, Tables};
use crate::postgres::catalog::TableName;

/// Returns the jobs. `read` has the tables that each component reads; a component that can't be loaded is left out.
pub fn jobs(manifest: &Manifest, read: &HashMap<PathBuf, Vec<TableName>>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for connection in &manifest.connections {
        let ConnectionConfig::Postgres(to) = &connection.config else { continue };
        let slug = &connection.slug;
        let store = manifest.data_stores.iter().find(|store| store.slug == *slug);
        let source = store.and_then(|store| source(manifest, store, read));
        let destination = destination(manifest, slug);
        let event_store = manifest.event_stores.iter().any(|store| store.slug == *slug);
        let side = match (&source, &destination) {
            (Some(_), _) => "source",
            (None, Some(_)) => "destination",
            (None, None) if event_store => "event store",
            (None, None) => continue,
        };
        jobs.push(Job {
            place: format!("{side} {slug}"),
            connection: to.clone(),
            role: Some(RoleWish { name: to.user.clone(), password: to.password.clone() }),
            source,
            destination,
            event_store,
        });
    }
    jobs
}

fn source(manifest: &Manifest, store: &DataStore, read: &HashMap<PathBuf, Vec<TableName>>) -> Option<SourceWish> {
    let config = store.source.as_ref()?;
    let scope = match &config.tables {
        Tables::All => Scope::All,
        Tables::Listed(tables) => Scope::Listed(tables.iter().map(|table| Entry::of(name(table))).collect()),
        Tables::Needed => {
            let schemas = manifest.public_schemas.iter().filter(|schema| schema.source == store.slug);
            let mut tables: Vec<TableName> = schemas
                .flat_map(|schema| match &schema.config {
                    PublicSchemaConfig::Table(projection) => vec![name(&projection.table)],
                    PublicSchemaConfig::Wasm(config) => read.get(&config.component).cloned().unwrap_or_default(),
                    PublicSchemaConfig::Postgres(_) => Vec::new(),
                })
                .collect();
            tables.sort();
            tables.dedup();
            Scope::Listed(tables.into_iter().map(Entry::of).collect())
        }
    };
    Some(SourceWish {
        publication: config.publication_name.clone(),
        publication_named: false,
        slot: config.slot_name.clone(),
        scope,
        identity: IdentityWish::Leave,
        keep_identity: false,
        ddl_messages: false,
        add: Vec::new(),
        drop: Vec::new(),
        group: None,
        helpers: true,
    })
}

fn destination(manifest: &Manifest, slug: &str) -> Option<DestinationWish> {
    let mut tables = Vec::new();
    let mut written = false;
    for consumer in manifest.consumer_schemas.iter().filter(|consumer| consumer.config.destination() == slug) {
        written = true;
        if let ConsumerConfig::Table(table) = &consumer.config {
            tables.push((name(&table.table), table.create_table));
        }
    }
    written.then_some(DestinationWish { tables })
}

fn name(table: &manifest::TableName) -> TableName {
    TableName::new(table.schema.clone(), table.name.clone())
}
