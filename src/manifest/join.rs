//! Consumers of public schemas that another manifest of the same workspace has.
//!
//! A source's slot has one owner: the manifest that has the data store. So a flow from there belongs to that manifest,
//! wherever its destination is written down, and a consumer that takes a public schema of another manifest moves there
//! before anything runs: with its destination, under a name of its own (`crm/accounts`). The owner's event store, if it
//! has one, lies in between like for its own consumers. Who has an event store of their own reads that one instead, and
//! stays where they are.
//!
//! Whatever looks at flows (sync, status, doctor, repair, teardown) looks at joined manifests, so that all of them see
//! the same flows under the same names.

use super::model::{Connection, ConsumerConfig, ConsumerSchemaDef, DataStore, Manifest};

/// Moves consumers to the manifests whose public schemas they take, where they need it. Manifests must be valid
/// together ([`super::check_together`]). The order stays; none is left out.
pub fn join(mut manifests: Vec<Manifest>) -> Vec<Manifest> {
    let slugs: Vec<String> = manifests.iter().map(|manifest| manifest.slug.clone()).collect();
    for from in 0..manifests.len() {
        if !manifests[from].event_stores.is_empty() {
            continue;
        }
        let consumers = std::mem::take(&mut manifests[from].consumer_schemas);
        for consumer in consumers {
            match slugs.iter().position(|slug| *slug == consumer.source_manifest) {
                // One that has a service's address reads there.
                Some(to) if to != from && manifests[from].sync_service(&consumer.source_manifest).is_none() => {
                    let (consumer, connection) = moved(&manifests[from], &manifests[to], consumer);
                    take(&mut manifests[to], consumer, connection);
                }
                _ => manifests[from].consumer_schemas.push(consumer),
            }
        }
    }
    manifests
}

/// Returns a consumer as another manifest has it, with its destination's connection.
///
/// Flows into one database commit together, so it is the data store that the other manifest has for it, if any.
fn moved(from: &Manifest, to: &Manifest, mut consumer: ConsumerSchemaDef) -> (ConsumerSchemaDef, Option<Connection>) {
    let destination = consumer.config.destination();
    let connection = from.connection(destination).cloned();
    let slug = same_database(from, to, destination).unwrap_or_else(|| moved_name(from, destination));
    consumer.name = moved_name(from, &consumer.name);
    match &mut consumer.config {
        ConsumerConfig::Table(table) => table.data_store.clone_from(&slug),
        ConsumerConfig::Postgres(sql) => sql.data_store.clone_from(&slug),
    }
    (consumer, connection.map(|connection| Connection { slug, ..connection }))
}

/// Returns the data store of `to` that is the same database; one that consumers write to before others.
fn same_database(from: &Manifest, to: &Manifest, destination: &str) -> Option<String> {
    let database = |manifest: &Manifest, slug: &str| {
        let postgres = manifest.postgres(slug)?;
        Some((postgres.host.clone(), postgres.port, postgres.database.clone()))
    };
    let wanted = database(from, destination)?;
    let written = to.consumer_schemas.iter().map(|consumer| consumer.config.destination());
    let all = written.chain(to.data_stores.iter().map(|store| store.slug.as_str()));
    all.into_iter().find(|slug| database(to, slug).as_ref() == Some(&wanted)).map(str::to_owned)
}

/// Returns the name that something of a manifest has in another one.
pub(crate) fn moved_name(from: &Manifest, name: &str) -> String {
    format!("{}/{name}", from.slug)
}

fn take(to: &mut Manifest, consumer: ConsumerSchemaDef, connection: Option<Connection>) {
    if let Some(connection) = connection.filter(|connection| to.connection(&connection.slug).is_none()) {
        to.data_stores.push(DataStore { slug: connection.slug.clone(), source: None, at: connection.at });
        to.connections.push(connection);
    }
    to.consumer_schemas.push(consumer);
}

impl Manifest {
    /// Returns true when there is something to run: consumers, public schemas with an event store, or a mirror.
    pub fn runs(&self) -> bool {
        !self.consumer_schemas.is_empty()
            || !(self.event_stores.is_empty() || self.public_schemas.is_empty())
            || self.event_stores.iter().any(|store| store.mirror_of.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Origin, System, check_together, parse};

    fn manifest(text: &str) -> Manifest {
        let origin = Origin { file: "m.yaml".to_owned(), folder: "/m".into() };
        parse(text.as_bytes(), &origin, &System).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn owner(more: &str) -> Manifest {
        manifest(&owner_text(more))
    }

    fn owner_text(more: &str) -> String {
        format!(
            "slug: shop\nconnections:\n  - {{ slug: db, config: {{ connectionType: postgres, host: a, user: me }} }}\ndataStores: [{{ connectionSlug: db, config: {{}} }}]\n{more}publicSchemas: [{{ name: orders, version: {{ major: 1, minor: 0 }}, source: {{ dataStoreSlug: db }}, config: {{ publicSchemaType: table, table: orders }} }}]\n"
        )
    }

    fn taker(more: &str) -> Manifest {
        manifest(&format!(
            "slug: crm\nconnections:\n  - {{ slug: db, config: {{ connectionType: postgres, host: b, user: me }} }}\ndataStores: [{{ connectionSlug: db }}]\n{more}consumerSchemas: [{{ name: orders, sourceManifestSlug: shop, publicSchema: {{ name: orders, majorVersion: 1 }}, config: {{ consumerSchemaType: table, destinationDataStoreSlug: db, table: orders }} }}]\n"
        ))
    }

    fn told(manifests: &[Manifest]) -> Vec<String> {
        let one = |manifest: &Manifest| {
            let consumer = |consumer: &ConsumerSchemaDef| {
                let store = consumer.config.destination();
                let host = &manifest.postgres(store).unwrap().host;
                format!(" {} into {store} at {host}", consumer.name)
            };
            let consumers: String = manifest.consumer_schemas.iter().map(consumer).collect();
            format!("{}:{consumers} {}", manifest.slug, manifest.runs())
        };
        manifests.iter().map(one).collect()
    }

    #[test]
    fn a_consumer_moves_to_the_owner_of_its_source() {
        let expected = ["crm: false", "shop: crm/orders into crm/db at b true"];
        assert_eq!(told(&join(vec![taker(""), owner("")])), expected);
        assert_eq!(told(&join(vec![taker(""), owner("eventStores: [{ connectionSlug: db }]\n")])), expected);
    }

    #[test]
    fn a_consumer_with_an_event_store_of_its_own_stays() {
        let joined = join(vec![owner(""), taker("eventStores: [{ connectionSlug: db }]\n")]);
        assert_eq!(told(&joined), ["shop: false", "crm: orders into db at b true"]);
    }

    #[test]
    fn one_database_is_one_data_store() {
        let more = "  - { slug: there, config: { connectionType: postgres, host: b, user: you, database: me } }\n";
        let stores = format!("{more}dataStores: [{{ connectionSlug: there }}, ");
        let owner = manifest(&owner_text("").replace("dataStores: [", &stores));
        assert_eq!(told(&join(vec![taker(""), owner])), ["crm: false", "shop: crm/orders into there at b true"]);
    }

    #[test]
    fn nobody_writes_the_table_that_is_read_for_them() {
        let mut taker = taker("");
        taker.connections[0] = owner("").connections[0].clone();
        let problems = check_together(&[owner(""), taker]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].message, "table `public.orders` would be written with what is read from it");
    }
}
