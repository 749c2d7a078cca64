//! A source, an event store and a destination, for tests of what lies between them.

use std::fmt::Write as _;

use crate::support::{Database, Pelton, assert_same, database};

/// A source, an event store and a destination, with a manifest that publishes tables and consumes them.
pub struct Store {
    pub source: Database,
    pub events: Database,
    pub destination: Database,
}

/// What the manifest says of a consumer: (name, public schema, table, more of its config).
pub type Consumer<'a> = (&'a str, &'a str, &'a str, &'a str);

impl Store {
    pub async fn new(ddl: &str) -> Store {
        let store = Store { source: database().await, events: database().await, destination: database().await };
        store.source.execute(ddl).await;
        store
    }

    pub fn manifest(&self, tables: &[&str], consumers: &[Consumer<'_>]) -> String {
        let slot = self.source.name();
        let mut text = format!(
            "slug: shop
manifestVersion: 0
connections:
  - {{ slug: source, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: events, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: warehouse, config: {{ connectionType: postgres, url: \"{}\" }} }}
dataStores:
  - connectionSlug: source
    config: {{ connectionType: postgres, slotName: {slot}, publicationName: {slot} }}
  - {{ connectionSlug: warehouse }}
eventStores:
  - {{ connectionSlug: events }}
publicSchemas:
",
            self.source.url(),
            self.events.url(),
            self.destination.url(),
        );
        for table in tables {
            write!(
                text,
                "  - name: {table}
    version: {{ major: 1, minor: 0 }}
    source: {{ dataStoreSlug: source }}
    config: {{ publicSchemaType: table, table: public.{table} }}
"
            )
            .expect("writing to a String");
        }
        text.push_str("consumerSchemas:");
        text.push_str(if consumers.is_empty() { " []\n" } else { "\n" });
        for (name, schema, table, more) in consumers {
            write!(
                text,
                "  - name: {name}
    sourceManifestSlug: shop
    publicSchema: {{ name: {schema}, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: public.{table}, createTable: true{more} }}
"
            )
            .expect("writing to a String");
        }
        text
    }

    /// A manifest of that name that only consumes what `shop` publishes.
    pub fn consuming(&self, slug: &str, consumers: &[Consumer<'_>]) -> String {
        let manifest = self.manifest(&[], consumers);
        manifest.replacen("slug: shop", &format!("slug: {slug}"), 1).replace("publicSchemas:\n", "publicSchemas: []\n")
    }

    pub fn sync(&self, manifest: &str) -> Pelton {
        Pelton::new(["sync"]).file("pelton.yaml", manifest)
    }

    pub async fn catch_up(&self, manifest: &str) {
        let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest);
        let status = pelton.run().await;
        assert_eq!(status.code(), Some(0), "{}", pelton.stderr());
    }

    pub async fn assert_equal(&self, table: &str) {
        let sql = format!("SELECT * FROM public.{table}");
        assert_same(&self.source, &sql, &self.destination, &sql).await;
    }
}
