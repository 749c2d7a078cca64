//! Destinations that another manifest of the same workspace has.
//!
//! A consumer may write into a data store that its own manifest does not name. Which manifests there are beside it is known
//! once all of them are read, so one that needs this is read twice: first with whatever destination, then with those that
//! there are.

use super::model::{Connection, DataStore, Manifest};

/// What is known of the other manifests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Others<'a> {
    /// They are not read yet, and may have any destination.
    Unread,
    Read(&'a [Lent]),
}

/// A data store of another manifest.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    /// The other manifest's file.
    pub file: String,
    pub connection: Connection,
}

impl Lent {
    /// Returns the data stores of a manifest.
    pub fn of(manifest: &Manifest) -> impl Iterator<Item = Lent> + '_ {
        let connections = manifest.data_stores.iter().filter_map(|store| manifest.connection(&store.slug));
        connections.map(|connection| Lent { file: manifest.file.clone(), connection: connection.clone() })
    }
}

impl<'a> Others<'a> {
    /// Returns the data stores of that name.
    pub fn named(self, slug: &str) -> impl Iterator<Item = &'a Lent> {
        let lent = match self {
            Others::Unread => &[],
            Others::Read(lent) => lent,
        };
        lent.iter().filter(move |lent| lent.connection.slug == slug)
    }

    /// Gives a manifest the destinations that it lacks.
    pub fn lend(self, manifest: &mut Manifest) {
        for consumer in &manifest.consumer_schemas {
            let slug = consumer.config.destination();
            if manifest.data_stores.iter().any(|store| store.slug == slug) {
                continue;
            }
            if let Some(lent) = self.named(slug).next() {
                manifest.data_stores.push(DataStore { slug: slug.to_owned(), source: None, at: consumer.at });
                manifest.connections.push(Connection { at: consumer.at, ..lent.connection.clone() });
            }
        }
    }
}
