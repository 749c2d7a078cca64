//! What databases say of public schemas: event stores of those that were published, sources of their tables.

use std::collections::HashMap;

use tokio_postgres::Client;

use super::against::Known;
use crate::change::PublicSchema;
use crate::cli::databases;
use crate::cli::report::Failure;
use crate::engine::{self, table_name};
use crate::eventstore;
use crate::manifest::{Manifest, PublicSchemaDef, TableProjection};
use crate::postgres::catalog::{self, Which};

const NAME: &str = "pelton check";

/// Returns the newest shape of everything that a manifest has published into its event stores.
///
/// # Errors
/// There is no event store, or one can't be read.
pub async fn of_event_stores(manifest: &Manifest) -> Result<Vec<(String, u32, Known)>, Failure> {
    let stores = databases::event_stores(manifest);
    if stores.is_empty() {
        let what = format!("{}: there is no event store, and nothing else remembers what was published", manifest.file);
        let hint = "compare with a file or with git: --against old.yaml, --against git:HEAD~1";
        return Err(Failure::new(what, Some(hint.to_owned())));
    }
    let mut all: Vec<(String, u32, Known)> = Vec::new();
    for store in stores {
        let client = store.connect(NAME).await?;
        let failed = |error: crate::datastore::DataStoreError| store.failed(&error, error.hint());
        let streams = eventstore::streams(&client).await.map_err(failed)?;
        let ids: Vec<i32> = streams.iter().filter(|one| one.manifest == manifest.slug).map(|one| one.id).collect();
        let shapes = eventstore::shapes(&client, &ids, 0).await.map_err(failed)?;
        for id in ids {
            let Some(newest) = shapes.iter().find(|shape| shape.stream == id) else { continue };
            let public = newest.public.clone();
            let (name, major, minor) = (public.name.to_string(), public.major, public.minor);
            if all.iter().all(|(other, version, _)| (other, version) != (&name, &major)) {
                all.push((name, major, Known { public: Some(public), minor, ..Known::default() }));
            }
        }
    }
    Ok(all)
}

/// Sources that are asked, each connected once; `None`: it can't be reached.
#[derive(Default)]
pub struct Source(HashMap<(String, String), Option<Client>>);

impl Source {
    /// Returns what a projection makes of its table as the table is now; `None` where that can't be found out.
    pub async fn public_schema(
        &mut self,
        manifest: &Manifest,
        public: &PublicSchemaDef,
        projection: &TableProjection,
    ) -> Option<PublicSchema> {
        let key = (manifest.slug.clone(), public.source.clone());
        if !self.0.contains_key(&key) {
            let source = databases::sources(manifest).into_iter().find(|source| source.name == public.source)?;
            let client = source.connect(NAME).await;
            if client.is_err() {
                eprintln!(
                    "{} can't be reached, so its tables are compared by what the manifests say alone",
                    source.label
                );
            }
            self.0.insert(key.clone(), client.ok());
        }
        let client = self.0.get(&key)?.as_ref()?;
        let tables = catalog::load(client, Which::Named(&[table_name(&projection.table)])).await.ok()?;
        let version = (public.name.as_str(), public.version.major, public.version.minor);
        engine::public_schema(tables.first()?, None, projection, version).ok()
    }
}
