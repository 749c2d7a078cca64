//! Which databases a command is about: those of a manifest, or one that a URL names.

use std::path::PathBuf;

use tokio_postgres::Client;

use super::files;
use super::report::Failure;
use crate::engine::Chain;
use crate::manifest::{Manifest, PostgresConnection, Secret};
use crate::postgres::{self, Session};

/// A manifest or a URL.
#[derive(Debug, clap::Args)]
pub struct Databases {
    /// The manifest [default: pelton.yaml in this folder]
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,

    /// One database instead of those of a manifest; a password that the URL lacks is taken from PGPASSWORD
    #[arg(long, value_name = "URL", conflicts_with = "manifest")]
    pub url: Option<String>,
}

/// A database, and how messages call it.
#[derive(Clone, Debug)]
pub struct Database {
    /// The slug of its connection, or its address.
    pub name: String,
    /// "source `shop`".
    pub label: String,
    pub connection: PostgresConnection,
}

impl Databases {
    /// Returns the manifest, unless there is a URL.
    ///
    /// # Errors
    /// The manifest's problems.
    pub fn manifest(&self) -> Result<Option<Manifest>, Failure> {
        match self.url {
            Some(_) => Ok(None),
            None => files::load_one(self.manifest.as_deref()).map(Some),
        }
    }

    /// Returns the database of the URL.
    ///
    /// # Errors
    /// What is wrong with the URL, without the URL.
    pub fn of_url(&self) -> Result<Option<Database>, Failure> {
        let Some(url) = &self.url else { return Ok(None) };
        let mut connection = PostgresConnection::from_url(url).map_err(|error| Failure::of(&error, error.hint()))?;
        if connection.password.is_none() {
            connection.password = std::env::var("PGPASSWORD").ok().filter(|text| !text.is_empty()).map(Secret::new);
        }
        let name = format!("{}:{}/{}", connection.host, connection.port, connection.database);
        Ok(Some(Database { label: format!("database {name}"), name, connection }))
    }
}

/// Returns the databases that a manifest reads.
pub fn sources(manifest: &Manifest) -> Vec<Database> {
    let slugs = manifest.sources().map(|(store, _)| store.slug.as_str()).collect();
    named(manifest, "source", slugs)
}

/// Returns the databases that hold what a manifest publishes.
pub fn event_stores(manifest: &Manifest) -> Vec<Database> {
    named(manifest, "event store", manifest.event_stores.iter().map(|store| store.slug.as_str()).collect())
}

/// Returns the databases that a manifest writes to, its event stores among them.
pub fn destinations(manifest: &Manifest) -> Vec<Database> {
    let stores = event_stores(manifest);
    let mut slugs: Vec<&str> = Vec::new();
    for consumer in &manifest.consumer_schemas {
        let slug = consumer.config.destination();
        if !slugs.contains(&slug) && stores.iter().all(|store| store.name != slug) {
            slugs.push(slug);
        }
    }
    let mut databases = named(manifest, "destination", slugs);
    databases.extend(stores);
    databases
}

/// Returns the databases of all data stores, read or written, each once.
pub fn data_stores(manifest: &Manifest) -> Vec<Database> {
    let all = named(manifest, "data store", manifest.data_stores.iter().map(|store| store.slug.as_str()).collect());
    let mut databases: Vec<Database> = Vec::new();
    for database in all {
        if !databases.iter().any(|known| known.is_at(&database.connection)) {
            databases.push(database);
        }
    }
    databases
}

fn named(manifest: &Manifest, role: &str, slugs: Vec<&str>) -> Vec<Database> {
    let database = |slug: &str| {
        let connection = manifest.postgres(slug)?.clone();
        Some(Database { name: slug.to_owned(), label: format!("{role} `{slug}`"), connection })
    };
    slugs.into_iter().filter_map(database).collect()
}

impl Database {
    /// Returns true when a connection leads here.
    pub fn is_at(&self, other: &PostgresConnection) -> bool {
        let place = |of: &PostgresConnection| (of.host.clone(), of.port, of.database.clone());
        place(&self.connection) == place(other)
    }

    /// Opens a session.
    ///
    /// # Errors
    /// It can't be reached: where, why, and what to do.
    pub async fn connect(&self, application_name: &str) -> Result<Client, Failure> {
        let connected = postgres::connect(&self.connection, &Session::destination(application_name)).await;
        connected.map_err(|error| self.failed(&error, error.hint()))
    }

    /// Says that something failed here.
    pub fn failed(&self, error: &(dyn std::error::Error + 'static), hint: Option<String>) -> Failure {
        Failure::new(format!("{}: {}", self.label, Chain(error)), hint)
    }

    /// Says what is wrong here.
    pub fn refused(&self, what: impl std::fmt::Display, hint: impl Into<String>) -> Failure {
        Failure::new(format!("{}: {what}", self.label), Some(hint.into()))
    }
}
