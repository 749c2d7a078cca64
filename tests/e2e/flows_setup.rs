//! A source, a destination, and a manifest of `table` flows between them, in few words.

use std::fmt::Write;

use crate::support::{Database, Pelton, database};

/// One public schema and where it goes.
pub struct Flow {
    name: String,
    /// What stands in the public schema's `config`.
    config: String,
    /// (consumer, table, more of its `config`)
    consumers: Vec<(String, String, String)>,
}

/// Takes a table as it is into a table of the same name, which is made.
pub fn table(name: &str) -> Flow {
    Flow::new(name, &format!("publicSchemaType: table, table: public.{name}")).into(name, "createTable: true")
}

impl Flow {
    /// Names a public schema, and says what makes it, as `publicSchemaType: table, table: public.t`.
    pub fn new(name: &str, config: &str) -> Flow {
        Flow { name: name.to_owned(), config: config.to_owned(), consumers: Vec::new() }
    }

    /// Adds a destination table in schema `public`.
    pub fn into(mut self, table: &str, config: &str) -> Flow {
        self.consumers.push((format!("to-{table}"), format!("public.{table}"), config.to_owned()));
        self
    }
}

/// A source and a destination database.
pub struct Line {
    pub source: Database,
    pub destination: Database,
}

impl Line {
    pub async fn new() -> Line {
        Line { source: database().await, destination: database().await }
    }

    /// Runs statements at the source.
    pub async fn source(&self, sql: &str) {
        self.source.execute(sql).await;
    }

    /// Returns the manifest of these flows.
    pub fn manifest(&self, flows: &[Flow]) -> String {
        self.manifest_of("", flows)
    }

    /// Returns the manifest of these flows, with more said of the source, as `, tables: [public.t]`.
    pub fn manifest_of(&self, source: &str, flows: &[Flow]) -> String {
        let mut text = format!(
            "slug: line
manifestVersion: 0
connections:
  - {{ slug: source, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: destination, config: {{ connectionType: postgres, url: \"{}\" }} }}
dataStores:
  - connectionSlug: source
    config: {{ connectionType: postgres, slotName: {}, publicationName: pelton{source} }}
  - {{ connectionSlug: destination }}
publicSchemas:
",
            self.source.url(),
            self.destination.url(),
            self.source.name()
        );
        for Flow { name, config, .. } in flows {
            write!(
                text,
                "  - name: {name}
    version: {{ major: 1, minor: 0 }}
    source: {{ dataStoreSlug: source }}
    config: {{ {config} }}
"
            )
            .expect("writing to a String");
        }
        text.push_str("consumerSchemas:\n");
        for Flow { name, consumers, .. } in flows {
            for (consumer, table, config) in consumers {
                write!(
                    text,
                    "  - name: {consumer}
    sourceManifestSlug: line
    publicSchema: {{ name: {name}, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: destination, table: {table}, {config} }}
"
                )
                .expect("writing to a String");
            }
        }
        text
    }

    /// Prepares `pelton sync` of a manifest that follows the changes until it is told to stop.
    pub fn follow(&self, manifest: &str) -> Pelton {
        Pelton::new(["sync"]).file("pelton.yaml", manifest)
    }

    /// Runs `pelton sync --until-caught-up`, which must end well.
    pub async fn catch_up(&self, manifest: &str) {
        let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest);
        let status = pelton.run().await;
        assert_eq!(status.code(), Some(0), "{}", pelton.stderr());
    }

    /// Runs `pelton sync --until-caught-up`, which must stop a flow. Returns what it said.
    pub async fn stop(&self, manifest: &str) -> String {
        let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest);
        let status = pelton.run().await;
        assert_eq!(status.code(), Some(1), "{}", pelton.stderr());
        pelton.stderr()
    }

    /// Asserts that two queries return the same rows.
    #[track_caller]
    pub fn assert_same<'a>(&'a self, source: &'a str, destination: &'a str) -> impl Future<Output = ()> + 'a {
        crate::support::assert_same(&self.source, source, &self.destination, destination)
    }

    /// Asserts that tables are the same on both sides, column by column.
    #[track_caller]
    pub fn assert_equal<'a>(&'a self, tables: &'a [&'a str]) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            for table in tables {
                let sql = format!("SELECT * FROM public.{table}");
                let (source, destination) = (self.source.rows(&sql).await, self.destination.rows(&sql).await);
                let sorted = |mut rows: Vec<_>| {
                    rows.sort();
                    rows
                };
                let (source, destination) = (sorted(source), sorted(destination));
                assert!(source == destination, "at {caller}: table {table}: {source:?} became {destination:?}");
            }
        }
    }
}
