//! A source, a destination, and `rejot-manifest.json` between them.

use serde_json::{Value, json};

use crate::support::{Database, Pelton, database};

/// Where a manifest is run.
pub struct Place {
    pub source: Database,
    pub destination: Database,
    /// The rows go by way of an event store, in the destination's database.
    pub store: bool,
}

impl Place {
    pub async fn new(store: bool, source: &str, destination: &str) -> Place {
        let place = Place { source: database().await, destination: database().await, store };
        place.source.execute(source).await;
        place.destination.execute(destination).await;
        place
    }

    /// Returns the manifest of (name, config) of public schemas, and (name, public schema, config) of consumers.
    pub fn manifest(&self, public: &[(&str, Value)], consumers: &[(&str, &str, Value)]) -> String {
        let connection =
            |slug: &str, url: String| json!({ "slug": slug, "config": { "connectionType": "postgres", "url": url } });
        let public = public.iter().map(|(name, config)| {
            let (mut config, mut more) = (config.clone(), json!({}));
            if let Some(moved) = config.as_object_mut().and_then(|config| config.remove("of-schema")) {
                more = moved;
            }
            let mut schema = json!({
                "name": name,
                "version": { "major": 1, "minor": 0 },
                "source": { "dataStoreSlug": "source" },
                "outputSchema": { "type": "object" },
                "config": config,
            });
            for (name, value) in more.as_object().into_iter().flatten() {
                schema[name] = value.clone();
            }
            schema
        });
        let consumers = consumers.iter().map(|(name, of, config)| {
            let mut config = config.clone();
            config["destinationDataStoreSlug"] = json!("destination");
            json!({
                "name": name,
                "sourceManifestSlug": "rejot",
                "publicSchema": { "name": of, "majorVersion": 1 },
                "config": config,
            })
        });
        let slot = self.source.name();
        let stores = if self.store { json!([{ "connectionSlug": "destination" }]) } else { json!([]) };
        let manifest = json!({
            "slug": "rejot",
            "manifestVersion": 0,
            "connections": [connection("source", self.source.url()), connection("destination", self.destination.url())],
            "dataStores": [
                {
                    "connectionSlug": "source",
                    "config": { "connectionType": "postgres", "slotName": slot, "publicationName": slot },
                },
                { "connectionSlug": "destination" },
            ],
            "eventStores": stores,
            "publicSchemas": public.collect::<Vec<_>>(),
            "consumerSchemas": consumers.collect::<Vec<_>>(),
        });
        serde_json::to_string_pretty(&manifest).unwrap()
    }

    pub fn sync(&self, manifest: &str, more: &[&str]) -> Pelton {
        let arguments = ["sync", "rejot-manifest.json"].iter().chain(more);
        Pelton::new(arguments).file("rejot-manifest.json", manifest)
    }

    /// Runs until everything is applied, and returns what was said.
    pub async fn catch_up(&self, manifest: &str) -> String {
        self.ends(manifest, 0).await
    }

    /// The same, of one that must stop something.
    pub async fn stops(&self, manifest: &str) -> String {
        self.ends(manifest, 1).await
    }

    async fn ends(&self, manifest: &str, code: i32) -> String {
        let mut pelton = self.sync(manifest, &["--until-caught-up"]);
        let status = pelton.run().await;
        assert_eq!(status.code(), Some(code), "{}", pelton.stderr());
        pelton.stderr()
    }

    /// Returns a query's rows at the destination, a line each.
    pub async fn found(&self, sql: &str) -> String {
        let line = |row: &Vec<Option<String>>| {
            row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join(" ")
        };
        self.destination.rows(sql).await.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// A `table` public schema.
pub fn table(name: &str) -> Value {
    json!({ "publicSchemaType": "table", "table": format!("public.{name}") })
}

/// A public schema by statements of (operations, table, sql).
pub fn public(statements: &[(&str, &str, &str)]) -> Value {
    let each = |(operations, table, sql): &(&str, &str, &str)| {
        let one = |operation: &str| json!({ "operation": operation, "table": table, "sql": sql });
        operations.split(' ').map(one).collect::<Vec<_>>()
    };
    json!({ "publicSchemaType": "postgres", "transformations": statements.iter().flat_map(each).collect::<Vec<_>>() })
}

/// A consumer that is a table.
pub fn kept(table: &str) -> Value {
    json!({ "consumerSchemaType": "table", "table": format!("public.{table}"), "createTable": true })
}

/// A consumer by SQL.
pub fn sql(sql: &str, delete_sql: Option<&str>) -> Value {
    let mut config = json!({ "consumerSchemaType": "postgres", "sql": sql });
    if let Some(delete_sql) = delete_sql {
        config["deleteSql"] = json!(delete_sql);
    }
    config
}
