//! A source, an event store and a destination, for tests of what lies between them.

use std::fmt::Write as _;

use crate::support::{Database, Pelton, assert_same, database};

/// Two tables, and rows that existed before.
pub const ITEMS: &str = "
CREATE TABLE items (id int PRIMARY KEY, v int, pad text NOT NULL DEFAULT '', doc jsonb);
CREATE TABLE notes (id int PRIMARY KEY, what text);
INSERT INTO items SELECT i, i, repeat('x', 10), '{\"a\": null}' FROM generate_series(1, 1000) AS i;
";

/// Something of everything; the last change of it is note 2.
pub const CHANGES: &str = "
INSERT INTO items VALUES (1001, NULL, 'é\"\\', 'null'), (1002, 2, '', NULL);
UPDATE items SET v = v + 1 WHERE id <= 500;
UPDATE items SET id = 5000 WHERE id = 3;
DELETE FROM items WHERE id BETWEEN 10 AND 20;
INSERT INTO notes VALUES (1, 'one'), (2, NULL);
";

/// All rows at once; the last change of it is note 3.
pub const EMPTIED: &str = "TRUNCATE items; INSERT INTO items VALUES (1, 1); INSERT INTO notes VALUES (3, 'three')";

/// Two tables for [`work_until_ended`], one of them without a key.
pub const WORK: &str = "
CREATE TABLE items (id int PRIMARY KEY, v int); CREATE TABLE notes (id int, what text);
ALTER TABLE notes REPLICA IDENTITY FULL; INSERT INTO items SELECT i, 0 FROM generate_series(1, 3000) AS i;
";

/// Changes the rows of [`WORK`] for as long as a program runs that kills itself at `point`.
pub async fn work_until_ended(source: &Database, program: &mut Pelton, round: usize, point: &str) {
    let mut n = 0;
    while !program.has_ended() && n < 600 {
        let work = format!(
            "INSERT INTO notes VALUES ({round}, 'n{n}'), ({round}, 'n{n}');
             UPDATE items SET v = v + 1 WHERE id % 7 = {n} % 7; DELETE FROM items WHERE id = {round} * 200 + {n} + 1"
        );
        source.execute(&work).await;
        n += 1;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(program.has_ended(), "{point} was never reached:\n{}", program.stderr());
}

/// Makes sure that both sides have the same notes of [`WORK`], each as often.
pub async fn assert_notes_equal(source: &Database, destination: &Database) {
    let notes = "SELECT id, what, count(*) FROM notes GROUP BY 1, 2";
    assert_same(source, notes, destination, notes).await;
}

/// What a manifest with slug `shop` says of a source and its event store, and of the tables that it publishes; `more` is what it
/// has of other connections.
pub fn publishing(source: &Database, events: &Database, more: [&str; 2], tables: &[&str]) -> String {
    let (slot, [connections, stores]) = (source.name(), more);
    let mut text = format!(
        "slug: shop
manifestVersion: 0
connections:
  - {{ slug: source, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: events, config: {{ connectionType: postgres, url: \"{}\" }} }}
{connections}dataStores:
  - connectionSlug: source
    config: {{ connectionType: postgres, slotName: {slot}, publicationName: {slot} }}
{stores}eventStores:
  - {{ connectionSlug: events }}
publicSchemas:
",
        source.url(),
        events.url(),
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
    text
}

/// What a manifest says of its consumers.
pub fn consuming(consumers: &[Consumer<'_>]) -> String {
    let mut text = "consumerSchemas:".to_owned();
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
        let warehouse = format!(
            "  - {{ slug: warehouse, config: {{ connectionType: postgres, url: \"{}\" }} }}\n",
            self.destination.url()
        );
        let more = [&*warehouse, "  - { connectionSlug: warehouse }\n"];
        publishing(&self.source, &self.events, more, tables) + &consuming(consumers)
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
